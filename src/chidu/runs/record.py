"""What a stage leaves behind: `record.json`, written whole or not at all."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from chidu.errors import StorageError, WorkFolderError
from chidu.parallel import cores
from chidu.runs.storage import steadily

__all__ = [
    "Record",
    "file_digest",
    "fingerprint",
    "machine",
    "now",
    "open_whole",
    "parse_json",
    "read_json",
    "versions",
    "write_atomic",
    "write_json",
]


@dataclass(frozen=True)
class Record:
    """A finished stage: what it was told, what it was made from, what it made, and what that cost."""

    stage: str
    settings: dict[str, Any]
    """What the stage was told."""
    inputs: dict[str, str]
    """Name of each input → fingerprint of its content."""
    outputs: dict[str, dict[str, Any]]
    """File (relative to the stage's folder) → bytes and sha256."""
    result: dict[str, Any]
    """The stage's own summary, as JSON."""
    started: str
    """ISO 8601, UTC."""
    seconds: float
    """Wall time over all sittings, interruptions left out."""
    versions: dict[str, str]
    machine: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of what the stage was made from: equal means nothing is to be done again."""
        return fingerprint({"stage": self.stage, "settings": self.settings, "inputs": self.inputs})

    @property
    def content(self) -> str:
        """Fingerprint of what the stage made: what later stages name as their input."""
        return fingerprint({name: entry["sha256"] for name, entry in self.outputs.items()} or self.result)

    def write(self, folder: Path) -> None:
        """Write `record.json` into the stage's folder, atomically."""
        write_json(folder / "record.json", {"fingerprint": self.fingerprint, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Read a stage's record, or None where there is none yet. Raises WorkFolderError where it is damaged."""
        path = folder / "record.json"
        if not path.exists():
            return None
        try:
            values = dict(read_json(path))
            values.pop("fingerprint", None)
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise WorkFolderError(
                f"{path} is no record of this version ({error}): delete {folder} to redo it"
            ) from error


def fingerprint(value: Any) -> str:
    """Return the sha256 of a JSON value, in a form that does not depend on the order of its keys."""
    # Names of files may be bytes that are no UTF-8.
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def open_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name only when all is written and on the disk.

    A reader, or a crash, sees the old content or the new, never a part; an error leaves no temporary file. A link stays
    one, and what it leads to is replaced; a device or a pipe is written into, since nothing may take its place.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all. Raises StorageError where storage fails again and again."""

    def write() -> None:
        with open_whole(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)

    steadily(write, path)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, with non-ASCII text as it is. NaN and infinity are refused."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def parse_json(content: bytes | str) -> Any:
    """Read JSON that somebody else wrote. Raises ValueError for whatever is none, too deep a nesting as well."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path) -> Any:
    """Read a JSON file of a work folder.

    Raises WorkFolderError where it is damaged, StorageError where storage fails again and again.
    """
    try:
        return parse_json(steadily(lambda: path.read_text(encoding="utf-8"), path))
    except StorageError:
        raise
    except (ValueError, OSError) as error:
        raise WorkFolderError(f"{path} can't be read ({error}): delete it to have it made again") from error


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def versions(packages: Iterable[str] = ("chidu", "numpy", "torch", "tokenizers", "transformers")) -> dict[str, str]:
    """Return the installed versions, Python's included, without importing anything."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Describe this machine, without anything that names its owner or host."""
    return {"system": platform.system(), "processor": platform.machine(), "cores": cores()}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Say of each key whose values differ how: changed, new or gone."""
    found = []
    for key in sorted({*before, *after}):
        if key not in before:
            found.append(f"{key} is new")
        elif key not in after:
            found.append(f"{key} is gone")
        elif before[key] != after[key]:
            found.append(f"{key} changed from {before[key]!r} to {after[key]!r}")
    return found
