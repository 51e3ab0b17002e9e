"""A table of runs: all that passes between training and fitting, from our own ladders or anybody's CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chidu.errors import InputError, MissingPackageError, TableError, nearest
from chidu.runs.record import write_atomic
from chidu.runs.run import Run
from chidu.units import count_of, parse_count

__all__ = ["Ladder", "Table"]

KEPT_COLUMNS = frozenset({"loss", "params", "tokens", "flops"})
"""Columns that stay under their own names too where another name is mapped to them."""
TEXT_COLUMNS = frozenset({"run", "name", "group", "source", "split", "recipe", "model"})


class Table(dict[str, NDArray[Any]]):
    """Column name → one NumPy array, all of one length: `pandas.DataFrame(table)` simply works."""

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dicts of Python values; NaN becomes None, so that they are JSON."""
        columns = {name: column.tolist() for name, column in self.items()}
        count = len(next(iter(columns.values()), []))
        return [{name: _plain(values[i]) for name, values in columns.items()} for i in range(count)]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


class Ladder:
    """Runs as columns. Immutable; `select` gives another Ladder.

    Parameters
    ----------
    columns: name → values, all of one length. Counts may be written as people write them (`"1.3B"`).
    source: where the rows came from, named in errors.
    row_numbers: the row's number in that source, named in errors; 1, 2, … where not given.
    """

    def __init__(
        self,
        columns: Mapping[str, ArrayLike],
        source: str = "table",
        row_numbers: Sequence[int] | None = None,
    ) -> None:
        self.source = source
        lengths = {name: len(np.atleast_1d(np.asarray(values, dtype=object))) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise TableError(f"{source}: the columns differ in length: {lengths}")
        count = next(iter(lengths.values()), 0)
        self.row_numbers = np.asarray(row_numbers if row_numbers is not None else range(1, count + 1), dtype=int)
        self.columns: Mapping[str, NDArray[Any]] = {name: _column(name, values) for name, values in columns.items()}
        self._empty = {name: frozenset(self.row_numbers[_empty_cells(values)]) for name, values in columns.items()}
        """Numbers of the rows whose cell is empty: in the column itself they are NaN like any other."""

    def __len__(self) -> int:
        return len(self.row_numbers)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __repr__(self) -> str:
        return f"Ladder({len(self)} runs from {self.source}: {', '.join(self.columns)})"

    @classmethod
    def read(cls, path: str | Path, columns: Mapping[str, str] | None = None) -> Ladder:
        """Read a CSV, JSONL or Parquet file, told by its ending.

        ``columns`` maps our name to the file's: ``{"loss": "val/loss", "params": "n_params"}``. Raises TableError where
        the file is missing, empty, ragged, not UTF-8, or lacks a mapped column.
        """
        path = Path(path)
        if path.is_dir():
            raise TableError(f"{path}: this is a folder: name a table of runs (CSV, JSONL or Parquet)")
        if path.suffix.lower() == ".json":
            raise TableError(f"{path}: a table of runs is CSV, JSONL (one object a line) or Parquet, not JSON")
        if not path.is_file():
            raise TableError(f"{path}: no such file")
        reader = {".jsonl": _read_jsonl, ".parquet": _read_parquet}.get(path.suffix.lower(), _read_csv)
        table, numbers = reader(path)
        for theirs in (columns or {}).values():
            if theirs not in table:
                raise TableError(f"{path}: no column {theirs!r}{nearest(theirs, table)}; it has {', '.join(table)}")
        if columns:
            renamed = {ours: table[theirs] for ours, theirs in columns.items()}
            others = set(table) - (set(columns.values()) - KEPT_COLUMNS)
            table = {**{name: values for name, values in table.items() if name in others}, **renamed}
        if not numbers:
            raise TableError(f"{path}: no rows below the header")
        return cls(table, str(path), numbers)

    @classmethod
    def from_runs(cls, runs: Iterable[Run]) -> Ladder:
        """Return the table of these runs."""
        rows = [run.row() for run in runs]
        if not rows:
            raise TableError("a ladder needs at least one run")
        return cls({name: [row[name] for row in rows] for name in rows[0]}, "runs")

    @classmethod
    def of(cls, table: Ladder | Mapping[str, ArrayLike] | Any) -> Ladder:
        """Return a Ladder of what the caller has: a Ladder, a mapping of columns, a pandas or polars data frame."""
        if isinstance(table, Ladder):
            return table
        if isinstance(table, Mapping):
            return cls(table)
        if hasattr(table, "columns") and hasattr(table, "__getitem__"):
            return cls({str(name): np.asarray(table[name]) for name in table.columns})
        raise TableError(
            f"a table of runs is a Ladder, a mapping of columns or a data frame, not {type(table).__name__}"
        )

    def numbers(self, name: str, positive: bool = True) -> NDArray[np.float64]:
        """Return a column as float64, checked: every value finite, and above 0 where ``positive``.

        Raises TableError naming the first row that fails, and the nearest column where there is none of that name.
        """
        if name not in self.columns:
            raise TableError(
                f"{self.source}: no column {name!r}{nearest(name, self.columns)}; it has {', '.join(self.columns)}. "
                f"Map another name to it with --columns {name}=NAME"
            )
        column = self.columns[name]
        if column.dtype.kind not in "fiub":
            row, text = next(
                ((i, text) for i, text in enumerate(column.tolist()) if _number_of(text) is None), (0, column[0])
            )
            raise TableError(f"{self.source}: row {self.row_numbers[row]}, column {name!r}: {_why_no_number(text)}")
        values = column.astype(np.float64)
        bad = ~np.isfinite(values) | ((values <= 0) if positive else False)
        if bad.any():
            row = int(np.argmax(bad))
            want = "a finite number above 0" if positive else "a finite number"
            number, count = self.row_numbers[row], int(bad.sum())
            said = "empty" if number in self._empty[name] else f"{values[row]:g}"
            raise TableError(
                f"{self.source}: row {number}, column {name!r} is {said}; it must be {want} "
                f"({count_of(count, 'such row')}): mend or delete {'it' if count == 1 else 'them'}"
            )
        return values

    def select(self, rows: ArrayLike) -> Ladder:
        """Return the rows of a mask or an array of indices."""
        index = np.asarray(rows)
        chosen = Ladder(
            {name: column[index] for name, column in self.columns.items()},
            self.source,
            self.row_numbers[index].tolist(),
        )
        chosen._empty = self._empty
        return chosen

    def write(self, path: str | Path) -> None:
        """Write a CSV, JSONL or Parquet file, told by its ending, atomically. Numbers read back equal."""
        path = Path(path)
        if path.suffix.lower() == ".parquet":
            write_atomic(path, _parquet_bytes(self.columns))
        elif path.suffix.lower() == ".jsonl":
            write_atomic(path, "".join(json.dumps(row) + "\n" for row in Table(self.columns).rows()))
        else:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(zip(*(column.tolist() for column in self.columns.values()), strict=True))
            write_atomic(path, text.getvalue())


def _column(name: str, values: ArrayLike) -> NDArray[Any]:
    """Turn values into an array: numbers where all are (units understood), text otherwise.

    A column that no law asks for may hold anything: what can't be read as a number is refused by `numbers` alone.
    """
    array = np.atleast_1d(np.asarray(values, dtype=None if _is_flat(values) else object))
    if array.ndim == 1 and array.dtype.kind in "fiub":
        return array
    texts = [("" if value is None else str(value).strip()) for value in array.tolist()]
    if name.lower() in TEXT_COLUMNS:
        return np.asarray(texts)
    parsed = [_number_of(text) for text in texts]
    if any(value is None for value in parsed):
        return np.asarray(texts)
    result = np.asarray(parsed, dtype=np.float64)
    integral = np.isfinite(result).all() and (result == np.round(result)).all() and (np.abs(result) < 2**53).all()
    return result.astype(np.int64) if integral and not any("." in t or "e" in t.lower() for t in texts) else result


def _is_flat(values: Any) -> bool:
    return not (isinstance(values, (list, tuple)) and any(isinstance(value, (list, tuple, dict)) for value in values))


def _empty_cells(values: ArrayLike) -> list[int]:
    """Indices of the cells that hold nothing."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return []
    cells = np.atleast_1d(np.asarray(values, dtype=object)).tolist()
    return [i for i, cell in enumerate(cells) if cell is None or (isinstance(cell, str) and not cell.strip())]


def _why_no_number(text: Any) -> str:
    try:
        parse_count(str(text))
    except InputError as error:
        return str(error)
    return f"{text!r} is not a number"


def _number_of(text: str) -> float | None:
    """Read a cell: NaN where it is empty, None where it is no number."""
    if text.lower() in ("", "nan", "null", "none", "na"):
        return math.nan
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return float(text)
    try:
        return parse_count(text)
    except InputError:
        return None


def _read_csv(path: Path) -> tuple[dict[str, list[str]], list[int]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8 CSV") from error
    try:
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise TableError(f"{path}: not a CSV file ({error})") from error
    filled = [(number, line) for number, line in enumerate(lines, 1) if any(cell.strip() for cell in line)]
    if not filled:
        raise TableError(f"{path}: the file is empty")
    header = [name.strip() for name in filled[0][1]]
    _check_delimiter(path, header)
    if len(set(header)) < len(header):
        raise TableError(f"{path}: a column name stands twice in the header: {', '.join(header)}")
    for number, line in filled[1:]:
        if len(line) != len(header):
            raise TableError(f"{path}: line {number} has {len(line)} cells, the header {len(header)}")
    columns = {name: [line[i] for _, line in filled[1:]] for i, name in enumerate(header)}
    return columns, [number for number, _ in filled[1:]]


def _check_delimiter(path: Path, header: Sequence[str]) -> None:
    """Refuse a header of one cell that holds another delimiter: as one column nobody would find its columns."""
    for delimiter, said in ((";", "';'"), ("\t", "tabs"), ("|", "'|'")):
        if len(header) == 1 and delimiter in header[0]:
            raise TableError(f"{path}: looks separated by {said}: save it with commas")


def _read_jsonl(path: Path) -> tuple[dict[str, Any], list[int]]:
    rows, numbers = [], []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise TableError(f"{path}: line {number} is not JSON ({error})") from error
            if not isinstance(row, dict):
                raise TableError(f"{path}: line {number} is not a JSON object")
            rows.append(row)
            numbers.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}, numbers


def _read_parquet(path: Path) -> tuple[dict[str, Any], list[int]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "tables", f"reading {path}") from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise TableError(f"{path}: not a Parquet file ({error})") from error
    return table.to_pydict(), list(range(1, table.num_rows + 1))


def _parquet_bytes(columns: Mapping[str, NDArray[Any]]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "tables", "writing Parquet") from error
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({name: column.tolist() for name, column in columns.items()}), sink)
    return sink.getvalue()
