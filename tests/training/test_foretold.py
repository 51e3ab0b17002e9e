"""Rungs that the law of the others foretells: left out where a planted law is exact, trained where it bends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from chidu.laws import Fit, fit
from chidu.runs import Ladder, Recipe, Run
from chidu.training import Rung
from chidu.training.foretold import train_unknown
from chidu.training.rungs import ladder_flops

WIDTHS, LENGTHS = (16, 20, 24, 32, 40, 48, 64), (640, 1280, 2560)
ALWAYS = (16, 24, 40, 64)


@pytest.fixture(scope="module")
def rungs() -> list[Rung]:
    recipe = Recipe(1024, 128, 1024)
    return [Rung(f"w{w}-{steps}", f"w{w}", recipe.config(w, steps, 0)) for w in WIDTHS for steps in LENGTHS]


class Planted:
    """Trains by a law; its losses fall sooner beyond 50,000 params, by `bend` for each e-fold."""

    def __init__(self, bend: float = 0.0) -> None:
        self.bend = bend
        self.trained: list[list[str]] = []

    def __call__(self, rungs: Sequence[Rung]) -> list[Run]:
        self.trained.append([rung.name for rung in rungs])
        return [self.run(rung) for rung in rungs]

    def run(self, rung: Rung) -> Run:
        size = rung.config.shape.params_matmul
        loss = 1.2 + 30 * size**-0.3 + 60 * rung.config.tokens**-0.25
        loss *= math.exp(-self.bend * max(0.0, math.log(size / 5e4)) ** 2)
        return Run(rung.name, rung.group, rung.config, loss, 0.01, 2.5, 10_000_000, 60.0, rung.config.flops)

    @property
    def names(self) -> list[str]:
        """All that was trained, in order."""
        return [name for names in self.trained for name in names]


@pytest.fixture(scope="module")
def fit_law() -> Callable[[Ladder, bool], Fit]:
    return lambda table, with_intervals: fit(table, resamples=100 if with_intervals else 0, objective="wide_huber")


def test_an_exact_law_leaves_out_what_lies_between(rungs: list[Rung], fit_law: Callable[[Ladder, bool], Fit]) -> None:
    train = Planted()
    runs, foretold = train_unknown(rungs, 0.01, train, fit_law)
    always = [rung.name for rung in rungs if rung.config.shape.width in ALWAYS]
    assert train.trained == [always]
    assert [run.name for run in runs] == always
    left_out = {each.name: each for each in foretold}
    assert left_out.keys() == {rung.name for rung in rungs} - set(always)
    for rung in rungs:
        if rung.name in left_out:
            each = left_out[rung.name]
            assert each.loss == pytest.approx(Planted().run(rung).loss, rel=1e-3)
            assert 0.99 * each.loss <= each.low <= each.loss <= each.high <= 1.01 * each.loss
            assert each.flops == rung.config.flops


def test_where_it_bends_every_rung_is_trained(rungs: list[Rung], fit_law: Callable[[Ladder, bool], Fit]) -> None:
    train = Planted(bend=0.1)
    runs, foretold = train_unknown(rungs, 0.01, train, fit_law)
    assert foretold == []
    assert [run.name for run in runs] == [rung.name for rung in rungs]
    assert sorted(train.names) == sorted(rung.name for rung in rungs)


def test_a_wide_margin_is_no_licence(rungs: list[Rung], fit_law: Callable[[Ladder, bool], Fit]) -> None:
    """The same bend, 0.1% of margin and 20%: more is left out, and never the ends."""
    _, foretold = train_unknown(rungs, 0.2, Planted(bend=0.1), fit_law)
    assert foretold
    assert not {each.name for each in foretold} & {f"w{width}-{steps}" for width in ALWAYS for steps in LENGTHS}


def test_runs_that_are_there_are_not_trained_and_count(
    rungs: list[Rung], fit_law: Callable[[Ladder, bool], Fit]
) -> None:
    there = [Planted().run(rung) for rung in rungs if rung.config.shape.width in (16, 20, 64)]
    train = Planted()
    runs, foretold = train_unknown(rungs, 0.01, train, fit_law, there)
    assert not set(train.names) & {run.name for run in there}
    assert {run.name for run in there} <= {run.name for run in runs}
    assert {each.name for each in foretold} == {f"w{width}-{steps}" for width in (32, 48) for steps in LENGTHS}


def test_small_ladders_have_nothing_between(rungs: list[Rung], fit_law: Callable[[Ladder, bool], Fit]) -> None:
    few = [rung for rung in rungs if rung.config.shape.width in ALWAYS]
    runs, foretold = train_unknown(few, 0.5, Planted(), fit_law)
    assert (len(runs), foretold) == (len(few), [])


def test_what_is_left_out_is_counted_with_its_trunk(rungs: list[Rung]) -> None:
    own = [rung for rung in rungs if rung.group == "w48"]
    others = [rung for rung in rungs if rung.group != "w48"]
    a_step = own[0].config.batch_tokens * own[0].config.shape.flops_per_token()
    # A trunk of 1,792 steps, and 192, 384 and 768 steps of falling rate.
    assert ladder_flops(rungs) - ladder_flops(others) == pytest.approx(a_step * (1792 + 192 + 384 + 768))
    assert ladder_flops(rungs) - ladder_flops([*others, own[0]]) == pytest.approx(a_step * (1344 + 384 + 768))
