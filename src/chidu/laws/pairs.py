"""Runs of two recipes that share all else (params, tokens, seed): what is common to both cancels between them."""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chidu.laws.objective import Floats
from chidu.laws.rows import Rows
from chidu.laws.solve import Solution
from chidu.runs.ladder import Ladder

__all__ = ["LEAST_PAIRS", "Pairs", "draw_pairs", "match", "shared_noise"]

LEAST_PAIRS = 5
"""Fewer rows that match say nothing of what they share: the tables are resampled each by itself."""


@dataclass(frozen=True)
class Pairs:
    """Which rows of two tables match: places (pairs,) in each one's own order."""

    first: NDArray[np.int_]
    second: NDArray[np.int_]

    def __len__(self) -> int:
        return len(self.first)


def match(a: Ladder, rows_a: Rows, b: Ladder, rows_b: Rows) -> Pairs:
    """Return the rows with equal inputs and seed; none where a table has no seeds. A row is matched once."""
    if "seed" not in a or "seed" not in b:
        return Pairs(np.empty(0, dtype=int), np.empty(0, dtype=int))
    waiting = defaultdict(list)
    for place, key in enumerate(_keys(b, rows_b)):
        waiting[key].append(place)
    found = [(key, place, waiting[key].pop(0)) for place, key in enumerate(_keys(a, rows_a)) if waiting.get(key)]
    # In an order that does not depend on which table is named first.
    places = np.asarray([each[1:] for each in sorted(found)], dtype=int).reshape(-1, 2)
    return Pairs(places[:, 0], places[:, 1])


def _keys(runs: Ladder, rows: Rows) -> list[tuple[str, ...]]:
    seeds = [f"{seed:g}" if isinstance(seed, (int, float)) else str(seed) for seed in runs.columns["seed"].tolist()]
    points = zip(*([f"{value:.9g}" for value in column] for column in rows.inputs), strict=True)
    return [(*point, seeds[place]) for point, place in zip(points, rows.places, strict=True)]


def draw_pairs(rows_a: Rows, rows_b: Rows, pairs: Pairs, count: int, seed: int) -> tuple[Floats, Floats]:
    """Return weights (count, rows) of resamples for both tables, in which matched rows are drawn together.

    Matched rows are drawn among themselves, as are the others of each table. What is drawn follows from the seed and
    from what the tables hold, so that exchanging the tables exchanges the weights.
    """
    marks = [zlib.crc32(rows.loss.tobytes()) for rows in (rows_a, rows_b)]
    even = np.full(len(pairs), 1 / len(pairs))
    together = np.random.default_rng([seed, count, *sorted(marks)]).multinomial(len(pairs), even, count)
    first, second = (np.random.default_rng([seed, count, mark]) for mark in marks)
    return _fill(rows_a, pairs.first, together, first), _fill(rows_b, pairs.second, together, second)


def _fill(rows: Rows, matched: NDArray[np.int_], together: NDArray[np.int_], random: np.random.Generator) -> Floats:
    weights = np.zeros((len(together), len(rows)))
    weights[:, matched] = together
    alone = np.setdiff1d(np.arange(len(rows)), matched)
    if len(alone):
        weights[:, alone] = random.multinomial(len(alone), np.full(len(alone), 1 / len(alone)), len(together))
    return np.asarray(weights * rows.weights)


def shared_noise(rows_a: Rows, first: Solution, rows_b: Rows, second: Solution, pairs: Pairs) -> float:
    """Return the correlation of matched rows' residuals, less one standard error, and at least 0.

    From ranks (Spearman's, turned into Pearson's for normal noise), so that one odd pair does not make it; less an
    error, since noise that only seems to be shared would make an interval too narrow.
    """
    residuals = [
        np.log(rows.loss[places]) - solution.log_loss(rows.inputs[:, places])[0]
        for rows, solution, places in ((rows_a, first, pairs.first), (rows_b, second, pairs.second))
    ]
    ranks = [np.argsort(np.argsort(each, kind="stable"), kind="stable").astype(float) for each in residuals]
    by_rank = float(np.corrcoef(ranks)[0, 1])
    freedom = max(len(pairs) - len(first.theta) - 3, 1)
    found = np.clip(2 * np.sin(np.pi * by_rank / 6), -0.999, 0.999)
    return max(float(np.tanh(np.arctanh(found) - 1 / np.sqrt(freedom))), 0.0)
