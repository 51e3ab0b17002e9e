"""The best fit of a law to rows: starts over the whole exponent plane, Newton, and a check of what came out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import product

import numpy as np

from chidu.laws.law import Law
from chidu.laws.newton import Minimum, minimize, minimize_chunks
from chidu.laws.objective import DELTA, Floats, Problem, derivatives, log_loss, values
from chidu.laws.rows import Rows

__all__ = ["KAPPA_BOUNDS", "Solution", "Status", "refit", "solve"]

KAPPA_BOUNDS = (0.1, 10.0)
"""Beyond them the coupled law is the larger (or the product) of its terms to within 1%, and kappa means nothing."""

_EXPONENT_BOUNDS = (1e-3, 6.0)
_GRID = (0.03, 0.12, 0.3, 0.5, 0.9, 1.5)


_CORNERS = (0.03, 0.01, 0.003)
"""Huber's corner, from where the objective is smooth down towards DELTA."""
_SPREAD = 8
MOST_SEARCHED = 500
"""Rows that the search looks at. A law has six parameters at most: more rows hardly move where its dents lie."""


class Status(Enum):
    """How a fit ended."""

    CONVERGED = "converged"
    """The gradient is zero, the curvature positive, and other starts end no lower."""
    AT_BOUND = "at_bound"
    """As converged, with the floor at 0 or an exponent at the edge of its range."""
    NOT_IDENTIFIED = "not_identified"
    """Other parameters far away fit as well: the law's values may serve, its parameters mean nothing."""
    NOT_CONVERGED = "not_converged"
    """The solver stopped before the gradient was zero."""


@dataclass(frozen=True)
class Solution:
    """A law's best vector for some rows, with what is needed to evaluate it elsewhere."""

    law: Law
    theta: Floats
    """(P,), see `chidu.laws.objective`."""
    centre: Floats
    """Mean log of each input (inputs,)."""
    scale: float
    """Mean log loss."""
    objective: float
    status: Status
    at_bound: tuple[str, ...] = ()
    """Parameters that ended at an edge of their range."""

    def log_loss(self, inputs: Floats, theta: Floats | None = None) -> Floats:
        """Return log losses (R, points) at inputs (inputs, points), for the best vector or others (R, P)."""
        vectors = self.theta[None] if theta is None else theta
        return log_loss(vectors, np.log(inputs) - self.centre[:, None], self.law.coupled) + self.scale

    def named(self, theta: Floats) -> dict[str, Floats]:
        """Turn vectors (R, P) into the law's parameters by name (R,), in the units of the columns."""
        kappa = np.exp(theta[:, 5]) if self.law.coupled else np.ones(len(theta))
        found = {"E": theta[:, 0] * np.exp(self.scale)}
        for k, (amplitude, exponent) in enumerate(zip(self.law.amplitudes, self.law.exponents, strict=True)):
            size, slope = theta[:, 1 + 2 * k], theta[:, 2 + 2 * k]
            # Only where the exponents mean nothing does the amplitude leave the range of a float.
            found[amplitude] = np.exp(np.clip((size + self.scale + slope * self.centre[k]) / kappa, -700, 700))
            found[exponent] = slope / kappa
        return found | ({"kappa": kappa} if self.law.coupled else {})


def pose(rows: Rows, law: Law, weights: Floats) -> tuple[Problem, Floats, float]:
    """Return the problem in centred logs, with the centre and the scale of the loss."""
    logs, losses = np.log(rows.inputs), np.log(rows.loss)
    centre = (logs * weights).sum(axis=1) / weights.sum()
    scale = float((losses * weights).sum() / weights.sum())
    y = losses - scale
    edge = 40.0
    lower = [0.0] + [-edge, _EXPONENT_BOUNDS[0]] * len(logs)
    upper = [2.0 * float(np.exp(y.max()))] + [edge, _EXPONENT_BOUNDS[1]] * len(logs)
    if law.coupled:
        lower.append(float(np.log(KAPPA_BOUNDS[0])))
        upper.append(float(np.log(KAPPA_BOUNDS[1])))
    return Problem(logs - centre[:, None], y, law.coupled, np.array(lower), np.array(upper)), centre, scale


def _starts(problem: Problem, weights: Floats) -> Floats:
    """Vectors (S, P) over the plane of exponents, with floor and amplitudes projected out by least squares."""
    loss = np.exp(problem.y)
    kappas = (0.4, 1.0, 2.5) if problem.coupled else (1.0,)
    found = []
    for exponents in product(_GRID, repeat=len(problem.x)):
        terms = [np.exp(-g * x) for g, x in zip(exponents, problem.x, strict=True)]
        floor, amplitudes = _project(np.vstack([np.ones_like(loss), *terms]) / loss, weights)
        for kappa in kappas:
            vector = [floor]
            for amplitude, exponent in zip(amplitudes, exponents, strict=True):
                vector += [float(np.log(amplitude)), exponent]
            found.append(vector + ([float(np.log(kappa))] if problem.coupled else []))
    return np.array(found)


def _project(design: Floats, weights: Floats) -> tuple[float, Floats]:
    """Least squares of 1 on the rows of the design, kept positive."""
    scaled = design * np.sqrt(weights)
    solved = np.linalg.lstsq(scaled.T, np.sqrt(weights), rcond=1e-9)[0]
    return float(max(solved[0], 0.0)), np.maximum(solved[1:], 0.02)


def solve(rows: Rows, law: Law, weights: Floats | None = None, first: Floats | None = None) -> Solution:
    """Fit the law. ``first`` (S, P) are further starts.

    Huber's corner at 1e-3 makes the objective nearly one of absolute values, with shallow dents: so the search begins
    with a wide corner, where it is smooth, and several of the best are followed as the corner narrows; a few starts
    from all over the plane go down by themselves, for the dents that the smooth view does not show.
    """
    weights = rows.weights if weights is None else weights
    problem, centre, scale = pose(rows, law, weights)
    thin, thin_weights = _thinned(problem, weights)
    starts = _starts(thin, thin_weights)
    if first is not None:
        starts = np.vstack([starts, first])
    ends = minimize(problem, _search(thin, starts, thin_weights[None]), weights[None], DELTA, steps=150)
    return _check(problem, law, ends, weights[None], centre=centre, scale=scale)


def _thinned(problem: Problem, weights: Floats) -> tuple[Problem, Floats]:
    """Return the problem on rows even over the table (which is in the order of cost), where it has many."""
    if len(weights) <= MOST_SEARCHED:
        return problem, weights
    rows = np.linspace(0, len(weights) - 1, MOST_SEARCHED).astype(int)
    return replace(problem, x=problem.x[:, rows], y=problem.y[rows]), weights[rows]


def _search(problem: Problem, starts: Floats, load: Floats) -> Floats:
    """Return the four best ends of all starts."""
    found = minimize(problem, starts, load, 0.1, steps=12, tolerance=1e-6)
    kept = _distinct(found, 6)
    paths = kept
    for delta in _CORNERS:
        paths = minimize(problem, paths, load, delta, steps=15, tolerance=1e-8).theta
    dents = starts[np.argsort(values(problem, starts, np.broadcast_to(load, (len(starts), load.shape[1]))))]
    spread = dents[:: max(1, len(dents) // _SPREAD)]
    ends = minimize(problem, np.vstack([paths, kept, spread]), load, DELTA, steps=30)
    return np.asarray(ends.theta[np.argsort(ends.value, kind="stable")[:4]])


def _distinct(found: Minimum, count: int) -> Floats:
    """The best vectors that differ in value."""
    order = np.argsort(found.value, kind="stable")
    chosen = [int(order[0])]
    for index in order[1:]:
        if len(chosen) < count and found.value[index] > found.value[chosen[-1]] * (1 + 1e-6):
            chosen.append(int(index))
    return found.theta[chosen]


def _check(problem: Problem, law: Law, ends: Minimum, load: Floats, *, centre: Floats, scale: float) -> Solution:
    """Judge the best end by its gradient and curvature, and by whether distant ends are as good."""
    best = int(np.argmin(ends.value))
    theta = ends.theta[best]
    at = derivatives(problem, theta[None], load)
    edges = (theta <= problem.lower) | (theta >= problem.upper)
    status = Status.CONVERGED if ends.converged[best] else Status.NOT_CONVERGED
    if status is Status.CONVERGED and edges.any():
        status = Status.AT_BOUND
    if _one_line(problem.x) or _flat(at.majorant[0], ~edges):
        status = Status.NOT_IDENTIFIED
    names = ["E", *(n for pair in zip(law.amplitudes, law.exponents, strict=True) for n in pair)]
    names += ["kappa"] if law.coupled else []
    bound = tuple(name for name, edge in zip(names, edges, strict=True) if edge)
    return Solution(law, theta, centre, scale, float(ends.value[best]), status, bound)


def _one_line(x: Floats) -> bool:
    """True where two inputs keep one ratio (to 2%), so that what each does can't be told apart."""
    return len(x) == 2 and bool(np.ptp(x[1] - x[0]) < 0.02)


def _flat(majorant: Floats, free: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> bool:
    """True where some direction of the free parameters hardly moves the values."""
    block = majorant[np.ix_(free, free)]
    scale = np.sqrt(np.diag(block))
    if not (scale > 0).all():
        return True
    return bool(np.linalg.eigvalsh(block / np.outer(scale, scale))[0] < 1e-9)


def refit(rows: Rows, solution: Solution, weights: Floats) -> Floats:
    """Return the vectors (R, P) of refits under weights (R, rows), begun at the solution and in its units."""
    logs = np.log(rows.inputs) - solution.centre[:, None]
    problem, _, _ = pose(rows, solution.law, rows.weights)
    posed = Problem(logs, np.log(rows.loss) - solution.scale, problem.coupled, problem.lower, problem.upper)
    return minimize_chunks(posed, solution.theta[None], weights).theta
