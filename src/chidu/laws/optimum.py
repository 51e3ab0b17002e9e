"""Where along a dial the loss is least: a parabola of log loss over log dial, and an interval for its vertex."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chidu.errors import FitError
from chidu.laws.calibration import student
from chidu.laws.objective import Floats

__all__ = ["Optimum", "optimum"]


@dataclass(frozen=True)
class Optimum:
    """The dial's value with the least loss, and how surely it is known."""

    value: float
    """Of the dial, in its own unit; NaN where the losses do not bend upwards."""
    low: float
    """Low end of its interval; 0 where these runs do not bound it."""
    high: float
    """High end of its interval; infinite where these runs do not bound it."""
    level: float
    deviation: float
    """Standard error of the log of `value`; infinite where it is not bounded."""
    bend: float
    """Half the second derivative of log loss by log dial: being off by a factor f costs bend · (log f)² of the loss."""
    noise: float
    """Standard deviation of the residuals of log loss."""
    runs: int
    inside: bool
    """True where `value` lies between the least and the largest value tried: elsewhere it is an extrapolation."""

    @property
    def bounded(self) -> bool:
        """True where the interval has both ends."""
        return self.low > 0 and math.isfinite(self.high)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form; null stands for what is no number or infinite."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def optimum(dial: ArrayLike, loss: ArrayLike, blocks: Sequence[Any], level: float = 0.9) -> Optimum:
    """Fit log loss = block + b · x + a · x², x = log dial, by least squares, and return the vertex.

    ``blocks`` names for each run what it shares with others (its seed): each block has a level of its own, so that a
    seed's luck moves no vertex. The interval is Fieller's (1954): all x whose slope b + 2 a x may be 0. It holds where
    residuals are alike and the loss is a parabola over the span tried, so keep that to a few factors of two.
    Raises FitError for values not above 0 or fewer runs than numbers to fit.
    """
    x, y = np.asarray(dial, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    names = list(dict.fromkeys(blocks))
    freedom = len(x) - 2 - len(names)
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all() and (y > 0).all()):
        raise FitError("an optimum needs values of the dial and losses that are numbers above 0")
    if freedom < 1 or len(np.unique(x)) < 3:
        raise FitError(
            f"{len(x)} runs at {len(np.unique(x))} values can't fix a parabola with {len(names)} levels: try more"
        )
    logs = np.log(x)
    centre = float(logs.mean())
    shift = logs - centre
    columns = np.column_stack([shift, shift**2, *(np.array([block == name for block in blocks]) for name in names)])
    found, residual, covariance = _least_squares(columns, np.log(y), freedom)
    return _vertex(found, covariance, student(0.5 + level / 2, freedom), level, residual, logs, centre)


def _least_squares(columns: Floats, values: Floats, freedom: int) -> tuple[Floats, float, Floats]:
    inverse = np.linalg.pinv(columns.T @ columns)
    found = inverse @ columns.T @ values
    variance = float(((values - columns @ found) ** 2).sum()) / freedom
    return found, math.sqrt(variance), np.asarray(inverse * variance, dtype=np.float64)


def _vertex(
    found: Floats, covariance: Floats, t: float, level: float, noise: float, logs: Floats, centre: float
) -> Optimum:
    b, a = float(found[0]), float(found[1])
    bb, ab, aa = float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])
    unknown = Optimum(math.nan, 0.0, math.inf, level, math.inf, a, noise, len(logs), False)
    if a <= 0:
        return unknown
    place = -b / (2 * a)
    # The slope's square less t² times its variance, as a parabola of x: where it is below 0, the slope may be 0.
    square, linear, constant = 4 * (a * a - t * t * aa), 4 * (a * b - t * t * ab), b * b - t * t * bb
    inside = bool(logs.min() <= place + centre <= logs.max())
    value = math.exp(place + centre)
    if square <= 0:
        return Optimum(value, 0.0, math.inf, level, math.inf, a, noise, len(logs), inside)
    middle, half = -linear / (2 * square), math.sqrt(max(0.0, linear * linear - 4 * square * constant)) / (2 * square)
    deviation = math.sqrt(max(0.0, bb + 4 * place * ab + 4 * place * place * aa)) / (2 * a)
    low, high = math.exp(centre + middle - half), math.exp(centre + middle + half)
    return Optimum(value, low, high, level, deviation, a, noise, len(logs), inside)
