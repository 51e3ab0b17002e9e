"""Forecasts: intervals that hold, levels that nest, a verdict that says why; backtests on top of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from planted import BENT, CHINCHILLA, grid, ladder_world

from chidu.errors import FitError, TableError
from chidu.laws import Fit, backtest, fit
from chidu.laws.calibration import student


def test_intervals_of_small_ladders_hold_at_eight_times_their_flops() -> None:
    random = np.random.default_rng(2024)
    inside, widths = [], []
    for _ in range(30):
        runs, point, measured = ladder_world(random)
        table = fit(runs, resamples=100).forecast(point)
        inside.append(table["low"][0] <= measured <= table["high"][0])
        widths.append((table["high"] - table["low"])[0] / table["loss"][0])
    assert np.mean(inside) >= 0.85
    assert np.median(widths) <= 0.10


def test_a_higher_level_gives_a_wider_interval_around_the_same_forecast() -> None:
    found = fit(BENT.table(*grid(4, 4), noise=0.003), resamples=50)
    point = {"params": [5e10], "tokens": [5e11]}
    half, most = found.forecast(point, level=0.5), found.forecast(point, level=0.95)
    assert half["loss"] == most["loss"]
    assert most["low"] < half["low"] < half["loss"] < half["high"] < most["high"]


def test_intervals_widen_with_distance() -> None:
    found = fit(BENT.table(*grid(4, 4), noise=0.003), resamples=100)
    table = found.forecast({"params": np.geomspace(1e10, 1e13, 4), "tokens": np.geomspace(2e11, 2e14, 4)})
    assert (np.diff((table["high"] - table["low"]) / table["loss"]) > 0).all()


def test_extrapolation_counts_the_largest_flops_seen() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    top = table["flops"].max()
    point = {"params": [1e11], "tokens": [2e12]}
    assert fit(table, resamples=5).forecast(point)["extrapolation"][0] == pytest.approx(6 * 1e11 * 2e12 / top)
    given = {**point, "flops": [3 * top]}
    assert fit(table, resamples=5).forecast(given)["extrapolation"][0] == pytest.approx(3)
    del table["flops"]
    # Without flops of its own the table's are counted.
    assert fit(table, resamples=5).forecast(point)["extrapolation"][0] == pytest.approx(6 * 1e11 * 2e12 / top)


def test_without_refits_there_is_no_interval() -> None:
    found = fit(CHINCHILLA.table(*grid(4, 4), noise=0.002), resamples=0)
    row = found.forecast({"params": [1e10], "tokens": [1e11]}).rows()[0]
    assert row["low"] is None
    assert row["loss"] > 0
    assert found.trust({"params": [1e10], "tokens": [1e11]})[0] == "with care"


def test_as_many_parameters_as_runs_are_not_trusted() -> None:
    flops = np.geomspace(1e18, 1e20, 4)
    loss = 1.5 + 900 / flops**0.15
    for rows, verdict in ((3, "no"), (4, "with care")):
        found = fit({"flops": flops[:rows], "loss": loss[:rows]}, "power", resamples=50)
        said, why = found.trust({"flops": [2 * flops[rows - 1]]})
        assert said == verdict
        assert ("as many parameters as runs" in why) is (verdict == "no")


def test_the_verdict_follows_the_distance() -> None:
    found = fit(CHINCHILLA.table(*grid(6, 6), noise=0.002), resamples=100)
    assert found.trust({"params": [2e10], "tokens": [4e11]})[0] == "yes"
    verdict, why = found.trust({"params": [1e11], "tokens": [2e12]})
    assert verdict == "with care"
    assert "more than 30×" in why
    assert found.trust({"params": [1e13], "tokens": [2e14]})[0] == "no"
    assert "tokens per param," in found.trust({"params": [1e12], "tokens": [1e9]})[1]


def test_points_are_checked() -> None:
    found = fit(CHINCHILLA.table(*grid(4, 4), noise=0.002), resamples=5)
    with pytest.raises(TableError, match="no column 'tokens'"):
        found.forecast({"params": [1e9]})
    with pytest.raises(TableError, match="row 1, column 'params'"):
        found.forecast({"params": [-1.0], "tokens": [1e9]})
    with pytest.raises(FitError, match="level"):
        found.forecast({"params": [1e9], "tokens": [1e9]}, level=90)
    for ask in (found.forecast, found.trust):
        with pytest.raises(FitError, match="no points"):
            ask({"params": [], "tokens": []})


def test_params_are_not_taken_for_params_matmul() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    table["params_matmul"] = table.pop("params")
    with pytest.raises(FitError, match=r"reads params_matmul .* the points have params"):
        fit(table, resamples=5).forecast({"params": [1e9], "tokens": [1e9]})


def test_students_quantile_is_near_the_tables() -> None:
    for freedom, expected in ((5, 2.015), (8, 1.860), (12, 1.782), (1e6, 1.645)):
        assert student(0.95, freedom) == pytest.approx(expected, abs=0.01)


def test_a_backtest_judges_runs_it_had_not_seen() -> None:
    score = backtest(BENT.table(*grid(5, 5), noise=0.002), "coupled", resamples=50)
    assert (score.table["gap"] > 1).all()
    assert score.cuts >= 3
    assert score.median_error < 0.01
    assert score.inside >= 0.7
    document = json.loads(json.dumps(score.as_dict()))
    assert set(document["rows"][0]) >= {"cut", "gap", "forecast", "low", "high", "measured", "error"}
    assert "median error" in str(score)


def test_without_refits_texts_have_dashes_and_no_nan() -> None:
    table = BENT.table(*grid(5, 5), noise=0.002)
    found, score = fit(table, resamples=0), backtest(table, "additive", resamples=0)
    for text in (str(found), str(found.plan(1e22)), str(score), score.summary):
        assert "nan" not in text
    assert "–" in str(found)
    assert "inside" not in score.summary
    assert score.as_dict()["inside"] is None
    json.dumps(score.as_dict(), allow_nan=False)


def test_a_backtest_needs_rows_to_leave_out() -> None:
    table = {name: column[:5] for name, column in CHINCHILLA.table(*grid(4, 4), noise=0.002).items()}
    with pytest.raises(FitError, match="too few to leave"):
        backtest(table, "power")


def repeated() -> dict[str, Any]:
    """Runs of which some see their text up to sixteen times, by the data-constrained law."""
    params, unique, epochs = (
        each.ravel() for each in np.meshgrid(np.geomspace(1e8, 1e10, 4), np.geomspace(1e9, 1e11, 4), [1.0, 4.0, 16.0])
    )
    worth = unique * (1 + 15.0 * -np.expm1(-(epochs - 1) / 15.0))
    loss = 1.7 + 400 / params**0.34 + 410 / worth**0.28
    return {"params": params, "tokens": unique * epochs, "unique_tokens": unique, "loss": loss}


def test_the_ratio_in_the_reason_is_that_of_the_runs_also_for_laws_of_three_inputs() -> None:
    runs = repeated()
    found = fit(runs, "data_constrained", resamples=30)
    ratio = runs["tokens"] / runs["params"]
    assert found.seen.tokens_per_param == pytest.approx((ratio.min(), ratio.max()))
    assert "tokens per param" not in found.trust({"params": [1e10], "tokens": [2e11], "unique_tokens": [2e11]})[1]
    why = found.trust({"params": [1e8], "tokens": [1e13], "unique_tokens": [1e13]})[1]
    assert f"1e+05 tokens per param, where the runs had {ratio.min():.3g} to {ratio.max():.3g}" in why


def test_the_order_of_a_formulas_columns_does_not_turn_the_ratio() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    ratios = [
        fit(table, law, resamples=0).seen.tokens_per_param
        for law in ("E + A/params**alpha + B/tokens**beta", "E + B/tokens**beta + A/params**alpha")
    ]
    assert ratios[0] == ratios[1] == pytest.approx((0.2, 2000))


def test_only_params_and_tokens_have_a_ratio() -> None:
    params, experts = (each.ravel() for each in np.meshgrid(np.geomspace(1e8, 1e9, 4), [1.0, 8.0, 64.0]))
    runs = {"params": params, "num_experts": experts, "loss": 1.5 + 400 / params**0.34 / experts**0.05}
    found = fit(runs, "E + A/params**alpha/num_experts**beta", resamples=20)
    assert found.seen.tokens_per_param is None
    assert "per param" not in found.trust({"params": [1e9], "num_experts": [5000.0]})[1]


def test_rows_too_few_to_redraw_are_said_so() -> None:
    table = CHINCHILLA.table(*(axis[[0, 3, 5, 10, 15]] for axis in grid(4, 4)), noise=0.002)
    point = {"params": [1e10], "tokens": [2e11]}
    assert "too few runs to redraw" in fit(table, "additive", 50).trust(point)[1]
    assert "without refits" in fit(table, "additive", 0).trust(point)[1]


def test_points_below_the_runs_are_looked_at_too() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    found = fit(table, resamples=50)
    low = table["params"].min(), table["tokens"].min()
    near = {"params": [low[0]], "tokens": [low[1] / 2]}
    assert found.trust(near)[0] == "yes"
    assert "2× below the least flops seen" in found.trust(near)[1]
    assert "missed" not in found.trust(near)[1]
    word, why = found.trust({"params": [low[0] / 3], "tokens": [low[1] / 3]})
    assert word == "with care"
    assert "9× below the least flops seen" in why
    word, why = found.trust({"params": [low[0] / 100], "tokens": [low[1] / 100]})
    assert word == "no"
    assert "10,000× below the least flops seen: nothing here was tested so far out" in why


def test_an_input_far_beyond_its_own_range_is_named() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    found = fit(table, resamples=50)
    high, low = table["params"].max(), table["tokens"].min()
    assert "params 100× the largest seen" in found.trust({"params": [100 * high], "tokens": [low]})[1]
    word, why = found.trust({"params": [2000 * high], "tokens": [low / 20]})
    assert word == "no"
    assert "params 2,000× the largest seen: nothing here" in why


def test_rows_that_look_like_checkpoints_are_a_reason_for_care() -> None:
    random = np.random.default_rng(0)
    sizes, steps = np.geomspace(1e7, 1e9, 6), np.linspace(1, 20, 20)
    params, tokens = np.repeat(sizes, 20), np.tile(steps, 6) * 1e9
    stray = np.concatenate([0.002 * np.convolve(random.normal(size=24), np.ones(5) / 2, "valid") for _ in sizes])
    loss = (1.7 + 400 / params**0.34 + 410 / tokens**0.28) * np.exp(stray)
    found = fit({"params": params, "tokens": tokens, "loss": loss}, "additive", resamples=50)
    assert any("look like checkpoints" in text for text in found.warnings)
    word, why = found.trust({"params": [1e9], "tokens": [2e10]})
    assert word == "with care"
    assert "look like checkpoints of a few trainings" in why


def test_a_law_without_trend_is_no_ground_for_a_plan() -> None:
    params, tokens = grid(4, 4)
    loss = 2 + 0.1 * np.log(params / params.min()) + 0.001 * np.arange(len(params)) % 0.003
    found = fit({"params": params, "tokens": tokens, "loss": loss}, "additive", resamples=0)
    with pytest.raises(FitError, match="nothing to plan by: the dearer half"):
        found.plan(1e22)


def test_repeated_text_that_the_law_does_not_read_is_warned_of() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    unique = {**table, "unique_tokens": table["tokens"] / np.where(np.arange(16) < 3, 4, 1)}
    assert any("3 runs saw text more than once" in text for text in fit(unique, "additive", 0).warnings)
    once = {**table, "unique_tokens": table["tokens"]}
    assert not any("more than once" in text for text in fit(once, "additive", 0).warnings)
    assert not any("more than once" in text for text in fit(unique, "data_constrained", 0).warnings)


@pytest.mark.parametrize("groups", [0, 8])
def test_intervals_of_a_long_table_hold_the_fit_and_shrink_with_its_rows(groups: int) -> None:
    random = np.random.default_rng(3)
    widths = []
    for count in (500, 8_000):
        params, tokens = np.exp(random.uniform(np.log([1e7, 1e9]), np.log([1e9, 1e11]), (count, 2))).T
        loss = CHINCHILLA.loss(params, tokens) * np.exp(random.normal(0, 0.003, count))
        table = {"params": params, "tokens": tokens, "loss": loss}
        if groups:
            table["group"] = np.arange(count) % groups
        found = fit(table, "additive", resamples=100)
        low, high = found.intervals["E"]
        assert low <= found.parameters["E"] <= high
        widths.append(high - low)
    if not groups:
        assert 2.5 < widths[0] / widths[1] < 6.5  # the root of 16, in two draws


def test_a_saved_fit_whose_parameters_are_not_its_solutions_is_refused() -> None:
    values = fit(CHINCHILLA.table(*grid(4, 4), noise=0.002), resamples=5).as_dict()
    values["parameters"]["E"] *= 1.1
    with pytest.raises(FitError, match=r"damaged .*E is not what the solution has"):
        Fit.from_dict(values)
