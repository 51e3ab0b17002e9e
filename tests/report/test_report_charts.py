"""The numbers behind the charts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from undertaking import made_run

from chidu.laws import Status, fit
from chidu.report import ReportContent
from chidu.report.charts import forecast_chart, isoflop_chart, ladder_chart, smooth_curve
from chidu.report.figures import Chart, label, log_axis
from chidu.report.formula import formula_text
from chidu.report.page import script_data
from chidu.report.residuals import residual_charts
from chidu.report.scale import Scale, compute_optimal, size_groups
from chidu.report.sections import headline, sections
from chidu.report.tables import card_grids, flops_text, plan_rows
from chidu.report.texts import LANGUAGES, texts
from chidu.runs.ladder import Ladder

TEXT = texts("en")


def test_scale_gives_the_flops_of_the_rungs(content: ReportContent) -> None:
    scale = Scale.of(content.ladder)
    assert scale is not None
    size, tokens = (content.ladder.numbers(name) for name in ("params_matmul", "tokens"))
    points = scale.points(size, tokens)
    np.testing.assert_allclose(points["flops"], content.ladder.numbers("flops"), rtol=1e-12)
    np.testing.assert_allclose(points["params"], content.ladder.numbers("params"), rtol=1e-12)


@given(flops=st.floats(1e11, 1e24), ratio=st.floats(0.5, 2000))
def test_points_along_a_ratio_keep_ratio_and_flops(flops: float, ratio: float) -> None:
    size = np.array([1e5, 1e6, 1e7])
    ladder = Ladder({"params": size, "tokens": 20 * size, "flops": np.array([9.0, 7.0, 6.4]) * 20 * size**2})
    scale = Scale.of(ladder)
    assert scale is not None
    points = scale.along_ratio(np.array([flops]), ratio)
    np.testing.assert_allclose(points["flops"], flops, rtol=1e-6)
    np.testing.assert_allclose(points["tokens"] / points["params"], ratio, rtol=1e-9)


def test_best_size_agrees_with_the_plan(content: ReportContent) -> None:
    scale, law = Scale.of(content.ladder), content.fit
    assert scale is not None
    assert law is not None
    budgets = np.array([3e12, 3e13])
    points = compute_optimal(law, scale, budgets)
    assert points is not None
    reached = law.forecast(points)["loss"]
    planned = [law.plan(flops=budget).loss for budget in budgets]
    # The plan takes flops per param and token as one number; the page keeps the ladder's, which fall with size.
    np.testing.assert_allclose(reached, planned, rtol=0.02)


def test_residuals_have_the_sign_of_the_forecasts_error(content: ReportContent) -> None:
    for chart in residual_charts(content, TEXT):
        check_signs(chart)


def check_signs(chart: Chart) -> None:
    for _, loss, law, residual in chart.grid.rows:
        assert float(residual.rstrip("%")) == pytest.approx(100 * (float(law) / float(loss) - 1), abs=0.011)


def test_forecast_chart_shows_interval_and_standard_error(content: ReportContent) -> None:
    chart = forecast_chart(content, TEXT)
    assert chart is not None
    assert content.forecast is not None
    said, measured = chart.grid.rows
    assert said[1:] == tuple(f"{content.forecast[name]:.4f}" for name in ("loss", "low", "high"))
    assert float(measured[3]) - float(measured[2]) == pytest.approx(0.008, abs=2e-4)


def test_band_passes_through_the_forecast(content: ReportContent) -> None:
    chart = ladder_chart(content, TEXT)
    assert chart is not None
    assert content.forecast is not None
    line = next(trace for trace in json.loads(chart.figure)["data"] if trace["name"] == TEXT["law"])
    at = np.interp(np.log(content.forecast["point"]["flops"]), np.log(line["x"]), np.log(line["y"]))
    assert np.exp(at) == pytest.approx(content.forecast["loss"], rel=2e-3)


def test_isoflop_curves_meet_the_rungs_of_their_budget(content: ReportContent) -> None:
    chart = isoflop_chart(content, TEXT)
    assert chart is not None
    assert len(chart.grid.rows) == 5
    losses = [float(row[-1]) for row in chart.grid.rows]
    assert losses == sorted(losses, reverse=True)


def test_a_law_of_flops_alone_is_drawn() -> None:
    flops = np.geomspace(1e15, 1e18, 8)
    ladder = Ladder({"flops": flops, "loss": 1.5 + 900 / flops**0.2})
    content = ReportContent("power", ladder, fit=fit(ladder, resamples=50))
    assert [section.name for section in sections(content, TEXT)] == ["law", "ladder", "residuals", "limits"]


def test_a_law_over_own_columns_leaves_the_curves_out() -> None:
    rng = np.random.default_rng(0)
    width, passes = rng.uniform(1, 8, (2, 20))
    ladder = Ladder({"width": width, "passes": passes, "loss": 1 + 0.5 / width**0.5 + 0.7 / passes**0.5})
    content = ReportContent("own", ladder, fit=fit(ladder, law="additive", inputs=("width", "passes"), resamples=20))
    assert [section.name for section in sections(content, TEXT)] == ["law", "residuals", "limits"]


def test_many_sizes_become_few_groups() -> None:
    size = np.geomspace(1e6, 1e10, 240)
    groups = size_groups(Ladder({"params": size}), "params")
    assert 1 < len(groups) <= 8
    assert sorted(row for group in groups for row in group.rows.tolist()) == list(range(240))


@settings(max_examples=50)
@given(low=st.floats(1e-3, 1e20), factor=st.floats(1.001, 1e6))
def test_log_axis_has_ticks_inside_its_range(low: float, factor: float) -> None:
    axis = log_axis("loss", low, low * factor)
    start, end = axis["range"]
    ticks = axis.get("tickvals")
    if ticks is None:
        assert end - start > 1.3
    else:
        assert 1 <= len(ticks) <= 14
        assert all(start - 1e-9 <= np.log10(tick) <= end + 1e-9 for tick in ticks)


def test_smoothing_keeps_few_points_and_the_range() -> None:
    run = made_run(32, 2, 2400, np.random.default_rng(0))
    run = replace(run, curve=tuple((step, 9 / step**0.1) for step in range(1, 2401)))
    tokens, loss = smooth_curve(run)
    assert len(tokens) <= 121
    assert np.all(np.diff(tokens) > 0)
    assert np.all(np.diff(loss) < 0)
    assert tokens[-1] <= run.config.tokens


def test_a_diverged_curve_is_drawn_where_it_is_finite() -> None:
    run = made_run(32, 2, 600, np.random.default_rng(0))
    tokens, loss = smooth_curve(replace(run, curve=((1, 8.0), (2, 5.0), (3, float("nan")))))
    assert len(tokens) == 2
    assert np.isfinite(loss).all()


def test_formula_holds_the_estimates(content: ReportContent) -> None:
    assert content.fit is not None
    formula = formula_text(content.fit)
    columns = {name: content.ladder.numbers(name)[0] for name in ("params_matmul", "tokens")}
    value = eval(formula.removeprefix("loss = ").replace("^", "**"), {}, columns)
    assert value == pytest.approx(content.fit.forecast(columns)["loss"][0], rel=1e-3)


def test_plans_are_read_as_list_as_one_and_as_table() -> None:
    one = {
        "flops": 1e15,
        "params": 1e6,
        "tokens": 1e8,
        "loss": 2.5,
        "valley": {"1%": [1, 2]},
        "warnings": [],
        "n": None,
    }
    table = {"flops": np.array([1e15, 1e16]), "loss": np.array([2.5, 2.3])}
    assert plan_rows([one, one]) == plan_rows(one) * 2
    assert [row["loss"] for row in plan_rows(table)] == [2.5, 2.3]
    assert plan_rows(None) == []


def test_a_data_card_of_any_form_is_shown() -> None:
    grids, notes = card_grids({"documents": 3, "strange": {"a": 1, "b": {"c": 2}}, "empty": {}, "limits": ["x"]}, TEXT)
    assert [grid.rows for grid in grids] == [(("documents", "3"),), (("a", "1"), ("b.c", "2"))]
    assert notes == ["x"]


def test_flops_are_written_in_one_form() -> None:
    assert [flops_text(value) for value in (2.1e13, 1e21, None)] == ["2.1\u00a0×\u00a010¹³", "1\u00a0×\u00a010²¹", "–"]


def test_a_fit_without_refits_is_drawn_without_an_interval(content: ReportContent) -> None:
    bare = fit(content.ladder, law="additive", resamples=0)
    said = {**(content.forecast or {}), "low": None, "high": None}
    without = replace(content, fit=bare, forecast=said)
    assert "ladder" in [section.name for section in sections(without, TEXT)]
    chart = forecast_chart(without, TEXT)
    assert chart is not None
    assert chart.grid.rows[0][1:] == (f"{said['loss']:.4f}",) * 3
    assert not any("interval runs" in line for line in headline(without, TEXT).lines)


def test_every_status_has_words() -> None:
    for language in LANGUAGES:
        assert all(texts(language)[f"status_{status.value}"] for status in Status)


def test_labels_and_chart_data_hold_no_markup() -> None:
    assert "<" not in label("<b>")
    assert "<" not in script_data(json.dumps("</script><!--"))
    assert json.loads(script_data(json.dumps("</script>&<!--"))) == "</script>&<!--"


def test_a_law_over_flops_alone_has_no_isoflop_chart(content: ReportContent) -> None:
    assert isoflop_chart(content, TEXT) is not None
    assert isoflop_chart(replace(content, fit=fit(content.ladder, "power", resamples=5)), TEXT) is None
