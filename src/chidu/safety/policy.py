"""What is done about a finding: category → action, separately for prompts, passages and answers."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from chidu.errors import SettingError, nearest
from chidu.safety.hazards import HAZARDS, PARENTS, categories

__all__ = ["SIDES", "Action", "Policy", "Side", "read_policy"]

Side = Literal["prompt", "passage", "answer"]
SIDES: tuple[Side, ...] = ("prompt", "passage", "answer")
"""What is judged; a policy's tables are called by the plural."""
BUILT_IN = Path(__file__).with_name("policy.toml")


class Action(IntEnum):
    """What is done, the mildest first."""

    ALLOW = 0
    """Nothing, and nothing is told."""
    FLAG = 1
    """It is told, and passes."""
    REDACT = 2
    """Its name stands in its place, as `<EMAIL>`."""
    REFUSE = 3
    """The text ends before it."""

    @property
    def word(self) -> str:
        """As policies and records write it."""
        return self.name.lower()


@dataclass(frozen=True)
class Policy:
    """Which action each category has on each side."""

    prompt: Mapping[str, Action] = field(hash=False)
    passage: Mapping[str, Action] = field(hash=False)
    answer: Mapping[str, Action] = field(hash=False)
    failed_judge: Action = Action.REFUSE
    """What is done where a judge fails: refuse, or flag, which lets the text pass unjudged by it."""

    def action(self, side: Side, category: str) -> Action:
        """Return what is done: of a finer category that is not named, as with its hazard; of an unknown one, FLAG."""
        named: Mapping[str, Action] = getattr(self, side)
        found = named.get(category)
        if found is None:
            found = named.get(PARENTS.get(category, ""))
        return Action.FLAG if found is None else found

    @cached_property
    def version(self) -> str:
        """A name that changes with any action."""
        sides = {side: {name: action.word for name, action in getattr(self, side).items()} for side in SIDES}
        text = json.dumps({**sides, "failed_judge": self.failed_judge.word}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @classmethod
    @cache
    def built_in(cls) -> Policy:
        """Return the policy that holds where none is given."""
        return _policy(tomllib.loads(BUILT_IN.read_text(encoding="utf-8")), BUILT_IN.name, None)

    @classmethod
    def flag_all(cls) -> Policy:
        """Return the policy that tells everything and changes nothing."""
        everything = dict.fromkeys(HAZARDS, Action.FLAG)
        return cls(everything, everything, everything)


def read_policy(path: Path) -> Policy:
    """Read a policy; what the file does not name stays as it is built in.

    Raises SettingError naming the file, the key and the nearest known one, or the value that is no action.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"--policy: {path} can't be read ({error}): name a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"--policy: {path} is not TOML ({error}): mend that line") from error
    return _policy(values, str(path), Policy.built_in())


def _policy(values: Mapping[str, Any], where: str, base: Policy | None) -> Policy:
    tables = {f"{side}s": side for side in SIDES}
    known = [*tables, "failed_judge"]
    for key in values:
        if key not in known:
            raise SettingError(f"{where}: unknown key {key!r}{nearest(key, known)}: a policy has {', '.join(known)}")
    sides = {}
    for table, side in tables.items():
        named = _actions(values.get(table, {}), where, table)
        built_in = {} if base is None else getattr(base, side)
        # A hazard that is named speaks for its finer categories too, unless these are named beside it.
        sides[side] = {name: act for name, act in built_in.items() if PARENTS.get(name) not in named} | named
    failed = _action(values.get("failed_judge", (base or Policy({}, {}, {})).failed_judge.word), where, "failed_judge")
    if failed not in (Action.FLAG, Action.REFUSE):
        raise SettingError(f'{where}: failed_judge is {failed.word!r}; it must be "flag" or "refuse"')
    return Policy(**sides, failed_judge=failed)


def _actions(named: object, where: str, table: str) -> dict[str, Action]:
    if not isinstance(named, dict):
        raise SettingError(f'{where}: {table} must be a table [{table}], with lines such as privacy = "redact"')
    for category in named:
        if category not in categories():
            raise SettingError(
                f"{where}: [{table}] has an unknown category {category!r}{nearest(category, categories())}"
            )
    return {category: _action(word, where, f"[{table}] {category}") for category, word in named.items()}


def _action(word: object, where: str, key: str) -> Action:
    words = [action.word for action in Action]
    if word not in words:
        more = nearest(word, words) if isinstance(word, str) else ""
        raise SettingError(f"{where}: {key} is {word!r}{more}; it must be one of {', '.join(words)}")
    return Action[str(word).upper()]
