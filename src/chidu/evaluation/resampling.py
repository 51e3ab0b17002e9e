"""Intervals of what was measured on few items: the items are drawn again and again, with replacement."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["LEVEL", "interval", "known", "mean_interval", "resampled"]

Array = np.ndarray[Any, np.dtype[Any]]

LEVEL = 0.9
RESAMPLES = 1_000


def resampled(statistic: Callable[[Array], float], items: int, seed: int, resamples: int = RESAMPLES) -> Array:
    """Return a statistic of the items' places, for so many drawings of as many items."""
    source = np.random.default_rng(seed)
    return np.array([statistic(source.integers(0, items, items)) for _ in range(resamples)])


def interval(values: Array, level: float = LEVEL) -> tuple[float, float]:
    """Return the low and high end that hold this part of the values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(values: Array, seed: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of a mean over items.

    Drawn items spread less than fresh ones would, by the root of (n - 1) / n: that is made good. Of one item nothing
    is known: NaN.
    """
    count = len(values)
    if count < 2:
        return float("nan"), float("nan")
    drawn = values[np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))].mean(axis=1)
    mean = float(values.mean())
    low, high = interval(mean + (drawn - mean) * (count / (count - 1)) ** 0.5, level)
    return low, high


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them: a number that is not known (NaN) is None."""
    return {name: None if isinstance(one, float) and math.isnan(one) else one for name, one in values.items()}
