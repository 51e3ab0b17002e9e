"""Texts that are given and not kept: their passages, found by words and by vectors as those of an index are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chidu.corpus import normalise
from chidu.errors import InputError, TextError
from chidu.index.glosses import Gloss, weigh, weigh_glosses
from chidu.index.markup import html_lines
from chidu.index.passage import LONGEST, Line, Passage, cut_lines
from chidu.index.postings import Counts, make_postings
from chidu.index.ranking import best
from chidu.index.reading import kind_of, marked
from chidu.index.searching import DEPTH, Found, Hit, Places, rank
from chidu.index.words import words

__all__ = ["Document", "GivenTexts", "distinct"]

Array = np.ndarray[Any, np.dtype[Any]]

_PIECE = 4_096
"""Characters of a line that are one piece of it."""


@dataclass(frozen=True)
class Document:
    """A text with a name, by whose ending it is read: `.md`, `.py`, `.html`; any other is plain text."""

    name: str
    text: str


class GivenTexts:
    """The passages of some texts, in memory, the words of each counted."""

    def __init__(self, texts: Sequence[Document], longest: int = LONGEST) -> None:
        """Cut texts into passages of at most so many characters; of one name the second is called `a (2).md`.

        Raises TextError where there are none.
        """
        self.passages = [(text.name, one) for text in distinct(texts) for one in _passages(text, longest)]
        if not self.passages:
            raise TextError("there is no text in what was given: give documents that have some")
        numbers: dict[str, int] = {}
        counts = []
        for said in self.said:
            often = Counter(words(said))
            held = [numbers.setdefault(word, len(numbers)) for word in often]
            counts.append(Counts(np.array(held, np.int32), np.array(list(often.values()), np.int32)))
        self._numbers = numbers
        self._postings = make_postings(range(len(counts)), counts, len(numbers))

    @property
    def said(self) -> list[str]:
        """What each passage says, its headings before it: what words are counted in, and vectors made of."""
        return [f"{one.heading}\n{one.text}".strip() for _, one in self.passages]

    def search(
        self, question: str, vector: Any = None, matrix: Any = None, most: int = 10, glosses: Sequence[Gloss] = ()
    ) -> Found:
        """Find the passages for a question by its words, and by its vector among those of the passages, `matrix`
        [passages, dimension], where both are given. Glosses stand for the words, and rankings are fused, as in an
        index.

        Raises TextError for an empty question, InputError where there are more or fewer vectors than passages.
        """
        if not question.strip():
            raise TextError("the question is empty: ask something")
        if glosses:
            weighed = weigh_glosses(self._postings, glosses, lambda text: [one for _, one in self._known(text)])
        else:
            weighed = weigh(self._postings, self._known(question))
        by_vector: dict[int, float] = {}
        if vector is not None and matrix is not None:
            by_vector = self._nearest(np.asarray(vector, np.float32), np.asarray(matrix, np.float32))
        ranked = rank(weighed, by_vector)
        hits = tuple(self._hit(one, score, ranked.places(one)) for one, score in ranked.order[:most])
        missing = 0 if by_vector else len(self.passages)
        return Found(hits, len(self.passages), missing, weighed.rarities, weighed.unknown, weighed.most)

    def _known(self, text: str) -> list[tuple[str, int]]:
        """Return the words of a text, each as often as it comes, with its number; -1 where no passage has it."""
        return [(word, self._numbers.get(word, -1)) for word in words(text)]

    def _nearest(self, vector: Array, matrix: Array) -> dict[int, float]:
        if matrix.shape != (len(self.passages), len(vector)):
            raise InputError(f"vectors of shape {matrix.shape} for {len(self.passages)} passages of {len(vector)}")
        lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector)
        cosines = matrix @ vector / np.maximum(lengths, 1e-12)
        return {int(one): float(cosines[one]) for one in best(cosines, DEPTH)}

    def _hit(self, one: int, score: float, places: Places) -> Hit:
        name, passage = self.passages[one]
        return Hit(name, (), passage.first_line, passage.last_line, passage.heading, passage.text, score, *places)


def distinct(texts: Sequence[Document]) -> list[Document]:
    """Return texts, each with a name of its own: what is cited by it could else be any of several."""
    taken, found = {one.name for one in texts}, list[Document]()
    seen = set[str]()
    for one in texts:
        name, number = one.name, 1
        while name in seen or (number > 1 and name in taken):
            number += 1
            stem, dot, ending = one.name.rpartition(".")
            name = f"{stem} ({number}){dot}{ending}" if stem else f"{one.name} ({number})"
        seen.add(name)
        found.append(Document(name, one.text))
    return found


def _passages(text: Document, longest: int) -> Iterator[Passage]:
    kind = kind_of(text.name)
    lines = html_lines(text.text) if kind == "html" else marked(kind, _lines(text.text))
    return cut_lines(lines, longest, is_code=kind == "code")


def _lines(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), 1):
        for start in range(0, max(1, len(line)), _PIECE):
            piece = line[start : start + _PIECE]
            is_last = start + _PIECE >= len(line)
            # What `normalise` takes off the end of a text is between words where a line goes on.
            end = "" if is_last else piece[len(piece.rstrip(" \t")) :]
            yield Line(number, normalise(piece.rstrip(" \t\r")) + end, goes_on=start > 0)
