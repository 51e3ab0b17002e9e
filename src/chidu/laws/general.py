"""Any formula as a problem to solve: coordinates in which it is well scaled, exact derivatives, starts all over.

A parameter that can't be negative is worked on as its logarithm, so that a step has no unit; the others, and those that
only add a constant (a floor may well be 0), as they are. Parameters in which the formula is linear are projected out of
the starts by least squares; what is left is drawn evenly over its bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chidu.laws.formula import Formula, Jet, Node
from chidu.laws.objective import Derivatives, Floats, Forces, Problem, huber

__all__ = ["Coordinates", "FormulaProblem", "coordinates", "pose_formula"]

LEAST, MOST = 1e-30, 1e30
"""Where a parameter without bounds of its own may lie."""
BEYOND = 100.0
"""A parameter that a column is divided by, or that is divided by one, is sought this far beyond the column's range."""
DRAWN = (256, 4096)
"""Starts drawn: twice as many for every parameter that is not linear, from the first to the second number."""
FOLLOWED = 48
"""The best of them go on."""


@dataclass(frozen=True)
class Coordinates:
    """How parameters are worked on: `logs` (P,) marks logarithms; `linear` are places projected out of the starts."""

    logs: NDArray[np.bool_]
    linear: tuple[int, ...]
    lower: Floats
    """In the coordinates (P,)."""
    upper: Floats
    draw_lower: Floats
    """Between these two the starts are drawn, in the coordinates (P,)."""
    draw_upper: Floats

    def parameters(self, theta: Floats) -> Floats:
        """Turn vectors (R, P) of coordinates into parameters."""
        return np.asarray(np.where(self.logs, np.exp(np.where(self.logs, theta, 0.0)), theta))

    def inside(self, parameters: Floats) -> Floats:
        """Turn parameters (R, P) into coordinates, at the least edge where they are below it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(self.logs, np.log(np.where(self.logs, parameters, 1.0)), parameters)
        return np.clip(np.where(np.isnan(found), self.lower, found), self.lower, self.upper)


@dataclass(frozen=True)
class FormulaProblem(Problem):
    """Rows of a formula: `inputs` (columns, rows); `y` is the log of what was measured, or as it is."""

    formula: Formula
    inputs: Floats
    where: Coordinates
    in_logs: bool

    def forecast(self, theta: Floats) -> Floats:
        """See `Problem.forecast`; NaN where the formula has no value (or a log of none)."""
        with np.errstate(all="ignore"):
            found = self.formula.values(self.where.parameters(theta), self.inputs)
            return np.asarray(np.log(np.where(found > 0, found, np.nan)) if self.in_logs else found)

    def select(self, rows: NDArray[np.int_]) -> FormulaProblem:
        """See `Problem.select`."""
        return replace(self, inputs=self.inputs[:, rows], y=self.y[rows])

    def derivatives(self, theta: Floats, weights: Floats, delta: float) -> Derivatives:
        """See `Problem.derivatives`."""
        with np.errstate(all="ignore"):
            jet = self._jet(theta)
            shape = (len(theta), len(self.y))
            residual = np.nan_to_num(np.broadcast_to(jet.value, shape) - self.y, nan=1e6, posinf=1e6, neginf=-1e6)
            forces = Forces.of(residual, weights, delta)
            value = (weights * huber(residual, delta)).sum(axis=1)
            return _assembled(jet, forces, value, self.size)

    def _jet(self, theta: Floats) -> Jet:
        """Return the forecast with its derivatives by the coordinates."""
        jet = self.formula.jet(self.where.parameters(theta), self.inputs)
        first, second = dict(jet.first), dict(jet.second)
        scale = np.where(self.where.logs, self.where.parameters(theta), 1.0)
        for i, slope in jet.first.items():
            first[i] = slope * scale[:, i : i + 1]
        for (i, j), bend in jet.second.items():
            second[i, j] = bend * (scale[:, i] * scale[:, j])[:, None]
        for i in np.flatnonzero(self.where.logs).tolist():
            if i in first:
                # d²/dz² of f(exp z) holds the slope itself.
                second[i, i] = second[i, i] + first[i] if (i, i) in second else first[i]
        found = Jet(jet.value, first, second)
        return _log(found) if self.in_logs else found

    def starts(self, weights: Floats) -> Floats:
        """Vectors drawn evenly over the bounds, linear parameters fitted to them; the best ones."""
        bent = self.size - len(self.where.linear)
        drawn = _even(min(DRAWN[0] * 2**bent, DRAWN[1]), self.size)
        theta = self.where.draw_lower + drawn * (self.where.draw_upper - self.where.draw_lower)
        parameters = self.where.parameters(theta)
        if self.where.linear:
            parameters = self._projected(parameters, weights)
        theta = self.where.inside(parameters)
        load = np.broadcast_to(weights, (len(theta), len(weights)))
        # Judged by a wide corner: far-off rows shall not outweigh the shape.
        values = np.concatenate(
            [self.values(theta[k : k + 512], load[k : k + 512], 0.1) for k in range(0, len(theta), 512)]
        )
        order = np.argsort(values, kind="stable")
        return np.asarray(theta[order[:FOLLOWED]])

    def _projected(self, parameters: Floats, weights: Floats) -> Floats:
        """Set the linear parameters by weighted least squares of relative residuals, each kept in its bounds."""
        places = list(self.where.linear)
        found = parameters.copy()
        with np.errstate(all="ignore"):
            found[:, places] = 0.0
            rest = self.formula.values(found, self.inputs)
            columns = []
            for place in places:
                found[:, place] = 1.0
                columns.append(self.formula.values(found, self.inputs) - rest)
                found[:, place] = 0.0
            measured = np.exp(self.y) if self.in_logs else self.y
            size = np.abs(measured) if self.in_logs else np.ones_like(measured)
            design = np.stack(columns, axis=-1) / size[:, None]  # (R, rows, linear)
            right = (measured - rest) / size
        with np.errstate(all="ignore"):
            found[:, places] = self._least_squares(design, right, weights)
        return found

    def _least_squares(self, design: Floats, right: Floats, weights: Floats) -> Floats:
        """Return the linear parameters (R, linear) of designs (R, rows, linear), kept above 0 where they must be."""
        good = np.asarray(np.isfinite(design).all(axis=(1, 2)) & np.isfinite(right).all(axis=1))
        design, right = np.where(good[:, None, None], design, 1.0), np.where(good[:, None], right, 0.0)
        # Columns of one size, or the ridge would fall on some and not on others.
        scale = np.sqrt((weights[:, None] * design**2).sum(axis=1)) + 1e-300
        unit = design / scale[:, None, :]
        gram = np.einsum("rnk,n,rnl->rkl", unit, weights, unit) + 1e-9 * np.eye(design.shape[-1])
        solved = np.linalg.solve(gram, np.einsum("rnk,n,rn->rk", unit, weights, right)[..., None])[..., 0]
        # A term that least squares would take off is kept at a hundredth of the whole: it may come back.
        least = np.array([0.01 if self.where.logs[place] else -np.inf for place in self.where.linear])
        return np.asarray(np.maximum(solved, least * np.sqrt(weights.sum())) / scale)


def _log(jet: Jet) -> Jet:
    """Log of a jet whose value may not be positive (then NaN)."""
    inverse = 1.0 / np.where(jet.value > 0, jet.value, np.nan)
    first = {i: d * inverse for i, d in jet.first.items()}
    second = {pair: d * inverse for pair, d in jet.second.items()}
    for i, a in first.items():
        for j, b in first.items():
            if i <= j:
                second[i, j] = second[i, j] - a * b if (i, j) in second else -a * b
    return Jet(-np.log(inverse), first, second)


def _assembled(jet: Jet, forces: Forces, value: Floats, size: int) -> Derivatives:
    """Sum a jet over the rows into the objective's derivatives."""
    count = len(value)
    gradient = np.zeros((count, size))
    hessian, majorant = np.zeros((count, size, size)), np.zeros((count, size, size))
    shape = forces.pull.shape
    slopes = {i: np.nan_to_num(np.broadcast_to(d, shape)) for i, d in jet.first.items()}
    for i, slope in slopes.items():
        gradient[:, i] = (forces.pull * slope).sum(axis=1)
        for j, other in slopes.items():
            if j < i:
                continue
            product = slope * other
            exact = (forces.stiff * product).sum(axis=1)
            if (i, j) in jet.second:
                exact = exact + (forces.pull * np.nan_to_num(np.broadcast_to(jet.second[i, j], shape))).sum(axis=1)
            hessian[:, i, j] = hessian[:, j, i] = exact
            majorant[:, i, j] = majorant[:, j, i] = (forces.major * product).sum(axis=1)
    return Derivatives(value, gradient, hessian, majorant)


def _even(count: int, dimensions: int) -> Floats:
    """Points spread evenly over the unit cube (count, dimensions): additive recurrence (Roberts, 2018)."""
    root = 1.5
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (dimensions + 1))
    steps = (1.0 / root) ** np.arange(1, dimensions + 1)
    return np.asarray((0.5 + np.arange(1, count + 1)[:, None] * steps) % 1.0)


def coordinates(
    formula: Formula, bounds: Mapping[str, tuple[float, float]], inputs: Floats, loss: Floats
) -> Coordinates:
    """Choose how each parameter is worked on. Without bounds of its own a parameter lies between 0 and 1e30."""
    names = formula.parameters
    linear: list[int] = []
    for place, name in enumerate(names):
        if formula.is_linear_in([names[k] for k in linear] + [name]):
            linear.append(place)
    floors = {place for place in linear if _adds_constant(formula, place, inputs)}
    exponents, scales = _exponents(formula), _scales(formula)
    lower, upper, first, last = (np.empty(len(names)) for _ in range(4))
    logs = np.zeros(len(names), dtype=bool)
    top = float(np.abs(loss).max())
    for place, name in enumerate(names):
        low, high = bounds.get(name, (0.0, np.inf))
        logs[place] = low >= 0 and place not in floors
        if logs[place]:
            lower[place], upper[place] = np.log(max(low, LEAST)), np.log(min(high, MOST))
            usual = (0.02, 3.0) if name in exponents else _usual(inputs)
            if name in scales:
                column = np.abs(inputs[formula.columns.index(scales[name])])
                usual = (float(column.min()) / BEYOND + LEAST, float(column.max()) * BEYOND)
            start = usual if name not in bounds else (max(low, usual[0]), min(high, usual[1]))
            start = start if start[0] < start[1] else (max(low, LEAST), min(high, MOST))
            first[place], last[place] = np.log(start[0]), np.log(start[1])
        else:
            lower[place], upper[place] = max(low, -MOST), min(high, 2 * top if place in floors and low >= 0 else MOST)
            first[place] = max(low, -2.0 if place not in floors else 0.0)
            last[place] = min(high, 2.0 if place not in floors else top)
    return Coordinates(logs, tuple(linear), lower, upper, first, last)


def _usual(inputs: Floats) -> tuple[float, float]:
    """Where the scale of a column, or the amplitude of its power, may lie."""
    size = float(np.abs(inputs).max())
    return (1e-3, max(1e3, 10.0 * size * np.sqrt(size)))


def _adds_constant(formula: Formula, place: int, inputs: Floats) -> bool:
    """True where a linear parameter adds the same to every row, whatever the others are."""
    random = np.random.default_rng(0)
    theta = random.uniform(0.2, 1.2, (3, len(formula.parameters)))
    slope = formula.jet(theta, inputs, order=1).first.get(place)
    if slope is None:
        return False
    spread = np.broadcast_to(slope, (3, inputs.shape[1]))
    return bool(np.isfinite(spread).all() and np.ptp(spread) < 1e-9 * np.abs(spread).max())


def _exponents(formula: Formula) -> frozenset[str]:
    """Names that stand in an exponent, or within exp."""
    found: set[str] = set()

    def visit(node: Node, up: bool) -> None:
        kind, content = node
        if kind == "name" and up:
            found.add(str(content))
        if isinstance(content, tuple):
            for place, operand in enumerate(content):
                visit(operand, up or kind == "exp" or (kind == "**" and place == 1))

    visit(formula.tree, False)
    return frozenset(found) & frozenset(formula.parameters)


def _scales(formula: Formula) -> dict[str, str]:
    """Parameters that stand with a column alone in a division, and that column."""
    found: dict[str, str] = {}

    def visit(node: Node) -> None:
        kind, content = node
        if not isinstance(content, tuple):
            return
        if kind == "/" and all(operand[0] == "name" for operand in content):
            names = [str(operand[1]) for operand in content]
            pairs = (names, names[::-1])
            found.update({one: two for one, two in pairs if one in formula.parameters and two in formula.columns})
        for operand in content:
            visit(operand)

    visit(formula.tree)
    return found


def pose_formula(
    formula: Formula, where: Coordinates, inputs: Floats, loss: Floats, *, in_logs: bool
) -> FormulaProblem:
    """Return the problem of fitting a formula to rows: inputs (columns, rows), what was measured (rows,)."""
    y = np.log(loss) if in_logs else loss
    return FormulaProblem(y, where.lower, where.upper, formula, inputs, where, in_logs)
