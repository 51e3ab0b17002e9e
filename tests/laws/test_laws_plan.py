"""Plans: the least loss of a budget, whatever it was given in; limits kept and their cost said; inference counted."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import BENT, CHINCHILLA, Planted, grid
from typer.testing import CliRunner

from chidu.cli import plan as plan_verb
from chidu.errors import ChiduError, FitError, SettingError
from chidu.laws import Fit, fit
from chidu.laws.limits import Limits
from chidu.laws.plan import Plan
from chidu.laws.spending import Spending
from chidu.laws.valley import REPEAT_WORTH, effective_tokens

SLOPES = st.floats(0.2, 0.6)
BUDGETS = st.floats(19, 25).map(lambda power: 10**power)


@cache
def planted_fit(law: str, alpha: float, beta: float, balance: float, kappa: float) -> Fit:
    """A fit without noise to runs of a law whose two terms are about equal amid them."""
    N, D = grid(5, 5)
    A, B = 1e9**alpha * balance, 2e10**beta / balance
    planted = Planted(1.7, A ** (1 / kappa), alpha / kappa, B ** (1 / kappa), beta / kappa, kappa)
    return fit(planted.table(N, D), law, resamples=0)


LAWS = st.one_of(
    st.builds(planted_fit, st.just("additive"), SLOPES, SLOPES, st.floats(0.5, 2), st.just(1.0)),
    st.builds(planted_fit, st.just("coupled"), SLOPES, SLOPES, st.floats(0.5, 2), st.floats(0.5, 1.8)),
)


@cache
def noisy() -> Fit:
    return fit(CHINCHILLA.table(*grid(5, 5), noise=0.002), "additive", resamples=60)


def loss_of(found: Fit, params: Any, tokens: Any) -> Any:
    inputs = np.vstack([np.atleast_1d(params), np.atleast_1d(tokens)])
    return np.exp(found.solution.log_loss(inputs)[0])


def holds(plan: Plan) -> bool:
    """True where each interval holds its estimate."""
    found = vars(plan)
    slack = 1 + 1e-12
    return all(
        found[f"{name}_low"] <= found[name] * slack and found[name] <= found[f"{name}_high"] * slack
        for name in ("params", "tokens", "flops", "loss")
    )


# ---- the least loss of a budget


@given(LAWS, BUDGETS)
@settings(max_examples=25, deadline=None)
def test_the_optimum_beats_its_neighbours_on_the_same_budget(found: Fit, flops: float) -> None:
    plan = found.plan(flops)
    assert plan.params * plan.tokens * 6 == pytest.approx(flops, rel=1e-9)
    params = plan.params * np.exp(np.linspace(-3, 3, 601))
    assert plan.loss <= loss_of(found, params, flops / 6 / params).min() * (1 + 1e-9)


@given(LAWS, BUDGETS)
@settings(max_examples=15, deadline=None)
def test_the_optimum_is_the_closed_forms(found: Fit, flops: float) -> None:
    """Where N D = P, the least of A N^-α + B D^-β lies at N^(α+β) = α A P^β / (β B)."""
    plan, law = found.plan(flops), found.parameters
    alpha, beta, P = law["alpha"], law["beta"], flops / 6
    expected = (np.log(alpha * law["A"] / beta / law["B"]) + beta * np.log(P)) / (alpha + beta)
    assert np.log(plan.params) == pytest.approx(expected, abs=1e-4)


@given(LAWS, BUDGETS, st.floats(1.01, 100))
@settings(max_examples=20, deadline=None)
def test_more_budget_never_gives_more_loss(found: Fit, flops: float, times: float) -> None:
    for limits in ({}, {"unique_tokens": 5e10}, {"max_params": 2e9}, {"unique_tokens": 5e10, "max_params": 2e9}):
        assert found.plan(flops * times, **limits).loss <= found.plan(flops, **limits).loss * (1 + 1e-9)


@pytest.mark.parametrize("law", ["additive", "coupled"])
def test_a_plan_has_intervals_and_a_valley(law: str) -> None:
    found = fit(BENT.table(*grid(5, 5), noise=0.002), law, resamples=50)
    plan = found.plan(1e22)
    assert holds(plan)
    assert plan.params_low < plan.params_high
    assert (plan.flops_low, plan.flops_high) == (plan.flops, plan.flops)
    assert plan.loss_low < plan.loss < plan.loss_high
    low, high = plan.valley[0.5]
    np.testing.assert_allclose(
        loss_of(found, [low, high], 1e22 / 6 / np.array([low, high])), plan.loss * 1.005, rtol=1e-3
    )
    assert plan.valley[1.0][0] < low < plan.params < high < plan.valley[1.0][1]


def test_intervals_are_those_of_the_refits() -> None:
    found = noisy()
    plan, named = found.plan(1e22), found.solution.named(found.refits)
    alpha, beta = named["alpha"], named["beta"]
    logs = (np.log(alpha * named["A"] / beta / named["B"]) + beta * np.log(1e22 / 6)) / (alpha + beta)
    expected = np.exp(np.quantile(logs, [0.05, 0.95]))
    np.testing.assert_allclose([plan.params_low, plan.params_high], expected, rtol=1e-3)
    np.testing.assert_allclose([plan.tokens_high, plan.tokens_low], 1e22 / 6 / expected, rtol=1e-3)


def test_a_law_may_name_tokens_first() -> None:
    table = CHINCHILLA.table(*grid(5, 5))
    one = fit(table, "E + A/params**alpha + B/tokens**beta", resamples=0).plan(1e22)
    other = fit(table, "E + B/tokens**beta + A/params**alpha", resamples=0).plan(1e22)
    named = fit(table, "additive", resamples=0).plan(1e22)
    assert one.params == pytest.approx(named.params, rel=1e-3)
    assert other.params == pytest.approx(named.params, rel=1e-3)
    assert not any("bracketed" in text for text in other.warnings)


def test_a_plan_uses_the_tables_own_flops() -> None:
    table = CHINCHILLA.table(*grid(5, 5), noise=0.002)
    plan = fit({**table, "flops": table["flops"] * 1.25}, "additive", resamples=5).plan(1e22)
    assert plan.params * plan.tokens == pytest.approx(1e22 / 7.5)
    assert "7.5·params·tokens" in plan.flops_rule
    del table["flops"]
    assert "approximated as 6·" in fit(table, "additive", resamples=5).plan(1e22).flops_rule


def test_params_matmul_are_named() -> None:
    table = CHINCHILLA.table(*grid(5, 5), noise=0.002)
    found = fit({**table, "params_matmul": table["params"]}, "additive", resamples=5)
    plan = found.plan(1e21, memory=2e9)
    assert plan.params_column == "params_matmul"
    assert "params_matmul" in str(plan)
    assert any("embedding" in text for text in plan.warnings)


def test_an_optimum_outside_the_runs_is_said() -> None:
    params = np.geomspace(1e8, 1e10, 5).repeat(3)
    starved = CHINCHILLA.table(params, params * np.tile([0.5, 1.0, 2.0], 5), noise=0.002)
    assert any("not bracketed" in text for text in fit(starved, "additive", resamples=10).plan(1e22).warnings)


# ---- flops, money, hours


@given(st.floats(1, 1e9), st.floats(0.01, 100), st.floats(1e9, 1e16), st.integers(1, 10_000), st.floats(0.01, 1))
def test_money_hours_and_flops_come_back(amount: float, price: float, speed: float, devices: int, part: float) -> None:
    paid = Spending(money=amount, price=price, speed=speed, devices=devices)
    cost = paid.cost(paid.budget)
    assert cost.money == pytest.approx(amount)
    timed = Spending(hours=cost.hours, peak=speed / part, utilisation=part, devices=devices)
    assert timed.budget == pytest.approx(paid.budget)
    assert timed.cost(timed.budget).device_hours == pytest.approx(cost.device_hours)
    assert Spending(flops=paid.budget, price=price, speed=speed).cost(paid.budget).money == pytest.approx(amount)


def test_a_budget_is_the_same_in_any_unit() -> None:
    by_money = noisy().plan(money=20_000, price=2.5, speed=4e14, devices=16)
    by_hours = noisy().plan(hours=500, speed=4e14, devices=16, price=2.5)
    by_flops = noisy().plan(flops=8000 * 3600 * 4e14, price=2.5, peak=1e15, utilisation=0.4, devices=16)
    for plan in (by_hours, by_flops):
        assert plan.params == pytest.approx(by_money.params)
        assert (plan.money, plan.hours, plan.device_hours) == pytest.approx((20_000, 500, 8000))
    text = str(by_money)
    assert "With 20,000 to pay at 2.5 a device-hour" in text
    assert "8,000 device-hours" in text
    assert "20.8 days on 16 devices" in text
    assert str(by_hours).splitlines()[2].startswith("With 20.8 days on 16 devices")


def test_without_a_machine_no_cost_is_said() -> None:
    plan = noisy().plan(1e21, price=2.5)
    assert plan.as_dict()["money"] is None
    assert any("give speed" in text for text in plan.warnings)
    assert "device-hours" not in str(plan)


# ---- limits


def test_repeated_tokens_are_worth_less_each_time() -> None:
    tokens = np.array([5e8, 1e9, 2e9, 4e9, 1e12])
    worth = effective_tokens(tokens, 1e9)
    assert worth[0] == tokens[0]
    assert worth[1] == tokens[1]
    assert worth[3] == pytest.approx(1e9 * (1 + REPEAT_WORTH * (1 - np.exp(-3 / REPEAT_WORTH))))
    assert 3.7e9 < worth[3] < 3.75e9
    assert worth[4] == pytest.approx(1e9 * (1 + REPEAT_WORTH))
    np.testing.assert_array_equal(effective_tokens(tokens, np.inf), tokens)


@given(
    LAWS,
    BUDGETS,
    st.floats(8, 13).map(lambda power: 10**power),
    st.floats(1, 4),
    st.floats(7, 12).map(lambda power: 10**power),
    st.sampled_from([None, 1e9, 1e12, 1e14]),
)
@settings(max_examples=30, deadline=None)
def test_limits_are_never_exceeded(
    found: Fit, flops: float, unique: float, epochs: float, most: float, served: float | None
) -> None:
    limits = {"unique_tokens": unique, "epochs": epochs, "max_params": most, "memory": 3 * most}
    plan = found.plan(flops, inference_tokens=served, **limits)
    assert plan.params <= most * (1 + 1e-12)
    assert plan.tokens <= epochs * unique * (1 + 1e-12)
    assert plan.epochs <= epochs * (1 + 1e-12)
    if served is None:
        assert plan.flops <= flops * (1 + 1e-9)
        assert plan.loss >= found.plan(flops).loss * (1 - 1e-9)
    for binding in plan.bindings:
        assert binding.loss_cost > 0 or binding.flops_cost > 0
        assert f"limit {binding.name}" in str(plan)


def test_a_plan_sees_no_token_twice_unless_it_may() -> None:
    once, free = noisy().plan(1e22, unique_tokens=1e10), noisy().plan(1e22)
    assert once.tokens == pytest.approx(1e10)
    assert once.params * once.tokens * 6 == pytest.approx(1e22)
    assert once.bindings[0].name == "unique_tokens"
    assert once.bindings[0].loss_cost == pytest.approx(once.loss - free.loss)
    repeats = noisy().plan(1e22, unique_tokens=1e10, epochs=4)
    assert repeats.tokens == pytest.approx(4e10)
    assert free.loss < repeats.loss < once.loss
    assert holds(repeats)
    assert repeats.trust in ("with care", "no")
    assert "4 epochs" in repeats.why


def test_both_ways_with_short_text_are_given_with_their_loss() -> None:
    once, repeats = noisy().plan(1e22, unique_tokens=1e10), noisy().plan(1e22, unique_tokens=1e10, epochs=4)
    for plan in (once, repeats):
        assert [choice.name for choice in plan.choices] == ["each token once", "up to 4 epochs", "with text enough"]
        assert [choice.loss for choice in plan.choices[:2]] == pytest.approx([once.loss, repeats.loss])
        assert plan.choices[0].loss > plan.choices[1].loss > plan.choices[2].loss
        caution = next(text for text in plan.warnings if "Muennighoff" in text)
        assert "R* = 15.4" in caution
        assert "no part of your law" in caution
    assert [choice.chosen for choice in once.choices] == [True, False, False]
    assert [choice.chosen for choice in repeats.choices] == [False, True, False]
    assert "(this plan)" in str(once)


def test_a_law_of_repeats_is_asked_itself() -> None:
    N, D = grid(5, 5)
    unique = D / np.tile([1.0, 2.0, 4.0, 8.0, 16.0], 5)
    repeats = D / unique - 1
    worth = unique * (1 + 3.0 * (1 - np.exp(-repeats / 3.0)))
    table = {"params": N, "tokens": D, "unique_tokens": unique, "flops": 6 * N * D, "loss": CHINCHILLA.loss(N, worth)}
    plan = fit(table, "data_constrained", resamples=0).plan(1e22, unique_tokens=1e10, epochs=4)
    assert plan.tokens == pytest.approx(4e10)
    expected = CHINCHILLA.loss(plan.params, 1e10 * (1 + 3.0 * (1 - np.exp(-1.0))))
    assert plan.loss == pytest.approx(float(expected), rel=1e-4)
    assert not any("Muennighoff" in text for text in plan.warnings)
    assert "where no run told" not in plan.why


def test_enough_text_changes_nothing() -> None:
    plan, free = noisy().plan(1e22, unique_tokens=1e14), noisy().plan(1e22)
    assert plan.params == pytest.approx(free.params)
    assert not plan.bindings
    assert not plan.choices
    assert "The limits cost nothing" in str(plan)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"max_params": 5e8}, "max_params"),
        ({"memory": 1e9}, "memory"),
        ({"memory": 5e8, "bytes_per_param": 1}, "memory"),
        ({"tokens_per_second": 1000, "bandwidth": 1e12}, "tokens_per_second"),
        ({"tokens_per_second": 2000, "bandwidth": 1e12, "bytes_per_param": 1}, "tokens_per_second"),
        ({"max_params": 5e8, "memory": 24e9}, "max_params"),
    ],
)
def test_a_limit_on_params_is_named_with_its_cost(limits: dict[str, float], name: str) -> None:
    plan, free = noisy().plan(1e22, **limits), noisy().plan(1e22)
    assert plan.params == pytest.approx(5e8)
    assert plan.tokens == pytest.approx(1e22 / 6 / 5e8)
    (binding,) = plan.bindings
    assert (binding.name, binding.of) == (name, "params")
    assert binding.loss_cost == pytest.approx(plan.loss - free.loss)
    assert f"limit {name}: " in str(plan)
    assert holds(plan)


def test_limits_on_both_leave_budget_over() -> None:
    plan = noisy().plan(1e23, unique_tokens=1e10, max_params=1e9)
    assert (plan.params, plan.tokens) == pytest.approx((1e9, 1e10))
    assert plan.flops == pytest.approx(6e19)
    assert plan.budget == 1e23
    assert {binding.name for binding in plan.bindings} == {"unique_tokens", "max_params"}
    assert any("unspent" in text for text in plan.warnings)


# ---- inference


@given(LAWS, BUDGETS, st.floats(9, 15).map(lambda power: 10**power))
@settings(max_examples=25, deadline=None)
def test_counting_inference_never_takes_more_flops_for_the_same_loss(found: Fit, flops: float, served: float) -> None:
    plan, alone = found.plan(flops, inference_tokens=served), found.plan(flops)
    assert plan.loss == pytest.approx(alone.loss, rel=1e-6)
    in_all = alone.flops + 2 * alone.params * served
    assert plan.total_flops <= in_all * (1 + 1e-9)
    assert plan.total_flops == pytest.approx(6 * plan.params * plan.tokens + 2 * plan.params * served)
    assert plan.params <= alone.params * (1 + 1e-5)
    assert plan.tokens >= alone.tokens * (1 - 1e-5)
    other = next(choice for choice in plan.choices if choice.name == "inference not counted")
    assert other.total_flops == pytest.approx(in_all, rel=1e-9)


def test_the_run_of_least_flops_in_all_is_the_least_of_a_grid() -> None:
    found, served = noisy(), 1e12
    plan = found.plan(1e22, inference_tokens=served)
    law = found.parameters
    params = plan.params * np.exp(np.linspace(-2, 0.8, 4001))
    rest = plan.loss - law["E"] - law["A"] / params ** law["alpha"]
    params = params[rest > 0]
    tokens = (law["B"] / rest[rest > 0]) ** (1 / law["beta"])
    in_all = 6 * params * tokens + 2 * params * served
    assert plan.total_flops == pytest.approx(in_all.min(), rel=1e-5)
    assert plan.params == pytest.approx(params[in_all.argmin()], rel=2e-3)
    assert holds(plan)
    assert plan.flops > plan.budget
    assert any("× the budget" in text for text in plan.warnings)
    assert "this plan saves" in str(plan)


def test_a_budget_for_the_lifetime_pays_for_both() -> None:
    found, served = noisy(), 1e11
    plan = found.plan(1e22, inference_tokens=served, lifetime=True)
    assert plan.total_flops == pytest.approx(1e22)
    params = plan.params * np.exp(np.linspace(-1, 1, 2001))
    tokens = 1e22 / 6 / params - served / 3
    assert plan.loss <= loss_of(found, params[tokens > 0], tokens[tokens > 0]).min() * (1 + 1e-9)
    other = next(choice for choice in plan.choices if choice.name == "inference not counted")
    assert other.loss == pytest.approx(plan.loss, rel=1e-5)
    assert other.total_flops >= plan.total_flops
    assert holds(plan)


def test_short_text_stops_the_overtraining() -> None:
    free = noisy().plan(1e22, inference_tokens=1e13)
    plan = noisy().plan(1e22, inference_tokens=1e13, unique_tokens=free.tokens / 2)
    assert plan.tokens <= free.tokens / 2 * (1 + 1e-12)
    assert plan.loss == pytest.approx(free.loss, rel=1e-6)
    assert plan.bindings[0].loss_cost == 0
    assert plan.bindings[0].flops_cost == pytest.approx(plan.total_flops - free.total_flops)


def test_what_inference_does_not_change_is_said() -> None:
    assert "changes nothing here" in str(noisy().plan(1e22, inference_tokens=10.0))
    no_room = noisy().plan(1e22, inference_tokens=1e12, unique_tokens=1e10)
    assert no_room.params == pytest.approx(noisy().plan(1e22, unique_tokens=1e10).params)
    assert "changes nothing here" in str(no_room)


# ---- what it says


def test_the_first_line_says_whether_to_trust_it() -> None:
    plan = noisy().plan(1e22)
    assert str(plan).splitlines()[0] == f"trust: {plan.trust} ({plan.why})"
    assert "Train " in str(plan)
    assert "0.5% more loss" in str(plan)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"price": 2.5, "speed": 4e14, "unique_tokens": 1e10, "memory": 2e9},
        {"unique_tokens": 1e10, "epochs": 2, "inference_tokens": 1e12},
        {"inference_tokens": 1e11, "lifetime": True},
    ],
)
@pytest.mark.parametrize("resamples", [0, 20])
def test_a_plan_has_a_json_form_and_prints(asked: dict[str, Any], resamples: int) -> None:
    found = fit(CHINCHILLA.table(*grid(5, 5), noise=0.002), "additive", resamples=resamples)
    plan = found.plan(1e22, **asked)
    document = json.loads(json.dumps(plan.as_dict(), allow_nan=False))
    for name in ("params", "tokens", "flops", "loss"):
        assert {f"{name}_low", f"{name}_high"} <= set(document)
        assert resamples == 0 or document[f"{name}_low"] <= document[name] <= document[f"{name}_high"]
    assert {"valley", "bindings", "choices", "budget", "total_flops", "money", "hours", "trust", "why"} <= set(document)
    assert all(document[name] == value for name, value in asked.items() if name != "epochs")
    assert "nan" not in str(plan).lower()


def test_a_plan_can_be_made_of_a_saved_fit() -> None:
    again = Fit.from_dict(json.loads(json.dumps(noisy().as_dict())))
    assert again.plan(1e22, unique_tokens=1e10).as_dict() == noisy().plan(1e22, unique_tokens=1e10).as_dict()


# ---- what is refused


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "needs a budget"),
        ({"flops": float("nan")}, "flops is nan"),
        ({"flops": -1.0}, "flops is -1"),
        ({"flops": 0}, "flops is 0"),
        ({"flops": "1e21"}, "must be a number"),
        ({"flops": float("inf")}, "flops is inf"),
        ({"flops": 1e-3}, "too small"),
        ({"flops": 1e15, "inference_tokens": 1e16, "lifetime": True}, "too small"),
        ({"flops": 1e20, "money": 5.0}, "flops and money are given"),
        ({"money": 5.0}, "needs price and speed"),
        ({"money": 5.0, "speed": 1e14}, "needs price"),
        ({"hours": 5.0}, "needs speed"),
        ({"hours": 5.0, "speed": 1e14, "peak": 1e15}, "leave out peak"),
        ({"hours": 5.0, "peak": 1e15}, "give utilisation"),
        ({"hours": 5.0, "utilisation": 0.4}, "give peak"),
        ({"hours": 5.0, "peak": 1e15, "utilisation": 40}, "40% is 0.4"),
        ({"hours": 5.0, "speed": 1e14, "devices": 0}, "devices is 0"),
        ({"hours": 5.0, "speed": 1e14, "devices": 1.5}, "whole number"),
        ({"flops": 1e20, "devices": 8}, "devices says nothing"),
        ({"flops": 1e20, "unique_tokens": 0}, "unique_tokens is 0"),
        ({"flops": 1e20, "epochs": 2}, "without unique_tokens"),
        ({"flops": 1e20, "unique_tokens": 1e9, "epochs": 9}, "epochs is 9"),
        ({"flops": 1e20, "max_params": float("nan")}, "max_params is nan"),
        ({"flops": 1e20, "memory": 1.0}, "memory leaves room for 0.5"),
        ({"flops": 1e20, "tokens_per_second": 10}, "go together"),
        ({"flops": 1e20, "bandwidth": 1e12}, "go together"),
        ({"flops": 1e20, "bytes_per_param": 1}, "says nothing without memory"),
        ({"flops": 1e20, "inference_tokens": -1}, "inference_tokens is -1"),
        ({"flops": 1e20, "inference_tokens": 1e30}, "at most 1e"),
        ({"flops": 1e20, "lifetime": True}, "needs inference_tokens"),
        ({"flops": 1e20, "level": 90}, "level is 90"),
    ],
)
def test_what_can_not_be_is_one_line(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(FitError, match=words) as caught:
        noisy().plan(**asked)
    assert "\n" not in str(caught.value)


def test_laws_of_other_columns_are_refused_with_what_to_do() -> None:
    table = CHINCHILLA.table(*grid(5, 5), noise=0.002)
    with pytest.raises(FitError, match=r"over params and tokens.* fitted on flops.*fit a table"):
        fit(table, "power", resamples=0).plan(1e20)
    random = np.random.default_rng(0)
    wide = {**table, "batch_tokens": random.uniform(1e5, 1e6, len(table["loss"]))}
    found = fit(wide, "E + A/params**alpha + B/tokens**beta + G/batch_tokens**gamma", resamples=0)
    with pytest.raises(FitError, match="over params and tokens"):
        found.plan(1e20)


def test_laws_of_other_things_than_the_loss_are_refused() -> None:
    N, D = grid(5, 5)
    rates = {"params": N, "tokens": D, "learning_rate": 2.0 * N**-0.7 * D**0.3}
    with pytest.raises(FitError, match="speaks of learning_rate"):
        fit(rates, "learning_rate", resamples=0).plan(1e20)


def test_extreme_budgets_do_not_break_it() -> None:
    for flops in (1e2, 1e10, 1e40, 1e59):
        plan = noisy().plan(flops)
        assert holds(plan)
        assert plan.params * plan.tokens * 6 == pytest.approx(flops)
    assert noisy().plan(1e40).trust == "no"
    plan = noisy().plan(1e21, inference_tokens=1e18)
    assert plan.loss == pytest.approx(noisy().plan(1e21).loss, rel=1e-6)


def test_limits_say_what_bounds_what() -> None:
    limits = Limits(unique_tokens=1e9, epochs=2, memory=24e9, max_params=1e9)
    assert (limits.most("tokens"), limits.most("params")) == (2e9, 1e9)
    assert [bound.name for bound in limits.bounds if bound.of == "params"] == ["max_params", "memory"]
    assert limits.without("tokens").most("tokens") == np.inf
    assert limits.without("params").most("params") == np.inf
    assert limits.without("params").unique_tokens == 1e9


# ---- the command


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plan") / "fit.json"
    path.write_text(json.dumps(noisy().as_dict()), encoding="utf-8")
    return str(path)


def call(*words: str) -> str:
    app = typer.Typer()
    app.command()(plan_verb.command)
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_the_command_is_the_method(saved: str) -> None:
    flags = (
        *("--money", "20k", "--price", "2.5", "--peak", "1e15", "--utilisation", "0.4", "--devices", "8"),
        *("--unique-tokens", "20B", "--epochs", "2", "--max-params", "7B", "--memory", "24GB"),
        *("--bytes-per-param", "1", "--tokens-per-second", "50", "--bandwidth", "2TB/s", "--inference-tokens", "1T"),
    )
    expected = noisy().plan(
        **{"money": 20e3, "price": 2.5, "peak": 1e15, "utilisation": 0.4, "devices": 8},
        **{"unique_tokens": 20e9, "epochs": 2, "max_params": 7e9, "memory": 24e9},
        **{"bytes_per_param": 1, "tokens_per_second": 50, "bandwidth": 2e12, "inference_tokens": 1e12},
    )
    assert json.loads(call(saved, *flags, "--json")) == json.loads(json.dumps(expected.as_dict()))
    assert call(saved, *flags).strip() == str(expected)
    assert json.loads(call(saved, "--hours", "72", "--speed", "400T", "--devices", "8", "--json"))[
        "hours"
    ] == pytest.approx(72)


@pytest.mark.parametrize(("text", "count"), [("24GB", 24e9), ("1GiB", 2**30), ("2e9", 2e9), ("1.5 TB/s", 1.5e12)])
def test_memory_is_read_with_its_unit(saved: str, text: str, count: float) -> None:
    assert json.loads(call(saved, "--flops", "1e21", "--memory", text, "--json"))["memory"] == count


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--flops", "-1"), "--flops is -1"),
        (("--flops", "many"), "--flops: 'many' is not a number"),
        (("--flops", "1e999"), "--flops is 1e999"),
        (("--flops", "1e21", "--memory", "much GB"), "--memory: 'much GB' is not a number"),
        (("--flops", "1e21", "--memory", "0GB"), "--memory is 0"),
        (("--flops", "1e21", "--epochs", "0"), "--epochs is 0"),
        ((), "needs a budget"),
        (("--flops", "1e21", "--hours", "3"), "one budget"),
    ],
)
def test_flags_are_refused_in_one_line(saved: str, flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(ChiduError, match=words) as caught:
        call(saved, *flags)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, FitError | SettingError)
