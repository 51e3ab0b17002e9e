"""The settings of a work folder: one small TOML file, and the few flags that override it."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chidu.errors import SettingError, nearest
from chidu.runs.config import DECAYS, OPTIMISERS, from_mapping
from chidu.runs.recipe import ADAMW_WARMUP_STEPS, Recipe
from chidu.runs.record import write_atomic
from chidu.runs.shape import LAYOUTS

__all__ = ["LEAST_VOCABULARY", "RECIPE_RANGES", "SETTINGS_FILE", "Settings", "read_settings", "write_settings"]

SETTINGS_FILE = "chidu.toml"


LEAST_VOCABULARY = 512

RECIPE_RANGES: dict[str, tuple[float, float]] = {
    "learning_rate": (1e-6, 10.0),
    "embedding_learning_rate": (1e-6, 10.0),
    "head_learning_rate": (1e-6, 10.0),
    "decay_fraction": (0.0, 1.0),
    "weight_decay": (0.0, 10.0),
    "batch_tokens": (1, 1_048_576),
    "warmup_steps": (0, 100_000),
    "least_layers": (1, 100),
}
"""What a work folder may change of the recipe, and the range of each; ranges of whole numbers are of whole numbers."""

RECIPE_WORDS: dict[str, tuple[str, ...]] = {"layout": LAYOUTS, "optimiser": OPTIMISERS, "decay": DECAYS}
"""And what is one of a few words."""

BATCHES = (1024, 512, 256)
"""Tokens in a step, the ones to prefer first: the loss depends on the tokens seen, the time on the steps too."""


@dataclass(frozen=True)
class Settings:
    """What one undertaking is told. Every stage is redone whose settings changed, and no other."""

    minutes: float = 10.0
    """Wall time of the whole undertaking on this machine, minutes."""
    seed: int = 0
    """Seeds the split, the order of the data, the weights and the resampling."""
    text: tuple[str, ...] = ()
    """Files and folders of text; none: the documentation of the installed packages."""
    vocabulary: int = 0
    """Tokens in the vocabulary; 0: more with more minutes."""
    context_length: int = 0
    """Tokens in a sequence; 0: more with more minutes."""
    batch_tokens: int = 0
    """Tokens in one optimiser step; 0: 1,024, or fewer where time or text are short, as in a tour."""
    held_out_tokens: int = 131_072
    """Held-out tokens that every loss is measured on, at the most."""
    level: float = 0.9
    """Probability that the forecast's interval means to hold the measured loss."""
    skip_within: float = 0.0
    """Rungs that the law of the others foretells within this part of their loss are not trained; 0: all are."""
    law: str = "auto"
    """A law's name, or `auto`: the one that best forecasts the dearest rungs from the cheaper ones."""
    language: str = "en"
    """Language of the report page: `en` or `zh`."""
    recipe: Mapping[str, float | str] = field(default_factory=dict, hash=False)
    """What differs from the built-in recipe, by its names: what `chidu tune` found, or somebody wrote."""

    def __post_init__(self) -> None:
        paths: object = self.text  # a TOML file may say anything
        if not isinstance(paths, (tuple, list)) or not all(isinstance(path, str) for path in paths):
            raise SettingError(f'text is {self.text!r}; it must be a list of paths, such as ["notes", "book.txt"]')
        for path in self.text:
            if path.encode("utf-8", "ignore").decode() != path:
                raise SettingError(f"text: the name {path!r} is not UTF-8: rename it")
        object.__setattr__(self, "text", tuple(self.text))
        for name, low, high in (
            ("minutes", 3.0, 600.0),
            ("level", 0.5, 0.99),
            ("skip_within", 0.0, 0.5),
            ("vocabulary", 0 if self.vocabulary == 0 else LEAST_VOCABULARY, 65_536),
            ("context_length", 0 if self.context_length == 0 else 32, 8192),
            ("batch_tokens", 0, 1_048_576),
            ("held_out_tokens", None, 10_000_000),
            ("seed", 0, 2**31),
        ):
            object.__setattr__(
                self, name, _number(name, getattr(self, name), self.sequence_tokens if low is None else low, high)
            )
        object.__setattr__(self, "recipe", _recipe_changes(self.recipe))
        for batch_tokens in (self.batch_tokens, int(self.recipe.get("batch_tokens", 0))):  # a whole number, as checked
            if batch_tokens % self.sequence_tokens:
                raise SettingError(
                    f"batch_tokens ({batch_tokens}) must be a multiple of context_length ({self.sequence_tokens})"
                )
        if self.language not in ("en", "zh"):
            raise SettingError(f"language is {self.language!r}; it must be 'en' or 'zh'")
        if self.law not in ("auto", "additive", "coupled"):
            raise SettingError(f"law is {self.law!r}; it must be 'auto', 'additive' or 'coupled'")

    @property
    def words(self) -> int:
        """Tokens in the vocabulary, chosen where the settings leave it open.

        The head of a small model is most of its params. It shall not be all, or the law sees little else grow.
        """
        return self.vocabulary or _by_minutes(self.minutes, (1024, 2048, 4096))

    @property
    def sequence_tokens(self) -> int:
        """Tokens in a sequence, chosen where the settings leave it open.

        Models learn to use a long context late and all at once, which no smaller run foretells (LOG.md).
        """
        return self.context_length or _by_minutes(self.minutes, (128, 256, 512))

    @property
    def recipes(self) -> list[Recipe]:
        """The rules for runs of every size that may be used, the one to prefer first."""
        length = self.sequence_tokens
        changes: dict[str, Any] = dict(self.recipe)
        if changes.get("optimiser") == "adamw":
            changes.setdefault("warmup_steps", ADAMW_WARMUP_STEPS)
        wanted = changes.pop("batch_tokens", self.batch_tokens)
        # Every batch that is tried costs a probe of some ten seconds: a tour has no time to try.
        tried = BATCHES[-1:] if self.is_tour else BATCHES
        batches = [wanted] if wanted else [t for t in tried if t % length == 0] or [length]
        return [Recipe(self.words, self.sequence_tokens, batch_tokens, **changes) for batch_tokens in batches]

    @property
    def is_tour(self) -> bool:
        """True where the time is too short for more than a look around."""
        return self.minutes < 6

    @property
    def leap(self) -> float:
        """How many times the dearest rung's flops the target has, at the least."""
        return 3.0 if self.is_tour else 8.0


def _by_minutes(minutes: float, choices: tuple[int, int, int]) -> int:
    return choices[0 if minutes <= 15 else 1 if minutes <= 120 else 2]


def _recipe_changes(values: object) -> dict[str, float | str]:
    """Check the table `[recipe]`. Raises SettingError for an unknown key, or a value out of range."""
    if not isinstance(values, Mapping):
        raise SettingError(
            f"recipe is {values!r}; it must be a table [recipe], with lines such as learning_rate = 0.01"
        )
    known = [*RECIPE_RANGES, *RECIPE_WORDS]
    for name in values:
        if name not in known:
            raise SettingError(f"recipe: unknown key {name!r}{nearest(str(name), known)}")
    return {name: _recipe_change(name, value) for name, value in sorted(values.items())}


def _recipe_change(name: str, value: object) -> float | str:
    if name in RECIPE_RANGES:
        return _number(f"recipe.{name}", value, *RECIPE_RANGES[name])
    if not isinstance(value, str) or value not in RECIPE_WORDS[name]:
        raise SettingError(f"recipe.{name} is {value!r}; it must be {' or '.join(map(repr, RECIPE_WORDS[name]))}")
    return value


def _number(name: str, value: object, low: float, high: float) -> float:
    """Return a value in range; where the range is of whole numbers, only such a one."""
    whole = isinstance(high, int)
    fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not fits or not isinstance(value, (int, float)) or not low <= value <= high:
        kind, form = ("whole number", ",") if whole else ("number", "g")
        raise SettingError(f"{name} is {value!r}; it must be a {kind} from {low:{form}} to {high:{form}}")
    # 10 and 10.0 minutes are one setting, and must have one fingerprint.
    return value if whole else float(value)


def read_settings(folder: Path, **flags: Any) -> Settings:
    """Read a work folder's settings, with the flags that are not None in their place.

    Raises SettingError for a value out of range, and for an unknown key with the nearest known one; naming the file
    where it is the file's.
    """
    path = folder / SETTINGS_FILE
    values: dict[str, Any] = {}
    if path.is_file():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingError(f"{path} is no TOML file ({error}): mend or delete it") from error
    written = from_mapping(Settings, values, str(path))
    return dataclasses.replace(written, **{name: value for name, value in flags.items() if value is not None})


def write_settings(folder: Path, settings: Settings) -> None:
    """Write `chidu.toml`, so that the next call in this folder needs no flags."""
    lines = ["# Settings of this work folder; a stage is redone when what it depends on changes."]
    values = dataclasses.asdict(settings)
    recipe = values.pop("recipe")
    for name, value in values.items():
        # JSON's strings, numbers and lists of strings are TOML's, but for one character.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        lines.append(f"{name} = {text}")
    if recipe:
        lines += ["", "[recipe]", *(f"{name} = {json.dumps(value)}" for name, value in recipe.items())]
    write_atomic(folder / SETTINGS_FILE, "\n".join(lines) + "\n")
