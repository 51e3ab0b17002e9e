"""The derivatives are those of the value; the solver ends where the gradient is zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.laws.newton import minimize, minimize_chunks
from chidu.laws.objective import huber
from chidu.laws.powers import PowerProblem, log_loss


def problem(inputs: int, coupled: bool, seed: int, rows: int = 30) -> tuple[PowerProblem, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(0, 1.5, (inputs, rows))
    theta = np.array([0.6, -1.0, 0.3, *([-1.2, 0.4] if inputs == 2 else []), *([0.3] if coupled else [])])
    y = log_loss(theta[None], x, coupled)[0] + random.normal(0, 0.01, rows)
    free = np.full(len(theta), 50.0)
    return PowerProblem(y, -free, free, x, coupled), theta


@settings(max_examples=25, deadline=None, derandomize=True)
@given(shape=st.sampled_from([(1, False), (2, False), (2, True)]), seed=st.integers(0, 1000))
def test_derivatives_are_those_of_the_value(shape: tuple[int, bool], seed: int) -> None:
    posed, theta = problem(*shape, seed)
    random = np.random.default_rng(seed + 1)
    at = (theta + random.normal(0, 0.2, len(theta)) * [0.3, *[1] * (len(theta) - 1)])[None]
    weights = random.uniform(0.5, 2, (1, len(posed.y)))
    found = posed.derivatives(at, weights, delta=5.0)
    step = 1e-5
    for k in range(posed.size):
        move = np.eye(posed.size)[k] * step
        ahead, behind = (posed.derivatives(at + sign * move, weights, delta=5.0) for sign in (1, -1))
        slope = (ahead.value - behind.value) / (2 * step)
        assert found.gradient[0, k] == pytest.approx(slope[0], rel=1e-5, abs=1e-7)
        bend = (ahead.gradient - behind.gradient) / (2 * step)
        np.testing.assert_allclose(found.hessian[0, k], bend[0], rtol=1e-5, atol=1e-6)


def test_huber_is_square_inside_and_straight_outside() -> None:
    np.testing.assert_allclose(huber(np.array([0.0, 0.5, -1.0, 3.0]), 1.0), [0.0, 0.125, 0.5, 2.5])


def test_a_batch_is_as_its_members_alone() -> None:
    posed, theta = problem(2, True, 5)
    weights = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), 300).astype(float)
    together = minimize_chunks(posed, theta[None], weights)
    alone = minimize(posed, theta[None], weights[7:8], steps=40, tolerance=1e-7)
    np.testing.assert_allclose(together.theta[7], alone.theta[0], rtol=1e-9)


def test_the_solver_stays_in_its_box() -> None:
    posed, theta = problem(2, False, 3)
    boxed = PowerProblem(posed.y, np.array([0.8, -5, 0, -5, 0.0]), np.array([2.0, 5, 0.2, 5, 5]), posed.x, False)
    found = minimize(boxed, theta[None], np.ones((1, 30)))
    assert found.theta[0, 0] == 0.8
    assert found.theta[0, 2] <= 0.2
    assert found.converged[0]
    assert found.value[0] <= boxed.values(np.clip(theta, boxed.lower, boxed.upper)[None], np.ones((1, 30)), 1e-3)[0]
