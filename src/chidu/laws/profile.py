"""Profiles: how fast the objective rises as one parameter leaves its estimate, all others fitted anew.

A steep profile means that the rows fix the parameter; a flat one that others make up for it. A profile is drawn by the
parameters that are printed. For formulas each is a coordinate of the solver. The power laws are worked on in centred
logs, where E and kappa are coordinates, but alpha = γ/κ and log A = (a + scale + γ · centre)/κ tie one coordinate to
others: that coordinate is taken off, and the derivatives of the rest go through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chidu.errors import FitError
from chidu.laws.newton import minimize
from chidu.laws.objective import Derivatives, Floats, Problem, find_objective
from chidu.laws.powers import EXPONENT_BOUNDS
from chidu.laws.rows import Rows, read_rows
from chidu.laws.solve import Solution, pose
from chidu.runs.ladder import Ladder

if TYPE_CHECKING:
    from chidu.laws.fit import Fit

__all__ = ["Profile", "profile"]

POINTS = 33
"""Values of a parameter, its estimate in the middle of them."""
_FEWEST = 9
_MOST_WORK = 2_000_000
"""Values × rows worked on at once; tables of many rows get fewer values."""
_STRETCH = 1.6
"""How far beyond the interval of the refits a profile goes."""
_ALONE = 0.2
"""Without an interval: this far to either side, as a part of the estimate (of its log where that is the coordinate)."""


@dataclass(frozen=True, eq=False)
class Profile:
    """One parameter: its values, and the least objective at each. Arrays are (points,)."""

    parameter: str
    values: Floats
    """In the units of the columns, rising; the estimate is among them."""
    objective: Floats
    """NaN where a refit did not end."""
    estimate: float
    least: float
    """The objective at the estimate."""

    @property
    def lost(self) -> int:
        """Number of values whose refit did not end."""
        return int(np.isnan(self.objective).sum())


@dataclass(frozen=True)
class _Tie:
    """Where a held parameter stands in the vector, and how its coordinate follows from it and from the others."""

    place: int
    kind: str
    """`itself` (value / unit), `slope` (of a term, γ = value · κ) or `size` (a = value · κ - scale - γ · centre)."""
    kappa: int | None = None
    """Place of log κ; None where κ is 1."""
    centre: float = 0.0
    scale: float = 0.0
    unit: float = 1.0

    def coordinate(self, z: Floats) -> Floats:
        """Return the coordinate (R,) of vectors (R, P) that hold the parameter's value in its place."""
        value = z[:, self.place]
        if self.kind == "itself":
            return np.asarray(value / self.unit)
        bent = value * self._kappa(z)
        return bent if self.kind == "slope" else bent - self.scale - z[:, self.place + 1] * self.centre

    def held(self, theta: Floats) -> Floats:
        """Return the parameter's value (R,) at vectors (R, P) of coordinates."""
        value = theta[:, self.place]
        if self.kind == "itself":
            return np.asarray(value * self.unit)
        whole = value if self.kind == "slope" else value + self.scale + theta[:, self.place + 1] * self.centre
        return np.asarray(whole / self._kappa(theta))

    def slope(self, z: Floats) -> Floats:
        """Derivative (R,) of the coordinate by the parameter's value."""
        return np.full(len(z), 1.0 / self.unit) if self.kind == "itself" else self._kappa(z)

    def slopes(self, z: Floats) -> Floats:
        """Derivatives (R, P) of the coordinate by the others."""
        found = np.zeros_like(z)
        if self.kind == "size":
            found[:, self.place + 1] = -self.centre
        if self.kind != "itself" and self.kappa is not None:
            found[:, self.kappa] = z[:, self.place] * self._kappa(z)
        return found

    def _kappa(self, z: Floats) -> Floats:
        return np.ones(len(z)) if self.kappa is None else np.exp(z[:, self.kappa])


@dataclass(frozen=True)
class _Held(Problem):
    """A problem whose vectors hold one parameter: it stays where the start has it, whatever the step."""

    inner: Problem
    tie: _Tie

    @classmethod
    def of(cls, inner: Problem, tie: _Tie) -> _Held:
        lower, upper = inner.lower.copy(), inner.upper.copy()
        lower[tie.place], upper[tie.place] = -np.inf, np.inf
        return cls(inner.y, lower, upper, inner, tie)

    def theta(self, z: Floats) -> Floats:
        """Turn vectors (R, P) that hold the parameter into those of the problem inside."""
        found = z.copy()
        found[:, self.tie.place] = self.tie.coordinate(z)
        return found

    def forecast(self, theta: Floats) -> Floats:
        """See `Problem.forecast`."""
        return self.inner.forecast(self.theta(theta))

    def derivatives(self, theta: Floats, weights: Floats, delta: float) -> Derivatives:
        """See `Problem.derivatives`; by the held parameter they are 0, so that no step moves it."""
        at = self.inner.derivatives(self.theta(theta), weights, delta)
        place, slopes = self.tie.place, self.tie.slopes(theta)
        pull = at.gradient[:, place]
        gradient = at.gradient + pull[:, None] * slopes
        gradient[:, place] = 0.0
        hessian, majorant = (_alone(_chained(each, slopes, place), place) for each in (at.hessian, at.majorant))
        if self.tie.kappa is not None:
            # The coordinate is proportional to κ = exp(z): its second derivative by z is its first.
            hessian[:, self.tie.kappa, self.tie.kappa] += pull * slopes[:, self.tie.kappa]
        return Derivatives(at.value, gradient, hessian, majorant)

    def along(self, theta: Floats, move: Floats) -> Floats:
        """See `Problem.along`."""
        return self.inner.along(theta, move)

    def follow(self, theta: Floats, weights: Floats, delta: float) -> Floats:
        """Return how vectors (1, P) that are best move with the held parameter, to first order: (1, P) a unit."""
        place, slopes = self.tie.place, self.tie.slopes(theta)
        slopes[:, place] = self.tie.slope(theta)
        majorant = _chained(self.inner.derivatives(self.theta(theta), weights, delta).majorant, slopes, place)[0]
        scale = np.sqrt(np.diag(majorant)) + 1e-30
        unit = majorant / np.outer(scale, scale)
        others = np.arange(self.size) != place
        found = np.ones((1, self.size))
        # With a cut-off: along directions that the rows do not fix, nothing is followed.
        solved = np.linalg.pinv(unit[np.ix_(others, others)], rcond=1e-12) @ unit[others, place]
        found[0, others] = -solved * scale[place] / scale[others]
        return found

    def starts(self, weights: Floats) -> Floats:
        """See `Problem.starts`."""
        return self.inner.starts(weights)

    def select(self, rows: NDArray[np.int_]) -> _Held:
        """See `Problem.select`."""
        return replace(self, inner=self.inner.select(rows), y=self.y[rows])


def _chained(matrix: Floats, slopes: Floats, place: int) -> Floats:
    """Return Jᵀ M J (R, P, P), J turning moves of the vectors into those of the problem inside."""
    turn = np.broadcast_to(np.eye(slopes.shape[1]), matrix.shape).copy()
    turn[:, place] = slopes
    return np.asarray(np.einsum("rki,rkl,rlj->rij", turn, matrix, turn))


def _alone(matrix: Floats, place: int) -> Floats:
    """Cut the held parameter's ties to the others."""
    matrix[:, place, :] = matrix[:, :, place] = 0.0
    matrix[:, place, place] = 1.0
    return matrix


def profile(fit: Fit, runs: Ladder | Mapping[str, ArrayLike] | Any, points: int = POINTS) -> tuple[Profile, ...]:
    """Return a profile of each parameter of a fit, over the table it was fitted to.

    The values lie evenly (of amplitudes: in logs) around the estimate, to beyond the interval of the refits, or a fifth
    to either side where there are none. Refits go outward from the estimate and start where their neighbour ended.
    Raises FitError where these are not the rows that were fitted.
    """
    solution, goal = fit.solution, find_objective(fit.objective_name)
    rows = read_rows(Ladder.of(runs), solution.law, fit.inputs, None).weighted(fit.weighting)
    problem = pose(rows, solution.law, solution.frame, goal)
    _check_rows(fit, problem, rows, goal.delta)
    count = max(_FEWEST, min(points, _MOST_WORK // len(rows)))
    return tuple(_profile(fit, name, problem, rows, goal.delta, count // 2) for name in fit.parameters)


def _check_rows(fit: Fit, problem: Problem, rows: Rows, delta: float) -> None:
    value = problem.values(fit.solution.theta[None], rows.weights[None], delta)[0] * rows.heaviest
    if len(rows) != fit.rows or not np.isclose(value, fit.objective, rtol=1e-6, atol=1e-12 * rows.heaviest):
        raise FitError(
            f"these are not the rows that were fitted: their objective is {value:.6g}, the fit's {fit.objective:.6g}: "
            "give the table of the fit (weights that it does not hold are not known here)"
        )


def _profile(fit: Fit, name: str, problem: Problem, rows: Rows, delta: float, arm: int) -> Profile:
    tie, logs = _tie(fit.solution, name)
    held = _Held.of(problem, tie)
    start = fit.solution.theta[None].copy()
    start[:, tie.place] = middle = float(tie.held(start)[0])
    low, high = _reach(fit, name, middle, logs)
    least, most = _box(problem, tie)
    arms = [np.linspace(middle, end, arm + 1)[1:] for end in (max(low, least), min(high, most)) if end != middle]
    values = np.concatenate([[middle], *arms])
    walked = [_walk(held, start, each, rows.weights, delta) * rows.heaviest for each in arms]
    objective = np.concatenate([[fit.objective], *walked])
    written = np.exp(np.clip(values, -700, 700)) if logs else values
    written[0] = fit.parameters[name]
    order = np.argsort(written, kind="stable")
    return Profile(name, written[order], objective[order], fit.parameters[name], fit.objective)


def _reach(fit: Fit, name: str, middle: float, logs: bool) -> tuple[float, float]:
    """Return how far to go from the estimate, in the parameter's own scale or in logs."""
    edges = np.array(fit.intervals[name])
    if not np.isfinite(edges).all():
        away = np.full(2, _ALONE * (1.0 if logs else abs(middle)))
    else:
        with np.errstate(divide="ignore"):
            away = np.abs((np.log(edges) if logs else edges) - middle) * _STRETCH
    narrow = 0.01 if logs else 0.01 * abs(middle)
    # Where the runs do not fix a parameter, its refits may lie a hundred orders of magnitude apart.
    left, right = np.clip(away, max(narrow, 1e-12), 50.0 if logs else np.inf)
    return middle - float(left), middle + float(right)


def _box(problem: Problem, tie: _Tie) -> tuple[float, float]:
    """Return the edges of a parameter's range, as `_reach` writes it."""
    if tie.kind == "slope":
        return EXPONENT_BOUNDS[0], np.inf
    if tie.kind == "size":
        return -np.inf, np.inf
    return float(problem.lower[tie.place] * tie.unit), float(problem.upper[tie.place] * tie.unit)


def _walk(held: _Held, start: Floats, values: Floats, weights: Floats, delta: float) -> Floats:
    """Return the least objective at values (points,), outward from the start (1, P); NaN where a refit did not end.

    All begin where the start moves to first order. Then each begins where its inner neighbour ended, for as long as
    that makes any of them less: a refit that went astray is drawn back by the one beside it.
    """
    away = (values - start[0, held.tie.place])[:, None]
    begun = start + away * held.follow(start, weights[None], delta)
    best, ends = np.full(len(values), np.inf), begun
    for _ in range(len(values)):
        begun[:, held.tie.place] = values
        found = minimize(held, begun, weights[None], delta, steps=100, tolerance=1e-9)
        better = found.converged & (found.value < best * (1 - 1e-6))
        best = np.where(better, found.value, best)
        ends = np.where(better[:, None], found.theta, ends)
        if not better.any():
            break
        begun = np.vstack([start, ends[:-1]])
    return np.where(np.isfinite(best), best, np.nan)


def _tie(solution: Solution, name: str) -> tuple[_Tie, bool]:
    """Return where a parameter stands in the vector, and whether its value there is a log."""
    law, frame = solution.law, solution.frame
    if frame.coordinates is not None:
        place = law.parsed.parameters.index(name)
        return _Tie(place, "itself"), bool(frame.coordinates.logs[place])
    kappa = len(solution.theta) - 1 if law.coupled else None
    if name == "E":
        # In the vector, E is in units of the mean loss.
        return _Tie(0, "itself", unit=float(np.exp(frame.scale))), False
    if name == "kappa":
        return _Tie(len(solution.theta) - 1, "itself"), True
    if name in law.exponents:
        return _Tie(2 + 2 * law.exponents.index(name), "slope", kappa), False
    k = law.amplitudes.index(name)
    return _Tie(1 + 2 * k, "size", kappa, float(frame.centre[k]), frame.scale), True
