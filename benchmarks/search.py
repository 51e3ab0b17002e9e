"""Chidu's index against bm25s and faiss.

The passages are what the installed packages' Python files say, 800 characters each; the vectors are made up (a thousand
directions, and noise), since only time and recall are measured. Questions are runs of words from passages. Both sides
search the same words and vectors with one thread, in alternating turns; the rival's two rankings are fused by the same
rule. Times are medians of processor time over the questions.

    OMP_NUM_THREADS=1 python benchmarks/search.py [--json] [--passages 100000] [--graph]

--graph makes graphs over the vectors too: some minutes for 100,000.
"""

from __future__ import annotations

import argparse
import json
import random
import site
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bm25s
import faiss
import numpy as np
from results import row, tell

from chidu.index import Embedder, Index, build_graph, update_index, words
from chidu.index.ranking import best, fuse

Array = np.ndarray[Any, np.dtype[Any]]

DIMENSIONS, DEPTH, QUESTIONS = 384, 100, 40
EMBEDDER = Embedder("made up", DIMENSIONS)


def passages(count: int) -> list[str]:
    """Return so many pieces of the installed packages' Python files."""
    found: list[str] = []
    for folder in site.getsitepackages():
        for path in sorted(Path(folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += (part for start in range(0, len(text), 800) if (part := text[start : start + 800]).strip())
            if len(found) >= count:
                return found[:count]
    raise SystemExit(f"the installed packages give {len(found)} passages: ask for fewer with --passages")


def made_up(count: int, source: np.random.Generator) -> Array:
    """Return vectors of length 1 around a thousand directions."""
    centres = np.random.default_rng(1).normal(size=(1_000, DIMENSIONS)).astype(np.float32)
    found = centres[source.integers(0, len(centres), count)]
    found += 0.8 * source.normal(size=found.shape).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def milliseconds(ways: Sequence[Callable[[int], Any]]) -> list[float]:
    """Return the median time of each way over the questions, taken in turns, after one round to warm up."""
    taken: list[list[float]] = [[] for _ in ways]
    for turn in range(3):
        for question in range(QUESTIONS):
            for way, times in zip(ways, taken, strict=True):
                clock = time.process_time()
                way(question)
                if turn:
                    times.append((time.process_time() - clock) * 1e3)
    return [statistics.median(times) for times in taken]


def searches(count: int, folder: Path, *, with_graph: bool) -> Iterator[dict[str, Any]]:
    """Time the searches of an index of so many passages."""
    texts, source = passages(count), random.Random(0)
    lines = folder / "text.jsonl"
    lines.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    update_index(folder / "index", [lines], longest=10_000, most_bytes=10**10)
    with Index(folder / "index", EMBEDDER) as index:
        keys = [one.key for one in index.wanted()]
        vectors = made_up(len(keys), np.random.default_rng(0))
        for start in range(0, len(keys), 20_000):
            index.fill(keys[start : start + 20_000], vectors[start : start + 20_000])
        asked = [" ".join(words(source.choice(texts))[:8]) for _ in range(QUESTIONS)]
        points = made_up(QUESTIONS, np.random.default_rng(2))
        theirs = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
        theirs.index([words(text) for text in texts], show_progress=False)
        flat = faiss.IndexFlatIP(DIMENSIONS)
        flat.add(vectors)
        faiss.omp_set_num_threads(1)

        def by_words(question: int) -> dict[int, float]:
            scores = theirs.get_scores(words(asked[question]))
            return {int(one): float(scores[one]) for one in best(scores, DEPTH)}

        def by_vector(question: int) -> dict[int, float]:
            cosines, found = flat.search(points[question : question + 1], DEPTH)
            return dict(zip(found[0].tolist(), cosines[0].tolist(), strict=True))

        ways = [
            lambda one: index.search(asked[one]),
            by_words,
            lambda one: index.search(asked[one], points[one]),
            lambda one: [texts[found] for found, _ in fuse(by_words(one), by_vector(one), 1.0)[:10]],
        ]
        told = f"{count:,} passages, 10 hits with their text"
        ours_words, theirs_words, ours, both = milliseconds(ways)
        yield row("search_words", ours_words, theirs_words, theirs_words / ours_words, "ours 10", "ms", told, "bm25s")
        yield row("search_fused", ours, both, both / ours, "ours 20", "ms", told, "bm25s + faiss, exact")
        if with_graph:
            exact = [set(list(by_vector(one))[:10]) for one in range(QUESTIONS)]
            yield from graphs(folder / "index", index, asked, points, vectors, exact)


def graphs(
    folder: Path, index: Index, asked: list[str], points: Array, vectors: Array, exact: list[set[int]]
) -> Iterator[dict[str, Any]]:
    """Time the fused search with a graph, and faiss's graph alone; and how much of the ten nearest each finds."""
    build_graph(folder)
    theirs = faiss.IndexHNSWFlat(DIMENSIONS, 16, faiss.METRIC_INNER_PRODUCT)
    theirs.hnsw.efConstruction, theirs.hnsw.efSearch = 128, 128
    theirs.add(vectors)
    mine, other = milliseconds([
        lambda one: index.search(asked[one], points[one]), lambda one: theirs.search(points[one : one + 1], DEPTH),
    ])  # fmt: skip
    found = theirs_found = 0
    for one, nearest in enumerate(exact):
        # No word of the question is in any passage, so the ranking is that of the vectors.
        hits = index.search("\u0001", points[one]).hits
        cosines = np.sort(vectors[list(nearest)] @ points[one])
        found += sum(hit.cosine is not None and hit.cosine >= cosines[0] - 1e-6 for hit in hits)
        theirs_found += len(set(theirs.search(points[one : one + 1], 10)[1][0].tolist()) & nearest)
    recall, others = found / QUESTIONS / 10, theirs_found / QUESTIONS / 10
    told = "ours with words and texts, theirs vectors alone"
    yield row("search_fused_graph", mine, other, other / mine, "ours 20", "ms", told, "faiss HNSW")
    yield row("graph_recall_at_10", recall, others, recall / others, "0.98", "share", "of exact", "faiss HNSW")


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what is measured."""
    with tempfile.TemporaryDirectory() as name:
        yield from searches(options.passages, Path(name), with_graph=options.graph)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--graph", action="store_true")
    given = parser.parse_args()
    tell(rows(given), as_json=given.json)
