"""Where a run will end, told from its curve so far and from finished runs of the same recipe and length.

All runs of one recipe and length have the same schedule, so at the same step each has the same part of its way behind
it. What still lay before a finished run there, log(final loss / mean training loss of the last tenth), changes evenly
with its loss and with its size. Both lines through the finished runs are drawn on to the run in question. By its loss
they promise it too little, by its size too much: the estimate lies between, and its interval grows with how far the two
are apart. The forecast of a law is not read, so that an estimate can speak against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chidu.laws.calibration import student
from chidu.laws.objective import Floats

__all__ = ["EARLIEST", "LEAST_RUNS", "Curve", "FinalLoss", "FinishedRun", "estimate_final"]

Curve = Sequence[tuple[int, float]]
"""(step, mean training loss since the last point), in order."""

EARLIEST = 0.2
"""Part of a run before which nothing is said: the warm-up is hardly over, and curves still cross."""
LEAST_RUNS = 4
"""Finished runs of the same length that it takes: a line needs two, and its spread must be known."""
WINDOW = 0.1
"""Part of a run whose mean loss is read: the same steps, and the same text, for all."""
BY_SIZE = 1 / 3
"""Where between the line by loss (0) and the line by size (1) the estimate lies. Thirteen targets, of 3.5 to 10 times
the largest rung's params, ended there on average (LOG.md)."""
APART = 0.25
"""Deviation that the two lines' distance adds, over that distance: those thirteen again."""
LEAST_DEVIATION = 0.003
"""Log units: what training loss and held-out loss differ by from one run to the next, and what seeds do."""


@dataclass(frozen=True)
class FinishedRun:
    """A run whose end is known."""

    size: float
    """Params, counted alike for all runs."""
    curve: Curve
    loss: float
    """Held-out loss at the end."""


@dataclass(frozen=True)
class FinalLoss:
    """The held-out loss that a run should end at. Prints itself."""

    loss: float
    low: float
    high: float
    level: float
    """Probability that low..high means to hold the loss at the end."""
    fraction: float
    """Part of the run that was seen."""
    runs: int
    """Finished runs behind it."""

    def meets(self, low: float, high: float) -> bool:
        """True where this interval and another have a value in common."""
        return self.low <= high and low <= self.high

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"should end at {self.loss:.4f}, {self.level:.0%} interval {self.low:.4f} to {self.high:.4f} "
            f"(from {self.fraction:.0%} of the run)"
        )


def estimate_final(
    finished: Sequence[FinishedRun], size: float, curve: Curve, steps: int, level: float = 0.9
) -> FinalLoss | None:
    """Estimate the held-out loss at the end of a run of `steps` steps from its curve so far.

    ``finished`` are runs of the same recipe and number of steps; ``size`` is counted as theirs. None where there are
    fewer than `LEAST_RUNS` of different sizes, or less than `EARLIEST` of the run is seen.
    """
    if not curve or len({run.size for run in finished}) < LEAST_RUNS:
        return None
    fraction = min(1.0, curve[-1][0] / steps)
    if fraction < EARLIEST:
        return None
    reach = (fraction - WINDOW) * steps, fraction * steps
    own, seen = _mean_loss(curve, *reach), np.array([_mean_loss(run.curve, *reach) for run in finished])
    to_come = np.log([run.loss for run in finished]) - np.log(seen)
    by_loss, spread = _line(np.log(seen), to_come, math.log(own))
    by_size, _ = _line(np.log([run.size for run in finished]), to_come, math.log(size))
    middle = math.log(own) + by_loss + BY_SIZE * (by_size - by_loss)
    deviation = math.sqrt(spread**2 + (APART * (by_size - by_loss)) ** 2 + LEAST_DEVIATION**2)
    half = student(0.5 + level / 2, len(finished) - 2) * deviation
    low, high = math.exp(middle - half), math.exp(middle + half)
    return FinalLoss(math.exp(middle), low, high, level, fraction, len(finished))


def _mean_loss(curve: Curve, start: float, end: float) -> float:
    """Mean training loss over the steps from ``start`` to ``end``, which need be no points of the curve."""
    steps, losses = np.array([(0, 0.0), *curve], dtype=np.float64).T
    total = np.concatenate([[0.0], np.cumsum(np.diff(steps) * losses[1:])])
    return float(np.diff(np.interp([start, end], steps, total))[0] / (end - start))


def _line(x: Floats, y: Floats, at: float) -> tuple[float, float]:
    """Value at ``at`` of the line of least squares, and the standard deviation of a new point there."""
    away = x - x.mean()
    square = max(float(away @ away), 1e-12)
    slope, reach = float(away @ y) / square, at - float(x.mean())
    left = y - y.mean() - slope * away
    variance = float(left @ left) / (len(x) - 2) * (1 + 1 / len(x) + reach**2 / square)
    return float(y.mean()) + slope * reach, math.sqrt(variance)
