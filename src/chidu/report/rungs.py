"""The runs and their law as the charts need them: axes, marks, and the words beside a mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chidu.report.content import ReportContent
from chidu.report.figures import colour, label, scatter, symbol
from chidu.report.scale import Floats, Scale, Span, law_values
from chidu.report.tables import flops_text, loss_text
from chidu.report.texts import Texts
from chidu.runs.ladder import Ladder
from chidu.units import format_count

__all__ = [
    "Axis",
    "band_level",
    "column_word",
    "cost_title",
    "count_text",
    "fitted_losses",
    "flops_title",
    "hover_words",
    "law_axis",
    "law_target",
    "loss_title",
    "marks",
    "measured_losses",
    "own_points",
    "run_flops",
    "scale_of",
    "span_of",
]

MOST_MARKS = 1500
COLUMNS = ("loss", "params", "params_matmul", "tokens", "unique_tokens", "flops")
"""Columns that the page has words for."""


def column_word(name: str, text: Texts) -> str:
    """Return a column's name in the page's language; a column of the user's own stays as it is."""
    return text[name] if name in COLUMNS else name


def band_level(content: ReportContent) -> float:
    """Return the level of the page's intervals: the written forecast's, else the fit's."""
    said = content.forecast or {}
    return float(said.get("level") or (content.fit.level if content.fit else 0.9))


def law_target(content: ReportContent) -> str:
    """Return the column that the law speaks of."""
    return content.fit.target if content.fit else "loss"


def loss_title(content: ReportContent, text: Texts, name: str = "loss") -> str:
    """Return the axis title of what the law speaks of, with its unit where that is known."""
    target = law_target(content)
    if target != "loss":
        return column_word(target, text)
    return text["with_more"].format(word=text[name], more=text["unit" if content.in_nats else "unit_table"])


def scale_of(content: ReportContent) -> Scale | None:
    """Return how params, tokens and flops go together: by the table, else by what the fit remembers of it."""
    if content.ladder is not None:
        return Scale.of(content.ladder, (content.forecast or {}).get("point"))
    return None if content.fit is None else Scale.of_seen(content.fit.seen)


def span_of(content: ReportContent, scale: Scale) -> Span | None:
    """Return what the runs reach from and to."""
    if content.ladder is not None:
        return Span.of(content.ladder, scale)
    return None if content.fit is None else Span.of_seen(content.fit.seen)


def run_flops(content: ReportContent, scale: Scale | None) -> Floats | None:
    """The runs' flops; 6ND where the table has none; None where it has neither, or there is no table."""
    ladder = content.ladder
    if ladder is None:
        return None
    if "flops" in ladder:
        return ladder.numbers("flops")
    return None if scale is None else 6.0 * ladder.numbers(scale.axis) * ladder.numbers("tokens")


def flops_title(content: ReportContent, text: Texts) -> str:
    """Return the axis title of flops, which says where they are approximated."""
    if content.ladder is not None:
        return text["flops" if "flops" in content.ladder else "flops_6nd"]
    return text["flops" if content.fit is None or content.fit.seen.has_flops else "flops_6nd"]


def cost_title(content: ReportContent, text: Texts) -> str:
    """Return what the law calls cheap and dear by: flops, or what stands in for them."""
    name = "flops" if content.fit is None else content.fit.seen.cost_name
    return text["flops"] if name == "flops" else text["flops_6nd"] if name.startswith("6·") else name


@dataclass(frozen=True)
class Axis:
    """What a law is drawn against: flops, or the one other column that it reads."""

    name: str
    title: str
    runs: Floats | None
    """The runs' own values; None where there is no table."""
    low: float
    high: float


def law_axis(content: ReportContent, text: Texts) -> Axis | None:
    """Return what the law and its runs are drawn against; None where they have no flops."""
    fit, scale = content.fit, scale_of(content)
    if fit is not None and len(fit.inputs) == 1 and fit.inputs[0] != "flops":
        name = fit.inputs[0]
        runs = None if content.ladder is None else content.ladder.numbers(name)
        return Axis(name, column_word(name, text), runs, fit.seen.lowest[0], fit.seen.highest[0])
    title, flops = flops_title(content, text), run_flops(content, scale)
    if flops is not None:
        return Axis("flops", title, flops, float(flops.min()), float(flops.max()))
    if fit is not None and fit.inputs == ("flops",):
        return Axis("flops", title, None, fit.seen.lowest[0], fit.seen.highest[0])
    span = None if scale is None else span_of(content, scale)
    return None if span is None else Axis("flops", title, None, *span.flops)


def measured_losses(content: ReportContent) -> Floats | None:
    """Return what was measured of each run; None where there is no table or it lacks the column."""
    target = law_target(content)
    if content.ladder is None or target not in content.ladder:
        return None
    return content.ladder.numbers(target)


def own_points(ladder: Ladder, flops: Floats | None) -> dict[str, Floats]:
    """Every numeric column of a table: whatever the law asks for is among them."""
    points = {name: values.astype(float) for name, values in ladder.columns.items() if values.dtype.kind in "fiu"}
    return points if flops is None else {**points, "flops": flops}


def fitted_losses(content: ReportContent) -> Floats | None:
    """Return the law's value for each run."""
    if content.ladder is None:
        return None
    values = law_values(content.fit, own_points(content.ladder, run_flops(content, scale_of(content))))
    return None if values is None else np.asarray(values["loss"])


def count_text(value: Any) -> str:
    """Write a count as people do; a word as it is."""
    return format_count(float(value)) if isinstance(value, (np.number, float, int)) else str(value)


def hover_words(content: ReportContent, text: Texts) -> list[str]:
    """Return what stands beside each run's mark: its name, counts, loss, and how far the law is from it."""
    ladder, flops = content.ladder, run_flops(content, scale_of(content))
    measured, fitted = measured_losses(content), fitted_losses(content)
    if ladder is None:
        return []
    inputs = () if content.fit is None else content.fit.inputs
    named = [name for name in ("run", "name") if name in ladder][:1]
    counts = [
        name
        for name in dict.fromkeys(("params_matmul", "params", "tokens", *inputs))
        if name in ladder and name != "flops"
    ]
    said = []
    for i in range(len(ladder)):
        lines = [str(ladder.columns[name][i]) for name in named]
        lines += [f"{column_word(name, text)}: {count_text(ladder.columns[name][i])}" for name in counts]
        lines += [] if flops is None else [f"{flops_title(content, text)}: {flops_text(flops[i])}"]
        if measured is not None:
            lines.append(f"{column_word(law_target(content), text)}: {loss_text(measured[i])}")
            if fitted is not None:
                lines.append(f"{text['law']}: {loss_text(fitted[i])} ({100 * (fitted[i] / measured[i] - 1):+.2f}%)")
        said.append("<br>".join(map(label, lines)))
    return said


def marks(
    number: int, name: str, x: Floats, y: Floats, words: list[str], among: int | None = None, **style: Any
) -> Any:
    """Return runs as marks of one colour and shape, smaller ``among`` many others, thinned out where very many."""
    shown = len(words) if among is None else among
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_MARKS)).astype(int))
    marker = {"color": colour(number), "symbol": symbol(number), "size": 8 if shown < 80 else 5}
    style = {"mode": "markers", "marker": marker, "hovertext": [words[i] for i in kept], "hoverinfo": "text", **style}
    return scatter(x[kept], y[kept], name, **style)
