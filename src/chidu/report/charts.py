"""The charts: each takes frozen values and gives a `Chart`, or None where its values are not there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.report.content import ReportContent
from chidu.report.figures import BAND, FORECAST, LINE, MEASURED, Chart, colour, figure, label, log_axis, scatter, symbol
from chidu.report.scale import Floats, Scale, compute_optimal, law_values, size_groups
from chidu.report.tables import Grid, flops_text, loss_text, percent
from chidu.report.texts import Texts
from chidu.runs.run import Run
from chidu.units import format_count

if TYPE_CHECKING:
    from chidu.laws import Fit

__all__ = [
    "band_level",
    "curves_chart",
    "forecast_chart",
    "interval",
    "isoflop_chart",
    "ladder_chart",
    "residuals_chart",
    "target_ratio",
]

MOST_MARKS = 1500
NEAR = 0.15
"""A run is drawn with a budget that its flops miss by less than this part."""


def band_level(content: ReportContent) -> float:
    """Return the level of the page's intervals: the written forecast's, else the fit's."""
    said = content.forecast or {}
    return float(said.get("level") or (content.fit.level if content.fit else 0.9))


def interval(said: Mapping[str, Any]) -> tuple[float, float]:
    """Return a forecast's low and high; its value twice where it has no interval."""
    low, high = (said["loss"] if said.get(name) is None else said[name] for name in ("low", "high"))
    return (low, high) if math.isfinite(low + high) else (said["loss"], said["loss"])


def loss_title(text: Texts, name: str = "loss") -> str:
    """Return the axis title of a loss, with its unit."""
    return text["with_more"].format(word=text[name], more=text["unit"])


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
    x = {"title": {"text": loss_title(text)}, "nticks": 6}
    drawn = figure(traces, x, {"type": "category", "range": [-0.6, len(rows) - 0.4]}, legend=False)
    columns = (text["what"], text["loss"], text["low"], text["high"])
    cells = [(name, *map(loss_text, values)) for name, *values, _ in reversed(rows)]
    label_text = text["a_forecast"].format(level=level)
    return Chart("forecast", label_text, drawn, Grid.of(text["s_forecast"], columns, cells), tall=False)


def _whisker(name: str, value: float, low: float, high: float, ink: str) -> Any:
    bars = {"type": "data", "symmetric": False, "thickness": 3, "color": ink, "width": 9}
    bars |= {"array": [high - value], "arrayminus": [value - low]}
    marker = {"size": 14, "color": ink, "symbol": symbol(2 if ink == FORECAST else 0)}
    return scatter([value], [label(name)], name, mode="markers", marker=marker, error_x=bars)


def ladder_chart(content: ReportContent, text: Texts) -> Chart | None:
    """Loss against flops: the rungs, the law through each size, its band, and the target."""
    ladder, scale = content.ladder, _scale(content)
    flops = _flops(content, scale)
    if flops is None or "loss" not in ladder:
        return None
    loss = ladder.numbers("loss")
    end = max(float(flops.max()), _target_flops(content) or 0.0)
    traces = _band(content, scale, np.geomspace(flops.min(), end * 1.4, 32), text)
    if scale is not None:
        for number, group in enumerate(size_groups(ladder, scale.axis)):
            reach = np.geomspace(flops[group.rows].min(), max(flops[group.rows].max(), end), 28)
            traces += _size_line(content, scale, number, group.size, reach)
            traces.append(_marks(number, group.label, flops[group.rows], loss[group.rows]))
    else:
        traces.append(_marks(0, text["rungs"], flops, loss))
    traces += _target_marks(content, text)
    heights = [*loss, *_target_losses(content)]
    axes = log_axis(text["flops"] if "flops" in ladder else text["flops_6nd"], flops.min(), end * 1.4)
    y = log_axis(loss_title(text), min(heights), max(heights), 0.08)
    grid = _ladder_grid(content, flops, text)
    return Chart("ladder", text["a_ladder"], figure(traces, axes, y), grid)


def _band(content: ReportContent, scale: Scale | None, flops: Floats, text: Texts) -> list[Any]:
    """The law's interval along the target's tokens per param; without a target, at the best size for each budget."""
    points = band_points(content, scale, flops)
    values = None if points is None else law_values(content.fit, points, band_level(content))
    if points is None or values is None:
        return []
    x = points["flops"]
    edge = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([values["high"], values["low"][::-1]])}
    name = text["band"].format(level=percent(band_level(content)))
    line = {"color": LINE, "width": 2.5, "dash": "dash"}
    return [
        scatter(**edge, name=name, mode="lines", line={"width": 0}, fill="toself", fillcolor=BAND, hoverinfo="skip"),
        scatter(x, values["loss"], text["law"], mode="lines", line=line),
    ]


def band_points(content: ReportContent, scale: Scale | None, flops: Floats) -> dict[str, Floats] | None:
    """Return the points that the band is drawn along."""
    if content.fit is None:
        return None
    if scale is None:
        return {"flops": flops}
    ratio = target_ratio(content, scale)
    return scale.along_ratio(flops, ratio) if ratio else compute_optimal(content.fit, scale, flops)


def target_ratio(content: ReportContent, scale: Scale) -> float | None:
    """Return the target's tokens per param, or None without a target."""
    point = (content.forecast or {}).get("point") or {}
    if point.get("tokens") and point.get(scale.axis):
        return float(point["tokens"]) / float(point[scale.axis])
    return None


def _size_line(content: ReportContent, scale: Scale, number: int, size: float, flops: Floats) -> list[Any]:
    sizes = np.full_like(flops, size)
    values = law_values(content.fit, scale.points(sizes, flops / scale.flops_per_token(sizes)))
    if values is None:
        return []
    line = {"color": colour(number), "width": 1.4}
    return [scatter(flops, values["loss"], "", mode="lines", line=line, showlegend=False, hoverinfo="skip")]


def _marks(number: int, name: str, x: Floats, y: Floats, **style: Any) -> Any:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_MARKS)).astype(int))
    marker = {"color": colour(number), "symbol": symbol(number), "size": 8 if len(x) < 60 else 5}
    return scatter(x[kept], y[kept], name, mode="markers", marker=marker, **style)


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


def _ladder_grid(content: ReportContent, flops: Floats, text: Texts) -> Grid:
    ladder = content.ladder
    names = [name for name in ("run", "params_matmul", "params", "tokens") if name in ladder]
    fitted = law_values(content.fit, _own_points(content, flops))
    rows = []
    for i in np.argsort(flops, kind="stable"):
        counts = [_cell(ladder.columns[name][i]) for name in names]
        law = [] if fitted is None else [loss_text(fitted["loss"][i])]
        rows.append([*counts, flops_text(flops[i]), loss_text(float(ladder.columns["loss"][i])), *law])
    flops_name = text["flops"] if "flops" in ladder else text["flops_6nd"]
    columns = [
        *(text[name] for name in names),
        flops_name,
        text["loss"],
        *([text["law"]] if fitted is not None else []),
    ]
    return Grid.of(text["s_ladder"], columns, rows)


def _cell(value: Any) -> str:
    return format_count(float(value)) if isinstance(value, np.number) else str(value)


def isoflop_chart(content: ReportContent, text: Texts) -> Chart | None:
    """The law's loss against params at a few fixed budgets, with the rungs near each."""
    scale, fit = _scale(content), content.fit
    flops = _flops(content, scale)
    if scale is None or fit is None or flops is None or not _tells_params_from_tokens(fit):
        return None
    budgets = _budgets(flops, _target_flops(content))
    nearest = np.argmin(np.abs(np.log(flops[:, None] / budgets)), axis=1)
    traces, rows, heights = [], [], []
    for number, budget in enumerate(budgets):
        points, losses = _isoflop_line(content, scale, float(budget))
        if losses is None:
            return None
        best = int(np.argmin(losses))
        name = f"{flops_text(budget)} flops"
        line = {"color": colour(number), "width": 2}
        traces.append(scatter(points[scale.axis], losses, name, mode="lines", line=line))
        if 0 < best < len(losses) - 1:
            traces.append(_star(number, points[scale.axis][best], losses[best], text))
        near = (nearest == number) & (np.abs(flops / budget - 1) < NEAR)
        size, loss = content.ladder.numbers(scale.axis)[near], content.ladder.numbers("loss")[near]
        traces.append(_marks(number, name, size, loss, showlegend=False, opacity=0.7))
        heights += [losses.min(), losses.max(), *loss]
        rows.append([flops_text(budget), *(format_count(points[column][best]) for column in (scale.axis, "tokens"))])
        rows[-1].append(loss_text(float(losses[best])))
    x = log_axis(text[scale.axis], *_wide(scale))
    # A curve far from every rung may rise without end; the rungs say which heights matter.
    top = min(max(heights), 1.25 * float(content.ladder.numbers("loss").max()))
    drawn = figure(traces, x, log_axis(loss_title(text), min(heights), top))
    columns = [text[name] for name in ("flops", scale.axis, "tokens", "loss")]
    caption = text["with_part"].format(word=text["s_isoflop"], part=text["best"])
    return Chart("isoflop", text["a_isoflop"], drawn, Grid.of(caption, columns, rows))


def _tells_params_from_tokens(fit: Fit) -> bool:
    """True for a law over params and tokens: over flops alone, all sizes of one budget have the same loss."""
    return "tokens" in fit.inputs and any(name.startswith("params") for name in fit.inputs)


def _budgets(flops: Floats, target: float | None) -> Floats:
    """Four budgets that rungs have, spread evenly in log, and the target's."""
    wanted = np.geomspace(flops.min(), flops.max(), 4)
    spent = np.unique([flops[np.argmin(np.abs(np.log(flops / budget)))] for budget in wanted])
    return np.append(spent, target) if target and target > spent[-1] * 1.05 else spent


def _wide(scale: Scale) -> tuple[float, float]:
    return float(scale.sizes[0]) / 3, float(scale.sizes[-1]) * 3


def _isoflop_line(content: ReportContent, scale: Scale, budget: float) -> tuple[dict[str, Floats], Floats | None]:
    """The law at one budget, where tokens stay within 6 × of what the ladder saw for its sizes."""
    size = np.geomspace(*_wide(scale), 60)
    tokens = budget / scale.flops_per_token(size)
    ratio = tokens / size
    seen = content.ladder.numbers("tokens") / content.ladder.numbers(scale.axis)
    kept = (ratio > seen.min() / 6) & (ratio < seen.max() * 6)
    if kept.sum() < 3:
        kept[:] = True
    points = scale.points(size[kept], tokens[kept])
    values = law_values(content.fit, points)
    return points, None if values is None else values["loss"]


def _star(number: int, x: float, y: float, text: Texts) -> Any:
    marker = {"symbol": "star", "size": 14, "color": colour(number), "line": {"width": 1, "color": "#ffffff"}}
    return scatter([x], [y], text["best"], mode="markers", marker=marker, showlegend=False)


def residuals_chart(content: ReportContent, text: Texts) -> Chart | None:
    """Forecast minus measured for each rung, in percent of the measured loss."""
    scale = _scale(content)
    flops = _flops(content, scale)
    x_values = np.arange(1.0, len(content.ladder) + 1) if flops is None else flops
    fitted = law_values(content.fit, _own_points(content, flops))
    if fitted is None:
        return None
    loss = content.ladder.numbers("loss")
    residual = 100 * (np.asarray(fitted["loss"]) / loss - 1)
    groups = [] if scale is None else size_groups(content.ladder, scale.axis)
    traces = [_marks(i, group.label, x_values[group.rows], residual[group.rows]) for i, group in enumerate(groups)]
    traces = traces or [_marks(0, text["rungs"], x_values, residual)]
    title = text["run"] if flops is None else text["flops"] if "flops" in content.ladder else text["flops_6nd"]
    x = log_axis(title, x_values.min(), x_values.max())
    y = {"title": {"text": label(text["residual"])}, "zeroline": True}
    columns = (title, text["loss"], text["law"], text["residual"])
    order = np.argsort(x_values, kind="stable")
    axis_text = format_count if flops is None else flops_text
    cells = [
        (axis_text(x_values[i]), loss_text(loss[i]), loss_text(fitted["loss"][i]), f"{residual[i]:+.2f}%")
        for i in order
    ]
    return Chart("residuals", text["a_residuals"], figure(traces, x, y), Grid.of(text["s_residuals"], columns, cells))


def curves_chart(content: ReportContent, text: Texts) -> Chart | None:
    """Training loss against tokens, one smoothed line a run."""
    runs = [run for run in (*content.runs, *([content.target] if content.target else [])) if len(run.curve) > 1]
    if not runs:
        return None
    sizes = sorted({run.config.shape.params for run in runs})
    traces: list[Any] = []
    rows, tokens, heights = [], [], []
    for run in runs:
        x, y = smooth_curve(run)
        size = run.config.shape.params
        line = {"color": colour(sizes.index(size)), "width": 2.6 if run is content.target else 1.3}
        group = {"legendgroup": str(size), "showlegend": all(trace.legendgroup != str(size) for trace in traces)}
        traces.append(scatter(x, y, format_count(size), mode="lines", line=line, text=label(run.name), **group))
        tokens += [x.min(), x.max()]
        heights += [y.min(), y.max()]
        rows.append([run.name, format_count(run.config.tokens), loss_text(float(y[-1])), loss_text(run.loss)])
    drawn = figure(
        traces,
        log_axis(text["tokens"], min(tokens), max(tokens)),
        log_axis(loss_title(text, "training_loss"), min(heights), max(heights)),
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


def _scale(content: ReportContent) -> Scale | None:
    return Scale.of(content.ladder, (content.forecast or {}).get("point"))


def _flops(content: ReportContent, scale: Scale | None) -> Floats | None:
    """The ladder's flops; 6ND where it has none; None where it has neither."""
    ladder = content.ladder
    if "flops" in ladder:
        return ladder.numbers("flops")
    return None if scale is None else 6.0 * ladder.numbers(scale.axis) * ladder.numbers("tokens")


def _own_points(content: ReportContent, flops: Floats | None) -> dict[str, Floats]:
    """Every numeric column of the ladder: whatever the law asks for is among them."""
    columns = content.ladder.columns
    points = {name: values.astype(float) for name, values in columns.items() if values.dtype.kind in "fiu"}
    return points if flops is None else {**points, "flops": flops}
