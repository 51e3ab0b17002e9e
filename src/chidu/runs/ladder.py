"""A table of runs: all that passes between training and fitting, from our own ladders or anybody's table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chidu.errors import TableError, nearest
from chidu.runs.cells import as_column, empty_cells, flatten, number_of, why_no_number
from chidu.runs.known_names import complete, readable_as
from chidu.runs.record import write_atomic
from chidu.runs.run import Run
from chidu.runs.table_files import parquet_bytes, read_sheet
from chidu.units import count_of

__all__ = ["Ladder", "Table"]

KEPT_COLUMNS = frozenset({"loss", "params", "tokens", "flops"})
"""Columns that stay under their own names too where another name is mapped to them."""


LARGEST = 1e60
"""Numbers beyond this, or nearer to 0 than its inverse, are slips: no product of two of them leaves a float's range."""


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
    notes: what was recognised, inferred or left out on the way here, one line each.
    origins: our name → what the source calls it, or what it was inferred from; named in errors.
    """

    def __init__(
        self,
        columns: Mapping[str, ArrayLike],
        source: str = "table",
        row_numbers: Sequence[int] | None = None,
        *,
        notes: Sequence[str] = (),
        origins: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.source = source
        self.notes = tuple(notes)
        self.origins: Mapping[str, str] = MappingProxyType(dict(origins))
        lengths = {name: len(np.atleast_1d(np.asarray(values, dtype=object))) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise TableError(f"{source}: the columns differ in length: {lengths}")
        count = next(iter(lengths.values()), 0)
        self.row_numbers = np.asarray(row_numbers if row_numbers is not None else range(1, count + 1), dtype=int)
        self.columns: Mapping[str, NDArray[Any]] = {name: as_column(name, values) for name, values in columns.items()}
        self._empty = {name: frozenset(self.row_numbers[empty_cells(values)]) for name, values in columns.items()}
        """Numbers of the rows whose cell is empty: in the column itself they are NaN like any other."""

    def __len__(self) -> int:
        return len(self.row_numbers)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __repr__(self) -> str:
        return f"Ladder({len(self)} runs from {self.source}: {', '.join(self.columns)})"

    @classmethod
    def read(
        cls, path: str | Path, columns: Mapping[str, str] | None = None, *, content: bytes | None = None
    ) -> Ladder:
        """Read a CSV, JSONL or Parquet file, or the runs that W&B, MLflow, TensorBoard or trackio left in one place.

        ``columns`` maps our name to the file's: ``{"loss": "val/loss", "params": "n_params"}``. What is still missing
        is recognised under well-known names, or inferred, and `notes` says so. ``content`` is what was read from a pipe
        of that name already. Raises TableError where the file is
        missing, empty, ragged, not UTF-8, or lacks a mapped column, MissingPackageError where a package is needed.
        """
        path = Path(path)
        columns = {} if columns is None else columns
        if not (isinstance(columns, Mapping) and all(isinstance(name, str) for name in columns.values())):
            raise TableError(f"columns is {columns!r}; it must map our names to the file's: {{'loss': 'val/loss'}}")
        sheet = read_sheet(path, content)
        table = dict(sheet.columns)
        for theirs in columns.values():
            if theirs not in table:
                raise TableError(f"{path}: no column {theirs!r}{nearest(theirs, table)}; it has {', '.join(table)}")
        if columns:
            renamed = {ours: table[theirs] for ours, theirs in columns.items()}
            others = set(table) - (set(columns.values()) - KEPT_COLUMNS)
            table = {**{name: values for name, values in table.items() if name in others}, **renamed}
        read = cls(table, str(path), sheet.numbers, notes=sheet.notes, origins=columns)
        return read._completed()

    @classmethod
    def from_runs(cls, runs: Iterable[Run]) -> Ladder:
        """Return the table of these runs."""
        rows = [run.row() for run in runs]
        if not rows:
            raise TableError("a ladder needs at least one run")
        return cls({name: [row[name] for row in rows] for name in rows[0]}, "runs")

    @classmethod
    def of(cls, table: Ladder | Mapping[str, ArrayLike] | Any) -> Ladder:
        """Return a Ladder of what the caller has, completed as `read` does.

        A Ladder, a mapping of columns, a list of mappings (nested ones are written flat, with dots), a pandas or polars
        data frame, or a pyarrow table: known by what they can do, none of these packages is imported.
        """
        if isinstance(table, Ladder):
            return table
        return cls(_columns_of(table))._completed()

    def _completed(self) -> Ladder:
        """Return the ladder with the columns that are recognised or inferred, or itself where there are none."""
        found = complete(self.columns)
        if not found.notes:
            return self
        whole = Ladder(
            {**self.columns, **found.columns},
            self.source,
            self.row_numbers.tolist(),
            notes=(*self.notes, *found.notes),
            origins={**self.origins, **found.origins},
        )
        empty = {ours: self._empty.get(origin, frozenset()) for ours, origin in found.origins.items()}
        whole._empty = {**self._empty, **empty}
        return whole

    def numbers(self, name: str, positive: bool = True) -> NDArray[np.float64]:
        """Return a column as float64, checked: every value finite, and above 0 where ``positive``; none beyond LARGEST.

        Raises TableError naming the first row that fails, and the nearest column where there is none of that name.
        """
        if name not in self.columns:
            likely = readable_as(name, self.columns)
            others = [column for column in self.columns if column not in KEPT_COLUMNS]
            hint = f" (it may be {' or '.join(map(repr, likely))})" if likely else nearest(name, others)
            raise TableError(
                f"{self.source}: no column {name!r}{hint}; it has {', '.join(self.columns)}. "
                f"Map another name to it with --columns {name}={likely[0] if likely else 'NAME'}"
            )
        column = self.columns[name]
        if column.dtype.kind not in "fiub":
            row, text = next(
                ((i, text) for i, text in enumerate(column.tolist()) if number_of(str(text)) is None), (0, column[0])
            )
            raise TableError(f"{self._place(row, name)}: {why_no_number(text)}")
        values = column.astype(np.float64)
        bad = ~np.isfinite(values) | ((values <= 0) if positive else False)
        if bad.any():
            row = int(np.argmax(bad))
            want = "a finite number above 0" if positive else "a finite number"
            count = int(bad.sum())
            empty = self.row_numbers[row] in self._empty[name]
            said = "empty" if empty else f"{values[row]:g}"
            # To fill some rows by 6·params·tokens would count one table's flops in two ways.
            hint = (
                ", or leave the column out: 6·params·tokens then stand in for all" if name == "flops" and empty else ""
            )
            raise TableError(
                f"{self._place(row, name)} is {said}; it must be {want} "
                f"({count_of(count, 'such row')}): mend or delete {'it' if count == 1 else 'them'}{hint}"
            )
        wild = (np.abs(values) > LARGEST) | ((np.abs(values) < 1 / LARGEST) & (values != 0))
        if wild.any():
            row = int(np.argmax(wild))
            raise TableError(
                f"{self._place(row, name)} is {values[row]:g}; no number of a training run lies beyond {LARGEST:g} or "
                f"below {1 / LARGEST:g} ({count_of(int(wild.sum()), 'such row')}): mend the unit, or delete the row"
            )
        return values

    def _place(self, row: int, name: str) -> str:
        """Say where a cell stands: file, row as in the file, run where it has a name, column and its name there."""
        run = str(self.columns["run"][row]) if "run" in self.columns else ""
        origin = self.origins.get(name, name)
        return (
            f"{self.source}: row {self.row_numbers[row]}{f' (run {run!r})' if run else ''}, "
            f"column {name!r}{f' ({origin})' if origin != name else ''}"
        )

    def select(self, rows: ArrayLike) -> Ladder:
        """Return the rows of a mask or an array of indices."""
        index = np.asarray(rows)
        chosen = Ladder(
            {name: column[index] for name, column in self.columns.items()},
            self.source,
            self.row_numbers[index].tolist(),
            notes=self.notes,
            origins=self.origins,
        )
        chosen._empty = self._empty
        return chosen

    def write(self, path: str | Path) -> None:
        """Write a CSV, JSONL or Parquet file, told by its ending, atomically. Numbers read back equal."""
        path = Path(path)
        if path.suffix.lower() == ".parquet":
            write_atomic(path, parquet_bytes(self.columns))
        elif path.suffix.lower() == ".jsonl":
            write_atomic(path, "".join(json.dumps(row) + "\n" for row in Table(self.columns).rows()))
        else:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(zip(*(column.tolist() for column in self.columns.values()), strict=True))
            write_atomic(path, text.getvalue())


def _columns_of(table: Any) -> dict[str, Any]:
    """Name → values, from whatever holds a table."""
    if isinstance(table, Mapping):
        return dict(table)
    if isinstance(table, Sequence) and not isinstance(table, str):
        if not table:
            raise TableError("table: the list is empty: bring a mapping for each run")
        if table and all(isinstance(row, Mapping) for row in table):
            rows = [flatten(row) for row in table]
            names = list(dict.fromkeys(name for row in rows for name in row))
            return {name: [row.get(name) for row in rows] for name in names}
    elif hasattr(table, "column_names") and hasattr(table, "to_pydict"):  # pyarrow
        _check_names(table.column_names)
        return dict(table.to_pydict())
    elif hasattr(table, "collect_schema") and hasattr(table, "collect") and not hasattr(table, "get_column"):
        return _columns_of(table.collect())  # a lazy polars frame
    elif hasattr(table, "columns") and hasattr(table, "__getitem__"):  # pandas, polars
        _check_names(table.columns)
        return {_text_of(name): np.asarray(table[name]) for name in table.columns}
    raise TableError(
        "a table of runs is a Ladder, a mapping of columns, a list of mappings or a data frame, "
        f"not {type(table).__name__}"
    )


def _text_of(name: Any) -> str:
    return ".".join(str(part) for part in name if str(part)) if isinstance(name, tuple) else str(name)


def _check_names(names: Iterable[Any]) -> None:
    texts = [_text_of(name) for name in names]
    twice = sorted({name for name in texts if texts.count(name) > 1})
    if twice:
        raise TableError(f"table: the column {twice[0]!r} stands twice: rename one")
