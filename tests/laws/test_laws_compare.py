"""Two recipes: planted crossings are found, equal ones stay undecided, exchanging them mirrors everything."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import CHINCHILLA, Floats, Planted, grid

import chidu
from chidu.errors import FitError, TableError
from chidu.laws.catalogue import LAWS
from chidu.laws.compare import _below, compare
from chidu.laws.frontier import Frontier, crossing, multiplier
from chidu.laws.pairs import draw_pairs, match
from chidu.laws.rows import read_rows
from chidu.runs.ladder import Ladder

STEEP = Planted(1.7, 2400.0, 0.43, 2500.0, 0.36)
"""Worse than CHINCHILLA on small runs, better on large ones, with the same floor."""
POINT = {"params": 1e11, "tokens": 2e12}


def planted(law: Planted, noise: float, number: int, shared: Floats | float = 0.0, **more: Any) -> dict[str, Any]:
    table: dict[str, Any] = law.table(*grid(5, 4), noise=noise, seed=number)
    return {**table, "loss": table["loss"] * np.exp(shared), **more}


def best_loss(law: Planted, flops: float) -> float:
    params = np.geomspace(1e6, 1e14, 4001)
    return float(law.loss(params, flops / 6 / params).min())


def true_crossing(first: Planted, second: Planted) -> float:
    budgets = np.geomspace(1e17, 1e26, 400)
    gap = np.array([best_loss(second, each) - best_loss(first, each) for each in budgets])
    return float(budgets[np.flatnonzero(np.diff(np.sign(gap)))[0]])


def test_a_planted_crossing_is_found_within_its_interval() -> None:
    truth = true_crossing(CHINCHILLA, STEEP)
    held = []
    for seed in range(4):
        found = compare(
            planted(CHINCHILLA, 0.002, 2 * seed), planted(STEEP, 0.002, 2 * seed + 1), POINT, "additive", 200
        )
        met = found.crossing
        assert met is not None
        assert met.flops is not None
        assert met.flops == pytest.approx(truth, rel=1.0)
        held.append((met.low or 0) <= truth <= (met.high or math.inf))
        assert found.better_above == "B"
    assert sum(held) >= 3


def test_without_noise_all_is_exact() -> None:
    found = compare(planted(CHINCHILLA, 0, 0), planted(STEEP, 0, 0), {"flops": 1e24}, "additive", 20)
    truth = math.log(best_loss(STEEP, 1e24) / best_loss(CHINCHILLA, 1e24))
    assert found.difference == pytest.approx(truth, rel=1e-3)
    assert found.crossing is not None
    assert found.crossing.flops == pytest.approx(true_crossing(CHINCHILLA, STEEP), rel=0.1)
    assert found.multiplier is not None
    assert found.multiplier.value is not None
    assert best_loss(CHINCHILLA, 1e24 * found.multiplier.value) == pytest.approx(best_loss(STEEP, 1e24), rel=1e-4)
    assert found.better == "B"
    assert found.probability > 0.99


def test_a_clear_case_is_decided_and_says_so() -> None:
    worse = dataclasses.replace(CHINCHILLA, E=1.9)
    found = compare(planted(worse, 0.002, 1), planted(CHINCHILLA, 0.002, 2), {"params": 2e10, "tokens": 4e11})
    assert found.better == "B"
    assert found.low < found.difference < found.high < 0
    assert found.crossing is not None
    assert found.crossing.flops is None
    assert str(found).startswith("B is better than A at 20B params, 400B tokens: probability above 99%; trust: ")
    assert "no crossing between" in str(found)
    # The worse one's floor lies above the better one's loss: no budget reaches it.
    far = compare(planted(worse, 0.002, 1), planted(CHINCHILLA, 0.002, 2), {"flops": 1e26}, "additive", 100)
    assert far.multiplier is not None
    assert far.multiplier.value is None
    assert "needs more than 1e+03×" in str(far)


def test_equal_recipes_stay_undecided() -> None:
    chances = [
        compare(planted(CHINCHILLA, 0.003, seed), planted(CHINCHILLA, 0.003, seed + 100), POINT, "additive", 60)
        for seed in range(10)
    ]
    values = np.array([each.probability for each in chances])
    assert 0.35 < values.mean() < 0.65
    assert ((values > 0.05) & (values < 0.95)).mean() >= 0.8
    assert (values < 0.5).any()
    assert (values > 0.5).any()
    assert sum(each.better is None for each in chances) >= 9
    assert all(str(each).startswith("undecided at") for each in chances if each.better is None)


@pytest.mark.parametrize("seeds", [None, 0])
def test_exchanging_the_recipes_mirrors_everything(seeds: int | None) -> None:
    more = {} if seeds is None else {"seed": np.full(20, seeds)}
    a, b = planted(CHINCHILLA, 0.002, 1, **more), planted(STEEP, 0.002, 2, **more)
    one, other = (compare(*pair, POINT, "additive", 100, names=names) for pair, names in
                  (((a, b), ("a", "b")), ((b, a), ("b", "a"))))  # fmt: skip
    assert one.probability == pytest.approx(1 - other.probability, abs=1e-9)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert (one.better, one.better_above, one.trust, one.pairs) == (
        other.better, other.better_above, other.trust, other.pairs,
    )  # fmt: skip
    assert dataclasses.asdict(one.first) == dataclasses.asdict(other.second)
    assert one.crossing is not None
    assert other.crossing is not None
    assert (one.crossing.flops, one.crossing.low, one.crossing.high) == pytest.approx(
        (other.crossing.flops, other.crossing.low, other.crossing.high)
    )


def test_pairs_narrow_the_interval() -> None:
    widths = []
    for seed in range(2):
        shared = np.random.default_rng(seed).normal(0, 0.006, 20)
        a = planted(CHINCHILLA, 0.0005, 2 * seed + 50, shared)
        b = planted(dataclasses.replace(CHINCHILLA, A=420.0), 0.0005, 2 * seed + 51, shared)
        alone = compare(a, b, POINT, "additive", 100)
        paired = compare({**a, "seed": np.zeros(20)}, {**b, "seed": np.zeros(20)}, POINT, "additive", 100)
        assert (alone.pairs, paired.pairs) == (0, 20)
        assert paired.correlation > 0.5
        assert "resampled together" in str(paired)
        assert "none paired" in str(alone)
        assert paired.difference == pytest.approx(alone.difference)
        widths.append((paired.high - paired.low) / (alone.high - alone.low))
    assert max(widths) < 0.8


def test_noise_that_is_not_shared_is_not_cancelled() -> None:
    seeds = {"seed": np.zeros(20)}
    a, b = planted(CHINCHILLA, 0.004, 5), planted(CHINCHILLA, 0.004, 6)
    alone, paired = (
        compare(a, b, POINT, "additive", 100),
        compare({**a, **seeds}, {**b, **seeds}, POINT, "additive", 100),
    )
    assert paired.correlation < 0.5
    assert (paired.high - paired.low) / (alone.high - alone.low) > 0.75


def test_rows_are_matched_once_each_by_point_and_seed() -> None:
    N, D = grid(3, 3)
    a = Ladder(
        {"params": np.tile(N, 2), "tokens": np.tile(D, 2), "seed": [0] * 9 + [1] * 9, "loss": np.arange(3.0, 21)}
    )
    b = Ladder({"params": N, "tokens": D, "seed": [1] * 9, "loss": np.arange(2.0, 11)})
    law = LAWS["additive"]
    rows_a, rows_b = (read_rows(each, law, None, None) for each in (a, b))
    pairs = match(a, rows_a, b, rows_b)
    assert len(pairs) == 9
    # Seed 1 is the second half of A, whose losses are 10 above those of B.
    np.testing.assert_allclose(rows_a.loss[pairs.first] - rows_b.loss[pairs.second], 10)
    weights_a, weights_b = draw_pairs(rows_a, rows_b, pairs, 50, 0)
    np.testing.assert_array_equal(weights_a[:, pairs.first], weights_b[:, pairs.second])
    assert (weights_a.sum(axis=1) == 18).all()
    without = Ladder({name: column for name, column in b.columns.items() if name != "seed"})
    assert len(match(a, rows_a, without, read_rows(without, law, None, None))) == 0


def test_one_law_serves_both_chosen_on_both() -> None:
    found = compare(planted(CHINCHILLA, 0.002, 1), planted(STEEP, 0.002, 2), POINT, resamples=50)
    assert set(found.law_scores) == {"additive", "coupled"}
    for name in found.law_scores:
        alone = [
            chidu.fit(planted(law, 0.002, seed), name, 50).law_scores[name]
            for law, seed in ((CHINCHILLA, 1), (STEEP, 2))
        ]
        assert found.law_scores[name] == pytest.approx(np.mean(alone))
    assert compare(planted(CHINCHILLA, 0.002, 1), planted(STEEP, 0.002, 2), POINT, "coupled", 50).law == "coupled"


def test_tables_without_a_law_in_common_are_compared_by_flops() -> None:
    flops = np.geomspace(1e18, 1e21, 12)
    one_ratio = CHINCHILLA.table((flops / 120) ** 0.5, 20 * (flops / 120) ** 0.5, noise=0.002, seed=4)
    found = compare(one_ratio, planted(STEEP, 0.002, 1), {"params": 1e10, "tokens": 2e11}, resamples=50)
    assert found.law == "power"
    assert found.first.point == {"flops": 1.2e22}
    assert found.trust != "yes"
    assert "A: all runs keep one ratio" in str(found)


def test_formulas_over_other_columns_have_no_frontier() -> None:
    rates = np.geomspace(1e-4, 1e-1, 12)
    tables = [{"rate": rates, "loss": 2 + a * rates**0.5 * np.exp(np.random.default_rng(i).normal(0, 0.01, 12))}
              for i, a in enumerate((3.0, 2.0))]  # fmt: skip
    found = compare(*tables, {"rate": 0.2}, "E + A*rate**b", 30)
    assert found.crossing is None
    assert found.as_dict()["budget"] is None
    assert "frontier    none" in str(found)
    assert found.better == "B"
    with pytest.raises(FitError, match="name a point"):
        compare(*tables, None, "E + A*rate**b", 30)


def test_without_a_point_it_is_asked_at_ten_times_the_dearest_run() -> None:
    a, b = planted(CHINCHILLA, 0.002, 1), planted(STEEP, 0.002, 2)
    found = compare(a, b, law="additive", resamples=20)
    assert found.budget == pytest.approx(10 * a["flops"].max())
    assert found.first.point["params"] != found.second.point["params"]
    assert found.first.loss == found.first.optimum_loss


def test_losses_of_different_tokenizers_are_cautioned() -> None:
    a = planted(CHINCHILLA, 0.002, 1)
    found = compare(a, {**planted(CHINCHILLA, 0.002, 2), "loss": a["loss"] / 3}, POINT, "additive", 20)
    assert any("different tokenizers" in text for text in found.warnings)
    assert found.trust != "yes"
    assert "bits per byte" in str(found)


def test_what_cannot_be_compared_is_refused_in_one_line() -> None:
    a, b = planted(CHINCHILLA, 0.002, 1), planted(STEEP, 0.002, 2)
    matmul = {("params_matmul" if name == "params" else name): column for name, column in b.items()}
    cases: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((a, a, POINT), {}, "the same runs"),
        ((a, dict(a), POINT), {}, "the same runs"),
        ((a, matmul, POINT), {}, "the same columns of both"),
        ((a, b, {"params": 1e9}), {}, "lacks tokens"),
        ((a, b, {"params": 1e9, "token": 1e9}), {}, "did you mean 'tokens'"),
        ((a, b, {"flops": -1}), {}, "above 0"),
        ((a, b, {"flops": math.nan}), {}, "above 0"),
        ((a, b, POINT), {"resamples": 0}, "at least 20"),
        ((a, b, POINT), {"level": 90}, "level is 90"),
        ((a, b, POINT), {"names": ("x", "x")}, "called 'x'"),
        ((a, {name: column[:3] for name, column in b.items()}, POINT), {"law": "additive"}, "3 rows"),
    ]
    for words, settings_, message in cases:
        with pytest.raises(FitError, match=message) as caught:
            compare(*words, **{"law": "additive", "resamples": 20, **settings_})
        assert "\n" not in str(caught.value)
    with pytest.raises(TableError, match="no column 'loss'"):
        compare(a, {name: column for name, column in b.items() if name != "loss"}, POINT)


def test_it_has_a_json_form_without_nan() -> None:
    found = compare(planted(CHINCHILLA, 0.002, 1), planted(STEEP, 0.002, 2), POINT, "additive", 20)
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert {"verdict", "better", "probability", "difference", "low", "high", "crossing", "multiplier"} <= set(document)
    assert document["first"]["low"] < document["first"]["loss"] < document["first"]["high"]
    assert document["frontier"][0]["flops"] <= document["crossing"]["searched"][0] * (1 + 1e-9)
    assert str(found).splitlines()[0] == document["verdict"]


def test_chidu_has_it() -> None:
    assert chidu.compare is compare
    assert chidu.Comparison.__doc__


@given(t=st.floats(-8, 8), freedom=st.floats(2, 200))
def test_students_distribution_is_one(t: float, freedom: float) -> None:
    assert _below(t, freedom) + _below(-t, freedom) == pytest.approx(1)
    assert _below(t, freedom) <= _below(t + 0.1, freedom)


def test_students_distribution_is_the_tables() -> None:
    for t, freedom, expected in ((2.015, 5, 0.95), (1.860, 8, 0.95), (2.528, 20, 0.99), (0.0, 3, 0.5)):
        assert _below(t, freedom) == pytest.approx(expected, abs=1e-4)


@settings(max_examples=50)
@given(
    slope=st.floats(0.02, 0.3),
    steeper=st.floats(1.2, 3.0),
    place=st.floats(19.0, 25.0),
    shift=st.floats(-0.002, 0.002),
)
def test_lines_cross_and_multiply_where_they_do(slope: float, steeper: float, place: float, shift: float) -> None:
    """Two straight frontiers in logs: crossing and multiplier are known."""
    flops = np.geomspace(1e16, 1e28, 97)
    logs = np.log(flops) - place * np.log(10)
    first, second = (Frontier(flops, -each * logs, np.array([-each * logs + move for move in (shift, -shift)]))
                     for each in (slope, slope * steeper))  # fmt: skip
    met = crossing(first, second, (1e17, 1e27), 0.9)
    assert met.flops == pytest.approx(10**place, rel=1e-6)
    assert met.low is not None
    assert met.high is not None
    assert met.low <= met.flops <= met.high
    assert crossing(second, first, (1e17, 1e27), 0.9) == met
    assert crossing(first, second, (1e27, 1e28), 0.9).flops is None
    times = multiplier(first, second, 10**place * 10, 0.9)
    assert times.value is not None
    assert 10 * times.value == pytest.approx(10**steeper, rel=1e-3)


def test_the_same_rows_in_another_order_are_the_same_runs() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    order = np.random.default_rng(0).permutation(16)
    other = {name: column[order] for name, column in table.items()} | {"run": [f"r{k}" for k in range(16)]}
    with pytest.raises(FitError, match="A and B hold the same runs"):
        compare(table, other, resamples=20)


def test_a_comparison_is_of_losses() -> None:
    params, tokens = grid(4, 4)
    tables = [{"params": params, "tokens": tokens, "learning_rate": k * tokens**0.3 / params**0.7} for k in (1, 2)]
    with pytest.raises(FitError, match="the learning_rate law speaks of learning_rate"):
        compare(*tables, law="learning_rate", resamples=20)
