"""Tables of runs in files: CSV, JSONL, Parquet, and what experiment trackers leave on disk."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chidu.errors import MissingPackageError, TableError
from chidu.runs.cells import Sheet, flatten
from chidu.runs.exports import read_download, read_export
from chidu.runs.record import parse_json

__all__ = ["parquet_bytes", "read_sheet"]


def read_sheet(path: Path, content: bytes | None = None) -> Sheet:
    """Read a CSV, JSONL or Parquet file, told by its ending, or a tracker's file or folder, told by what it holds.

    A CSV or JSONL file may be compressed (`.gz`). ``content`` is what a pipe gave, which can be read once only.
    Raises TableError where it is missing, can't be read, is empty, ragged, not UTF-8 or none of these,
    MissingPackageError where a package is needed to read it.
    """
    if path.suffix.lower() == ".json":
        raise TableError(f"{path}: a table of runs is CSV, JSONL (one object a line) or Parquet, not JSON")
    if content is None and not path.exists():
        raise TableError(f"{path}: no such file")
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise TableError(f"{path}: a table of runs is CSV, JSONL or Parquet, not a workbook: export the sheet as CSV")
    try:
        return _read(path, content)
    except OSError as error:
        raise TableError(
            f"{path}: can't be read ({error.strerror or error}): see that the disk or mount is well"
        ) from error


def _read(path: Path, content: bytes | None) -> Sheet:
    # A pipe can be read once only: it is taken for a CSV, and not looked into first.
    found = read_export(path) if path.is_file() or path.is_dir() else None
    if found is not None:
        return found
    if path.is_dir():
        raise TableError(
            f"{path}: this is a folder, and no runs of W&B, MLflow, TensorBoard or trackio are in it: "
            "name a table of runs (CSV, JSONL or Parquet) or such a folder"
        )
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending == ".parquet":
        sheet = _read_parquet(path)
    else:
        text = _text(path, path.read_bytes() if content is None else content)
        sheet = _read_jsonl(path, text) if ending == ".jsonl" else _read_csv(path, text)
    if not sheet.numbers:
        raise TableError(f"{path}: no rows below the header")
    return read_download(path, sheet)


def _text(path: Path, content: bytes) -> str:
    """Turn a file's bytes into text, decompressed; a file of another kind is told by its first bytes."""
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise TableError(f"{path}: a damaged gzip file ({error}): save it again") from error
    for mark, said in _MARKS.items():
        if content.startswith(mark):
            raise TableError(f"{path}: {said}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise TableError(
            f"{path}: not UTF-8 at byte {error.start} (line {line}): save it as CSV UTF-8, "
            "or convert it: iconv -f GB18030 -t UTF-8"
        ) from error


_WIDE = "in UTF-16, not UTF-8: save it as CSV UTF-8, or convert it: iconv -f UTF-16 -t UTF-8"
_MARKS = {
    b"\xff\xfe": _WIDE,
    b"\xfe\xff": _WIDE,
    b"PK\x03\x04": "a zip archive or a workbook: unpack it, or export the sheet as CSV",
    b"PAR1": "a Parquet file: name it so that it ends in .parquet",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: decompress it, or compress it by gzip",
    b"BZh": "compressed by bzip2: decompress it, or compress it by gzip",
    b"\xfd7zXZ": "compressed by xz: decompress it, or compress it by gzip",
}
"""First bytes of what is taken for a table now and then."""


def _read_csv(path: Path, text: str) -> Sheet:
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


def _read_jsonl(path: Path, text: str) -> Sheet:
    rows, numbers = [], []
    # Only these end a line of JSONL: a text in it may hold others that `splitlines` knows.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line.strip():
            try:
                row = parse_json(line)
            except ValueError as error:
                raise TableError(f"{path}: line {number} is not JSON ({error})") from error
            if not isinstance(row, dict):
                raise TableError(f"{path}: line {number} is not a JSON object")
            try:
                rows.append(flatten(row))
            except TableError as error:
                raise TableError(f"{path}: line {number}: {error}") from error
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
