"""Where a run will end, from curves whose end is planted: coverage, right alarms and false ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from chidu.laws.finish import EARLIEST, LEAST_RUNS, Curve, FinalLoss, FinishedRun, estimate_final

STEPS, POINTS = 2600, 100
SIZES = np.geomspace(2.6e4, 1.9e5, 7)
TARGET = 2e6
DECAY = 0.3
LAWS = (
    (0.0, 15472, 0.5457, 3.6024e5, 0.6896, 0.3157),
    (0.0, 60705, 0.67454, 1.3868e5, 0.59992, 0.30688),
    (0.8214, 82637, 0.77798, 5.9353e5, 0.76953, 0.31062),
    (0.57566, 18349, 0.65319, 1.5659e5, 0.68822, 0.35169),
)
"""Coupled laws (E, A, alpha, B, beta, kappa) as they were fitted to ladders of four seeds."""


@dataclass(frozen=True)
class World:
    """A law of training curves: what is left of the loss at a step, and what the full rate adds until it decays."""

    seed: int
    bend: float = 0.0
    """How much sooner, in log units, the target falls than the law says, from the middle of its run on."""

    def run(self, size: float, target: bool = False) -> tuple[Curve, float]:
        """Return a curve and its end. All runs of a world read the same text, so most of their noise is one."""
        common, own = np.random.default_rng(self.seed), np.random.default_rng([self.seed, int(size)])
        scale, rate, most = common.uniform(0.9, 1.1, 3)
        fading = common.uniform(0.1, 0.3)
        steps = np.arange(1, POINTS + 1) * (STEPS // POINTS)
        text = common.normal(0, 0.012, POINTS)
        part = steps / STEPS
        E, A, alpha, B, beta, kappa = LAWS[self.seed % len(LAWS)]
        left = E + (scale * A / size**alpha + rate * B / (steps * 1024) ** beta) ** kappa
        # Larger runs have more to gain from the decay, less and less more: as in real ladders (LOG.md).
        excess = 0.085 * most * (1 - (size / 1.2e4) ** -fading) / (1 - (SIZES[-1] / 1.2e4) ** -fading)
        high = excess * np.minimum(1, (1 - part) / DECAY)
        sooner = -self.bend * np.clip(2 * part - 1, 0, 1) * target
        stray = own.normal(0, 0.003)
        log = np.log(left) + high + sooner + stray
        losses = np.exp(log + text + own.normal(0, 0.003, POINTS))
        curve = tuple((int(step), float(loss)) for step, loss in zip(steps, losses, strict=True))
        return curve, float(np.exp(log[-1] + own.normal(0, 0.001)))

    @property
    def ladder(self) -> list[FinishedRun]:
        return [FinishedRun(float(size), *self.run(float(size))) for size in SIZES]


def looks(world: World, parts: np.ndarray) -> tuple[list[FinalLoss], float]:
    """What is said of the target at these parts of its run, and its true end."""
    ladder, (curve, end) = world.ladder, world.run(TARGET, target=True)
    found = [estimate_final(ladder, TARGET, curve[: round(part * POINTS)], STEPS) for part in parts]
    return [each for each in found if each is not None], end


def test_intervals_hold_and_narrow() -> None:
    parts = np.array([0.25, 0.5, 0.75, 0.9])
    inside, width = np.zeros(4), np.zeros(4)
    for seed in range(60):
        found, end = looks(World(seed), parts)
        inside += [each.low <= end <= each.high for each in found]
        width += [(each.high - each.low) / each.loss for each in found]
    assert (inside / 60 >= 0.85).all(), inside
    assert (np.diff(width) < 0).all()
    assert width[-1] / 60 < 0.04


@pytest.mark.parametrize(("bend", "most", "least"), [(0.0, 0.05, 0.0), (0.15, 1.0, 0.9)])
def test_false_alarms_are_rare_and_true_ones_come(bend: float, most: float, least: float) -> None:
    """The forecast's interval lies somewhere around the end that the law knows of, with 2% of deviation."""
    alarms = count = 0
    for seed in range(60):
        world = World(seed, bend)
        found, end = looks(world, np.arange(20, 101) / 100)
        known = end * math.exp(bend)
        middle = known * math.exp(np.random.default_rng([seed, 1]).normal(0, 0.02))
        low, high = middle * math.exp(-0.033), middle * math.exp(0.033)
        if bend or low <= end <= high:
            count += 1
            alarms += any(not each.meets(low, high) for each in found)
    assert count > 40
    assert least <= alarms / count <= most


def test_a_curve_need_not_have_the_points_of_the_others() -> None:
    world = World(3)
    curve, _ = world.run(TARGET)
    halves = [(step + shift, loss) for step, loss in curve for shift in (-STEPS // POINTS // 2, 0)]
    one, two = (estimate_final(world.ladder, TARGET, each, STEPS) for each in (curve, halves))
    assert one is not None
    assert two is not None
    assert one.loss == pytest.approx(two.loss, rel=1e-9)


def test_too_little_is_known_at_first_and_of_few_runs() -> None:
    world = World(0)
    curve, ladder = world.run(TARGET)[0], world.ladder
    seen = [estimate_final(ladder, TARGET, curve[:count], STEPS) is not None for count in (0, 1, 19, 20)]
    assert seen == [False, False, False, True]
    assert curve[19][0] / STEPS == EARLIEST
    assert estimate_final(ladder[: LEAST_RUNS - 1], TARGET, curve, STEPS) is None
    assert estimate_final([ladder[0]] * 9, TARGET, curve, STEPS) is None


def test_a_higher_level_is_wider_and_words_say_so() -> None:
    world = World(1)
    curve, ladder = world.run(TARGET)[0][:50], world.ladder
    half, most = (estimate_final(ladder, TARGET, curve, STEPS, level) for level in (0.5, 0.9))
    assert half is not None
    assert most is not None
    assert most.low < half.low < half.high < most.high
    assert str(most).startswith(f"should end at {most.loss:.4f}, 90% interval {most.low:.4f} to ")
    assert most.meets(most.high, 9.0)
    assert not most.meets(most.high + 1e-9, 9.0)
    assert not most.meets(0.0, most.low - 1e-9)
