"""How a fit, forecasts and a backtest print: plain text tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chidu.laws.catalogue import LAWS
from chidu.laws.objective import OBJECTIVES
from chidu.laws.rows import WEIGHTINGS
from chidu.units import format_count

if TYPE_CHECKING:
    from chidu.laws.backtest import Backtest
    from chidu.laws.fit import Fit
    from chidu.runs.ladder import Ladder

__all__ = [
    "backtest_text",
    "fit_text",
    "forecast_document",
    "forecast_text",
    "laws_document",
    "laws_text",
    "table_text",
]


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Set cells in columns: the first to the left, others to the right, a rule under the header."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *rows]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cell(value: float | None, write: Callable[[float], str]) -> str:
    """Write a number; a dash where there is none, as of intervals without refits."""
    return "–" if value is None or math.isnan(value) else write(value)


def _value(value: float) -> str:
    """Write a loss with four decimals; rates, batches and other targets with as many digits."""
    if value != 0 and abs(value) < 0.1:
        return f"{value:.4g}"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"


def _name(fit: Fit) -> str:
    return f"{fit.law} law" if fit.law in LAWS else "formula"


def laws_document() -> list[dict[str, str]]:
    """Return the catalogue: name, formula, purpose, where it misleads, source."""
    return [
        {
            "name": law.name,
            "formula": f"{law.target} = {law.formula}",
            "purpose": law.purpose,
            "misleads": law.misleads,
            "source": law.source,
        }
        for law in LAWS.values()
    ]


def laws_text() -> str:
    """The catalogue for people."""
    return "\n\n".join(
        f"{law['name']}\n  {law['formula']}\n  for       {law['purpose']}\n  misleads  {law['misleads']}\n"
        f"  source    {law['source']}"
        for law in laws_document()
    )


def fit_text(fit: Fit) -> str:
    """A fit as a table that a paper could use, warnings beside."""
    rows = [
        [name, f"{value:.5g}", *(_cell(edge, "{:.5g}".format) for edge in fit.intervals[name])]
        for name, value in fit.parameters.items()
    ]
    lines = [
        f"{_name(fit)}: {fit.target} = {fit.formula}",
        "",
        table_text(["parameter", "value", f"{fit.level:.0%} low", f"{fit.level:.0%} high"], rows),
        "",
        f"objective  {fit.objective:.8g}  ({OBJECTIVES[fit.objective_name].text})",
        f"status     {fit.status.value}",
        f"rows       {fit.rows}, {fit.resamples} resamples, seed {fit.seed}",
    ]
    if fit.weighting != "even":
        lines.append(f"weights    {WEIGHTINGS[fit.weighting]}")
    if any(math.isfinite(score) for score in fit.law_scores.values()):
        scores = ", ".join(f"{name} {100 * score:.2f}%" for name, score in fit.law_scores.items())
        lines.append(f"missed     dearer runs forecast from cheaper ones: {scores} on average")
    lines += [f"warning    {text}" for text in fit.warnings]
    return "\n".join(lines)


def forecast_document(fit: Fit, points: Ladder, level: float | None = None) -> dict[str, Any]:
    """Return forecasts as one JSON document: whether to trust them, why, and the rows."""
    verdict, why = fit.trust(points, level)
    level = fit.level if level is None else level
    rows = [row | {"level": level} for row in fit.forecast(points, level).rows()]
    said = {"trust": verdict, "why": why, "law": fit.law, "target": fit.value_name}
    return said | {"cost": fit.seen.cost_name, "rows": rows}


def forecast_text(document: Mapping[str, Any]) -> str:
    """The same for people: the first line says whether to trust it."""
    rows = document["rows"]
    value = document["target"]
    names = [name for name in rows[0] if name not in (value, "low", "high", "extrapolation", "level")]
    level = f"{rows[0]['level']:.0%}"
    cells = [
        [
            *(format_count(row[name]) for name in names),
            *(_cell(row[name], _value) for name in (value, "low", "high")),
            _cell(row["extrapolation"], "{:.3g}×".format),
        ]
        for row in rows
    ]
    header = [*names, value, f"{level} low", f"{level} high", f"of the largest {document['cost']}"]
    return f"trust: {document['trust']} ({document['why']})\n\n{table_text(header, cells)}"


def backtest_text(score: Backtest) -> str:
    """A backtest's held-out runs and what they come to."""
    header = ["cut", "flops gap", "law", "forecast", "low", "high", "measured", "error"]
    columns = score.table
    rows = [
        [
            format_count(columns["cut"][i]),
            f"{columns['gap'][i]:.3g}×",
            str(columns["law"][i]),
            *(_cell(columns[name][i], _value) for name in ("forecast", "low", "high", "measured")),
            f"{100 * columns['error'][i]:+.2f}%",
        ]
        for i in range(len(columns["cut"]))
    ]
    return "\n".join([table_text(header, rows), "", score.summary])
