"""A law's own page: its numbers are the fit's, it says what is missing, and nothing in a table can harm it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from test_report_chinese import is_chinese
from test_report_page import HOSTILE, Page, page_of
from typer.testing import CliRunner

from chidu.cli.report import command
from chidu.laws import Fit, backtest, fit
from chidu.laws.profile import profile
from chidu.report import ReportContent
from chidu.report.figures import label
from chidu.report.lawpage import law_content
from chidu.report.plane import frontier
from chidu.report.rungs import scale_of, span_of
from chidu.report.sections import Section, headline, sections
from chidu.report.tables import flops_text, loss_text, with_interval
from chidu.report.texts import LANGUAGES, texts
from chidu.runs.ladder import Ladder

APP = typer.Typer()
APP.command()(command)
TEXT = texts("en")
WHOLE = ["law", "ladder", "residuals", "isoflop", "plane", "plan", "backtest", "profile", "settings", "limits"]


def table(**more: Any) -> Ladder:
    size, ratio = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(5, 160, 6)))
    noise = np.random.default_rng(0).normal(0, 0.003, len(size))
    loss = (1.7 + 400 / size**0.34 + 410 / (ratio * size) ** 0.28) * np.exp(noise)
    return Ladder({"params": size, "tokens": ratio * size, "flops": 6 * ratio * size**2, "loss": loss, **more})


@pytest.fixture(scope="module")
def runs() -> Ladder:
    return table()


@pytest.fixture(scope="module")
def law(runs: Ladder) -> Fit:
    return fit(runs, "additive", 200)


@pytest.fixture(scope="module")
def whole(law: Fit, runs: Ladder) -> ReportContent:
    return law_content(law, runs, "runs.csv", "additive")


def parts(content: ReportContent, language: str = "en") -> dict[str, Section]:
    return {section.name: section for section in sections(content, texts(language))}


def drawn(section: Section, chart: int = 0) -> list[dict[str, Any]]:
    """The traces of a chart, as the browser reads them."""
    return json.loads(section.charts[chart].figure)["data"]


def named(traces: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(trace for trace in traces if trace.get("name") == name)


def test_every_section_is_there_in_order(whole: ReportContent) -> None:
    assert list(parts(whole)) == WHOLE


def test_the_tables_numbers_are_the_fits(whole: ReportContent, law: Fit, tmp_path: Path) -> None:
    _, page = page_of(tmp_path, whole)
    for name, value in law.parameters.items():
        low, high = law.intervals[name]
        assert f"{name} {value:.5g} {low:.5g} {high:.5g}" in page.words
    assert f"objective {law.objective:.8g}" in page.words
    assert f"loss = {law.formula}" in page.words
    for factor in (1, 10, 100):
        plan = law.plan(flops=law.seen.cost * factor).as_dict()
        row = " ".join(with_interval(plan, name, TEXT) for name in ("flops", "params", "tokens", "loss"))
        assert " ".join(row.split()) in page.words
    trust, why = law.trust({name: [law.plan(flops=10 * law.seen.cost).as_dict()[name]] for name in law.inputs})
    assert f"Trust at 10 × the flops of the dearest run: {trust} ({why})." in page.words


def test_curves_and_band_are_the_fits_forecasts(whole: ReportContent, law: Fit, runs: Ladder) -> None:
    shown = parts(whole)
    for row in shown["ladder"].charts[0].grid.rows:
        _, _, flops, measured, fitted = row
        at = next(i for i in range(len(runs)) if loss_text(runs.numbers("loss")[i]) == measured)
        assert flops == flops_text(runs.numbers("flops")[at])
        point = {name: [runs.numbers(name)[at]] for name in law.inputs}
        assert fitted == loss_text(law.forecast(point)["loss"][0])
    line = named(drawn(shown["isoflop"]), f"{flops_text(runs.numbers('flops').min())} flops")
    tokens = runs.numbers("flops").min() / 6 / np.array(line["x"])
    np.testing.assert_allclose(line["y"], law.forecast({"params": line["x"], "tokens": tokens})["loss"], rtol=1e-4)


def test_residuals_are_drawn_against_everything_the_law_reads(whole: ReportContent, law: Fit, runs: Ladder) -> None:
    section = parts(whole)["residuals"]
    away = 100 * (law.forecast(runs)["loss"] / runs.numbers("loss") - 1)
    assert len(section.charts) == 3
    for chart, name in enumerate(("flops", "params", "tokens")):
        marks = {(x, y) for trace in drawn(section, chart) for x, y in zip(trace["x"], trace["y"], strict=True)}
        wanted = {
            (float(f"{x:.6g}"), float(f"{y:.6g}"))
            for x, y in zip(runs.numbers(name).tolist(), away.tolist(), strict=True)
        }
        assert marks == wanted
    sizes = np.unique(runs.numbers("params"))
    for row, size in zip(section.grids[0].rows, sizes, strict=True):
        own = away[runs.numbers("params") == size]
        assert row[1:] == ("6", f"{own.mean():+.2f}%", f"{np.median(np.abs(own)):.2f}%", f"{np.abs(own).max():.2f}%")


def test_the_frontier_is_the_plans(whole: ReportContent, law: Fit) -> None:
    scale = scale_of(whole)
    assert scale is not None
    span = span_of(whole, scale)
    assert span is not None
    plans = frontier(law, span)
    best = named(drawn(parts(whole)["plane"]), TEXT["frontier"])
    for plan, params, tokens in zip(plans, best["x"], best["y"], strict=True):
        again = law.plan(flops=plan.flops)
        assert (params, tokens) == (pytest.approx(again.params, rel=1e-5), pytest.approx(again.tokens, rel=1e-5))
    assert plans[-1].flops == pytest.approx(10 * law.seen.cost)


def test_contours_stand_where_the_law_has_their_loss(whole: ReportContent, law: Fit) -> None:
    labels = next(trace for trace in drawn(parts(whole)["plane"]) if trace.get("mode") == "text")
    at = law.forecast({"params": labels["x"], "tokens": labels["y"]})["loss"]
    np.testing.assert_allclose(at, [float(text) for text in labels["text"]], rtol=2e-3)
    assert len(labels["text"]) >= 4


def test_the_backtest_is_the_backtests(whole: ReportContent, runs: Ladder) -> None:
    found, section = backtest(runs, "additive"), parts(whole)["backtest"]
    assert f"{len(found.table['error'])} forecasts at {found.cuts} cuts" in section.lines[0]
    assert f"{100 * found.median_error:.2f}%" in section.lines[0]
    marks = [trace for trace in drawn(section) if trace["mode"] == "markers"]
    for name, axis in (("measured", "x"), ("forecast", "y")):
        shown = sorted(value for trace in marks for value in trace[axis])
        np.testing.assert_allclose(shown, np.sort(found.table[name].astype(float)), rtol=1e-5)
    tops = sorted(y + up for trace in marks for y, up in zip(trace["y"], trace["error_y"]["array"], strict=True))
    np.testing.assert_allclose(tops, np.sort(found.table["high"].astype(float)), rtol=1e-4)


def test_profiles_are_the_profiles(whole: ReportContent, law: Fit, runs: Ladder) -> None:
    section = parts(whole)["profile"]
    for number, found in enumerate(profile(law, runs)):
        line, mark = drawn(section, number)
        np.testing.assert_allclose(line["x"], found.values, rtol=1e-5)
        np.testing.assert_allclose(line["y"], found.objective, rtol=1e-5)
        assert mark["y"] == [pytest.approx(law.objective, rel=1e-5)]
        band = json.loads(section.charts[number].figure)["layout"]["shapes"][0]
        assert (band["x0"], band["x1"]) == pytest.approx(law.intervals[found.parameter])


def test_a_saved_fit_says_what_it_can_not_show(law: Fit, whole: ReportContent, tmp_path: Path) -> None:
    saved = law_content(Fit.from_dict(law.as_dict()), None, "fit.json", "additive")
    shown, with_runs = parts(saved), parts(whole)
    assert list(shown) == WHOLE
    for name in ("residuals", "backtest", "profile"):
        assert not shown[name].charts
        assert "saved fit holds no runs" in shown[name].lines[0]
    for name in ("ladder", "isoflop", "plane"):
        assert not any(trace.get("mode") == "markers" and len(trace["x"]) > 1 for trace in drawn(shown[name]))
    assert shown["plan"].grids == with_runs["plan"].grids
    assert shown["law"].formulas == with_runs["law"].formulas
    _, page = page_of(tmp_path, saved)
    assert "which holds no runs" in page.words


def test_a_law_of_flops_alone_forecasts_budgets() -> None:
    flops = np.geomspace(1e15, 1e18, 9)
    noise = np.random.default_rng(0).normal(0, 0.003, 9)
    runs = Ladder({"flops": flops, "loss": (1.5 + 900 / flops**0.2) * np.exp(noise)})
    found = fit(runs, resamples=50)
    shown = parts(law_content(found, runs, "power"))
    assert list(shown) == ["law", "ladder", "residuals", "plan", "backtest", "profile", "settings", "limits"]
    for point, row in zip((1e18, 1e19, 1e20), shown["plan"].grids[0].rows, strict=True):
        forecast = found.forecast({"flops": [point]}).rows()[0]
        assert row == (flops_text(point), f"{forecast['loss']:.4f} ({forecast['low']:.4f} to {forecast['high']:.4f})")
    assert list(parts(law_content(found, None, "power"))) == list(shown)


def test_a_law_of_another_target_is_not_tried_on_dearer_runs() -> None:
    loss = np.linspace(2, 4, 12)
    runs = Ladder({"loss": loss, "score": 0.25 + 0.6 / (1 + np.exp(3 * (loss - 2.8)))})
    content = law_content(fit(runs, "score", 20), runs, "scores", "score")
    shown = parts(content)
    assert shown["backtest"].lines == ("Only laws of the loss are tried on dearer runs.",)
    assert json.loads(shown["ladder"].charts[0].figure)["layout"]["yaxis"]["title"]["text"] == "score"
    assert "plan" not in shown


def test_a_formula_has_a_page_whose_cost_is_named_by_its_columns() -> None:
    grid = np.meshgrid(np.geomspace(1, 64, 6), np.geomspace(10, 1000, 6))
    experts, width = (axis.ravel() for axis in grid)
    noise = np.random.default_rng(0).normal(0, 0.002, 36)
    runs = Ladder({"experts": experts, "width": width, "loss": (2 + 3 / width**0.4 / experts**0.1) * np.exp(noise)})
    formula = "E + A / width**a / experts**b"
    content = law_content(fit(runs, formula, 20), runs, "own", formula)
    assert "A formula over the table's columns" in headline(content, TEXT).sentence
    shown = parts(content)
    assert len(shown["profile"].charts) == 4
    assert "experts·width" in shown["backtest"].lines[1] or "width·experts" in shown["backtest"].lines[1]
    assert "flops" not in shown["backtest"].lines[1]


def test_too_few_runs_for_a_backtest_say_so(runs: Ladder) -> None:
    few = runs.select(np.arange(len(runs)) < 6)
    shown = parts(law_content(fit(few, "additive", 20), few, "few", "additive"))
    assert "too few" in shown["backtest"].lines[0]


@pytest.mark.parametrize("rows", [True, False])
def test_the_chinese_page_is_whole(law: Fit, runs: Ladder, rows: bool) -> None:
    content = law_content(law, runs if rows else None, "表", "additive", "zh")
    chinese = texts("zh")
    said = headline(content, chinese)
    lines = [said.sentence.replace("additive", ""), *said.lines]
    for section in sections(content, chinese):
        lines += [section.title, *section.lines, *section.points, *(chart.label for chart in section.charts)]
        captions = [grid.caption for grid in (*section.grids, *(chart.grid for chart in section.charts))]
        # A parameter's profile is named after it.
        lines += [re.sub("alpha|beta", "", caption) for caption in captions]
    lines = [re.sub("alpha|beta", "", line) for line in lines]
    assert [line for line in lines if not is_chinese(line)] == []


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    passes = np.tile(np.geomspace(1, 16, 6), 6)
    own = np.repeat(np.geomspace(1, 64, 6), 6)
    loss = (2 + 3 / own**0.4 + 1 / passes**0.5) * np.exp(np.random.default_rng(0).normal(0, 0.002, 36))
    pages = []
    for name in (HOSTILE, "width"):
        runs = Ladder({name: own, "passes": passes, "loss": loss, "run": [name] * 36}, source=name)
        found = fit(runs, "additive", 20, inputs=(name, "passes"))
        found = replace(found, warnings=(name,))
        pages.append(page_of(tmp_path, law_content(found, runs, name, "additive")))
    (html, page), (plain, _) = pages
    assert "<script>document.title" not in html
    assert len(re.findall("<script", html)) == len(re.findall("<script", plain))
    assert not page.all("img")
    for _, body in re.findall(r'<script type="application/json" id="figure-(\w+)">(.*?)</script>', html, re.DOTALL):
        for trace in json.loads(body)["data"]:
            # Plotly reads tags in hover words: only our own line breaks may be there.
            words = trace.get("hovertext") or []
            assert not re.search("<(?!br>)", "".join(words if isinstance(words, list) else [words]))
    assert label(HOSTILE) not in re.findall("<[^>]*>", html)


@pytest.mark.parametrize("language", LANGUAGES)
def test_asks_no_server_for_anything(whole: ReportContent, tmp_path: Path, language: Any) -> None:
    html, page = page_of(tmp_path, replace(whole, language=language))
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert html.count("plotly.js v") == 1


def test_the_verb_draws_tables_and_saved_fits(law: Fit, runs: Ladder, tmp_path: Path) -> None:
    csv, saved, page = tmp_path / "runs.csv", tmp_path / "fit.json", tmp_path / "law.html"
    runs.write(csv)
    saved.write_text(json.dumps(law.as_dict()), encoding="utf-8")
    done = CliRunner().invoke(APP, [str(csv), "--law", "additive", "--resamples", "200", "--output", str(page)])
    assert done.exit_code == 0, done.output
    first = Page(page.read_text(encoding="utf-8"))
    done = CliRunner().invoke(APP, [str(saved), "--output", str(page)])
    assert done.exit_code == 0, done.output
    second = Page(page.read_text(encoding="utf-8"))
    for name, value in law.parameters.items():
        low, high = law.intervals[name]
        assert all(f"{name} {value:.5g} {low:.5g} {high:.5g}" in each.words for each in (first, second))
    assert [each["id"] for each in first.all("section")] == WHOLE
    assert [each["id"] for each in second.all("section")] == WHOLE
