"""The laws that are a floor plus one power of a soft sum of falling powers: power, additive, coupled.

Inside, each is one formula in centred logs (loss in units of its geometric mean, x_k = log input - mean):

    f = log(E + exp(h)),   h = κ log(exp(u_1/κ) + exp(u_2/κ)),   u_k = a_k - γ_k x_k

κ = 1 is the additive law; with one input h = u_1. Written so, γ_k is the slope where input k alone limits the loss,
whatever κ, and the parameters stay nearly independent: alpha = γ_1/κ, log A = a_1/κ once the centre is put back.
A vector is (E, a_1, γ_1[, a_2, γ_2[, log κ]]).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from chidu.laws.objective import Derivatives, Floats, Forces, Problem, huber

__all__ = ["EXPONENT_BOUNDS", "KAPPA_BOUNDS", "PowerProblem", "log_loss", "pose_powers"]

KAPPA_BOUNDS = (0.1, 10.0)
"""Beyond them the coupled law is the larger (or the product) of its terms to within 1%, and kappa means nothing."""

EXPONENT_BOUNDS = (1e-3, 6.0)
_GRID = (0.03, 0.12, 0.3, 0.5, 0.9, 1.5)
_TINY = 1e-300


@dataclass(frozen=True)
class PowerProblem(Problem):
    """Rows in centred logs: `x` (inputs, rows), `y` their centred log losses (rows,)."""

    x: Floats
    coupled: bool

    def forecast(self, theta: Floats) -> Floats:
        """See `Problem.forecast`."""
        return log_loss(theta, self.x, self.coupled)

    def select(self, rows: NDArray[np.int_]) -> PowerProblem:
        """See `Problem.select`."""
        return replace(self, x=self.x[:, rows], y=self.y[rows])

    def starts(self, weights: Floats) -> Floats:
        """Vectors over the plane of exponents, with floor and amplitudes projected out by least squares."""
        loss = np.exp(self.y)
        kappas = (0.4, 1.0, 2.5) if self.coupled else (1.0,)
        found = []
        for exponents in product(_GRID, repeat=len(self.x)):
            terms = [np.exp(-g * x) for g, x in zip(exponents, self.x, strict=True)]
            floor, amplitudes = _project(np.vstack([np.ones_like(loss), *terms]) / loss, weights)
            for kappa in kappas:
                vector = [floor]
                for amplitude, exponent in zip(amplitudes, exponents, strict=True):
                    vector += [float(np.log(amplitude)), exponent]
                found.append(vector + ([float(np.log(kappa))] if self.coupled else []))
        return np.array(found)

    @property
    def is_one_line(self) -> bool:
        """True where two inputs keep one ratio (to 2%), so that what each does can't be told apart."""
        return len(self.x) == 2 and bool(np.ptp(self.x[1] - self.x[0]) < 0.02)

    def along(self, theta: Floats, move: Floats) -> Floats:
        """Take a step along the valley's bend.

        Where the floor is hardly fixed, its rise is paid by the amplitudes exp(a) and the slopes exp(a) γ: straight in
        those, curved in (a, γ). To first order the step is the one given.
        """
        trial = theta + move
        for k in range(len(self.x)):
            a, slope = 1 + 2 * k, 2 + 2 * k
            grown = 1.0 + move[:, a]
            turned = theta[:, slope] + move[:, slope] / grown
            good = (grown > 0.2) & (grown < 5.0)
            trial[:, a] = np.where(good, theta[:, a] + np.log(np.where(good, grown, 1.0)), trial[:, a])
            trial[:, slope] = np.where(good, turned, trial[:, slope])
        return trial

    def derivatives(self, theta: Floats, weights: Floats, delta: float) -> Derivatives:
        """See `Problem.derivatives`."""
        if len(self.x) == 1:
            h = theta[:, 1:2] - theta[:, 2:3] * self.x[0]
            slopes: list[Floats] = [np.ones_like(h)]
            bends: dict[tuple[int, int], Floats] = {}
        else:
            h, slopes, bends = _bend_derivatives(theta, self)
        power = np.exp(np.minimum(h, 600.0))
        inverse = 1.0 / (theta[:, :1] + power + _TINY)
        share = power * inverse
        residual = -np.log(inverse) - self.y
        value = (weights * huber(residual, delta)).sum(axis=1)
        return _assemble(self, value, Forces.of(residual, weights, delta), [inverse, share, *slopes], bends)


def pose_powers(x: Floats, y: Floats, *, coupled: bool) -> PowerProblem:
    """Return the problem, given centred logs of inputs (inputs, rows) and losses (rows,)."""
    edge = 40.0
    lower = [0.0] + [-edge, EXPONENT_BOUNDS[0]] * len(x)
    upper = [2.0 * float(np.exp(y.max()))] + [edge, EXPONENT_BOUNDS[1]] * len(x)
    if coupled:
        lower.append(float(np.log(KAPPA_BOUNDS[0])))
        upper.append(float(np.log(KAPPA_BOUNDS[1])))
    return PowerProblem(y, np.array(lower), np.array(upper), x, coupled)


def _project(design: Floats, weights: Floats) -> tuple[float, Floats]:
    """Least squares of 1 on the rows of the design, kept positive."""
    scaled = design * np.sqrt(weights)
    solved = np.linalg.lstsq(scaled.T, np.sqrt(weights), rcond=1e-9)[0]
    return float(max(solved[0], 0.0)), np.maximum(solved[1:], 0.02)


def _bend(theta: Floats, x: Floats, coupled: bool) -> tuple[Floats, Floats, Floats, Floats]:
    """Return h, d = (u_1 - u_2)/κ, exp(-|d|) and κ, each (R, rows) or (R, 1), for two inputs."""
    u1 = theta[:, 1:2] - theta[:, 2:3] * x[0]
    u2 = theta[:, 3:4] - theta[:, 4:5] * x[1]
    kappa = np.exp(theta[:, 5:6]) if coupled else np.ones((len(theta), 1))
    d = (u1 - u2) / kappa
    small = np.exp(-np.abs(d))
    return np.maximum(u1, u2) + kappa * np.log1p(small), d, small, kappa


def log_loss(theta: Floats, x: Floats, coupled: bool) -> Floats:
    """Return f (R, rows) at vectors (R, P) and centred logs (inputs, rows)."""
    h = theta[:, 1:2] - theta[:, 2:3] * x[0] if len(x) == 1 else _bend(theta, x, coupled)[0]
    return np.asarray(np.log(theta[:, :1] + np.exp(np.minimum(h, 600.0)) + _TINY))


def _bend_derivatives(
    theta: Floats, problem: PowerProblem
) -> tuple[Floats, list[Floats], dict[tuple[int, int], Floats]]:
    """Return h, its slopes by u_1, u_2[, log κ] and its second derivatives by pairs of them."""
    h, d, small, kappa = _bend(theta, problem.x, problem.coupled)
    larger = 1.0 / (1.0 + small)
    p1 = np.where(d >= 0, larger, small * larger)
    p2 = 1.0 - p1
    spread = small * larger * larger
    curve = spread / kappa
    slopes = [p1, p2]
    bends = {(0, 0): curve, (0, 1): -curve, (1, 1): curve}
    if problem.coupled:
        # The slope by κ is the entropy of (p1, p2), its own slope their variance of log p.
        entropy = np.log1p(small) + small * larger * np.abs(d)
        slopes.append(kappa * entropy)
        bends |= {(0, 2): -spread * d, (1, 2): spread * d, (2, 2): kappa * (entropy + spread * d * d)}
    return h, slopes, bends


def _assemble(
    problem: PowerProblem, value: Floats, forces: Forces, shapes: list[Floats], bends: dict[tuple[int, int], Floats]
) -> Derivatives:
    """Chain the derivatives by (E, u_1, u_2, log κ) to those by the parameters: sums over rows are matrix products."""
    size = problem.size
    inverse, share, *slopes = shapes
    factors = _factors(problem)
    gradient = np.empty((len(value), size))
    hessian = np.empty((len(value), size, size))
    majorant = np.empty((len(value), size, size))
    firsts = [inverse, *(share * slope for slope in slopes)]
    places = [slice(0, 1), *(slice(1 + 2 * k, 3 + 2 * k) for k in range(len(problem.x)))]
    places += [slice(5, 6)] if problem.coupled else []
    weak, curved = forces.pull * share, forces.stiff - forces.pull
    for i, place in enumerate(places):
        gradient[:, place] = (forces.pull * firsts[i]) @ factors[i]
        for j in range(i, len(places)):
            product = firsts[i] * firsts[j]
            exact = curved * product
            if i > 0:
                exact += weak * (slopes[i - 1] * slopes[j - 1])
                if (i - 1, j - 1) in bends:
                    exact += weak * bends[i - 1, j - 1]
            _place(hessian, exact, factors, places, (i, j))
            _place(majorant, forces.major * product, factors, places, (i, j))
    return Derivatives(value, gradient, hessian, majorant)


def _factors(problem: PowerProblem) -> list[Floats]:
    """How each of (E, u_1, u_2, log κ) depends on its own parameters, per row: (rows, 1 or 2)."""
    one = np.ones((problem.x.shape[1], 1))
    terms = [np.column_stack([one, -x]) for x in problem.x]
    return [one, *terms, *([one] if problem.coupled else [])]


def _place(block: Floats, terms: Floats, factors: list[Floats], places: list[slice], pair: tuple[int, int]) -> None:
    """Write Σ_rows terms × factor_i × factor_j into both halves of the matrices."""
    i, j = pair
    left, right = factors[i], factors[j]
    pairs = (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
    entries = (terms @ pairs).reshape(len(terms), left.shape[1], right.shape[1])
    block[:, places[i], places[j]] = entries
    if i != j:
        block[:, places[j], places[i]] = entries.transpose(0, 2, 1)
