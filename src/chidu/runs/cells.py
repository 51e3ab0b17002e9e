"""The cells of a table, turned into columns: numbers where all are, text otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chidu.errors import InputError, TableError
from chidu.units import parse_count

__all__ = ["Sheet", "as_column", "as_numbers", "empty_cells", "flatten", "number_of", "why_no_number"]

TEXT_COLUMNS = frozenset({"run", "name", "group", "source", "split", "recipe", "model", "project"})

DEEPEST = 100
"""Levels of a nested value; nobody's settings have as many."""


@dataclass(frozen=True)
class Sheet:
    """A table as it was found, its cells not yet read."""

    columns: Mapping[str, Sequence[Any]]
    """Name → cells, all of one length."""
    numbers: Sequence[int]
    """Where each row stands in its source: the line of a CSV or JSONL file, else 1, 2, …"""
    notes: tuple[str, ...] = ()
    """What a reader of the result should know, one line each."""


def flatten(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Write a nested mapping flat, its keys joined with dots; lists stay as they are.

    Raises TableError where it is nested more than DEEPEST deep.
    """
    flat: dict[str, Any] = {}
    if prefix.count(".") > DEEPEST:
        raise TableError(f"table: a value is nested more than {DEEPEST} deep ({prefix[:40]}…): write it flat")
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value})
    return flat


def as_column(name: str, values: ArrayLike) -> NDArray[Any]:
    """Turn values into an array (rows,): numbers where all are (units understood), text otherwise.

    A column that no law asks for may hold anything: a cell that is no number is refused where its column is asked for.
    True and false are numbers only in a column of nothing else.
    """
    array = np.atleast_1d(np.asarray(values, dtype=None if _is_flat(values) else object))
    if array.ndim == 1 and array.dtype.kind in "fiub":
        return array
    texts = [("" if value is None else str(value).strip()) for value in array.tolist()]
    if name.lower() in TEXT_COLUMNS:
        return np.asarray(texts)
    parsed = [number_of(text) for text in texts]
    if any(value is None for value in parsed):
        return np.asarray(texts)
    result = np.asarray(parsed, dtype=np.float64)
    integral = np.isfinite(result).all() and (result == np.round(result)).all() and (np.abs(result) < 2**53).all()
    return result.astype(np.int64) if integral and not any("." in t or "e" in t.lower() for t in texts) else result


def as_numbers(column: NDArray[Any]) -> NDArray[np.float64]:
    """Return a column as float64 (rows,), NaN where a cell is no number."""
    if column.dtype.kind in "fiub":
        return column.astype(np.float64)
    parsed = [number_of(str(cell)) for cell in column.tolist()]
    return np.asarray([math.nan if value is None else value for value in parsed], dtype=np.float64)


def empty_cells(values: ArrayLike) -> list[int]:
    """Return the indices of the cells that hold nothing."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return []
    cells = np.atleast_1d(np.asarray(values, dtype=object)).tolist()
    return [i for i, cell in enumerate(cells) if cell is None or (isinstance(cell, str) and not cell.strip())]


def number_of(text: str) -> float | None:
    """Read a cell: NaN where it is empty, None where it is no number."""
    if text.lower() in ("", "nan", "null", "none", "na", "<na>"):
        return math.nan
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return float(text)
    try:
        return parse_count(text)
    except InputError:
        return None


def why_no_number(text: Any) -> str:
    """Say why a cell is no number."""
    try:
        parse_count(str(text))
    except InputError as error:
        return str(error)
    return f"{text!r} is not a number"


def _is_flat(values: Any) -> bool:
    """False where NumPy would make something else of the cells: of lists, and of booleans among numbers."""
    if not isinstance(values, (list, tuple)):
        return True
    kinds = {bool if isinstance(value, (bool, np.bool_)) else type(value) for value in values}
    return not kinds & {list, tuple, dict} and (bool not in kinds or kinds == {bool})
