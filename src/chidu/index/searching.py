"""An index searched: by words, by vectors, and by both in one ranking."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from chidu.corpus import Dropped
from chidu.errors import IndexFolderError, SettingError, TextError
from chidu.index.filling import Embedder, Wanted, check_embedder, fill, wanted
from chidu.index.glosses import Gloss, Weighed, weigh, weigh_glosses
from chidu.index.graph import open_graph
from chidu.index.postings import Postings, open_postings
from chidu.index.ranking import best, fuse
from chidu.index.store import Store
from chidu.index.vectors import Vectors, open_rows, unit_rows
from chidu.index.words import stemmer

__all__ = ["DEPTH", "Found", "Hit", "Index", "Places", "rank"]

DEPTH = 100
"""Passages of each ranking that are fused."""


@dataclass(frozen=True)
class Hit:
    """A passage that was found."""

    file: str
    """Path of the file that holds it, as it was given to the index; of equal files the first by name."""
    also_in: tuple[str, ...]
    """Files of the same content."""
    first_line: int
    last_line: int
    heading: str
    text: str
    score: float
    """What the passages are ordered by: see `chidu.index.ranking.fuse`."""
    words_rank: int | None
    """Place in the ranking by words (BM25), from 1; None where it is not among the first of it."""
    words_score: float | None
    """BM25, in nats."""
    vector_rank: int | None
    """Place in the ranking by vectors, from 1."""
    cosine: float | None
    """Of its vector and the question's, -1 to 1."""


@dataclass(frozen=True)
class Found:
    """What a search found, the best first."""

    hits: tuple[Hit, ...]
    passages: int
    """Passages that were searched."""
    without_vectors: int
    """Those of them that have no vector yet, and could be found by words alone."""
    rarities: Mapping[str, float] = field(hash=False)
    """Of each word of the question its idf, in nats: how much it tells passages apart. Of a question that was asked by
    glosses, of their words."""
    unknown: frozenset[str]
    """Words of the question that no passage has."""
    most: float
    """Sum of the words' idfs, in nats: what `Hit.words_score` is weighed against."""


class Places(NamedTuple):
    """Where a passage stands in both rankings, and why."""

    words_rank: int | None
    words_score: float | None
    vector_rank: int | None
    cosine: float | None


@dataclass(frozen=True)
class Ranked:
    """Passages by their numbers, in one order out of two rankings."""

    order: list[tuple[int, float]]
    """With their scores, the highest first."""
    by_words: dict[int, float]
    by_vector: dict[int, float]

    def places(self, one: int) -> Places:
        """Return where a passage stands in both."""
        ranks = [{key: at for at, key in enumerate(each, 1)}.get(one) for each in (self.by_words, self.by_vector)]
        return Places(ranks[0], self.by_words.get(one), ranks[1], self.by_vector.get(one))


def rank(weighed: Weighed, by_vector: dict[int, float], depth: int = DEPTH) -> Ranked:
    """Rank passages by what a question's words give them, and by the cosines of the nearest ones."""
    scores = weighed.scores
    by_words = {int(one): float(scores[one]) for one in best(scores, depth) if scores[one] > 0}
    return Ranked(fuse(by_words, by_vector, weighed.most), by_words, by_vector)


@dataclass(frozen=True)
class _State:
    """What readers see until the next commit."""

    name: tuple[int, str, int, str]
    postings: Postings
    vectors: Vectors


class Index:
    """An index that is searched, and takes vectors. Each search sees what was committed before it."""

    def __init__(self, folder: str | Path, embedder: Embedder | None = None) -> None:
        """Open an index, for vectors of ``embedder`` or for words alone.

        Raises IndexFolderError where there is none, it was never finished, it is of another format, or its vectors are
        of another embedder.
        """
        self.embedder = embedder
        self._store = Store(Path(folder))
        self._lock = threading.Lock()
        self._state: _State | None = None
        try:
            with self._store.transaction("DEFERRED"):
                check_embedder(self._store, embedder)
                self._words = stemmer(str(self._store.fact("stemming", "")))
                self._current()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._store.close()

    def search(
        self, question: str, vector: Any = None, most: int = 10, depth: int = DEPTH, glosses: Sequence[Gloss] = ()
    ) -> Found:
        """Find the passages for a question by its words, and by its vector where one is given.

        Where there are ``glosses``, words are looked for as these say, and not as they stand in the question. The
        first ``depth`` of each ranking are fused by their scores (`chidu.index.ranking.fuse`). Passages without a
        vector take part by words alone. Equal scores stand in the order of the text, by names of files. Raises
        TextError for an empty question, InputError for a vector of other dimensions, or with NaN in it.
        """
        if not question.strip():
            raise TextError("the question is empty: ask something")
        if most < 1 or depth < most:
            raise SettingError(f"most is {most} and depth {depth}: 1 ≤ most ≤ depth is needed")
        with self._lock, self._store.transaction("DEFERRED"):
            check_embedder(self._store, self.embedder)
            state = self._current()
            weighed = self._weighed(state, question, glosses)
            ranked = rank(weighed, self._by_vector(state, vector, depth), depth)
            hits = tuple(self._hit(state, one, score, ranked) for one, score in ranked.order[:most])
            passages, missing = len(state.postings), state.vectors.missing
            return Found(hits, passages, missing, weighed.rarities, weighed.unknown, weighed.most)

    def wanted(self) -> Iterator[Wanted]:
        """Yield the passages without a vector, each text once, in the order of the files."""
        return wanted(self._store)

    def fill(self, keys: Sequence[bytes], matrix: Any) -> int:
        """Keep the vectors of wanted passages, one row for each key; return how many were new.

        The next search uses them, and they outlive this process. Raises InputError where the rows are of other
        dimensions, NaN or zero; IndexFolderError where another process writes, or the index was opened for words alone.
        """
        if self.embedder is None:
            raise IndexFolderError(f"{self._store.folder} was opened without an embedder: name it to give vectors")
        with self._lock:
            return fill(self._store, self.embedder, keys, matrix)

    def left_out(self) -> Iterator[Dropped]:
        """Yield every file, folder and line of a .jsonl file that is not in the index, with its reason."""
        with self._lock, self._store.transaction("DEFERRED") as database:
            files = database.execute("SELECT name, reason, bytes, detail FROM left_out ORDER BY rowid").fetchall()
            lines = database.execute(
                "SELECT name, line, reason, lines_left_out.bytes, detail FROM lines_left_out"
                " JOIN files USING (content) ORDER BY name, line"
            ).fetchall()
        for name, reason, size, detail in files:
            yield Dropped(name, reason, name, bytes=size, detail=detail)
        for name, line, reason, size, detail in lines:
            yield Dropped(name, reason, f"{name}:{line}", bytes=size, detail=detail)

    def _numbers(self, question: str) -> list[tuple[str, int]]:
        """Return the words of a question, each as often as it comes, with its number; -1 where no passage has it."""
        found = []
        for word in self._words(question):
            row = self._store.database.execute("SELECT id FROM words WHERE word = ?", (word,)).fetchone()
            found.append((word, -1 if row is None else int(row[0])))
        return found

    def _weighed(self, state: _State, question: str, glosses: Sequence[Gloss]) -> Weighed:
        if not glosses:
            return weigh(state.postings, self._numbers(question))
        return weigh_glosses(state.postings, glosses, lambda text: [one for _, one in self._numbers(text)])

    def _by_vector(self, state: _State, vector: Any, depth: int) -> dict[int, float]:
        if vector is None:
            return {}
        if self.embedder is None:
            raise IndexFolderError(f"{self._store.folder} was opened without an embedder: name it to search by vectors")
        (unit,) = unit_rows(vector, self.embedder.dimensions, "the question's vector")
        passages, cosines = state.vectors.nearest(unit, depth)
        return {int(one): float(cosine) for one, cosine in zip(passages, cosines, strict=True)}

    def _hit(self, state: _State, one: int, score: float, ranked: Ranked) -> Hit:
        database, number = self._store.database, int(state.postings.ids[one])
        content, first, last, heading, text = database.execute(
            "SELECT content, first_line, last_line, heading, text FROM passages WHERE id = ?", (number,)
        ).fetchone()
        files = [
            name for (name,) in database.execute("SELECT name FROM files WHERE content = ? ORDER BY name", (content,))
        ]
        return Hit(files[0], tuple(files[1:]), first, last, heading, text, score, *ranked.places(one))

    def _current(self) -> _State:
        """Return what was committed last, within a transaction that reads."""
        store = self._store
        files = (str(store.fact("vectors", "")), store.number("rows"), str(store.fact("graph", "")))
        name = (store.number("generation"), *files)
        if not name[0]:
            raise IndexFolderError(
                f"{store.folder} was never finished: run the same update again, it goes on from there"
            )
        if self._state is None or self._state.name != name:
            self._state = self._load(name)
        return self._state

    def _load(self, name: tuple[int, str, int, str]) -> _State:
        generation, file, rows, graph = name
        before = self._state
        try:
            if before is not None and before.name[0] == generation:
                postings = before.postings
            else:
                postings = open_postings(self._store.folder / f"postings-{generation}")
        except (OSError, ValueError) as error:
            raise IndexFolderError(
                f"{self._store.folder}: its postings can't be read ({error}): delete the folder and make it again"
            ) from error
        slots = np.full(len(postings), -1, np.int64)
        if rows:
            found = self._store.database.execute("SELECT id, slot FROM passages JOIN vectors USING (digest)")
            pairs = np.array(found.fetchall(), np.int64).reshape(-1, 2)
            _, ours, theirs = np.intersect1d(postings.ids, pairs[:, 0], assume_unique=True, return_indices=True)
            slots[ours] = pairs[theirs, 1]
        matrix = open_rows(self._store.folder / file, rows, self._store.number("dimensions"))
        return _State(name, postings, Vectors(matrix, slots, open_graph(self._store) if graph else None))
