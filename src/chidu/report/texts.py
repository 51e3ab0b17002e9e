"""The page's sentences, from one TOML file a language."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Mapping

from chidu.errors import SettingError, nearest
from chidu.report.content import Language

__all__ = ["LANGUAGES", "check_language", "texts"]

LANGUAGES: tuple[Language, ...] = ("en", "zh")


def check_language(language: str) -> Language:
    """Return the language if the page has texts in it. Raises SettingError otherwise."""
    for known in LANGUAGES:
        if language == known:
            return known
    raise SettingError(f"report: no texts in language {language!r}{nearest(language, LANGUAGES)}; use en or zh")


def texts(language: str) -> Mapping[str, str]:
    """Return the page's sentences by name. Raises SettingError for a language that has none."""
    file = importlib.resources.files("chidu.report") / "templates" / f"{check_language(language)}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
