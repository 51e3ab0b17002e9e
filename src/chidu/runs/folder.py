"""A work folder: everything of one undertaking, used by one process at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from chidu.errors import MissingPackageError, WorkFolderError
from chidu.runs.record import read_json, write_json

__all__ = ["FORMAT", "open_work_folder"]

FORMAT = 1
"""Raised when an older Chidu could no longer read what a newer one writes."""


@contextlib.contextmanager
def open_work_folder(folder: Path) -> Iterator[None]:
    """Hold a work folder for this process, making it where there is none.

    Raises WorkFolderError where another process holds it, a newer Chidu made it, or it is a folder of something else.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise MissingPackageError("filelock", "lab", "working in a folder") from error
    check_work_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            if not (folder / "work.json").exists():
                write_json(folder / "work.json", {"chidu_work_folder": FORMAT})
            yield
    except Timeout as error:
        raise WorkFolderError(
            f"{folder} is in use by another chidu process: wait for it, or name another folder with --work"
        ) from error


def check_work_folder(folder: Path) -> None:
    """Raise WorkFolderError where this folder can't be a work folder of this version."""
    if folder.exists() and not folder.is_dir():
        raise WorkFolderError(f"{folder} is a file: name a folder with --work")
    marker = folder / "work.json"
    if marker.exists():
        values = read_json(marker)
        found = values.get("chidu_work_folder") if isinstance(values, dict) else None
        if not isinstance(found, int):
            raise WorkFolderError(f"{marker} is damaged: delete it if {folder} is a work folder of yours")
        if found > FORMAT:
            raise WorkFolderError(
                f"{folder} was made by a newer Chidu (format {found}, this one reads {FORMAT}): "
                "upgrade with pip install -U chidu, or name another folder with --work"
            )
    elif folder.exists() and any(path.name not in (".lock", "chidu.toml", ".DS_Store") for path in folder.iterdir()):
        raise WorkFolderError(f"{folder} holds other files and is no work folder: name an empty or new one with --work")
