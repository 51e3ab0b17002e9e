"""One shard of a corpus: its text, its suffix array and its documents, mapped into memory."""

from __future__ import annotations

import json
import mmap
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Place", "Shard"]

_COUNTED = 10_000
"""Places of one span, in each shard, among which the first are looked for."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Place:
    """Where a span stands."""

    id: str
    """The document's id: the sha256 of its text."""
    source: str
    licence: str
    where: str
    """``file:line``, where the source tells."""
    start: int
    """Byte of the document's text (UTF-8) at which it begins."""


class Shard:
    """One shard, mapped into memory."""

    def __init__(self, folder: Path, name: str) -> None:
        found = np.load(folder / f"{name}.starts")
        self.starts: Array = np.ascontiguousarray(found[:, 0])
        """Where in the text each document begins."""
        self._lines = found[:, 1]
        self._heads: list[int] = np.load(folder / f"{name}.heads").tolist()
        self._text, self._documents = (_mapped(folder / f"{name}{kind}") for kind in (".text", ".documents"))
        self._suffixes = memoryview(_mapped(folder / f"{name}.suffixes")).cast("i")
        if len(self._suffixes) != len(self._text):
            raise ValueError(f"{name}: {len(self._text)} bytes of text, {len(self._suffixes)} suffixes")
        self.text: Array = np.frombuffer(self._text, np.uint8)
        """The text's bytes; after each document stands 255."""

    def longest(self, text: bytes, start: int, stop: int) -> int:
        """Return where the longest match of ``text[start:]`` ends, or ``start`` where it does not reach ``stop``."""
        first = self._first(text[start:stop])
        if first < 0:
            return start
        wanted = text[start:]
        high = self._heads[(wanted[0] << 8 | wanted[1]) + 1]
        place = bisect_left(self._suffixes, wanted, first, high, key=lambda one: self._text[one : one + len(wanted)])
        # The nearest in the order of all suffixes stand beside the place where it would be.
        near = (self._suffixes[one] for one in (place - 1, place) if 0 <= one < len(self._suffixes))
        return start + max(_common(self._text[one : one + len(wanted)], wanted) for one in near)

    def _first(self, wanted: bytes) -> int:
        """Return the first suffix that begins with these two bytes or more, or -1."""
        pair, length = wanted[0] << 8 | wanted[1], len(wanted)
        low, high = self._heads[pair], self._heads[pair + 1]
        place = bisect_left(self._suffixes, wanted, low, high, key=lambda one: self._text[one : one + length])
        if place == high or self._text[self._suffixes[place] : self._suffixes[place] + length] != wanted:
            return -1
        return place

    def among(self, wanted: bytes) -> range:
        """Return which of the suffixes, in their order, begin with these two bytes or more."""
        first = self._first(wanted)
        if first < 0:
            return range(0)
        high, length = self._heads[(wanted[0] << 8 | wanted[1]) + 1], len(wanted)
        last = bisect_right(self._suffixes, wanted, first, high, key=lambda one: self._text[one : one + length])
        return range(first, last)

    def find(self, wanted: bytes, most: int) -> tuple[int, list[Place]]:
        """Return how often it stands here, and the first places, one for each document."""
        among = self.among(wanted)
        found = np.sort(self.places(among[:_COUNTED]))
        numbers, places = np.unique(self.documents_of(found), return_index=True)
        chosen = zip(numbers[:most].tolist(), found[places[:most]].tolist(), strict=True)
        return len(among), [self.place(number, start) for number, start in chosen]

    def places(self, among: range) -> Array:
        """Return where in the text these suffixes begin."""
        return np.asarray(self._suffixes[among.start : among.stop])

    def documents_of(self, places: Array) -> Array:
        """Return the number of the document that each place lies in."""
        return np.searchsorted(self.starts, places, "right") - 1

    def bounds(self, number: int) -> tuple[int, int]:
        """Return where in the text a document begins and ends."""
        end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.text)
        return int(self.starts[number]), int(end) - 1

    def place(self, number: int, start: int) -> Place:
        """Return what is known of a document, and of a place in it."""
        line = int(self._lines[number])
        told = json.loads(self._documents[line : self._documents.find(b"\n", line)])
        return Place(**told, start=start - int(self.starts[number]))


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts have in common at their beginning."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(np.frombuffer(one, np.uint8, length) != np.frombuffer(other, np.uint8, length))
    return int(differ[0]) if len(differ) else length
