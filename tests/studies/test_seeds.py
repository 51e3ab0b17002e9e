"""The design of a study of luck: what fits the minutes, and how runs are named."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chidu.errors import TextError
from chidu.runs.config import RunConfig
from chidu.runs.recipe import Recipe
from chidu.studies import STUDIES
from chidu.studies.seeds import LEAST_STEPS, SIZES, Purse, SeedsPlan, plan_seeds
from chidu.studies.study import Seeds

SEEDS = STUDIES["self-averaging"].seeds
assert SEEDS is not None
RECIPES = [Recipe(1024, 128, batch_tokens) for batch_tokens in (1024, 256)]


def speed(configs: Sequence[RunConfig]) -> list[float]:
    """A core of 1e10 flops a second, and 2 ms of every step for what is not flops."""
    return [0.002 + config.batch_tokens * config.shape.flops_per_token() / 1e10 for config in configs]


def planned(minutes: float, text: str = "text", **how: object) -> SeedsPlan:
    purse = Purse(60 * minutes, 2, int(how.pop("tokens", 20_000_000)), 16_384)  # type: ignore[call-overload]
    return plan_seeds(RECIPES, purse, 0, text, speed, SEEDS, **how)  # type: ignore[arg-type]


def widths(plan: SeedsPlan) -> tuple[int, ...]:
    return tuple(sorted({rung.config.shape.width for rung in plan.rungs}))


def count(plan: SeedsPlan) -> int:
    return len({rung.config.seed for rung in plan.rungs if rung.config.shape.width == widths(plan)[0]})


@pytest.mark.parametrize("minutes", [6, 10, 20, 60, 400])
def test_it_fits_the_minutes(minutes: float) -> None:
    plan = planned(minutes)
    assert 0 < plan.seconds <= 60 * minutes
    assert count(plan) >= SEEDS.least
    assert min(rung.config.steps for rung in plan.rungs) >= LEAST_STEPS
    assert len(plan.rungs) == count(plan) * len(widths(plan)) * 3


def test_minutes_buy_longer_runs_and_larger_sizes() -> None:
    plans = [planned(minutes) for minutes in (6, 20, 400)]
    flops = [max(rung.config.flops for rung in plan.rungs) for plan in plans]
    assert flops == sorted(flops)
    assert widths(plans[0]) == SIZES[0]
    assert widths(plans[2])[-1] > SIZES[0][-1]
    assert count(plans[2]) >= SEEDS.wanted


def test_a_ladders_sizes_are_taken_and_its_runs_cost_nothing() -> None:
    ladder = [RECIPES[0].config(width, steps, 0) for width in (16, 24, 32, 48, 64) for steps in (200, 400)]
    without = planned(20, ladder=ladder)
    assert widths(without) == (16, 24, 32, 48, 64)
    first = [rung for rung in without.rungs if rung.config.seed == 0]
    assert [rung.config for rung in first] == ladder
    more = planned(20, ladder=ladder, has=lambda rung: rung.config in ladder)
    assert count(more) > count(without)


def test_names_tell_all_that_a_run_is_told_and_reads() -> None:
    names = [rung.name for rung in planned(20).rungs]
    assert len(set(names)) == len(names)
    assert not set(names) & {rung.name for rung in planned(20, text="other text").rungs}
    again = planned(21)
    assert set(names) <= {rung.name for rung in again.rungs}
    assert SeedsPlan.from_dict(again.as_dict()) == again


def test_too_little_time_or_text_is_said_with_what_is_needed() -> None:
    with pytest.raises(TextError, match=r"0\.5 minutes of training are too few for 5 seeds .* need about \d+: give"):
        planned(0.5)
    with pytest.raises(TextError, match="holds 100,000 tokens to train on; a study needs 153,601: add text"):
        planned(20, tokens=100_000)


def test_twins_of_another_rate_are_the_first_seeds_longest_runs() -> None:
    plain, twins = (
        plan_seeds(RECIPES, Purse(600, 2, 20_000_000, 16_384), 0, "text", speed, Seeds(2, 8, 2, rates))
        for rates in ((), (0.5, 2.0))
    )
    assert set(plain.rungs) < set(twins.rungs)
    more = [rung for rung in twins.rungs if rung not in plain.rungs]
    assert len(more) == 2 * len(widths(plain))
    for rung in more:
        own = next(each for each in plain.rungs if each.config.shape == rung.config.shape)
        factor = rung.config.learning_rate / own.config.learning_rate
        assert factor in (0.5, 2.0)
        assert rung.config.head_learning_rate == factor * own.config.head_learning_rate
        assert rung.config.embedding_learning_rate == factor * own.config.embedding_learning_rate
        assert (rung.config.seed, rung.config.steps) == (0, max(each.config.steps for each in plain.rungs))
    assert plain.seconds < twins.seconds <= 600
    assert str(twins).endswith("; one of each at 0.5 and 2 times the rates")
    assert str(plain).startswith(f"{len(plain.rungs)} runs: 2 seeds of widths")
