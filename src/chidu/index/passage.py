"""Passages: a file's lines cut where the text itself pauses, each with its place and its heading."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["LONGEST", "Line", "Passage", "cut_lines"]

LONGEST = 1_000
"""Characters of a passage at most, a wide one (Chinese) counted as two: some 250 English or 350 Chinese tokens, which
the embedders with a window of 512 tokens read whole."""
HEADING_MARK = " › "

# Where to cut, the best place first: each pattern matches the end of what stays together.
_PROSE = tuple(
    map(
        re.compile,
        (
            "\n\n+",
            # Chinese sentences, and Western ones before a blank and anything but a small letter ("e.g. so" is none).
            r"[。！？…][”’」』）》】\"']*|[.!?][\"'”’)\]]*(?=\s+[^\sa-z])",
            "\n",
            r"[；，、：]|[;,:](?=\s)",
            r"\s",
        ),
    )
)
_CODE = tuple(map(re.compile, ("\n\n+", "\n", r"\s")))
_WIDE = re.compile(
    "[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Line:
    """A line of a file, or part of a very long one."""

    number: int
    """Counted from 1."""
    text: str
    level: int = 0
    """1 for a heading of the highest kind, 2 below it, and so on; 0 for text."""
    title: str = ""
    """What the heading says, without its marks."""
    goes_on: bool = False
    """True for a further part of the line before."""


@dataclass(frozen=True)
class Passage:
    """A piece of a file that can be read alone."""

    text: str
    first_line: int
    last_line: int
    heading: str
    """The headings above it, the highest first, with `` › `` between them."""


def cut_lines(lines: Iterable[Line], longest: int = LONGEST, *, is_code: bool = False) -> Iterator[Passage]:
    """Cut lines into passages of at most ``longest`` characters, wide ones counted as two.

    A heading begins a passage, one without text of its own goes along with the next. What is longer is cut in the
    second half of the window at the best seam there: between paragraphs, sentences (code: lines), lines, clauses,
    words; where there is none, the cut goes through. Holds one window and one line at a time.
    """
    seams = _CODE if is_code else _PROSE
    path: list[Line] = []
    window = _Window(longest, seams)
    for line in lines:
        if line.level:
            if window.has_text:
                yield from window.empty(path)
            path = [*(above for above in path if above.level < line.level), line]
        window.add(line)
        yield from window.overflow(path)
    yield from window.empty(path)


class _Window:
    """The text that waits to be cut, and where each of its lines begins."""

    def __init__(self, longest: int, seams: tuple[re.Pattern[str], ...]) -> None:
        self._longest = longest
        self._seams = seams
        self._text = ""
        self._starts: list[tuple[int, int]] = []
        self.has_text = False
        """True where something stands here beside headings."""

    def add(self, line: Line) -> None:
        if not self._text and not line.text.strip():
            return
        if self._text and not line.goes_on:
            self._text += "\n"
        self._starts.append((len(self._text), line.number))
        self._text += line.text
        self.has_text = self.has_text or (not line.level and bool(line.text.strip()))

    def overflow(self, path: list[Line]) -> Iterator[Passage]:
        """Cut off what is more than a passage holds."""
        while len(self._text) > self._longest // 2 and len(self._text) > (limit := self._limit()):
            yield from self._take(self._seam(limit), path)

    def empty(self, path: list[Line]) -> Iterator[Passage]:
        """Cut off all that is left."""
        yield from self._take(len(self._text), path)
        self._text, self._starts, self.has_text = "", [], False

    def _limit(self) -> int:
        """Characters that fill a passage, by the share of wide ones in the window."""
        start = self._text[: self._longest]
        wide = 0 if start.isascii() else len(_WIDE.findall(start))
        return max(1, self._longest * len(start) // (len(start) + wide))

    def _seam(self, limit: int) -> int:
        for seam in self._seams:
            # One more than fits, so that what follows a full stop is seen.
            ends = [match.end() for match in seam.finditer(self._text, limit // 2, limit + 2) if match.end() <= limit]
            if ends:
                return ends[-1]
        return limit

    def _take(self, end: int, path: list[Line]) -> Iterator[Passage]:
        piece = self._text[:end]
        text = piece.strip("\n").rstrip()
        if text.strip():
            begin = piece.index(text)
            yield Passage(
                text, self._line(begin), self._line(begin + len(text) - 1), HEADING_MARK.join(one.title for one in path)
            )
        rest = self._text[end:]
        if not piece.endswith("\n"):
            rest = rest.lstrip(" ")
        rest = rest.lstrip("\n")
        gone = len(self._text) - len(rest)
        number = self._line(gone)
        self._starts = [(0, number), *((start - gone, line) for start, line in self._starts if start > gone)]
        self._text = rest

    def _line(self, place: int) -> int:
        return max((number for start, number in self._starts if start <= place), default=0)
