"""CSV files that the sites and APIs of trackers give: runs with a state, cells that hold a whole config, charts."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chidu.errors import TableError
from chidu.runs.cells import Sheet, flatten
from chidu.runs.exports.tracked import FINISHED, left_out
from chidu.runs.record import parse_json

__all__ = ["read_download"]

WANDB_RUNS = {"Runtime", "Created", "ID", "User", "Tags", "Sweep", "Notes"}
"""Columns of W&B's table of runs, besides Name and State."""
NOT_FINITE = re.compile(r"(?<=[:\[,(] )-?(?:nan|inf)(?=[,\]})])")


def read_download(path: Path, sheet: Sheet) -> Sheet:
    """Read what a tracker's site or API gave: whole configs in one cell are unfolded, unfinished runs left out.

    Any other table comes back as it is. Raises TableError for the values of a chart, which are no table of runs, and
    where no run has finished.
    """
    _refuse_charts(path, list(sheet.columns))
    return _finished(path, _unfold(path, sheet))


def _refuse_charts(path: Path, header: Sequence[str]) -> None:
    if list(header) == ["Wall time", "Step", "Value"]:
        raise TableError(f"{path}: these are the steps of one run in TensorBoard: name its folder of event files")
    if any(f"{name}__MIN" in header and f"{name}__MAX" in header for name in header):
        raise TableError(
            f"{path}: this is a chart of W&B, a column a run: export the table of runs (Runs, Download as CSV)"
        )


def _unfold(path: Path, sheet: Sheet) -> Sheet:
    """Write columns whose cells are all mappings (W&B's `config` and `summary`) as one column a key."""
    columns: dict[str, Sequence[Any]] = {}
    for name, cells in sheet.columns.items():
        filled = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
        if not filled or not all(cell.strip()[0] == "{" and cell.strip()[-1] == "}" for cell in filled):
            columns[name] = cells
            continue
        rows = [_mapping(path, number, name, cell) for number, cell in zip(sheet.numbers, cells, strict=True)]
        keys = list(dict.fromkeys(key for row in rows for key in row))
        columns.update({f"{name}.{key}": [row.get(key) for row in rows] for key in keys})
    return Sheet(columns, sheet.numbers, sheet.notes)


def _mapping(path: Path, number: int, name: str, cell: Any) -> dict[str, Any]:
    """Read a mapping from JSON, or as Python prints it."""
    if not isinstance(cell, str) or not cell.strip():
        return {}
    try:
        return flatten(parse_json(cell))
    except ValueError:
        pass
    try:
        return flatten(ast.literal_eval(NOT_FINITE.sub("None", cell)))
    except (ValueError, SyntaxError, AttributeError, TypeError, MemoryError, RecursionError) as error:
        raise TableError(
            f"{path}: row {number}, column {name!r}: neither JSON nor a Python mapping: {cell[:40]!r}"
        ) from error


def _finished(path: Path, sheet: Sheet) -> Sheet:
    """Leave out runs that have not finished: their loss is not that of the tokens their config names."""
    column = _state_column(set(sheet.columns))
    if column is None:
        return sheet
    states = [str(cell).strip().lower() for cell in sheet.columns[column]]
    kept = [i for i, state in enumerate(states) if state in (FINISHED, "")]
    gone = [i for i in range(len(states)) if i not in set(kept)]
    if not gone:
        return sheet
    if not kept:
        raise TableError(f"{path}: column {column!r}: no run has finished ({left_out(states)})")
    rows = ", ".join(f"{sheet.numbers[i]} ({states[i]})" for i in gone[:5]) + (" …" if len(gone) > 5 else "")
    note = f"{len(gone)} of {len(states)} runs left out, not finished: row {rows}"
    columns = {name: [cells[i] for i in kept] for name, cells in sheet.columns.items()}
    return Sheet(columns, [sheet.numbers[i] for i in kept], (*sheet.notes, note))


def _state_column(names: set[str]) -> str | None:
    if {"Name", "State"} <= names and names & WANDB_RUNS:
        return "State"
    if {"Run ID", "Status"} <= names:
        return "Status"
    return "status" if {"run_id", "status", "experiment_id"} <= names else None
