"""The passages of a corpus that are nearest to a text by their words, found through its suffix arrays.

BM25 of the corpus's documents for the text's rarest words, counted where they stand: nothing is made beside the suffix
arrays. Of the best documents that part is told which holds most of the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from chidu.index.postings import K1, B
from chidu.index.shard import Array, Place, Shard
from chidu.index.words import RUN

__all__ = ["Near", "nearest"]

RAREST = 16
"""Words of a text that are looked for."""
COMMON = 2_000
"""A word that stands more than once in so many bytes is everywhere, and not looked for."""
FEW = 200
"""In a small corpus a word may stand so often all the same."""
LEAST = 3
"""Bytes of a word that is looked for."""
AROUND = 240
"""Bytes of a passage that is told."""
_IN_WORD = np.zeros(256, bool)
_IN_WORD[[*range(48, 58), *range(65, 91), *range(97, 123), *range(128, 255)]] = True
"""Bytes that go on with a word of letters and digits; 255 stands between documents."""


@dataclass(frozen=True)
class Near:
    """A passage near to a text."""

    text: str
    place: Place
    score: float
    """BM25 of its document, in nats."""
    words: tuple[str, ...]
    """Those of the text's that stand in the passage, the rarest first."""


@dataclass(frozen=True)
class _Word:
    """A word of the text, and where it stands in the corpus."""

    text: str
    shards: Array
    """[n]: the shard of each place."""
    places: Array
    """[n]: the byte of its text."""
    documents: Array
    """[n]: the document, counted over all shards."""


def nearest(shards: Sequence[Shard], text: str, most: int) -> list[Near]:
    """Return so many passages at most, the nearest first, each of another document."""
    lengths = np.concatenate([np.diff(shard.starts, append=len(shard.text)) - 1 for shard in shards])
    words = [word for word in _rarest(shards, text, int(lengths.sum())) if len(word.places)]
    if not words:
        return []
    slow = K1 * (1 - B + B * lengths / lengths.mean())
    scores, idf = np.zeros(len(lengths)), list[float]()
    for word in words:
        documents, often = np.unique(word.documents, return_counts=True)
        idf.append(float(np.log1p((len(lengths) - len(documents) + 0.5) / (len(documents) + 0.5))))
        scores[documents] += idf[-1] * often / (often + slow[documents])
    best = np.argsort(-scores, kind="stable")[:most]
    return [_passage(shards, words, idf, int(one), float(scores[one])) for one in best if scores[one] > 0]


def _rarest(shards: Sequence[Shard], text: str, size: int) -> Iterator[_Word]:
    """Yield the rarest words of a text, the rarest first."""
    counted = []
    for word, is_whole in _words(text).items():
        forms = {form.encode() for form in (word, word.lower(), word.capitalize())}
        among = [[shard.among(form) for form in forms] for shard in shards]
        count = sum(len(one) for each in among for one in each)
        if 0 < count <= max(size / COMMON, FEW):
            counted.append((count, word, is_whole, among))
    before = np.cumsum([0, *(len(shard.starts) for shard in shards)])
    for _, word, is_whole, found in sorted(counted, key=lambda one: one[:2])[:RAREST]:
        length, numbers, places, documents = len(word.encode()), list[Array](), list[Array](), list[Array]()
        for number, (shard, ranges) in enumerate(zip(shards, found, strict=True)):
            here = np.concatenate([shard.places(one) for one in ranges])
            if is_whole:
                # A place 0 looks at the last byte, which is no word's.
                here = here[~_IN_WORD[shard.text[here - 1]] & ~_IN_WORD[shard.text[here + length]]]
            numbers.append(np.full(len(here), number))
            places.append(here)
            documents.append(shard.documents_of(here) + before[number])
        yield _Word(word, *(np.concatenate(one) for one in (numbers, places, documents)))


def _words(text: str) -> dict[str, bool]:
    """Return the words of a text, and whether each must stand alone: in Chinese, pairs of characters need not."""
    found: dict[str, bool] = {}
    for match in RUN.finditer(text):
        run = match.group()
        if not match.group(1):
            found[run] = True
        else:
            found |= {run[place : place + 2]: False for place in range(max(len(run) - 1, 1))}
    return {word: is_whole for word, is_whole in found.items() if len(word.encode()) >= LEAST}


def _passage(
    shards: Sequence[Shard], words: Sequence[_Word], idf: Sequence[float], document: int, score: float
) -> Near:
    """Return the part of a document that holds most of the words, by the sum of their idf."""
    hits = sorted(
        (int(word.places[one]), number, int(word.shards[one]))
        for number, word in enumerate(words)
        for one in np.flatnonzero(word.documents == document)
    )
    best, chosen, first, last = -1.0, set[int](), 0, 0
    for at, (start, _, _) in enumerate(hits):
        within = [hit for hit in hits[at:] if hit[0] < start + AROUND // 2]
        held = {number for _, number, _ in within}
        if (value := sum(idf[number] for number in held)) > best:
            best, chosen, first, last = value, held, start, within[-1][0]
    shard = shards[hits[0][2]]
    number = int(shard.documents_of(np.array([first]))[0])
    begin, end = shard.bounds(number)
    start = max(begin, min((first + last - AROUND) // 2, end - AROUND))
    stop = min(end, start + AROUND)
    text, skipped = _whole(shard.text[start:stop].tobytes(), is_begun=start > begin, goes_on=stop < end)
    return Near(
        text, shard.place(number, start + skipped), score, tuple(words[number].text for number in sorted(chosen))
    )


def _whole(content: bytes, *, is_begun: bool, goes_on: bool) -> tuple[str, int]:
    """Return whole words of a piece of a document, and how many bytes were taken off its beginning."""
    blanks = [place for place, byte in enumerate(content) if byte in b" \n"]
    start = next((place + 1 for place in blanks if place < AROUND // 8), 0) if is_begun else 0
    stop = next((place for place in reversed(blanks) if place > len(content) - AROUND // 8), None) if goes_on else None
    while start < len(content) and content[start] & 0xC0 == 0x80:
        start += 1
    return content[start:stop].decode("utf-8", "ignore").rstrip(), start
