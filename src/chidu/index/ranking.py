"""Rankings: the best of many scores, and one order out of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["K", "best", "fuse"]

Array = np.ndarray[Any, np.dtype[Any]]

K = 60
"""Cormack, Clarke and Büttcher (2009), who found 60 and little difference near it."""


def best(scores: Array, most: int) -> Array:
    """Return the places of the highest scores, the highest first; of equal ones the first place comes first."""
    most = min(most, len(scores))
    if most <= 0:
        return np.zeros(0, np.int64)
    limit = np.partition(scores, len(scores) - most)[len(scores) - most]
    above = np.flatnonzero(scores > limit)
    places = np.concatenate([above, np.flatnonzero(scores == limit)[: most - len(above)]])
    return places[np.lexsort((places, -scores[places]))]


def fuse(rankings: Sequence[Array], k: int = K) -> list[tuple[int, float]]:
    """Return what stands in the rankings with its score Σ 1 / (k + rank), the highest first, then by number."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, one in enumerate(ranking.tolist(), 1):
            scores[one] = scores.get(one, 0.0) + 1 / (k + rank)
    return sorted(scores.items(), key=lambda one: (-one[1], one[0]))
