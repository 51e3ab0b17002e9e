"""A graph over the vectors of a large index (HNSW, by usearch), believed as far as it was measured.

Below some 100,000 passages one exact product is quick enough, and needs no graph. It is a short cut and nothing more:
vectors that came after it are compared one by one, and what it proposes is ordered by exact cosines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from chidu.errors import IndexFolderError, MissingPackageError
from chidu.index.store import Store, hold
from chidu.index.vectors import RECALL, Graph, open_rows
from chidu.runs.record import open_whole

__all__ = ["build_graph", "open_graph"]

_ASKED = 200
"""Vectors of the index, jogged, by which that is measured."""
_WIDTHS = (64, 128, 256, 512, 1_024)
"""Candidates that a search keeps, tried in this order until enough is found."""
_CHUNK = 10_000

Array = np.ndarray[Any, np.dtype[Any]]


def build_graph(folder: str | Path) -> Graph:
    """Make the graph over the vectors that an index has now, measure it, and have it used where it finds enough.

    The measure: of 200 vectors of the index, each moved by a tenth of its length, the ten nearest by exact cosines. One
    core takes about a minute for 100,000 vectors of 384 dimensions. Raises IndexFolderError where the index has no
    vectors or another process writes into it, MissingPackageError without usearch.
    """
    folder = Path(folder)
    with hold(folder):
        store = Store(folder)
        try:
            return _build(store)
        finally:
            store.close()


def _build(store: Store) -> Graph:
    with store.transaction("DEFERRED") as database:
        count, dimensions, file = store.number("rows"), store.number("dimensions"), str(store.fact("vectors"))
        slots = np.array(database.execute("SELECT slot FROM vectors ORDER BY slot").fetchall(), np.int64).ravel()
    if not len(slots):
        raise IndexFolderError(f"{store.folder} has no vectors yet: fill them in before the graph is made")
    rows = open_rows(store.folder / file, count, dimensions)
    index = _usearch().Index(ndim=dimensions, metric="ip", dtype="f16", connectivity=16, expansion_add=128)
    for part in np.array_split(slots, 1 + len(slots) // _CHUNK):
        index.add(part.astype(np.uint64), rows[part], threads=1)
    recall, width = _measure(index, rows, slots)
    graph = Graph(count, recall, index)
    if graph.is_used:
        name = file.replace("vectors-", "graph-").replace(".f32", f"-{count}.usearch")
        with open_whole(store.folder / name) as whole:
            whole.write(index.save())
        with store.transaction():
            facts = {"graph": name, "graph_rows": count, "graph_recall": recall, "graph_width": width}
            for fact, value in facts.items():
                store.set_fact(fact, value)
        for path in set(store.folder.glob("graph-*")) - {store.folder / name}:
            path.unlink()
    return graph


def _usearch() -> Any:
    try:
        from usearch import index
    except ImportError as error:
        raise MissingPackageError("usearch", "search", "a graph over vectors") from error
    return index


def _measure(index: Any, rows: Array, slots: Array) -> tuple[float, int]:
    """Return the share of the ten nearest that is found, and how wide a search that took."""
    source = np.random.default_rng(0)
    asked = rows[np.sort(source.choice(slots, min(_ASKED, len(slots)), replace=False))]
    jog = source.normal(size=asked.shape).astype(np.float32)
    asked = asked + 0.1 * jog / np.linalg.norm(jog, axis=1, keepdims=True)
    ten = min(10, len(slots))
    exact = []
    for one in asked:
        cosines = (rows @ one)[slots]
        exact.append(set(slots[np.argpartition(-cosines, ten - 1)[:ten]].tolist()))
    recall, width = 0.0, 0
    for width in _WIDTHS:
        index.expansion_search = width
        found = (set(np.asarray(index.search(one, ten).keys).tolist()) for one in asked)
        recall = float(np.mean([len(one & other) / ten for one, other in zip(exact, found, strict=True)]))
        if recall >= RECALL:
            break
    return recall, width


def open_graph(store: Store) -> Graph | None:
    """Open an index's graph, mapped into memory, where it has one."""
    name = store.fact("graph")
    if name is None:
        return None
    path = store.folder / str(name)
    try:
        index = _usearch().Index.restore(str(path), view=True)
    except (RuntimeError, OSError, ValueError) as error:
        raise IndexFolderError(f"{path} can't be read ({error}): make the graph again (build_graph)") from error
    if index is None:
        raise IndexFolderError(f"{path} is missing or damaged: make the graph again (build_graph)")
    index.expansion_search = store.number("graph_width")
    recall = store.fact("graph_recall")
    assert isinstance(recall, float)
    return Graph(store.number("graph_rows"), recall, index)
