"""What puts a law to the test: forecasts of dear runs from cheap ones, and how firmly the runs hold each parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.report.content import ReportContent
from chidu.report.figures import BAND, LINE, Chart, colour, figure, label, log_axis, rule, scatter, symbol
from chidu.report.rungs import cost_title, loss_title
from chidu.report.scale import Floats
from chidu.report.tables import Grid, flops_text, loss_text, percent
from chidu.report.texts import Texts

if TYPE_CHECKING:
    from chidu.laws import Backtest
    from chidu.laws.profile import Profile

__all__ = ["backtest_charts", "backtest_grid", "profile_charts"]

MOST_BARS = 240
"""Forecasts drawn: of more, some are left out evenly, since their bars would hide each other."""


def backtest_charts(content: ReportContent, text: Texts) -> tuple[Chart, ...]:
    """Forecast against measured, and the error by how far the forecast reached, both with intervals."""
    found = content.backtest
    return () if found is None else (_against(content, found, text), _errors(content, found, text))


def _against(content: ReportContent, found: Backtest, text: Texts) -> Chart:
    table = found.table
    measured, forecast = (np.asarray(table[name], dtype=float) for name in ("measured", "forecast"))
    ends = (min(measured.min(), forecast.min()), max(measured.max(), forecast.max()))
    same = scatter(
        ends, ends, text["perfect"], mode="lines", line={"color": LINE, "width": 1.5, "dash": "dot"}, hoverinfo="skip"
    )
    traces = [same, *_by_cut(found, measured, forecast, table["low"], table["high"], text)]
    x, y = (
        log_axis(text["with_part"].format(word=text[word], part=loss_title(content, text)), low, high, 0.06)
        for word, (low, high) in (("measured", ends), ("forecast", _tall(table, ends)))
    )
    columns = ("cut_at", "gap", "law", "forecast", "low", "high", "measured", "error")
    cells = [
        (
            flops_text(table["cut"][i]),
            f"{table['gap'][i]:.3g}×",
            str(table["law"][i]),
            *(loss_text(float(table[name][i])) for name in ("forecast", "low", "high", "measured")),
            f"{100 * table['error'][i]:+.2f}%",
        )
        for i in range(len(measured))
    ]
    grid = Grid.of(text["s_backtest"], [text[name].format(cost=cost_title(content, text)) for name in columns], cells)
    return Chart("backtest", text["a_backtest"], figure(traces, x, y), grid)


def _tall(table: Any, ends: tuple[float, float]) -> tuple[float, float]:
    """Room for the intervals too, but not for one that has no end."""
    edges = np.concatenate([table["low"], table["high"]]).astype(float)
    known = edges[np.isfinite(edges)]
    low, high = min(ends[0], known.min(initial=ends[0])), max(ends[1], known.max(initial=ends[1]))
    return max(float(low), ends[0] / 2), min(float(high), ends[1] * 2)


def _errors(content: ReportContent, found: Backtest, text: Texts) -> Chart:
    table = found.table
    measured, gap = np.asarray(table["measured"], dtype=float), np.asarray(table["gap"], dtype=float)
    error, low, high = (
        100 * (np.asarray(table[name], dtype=float) / measured - 1) for name in ("forecast", "low", "high")
    )
    traces = _by_cut(found, gap, error, low, high, text)
    x = log_axis(text["gap_title"].format(cost=cost_title(content, text)), float(gap.min()), float(gap.max()))
    # An interval without end would leave nothing to see of the errors.
    most = 3 * max(float(np.abs(error).max()), 1.0)
    least, highest = float(np.nanmin([*low, *error])), float(np.nanmax([*high, *error]))
    reach = [1.1 * min(max(least, -most), 0.0) - 0.1, 1.1 * max(min(highest, most), 0.0) + 0.1]
    y = {"title": {"text": label(text["error_title"])}, "zeroline": True, "range": reach}
    return Chart("backtest_errors", text["a_errors"], figure(traces, x, y), backtest_grid(content, found, text))


def _by_cut(found: Backtest, x: Floats, y: Floats, low: Any, high: Any, text: Texts) -> list[Any]:
    """Forecasts as marks with intervals, in one colour a cut."""
    cuts, kept = found.table["cut"], _evenly(len(x))
    traces = []
    for number, cut in enumerate(np.unique(cuts)):
        rows = kept[cuts[kept] == cut]
        bars = {"type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": colour(number)}
        bars |= {"array": _plain(high, y, rows), "arrayminus": _plain(y, low, rows)}
        marker = {"color": colour(number), "symbol": symbol(number), "size": 7}
        words = [_words(found, int(row), text) for row in rows]
        style = {"mode": "markers", "marker": marker, "error_y": bars, "hovertext": words, "hoverinfo": "text"}
        traces.append(scatter(x[rows], y[rows], text["up_to"].format(flops=flops_text(float(cut))), **style))
    return traces


def _evenly(count: int) -> Any:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_BARS)).astype(int))


def _plain(more: Any, less: Any, rows: Any) -> list[float]:
    gap = np.asarray(more, dtype=float)[rows] - np.asarray(less, dtype=float)[rows]
    return [float(f"{value:.5g}") for value in np.nan_to_num(gap)]


def _words(found: Backtest, row: int, text: Texts) -> str:
    table = found.table
    forecast, low, high = (loss_text(float(table[name][row])) for name in ("forecast", "low", "high"))
    lines = (
        f"{text['forecast']}: {text['plan_with'].format(value=forecast, low=low, high=high)}",
        f"{text['measured']}: {loss_text(float(table['measured'][row]))}",
        f"{text['error']}: {100 * table['error'][row]:+.2f}%",
        f"{text['gap']}: {table['gap'][row]:.3g}×",
    )
    return "<br>".join(map(label, lines))


def backtest_grid(content: ReportContent, found: Backtest, text: Texts) -> Grid:
    """By cut: rows, median error, the part inside the interval, and the interval's median width."""
    table, rows = found.table, []
    inside = (table["low"] <= table["measured"]) & (table["measured"] <= table["high"])
    width = (table["high"] - table["low"]) / table["forecast"]
    for cut in np.unique(table["cut"]):
        own = table["cut"] == cut
        known = bool(np.isfinite(width[own]).all())
        rows.append(
            (
                flops_text(float(cut)),
                str(int(own.sum())),
                f"{100 * np.median(np.abs(table['error'][own])):.2f}%",
                percent(round(float(inside[own].mean()), 3)) if known else "–",
                f"{100 * np.median(width[own]):.2g}%" if known else "–",
            )
        )
    columns = (
        text["cut_at"].format(cost=cost_title(content, text)),
        text["held"],
        text["median_size"],
        text["held_inside"].format(level=percent(found.level)),
        text["width"],
    )
    return Grid.of(text["by_cut"], columns, rows)


def profile_charts(content: ReportContent, text: Texts) -> tuple[Chart, ...]:
    """One small chart a parameter: the objective around its estimate, and the interval of the refits."""
    if content.fit is None:
        return ()
    intervals = content.fit.intervals
    return tuple(
        _profile(each, number, intervals[each.parameter], content.fit.level, text)
        for number, each in enumerate(content.profiles)
    )


def _profile(found: Profile, number: int, interval: tuple[float, float], level: float, text: Texts) -> Chart:
    kept = np.isfinite(found.objective)
    x, y = found.values[kept], found.objective[kept]
    words = [
        f"{label(found.parameter)}: {value:.5g}<br>{label(text['objective'])}: {height:.6g}"
        for value, height in zip(x, y, strict=True)
    ]
    line = {"color": colour(0), "width": 2}
    traces = [scatter(x, y, found.parameter, mode="lines", line=line, hovertext=words, hoverinfo="text")]
    marker = {"size": 10, "color": colour(0), "symbol": "diamond"}
    here = f"{label(text['value'])}: {found.estimate:.5g}<br>{label(text['objective'])}: {found.least:.6g}"
    style = {"mode": "markers", "marker": marker, "hovertext": [here], "hoverinfo": "text"}
    traces.append(scatter([found.estimate], [found.least], text["value"], **style))
    shapes = [rule(*interval, BAND)] if np.isfinite(interval).all() else []
    wide = x.min() > 0 and x.max() > 4 * x.min()
    across = (
        log_axis(found.parameter, x.min(), x.max())
        if wide
        else {"title": {"text": label(found.parameter)}, "nticks": 5}
    )
    up = {"title": {"text": label(text["objective"])}, "nticks": 4, "exponentformat": "power", "rangemode": "normal"}
    columns = (text["with_more"].format(word=text["parameter"], more=found.parameter), text["objective"])
    cells = [
        (f"{value:.5g}", f"{height:.6g}" if np.isfinite(height) else "–")
        for value, height in zip(found.values, found.objective, strict=True)
    ]
    caption = text["with_part"].format(word=text["s_profile"], part=found.parameter)
    name = text["a_profile"].format(name=found.parameter, level=percent(level))
    drawn = figure(traces, across, up, legend=False, shapes=shapes)
    return Chart(f"profile_{number}", name, drawn, Grid.of(caption, columns, cells), height="middle")
