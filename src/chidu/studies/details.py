"""What each detail of a shape does by itself, size by size, and whether it keeps mattering as models grow.

The effect is the mean log loss over a shape's seeds less that of the base, where the runs have one, else less the mean
of the shapes. What seeds of one shape differ by tells its error; Student's t. Of many details and sizes some would
stand out by luck, so the intervals that a fate is told by are as much wider (Bonferroni) as the level of all together
asks for; those of the points are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.studies.slopes import student

__all__ = ["Cells", "Detail", "Point", "details_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """The mean of each shape at each size, and what its seeds differ by."""

    params: Floats
    """(sizes,)"""
    effects: Sequence[dict[str, float]]
    """(sizes,) shape → mean log loss, against any one level of the size"""
    counts: Sequence[dict[str, int]]
    """(sizes,) shape → seeds"""
    within: Floats
    """(sizes,) variance of log loss over the seeds of one shape"""
    freedom: Floats
    """(sizes,) degrees of freedom of that"""
    base: str
    """The shape that others are set against, where it is there at every size."""


@dataclass(frozen=True)
class Point:
    """The effect of a detail at one size, in log loss."""

    params: float
    effect: float
    low: float
    high: float
    is_told: bool
    """True where it is told from luck, all details and sizes together."""


@dataclass(frozen=True)
class Detail:
    """One shape's effect along the sizes."""

    shape: str
    points: tuple[Point, ...]
    slope: float
    """Of the effect, per tenfold params."""
    low: float
    high: float
    fate: str
    """`keeps` where it is told from luck at the largest size, `fades` where at a smaller one alone, else `not told`."""
    is_against_base: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; effects in per cent of the loss, below 0 is better."""
        return {
            "shape": self.shape,
            "points": [
                {"params": each.params, "effect_percent": 100 * each.effect, "low": 100 * each.low,
                 "high": 100 * each.high, "is_told": each.is_told}
                for each in self.points
            ],
            "slope_percent": {"value": 100 * self.slope, "low": 100 * self.low, "high": 100 * self.high},
            "fate": self.fate,
        }  # fmt: skip


def details_of(cells: Cells, level: float) -> list[Detail]:
    """Return every shape that is there at all sizes, the base left out, by its effect at the largest size."""
    common = [name for name in cells.effects[0] if all(name in each for each in cells.effects)]
    has_base = cells.base in common
    names = [name for name in common if name != cells.base or not has_base]
    told = 1 - (1 - level) / max(1, len(names) * len(cells.params))
    found = [_detail(cells, name, has_base, level, told) for name in names]
    return sorted(found, key=lambda each: each.points[-1].effect)


def _detail(cells: Cells, name: str, has_base: bool, level: float, told: float) -> Detail:
    points, errors = [], []
    for params, effects, counts, within, freedom in zip(
        cells.params, cells.effects, cells.counts, cells.within, cells.freedom, strict=True
    ):
        if has_base:
            effect, parts = effects[name] - effects[cells.base], 1 / counts[name] + 1 / counts[cells.base]
        else:
            # The mean of the shapes holds this one too.
            shapes = len(effects)
            others = sum(1 / counts[other] for other in effects if other != name) / shapes**2
            effect, parts = effects[name], (1 - 1 / shapes) ** 2 / counts[name] + others
        error = float(np.sqrt(within * parts))
        half = student(0.5 + level / 2, freedom) * error
        is_told = abs(effect) > student(0.5 + told / 2, freedom) * error
        points.append(Point(float(params), effect, effect - half, effect + half, is_told))
        errors.append(error)
    slope, half = _slope(points, np.array(errors), float(cells.freedom.sum()), level)
    fate = "keeps" if points[-1].is_told else "fades" if any(each.is_told for each in points) else "not told"
    return Detail(name, tuple(points), slope, slope - half, slope + half, fate, has_base)


def _slope(points: Sequence[Point], errors: Floats, freedom: float, level: float) -> tuple[float, float]:
    """Return the slope over log10 params of effects whose errors are known, and half its interval.

    Where they lie farther off a line than their errors explain, it is wider for that.
    """
    x, y = np.log10([each.params for each in points]), np.array([each.effect for each in points])
    weight = 1 / np.maximum(errors, 1e-12) ** 2
    apart = x - (weight @ x) / weight.sum()
    square = float(weight @ apart**2)
    slope = float((weight * apart) @ y) / square
    left = y - (weight @ y) / weight.sum() - slope * apart
    misfit = float(weight @ left**2) / max(1, len(x) - 2)
    half = student(0.5 + level / 2, freedom) * float(np.sqrt(max(1.0, misfit) / square))
    return slope, half
