"""Fits recover what was planted, do not mind units, order or copies, and refuse in one line what they can't fit."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import BENT, CHINCHILLA, Planted, grid

from chidu.errors import FitError, TableError
from chidu.laws import LAWS, Fit, Status, backtest, fit
from chidu.laws.newton import minimize
from chidu.laws.rows import read_rows
from chidu.laws.solve import frame_of, pose
from chidu.runs.ladder import Ladder

additive_laws = st.builds(
    Planted,
    E=st.floats(0.5, 3),
    A=st.floats(50, 2000),
    alpha=st.floats(0.25, 0.5),
    B=st.floats(50, 2000),
    beta=st.floats(0.25, 0.5),
)
quick = settings(max_examples=15, deadline=None, derandomize=True)


@quick
@given(planted=additive_laws)
def test_noise_free_runs_give_the_exact_additive_law(planted: Planted) -> None:
    found = fit(planted.table(*grid()), "additive", resamples=0)
    assert found.status is Status.CONVERGED
    for name in found.parameters:
        assert found.parameters[name] == pytest.approx(getattr(planted, name), rel=1e-4)


@quick
@given(kappa=st.floats(0.5, 2.0), E=st.floats(0.8, 2.5))
def test_noise_free_runs_give_the_exact_coupled_law(kappa: float, E: float) -> None:
    planted = Planted(E, 300.0 ** (1 / kappa), 0.34 / kappa, 420.0 ** (1 / kappa), 0.3 / kappa, kappa)
    found = fit(planted.table(*grid()), "coupled", resamples=0)
    for name in found.parameters:
        assert found.parameters[name] == pytest.approx(getattr(planted, name), rel=1e-3)


def test_noise_free_runs_give_the_exact_power_law() -> None:
    flops = np.geomspace(1e18, 1e22, 9)
    found = fit({"flops": flops, "loss": 1.5 + 900 / flops**0.15}, "power", resamples=0)
    assert dict(found.parameters) == pytest.approx({"E": 1.5, "A": 900, "alpha": 0.15}, rel=1e-4)


def test_the_printed_formula_can_be_typed_in() -> None:
    found = fit(BENT.table(*grid(), noise=0.003), "coupled", resamples=0)
    point = {"params": 3e9, "tokens": 5e10}
    typed = eval(found.formula.replace("^", "**"), {**found.parameters, **point})
    assert found.forecast({name: [value] for name, value in point.items()})["loss"][0] == pytest.approx(typed, rel=1e-9)


@quick
@given(scale=st.floats(1e-6, 1e6), law=st.sampled_from(["additive", "coupled"]))
def test_units_change_nothing(scale: float, law: str) -> None:
    table = CHINCHILLA.table(*grid(5, 4), noise=0.003)
    before, after = fit(table, law, resamples=0), fit({**table, "params": table["params"] * scale}, law, resamples=0)
    assert after.objective == pytest.approx(before.objective, rel=1e-7)
    assert after.parameters["E"] == pytest.approx(before.parameters["E"], rel=1e-4)
    assert after.parameters["alpha"] == pytest.approx(before.parameters["alpha"], rel=1e-4)


@quick
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    table = BENT.table(*grid(4, 4), noise=0.003)
    order = np.random.default_rng(seed).permutation(len(table["loss"]))
    before = fit(table, "additive", resamples=20)
    after = fit({name: column[order] for name, column in table.items()}, "additive", resamples=20)
    assert after.as_dict() == before.as_dict()


@quick
@given(law=st.sampled_from(["additive", "coupled"]), seed=st.integers(0, 100))
def test_copies_of_half_weight_change_nothing(law: str, seed: int) -> None:
    table = CHINCHILLA.table(*grid(5, 4), noise=0.003, seed=seed)
    twice = {name: np.concatenate([column, column]) for name, column in table.items()}
    before = fit(table, law, resamples=0)
    by_argument = fit(twice, law, resamples=0, weights=np.full(40, 0.5))
    by_column = fit({**twice, "weight": np.full(40, 0.5)}, law, resamples=0)
    assert by_argument.objective == pytest.approx(before.objective, rel=1e-9)
    assert by_argument.parameters == pytest.approx(dict(before.parameters), rel=1e-4)
    assert by_column.parameters == pytest.approx(dict(by_argument.parameters), rel=1e-9)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    law=st.sampled_from([name for name in LAWS if LAWS[name].sums_powers]),
    seed=st.integers(0, 1000),
    noise=st.sampled_from([0.0005, 0.002, 0.006]),
)
def test_no_other_start_ends_lower(law: str, seed: int, noise: float) -> None:
    table = Ladder.of(BENT.table(*grid(6, 5), noise=noise, seed=seed))
    found = fit(table, law, resamples=0)
    rows = read_rows(table, LAWS[law], None, None)
    posed = pose(rows, LAWS[law], frame_of(rows, LAWS[law], rows.weights))
    random = np.random.default_rng(seed)
    low = np.array([0, -1.5, 0.03, -1.5, 0.03, -1.5])[: posed.size]
    high = np.array([1, 0.5, 1.2, 0.5, 1.2, 1.2])[: posed.size]
    ends = minimize(posed, random.uniform(low, high, (60, posed.size)), rows.weights[None], steps=150)
    assert found.objective <= ends.value.min() * (1 + 1e-6)


def test_a_table_of_many_rows_is_searched_in_part_and_fitted_whole() -> None:
    table = Ladder.of(BENT.table(*grid(40, 40), noise=0.003))
    found = fit(table, "coupled", resamples=0)
    assert found.status is Status.CONVERGED
    rows = read_rows(table, LAWS["coupled"], None, None)
    posed = pose(rows, LAWS["coupled"], frame_of(rows, LAWS["coupled"], rows.weights))
    starts = np.random.default_rng(0).normal(found.solution.theta, 0.05, (6, posed.size))
    ends = minimize(posed, starts, rows.weights[None], steps=150)
    assert found.objective <= ends.value.min() * (1 + 1e-6)


def test_a_saved_fit_forecasts_and_plans_the_same() -> None:
    found = fit(BENT.table(*grid(4, 4), noise=0.003), resamples=50)
    again = Fit.from_dict(json.loads(json.dumps(found.as_dict())))
    assert again.as_dict() == found.as_dict()
    point = {"params": [3e11], "tokens": [5e12]}
    assert again.forecast(point).rows() == found.forecast(point).rows()
    assert again.plan(1e24).as_dict() == found.plan(1e24).as_dict()
    assert again.trust(point) == found.trust(point)


def test_a_fit_can_be_copied_and_sent() -> None:
    found = fit(CHINCHILLA.table(*grid(4, 4), noise=0.002), resamples=5)
    assert pickle.loads(pickle.dumps(found)).as_dict() == copy.deepcopy(found).as_dict() == found.as_dict()
    with pytest.raises(AttributeError):
        found.law = "other"  # type: ignore[misc]


def test_what_is_no_saved_fit_is_refused() -> None:
    with pytest.raises(FitError, match="no saved fit"):
        Fit.from_dict({"law": "additive"})
    saved = fit(CHINCHILLA.table(*grid(4, 4)), resamples=0).as_dict()
    del saved["solution"]
    with pytest.raises(FitError, match="damaged"):
        Fit.from_dict(saved)


@pytest.mark.parametrize("values", [[], None, {"chidu_fit": 1, "solution": []}, {"chidu_fit": 1, "solution": {}}])
def test_json_of_another_shape_is_refused(values: Any) -> None:
    with pytest.raises(FitError, match=r"no saved fit|damaged"):
        Fit.from_dict(values)


DAMAGES: list[tuple[str, list[Any]]] = [
    *((name, ["x", 5, None, [], {}]) for name in ("law", "weighting", "objective_name", "status")),
    *((name, [5, None, [], {}]) for name in ("formula", "target")),
    ("fallback", [5, None]),
    ("level", ["0.9", 0, 1, 2.0, None, math.nan, True]),
    ("objective", [None, math.nan, "x"]),
    *((name, [None, -1, 1.5, "20", True]) for name in ("rows", "resamples", "seed")),
    ("inputs", [[], ["params"], "params", [1, 2], None]),
    ("parameters", [{}, [], None, {"E": 1.0}, {"E": "x", "A": 1.0, "alpha": 1.0, "B": 1.0, "beta": 1.0}]),
    ("intervals", [{}, [], None, {"E": [1.0, 2.0]}]),
    ("law_scores", [{}, [], None, {"power": 0.1}]),
    ("warnings", [5, "x", [5], None]),
    ("refits", [5, [[1.0]], [["x"] * 5], [[math.nan] * 5], None]),
    ("rivals", [5, [{}], None]),
    ("calibration", [{}, None, {"noise": 1.0}]),
    ("seen", [{}, None, []]),
    ("solution", [{}, None, []]),
    ("solution.theta", [[], [1.0], "x", [None] * 5]),
    ("solution.centre", [[], [1.0]]),
    ("solution.scale", [None, "x"]),
    ("solution.law", [None, {}]),
    ("solution.law.formula", ["x", "E + A/params**alpha", 5, "__import__('os')"]),
    ("solution.law.parameters", [[], ["E"]]),
    ("solution.law.sums_powers", [False, None]),
    ("seen.cost", [None, "x", math.inf]),
    ("seen.names", [[], ["params"]]),
    ("seen.lowest", [[], [1.0], None]),
]


@pytest.mark.parametrize("place", [place for place, _ in DAMAGES])
def test_a_damaged_value_of_a_saved_fit_is_named(place: str) -> None:
    whole = fit(CHINCHILLA.table(*grid(4, 4), noise=0.002), "additive", resamples=3).as_dict()
    for value in dict(DAMAGES)[place]:
        saved = json.loads(json.dumps(whole))
        *path, last = place.split(".")
        inner = saved
        for name in path:
            inner = inner[name]
        inner[last] = value
        with pytest.raises(FitError, match=r"the saved fit is damaged \(.*: fit the table again"):
            Fit.from_dict(saved)


def test_every_key_of_a_saved_fit_is_needed() -> None:
    whole = fit(CHINCHILLA.table(*grid(4, 4), noise=0.002), "additive", resamples=3).as_dict()
    for name in set(whole) - {"chidu_fit"}:
        with pytest.raises(FitError, match="damaged"):
            Fit.from_dict({key: value for key, value in whole.items() if key != name})


def test_every_law_can_be_saved() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    for law, objective in (
        ("power", "huber"), ("coupled", "squares"), ("kaplan", "huber"), ("additive", "raw_huber"),
        ("E + A/params**alpha + b*log(tokens)", "huber"),
    ):  # fmt: skip
        found = fit(table, law, resamples=3, objective=objective, bounds={"b": (-1, 1)} if "b*" in law else None)
        assert Fit.from_dict(json.loads(json.dumps(found.as_dict()))).as_dict() == found.as_dict()


def test_auto_takes_the_richer_law_only_where_it_forecasts_better() -> None:
    bent = fit(BENT.table(*grid(5, 4), noise=0.002), resamples=0)
    assert bent.law == "coupled"
    assert bent.law_scores["coupled"] < bent.law_scores["additive"]
    straight = fit(CHINCHILLA.table(*grid(5, 4), noise=0.002), resamples=0)
    assert straight.law == "additive"


def test_params_matmul_is_used_where_the_table_has_it() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    found = fit({**table, "params_matmul": table["params"] * 0.9}, "additive", resamples=0)
    assert found.inputs == ("params_matmul", "tokens")
    assert "params_matmul" in found.formula


def test_runs_of_one_ratio_are_fitted_over_flops() -> None:
    params = np.geomspace(1e7, 1e9, 8)
    table = CHINCHILLA.table(params, 20 * params, noise=0.001)
    assert fit(table, resamples=0).law == "power"
    point = {"flops": [table["flops"].max()]}
    saved = fit(table, resamples=20)
    assert any("one ratio of tokens to params" in text for text in saved.warnings)
    for found in (saved, Fit.from_dict(saved.as_dict())):
        verdict, why = found.trust(point)
        assert verdict != "yes"
        assert "one ratio" in why
    assert "one ratio" not in fit(table, "power", resamples=20).trust(point)[1]
    forced = fit(table, "additive", resamples=20)
    assert forced.status is Status.NOT_IDENTIFIED
    assert any("one ratio" in text for text in forced.warnings)


def test_runs_of_one_size_are_fitted_over_flops_and_it_is_said() -> None:
    found = fit(CHINCHILLA.table(np.full(8, 1e8), np.geomspace(1e9, 1e11, 8), noise=0.001), resamples=20)
    assert found.law == "power"
    assert any("every run has params = 1e+08" in text for text in found.warnings)


def test_a_fit_of_another_version_is_named() -> None:
    saved = fit(CHINCHILLA.table(*grid(4, 4)), resamples=0).as_dict()
    with pytest.raises(
        FitError, match=r"chidu_fit is 2\): where another version of chidu saved it, fit the table again"
    ):
        Fit.from_dict({**saved, "chidu_fit": 2})


def test_what_rows_cannot_fix_is_refused_in_one_line() -> None:
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    one_size = {**table, "params": np.full(16, 1e8)}
    few = {name: column[:4] for name, column in table.items()}
    same = {name: column[[0, 1, 4, 5] * 4] for name, column in table.items()}
    for runs, words in ((one_size, "every run has params"), (few, "4 rows"), (same, "only 4 different points")):
        with pytest.raises(FitError, match=words) as caught:
            fit(runs, "additive")
        assert "\n" not in str(caught.value)


def test_refusals_name_row_and_column() -> None:
    table = CHINCHILLA.table(*grid(4, 4))
    table["loss"][2] = np.nan
    with pytest.raises(TableError, match="row 3, column 'loss'"):
        fit(table)
    with pytest.raises(TableError, match="no column 'loss'"):
        fit({"params": [1, 2], "tokens": [1, 2]})
    with pytest.raises(TableError, match="row 2: the weight"):
        fit(CHINCHILLA.table(*grid(4, 4)), weights=[1, -1] + [1] * 14)


def test_settings_out_of_range_are_refused() -> None:
    table = CHINCHILLA.table(*grid(4, 4))
    with pytest.raises(FitError, match="level"):
        fit(table, level=1.5)
    with pytest.raises(FitError, match="resamples"):
        fit(table, resamples=-1)
    with pytest.raises(FitError, match="at most 100,000"):
        fit(table, resamples=100_001)
    for seed in (-1, 2**63):
        with pytest.raises(FitError, match="seed is"):
            fit(table, seed=seed)
        with pytest.raises(FitError, match="seed is"):
            backtest(table, seed=seed)


def test_a_floor_that_is_not_fixed_is_said() -> None:
    flops = np.geomspace(1e18, 1e19, 8)
    found = fit(
        {"flops": flops, "loss": 900 / flops**0.15 * np.exp(np.tile([0.002, -0.002], 4))}, "power", resamples=50
    )
    assert any("floor E" in text for text in found.warnings)
    for factor, said in ((2, False), (4, True)):
        assert ("floor E" in found.trust({"flops": [factor * 1e19]})[1]) is said


def test_a_floor_whose_interval_reaches_0_is_open_though_the_estimate_is_not() -> None:
    found = fit(CHINCHILLA.table(*grid(4, 4), noise=0.002), "additive", resamples=50)
    assert "E" not in found.solution.at_bound
    assert "floor E" not in found.trust({"params": [2e10], "tokens": [4e11]})[1]
    wide = replace(found, intervals={**found.intervals, "E": (0.0, 2.0)})
    verdict, why = wide.trust({"params": [2e10], "tokens": [4e11]})
    assert verdict == "with care"
    assert "floor E" in why


def test_shared_trajectories_are_drawn_whole_and_said() -> None:
    table = CHINCHILLA.table(*grid(6, 4), noise=0.002)
    named = {**table, "group": np.tile(list("abcdef"), 4)}
    assert any("groups" in text for text in fit(named, "additive", resamples=10).warnings)


def test_a_fit_prints_a_table_with_warnings_beside() -> None:
    params = np.geomspace(1e7, 1e9, 8)
    text = str(fit(CHINCHILLA.table(params, 20 * params, noise=0.001), "additive", resamples=20))
    for word in ("additive law", "alpha", "90% low", "objective", "not_identified", "warning"):
        assert word in text


def test_a_data_frame_will_do() -> None:
    pandas = pytest.importorskip("pandas")
    table = CHINCHILLA.table(*grid(4, 4), noise=0.002)
    assert fit(pandas.DataFrame(table), resamples=0).objective == fit(table, resamples=0).objective
    assert len(pandas.DataFrame(fit(table, resamples=5).forecast({"params": [1e9], "tokens": [1e10]}))) == 1
