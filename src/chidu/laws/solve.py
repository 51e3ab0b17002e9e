"""The best fit of a law to rows: starts all over its space, Newton, and a check of what came out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from chidu.errors import FitError
from chidu.laws.general import Coordinates, FormulaProblem, coordinates, pose_formula
from chidu.laws.law import Law
from chidu.laws.newton import Minimum, minimize, minimize_chunks
from chidu.laws.objective import OBJECTIVES, Derivatives, Floats, Objective, Problem
from chidu.laws.powers import log_loss, pose_powers
from chidu.laws.rows import Rows
from chidu.runs.ladder import LARGEST
from chidu.units import count_of

__all__ = ["Frame", "Solution", "Status", "frame_of", "pose", "refit", "solve"]

_CORNERS = (0.03, 0.01, 0.003)
"""Huber's corner, from where the objective is smooth down towards DELTA."""
_SPREAD = 8
MOST_STEPS = 600
"""Steps of the last descent; nearly all fits need fewer than 50."""
MOST_SEARCHED = 500
"""Rows that the search looks at. A law has a few parameters: more rows hardly move where its dents lie."""


class Status(Enum):
    """How a fit ended."""

    CONVERGED = "converged"
    """The gradient is zero, the curvature positive, and other starts end no lower."""
    AT_BOUND = "at_bound"
    """As converged, with the floor at 0 or a parameter at the edge of its range."""
    NOT_IDENTIFIED = "not_identified"
    """Other parameters far away fit as well: the law's values may serve, its parameters mean nothing."""
    NOT_CONVERGED = "not_converged"
    """The solver stopped before the gradient was zero."""


@dataclass(frozen=True)
class Frame:
    """In what a vector is written. Sums of powers: centred logs. Formulas: coordinates."""

    centre: Floats
    """Mean log of each input (inputs,); empty for formulas."""
    scale: float
    """Mean log of the target; 0 for formulas."""
    coordinates: Coordinates | None = None


@dataclass(frozen=True)
class Solution:
    """A law's best vector for some rows, with what is needed to evaluate it elsewhere."""

    law: Law
    theta: Floats
    """(P,), see `chidu.laws.powers` and `chidu.laws.general`."""
    frame: Frame
    objective: float
    status: Status
    at_bound: tuple[str, ...] = ()
    """Parameters that ended at an edge of their range."""

    def log_loss(self, inputs: Floats, theta: Floats | None = None) -> Floats:
        """Return logs of the target (R, points) at inputs (inputs, points), for the best vector or others (R, P)."""
        vectors = self.theta[None] if theta is None else theta
        if self.frame.coordinates is None:
            centred = np.log(inputs) - self.frame.centre[:, None]
            return log_loss(vectors, centred, self.law.coupled) + self.frame.scale
        with np.errstate(all="ignore"):
            found = self.law.parsed.values(self.frame.coordinates.parameters(vectors), inputs)
            return np.asarray(np.log(np.where(found > 0, found, np.nan)))

    def named(self, theta: Floats) -> dict[str, Floats]:
        """Turn vectors (R, P) into the law's parameters by name (R,), in the units of the columns."""
        if self.frame.coordinates is not None:
            values = self.frame.coordinates.parameters(theta)
            places = {name: k for k, name in enumerate(self.law.parsed.parameters)}
            return {name: values[:, places[name]] for name in self.law.parameters}
        kappa = np.exp(theta[:, 5]) if self.law.coupled else np.ones(len(theta))
        centre, scale = self.frame.centre, self.frame.scale
        found = {"E": theta[:, 0] * np.exp(scale)}
        for k, (amplitude, exponent) in enumerate(zip(self.law.amplitudes, self.law.exponents, strict=True)):
            size, slope = theta[:, 1 + 2 * k], theta[:, 2 + 2 * k]
            # Only where the exponents mean nothing does the amplitude leave the range of a float.
            found[amplitude] = np.exp(np.clip((size + scale + slope * centre[k]) / kappa, -700, 700))
            found[exponent] = slope / kappa
        return found | ({"kappa": kappa} if self.law.coupled else {})


def frame_of(rows: Rows, law: Law, weights: Floats) -> Frame:
    """Choose in what the law's vectors are written for these rows."""
    if law.sums_powers:
        load = weights / weights.sum()
        return Frame((np.log(rows.inputs) * load).sum(axis=1), float((np.log(rows.loss) * load).sum()))
    return Frame(np.empty(0), 0.0, coordinates(law.parsed, law.bounds, rows.inputs, rows.loss))


def pose(rows: Rows, law: Law, frame: Frame, objective: Objective = OBJECTIVES["huber"]) -> Problem:
    """Return the problem of fitting the law to rows, its vectors written in the frame."""
    if frame.coordinates is None:
        return pose_powers(
            np.log(rows.inputs) - frame.centre[:, None], np.log(rows.loss) - frame.scale, coupled=law.coupled
        )
    return pose_formula(law.parsed, frame.coordinates, rows.inputs, rows.loss, in_logs=objective.logs)


def _general(law: Law) -> Law:
    """Return the law for the general solver, which serves objectives that the own solvers do not."""
    return replace(law, sums_powers=False, coupled=False) if law.sums_powers else law


def solve(
    rows: Rows,
    law: Law,
    objective: Objective = OBJECTIVES["huber"],
    *,
    first: Floats | None = None,
) -> Solution:
    """Fit the law. ``first`` (S, P) are further starts.

    Huber's corner at 1e-3 makes the objective nearly one of absolute values, with shallow dents: so the search begins
    with a wide corner, where it is smooth, and several of the best are followed as the corner narrows; a few starts
    from all over the plane go down by themselves, for the dents that the smooth view does not show.
    """
    law = law if objective.logs else _general(law)
    weights = rows.weights
    frame = frame_of(rows, law, weights)
    problem = pose(rows, law, frame, objective)
    thin, thin_weights = _thinned(problem, weights)
    starts = thin.starts(thin_weights)
    if first is not None:
        starts = np.vstack([starts, first])
    found = _search(thin, starts, thin_weights[None], objective.delta)
    if thin is not problem:
        # Of many rows every step is dear, and the ends differ little: the best one alone goes on.
        found = found[:1]
    ends = minimize(problem, found, weights[None], objective.delta, steps=MOST_STEPS)
    return _check(problem, law, frame, ends, weights[None], objective.delta)


def _thinned(problem: Problem, weights: Floats) -> tuple[Problem, Floats]:
    """Return the problem on rows even over the table (which is in the order of cost), where it has many."""
    if len(weights) <= MOST_SEARCHED:
        return problem, weights
    rows = np.linspace(0, len(weights) - 1, MOST_SEARCHED).astype(int)
    return problem.select(rows), weights[rows]


def _search(problem: Problem, starts: Floats, load: Floats, last: float) -> Floats:
    """Return the four best ends of all starts."""
    found = minimize(problem, starts, load, max(0.1, last), steps=12, tolerance=1e-6)
    kept = _distinct(found, 6)
    paths = kept
    for delta in _CORNERS:
        paths = minimize(problem, paths, load, max(delta, last), steps=15, tolerance=1e-8).theta
    dents = starts[np.argsort(problem.values(starts, np.broadcast_to(load, (len(starts), load.shape[1])), last))]
    spread = dents[:: max(1, len(dents) // _SPREAD)]
    ends = minimize(problem, np.vstack([paths, kept, spread]), load, last, steps=30)
    return np.asarray(ends.theta[np.argsort(ends.value, kind="stable")[:4]])


def _distinct(found: Minimum, count: int) -> Floats:
    """The best vectors that differ in value."""
    order = np.argsort(found.value, kind="stable")
    chosen = [int(order[0])]
    for index in order[1:]:
        if len(chosen) < count and found.value[index] > found.value[chosen[-1]] * (1 + 1e-6):
            chosen.append(int(index))
    return found.theta[chosen]


def _check(problem: Problem, law: Law, frame: Frame, ends: Minimum, load: Floats, delta: float) -> Solution:
    """Judge the best end by its gradient and curvature, and by whether distant ends are as good."""
    best = int(np.argmin(ends.value))
    theta = ends.theta[best]
    at = problem.derivatives(theta[None], load, delta)
    if isinstance(problem, FormulaProblem):
        _check_values(problem, law, theta, at)
    edges = (theta <= problem.lower) | (theta >= problem.upper)
    status = Status.CONVERGED if ends.converged[best] else Status.NOT_CONVERGED
    if status is Status.CONVERGED and edges.any():
        status = Status.AT_BOUND
    if problem.is_one_line or _flat(at.majorant[0], ~edges):
        status = Status.NOT_IDENTIFIED
    names = law.parameters if frame.coordinates is None else law.parsed.parameters
    bound = tuple(name for name, edge in zip(names, edges, strict=True) if edge)
    return Solution(law, theta, frame, float(ends.value[best]), status, bound)


def _check_values(problem: FormulaProblem, law: Law, theta: Floats, at: Derivatives) -> None:
    """Raise FitError where the best vector found gives some row no number that could be measured, or moves none."""
    values = problem.forecast(theta[None])[0]
    usable = np.isfinite(values) & (np.abs(values) <= (np.log(LARGEST) if problem.in_logs else LARGEST))
    named = f"formula {law.name!r}" if law.name == law.formula else f"the {law.name} law"
    if not usable.all():
        columns = zip(problem.formula.columns, problem.inputs[:, int(np.argmin(usable))], strict=True)
        where = ", ".join(f"{name} {value:.3g}" for name, value in columns)
        number = "positive number" if problem.in_logs else "number"
        raise FitError(
            f"{named}: gives no {number} below {LARGEST:g} at {count_of(int((~usable).sum()), 'row')} of {len(values)} "
            f"(such as {where}), whatever parameters were tried: mend it, its bounds, or the unit of a column"
        )
    if not np.diag(at.majorant[0]).any():
        raise FitError(f"{named}: no parameter changes its value at any row: mend it, or its bounds")


def _flat(majorant: Floats, free: NDArray[np.bool_]) -> bool:
    """True where some direction of the free parameters hardly moves the values."""
    if not free.any():
        # All at their edges: none of them is left to move.
        return False
    block = majorant[np.ix_(free, free)]
    scale = np.sqrt(np.diag(block))
    if not (scale > 0).all():
        return True
    return bool(np.linalg.eigvalsh(block / np.outer(scale, scale))[0] < 1e-9)


def refit(
    rows: Rows,
    solution: Solution,
    weights: Floats,
    objective: Objective = OBJECTIVES["huber"],
    shifts: Floats | None = None,
) -> Floats:
    """Return the vectors (R, P) of refits under weights (R, rows), begun at the solution and in its frame.

    ``shifts`` (R, rows) are added to what was measured (its logs, where the objective is of logs).
    """
    problem = pose(rows, solution.law, solution.frame, objective)
    if shifts is not None:
        problem = replace(problem, y=problem.y + shifts)
    return minimize_chunks(problem, solution.theta[None], weights, objective.delta).theta
