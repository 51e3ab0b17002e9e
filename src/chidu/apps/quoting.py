"""The stretch of a passage that answers a question, word for word.

It begins with the sentence that is nearest to the question: by vectors, where there are any, else by the rarity of the
words that it shares with it. What follows in the same paragraph goes along, up to three sentences; behind a colon what
is announced goes along too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.apps.sentences import sentences
from chidu.apps.vectors import embed_all
from chidu.index import words

if TYPE_CHECKING:
    from chidu.inference.embedding import Embedder

__all__ = ["Stretch", "by_vectors", "by_words", "quote", "stretches"]

Array = np.ndarray[Any, np.dtype[Any]]

_MOST_SENTENCES = 3
_MOST_CHARACTERS = 400
_COLONS = (":", "：")


@dataclass(frozen=True)
class Stretch:
    """A sentence of a passage and where it stands in its text, in characters from 0."""

    start: int
    end: int
    said: str
    """The sentence on one line."""
    paragraph: int


def stretches(text: str) -> list[Stretch]:
    """Return the sentences of a text as stretches of it; the whole text where it has none (code, a table)."""
    found: list[Stretch] = []
    position = 0
    for one in sentences(text):
        match = _broken(one.text).search(text, position)
        # The sentences stand in the text in their order, apart from blanks and line breaks within.
        assert match is not None, one
        position = match.end()
        found.append(Stretch(match.start(), match.end(), one.text, one.paragraph))
    return found or [Stretch(0, len(text), " ".join(text.split()), 0)]


def _broken(sentence: str) -> re.Pattern[str]:
    """Return what finds a sentence wherever its lines end."""
    return re.compile(r"\s*".join(re.escape(one) for one in sentence if not one.isspace()))


def by_words(said: list[Stretch], rarities: Mapping[str, float]) -> Array:
    """Return for each sentence which share of the question's words it has, each counted by its rarity, 0 to 1."""
    total = sum(rarities.values()) or 1.0
    return np.array([sum(rarities.get(word, 0.0) for word in set(words(one.said))) / total for one in said])


def by_vectors(said: list[Stretch], vector: Array, embedder: Embedder) -> Array:
    """Return the cosine of each sentence's vector and the question's, -1 to 1."""
    rows = embed_all(embedder, [one.said for one in said])
    return np.asarray(rows @ (vector / np.linalg.norm(vector)))


def quote(text: str, said: list[Stretch], scores: Array) -> tuple[int, int]:
    """Return where the stretch that answers begins and ends in the text of a passage."""
    first = int(np.argmax(scores))
    last = first
    while (
        last + 1 < len(said)
        and last + 1 < first + _MOST_SENTENCES
        and said[last + 1].end - said[first].start <= _MOST_CHARACTERS
        and (said[last + 1].paragraph == said[first].paragraph or text[: said[last].end].endswith(_COLONS))
    ):
        last += 1
    return said[first].start, said[last].end
