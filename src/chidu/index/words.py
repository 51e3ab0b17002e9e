"""The words of a text, for the search by words: right for scripts with blanks between words and for those without."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from chidu.errors import MissingPackageError, SettingError

__all__ = ["RUN", "Words", "stemmer", "words"]

# Scripts written without blanks between words: Thai, Lao, Myanmar, Khmer, kana, Han; and Hangul, whose endings vary.
_DENSE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
RUN = re.compile(rf"([{_DENSE}]+)|[^\W_{_DENSE}]+")
"""A run of letters and digits: the first group has it where its script is written without blanks."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

Words = Callable[[str], list[str]]


def words(text: str) -> list[str]:
    """Return the words of a text in their order, folded to one case and width.

    A run of Chinese (or another script without blanks) gives each of its characters and each pair of neighbours: pairs
    tell words apart without a dictionary, single characters find what is asked for by one. ``readFile`` gives
    ``readfile``, ``read`` and ``file``; ``read_file`` its two parts.
    """
    found: list[str] = []
    for match in RUN.finditer(text if text.isascii() else unicodedata.normalize("NFKC", text)):
        run = match.group()
        if match.group(1):
            found += run
            found += [run[place : place + 2] for place in range(len(run) - 1)]
        elif run.islower() or run[1:].islower() or run.isdigit():
            found.append(run.casefold())
        else:
            parts = _HUMP.split(run)
            found += [part.casefold() for part in (parts if len(parts) == 1 else [run, *parts])]
    return found


def stemmer(language: str) -> Words:
    """Return `words` with the endings of a language taken off by Snowball's rules; as it is for an empty language.

    Words of other scripts stay whole. Raises SettingError for a language that Snowball has no rules for,
    MissingPackageError without PyStemmer.
    """
    if not language:
        return words
    try:
        import Stemmer
    except ImportError as error:
        raise MissingPackageError("PyStemmer", "search", f"stemming={language!r}") from error
    try:
        rules = Stemmer.Stemmer(language)
    except KeyError as error:
        known = ", ".join(Stemmer.algorithms())
        raise SettingError(f"stemming={language!r}: Snowball has rules for {known}; '' stems nothing") from error
    return lambda text: rules.stemWords(words(text))
