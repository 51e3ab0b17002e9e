"""The page's tables: numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.report.texts import Texts
from chidu.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from chidu.laws import Fit

__all__ = [
    "Grid",
    "card_grids",
    "cost_grid",
    "flops_text",
    "law_grid",
    "loss_text",
    "mapping_grid",
    "number_text",
    "percent",
    "plan_grid",
    "plan_rows",
    "score_grid",
]

MOST_ROWS = 200
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
SHARES = ("held_out_share", "held_out_repeated")
"""Entries of a card that are parts of a whole, 0 to 1."""
CARD_ORDER = ("totals", "licences", "dropped", "redactions", "split")


@dataclass(frozen=True)
class Grid:
    """One table, all cells as text; the first column names its row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int
    """Rows there were before the table was cut."""
    is_prose: bool = False
    """Its cells are sentences: where the page is narrow, the cells of a row stand under each other."""

    @classmethod
    def of(cls, caption: str, columns: Iterable[str], rows: Iterable[Iterable[str]], is_prose: bool = False) -> Grid:
        """Make a table, cut where it is too long for a page."""
        cells = tuple(tuple(row) for row in rows)
        return cls(caption, tuple(columns), cells[:MOST_ROWS], len(cells), is_prose)


def loss_text(value: float | None) -> str:
    """Write a loss with four digits behind the point."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4f}"


def flops_text(value: float | None) -> str:
    """Write flops as ``2.1 × 10¹³``: budgets of all magnitudes in one form."""
    if not value or not math.isfinite(value):
        return "–"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}\u00a0×\u00a010{str(int(exponent)).translate(_RAISED)}"


def percent(level: float) -> str:
    """Write a level such as 0.9 as ``90%``."""
    return f"{100 * level:g}%"


def number_text(value: Any) -> str:
    """Write any value of a mapping: numbers with few digits, lists joined, the rest as it is."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {number_text(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(number_text(item) for item in value)
    return str(value)


ROWS_FIRST = ("dear", "frontier")
"""Weightings whose names stand beside a law's."""


def law_grid(fit: Fit, text: Texts) -> Grid:
    """Parameters with their intervals."""
    rows = []
    for name, value in fit.parameters.items():
        low, high = fit.intervals.get(name, (math.nan, math.nan))
        rows.append((name, *(f"{number:.5g}" if math.isfinite(number) else "–" for number in (value, low, high))))
    columns = (text["parameter"], text["value"], text["low"], text["high"])
    level = text["interval"].format(level=percent(fit.level))
    return Grid.of(text["with_more"].format(word=text["parameter"], more=level), columns, rows)


def _law_label(name: str, text: Texts) -> str:
    """Name a law and its weighting in the page's language."""
    for weighting in ROWS_FIRST:
        name = name.replace(f" ({weighting} rows first)", text[f"{weighting}_first"])
    return name


def score_grid(fit: Fit, text: Texts) -> Grid | None:
    """How each law scored on runs it had not seen; None where none was compared."""
    if not fit.law_scores:
        return None
    rows = [
        (_law_label(name, text), f"{100 * score:.2f}%" if math.isfinite(score) else "–")
        for name, score in fit.law_scores.items()
    ]
    return Grid.of(text["law_scores"], (text["law"], text["score"]), rows)


def plan_rows(plan: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return one dict a budget, from a list of plans, one plan, or a table of columns."""
    plans = () if plan is None else (plan,) if isinstance(plan, Mapping) else plan
    return [row for each in plans for row in _budgets(each) if "loss" in row]


def _budgets(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    arrays = {name: np.atleast_1d(values) for name, values in plan.items() if not isinstance(values, (list, Mapping))}
    columns = {name: values.tolist() for name, values in arrays.items() if values.dtype.kind in "fiuU"}
    count = max(map(len, columns.values()), default=0)
    return [{name: values[i] for name, values in columns.items() if len(values) == count} for i in range(count)]


def plan_grid(rows: Sequence[Mapping[str, Any]], text: Texts, caption: str = "") -> Grid:
    """Budget → params, tokens, loss, each with its interval."""
    names = [name for name in ("flops", "params", "tokens", "loss") if any(name in row for row in rows)]
    titles = {"params": rows[0].get("params_column", "params")}
    cells = [[with_interval(row, name, text) for name in names] for row in rows]
    return Grid.of(caption or text["s_plan"], [text.get(titles.get(name, name), name) for name in names], cells)


def with_interval(row: Mapping[str, float], name: str, text: Texts) -> str:
    """Write a value, and its interval behind it where there is one."""
    if name not in row:
        return "–"
    write = {"loss": loss_text, "flops": flops_text}.get(name, format_count)
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if low is None or high is None or low == high or not (math.isfinite(low) and math.isfinite(high)):
        return write(row[name])
    return text["plan_with"].format(value=write(row[name]), low=write(low), high=write(high))


def cost_grid(costs: Sequence[Mapping[str, Any]], text: Texts) -> Grid:
    """Time and flops of each stage, and in all."""
    rows = [(_stage(cost, text), *_cost_cells(cost.get("seconds"), cost.get("flops"))) for cost in costs]
    sums = (sum(float(cost.get(name) or 0) for cost in costs) for name in ("seconds", "flops"))
    rows.append((text["total"], *_cost_cells(*sums)))
    return Grid.of(text["s_costs"], (text["stage"], text["time"], text["flops"]), rows)


def _stage(cost: Mapping[str, Any], text: Texts) -> str:
    name = str(cost.get("stage", "–"))
    return text.get(f"stage_{name}", name)


def _cost_cells(seconds: float | None, flops: float | None) -> tuple[str, str]:
    return format_seconds(seconds) if seconds is not None else "–", flops_text(flops)


def mapping_grid(caption: str, values: Mapping[str, Any], text: Texts) -> Grid:
    """A mapping as names and values; mappings inside it as ``outer.inner``."""
    return Grid.of(
        caption, (text["name"], text["value"]), [(name, number_text(value)) for name, value in _flat(values)]
    )


def card_grids(card: Mapping[str, Any], text: Texts) -> tuple[list[Grid], list[str]]:
    """Return a data card as tables, its scalars first, and its lists of sentences."""
    order = [name for name in CARD_ORDER if name in card] + [name for name in card if name not in CARD_ORDER]
    scalars, grids, sentences = {}, [], []
    for name in order:
        value = card[name]
        if isinstance(value, Mapping) or _is_records(value):
            grids += [_card_grid(name, value, text)] if value else []
        elif isinstance(value, (list, tuple)):
            sentences += [text.say(number_text(item)) for item in value]
        elif name == "notes":
            sentences.append(text.say(str(value)))
        else:
            scalars[name] = value
    totals = [(_word(name, text), _card_text(name, value, text)) for name, value in scalars.items()]
    first = [Grid.of(text["totals"], (text["name"], text["value"]), totals)] if totals else []
    return first + grids, sentences


def _is_records(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value)


def _card_grid(name: str, value: Any, text: Texts) -> Grid:
    """A part of the card: records by row, in a list or by name; or names with one value each."""
    named = isinstance(value, Mapping)
    records = list(value.values()) if named else list(value)
    title = _word(name, text)
    if not _is_records(records):
        return mapping_grid(title, {_word(key, text): item for key, item in value.items()}, text)
    columns = tuple(dict.fromkeys(key for record in records for key in record))
    cells = [[_card_text(key, record.get(key), text) for key in columns] for record in records]
    words = [_word(key, text) for key in columns]
    if not named:
        return Grid.of(title, words, cells)
    rows = [(_word(key, text), *row) for key, row in zip(value, cells, strict=True)]
    return Grid.of(title, (text.get(f"card_{name}_name", text["name"]), *words), rows)


def _word(name: str, text: Texts) -> str:
    """Return a card's key in the page's language; as it stands where there is no word for it."""
    return text.get(f"card_{name}") or text.say(str(name).replace("_", " "))


def _card_text(name: str, value: Any, text: Texts) -> str:
    if name in SHARES and isinstance(value, (int, float)):
        return percent(float(f"{value:.3g}"))
    is_bytes = name.startswith("bytes") and isinstance(value, int)
    return format_bytes(value) if is_bytes else text.say(number_text(value))


def _flat(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
