"""The charts of runs and law: each takes frozen values and gives a `Chart`, or None where its values are not there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.report.content import ReportContent
from chidu.report.figures import BAND, FORECAST, LINE, MEASURED, Chart, colour, figure, label, log_axis, scatter, symbol
from chidu.report.rungs import (
    Axis,
    band_level,
    column_word,
    count_text,
    fitted_losses,
    hover_words,
    law_axis,
    law_target,
    loss_title,
    marks,
    measured_losses,
    run_flops,
    scale_of,
    span_of,
)
from chidu.report.scale import Floats, Scale, Span, compute_optimal, law_values, size_groups
from chidu.report.tables import Grid, flops_text, loss_text, percent
from chidu.report.texts import Texts
from chidu.runs.ladder import Table
from chidu.runs.run import Run
from chidu.units import format_count

if TYPE_CHECKING:
    from chidu.laws import Fit

__all__ = ["band_values", "curves_chart", "forecast_chart", "interval", "isoflop_chart", "ladder_chart", "target_ratio"]

NEAR = 0.15
"""A run is drawn with a budget that its flops miss by less than this part."""


def interval(said: Mapping[str, Any]) -> tuple[float, float]:
    """Return a forecast's low and high; its value twice where it has no interval."""
    low, high = (said["loss"] if said.get(name) is None else said[name] for name in ("low", "high"))
    return (low, high) if math.isfinite(low + high) else (said["loss"], said["loss"])


def forecast_chart(content: ReportContent, text: Texts) -> Chart | None:
    """The forecast as a point with its interval, and the measurement beside it."""
    said = content.forecast
    if said is None:
        return None
    level = percent(band_level(content))
    rows = [(text["forecast"], said["loss"], *interval(said), FORECAST)]
    if said.get("measured") is not None:
        error = said.get("measured_standard_error") or 0.0
        rows.append((text["measured"], said["measured"], said["measured"] - error, said["measured"] + error, MEASURED))
    rows.reverse()
    traces = [_whisker(*row) for row in rows]
    x = {"title": {"text": label(loss_title(content, text))}, "nticks": 6}
    drawn = figure(traces, x, {"type": "category", "range": [-0.6, len(rows) - 0.4]}, legend=False)
    columns = (text["what"], text["loss"], text["low"], text["high"])
    cells = [(name, *map(loss_text, values)) for name, *values, _ in reversed(rows)]
    label_text = text["a_forecast"].format(level=level)
    return Chart("forecast", label_text, drawn, Grid.of(text["s_forecast"], columns, cells), height="low")


def _whisker(name: str, value: float, low: float, high: float, ink: str) -> Any:
    bars = {"type": "data", "symmetric": False, "thickness": 3, "color": ink, "width": 9}
    bars |= {"array": [high - value], "arrayminus": [value - low]}
    marker = {"size": 14, "color": ink, "symbol": symbol(2 if ink == FORECAST else 0)}
    return scatter([value], [label(name)], name, mode="markers", marker=marker, error_x=bars)


def ladder_chart(content: ReportContent, text: Texts) -> Chart | None:
    """The law against flops (or the one column it reads), its band, the rungs by size, and the target."""
    axis, loss = law_axis(content, text), measured_losses(content)
    if axis is None or (content.ladder is not None and loss is None):
        return None
    # Sizes have lines of their own only where the law tells them apart.
    scale = scale_of(content) if axis.name == "flops" else None
    end = max(axis.high, _target_flops(content) or 0.0)
    found = band_values(content, axis)
    traces = [] if found is None else _band(content, *found, text)
    if loss is not None and axis.runs is not None:
        traces += _rungs(content, scale, axis.runs, loss, end, text)
    traces += _target_marks(content, text)
    band = [] if found is None else [*found[1]["low"], *found[1]["high"], *found[1]["loss"]]
    heights = [*([] if loss is None else loss), *_target_losses(content), *(one for one in band if math.isfinite(one))]
    if not traces or min(heights, default=0.0) <= 0:
        return None
    x, y = (
        log_axis(axis.title, *_reach(axis, end)),
        log_axis(loss_title(content, text), min(heights), max(heights), 0.08),
    )
    grid = _law_grid(axis, found, text) if axis.runs is None else _ladder_grid(content, axis, text)
    name = text["a_ladder"].format(axis=axis.title)
    return Chart("ladder", name, figure(traces, x, y), grid)


def _reach(axis: Axis, end: float) -> tuple[float, float]:
    """Flops are drawn from the cheapest run on, another column (where less may be more) to both sides."""
    return (axis.low if axis.name == "flops" else axis.low / 1.4), end * 1.4


def band_values(content: ReportContent, axis: Axis) -> tuple[Floats, Table] | None:
    """Return where the law's band is drawn and its values there; None where the law has none."""
    end = max(axis.high, _target_flops(content) or 0.0)
    points = _band_points(content, np.geomspace(*_reach(axis, end), 32))
    values = None if points is None else law_values(content.fit, points, band_level(content))
    return None if points is None or values is None else (points[axis.name], values)


def _band_points(content: ReportContent, x: Floats) -> dict[str, Floats] | None:
    """Along the target's tokens per param; without a target, at the best size for each budget."""
    if content.fit is None:
        return None
    if len(content.fit.inputs) == 1:
        return {content.fit.inputs[0]: x}
    scale = scale_of(content)
    if scale is None:
        return {"flops": x}
    ratio = target_ratio(content, scale)
    return scale.along_ratio(x, ratio) if ratio else compute_optimal(content.fit, scale, x)


def _band(content: ReportContent, x: Floats, values: Table, text: Texts) -> list[Any]:
    edge = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([values["high"], values["low"][::-1]])}
    name = text["band"].format(level=percent(band_level(content)))
    line = {"color": LINE, "width": 2.5, "dash": "dash"}
    words = [
        "<br>".join(
            (flops_text(at), f"{label(text['law'])}: {text['plan_with'].format(value=loss, low=low, high=high)}")
        )
        for at, loss, low, high in zip(
            x, *(map(loss_text, values[key]) for key in ("loss", "low", "high")), strict=True
        )
    ]
    drawn = [scatter(x, values["loss"], text["law"], mode="lines", line=line, hovertext=words, hoverinfo="text")]
    if np.isfinite(values["low"]).all():
        style = {"line": {"width": 0}, "fill": "toself", "fillcolor": BAND, "hoverinfo": "skip"}
        drawn.insert(0, scatter(**edge, name=name, mode="lines", **style))
    return drawn


def target_ratio(content: ReportContent, scale: Scale) -> float | None:
    """Return the target's tokens per param, or None without a target."""
    point = (content.forecast or {}).get("point") or {}
    if point.get("tokens") and point.get(scale.axis):
        return float(point["tokens"]) / float(point[scale.axis])
    return None


def _rungs(content: ReportContent, scale: Scale | None, x: Floats, loss: Floats, end: float, text: Texts) -> list[Any]:
    """The runs by size, each size with its line; in one colour where they have no size."""
    words = hover_words(content, text)
    if scale is None or content.ladder is None:
        return [marks(0, text["rungs"], x, loss, words)]
    traces = []
    for number, group in enumerate(size_groups(content.ladder, scale.axis)):
        reach = np.geomspace(x[group.rows].min(), max(x[group.rows].max(), end), 28)
        traces += _size_line(content, scale, number, group.size, reach)
        own = [words[row] for row in group.rows]
        traces.append(marks(number, group.label, x[group.rows], loss[group.rows], own, len(words)))
    return traces


def _size_line(content: ReportContent, scale: Scale, number: int, size: float, flops: Floats) -> list[Any]:
    if content.fit is None or len(content.fit.inputs) == 1:
        return []
    sizes = np.full_like(flops, size)
    values = law_values(content.fit, scale.points(sizes, flops / scale.flops_per_token(sizes)))
    if values is None:
        return []
    line = {"color": colour(number), "width": 1.4}
    return [scatter(flops, values["loss"], "", mode="lines", line=line, showlegend=False, hoverinfo="skip")]


def _target_marks(content: ReportContent, text: Texts) -> list[Any]:
    said, flops = content.forecast, _target_flops(content)
    if said is None or flops is None:
        return []
    bars = {"type": "data", "symmetric": False, "color": FORECAST, "thickness": 2.5, "width": 6}
    low, high = interval(said)
    bars |= {"array": [high - said["loss"]], "arrayminus": [said["loss"] - low]}
    marker = {"size": 13, "color": FORECAST, "symbol": "diamond"}
    marks = [scatter([flops], [said["loss"]], text["forecast"], mode="markers", marker=marker, error_y=bars)]
    if said.get("measured") is not None:
        marker = {"size": 11, "color": MEASURED, "symbol": "star", "line": {"width": 1, "color": "#ffffff"}}
        marks.append(scatter([flops], [said["measured"]], text["measured"], mode="markers", marker=marker))
    return marks


def _target_losses(content: ReportContent) -> list[float]:
    said = content.forecast
    if said is None:
        return []
    return [*interval(said), *([said["measured"]] if said.get("measured") is not None else [])]


def _target_flops(content: ReportContent) -> float | None:
    value = ((content.forecast or {}).get("point") or {}).get("flops")
    return float(value) if value else None


def _law_grid(axis: Axis, found: tuple[Floats, Table] | None, text: Texts) -> Grid:
    """The law along its line, for a page without runs."""
    x, values = found if found is not None else (np.empty(0), Table())
    write = flops_text if axis.name == "flops" else format_count
    cells = [
        (write(x[i]), *(loss_text(values[name][i]) for name in ("loss", "low", "high"))) for i in range(0, len(x), 4)
    ]
    return Grid.of(text["s_ladder"], (axis.title, *(text[name] for name in ("law", "low", "high"))), cells)


def _ladder_grid(content: ReportContent, axis: Axis, text: Texts) -> Grid:
    ladder, fitted, loss = content.ladder, fitted_losses(content), measured_losses(content)
    if ladder is None or axis.runs is None or loss is None:
        return Grid.of(text["s_ladder"], (), ())
    names = [name for name in ("run", "params_matmul", "params", "tokens") if name in ladder and name != axis.name]
    write = flops_text if axis.name == "flops" else format_count
    rows = []
    for i in np.argsort(axis.runs, kind="stable"):
        counts = [count_text(ladder.columns[name][i]) for name in names]
        law = [] if fitted is None else [loss_text(fitted[i])]
        rows.append([*counts, write(axis.runs[i]), loss_text(loss[i]), *law])
    target = law_target(content)
    columns = [
        *(text[name] for name in names),
        axis.title,
        column_word(target, text),
        *([text["law"]] if fitted is not None else []),
    ]
    return Grid.of(text["s_ladder"], columns, rows)


def isoflop_chart(content: ReportContent, text: Texts) -> Chart | None:
    """The law's loss against params at a few fixed budgets, with the rungs near each."""
    scale, fit = scale_of(content), content.fit
    span = None if scale is None else span_of(content, scale)
    if scale is None or fit is None or span is None or not _tells_params_from_tokens(fit):
        return None
    flops, measured = run_flops(content, scale), measured_losses(content)
    budgets = _budgets(flops, span, _target_flops(content))
    words = hover_words(content, text)
    traces, rows, heights = [], [], []
    for number, budget in enumerate(budgets):
        points, losses = _isoflop_line(content, scale, span, float(budget))
        if losses is None:
            return None
        best = int(np.argmin(losses))
        name = text["budget"].format(flops=flops_text(budget))
        line = {"color": colour(number), "width": 2}
        traces.append(
            scatter(
                points[scale.axis],
                losses,
                name,
                mode="lines",
                line=line,
                hovertext=_along(points, losses, text, scale),
                hoverinfo="text",
            )
        )
        if 0 < best < len(losses) - 1:
            traces.append(_star(number, points[scale.axis][best], losses[best], text))
        if content.ladder is not None and flops is not None and measured is not None:
            nearest = np.argmin(np.abs(np.log(flops[:, None] / budgets)), axis=1)
            near = np.flatnonzero((nearest == number) & (np.abs(flops / budget - 1) < NEAR))
            size, loss = content.ladder.numbers(scale.axis)[near], measured[near]
            style = {"showlegend": False, "opacity": 0.7}
            traces.append(marks(number, name, size, loss, [words[i] for i in near], len(words), **style))
            heights += [*loss]
        heights += [losses.min(), losses.max()]
        rows.append([flops_text(budget), *(format_count(points[column][best]) for column in (scale.axis, "tokens"))])
        rows[-1].append(loss_text(float(losses[best])))
    x = log_axis(text[scale.axis], *_wide(scale))
    # A curve far from every rung may rise without end; the rungs say which heights matter.
    top = max(heights) if measured is None else min(max(heights), 1.25 * float(measured.max()))
    drawn = figure(traces, x, log_axis(loss_title(content, text), min(heights), top))
    columns = [text[name] for name in ("flops", scale.axis, "tokens", "loss")]
    caption = text["with_part"].format(word=text["s_isoflop"], part=text["best"])
    return Chart("isoflop", text["a_isoflop"], drawn, Grid.of(caption, columns, rows))


def _along(points: Mapping[str, Floats], losses: Floats, text: Texts, scale: Scale) -> list[str]:
    """Words beside a law's curve: params, tokens and loss of each point."""
    return [
        "<br>".join(
            f"{label(text[name])}: {write(value)}"
            for name, write, value in (
                (scale.axis, format_count, size),
                ("tokens", format_count, seen),
                ("law", loss_text, loss),
            )
        )
        for size, seen, loss in zip(points[scale.axis], points["tokens"], losses, strict=True)
    ]


def _tells_params_from_tokens(fit: Fit) -> bool:
    """True for a law over params and tokens: over flops alone, all sizes of one budget have the same loss."""
    return "tokens" in fit.inputs and any(name.startswith("params") for name in fit.inputs)


def _budgets(flops: Floats | None, span: Span, target: float | None) -> Floats:
    """Four budgets that rungs have, spread evenly in log, and the target's."""
    spent = np.geomspace(*span.flops, 4)
    if flops is not None:
        spent = np.unique([flops[np.argmin(np.abs(np.log(flops / budget)))] for budget in spent])
    return np.append(spent, target) if target and target > spent[-1] * 1.05 else spent


def _wide(scale: Scale) -> tuple[float, float]:
    return float(scale.sizes[0]) / 3, float(scale.sizes[-1]) * 3


def _isoflop_line(
    content: ReportContent, scale: Scale, span: Span, budget: float
) -> tuple[dict[str, Floats], Floats | None]:
    """The law at one budget, where tokens stay within 6 × of what the ladder saw for its sizes."""
    size = np.geomspace(*_wide(scale), 60)
    tokens = budget / scale.flops_per_token(size)
    ratio = tokens / size
    kept = (ratio > span.ratio[0] / 6) & (ratio < span.ratio[1] * 6)
    if kept.sum() < 3:
        kept[:] = True
    points = scale.points(size[kept], tokens[kept])
    values = law_values(content.fit, points)
    return points, None if values is None else values["loss"]


def _star(number: int, x: float, y: float, text: Texts) -> Any:
    marker = {"symbol": "star", "size": 14, "color": colour(number), "line": {"width": 1, "color": "#ffffff"}}
    words = "<br>".join((label(text["best"]), format_count(x), loss_text(y)))
    style = {"mode": "markers", "marker": marker, "showlegend": False, "hovertext": [words], "hoverinfo": "text"}
    return scatter([x], [y], text["best"], **style)


def curves_chart(content: ReportContent, text: Texts) -> Chart | None:
    """Training loss against tokens, one smoothed line a run."""
    runs = [run for run in (*content.runs, *([content.target] if content.target else [])) if len(run.curve) > 1]
    if not runs:
        return None
    sizes = sorted({run.config.shape.params_matmul for run in runs})
    traces: list[Any] = []
    rows, tokens, heights = [], [], []
    for run in runs:
        x, y = smooth_curve(run)
        size = run.config.shape.params_matmul
        line = {"color": colour(sizes.index(size)), "width": 2.6 if run is content.target else 1.3}
        group = {"legendgroup": str(size), "showlegend": all(trace.legendgroup != str(size) for trace in traces)}
        traces.append(scatter(x, y, format_count(size), mode="lines", line=line, text=label(run.name), **group))
        tokens += [x.min(), x.max()]
        heights += [y.min(), y.max()]
        rows.append([run.name, format_count(run.config.tokens), loss_text(float(y[-1])), loss_text(run.loss)])
    drawn = figure(
        traces,
        log_axis(text["tokens"], min(tokens), max(tokens)),
        log_axis(loss_title(content, text, "training_loss"), min(heights), max(heights)),
    )
    columns = (text["run"], text["tokens"], text["training_loss"], text["loss"])
    return Chart("curves", text["a_curves"], drawn, Grid.of(text["s_curves"], columns, rows))


def smooth_curve(run: Run, most: int = 120) -> tuple[Floats, Floats]:
    """Return a run's curve as tokens and loss: means over bins even in log tokens."""
    steps, losses = np.asarray(run.curve, dtype=np.float64).T
    kept = np.isfinite(losses) & (steps > 0)
    steps, losses = steps[kept], losses[kept]
    edges = np.geomspace(steps.min(), steps.max() * 1.0001, most)
    _, index = np.unique(np.searchsorted(edges, steps, side="right"), return_inverse=True)
    count = np.bincount(index)
    x = np.bincount(index, steps) / count * run.config.batch_tokens
    return x, np.bincount(index, losses) / count
