"""Ladders whose spread over seeds is planted: variance of log loss ∝ params^-γ · tokens^-δ."""

from __future__ import annotations

import numpy as np

from chidu.runs.ladder import Ladder

LENGTHS = np.array([1.0, 2.0, 4.0]) * 1.5e5
DELTA = 0.2


def planted(
    source: np.random.Generator,
    gamma: float,
    sizes: int = 5,
    seeds: int = 8,
    span: float = 13.0,
    correlation: float = 0.9,
    freedom: float | None = None,
) -> Ladder:
    """Runs of some sizes, over a factor of `span`, at three lengths, which share a trunk: their luck is correlated.

    Luck is normal, or Student's with so many degrees of freedom, its variance the same.
    """
    rows = []
    for place, params in enumerate(np.geomspace(3e4, 3e4 * span, sizes)):
        trunk = _luck(source, seeds, freedom)
        for tokens in LENGTHS:
            luck = np.sqrt(correlation) * trunk + np.sqrt(1 - correlation) * _luck(source, seeds, freedom)
            deviation = 0.005 * (params / 1e5) ** (-gamma / 2) * (tokens / 3e5) ** (-DELTA / 2)
            losses = (2 + 50 / params**0.3 + 40 / tokens**0.3) * np.exp(deviation * luck)
            rows += [(params, tokens, 1000 * place + seed, loss) for seed, loss in enumerate(losses)]
    columns = zip(*rows, strict=True)
    return Ladder(dict(zip(("params", "tokens", "seed", "loss"), columns, strict=True)))


def _luck(source: np.random.Generator, count: int, freedom: float | None) -> np.ndarray:
    if freedom is None:
        return source.standard_normal(count)
    return source.standard_t(freedom, count) * np.sqrt((freedom - 2) / freedom)
