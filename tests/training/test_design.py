"""The design: whatever the machine, the minutes and the text, a ladder that can be learned from, or a plain no."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from chidu.errors import TextError
from chidu.runs import Recipe, RunConfig
from chidu.training import Budget, Design, design_ladder
from chidu.training.design import LADDERS, LEAST_STEPS, LENGTHS, Probe
from chidu.training.probe import Speed

recipes = st.sampled_from([Recipe(), Recipe(vocabulary=512), Recipe(vocabulary=8192, batch_tokens=4096)])
speeds = st.floats(1e9, 1e14)
budgets = st.builds(
    Budget,
    seconds=st.floats(60, 36_000),
    processes=st.integers(1, 64),
    train_tokens=st.integers(10_000, 10**9),
    leap=st.sampled_from([3.0, 8.0]),
)


def probe_of(flops_a_second: float, overhead: float = 0.002) -> Probe:
    """A machine of this speed, with a cost of each step that no size avoids."""

    def seconds(config: RunConfig) -> float:
        return overhead + config.batch_tokens * config.shape.flops_per_token() / flops_a_second

    return lambda apart, together: Speed(tuple(map(seconds, apart)), seconds(together), 2)


def test_known_runs_are_taken_up_with_their_lengths() -> None:
    """A design that was carried out, with a little more time and with twice the time."""
    probe, first = probe_of(3e11), Budget(400.0, 2, 10**9, 8.0)
    made = design_ladder(Recipe(), first, 7, probe)
    known = [rung.config for rung in made.rungs]
    more = design_ladder(Recipe(), dataclasses.replace(first, seconds=420.0), 7, probe, known)
    assert [rung.config for rung in more.rungs] == known
    assert more.ladder_seconds < 5 < made.ladder_seconds
    twice = Budget(800.0, 2, 10**9, 8.0)
    free, found = (design_ladder(Recipe(), twice, 7, probe, runs) for runs in ([], known))
    assert found.target.config.flops >= free.target.config.flops
    widths = {rung.config.shape.width for rung in found.rungs}
    assert {config for config in known if config.shape.width in widths} <= {rung.config for rung in found.rungs}
    assert len({rung.name for rung in found.rungs}) == len(found.rungs)


@pytest.mark.parametrize("other", [{"seed": 8}, {"recipe": Recipe(learning_rate=0.02)}], ids=["seed", "recipe"])
def test_runs_of_another_recipe_or_seed_are_not_taken_up(other: dict[str, Any]) -> None:
    probe, budget = probe_of(3e11), Budget(400.0, 2, 10**9, 8.0)
    known = [rung.config for rung in design_ladder(Recipe(), budget, 7, probe).rungs]
    recipe, seed = other.get("recipe", Recipe()), other.get("seed", 7)
    assert design_ladder(recipe, budget, seed, probe, known) == design_ladder(recipe, budget, seed, probe)


# Most budgets that are drawn are too small for any ladder.
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(recipe=recipes, budget=budgets, speed=speeds, overhead=st.floats(0, 0.01))
def test_every_design_keeps_its_promises(recipe: Recipe, budget: Budget, speed: float, overhead: float) -> None:
    try:
        design = design_ladder(recipe, budget, 7, probe_of(speed, overhead))
    except TextError:
        assume(False)
        return
    configs = [rung.config for rung in design.rungs]
    target = design.target.config
    sizes = sorted({config.shape.params_matmul for config in configs})
    assert len(sizes) >= 4
    assert sizes[-1] >= 3 * sizes[0]
    for size in sizes:
        steps = sorted(config.steps for config in configs if config.shape.params_matmul == size)
        assert steps == [length * steps[0] for length in LENGTHS]
        assert steps[-1] == 4 * steps[0]
        assert steps[0] >= LEAST_STEPS
    assert target.flops >= budget.leap * max(config.flops for config in configs)
    assert target.shape.params_matmul > sizes[-1]
    assert max(config.tokens for config in [*configs, target]) <= budget.train_tokens
    assert design.ladder_seconds + design.target_seconds <= budget.seconds
    assert {config.seed for config in [*configs, target]} == {7}
    assert len({rung.name for rung in design.rungs}) == len(design.rungs)
    for group in {rung.group for rung in design.rungs}:
        shared = [rung.config for rung in design.rungs if rung.group == group]
        assert len({config.with_steps(1_000_000) for config in shared}) == 1
    assert Design.from_dict(json.loads(json.dumps(design.as_dict()))) == design


@pytest.mark.parametrize("widths", LADDERS, ids=str)
def test_every_ladder_spans_enough_sizes(widths: tuple[int, ...]) -> None:
    shapes = [Recipe().shape(width) for width in widths]
    assert len({shape.params_matmul for shape in shapes}) == len(widths) >= 4
    assert math.log10(shapes[-1].params_matmul / shapes[0].params_matmul) >= 0.8


def test_more_time_gives_no_smaller_ladder() -> None:
    flops = []
    for minutes in (3, 6, 10, 20, 60, 240):
        budget = Budget(minutes * 60, 2, 10**9, 3.0)
        design = design_ladder(Recipe(), budget, 0, probe_of(2e11))
        flops.append(sum(rung.config.flops for rung in design.rungs))
    assert flops == sorted(flops)


def test_too_short_a_text_is_refused_with_both_numbers() -> None:
    with pytest.raises(TextError) as caught:
        design_ladder(Recipe(), Budget(600, 2, 54_321, 8.0), 0, probe_of(1e12))
    message = str(caught.value)
    assert "54,321 tokens" in message
    needed = int(re.findall(r"need ([\d,]+),", message)[0].replace(",", ""))
    assert needed > 54_321
    # With what the message asks for, there is a ladder.
    design_ladder(Recipe(), Budget(600, 2, needed, 8.0), 0, probe_of(1e12))


@pytest.mark.parametrize("leap", [3.0, 8.0])
def test_too_few_minutes_are_refused_with_what_to_do(leap: float) -> None:
    with pytest.raises(TextError, match=r"1\.0 minutes .*too few.*--minutes"):
        design_ladder(Recipe(), Budget(60, 2, 10**9, leap), 0, probe_of(1e9))


def test_a_design_is_not_of_the_probes_order() -> None:
    one, two = (design_ladder(Recipe(), Budget(600, 2, 10**8, 8.0), 0, probe_of(1e12)) for _ in range(2))
    assert one == two
    assert dataclasses.replace(one, threads=1) != two
