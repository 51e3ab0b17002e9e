"""The objective Σ w Huber(log forecast - log loss), with exact first and second derivatives, for many fits at once.

Inside, every law is one formula in centred logs (loss in units of its geometric mean, x_k = log input - mean):

    f = log(E + exp(h)),   h = κ log(exp(u_1/κ) + exp(u_2/κ)),   u_k = a_k - γ_k x_k

κ = 1 is the additive law; with one input h = u_1. Written so, γ_k is the slope where input k alone limits the loss,
whatever κ, and the parameters stay nearly independent: alpha = γ_1/κ, log A = a_1/κ once the centre is put back.
A vector is (E, a_1, γ_1[, a_2, γ_2[, log κ]]).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DELTA", "Derivatives", "Floats", "Problem", "derivatives", "huber", "log_loss", "values"]

Floats = NDArray[np.float64]

DELTA = 1e-3
"""Where Huber's loss turns from square to straight, in log loss (Hoffmann et al., 2203.15556)."""

_TINY = 1e-300


@dataclass(frozen=True)
class Problem:
    """Rows in centred logs: `x` (inputs, rows), `y` (rows,), and the box `lower`, `upper` (parameters,)."""

    x: Floats
    y: Floats
    coupled: bool
    lower: Floats
    upper: Floats

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.lower)


@dataclass(frozen=True)
class Derivatives:
    """At each of R vectors: value (R,), gradient (R, P), Hessian and positive majorant (R, P, P)."""

    value: Floats
    gradient: Floats
    hessian: Floats
    majorant: Floats


@dataclass(frozen=True)
class _Forces:
    """Huber's first and second derivative, and a second derivative that bounds it from above, weighted (R, rows)."""

    pull: Floats
    stiff: Floats
    major: Floats


def huber(residual: Floats, delta: float = DELTA) -> Floats:
    """Huber's loss of each residual."""
    clipped = np.minimum(np.abs(residual), delta)
    return np.asarray(clipped * (np.abs(residual) - 0.5 * clipped))


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


def values(problem: Problem, theta: Floats, weights: Floats, delta: float = DELTA) -> Floats:
    """Return the objective (R,) at vectors (R, P) under weights (R, rows) or (1, rows)."""
    residual = log_loss(theta, problem.x, problem.coupled) - problem.y
    return np.asarray((weights * huber(residual, delta)).sum(axis=1))


def derivatives(problem: Problem, theta: Floats, weights: Floats, delta: float = DELTA) -> Derivatives:
    """Return the objective's value and derivatives at vectors (R, P) under weights (R, rows) or (1, rows)."""
    if len(problem.x) == 1:
        h = theta[:, 1:2] - theta[:, 2:3] * problem.x[0]
        slopes: list[Floats] = [np.ones_like(h)]
        bends: dict[tuple[int, int], Floats] = {}
    else:
        h, slopes, bends = _bend_derivatives(theta, problem)
    power = np.exp(np.minimum(h, 600.0))
    inverse = 1.0 / (theta[:, :1] + power + _TINY)
    share = power * inverse
    residual = -np.log(inverse) - problem.y
    size = np.abs(residual)
    forces = _Forces(
        pull=weights * np.clip(residual, -delta, delta),
        stiff=weights * (size <= delta),
        major=weights * (delta / np.maximum(size, delta)),
    )
    value = (weights * huber(residual, delta)).sum(axis=1)
    return _assemble(problem, value, forces, [inverse, share, *slopes], bends)


def _bend_derivatives(theta: Floats, problem: Problem) -> tuple[Floats, list[Floats], dict[tuple[int, int], Floats]]:
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
    problem: Problem, value: Floats, forces: _Forces, shapes: list[Floats], bends: dict[tuple[int, int], Floats]
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


def _factors(problem: Problem) -> list[Floats]:
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
