"""Damped Newton within a box, for many independent fits at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chidu.laws.objective import DELTA, Derivatives, Floats, Problem
from chidu.parallel import cores

__all__ = ["Minimum", "minimize", "minimize_chunks"]

CHUNK = 128
"""Fits worked on together: their arrays stay in the processor's cache."""


@dataclass(frozen=True)
class Minimum:
    """Where R fits ended: `theta` (R, P), `value` (R,), and whether each met the tolerance (R,)."""

    theta: Floats
    value: Floats
    converged: NDArray[np.bool_]


def minimize(
    problem: Problem,
    starts: Floats,
    weights: Floats,
    delta: float = DELTA,
    *,
    steps: int = 80,
    tolerance: float = 1e-11,
) -> Minimum:
    """Minimise the objective from starts (R, P) under weights (R, rows) or (1, rows).

    A fit is done when Newton's next step promises less than ``tolerance`` of the objective. Where a formula leaves the
    range of a float a step ends nowhere and is not taken: NumPy need not warn of it.
    """
    with np.errstate(all="ignore"):
        return _minimize(problem, starts, weights, delta, steps, tolerance)


def _minimize(problem: Problem, starts: Floats, weights: Floats, delta: float, steps: int, tolerance: float) -> Minimum:
    theta = np.clip(starts, problem.lower, problem.upper)
    weights = np.broadcast_to(weights, (len(theta), problem.y.shape[-1]))
    value = problem.values(theta, weights, delta)
    damping = np.full(len(theta), 0.1)
    done = np.zeros(len(theta), dtype=bool)
    live = np.arange(len(theta))
    for _ in range(steps):
        now, load, here = theta[live], weights[live], problem.only(live)
        at = here.derivatives(now, load, delta)
        move, promise = _step(problem, now, at, damping[live])
        small = promise <= tolerance * (at.value + 1e-9)
        trial = np.clip(problem.along(now, move), problem.lower, problem.upper)
        reached = here.values(trial, load, delta)
        better = reached < at.value
        theta[live] = np.where(better[:, None], trial, now)
        value[live] = np.where(better, reached, at.value)
        # A good step halves its distrust more than twice; a bad one costs a look at the objective, so raise it fast.
        damping[live] = np.where(better, damping[live] * 0.2, np.maximum(damping[live] * 6.0, 1e-3))
        damping[live[damping[live] < 1e-5]] = 0.0
        done[live] = small
        live = live[~small & (damping[live] < 1e8)]
        if not len(live):
            break
    return Minimum(theta, value, done)


def minimize_chunks(problem: Problem, starts: Floats, weights: Floats, delta: float = DELTA) -> Minimum:
    """As `minimize`, for any number of fits: in chunks, over threads. The result does not depend on their number."""
    pieces = [slice(first, first + CHUNK) for first in range(0, len(weights), CHUNK)]
    starts = np.broadcast_to(starts, (len(weights), problem.size))

    def work(piece: slice) -> Minimum:
        return minimize(problem.only(piece), starts[piece], weights[piece], delta, steps=40, tolerance=1e-7)

    if len(pieces) == 1:
        return work(pieces[0])
    with ThreadPoolExecutor(min(cores(), len(pieces))) as pool:
        found = list(pool.map(work, pieces))
    return Minimum(
        np.concatenate([each.theta for each in found]),
        np.concatenate([each.value for each in found]),
        np.concatenate([each.converged for each in found]),
    )


def _step(problem: Problem, theta: Floats, at: Derivatives, damping: Floats) -> tuple[Floats, Floats]:
    """Return the damped Newton step (R, P) and the fall of the objective it promises (R,)."""
    held = ((theta <= problem.lower) & (at.gradient > 0)) | ((theta >= problem.upper) & (at.gradient < 0))
    matrix = at.hessian + damping[:, None, None] * at.majorant
    scale = np.einsum("rii->ri", at.majorant) + 1e-30
    move = _solve_free(matrix, at.gradient, scale, held, np.zeros_like(theta))
    # A step out of all proportion comes from a flat direction: shorten it rather than try it.
    longest = np.abs(move).max(axis=1, keepdims=True)
    move = move * np.minimum(1.0, 2.0 / np.maximum(longest, 1e-30))
    # A parameter that would leave the box goes to its edge, and the others go where that sends them.
    crossed = ~held & ((theta + move < problem.lower) | (theta + move > problem.upper))
    if crossed.any():
        to_edge = np.clip(theta + move, problem.lower, problem.upper) - theta
        move = _solve_free(matrix, at.gradient, scale, held | crossed, np.where(crossed, to_edge, 0.0))
    return move, -0.5 * (move * np.where(held, 0.0, at.gradient)).sum(axis=1)


def _solve_free(matrix: Floats, gradient: Floats, scale: Floats, fixed: NDArray[np.bool_], set_to: Floats) -> Floats:
    """Return Newton's step where the fixed parameters move as they are set."""
    right = -gradient - np.einsum("rij,rj->ri", matrix, set_to)
    free = ~fixed
    kept = matrix * (free[:, :, None] & free[:, None, :])
    places = np.arange(matrix.shape[1])
    kept[:, places, places] += np.where(fixed, scale, 1e-12 * scale)
    return np.where(fixed, set_to, _solve(kept, np.where(fixed, 0.0, right), scale))


def _solve(matrix: Floats, right: Floats, scale: Floats) -> Floats:
    """Solve R systems by LDLᵀ, vectorised over R; pivots that are not positive are replaced, so the step descends."""
    size = right.shape[1]
    lower = np.zeros_like(matrix)
    pivots = np.empty_like(right)
    for j in range(size):
        column = matrix[:, j:, j] - np.einsum("rik,rk->ri", lower[:, j:, :j], lower[:, j, :j] * pivots[:, :j])
        least = 1e-9 * scale[:, j]
        pivots[:, j] = np.where(column[:, 0] > least, column[:, 0], np.maximum(-column[:, 0], 1e-3 * scale[:, j]))
        lower[:, j:, j] = column / pivots[:, j : j + 1]
        lower[:, j, j] = 1.0
    half = right.copy()
    for j in range(size):
        half[:, j] -= (lower[:, j, :j] * half[:, :j]).sum(axis=1)
    half /= pivots
    for j in reversed(range(size)):
        half[:, j] -= (lower[:, j + 1 :, j] * half[:, j + 1 :]).sum(axis=1)
    return half
