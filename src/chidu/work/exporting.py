"""The finished runs of a work folder, written for other people's trackers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chidu.errors import WorkFolderError
from chidu.runs.folder import check_work_folder
from chidu.runs.forecast import Score, WrittenForecast
from chidu.runs.outbound import Outgoing, outgoing_run, write_runs
from chidu.runs.record import read_json
from chidu.runs.run import Run
from chidu.work.results import LADDER_TABLE, read_run, rung_runs

__all__ = ["Export", "export_work"]


@dataclass(frozen=True)
class Export:
    """What was written."""

    ladder: Path
    """File or folder of the ladder's runs: `chidu fit` reads it."""
    target: Path | None
    """File or folder of the target's run; None where it is not trained yet."""
    runs: tuple[str, ...]
    show: str
    """The command that shows the ladder in its tracker."""


def export_work(folder: Path, tracker: str, output: Path) -> Export:
    """Write a work folder's runs into `output`: the ladder's as one project, the target's, which no law may be fitted
    to, as another.

    Raises WorkFolderError where the folder has no finished ladder, and what `write_runs` raises.
    """
    if not folder.exists():
        raise WorkFolderError(f"{folder}: no such folder: name a work folder with --work")
    check_work_folder(folder)
    if not (folder / "ladder" / LADDER_TABLE).exists():
        raise WorkFolderError(f"{folder} has no finished ladder: run chidu ladder --work {folder} first")
    projects = {"ladder": [outgoing_run(run) for run in rung_runs(folder)]}
    target = _target(folder)
    if target is not None:
        projects["target"] = [target]
    written = write_runs(tracker, output, projects)
    names = tuple(run.name for runs in projects.values() for run in runs)
    return Export(written.places["ladder"], written.places.get("target"), names, written.show)


def _target(folder: Path) -> Outgoing | None:
    """Return the target's run with its forecast and, where there is one, its score."""
    if not (folder / "target" / "record.json").exists():
        return None
    run: Run = read_run(folder)
    scored = folder / "score" / "score.json"
    score = Score.from_dict(read_json(scored)) if scored.exists() else None
    return outgoing_run(run, WrittenForecast.read(folder / "forecast" / "forecast.json"), score)
