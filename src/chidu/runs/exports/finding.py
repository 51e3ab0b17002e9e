"""Which tracker's export a file or folder is, told by what it holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from chidu.errors import TableError
from chidu.runs.cells import Sheet
from chidu.runs.exports.mlflow import find_stores, read_mlflow_database, read_mlflow_folders
from chidu.runs.exports.sqlite import is_sqlite, open_readonly, table_names
from chidu.runs.exports.tensorboard import find_event_files, read_tensorboard
from chidu.runs.exports.tracked import TrackedRun, sheet_of
from chidu.runs.exports.trackio import read_trackio
from chidu.runs.exports.wandb import find_wandb_files, read_wandb

__all__ = ["read_export"]

_Found = tuple[str, Sequence[Path], Callable[[Sequence[Path]], list[TrackedRun]]]


def read_export(path: Path) -> Sheet | None:
    """Read a tracker's file or folder, or return None where it is none.

    Raises TableError where a folder holds the runs of several trackers or a file can't be read, MissingPackageError
    where reading it needs a package.
    """
    found = _in_folder(path) if path.is_dir() else _in_file(path)
    if not found:
        return None
    if len(found) > 1:
        places = "; ".join(f"{tracker}: {paths[0]}" for tracker, paths, _ in found)
        raise TableError(f"{path}: several trackers or projects have left runs in it, name one ({places})")
    tracker, paths, reader = found[0]
    return sheet_of(path, tracker, reader(paths))


def _in_folder(path: Path) -> list[_Found]:
    wandb = find_wandb_files(path)
    stores = find_stores(path)
    databases = [each for each in sorted(path.glob("*.db")) if is_sqlite(each)]
    found: list[_Found] = [("W&B", wandb, read_wandb)] if wandb else []
    found += [("MLflow", stores, read_mlflow_folders)] if stores else []
    found += [each for database in databases for each in _database(database, strict=False)]
    # W&B copies the event files of a run that it watches into its own folder.
    events = [each for each in find_event_files(path) if not any(_inside(each, store) for store in wandb)]
    return found + ([("TensorBoard", events, partial(read_tensorboard, path))] if events else [])


def _inside(file: Path, wandb_file: Path) -> bool:
    return wandb_file.parent in file.parents


def _in_file(path: Path) -> list[_Found]:
    if path.suffix.lower() == ".wandb":
        return [("W&B", [path], read_wandb)]
    if "tfevents" in path.name:
        return [("TensorBoard", [path], partial(read_tensorboard, path))]
    return _database(path, strict=True) if is_sqlite(path) else []


def _database(path: Path, *, strict: bool) -> list[_Found]:
    """Say whose SQLite file this is. Raises TableError where it is nobody's and ``strict``."""
    try:
        with open_readonly(path) as connection:
            tables = table_names(connection)
    except sqlite3.Error as error:
        raise TableError(f"{path}: this SQLite file can't be read ({error})") from error
    if {"runs", "experiments", "latest_metrics", "params"} <= tables:
        return [("MLflow", [path], read_mlflow_database)]
    if {"metrics", "configs"} <= tables:
        return [("trackio", [path], read_trackio)]
    if strict:
        raise TableError(f"{path}: this SQLite file holds no runs of MLflow or trackio")
    return []
