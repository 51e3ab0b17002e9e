"""The objective Σ w Huber(forecast - measured), and what a solver asks of a law: its values and exact derivatives.

The two are compared in logs (log loss), unless the objective says otherwise; `delta` is where Huber's loss turns from
square to straight: infinite for least squares, nearly zero for least absolute errors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from chidu.errors import FitError, nearest

__all__ = ["DELTA", "OBJECTIVES", "Derivatives", "Floats", "Forces", "Objective", "Problem", "find_objective", "huber"]

Floats = NDArray[np.float64]

DELTA = 1e-3
"""Where Huber's loss turns from square to straight, in log loss (Hoffmann et al., 2203.15556)."""
WIDE_DELTA = 1e-2
"""The same for small models, of which two seeds lie half a per cent apart: with a narrower one every residual is in the
straight part, and the fit runs through a few of the runs exactly, whatever the others say."""


@dataclass(frozen=True)
class Objective:
    """What a fit makes as small as it can: Σ weight × Huber(residual)."""

    name: str
    delta: float
    """Where Huber's loss turns from square to straight."""
    logs: bool
    """True where residuals are differences of logs."""
    text: str
    """As it is printed."""


_ALL = (
    Objective("huber", DELTA, True, "Σ weight × Huber(δ=0.001) of log residuals"),
    Objective("wide_huber", WIDE_DELTA, True, "Σ weight × Huber(δ=0.01) of log residuals"),
    Objective("squares", np.inf, True, "Σ weight × ½ squares of log residuals"),
    Objective("absolute", 1e-6, True, "Σ weight × Huber(δ=1e-06) of log residuals, as good as absolute ones × 1e-06"),
    Objective("raw_huber", DELTA, False, "Σ weight × Huber(δ=0.001) of residuals"),
    Objective("raw_squares", np.inf, False, "Σ weight × ½ squares of residuals"),
)

OBJECTIVES: Mapping[str, Objective] = MappingProxyType({each.name: each for each in _ALL})


def find_objective(name: str) -> Objective:
    """Return the objective of this name. Raises FitError naming the nearest known one."""
    if name not in OBJECTIVES:
        raise FitError(f"no objective {name!r}{nearest(name, OBJECTIVES)}: choose among {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]


@dataclass(frozen=True)
class Derivatives:
    """At each of R vectors: value (R,), gradient (R, P), Hessian and positive majorant (R, P, P)."""

    value: Floats
    gradient: Floats
    hessian: Floats
    majorant: Floats


@dataclass(frozen=True)
class Forces:
    """Huber's first and second derivative, and a second derivative that bounds it from above, weighted (R, rows)."""

    pull: Floats
    stiff: Floats
    major: Floats

    @classmethod
    def of(cls, residual: Floats, weights: Floats, delta: float) -> Forces:
        """At residuals (R, rows)."""
        size = np.abs(residual)
        if np.isinf(delta):
            return cls(weights * residual, weights * np.ones_like(size), weights * np.ones_like(size))
        return cls(
            pull=weights * np.clip(residual, -delta, delta),
            stiff=weights * (size <= delta),
            major=weights * (delta / np.maximum(size, delta)),
        )


@dataclass(frozen=True)
class Problem(ABC):
    """Rows to fit: what was measured, `y` (rows,), and the box `lower`, `upper` (parameters,) of the vectors.

    Where every fit has measurements of its own, as refits to resampled residuals do, `y` is (R, rows).
    """

    y: Floats
    lower: Floats
    upper: Floats

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.lower)

    @abstractmethod
    def forecast(self, theta: Floats) -> Floats:
        """Return what vectors (R, P) forecast for the rows (R, rows), in the scale of `y`."""

    @abstractmethod
    def derivatives(self, theta: Floats, weights: Floats, delta: float) -> Derivatives:
        """Return the objective's value and derivatives at vectors (R, P) under weights (R, rows) or (1, rows)."""

    @abstractmethod
    def starts(self, weights: Floats) -> Floats:
        """Return vectors (S, P) all over the space, for rows under weights (rows,)."""

    @abstractmethod
    def select(self, rows: NDArray[np.int_]) -> Problem:
        """Return the problem on some of its rows."""

    def only(self, fits: NDArray[np.int_] | slice) -> Problem:
        """Return the problem for some of its fits."""
        return self if self.y.ndim == 1 else replace(self, y=self.y[fits])

    @property
    def is_one_line(self) -> bool:
        """True where the rows lie so that some parameters can't be told apart, whatever was measured."""
        return False

    def along(self, theta: Floats, move: Floats) -> Floats:
        """Take a step (R, P); a problem whose valleys bend may bend it, in second order."""
        return theta + move

    def values(self, theta: Floats, weights: Floats, delta: float) -> Floats:
        """Return the objective (R,) at vectors (R, P); infinite where the law has no value."""
        with np.errstate(invalid="ignore", over="ignore"):
            found = (weights * huber(self.forecast(theta) - self.y, delta)).sum(axis=1)
        return np.asarray(np.where(np.isfinite(found), found, np.inf))


def huber(residual: Floats, delta: float = DELTA) -> Floats:
    """Huber's loss of each residual."""
    clipped = np.minimum(np.abs(residual), delta)
    return np.asarray(clipped * (np.abs(residual) - 0.5 * clipped))
