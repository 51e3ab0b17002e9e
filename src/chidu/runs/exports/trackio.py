"""trackio: one SQLite file a project, with configs and logged values as JSON."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chidu.errors import TableError
from chidu.runs.exports.sqlite import open_readonly
from chidu.runs.exports.tracked import TrackedRun
from chidu.runs.record import parse_json

__all__ = ["read_trackio"]


def read_trackio(paths: Sequence[Path]) -> list[TrackedRun]:
    """Read the runs of projects: table `configs` (run → config) and table `metrics` (run, step → values).

    trackio does not say whether a run has finished. Raises TableError naming what can't be read.
    """
    found: list[TrackedRun] = []
    for path in paths:
        try:
            with open_readonly(path) as connection:
                found += _runs(path, connection)
        except sqlite3.Error as error:
            raise TableError(f"{path}: not a file of trackio's that can be read ({error})") from error
    return found


def _runs(path: Path, connection: sqlite3.Connection) -> list[TrackedRun]:
    """Runs of one file, in the order in which their first values were logged."""
    found: dict[str, TrackedRun] = {}
    logged = f"SELECT {_key(connection, 'metrics')}, run_name, metrics FROM metrics ORDER BY step, id"
    for run, name, text in connection.execute(logged):
        found.setdefault(run, TrackedRun(name, project=path.stem)).log(_object(path, name, "metrics", text))
    configured = f"SELECT {_key(connection, 'configs')}, run_name, config FROM configs ORDER BY id"
    for run, name, text in connection.execute(configured):
        config = _object(path, name, "config", text)
        # Keys with a leading underscore are trackio's own: user, group, time.
        kept = {key: value for key, value in config.items() if not key.startswith("_")}
        found.setdefault(run, TrackedRun(name, project=path.stem)).configure(kept)
    return list(found.values())


def _key(connection: sqlite3.Connection, table: str) -> str:
    """Return the column that tells runs apart: newer files have ids, since names may repeat."""
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    return "COALESCE(run_id, run_name)" if "run_id" in columns else "run_name"


def _object(path: Path, run: str, what: str, text: str) -> dict[str, Any]:
    try:
        values = parse_json(text)
    except ValueError as error:
        raise TableError(f"{path}: the {what} of run {run!r} are not JSON ({error})") from error
    if not isinstance(values, dict):
        raise TableError(f"{path}: the {what} of run {run!r} are not a JSON object")
    return values
