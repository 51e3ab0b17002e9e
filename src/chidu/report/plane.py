"""The plane of params and tokens: loss as contours, the runs, and the best way to spend each budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import ChiduError
from chidu.report.content import ReportContent
from chidu.report.figures import BAND, FORECAST, LINE, Chart, contours, figure, label, log_axis, scatter
from chidu.report.rungs import column_word, hover_words, marks, scale_of, span_of
from chidu.report.scale import Floats, Scale, Span, law_values
from chidu.report.tables import percent, plan_grid, with_interval
from chidu.report.texts import Texts
from chidu.units import format_count

if TYPE_CHECKING:
    from chidu.laws import Fit, Plan

__all__ = ["frontier", "plane_chart"]

BUDGETS = 9
"""Budgets of the frontier, from the cheapest run's to the last."""
BEYOND = 10.0
"""The frontier ends at this many times the dearest run's flops."""
_POINTS = 72
_LEVELS = 9


def frontier(fit: Fit | None, span: Span) -> list[Plan]:
    """Return the plans of budgets from the cheapest run to beyond the dearest; none where a law can't be planned by."""
    if fit is None:
        return []
    try:
        return [fit.plan(flops=float(flops)) for flops in np.geomspace(span.flops[0], BEYOND * span.flops[1], BUDGETS)]
    except ChiduError:
        # Only a law over params and tokens can say how to share a budget out between them.
        return []


def plane_chart(content: ReportContent, text: Texts) -> Chart | None:
    """Params across, tokens up, both in logs."""
    scale, fit = scale_of(content), content.fit
    span = None if scale is None else span_of(content, scale)
    if scale is None or fit is None or span is None or len(fit.inputs) < 2:
        return None
    plans = frontier(fit, span)
    if not plans:
        return None
    x_ends, y_ends = _window(span, plans, _target_point(content, scale))
    lines = _contours(fit, scale, x_ends, y_ends, text)
    traces = [*lines, *_frontier(plans, fit.level, text), *_runs(content, scale, text), *_target(content, scale, text)]
    x, y = log_axis(text[scale.axis], *x_ends, 0.0), log_axis(text["tokens"], *y_ends, 0.0)
    rows = [plan.as_dict() for plan in plans]
    caption = text["frontier_of"].format(level=percent(fit.level))
    return Chart("plane", text["a_plane"], figure(traces, x, y), plan_grid(rows, text, caption))


def _window(
    span: Span, plans: list[Plan], target: tuple[float, float] | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Room for every run and plan and the target, and a little more; an interval without end is cut off."""
    params, tokens = [plan.params for plan in plans], [plan.tokens for plan in plans]
    x, y = [*span.size, *params], [*span.tokens, *tokens]
    if target is not None:
        x, y = [*x, target[0]], [*y, target[1]]
    return (min(x) / 1.6, max(x) * 1.6), (min(y) / 1.6, max(y) * 1.6)


def _contours(
    fit: Fit, scale: Scale, x_ends: tuple[float, float], y_ends: tuple[float, float], text: Texts
) -> list[Any]:
    """Lines of equal loss, and on the right edge what each stands for."""
    across, up = np.geomspace(*x_ends, _POINTS), np.geomspace(*y_ends, _POINTS)
    size, tokens = (axis.ravel() for axis in np.meshgrid(across, up))
    values = law_values(fit, scale.points(size, tokens))
    if values is None or not np.isfinite(values["loss"]).all():
        return []
    loss = values["loss"].reshape(_POINTS, _POINTS)
    levels = _levels(loss)
    if len(levels) < 2:
        return []
    # Levels are not evenly spaced, and the charts' contours are: so what is drawn is a loss's place among the levels.
    known = np.concatenate([[min(loss.min(), levels[0]) - 1e-6], levels, [max(loss.max(), levels[-1]) + 1e-6]])
    place = np.interp(loss, known, np.arange(-1.0, len(levels) + 1))
    lines = contours(across, up, place, len(levels), text["contours"].format(loss=column_word(fit.target, text)))
    return [lines, *_labels(loss, levels, across, up)]


def _levels(loss: Floats) -> Floats:
    """Round losses, of which about as many points lie between any two."""
    spread = float(np.log10(loss.max() / loss.min()))
    digits = 2 if spread > 0.2 else 3 if spread > 0.02 else 4
    wanted = np.quantile(loss, np.linspace(0.04, 0.96, _LEVELS))
    return np.unique([float(f"{level:.{digits}g}") for level in wanted])


def _labels(loss: Floats, levels: Floats, across: Floats, up: Floats) -> list[Any]:
    """Write each level where its line meets the right edge, unless another stands there."""
    edge, column = loss[:, -3], across[-3]
    x: list[float] = []
    y: list[float] = []
    words: list[str] = []
    for level in levels:
        crossed = np.flatnonzero(np.diff(np.sign(edge - level)))
        if len(crossed) != 1:
            continue
        below, above = edge[crossed[0]], edge[crossed[0] + 1]
        part = (below - level) / (below - above)
        at = float(np.exp(np.log(up[crossed[0]]) + part * np.log(up[crossed[0] + 1] / up[crossed[0]])))
        apart = math.log(up[-1] / up[0]) / 20
        if all(abs(math.log(at / other)) > apart for other in (*y, up[0], up[-1])):
            x.append(float(column))
            y.append(at)
            words.append(f"{level:g}")
    style = {"mode": "text", "textposition": "top left", "hoverinfo": "skip", "showlegend": False}
    return [scatter(x, y, "", text=words, textfont={"size": 11, "color": LINE}, **style)] if words else []


def _frontier(plans: list[Plan], level: float, text: Texts) -> list[Any]:
    """The best params and tokens for each budget, and between what sizes the best one lies."""
    words = [
        "<br>".join(
            f"{label(text[name])}: {label(with_interval(plan.as_dict(), key, text))}"
            for name, key in (
                ("flops", "flops"),
                (plan.params_column, "params"),
                ("tokens", "tokens"),
                ("loss", "loss"),
            )
        )
        for plan in plans
    ]
    line = {"color": FORECAST, "width": 2.5, "dash": "dash"}
    x, y = np.array([[plan.params, plan.tokens] for plan in plans]).T
    best = scatter(
        x,
        y,
        text["frontier"],
        mode="lines+markers",
        line=line,
        marker={"size": 6, "color": FORECAST},
        hovertext=words,
        hoverinfo="text",
    )
    edges = np.array([[plan.params_low, plan.params_high] for plan in plans])
    if not np.isfinite(edges).all():
        return [best]
    # Along one budget fewer params mean more tokens: each end of the interval lies on the budget's own line.
    other = (x * y)[:, None] / edges
    wide, long = (np.concatenate([each[:, 0], each[::-1, 1]]) for each in (edges, other))
    style = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": BAND, "hoverinfo": "skip"}
    name = text["band"].format(level=percent(level))
    return [scatter(wide, long, name, **style), best]


def _runs(content: ReportContent, scale: Scale, text: Texts) -> list[Any]:
    """The runs in one colour: their size is what they are drawn against."""
    if content.ladder is None:
        return []
    size, tokens = content.ladder.numbers(scale.axis), content.ladder.numbers("tokens")
    return [marks(0, text["rungs"], size, tokens, hover_words(content, text))]


def _target_point(content: ReportContent, scale: Scale) -> tuple[float, float] | None:
    """Return params and tokens of the run that was forecast, if one was."""
    point = (content.forecast or {}).get("point") or {}
    if not (point.get(scale.axis) and point.get("tokens")):
        return None
    return float(point[scale.axis]), float(point["tokens"])


def _target(content: ReportContent, scale: Scale, text: Texts) -> list[Any]:
    point = _target_point(content, scale)
    if point is None:
        return []
    marker = {"size": 13, "color": FORECAST, "symbol": "diamond", "line": {"width": 1, "color": "#ffffff"}}
    words = "<br>".join((label(text["forecast"]), *map(format_count, point)))
    style = {"mode": "markers", "marker": marker, "hovertext": [words], "hoverinfo": "text"}
    return [scatter([point[0]], [point[1]], text["forecast"], **style)]
