"""Summaries made of the text's own sentences: those that most of the others are like. Nothing is written anew.

LexRank (Erkan and Radev, JAIR 22, 2004): sentences are the nodes of a graph, weighted by how alike two are, and a
sentence counts as much as those that are like it (PageRank). How alike is told by words (cosines of tf-idf, as in the
paper), or by the vectors of an embedder. A long text is ranked in parts, so that memory stays bounded: each part keeps
its share. Of a short text of which one sentence is wanted it is the first: on package descriptions, manual pages and
docstrings that is nearer to what people wrote as a summary than any ranking that was tried (LOG.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.apps.sentences import WIDE_ENDS, Sentence, some_sentences
from chidu.apps.vectors import embed_all
from chidu.errors import SettingError
from chidu.index import words

if TYPE_CHECKING:
    from chidu.inference.embedding import Embedder

__all__ = ["Kept", "Summary", "in_sections", "keep", "summarize", "wanted"]

Array = np.ndarray[Any, np.dtype[Any]]
Progress = Callable[[float, str], None]

_PART = 400
"""Sentences that are ranked together: some twenty pages."""
_SHORT = 60
"""Sentences of a text up to which one of them, by words, is the first."""
_BATCH = 8
_DAMPING = 0.85
"""Share of a sentence's weight that comes from those like it; the rest all have alike (Brin and Page, 1998)."""
_SAME = 0.95
"""Cosine above which two sentences say the same: the lower of them is left out."""


@dataclass(frozen=True)
class Kept:
    """A sentence of the summary."""

    sentence: Sentence
    score: float
    """Its rank's weight in its part, where the mean is 1."""


@dataclass(frozen=True)
class Summary:
    """What was kept of a text."""

    kept: tuple[Kept, ...]
    """In the order of the text."""
    sentences: int
    """That the text has."""

    @property
    def text(self) -> str:
        """The summary as Markdown: the headings above what was kept, and a paragraph for each paragraph."""
        return in_sections([each.sentence for each in self.kept])


def in_sections(kept: Sequence[Sentence]) -> str:
    """Return sentences as Markdown: the headings above them, and a paragraph for each paragraph."""
    blocks: list[str] = []
    headings: tuple[str, ...] = ()
    paragraph = -1
    for one in kept:
        if one.paragraph == paragraph:
            blocks[-1] += ("" if blocks[-1][-1] in WIDE_ENDS else " ") + one.text
        else:
            blocks += [*one.headings[_shared(one.headings, headings) :], one.text]
        headings, paragraph = one.headings, one.paragraph
    return "\n\n".join(blocks)


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many headings two places have in common, from the highest on."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (new, old) in enumerate(pairs) if new != old), min(len(one), len(other)))


def summarize(
    text: str,
    count: int | None = None,
    percent: float | None = None,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Keep the sentences that say most of a text: so many, or so many in a hundred; 5 where neither is named.

    Without an embedder sentences are alike by their words, and one sentence of a text of up to 60 is the first. Raises
    TextError where the text has no sentence, SettingError where both are named or one is out of range.
    """
    how_many = wanted(count, percent)
    found = some_sentences(text)
    total = how_many(len(found))
    if total == 1 and embedder is None and len(found) <= _SHORT:
        first = Kept(found[0], float(_ranked(_alike_by_words(found))[0]))
        _within(progress, 0, len(found))(len(found))
        return Summary((first,), len(found))
    return Summary(tuple(keep(found, total, embedder, progress)), len(found))


def keep(
    found: Sequence[Sentence], total: int, embedder: Embedder | None = None, progress: Progress | None = None
) -> list[Kept]:
    """Keep so many sentences, those that say most, in their order; all where there are no more."""
    total = min(len(found), total)
    kept: list[Kept] = []
    for start in range(0, len(found), _PART):
        part = found[start : start + _PART]
        # So many that the shares of all parts up to here add up to theirs of the whole.
        share = round(total * (start + len(part)) / len(found)) - round(total * start / len(found))
        tell = _within(progress, start, len(found))
        alike = _alike_by_words(part) if embedder is None else _alike_by_vectors(part, embedder, tell)
        kept += _choose(part, alike, share)
        tell(len(part))
    return kept


def wanted(count: int | None, percent: float | None) -> Callable[[int], int]:
    """Return how many sentences to keep of so many. Raises SettingError where both are named, or one out of range."""
    if count is not None and percent is not None:
        raise SettingError("sentences and percent are both named: name one")
    if percent is not None:
        if not 0 < percent <= 100:
            raise SettingError(f"percent is {percent}: above 0 and at most 100 is needed")
        return lambda found: max(1, round(found * percent / 100))
    if count is not None and count < 1:
        raise SettingError(f"sentences is {count}: 1 or more is needed")
    return lambda _: count or 5


def _within(progress: Progress | None, start: int, total: int) -> Callable[[int], None]:
    def tell(done: int) -> None:
        if progress is not None:
            progress((start + done) / total, f"{start + done:,} of {total:,} sentences")

    return tell


def _alike_by_words(part: Sequence[Sentence]) -> Array:
    """Return the cosines of the sentences' words, each counted by its rarity, [sentences, sentences]."""
    said = [words(one.text) for one in part]
    numbers = {word: number for number, word in enumerate(sorted({word for one in said for word in one}))}
    counts = np.zeros((len(part), len(numbers)), np.float32)
    for row, one in zip(counts, said, strict=True):
        np.add.at(row, [numbers[word] for word in one], 1)
    rarity = np.log((1 + len(part)) / (1 + (counts > 0).sum(0))) + 1
    rows = counts * rarity
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return np.asarray(rows @ rows.T)


def _alike_by_vectors(part: Sequence[Sentence], embedder: Embedder, tell: Callable[[int], None]) -> Array:
    rows: list[Array] = []
    for start in range(0, len(part), _BATCH):
        tell(start)
        rows.append(embed_all(embedder, [one.text for one in part[start : start + _BATCH]]))
    matrix = np.concatenate(rows)
    return np.asarray(matrix @ matrix.T)


def _choose(part: Sequence[Sentence], alike: Array, share: int) -> list[Kept]:
    """Take the sentences that rank highest, none that says what a higher one did, in the order of the text."""
    scores = _ranked(alike)
    order = np.argsort(-scores, kind="stable").tolist()
    taken: list[int] = []
    for one in order:
        if len(taken) < share and all(alike[one, other] < _SAME for other in taken):
            taken.append(one)
    return [Kept(part[one], float(scores[one])) for one in sorted(taken)]


def _ranked(alike: Array) -> Array:
    """Return the weights that the sentences have for good, their mean 1.

    Cosines are stretched to 0..1 first: an embedder's may all lie between 0.7 and 1, and tell nothing apart.
    """
    count = len(alike)
    low = float(alike.min())
    links = np.clip((alike - low) / (1 - low), 0, 1) if low < 1 - 1e-6 else np.ones_like(alike)
    # A sentence that is like none, itself included (it has no words that are counted), is as like to all.
    links[links.sum(1) == 0] = 1
    links = links / links.sum(1, keepdims=True)
    scores = np.full(count, 1.0)
    for _ in range(200):
        after = 1 - _DAMPING + _DAMPING * (scores @ links)
        if np.abs(after - scores).max() < 1e-9:
            break
        scores = after
    return scores
