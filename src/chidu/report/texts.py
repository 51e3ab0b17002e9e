"""The page's sentences, from one TOML file a language."""

from __future__ import annotations

import importlib.resources
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

from chidu.errors import SettingError, nearest
from chidu.report.content import Language

__all__ = ["LANGUAGES", "Texts", "check_language", "texts"]

_NAMED = re.compile(r"\{(\w+)\}")
LANGUAGES: tuple[Language, ...] = ("en", "zh")


class Texts(dict[str, str]):
    """The page's sentences by name, and the program's own English in the page's language."""

    def __init__(self, sentences: Mapping[str, str], said: Mapping[str, str], items: Mapping[str, str]) -> None:
        super().__init__(sentences)
        self._items = [(_pattern(english), item) for english, item in items.items()]
        # Those that say most themselves first: a `{name}` of others would swallow it.
        own = sorted(said.items(), key=lambda pair: -len(_NAMED.sub("", pair[0])))
        self._said = [(_pattern(english), sentence) for english, sentence in own]

    def say(self, english: str) -> str:
        """Return what another room wrote in the page's language; as it stands where no pattern matches."""
        for pattern, sentence in self._said:
            if match := pattern.fullmatch(english):
                found = match.groupdict()
                return sentence.format(
                    **{name: self._list(each) if name == "told" else each for name, each in found.items()}
                )
        return english

    def _list(self, told: str) -> str:
        """Return a list of numbers, which stands in a sentence as `{told}`, in the page's language."""
        for mark in ("; ", ", "):
            said = [self._item(each) for each in told.split(mark)]
            if None not in said:
                return self["between_items"].join(each for each in said if each)
        return told

    def _item(self, english: str) -> str | None:
        for pattern, item in self._items:
            if match := pattern.fullmatch(english):
                return item.format(**match.groupdict())
        return None


def _pattern(english: str) -> re.Pattern[str]:
    """Compile a sentence: ``{name}`` in it stands for any text."""
    parts = _NAMED.split(english)
    return re.compile("".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts)))


def check_language(language: str) -> Language:
    """Return the language if the page has texts in it. Raises SettingError otherwise."""
    for known in LANGUAGES:
        if language == known:
            return known
    raise SettingError(f"report: no texts in language {language!r}{nearest(language, LANGUAGES)}; use en or zh")


def texts(language: str) -> Texts:
    """Return the page's sentences by name. Raises SettingError for a language that has none."""
    return _read(check_language(language))


@cache
def _read(language: Language) -> Texts:
    file = importlib.resources.files("chidu.report") / "templates" / f"{language}.toml"
    content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    said, items = content.pop("said", {}), content.pop("items", {})
    return Texts(content, said, items)
