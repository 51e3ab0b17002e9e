"""How a score goes with the size of a model, where both models and items are drawn from many.

Each of M models (sizes, each with seeds) is scored on the same items. The slope is that of the least-squares line of
the weighted mean score over the logarithm of params.

**Interval.** Two kinds of luck, both counted. That of the models: what the means scatter about the line, over M - 2
degrees of freedom; a bend counts as scatter, so a law that is no line makes the interval wider and not wrong. That of
the items: each item has a slope of its own, and others might have been asked; their variance within a task, over the
number of items. The variances are added, though the second holds part of the first, so the interval errs to the wide
side; Student's t, with Welch and Satterthwaite's degrees of freedom.

**Bend.** Where sizes have seeds, the means of the sizes may be farther off the line than the seeds' luck explains: the
F test of lack of fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Line", "Slope", "bend_chance", "chi_square", "mean_of", "slope_of", "student"]

Floats = NDArray[np.float64]

DRAWS = 100_000
"""Behind a quantile of Fisher's F."""
POINTS = 8192
"""Behind one of Student's t."""
MOST_FREEDOM = 1e4
"""Beyond, Student's t is the normal to four digits."""


@dataclass(frozen=True)
class Slope:
    """A slope with its interval."""

    value: float
    low: float
    high: float
    freedom: float
    models_error: float
    """Standard error that is the models' luck."""
    items_error: float
    """Standard error that is the choice of items."""


@dataclass(frozen=True)
class Line:
    """The least-squares line of scores over a predictor."""

    slope: float
    level: float
    """At the mean of the predictor."""
    centre: float
    scatter: float
    """Variance about the line."""

    @classmethod
    def of(cls, x: Floats, y: Floats) -> Line:
        """Fit y [M] over x [M]."""
        centre = float(x.mean())
        apart = x - centre
        slope, level = float(apart @ y / (apart @ apart)), float(y.mean())
        left = y - level - slope * apart
        return cls(slope, level, centre, float(left @ left) / (len(x) - 2))

    def at(self, x: float) -> float:
        """Return the line's height."""
        return self.level + self.slope * (x - self.centre)


def slope_of(x: Floats, scores: Floats, groups: NDArray[np.int64], level: float) -> Slope:
    """Return the slope over x [M] of the mean of scores [M, items], each of the groups [items] weighted alike.

    At least three models, and two items a group.
    """
    numbers, counts = np.unique(groups, return_counts=True)
    weights = np.zeros(len(groups))
    for number, count in zip(numbers, counts, strict=True):
        weights[groups == number] = 1 / count / len(numbers)
    line = Line.of(x, scores @ weights)
    apart = x - x.mean()
    square = float(apart @ apart)
    own = apart @ scores / square  # [items]
    parts = [float(own[groups == n].var(ddof=1)) / c / len(numbers) ** 2 for n, c in zip(numbers, counts, strict=True)]
    models, items = line.scatter / square, sum(parts)
    worst = models**2 / (len(x) - 2) + sum(part**2 / (c - 1) for part, c in zip(parts, counts, strict=True))
    freedom = (models + items) ** 2 / worst if worst > 0 else float(len(x) - 2)
    half = student(0.5 + level / 2, freedom) * float(np.sqrt(models + items))
    return Slope(
        line.slope, line.slope - half, line.slope + half, freedom, float(np.sqrt(models)), float(np.sqrt(items))
    )  # fmt: skip


def mean_of(scores: Floats, groups: NDArray[np.int64], level: float) -> Slope:
    """Return the mean of values [M, items], each of the groups [items] weighted alike, models and items both drawn.

    At least two models, and two items a group. What a model and an item add up to is in neither variance by itself but
    in both, so the interval errs to the wide side.
    """
    numbers, counts = np.unique(groups, return_counts=True)
    own = [scores[:, groups == number] for number in numbers]
    of_models = sum(each.mean(axis=1) for each in own) / len(numbers)
    parts = [float(each.mean(axis=0).var(ddof=1)) / each.shape[1] / len(numbers) ** 2 for each in own]
    models, items = float(of_models.var(ddof=1)) / len(scores), sum(parts)
    worst = models**2 / (len(scores) - 1) + sum(part**2 / (c - 1) for part, c in zip(parts, counts, strict=True))
    freedom = (models + items) ** 2 / worst if worst > 0 else float(len(scores) - 1)
    half, value = student(0.5 + level / 2, freedom) * float(np.sqrt(models + items)), float(of_models.mean())
    return Slope(value, value - half, value + half, freedom, float(np.sqrt(models)), float(np.sqrt(items)))


def chi_square(freedom: float, level: float, seed: int = 0) -> tuple[float, float]:
    """Return the quantiles of χ² between which a part `level` of it lies, drawn."""
    drawn = np.random.default_rng(seed).chisquare(freedom, DRAWS)
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


@lru_cache(maxsize=1024)
def student(chance: float, freedom: float) -> float:
    """Return Student's quantile at a chance of 0.5 or more, by the sum of its density; good to five digits."""
    freedom = min(freedom, MOST_FREEDOM)
    # t = tan(a) turns the density into a power of a cosine, on a bounded range.
    angle = np.linspace(0, np.pi / 2, POINTS + 1)
    density = np.cos(angle) ** (freedom - 1)
    density[-1] = density[-1] if freedom > 1 else 2 * density[-2] - density[-3]
    grown = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    place = float(np.interp((chance - 0.5) * 2 * grown[-1], grown, angle))
    return float(np.sqrt(freedom) * np.tan(place))


def bend_chance(x: Floats, y: Floats, seed: int = 0) -> float | None:
    """Return the chance that means of y [M] lie so far off a line in x [M] by luck; None where no x is there twice.

    x tells the size: models of one x are seeds of one size.
    """
    sizes, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    within, lack = len(x) - len(sizes), len(sizes) - 2
    if within < 1 or lack < 1:
        return None
    means = np.bincount(place, y) / counts
    pure = float(((y - means[place]) ** 2).sum())
    about = Line.of(x, y)
    off = float((counts * (means - (about.level + about.slope * (sizes - about.centre))) ** 2).sum())
    if pure <= 0:
        return 0.0 if off > 0 else 1.0
    found = (off / lack) / (pure / within)
    return float((np.random.default_rng(seed).f(lack, within, DRAWS) >= found).mean())
