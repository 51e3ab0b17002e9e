"""The sentences of a text with their places, English and Chinese, and the Markdown headings above them.

Where a sentence ends is told by sentencex (Wikimedia's rules). What is no prose is passed over: code between fences,
rows of tables, rules, comments. An item of a list is a paragraph of its own.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from chidu.corpus import is_chinese
from chidu.errors import MissingPackageError, TextError
from chidu.index.markup import markdown_lines
from chidu.index.passage import Line

__all__ = ["WIDE_ENDS", "Sentence", "boundaries", "sentences", "some_sentences"]

_FENCE = re.compile(r"\s{0,3}(```+|~~~+)")
_ITEM = re.compile(r"\s*([-*+•]|\d{1,3}[.)])\s+")
_NO_PROSE = re.compile(r"\s*(\||<!--|[-=*_]{3,}\s*$|\[[^\]]+\]:|!\[[^\]]*\]\([^)]*\)\s*$)")
WIDE_ENDS = "，。；：、！？”’）》】」』"
"""Marks of Chinese behind which no blank follows."""
_WORD = re.compile(r"\w")
_TORN = re.compile(r"\.[^\W一-鿿]")
_WINDOW = 10_000
"""Characters that sentencex is given at once: on Chinese its time grows with their square."""


@dataclass(frozen=True)
class Sentence:
    """A sentence and where it stands."""

    text: str
    """On one line."""
    first_line: int
    last_line: int
    """Counted from 1."""
    headings: tuple[str, ...]
    """The headings above it with their marks, the highest first."""
    paragraph: int
    """Number of its paragraph in the text, from 0."""
    torn: bool = False
    """Whether its full stop touches the next letter: it may end inside a name ("http.FileSystem")."""


def sentences(text: str) -> list[Sentence]:
    """Return the sentences of a text in their order. Raises MissingPackageError without sentencex."""
    return [one for number, paragraph in enumerate(_paragraphs(text)) for one in _cut(number, *paragraph)]


def some_sentences(text: str) -> list[Sentence]:
    """Return the sentences of a text that is to be summarised. Raises TextError where it has none."""
    found = sentences(text)
    if not found:
        raise TextError("the text has no sentence: there is nothing to summarise")
    return found


def _paragraphs(text: str) -> Iterator[tuple[list[Line], tuple[str, ...]]]:
    """Yield the lines of each paragraph of prose, and the headings above it."""
    path: list[Line] = []
    waiting: list[Line] = []
    fence = ""
    for line in markdown_lines(Line(number, one) for number, one in enumerate(text.split("\n"), 1)):
        opening = _FENCE.match(line.text)
        is_prose = not (fence or opening or line.level or not line.text.strip() or _NO_PROSE.match(line.text))
        if waiting and (not is_prose or _ITEM.match(line.text)):
            yield waiting, _titles(path)
            waiting = []
        if opening:
            fence = "" if fence and line.text.strip().startswith(fence) else fence or opening.group(1)
        elif line.level:
            path = [*(above for above in path if above.level < line.level), line]
        elif is_prose:
            waiting.append(line)
    if waiting:
        yield waiting, _titles(path)


def _titles(path: list[Line]) -> tuple[str, ...]:
    return tuple(f"{'#' * one.level} {one.title}" for one in path)


def _cut(paragraph: int, lines: list[Line], headings: tuple[str, ...]) -> Iterator[Sentence]:
    whole, starts = "", []
    for line in lines:
        said = line.text.strip()
        # Chinese has no blank between two lines of a paragraph.
        glue = (
            "" if not whole or (is_chinese(whole[-1]) or is_chinese(said[0])) or whole[-1] in "，。；：、！？" else " "
        )
        whole += glue
        starts.append((len(whole), line.number))
        whole += said
    # The number of an item would else be a sentence of its own: it belongs to the first one.
    item = _ITEM.match(whole)
    begun = item.end() if item else 0
    for start, end in [
        (begun + start if place else 0, begun + end)
        for place, (start, end) in enumerate(boundaries(whole[begun:], "zh" if is_chinese(whole) else "en"))
    ]:
        said = whole[start:end]
        if _WORD.search(said):
            begin, last = start + len(said) - len(said.lstrip()), start + len(said.rstrip()) - 1
            torn = _TORN.match(whole, end - 1) is not None
            yield Sentence(said.strip(), _line(starts, begin), _line(starts, last), headings, paragraph, torn)


def boundaries(text: str, language: str) -> list[tuple[int, int]]:
    """Return where the sentences of a text on one line begin and end. Raises MissingPackageError without sentencex."""
    try:
        from sentencex import get_sentence_boundaries
    except ImportError as error:
        raise MissingPackageError("sentencex", "search", "telling sentences apart") from error
    found: list[tuple[int, int]] = []
    begin, width = 0, _WINDOW
    while begin < len(text):
        told = get_sentence_boundaries(language, text[begin : begin + width])
        ends = [(begin + each["start_index"], begin + each["end_index"]) for each in told]
        if begin + width >= len(text):
            return found + ends
        # The last one may go on behind the window: it is read again, at the head of the next.
        found += ends[:-1]
        begin, width = (ends[-1][0], _WINDOW) if len(ends) > 1 else (begin, 2 * width)
    return found


def _line(starts: list[tuple[int, int]], place: int) -> int:
    return starts[bisect_right(starts, place, key=lambda one: one[0]) - 1][1]
