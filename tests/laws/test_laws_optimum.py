"""The vertex of a sweep: right where planted, its interval as often as promised, and no end where there is none."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from chidu.errors import FitError
from chidu.laws.optimum import Optimum, optimum

FACTORS = np.array([0.25, 0.5, 1.0, 2.0, 4.0])


def swept(random: np.random.Generator, best: float, bend: float = 0.01, noise: float = 0.002) -> Optimum:
    """Sweep a planted parabola with two seeds, each with luck of its own."""
    dial, seeds = np.tile(FACTORS, 2), np.repeat([0, 1], len(FACTORS))
    logs = math.log(4.0) + bend * np.log(dial / best) ** 2 + 0.02 * seeds + random.normal(0, noise, len(dial))
    return optimum(dial, np.exp(logs), seeds.tolist())


def test_without_noise_the_vertex_is_exact() -> None:
    found = swept(np.random.default_rng(0), 1.3, noise=0.0)
    assert found.value == pytest.approx(1.3)
    assert found.bend == pytest.approx(0.01)
    assert found.low == pytest.approx(1.3)
    assert found.high == pytest.approx(1.3)
    assert found.inside


def test_the_interval_holds_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    found = [swept(random, 1.3) for _ in range(400)]
    assert 0.85 < np.mean([each.low <= 1.3 <= each.high for each in found]) < 0.95


def test_noise_alone_bounds_nothing() -> None:
    random = np.random.default_rng(2)
    found = [swept(random, 1.0, bend=0.0) for _ in range(200)]
    assert np.mean([each.bounded for each in found]) < 0.15
    json.dumps([each.as_dict() for each in found], allow_nan=False)


def test_an_optimum_beyond_what_was_tried_says_so() -> None:
    assert not swept(np.random.default_rng(3), 6.0, noise=1e-4).inside


def test_losses_that_bend_downwards_have_no_optimum() -> None:
    found = optimum(FACTORS, np.exp(-0.01 * np.log(FACTORS) ** 2), [0] * 5)
    assert math.isnan(found.value)
    assert not found.bounded
    assert not found.inside


@pytest.mark.parametrize(
    ("dial", "loss"), [([1, 2, 4], [3, 2, 3]), ([1, 1, 2, 2, 2], [3, 3, 2, 2, 2]), ([1, 2, 3, 0], [1, 1, 1, 1])]
)
def test_too_few_runs_or_no_numbers_are_refused(dial: list[float], loss: list[float]) -> None:
    with pytest.raises(FitError):
        optimum(dial, loss, [0] * len(dial))
