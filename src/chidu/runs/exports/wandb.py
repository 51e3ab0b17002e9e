"""Weights & Biases: `.wandb` files, one a run, written offline and online alike."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chidu.errors import MissingPackageError, TableError
from chidu.runs.exports.tracked import FINISHED, TrackedRun
from chidu.runs.record import parse_json

__all__ = ["find_wandb_files", "read_wandb"]

UNFINISHED = "crashed or running"
MAGIC = b":W&B"
HEADER, BLOCK = 7, 32768
"""Bytes of a file's or a part's header, and of a block."""
WHOLE, FIRST, LAST = 1, 2, 4
"""Kinds of parts; 3 is a middle one."""


def find_wandb_files(path: Path) -> list[Path]:
    """Return the `.wandb` files of a run's folder, of a folder `wandb`, or of what holds one, oldest first."""
    found = [file for pattern in ("", "*/", "*/*/") for file in path.glob(f"{pattern}run-*.wandb")]
    # `latest-run` is a link to one of the others.
    return sorted({file.resolve() for file in found}, key=lambda file: file.parent.name.split("run-", 1)[-1])


def read_wandb(paths: Sequence[Path]) -> list[TrackedRun]:
    """Read runs from their `.wandb` files; a run that was resumed has several, and is one row.

    Needs the package wandb. Raises TableError naming a file that is none of W&B's.
    """
    found: dict[str, TrackedRun] = {}
    for file in paths:
        run: TrackedRun | None = None
        for record in _records(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                known = record.run
                run = found.setdefault(known.run_id, TrackedRun(known.display_name or known.run_id, known.project))
                run.state = UNFINISHED
                run.configure(_items(file, known.config.update))
            elif run is None:
                continue
            elif kind == "config":
                run.configure(_items(file, record.config.update))
            elif kind == "history":
                run.log(_public(_items(file, record.history.item)))
            elif kind == "summary":
                # The summary says what the run's author wants to be known of a metric: by default its last value.
                values = _public(_items(file, record.summary.update))
                least = dict(run.least)
                run.log(values)
                run.least = {**run.least, **least}
            elif kind == "exit":
                run.state = FINISHED if record.exit.exit_code == 0 else f"ended with exit code {record.exit.exit_code}"
    return list(found.values())


def _items(file: Path, items: Any) -> dict[str, Any]:
    """Values of a config, history or summary record: a key or a nested key, and a value, mostly as JSON."""
    values: dict[str, Any] = {}
    for item in items:
        name = ".".join(item.nested_key) if len(item.nested_key) else item.key
        text = item.value_json
        for field, value in () if text else item.ListFields():
            # Newer history items have plain values beside the JSON of old.
            if field.name in ("boolean", "integer", "number", "text"):
                values[name] = value
            elif field.name == "json":
                text = value
        if text:
            try:
                values[name] = parse_json(text)
            except ValueError as error:
                raise TableError(f"{file}: the value of {name!r} is not JSON ({error})") from error
    # Under `_wandb` stands what W&B says of itself.
    return {name: value for name, value in values.items() if name.split(".")[0] != "_wandb"}


def _public(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out W&B's own counters and clocks: `_step`, `_runtime`, `_timestamp`."""
    return {name: value for name, value in values.items() if not name.startswith("_")}


def _records(file: Path) -> Iterator[Any]:
    """The records of a file, as protocol buffers."""
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto.wandb_internal_pb2 import Record
    except ImportError as error:
        raise MissingPackageError("wandb", "wandb", f"reading {file}") from error
    try:
        for content in _contents(file):
            yield Record.FromString(content)
    except DecodeError as error:
        raise TableError(f"{file}: damaged ({error})") from error


def _contents(file: Path) -> Iterator[bytes]:
    """The contents of a log in LevelDB's format (doc/log_format.md there), which `.wandb` files have.

    After a header of 7 bytes come blocks of 32 kB; in them parts, each with a CRC-32, a length and a kind: whole, or
    the first, a middle or the last part of a record. What is torn at the end (the run was killed, or still writes) is
    left out. Raises TableError at the byte where a checksum is wrong.
    """
    raw = file.read_bytes()
    if raw[:4] != MAGIC:
        raise TableError(f"{file}: not a file of W&B's")
    place, record = HEADER, b""
    while place + HEADER <= len(raw):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        checksum, length, kind = struct.unpack_from("<IHB", raw, place)
        part = raw[place + HEADER : place + HEADER + length]
        if len(part) < length:
            return
        if zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            raise TableError(f"{file}: damaged at byte {place}")
        place += HEADER + length
        record = part if kind in (WHOLE, FIRST) else record + part
        if kind in (WHOLE, LAST):
            yield record
