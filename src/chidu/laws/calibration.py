"""The error of a forecast: what the refits know, and what leaving the future out adds to it.

The variance of a log forecast is factor² × (refits² + noise² + (drift × gap)² + Σ share × (rival law - law)² / 4),
gap being the log of its cost over the dearest run's. The factor is what the same sum had to be multiplied with to
cover the forecasts of runs left out, drawn towards what it came to over public ladders where few could be left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from chidu.laws.objective import Floats
from chidu.laws.trials import Trial

__all__ = ["Calibration", "calibrate"]

PRIOR_FACTOR = 1.1
"""Over planted ladders of 12 and 15 runs and four sets of public ones the factor came to 0.95; nine whole undertakings
of our own missed by 1.3 times what the rest of the sum explains."""
PRIOR_CUTS = 8.0
"""How many cuts that experience counts as."""
PER_CUT = 0.75
"""What one cut counts as: neighbouring cuts hold out many of the same rows."""
DRIFT = 0.4
"""Model error gained per e-fold of cost, in units of the noise: residuals show how far a law is from the truth."""
DRIFT_ALONG = 2.3
"""The same where rows are points along a few runs: those stray together, which the residuals do not show."""


@dataclass(frozen=True)
class Calibration:
    """Numbers that turn the spread of refits into an interval that holds. Log units."""

    noise: float
    drift: float
    factor: float
    freedom: float
    """Degrees of freedom behind the factor."""

    def deviation(self, spread: Floats, gap: Floats, disagreement: Floats) -> Floats:
        """Standard deviation of log forecasts; all (points,). ``disagreement`` is the rivals' variance."""
        return np.asarray(self.factor * _raw(self.noise, self.drift, spread, gap, disagreement))

    def reach(self, level: float) -> float:
        """How many deviations an interval of this level goes to either side."""
        return student(0.5 + level / 2, self.freedom)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form."""
        return asdict(self)


def _raw(noise: float, drift: float, spread: Floats, gap: Floats, disagreement: Floats) -> Floats:
    return np.asarray(np.sqrt(spread**2 + noise**2 + (drift * np.maximum(gap, 0.0)) ** 2 + disagreement))


def calibrate(
    noise: float, trials: Sequence[Trial], rivals: Sequence[tuple[float, Sequence[Trial]]], *, along: bool = False
) -> Calibration:
    """Learn the factor from a law's trials; ``rivals`` are other laws' shares and trials at the same cuts.

    ``along`` is true where the rows are points along a few runs.
    """
    drift = DRIFT_ALONG if along else DRIFT
    squares = []
    for index, trial in enumerate(trials):
        apart = disagreement(trial.forecast, [(part, other[index].forecast) for part, other in rivals])
        raw = _raw(trial.noise, drift * trial.noise, trial.spread, trial.gap, apart)
        squares.append(float(np.minimum((trial.error / np.maximum(raw, 1e-9)) ** 2, 16.0).mean()))
    known = PER_CUT * len(squares)
    mean = float(np.mean(squares)) if squares else 0.0
    factor = np.sqrt((PRIOR_CUTS * PRIOR_FACTOR**2 + known * mean) / (PRIOR_CUTS + known))
    return Calibration(noise, drift * noise, float(factor), PRIOR_CUTS + known)


def disagreement(forecast: Floats, rivals: Sequence[tuple[float, Floats]]) -> Floats:
    """Variance that rival laws' forecasts add, each by its share."""
    total = np.zeros_like(forecast)
    for part, other in rivals:
        total += 0.25 * part * (other - forecast) ** 2
    return total


def student(probability: float, freedom: float) -> float:
    """Quantile of Student's t, by its expansion about the normal (Abramowitz & Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(probability)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
