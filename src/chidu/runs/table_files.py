"""Tables of runs in files: CSV, JSONL, Parquet, and what experiment trackers leave on disk."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chidu.errors import MissingPackageError, TableError
from chidu.runs.cells import Sheet, flatten
from chidu.runs.exports import read_download, read_export

__all__ = ["parquet_bytes", "read_sheet"]


def read_sheet(path: Path) -> Sheet:
    """Read a CSV, JSONL or Parquet file, told by its ending, or a tracker's file or folder, told by what it holds.

    Raises TableError where it is missing, empty, ragged, not UTF-8 or none of these, MissingPackageError where a
    package is needed to read it.
    """
    if path.suffix.lower() == ".json":
        raise TableError(f"{path}: a table of runs is CSV, JSONL (one object a line) or Parquet, not JSON")
    if not path.exists():
        raise TableError(f"{path}: no such file")
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise TableError(f"{path}: a table of runs is CSV, JSONL or Parquet, not a workbook: export the sheet as CSV")
    # A pipe can be read once only: it is taken for a CSV, and not looked into first.
    found = read_export(path) if path.is_file() or path.is_dir() else None
    if found is not None:
        return found
    if path.is_dir():
        raise TableError(
            f"{path}: this is a folder, and no runs of W&B, MLflow, TensorBoard or trackio are in it: "
            "name a table of runs (CSV, JSONL or Parquet) or such a folder"
        )
    reader = {".jsonl": _read_jsonl, ".parquet": _read_parquet}.get(path.suffix.lower(), _read_csv)
    sheet = reader(path)
    if not sheet.numbers:
        raise TableError(f"{path}: no rows below the header")
    return read_download(path, sheet)


def _read_csv(path: Path) -> Sheet:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path}: not UTF-8 at byte {error.start}: save it as CSV UTF-8, or convert it: iconv -f GB18030 -t UTF-8"
        ) from error
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
            raise TableError(
                f"{path}: row {number} has {len(line)} cells, the header {len(header)}: mend the row (a comma in a "
                "cell needs quotes around it)"
            )
    columns = {name: [line[i] for _, line in filled[1:]] for i, name in enumerate(header)}
    return Sheet(columns, [number for number, _ in filled[1:]])


def _check_delimiter(path: Path, header: Sequence[str]) -> None:
    """Refuse a header of one cell that holds another delimiter: as one column nobody would find its columns."""
    for delimiter, said in ((";", "';'"), ("\t", "tabs"), ("|", "'|'")):
        if len(header) == 1 and delimiter in header[0]:
            raise TableError(f"{path}: looks separated by {said}: save it with commas")


def _read_jsonl(path: Path) -> Sheet:
    rows, numbers = [], []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise TableError(f"{path}: line {number} is not JSON ({error})") from error
            if not isinstance(row, dict):
                raise TableError(f"{path}: line {number} is not a JSON object")
            rows.append(flatten(row))
            numbers.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Sheet({name: [row.get(name) for row in rows] for name in names}, numbers)


def _read_parquet(path: Path) -> Sheet:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "tables", f"reading {path}") from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise TableError(f"{path}: not a Parquet file ({error})") from error
    return Sheet(table.to_pydict(), list(range(1, table.num_rows + 1)))


def parquet_bytes(columns: Mapping[str, Any]) -> bytes:
    """Write columns (name → array) as a Parquet file."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "tables", "writing Parquet") from error
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({name: column.tolist() for name, column in columns.items()}), sink)
    return sink.getvalue()
