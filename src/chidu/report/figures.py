"""What all charts share: plotly loaded late, one palette, one layout, safe labels, and the numbers beside each."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chidu.errors import MissingPackageError
from chidu.report.tables import Grid

__all__ = [
    "BAND",
    "FORECAST",
    "LINE",
    "MEASURED",
    "Chart",
    "colour",
    "contours",
    "figure",
    "label",
    "log_axis",
    "rule",
    "scatter",
    "symbol",
]

# Okabe and Ito's idea, darkened or lightened to stand out on white and on near-black alike. The marker's shape says
# the same as its colour, for those who can't tell two of them apart and for printing in grey.
_COLOURS = ("#2f7fc1", "#d9730d", "#1b9e77", "#b65fb0", "#8a8d18", "#22a3b5", "#a0703c", "#7d6bd6")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "pentagon", "hexagon", "triangle-down")
# The forecast has the law's colour, because it is the law's; the measurement has one that no size has.
LINE = FORECAST = "#6b7f90"
MEASURED = "#d8365a"
BAND = "rgba(122,130,140,0.22)"


@dataclass(frozen=True)
class Chart:
    """A figure as plotly's JSON, words for those who can't see it, and its numbers."""

    name: str
    label: str
    """Read aloud in place of the figure."""
    figure: str
    grid: Grid
    height: Literal["low", "middle", "tall"] = "tall"
    caption: str = ""
    """Stands under the figure, for all to see."""


def figure(
    traces: Sequence[Any],
    x: dict[str, Any],
    y: dict[str, Any],
    legend: bool = True,
    shapes: Sequence[dict[str, Any]] = (),
) -> str:
    """Return traces and axes as JSON for the page. Ink, grid and font follow the page's scheme in the browser."""
    objects = _plotly()
    made = objects.Figure(
        data=list(traces),
        layout={
            "template": {},
            "xaxis": {"automargin": True, "zeroline": False, "ticks": "", **x},
            "yaxis": {"automargin": True, "zeroline": False, "ticks": "", **y},
            "shapes": list(shapes),
            "showlegend": legend,
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "hovermode": "closest",
            "dragmode": False,
        },
    )
    return str(made.to_json())


def scatter(x: Any, y: Any, name: str, **style: Any) -> Any:
    """Return one trace of plotly's commonest kind, its name made safe."""
    return _plotly().Scatter(x=_short(x), y=_short(y), name=label(name), **style)


def contours(x: Any, y: Any, place: Any, count: int, name: str) -> Any:
    """Return thin lines where ``place`` (y, x) is 0, 1, … to ``count`` - 1."""
    levels = {"start": 0, "end": count - 1, "size": 1, "coloring": "none"}
    return _plotly().Contour(
        x=_short(x),
        y=_short(y),
        z=[[round(value, 3) for value in row] for row in np.asarray(place).tolist()],
        contours=levels,
        line={"color": LINE, "width": 1},
        name=label(name),
        showlegend=True,
        showscale=False,
        hoverinfo="skip",
    )


def rule(low: float, high: float, ink: str) -> dict[str, Any]:
    """Return a band from one value of the x axis to another, over the chart's whole height, behind all else."""
    reach = {"type": "rect", "xref": "x", "yref": "paper", "x0": low, "x1": high, "y0": 0, "y1": 1}
    return {**reach, "fillcolor": ink, "line": {"width": 0}, "layer": "below"}


def label(text: str) -> str:
    """Make a text safe as a chart's label: plotly reads some tags in labels, and ours hold none."""
    return html.escape(text, quote=False)


def colour(number: int) -> str:
    """Return the palette's colour of this number."""
    return _COLOURS[number % len(_COLOURS)]


def symbol(number: int) -> str:
    """Return the marker's shape of this number."""
    return _SYMBOLS[number % len(_SYMBOLS)]


def log_axis(title: str, low: float, high: float, spare: float = 0.04) -> dict[str, Any]:
    """Return a log axis from ``low`` to ``high``, with round ticks also within one decade."""
    start, end = math.log10(low), math.log10(high)
    margin = max((end - start) * spare, 0.004)
    axis: dict[str, Any] = {"type": "log", "title": {"text": label(title)}, "range": [start - margin, end + margin]}
    if end - start > 2.2:
        return {**axis, "exponentformat": "power", "dtick": max(1, math.ceil((end - start) / 6))}
    ticks = _round_ticks(10 ** (start - margin), 10 ** (end + margin))
    return {**axis, "tickvals": ticks, "ticktext": [_tick(tick) for tick in ticks]}


def _round_ticks(low: float, high: float) -> list[float]:
    if high > 2.5 * low:
        # Small numbers are short; large ones have a power of ten to write, and need more room.
        long, wide = high >= 1e3, high > 20 * low
        digits: tuple[float, ...] = (1, 1.5, 2, 3, 4, 5, 6, 8)
        if wide or (long and high > 6 * low):
            digits = (1, 3) if long and wide else (1, 2, 5)
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        ticks = (float(f"{digit * 10.0**decade:.6g}") for decade in decades for digit in digits)
        return [tick for tick in ticks if low <= tick <= high]
    rough = (high - low) / 5
    base = 10 ** math.floor(math.log10(rough))
    step = next(base * factor for factor in (1, 2, 2.5, 5, 10) if base * factor >= rough)
    return [float(f"{step * i:.6g}") for i in range(math.ceil(low / step), math.floor(high / step) + 1) if i > 0]


def _tick(value: float) -> str:
    if value < 1000:
        return f"{value:g}"
    exponent = math.floor(math.log10(value))
    return f"{value / 10**exponent:.3g}×10<sup>{exponent}</sup>"


def _short(values: Any) -> list[Any]:
    """Six digits are more than a screen shows, and a third of the bytes."""
    return [float(f"{value:.6g}") if isinstance(value, float) else value for value in np.asarray(values).tolist()]


def _plotly() -> Any:
    try:
        import plotly.graph_objects
    except ImportError as error:
        raise MissingPackageError("plotly", "report", "the report page") from error
    return plotly.graph_objects
