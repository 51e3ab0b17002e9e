"""Vectors: rows of a file that is mapped into memory, and the passages nearest to one of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chidu.errors import IndexFolderError, InputError
from chidu.index.ranking import best

__all__ = ["RECALL", "Graph", "Vectors", "append_rows", "open_rows", "unit_rows"]

Array = np.ndarray[Any, np.dtype[Any]]

RECALL = 0.98
"""Share of the ten nearest, by exact cosines, that a graph must find to be used."""
_TINY = 1e-12


def unit_rows(matrix: Any, dimensions: int, what: str) -> Array:
    """Return rows of length 1 as float32, [rows, dimensions].

    Raises InputError where the shape is another, a value is no finite number, or a row is all zeros: it has no
    direction.
    """
    rows = np.atleast_2d(np.asarray(matrix, np.float32))
    if rows.ndim != 2 or rows.shape[1] != dimensions:
        raise InputError(f"{what}: shape {rows.shape}, but this index holds vectors of {dimensions} dimensions")
    if len(bad := np.flatnonzero(~np.isfinite(rows).all(1))):
        raise InputError(f"{what}: row {bad[0]} holds NaN or infinity ({len(bad)} such rows): mend what made it")
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    if len(bad := np.flatnonzero(lengths < _TINY)):
        raise InputError(f"{what}: row {bad[0]} is all zeros ({len(bad)} such rows): it has no direction")
    return np.asarray(rows / lengths[:, None], np.float32)


def append_rows(path: Path, at: int, rows: Array) -> None:
    """Write rows at place ``at`` of a file of vectors and see them on the disk.

    What a killed process left behind ``at`` is written over: nothing knows of it.
    """
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(at * rows.shape[1] * 4)
        file.seek(0, os.SEEK_END)
        file.write(np.ascontiguousarray(rows, "<f4").tobytes())
        file.flush()
        os.fsync(file.fileno())


def open_rows(path: Path, rows: int, dimensions: int) -> Array:
    """Map the first rows of a file of vectors into memory. Raises IndexFolderError where they are not there."""
    if not rows:
        return np.zeros((0, dimensions), np.float32)
    if not path.exists() or path.stat().st_size < rows * dimensions * 4:
        raise IndexFolderError(
            f"{path} is missing or too short: forget the vectors (drop_vectors) and have them made again"
        )
    return np.memmap(path, "<f4", "r", shape=(rows, dimensions))


@dataclass(frozen=True)
class Graph:
    """A graph over the first rows of a file of vectors."""

    rows: int
    """Rows that it knows; later ones are not in it."""
    recall: float
    """Share of the ten nearest that it found when it was made, 0 to 1."""
    index: Any
    """usearch's."""

    @property
    def is_used(self) -> bool:
        """True where it found enough."""
        return self.recall >= RECALL

    def nearest(self, vector: Array, most: int) -> Array:
        """Return about so many rows nearest to a vector."""
        return np.asarray(self.index.search(vector, min(most, self.rows)).keys, np.int64)


class Vectors:
    """The vectors of an index, and which passage each stands for."""

    def __init__(self, rows: Array, slots: Array, graph: Graph | None = None) -> None:
        """``slots`` has for each passage the row of its vector, or -1 where it has none yet."""
        self._rows = rows
        self._graph = graph
        self._slots = slots
        self._have = np.flatnonzero(slots >= 0)

    @property
    def missing(self) -> int:
        """Passages without a vector."""
        return len(self._slots) - len(self._have)

    def nearest(self, vector: Array, most: int) -> tuple[Array, Array]:
        """Return the passages nearest to a vector of length 1, and their cosines.

        Without a graph it is one product over all rows. With one, over what it proposes and the rows it does not know.
        """
        if not len(self._have):
            return self._have, np.zeros(0, np.float32)
        passages = self._have if self._graph is None else self._proposed(self._graph, vector, most)
        if self._graph is None:
            cosines = (self._rows @ vector)[self._slots[passages]]
        else:
            cosines = self._rows[self._slots[passages]] @ vector
        places = best(cosines, most)
        return passages[places], cosines[places]

    def _proposed(self, graph: Graph, vector: Array, most: int) -> Array:
        """Return the passages, rising, of rows that the graph proposes and of those that came after it."""
        # Rows that no passage uses any more are proposed too: as many more are asked for, in the mean.
        asked = most * len(self._rows) // len(self._have) + most
        is_asked = np.zeros(len(self._rows), bool)
        is_asked[graph.nearest(vector, asked)] = True
        is_asked[graph.rows :] = True
        return self._have[is_asked[self._slots[self._have]]]
