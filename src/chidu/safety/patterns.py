"""What rules of patterns share: how a text is made plain for them, and how far one of them reaches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import regex

from chidu.safety.finding import Finding

__all__ = ["AHEAD", "REACH", "Phrase", "PhraseJudge", "plain", "version_of"]

REACH = 56
"""Characters that a short rule reads from its start on, at the most; a test measures every pattern."""

# One character for one, so that positions hold: full-width forms, and the blanks and dashes of typesetting.
_PLAIN = {code + 0xFEE0: chr(code) for code in range(0x21, 0x7F)}
_PLAIN |= dict.fromkeys((0xA0, 0x2002, 0x2003, 0x2009, 0x202F, 0x3000), " ")
_PLAIN |= dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2212), "-")
_PLAIN |= {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}


def plain(text: str) -> str:
    """Return a text of the same length in which ASCII stands for its look-alikes of typesetting."""
    return text if text.isascii() else text.translate(_PLAIN)


def lowered(text: str) -> str:
    """Return a text of the same length in lower case."""
    low = text.lower()
    # A capital I with a dot becomes two characters.
    return low if len(low) == len(text) else "".join(one if len(one.lower()) > 1 else one.lower() for one in text)


@dataclass(frozen=True)
class Phrase:
    """Some words in a row, in lower case, of which every match holds one of `needs`."""

    name: str
    category: str
    needs: tuple[str, ...]
    """Plain words, of which one stands in every match: to look for these is cheap."""
    pattern: str
    """A regular expression that matches at most `REACH` characters."""


# Who tells of a crime is not about to commit one.
_REPORTED = re.compile(
    r"\b(?:arrested|convicted|charged|sentenced|accused|jailed|indicted|investigat\w{2,4}|prosecut\w{2,4})\b[^.!?\n]*\Z"
    r"|(?:被捕|被判|被控|获刑|涉嫌|警方|法院|判处|报道)[^。！？\n]*\Z",
    re.ASCII,
)
_REPORT_REACH = 96


class PhraseJudge:
    """Finds phrases. What a report of a crime tells is passed over where ``reports`` are exempt."""

    def __init__(self, phrases: Iterable[Phrase], *, reports: bool = False) -> None:
        self.phrases = tuple(phrases)
        self._reports = reports
        # A word is not begun in the middle; a look-ahead, so that no match hides one that starts inside of it.
        self._found = [re.compile(rf"(?<![a-z])(?=({phrase.pattern}))", re.ASCII) for phrase in self.phrases]
        self._open = _opening(phrase.pattern for phrase in self.phrases)

    def judge(self, text: str) -> list[Finding]:
        """Return the findings in the order in which they start."""
        low = lowered(plain(text))
        return sorted(self._findings(low))

    def _findings(self, low: str) -> Iterator[Finding]:
        for phrase, pattern in zip(self.phrases, self._found, strict=True):
            if not any(word in low for word in phrase.needs):
                continue
            for match in pattern.finditer(low):
                start, end = match.span(1)
                if not (self._reports and _REPORTED.search(low[max(0, start - _REPORT_REACH) : start])):
                    yield Finding(start, end, phrase.category, phrase.name)

    def open_from(self, text: str, since: int = 0) -> int:
        """Return where a phrase has begun that could still go on; the text's end where none has."""
        low = lowered(plain(text)).replace(_NEVER, " ")
        match = self._open.search(low, max(since, len(low) - REACH), partial=True)
        return match.start() if match else len(text)


_NEVER = "\0"
_ZERO_WIDTH = re.compile(r"\\b|\(\?<?[!=]")
AHEAD = 12
"""Characters behind a phrase that decide whether it is one, at the most; a test measures every pattern."""


def _opening(patterns: Iterable[str]) -> regex.Pattern[str]:
    """Return what a text that ends in the middle of one of these matches in part.

    What only looks at the text around is left out, so more is matched than by the patterns themselves, never less; and
    a last sign that no text has makes every match one in part.
    """
    shapes = "|".join(_without_looks(pattern) for pattern in patterns)
    return regex.compile(rf"(?<![a-z])(?:{shapes})(?s:.{{0,{AHEAD}}}){_NEVER}", regex.ASCII)


def _without_looks(pattern: str) -> str:
    """Return a pattern without what has no width: ends of words, looks ahead and looks behind."""
    kept, place = [], 0
    while match := _ZERO_WIDTH.search(pattern, place):
        kept.append(pattern[place : match.start()])
        place = match.end()
        depth = int(match[0] != r"\b")
        while depth:
            depth += {"(": 1, ")": -1}.get(pattern[place], 0)
            place += 1
    return "".join([*kept, pattern[place:]])


def version_of(parts: Iterable[str]) -> str:
    """Return a name for rules that changes with any of them."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


Find = Callable[[str, int], int]
"""Where what starts here ends; 0 where nothing does."""
