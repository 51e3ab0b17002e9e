"""Vectors put into an index, little by little: who embeds gives them, the index keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chidu.errors import IndexFolderError, InputError
from chidu.index.store import Store, hold
from chidu.index.vectors import append_rows, open_rows, unit_rows

__all__ = ["Embedder", "Wanted", "check_embedder", "compact", "drop_vectors", "fill", "wanted"]

_FEW = 1_000
"""Rows of which no file is made again to be rid of the unused."""


class Embedder(NamedTuple):
    """What makes the vectors of an index: vectors of two embedders mean nothing to each other."""

    name: str
    """With its version, where another version gives other vectors."""
    dimensions: int


@dataclass(frozen=True)
class Wanted:
    """A passage that has no vector yet."""

    key: bytes
    """To be given back with its vector. Passages of the same heading and text share it."""
    heading: str
    text: str


def check_embedder(store: Store, embedder: Embedder | None) -> None:
    """Raise IndexFolderError where the vectors in an index are another embedder's."""
    name, dimensions = store.fact("embedder"), store.number("dimensions")
    if embedder is not None and name is not None and embedder != (name, dimensions):
        raise IndexFolderError(
            f"{store.folder} has vectors of {name} ({dimensions} dimensions), not of {embedder.name} "
            f"({embedder.dimensions}): search with {name}, or forget its vectors (drop_vectors) and make them again"
        )


def wanted(store: Store) -> Iterator[Wanted]:
    """Yield the passages that readers see and that have no vector, those of one text once."""
    with store.transaction("DEFERRED") as database:
        ids = database.execute(
            "SELECT MIN(id) FROM passages WHERE content IN (SELECT content FROM files)"
            " AND digest NOT IN (SELECT digest FROM vectors) GROUP BY digest ORDER BY 1"
        ).fetchall()
    for one in ids:
        # It may have gone since: then nobody wants its vector.
        row = store.database.execute("SELECT digest, heading, text FROM passages WHERE id = ?", one).fetchone()
        if row is not None:
            yield Wanted(*row)


def fill(store: Store, embedder: Embedder, keys: Sequence[bytes], matrix: Any) -> int:
    """Keep the vectors of passages, one row for each key; return how many were new.

    Those of passages that are gone, or have a vector, are passed over. The first ones fix the index's embedder. When it
    returns, they are on the disk. Raises InputError where rows are no vectors of this embedder, IndexFolderError where
    the index has vectors of another.
    """
    rows = unit_rows(matrix, embedder.dimensions, "vectors") if len(keys) else np.zeros((0, embedder.dimensions))
    if len(rows) != len(keys):
        raise InputError(f"vectors: {len(rows)} rows for {len(keys)} passages: one row for each is needed")
    with hold(store.folder), store.transaction() as database:
        check_embedder(store, embedder)
        new: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            is_wanted = database.execute(
                "SELECT 1 FROM passages WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM vectors WHERE digest = ?1)",
                (key,),
            ).fetchone()
            if is_wanted:
                new.setdefault(key, place)
        at, name = store.number("rows"), str(store.fact("vectors", "vectors-0.f32"))
        append_rows(store.folder / name, at, rows[list(new.values())])
        database.executemany("INSERT INTO vectors VALUES (?, ?)", ((key, at + row) for row, key in enumerate(new)))
        facts = {"rows": at + len(new), "vectors": name, "embedder": embedder.name, "dimensions": embedder.dimensions}
        for fact, value in facts.items():
            store.set_fact(fact, value)
    return len(new)


def compact(store: Store) -> None:
    """Write the vectors again without the unused rows, where more than half are."""
    with store.transaction() as database:
        rows, dimensions, old = store.number("rows"), store.number("dimensions"), str(store.fact("vectors"))
        used = database.execute("SELECT digest, slot FROM vectors ORDER BY slot").fetchall()
        if rows < _FEW or 2 * len(used) >= rows:
            return
        slots = np.array([slot for _, slot in used], np.int64)
        name = f"vectors-{int(old.removeprefix('vectors-').removesuffix('.f32')) + 1}.f32"
        kept = open_rows(store.folder / old, rows, dimensions)
        at = 0
        for part in np.array_split(slots, 1 + len(slots) // 50_000):
            append_rows(store.folder / name, at, kept[part].reshape(len(part), dimensions))
            at += len(part)
        renumbered = ((place, digest) for place, (digest, _) in enumerate(used))
        database.executemany("UPDATE vectors SET slot = ? WHERE digest = ?", renumbered)
        store.set_fact("vectors", name)
        store.set_fact("rows", len(slots))
        database.execute("DELETE FROM facts WHERE name = 'graph'")
    _remove(store, old)


def _remove(store: Store, vectors: str) -> None:
    """Remove a file of vectors that nothing names any more, and the graph over it."""
    for path in (store.folder / vectors, *store.folder.glob("graph-*")):
        path.unlink(missing_ok=True)


def drop_vectors(folder: str | Path) -> None:
    """Forget all vectors of an index and whose they were; its passages stay."""
    with hold(Path(folder)):
        store = Store(Path(folder))
        try:
            with store.transaction() as database:
                database.execute("DELETE FROM vectors")
                database.execute("DELETE FROM facts WHERE name IN ('rows', 'embedder', 'dimensions', 'graph')")
                old = str(store.fact("vectors", "vectors-0.f32"))
                number = int(old.removeprefix("vectors-").removesuffix(".f32"))
                store.set_fact("vectors", f"vectors-{number + 1}.f32")
            _remove(store, old)
        finally:
            store.close()
