"""The search by words: BM25 over arrays, which an index maps into memory."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["K1", "B", "Counts", "Postings", "make_postings", "open_postings", "write_postings"]

Array = np.ndarray[Any, np.dtype[Any]]

K1 = 1.2
"""How soon further occurrences of a word count for less."""
B = 0.75
"""How much a long passage's words count for less: 0 not at all, 1 in proportion."""


class Counts(NamedTuple):
    """The words of one passage."""

    words: Array
    """Number of each word that stands in it."""
    counts: Array
    """How often it does."""


@dataclass(frozen=True)
class Postings:
    """For each word the passages that hold it, in their order, with what it adds to their scores."""

    starts: Array
    """Where each word's passages begin in the two arrays below, and one more: where those of the last end."""
    passages: Array
    weights: Array
    ids: Array
    """The id of each passage."""

    def __len__(self) -> int:
        return len(self.ids)

    def scores(self, words: Iterable[int]) -> Array:
        """Return the BM25 score of every passage for these words, repeated ones counted as often as they come."""
        scores = np.zeros(len(self.ids), np.float32)
        for word in words:
            begin, end = self._span(word)
            scores[self.passages[begin:end]] += self.weights[begin:end]
        return scores

    def idf(self, word: int) -> float:
        """Return ln(1 + (N - n + ½) / (n + ½)) for n of N passages that hold a word."""
        return float(_idf(len(self), self.held(word)))

    def held(self, word: int) -> int:
        """Return how many passages hold a word; -1 is one that none holds."""
        begin, end = self._span(word)
        return end - begin

    def _span(self, word: int) -> tuple[int, int]:
        """Return where a word's postings are: nowhere for one that came after these files were written."""
        if not 0 <= word < len(self.starts) - 1:
            return 0, 0
        return int(self.starts[word]), int(self.starts[word + 1])


def _idf(passages: int, holding: Any) -> Any:
    return np.log1p((passages - holding + 0.5) / (holding + 0.5))


def make_postings(ids: Sequence[int], counts: Iterable[Counts], words: int) -> Postings:
    """Return the postings of passages, of which ``counts`` yields the words in the order of ``ids``.

    A word adds idf · f / (f + K1 · (1 - B + B · length / mean length)), with f how often it stands in the passage and
    idf = ln(1 + (N - n + ½) / (n + ½)) for n of N passages that hold it: Robertson and Zaragoza (2009), with Lucene's
    idf, which is never negative. ``words`` is one more than the highest number of a word. Needs some 40 bytes of memory
    for each word of each passage.
    """
    kept = list(counts)
    lengths = np.array([one.counts.sum() for one in kept], np.float64)
    held = np.concatenate([one.words for one in kept]) if kept else np.zeros(0, np.int32)
    often = np.concatenate([one.counts for one in kept]) if kept else np.zeros(0, np.int32)
    passages = np.repeat(np.arange(len(kept), dtype=np.int32), [len(one.words) for one in kept])
    del kept
    order = np.argsort(held, kind="stable")
    frequency = np.bincount(held, minlength=words)
    passages = passages[order]
    idf = _idf(len(lengths), frequency)
    slowing = K1 * (1 - B + B * lengths / max(lengths.mean(), math.ulp(1.0))) if len(lengths) else lengths
    f = often[order].astype(np.float64)
    weights = (np.repeat(idf, frequency) * f / (f + slowing[passages])).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(frequency)]).astype(np.int64)
    return Postings(starts, passages, weights, np.asarray(ids, np.int64))


_FILES = ("starts", "passages", "weights", "ids")


def write_postings(folder: Path, postings: Postings) -> None:
    """Write them into a folder, which is made anew, and see them on the disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in _FILES:
        with (folder / f"{name}.npy").open("wb") as file:
            np.save(file, getattr(postings, name))
            file.flush()
            os.fsync(file.fileno())


def open_postings(folder: Path) -> Postings:
    """Map what was written into memory. Raises OSError or ValueError where it can't be read."""
    return Postings(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _FILES))
