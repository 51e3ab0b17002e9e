"""Rankings: the best of many scores, and one order out of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["SHARE", "best", "fuse"]

Array = np.ndarray[Any, np.dtype[Any]]

SHARE = 0.8
"""What cosines weigh beside words, chosen on FAQs (benchmarks/fusion.py), where it found more than any fusion of
ranks."""


def best(scores: Array, most: int) -> Array:
    """Return the places of the highest scores, the highest first; of equal ones the first place comes first."""
    most = min(most, len(scores))
    if most <= 0:
        return np.zeros(0, np.int64)
    limit = np.partition(scores, len(scores) - most)[len(scores) - most]
    above = np.flatnonzero(scores > limit)
    places = np.concatenate([above, np.flatnonzero(scores == limit)[: most - len(above)]])
    return places[np.lexsort((places, -scores[places]))]


def fuse(by_words: Mapping[int, float], by_vectors: Mapping[int, float], most: float) -> list[tuple[int, float]]:
    """Return what stands in either ranking with its score, the highest first, then by number.

    The score is SHARE · cosine + (1 - SHARE) · BM25 / ``most``, the most that the question's words could give: where
    few of its words are known at all, as in another language, words weigh little. What has no cosine is taken to lie as
    far as the last that has one.
    """
    lowest = min(by_vectors.values(), default=0.0)
    scores = {
        one: SHARE * by_vectors.get(one, lowest) + (1 - SHARE) * by_words.get(one, 0.0) / (most or 1.0)
        for one in (*by_words, *by_vectors)
    }
    return sorted(scores.items(), key=lambda one: (-one[1], one[0]))
