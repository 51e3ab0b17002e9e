"""Files of JSON lines, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from chidu.errors import WorkFolderError

__all__ = ["read_lines", "write_line"]


def write_line(file: IO[bytes], value: Mapping[str, Any]) -> None:
    """Write one JSON line, with non-ASCII text as it is (but escaped where it holds half of a surrogate pair)."""
    try:
        line = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        line = json.dumps(value).encode()
    file.write(line + b"\n")


def read_lines(path: Path, start: int = 0, end: int | None = None) -> Iterator[dict[str, Any]]:
    """Read the lines that begin at byte ``start`` or later and before ``end``.

    Raises WorkFolderError where the file is missing, or a line is no JSON: these are files we wrote ourselves.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            while (end is None or file.tell() < end) and (line := file.readline()):
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise WorkFolderError(f"{path} can't be read ({error}): delete its folder to have it made again") from error
