"""MLflow: a folder `mlruns` of small text files, or one SQLite file.

Both are read as they lie: MLflow's own client would first migrate an older file, and write into it.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from chidu.errors import TableError
from chidu.runs.exports.sqlite import open_readonly
from chidu.runs.exports.tracked import FINISHED, TrackedRun

__all__ = ["find_stores", "read_mlflow_database", "read_mlflow_folders"]

STATES = {"1": "running", "2": "scheduled", "3": FINISHED, "4": "failed", "5": "killed"}
"""RunStatus of MLflow's protocol, as `meta.yaml` has it."""
META = re.compile(r"^(\w+): *(.*?) *$", re.MULTILINE)


def find_stores(path: Path) -> list[Path]:
    """Return the folders of runs in an `mlruns` folder, in one experiment of it, or in the folder that holds it."""
    depths = ("", "*/", "*/*/", "*/*/*/")
    found = [meta.parent for depth in depths for meta in sorted(path.glob(f"{depth}meta.yaml"))]
    return [folder for folder in found if ".trash" not in folder.parts and _is_run(folder)]


def _is_run(folder: Path) -> bool:
    return any((folder / part).is_dir() for part in ("metrics", "params")) and "run_id" in _meta(folder)


def _meta(folder: Path) -> dict[str, str]:
    try:
        text = (folder / "meta.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{folder / 'meta.yaml'}: can't be read ({error})") from error
    return {key: value.strip("'\"") for key, value in META.findall(text)}


def read_mlflow_folders(paths: Sequence[Path]) -> list[TrackedRun]:
    """Read runs from `mlruns`: `params/KEY` holds a value, `metrics/KEY` a line `time value step` for each step.

    Deleted runs are passed over. Raises TableError naming the file and line that can't be read.
    """
    found = []
    for folder in paths:
        meta = _meta(folder)
        if meta.get("lifecycle_stage", "active") != "active":
            continue
        run = TrackedRun(
            meta.get("run_name") or folder.name,
            project=_meta(folder.parent).get("name", "") if (folder.parent / "meta.yaml").is_file() else "",
            state=STATES.get(meta.get("status", ""), meta.get("status", "").lower() or FINISHED),
        )
        run.config.update({key: _text(file) for key, file in _files(folder / "params")})
        for key, file in _files(folder / "metrics"):
            for _, value in sorted(_values(file), key=lambda pair: pair[0]):
                run.log({key: value})
        found.append(run)
    return found


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names of params or metrics (slashes in them are folders), each with its file."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield file.relative_to(folder).as_posix(), file


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{file}: can't be read ({error})") from error


def _values(file: Path) -> Iterator[tuple[tuple[int, int], float]]:
    for number, line in enumerate(_text(file).splitlines(), 1):
        if line.strip():
            words = line.split()
            try:
                yield (int(words[2]) if len(words) > 2 else 0, int(words[0])), float(words[1])
            except (ValueError, IndexError) as error:
                raise TableError(f"{file}: line {number} is not TIME VALUE STEP: {line!r}") from error


def read_mlflow_database(paths: Sequence[Path]) -> list[TrackedRun]:
    """Read runs from SQLite files: tables runs, params, latest_metrics and metrics.

    Deleted runs are passed over. Raises TableError where a table lacks what MLflow writes.
    """
    found: list[TrackedRun] = []
    for path in paths:
        try:
            with open_readonly(path) as connection:
                found += _active(connection)
        except sqlite3.Error as error:
            raise TableError(f"{path}: not a file of MLflow's that can be read ({error})") from error
    return found


def _active(connection: sqlite3.Connection) -> list[TrackedRun]:
    """Runs that were not deleted, in the order in which they began."""
    runs = {
        uuid: TrackedRun(name or uuid, project=project or "", state=(status or FINISHED).lower())
        for uuid, name, status, project in connection.execute(
            "SELECT r.run_uuid, r.name, r.status, e.name FROM runs r LEFT JOIN experiments e"
            " ON e.experiment_id = r.experiment_id WHERE r.lifecycle_stage = 'active' ORDER BY r.start_time"
        )
    }
    passed_over = TrackedRun("")
    for uuid, key, value in connection.execute("SELECT run_uuid, key, value FROM params ORDER BY key"):
        runs.get(uuid, passed_over).config[key] = value
    for uuid, key, value, is_nan in connection.execute("SELECT run_uuid, key, value, is_nan FROM latest_metrics"):
        runs.get(uuid, passed_over).last[key] = math.nan if is_nan else value
    least = "SELECT run_uuid, key, MIN(value) FROM metrics WHERE NOT is_nan GROUP BY run_uuid, key"
    for uuid, key, value in connection.execute(least):
        runs.get(uuid, passed_over).least[key] = value
    return list(runs.values())
