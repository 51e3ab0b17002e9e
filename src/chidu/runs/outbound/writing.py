"""Write runs for a tracker in a process of its own: trackers read their settings as they load, and leave threads."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chidu.errors import MissingPackageError, SettingError, nearest
from chidu.parallel import Emit, map_processes
from chidu.runs.outbound.outgoing import Outgoing

__all__ = ["TRACKERS", "Tracker", "Written", "write_runs"]


@dataclass(frozen=True)
class Tracker:
    """A tool that keeps runs."""

    extra: str
    """Of Chidu's, which installs what it takes."""
    packages: tuple[str, ...]
    environment: Mapping[str, str]
    """Set before its library loads: nothing leaves this machine, no account is asked for, no usage is told."""
    show: str
    """The command that shows a project at `{place}` in the folder `{folder}`."""


TRACKERS = {
    "tensorboard": Tracker("tensorboard", ("tensorboard",), {}, "tensorboard --logdir {place}"),
    "wandb": Tracker(
        "wandb",
        ("wandb",),
        {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"},
        "wandb sync {place}/wandb/offline-run-*",
    ),
    "mlflow": Tracker(
        "mlflow",
        ("mlflow", "sqlalchemy", "alembic"),
        {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"},
        "mlflow ui --backend-store-uri sqlite:///{place}/mlflow.db",
    ),
    "trackio": Tracker(
        "trackio",
        ("trackio",),
        {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"},
        "TRACKIO_DIR={folder} trackio show --project ladder",
    ),
}


@dataclass(frozen=True)
class Written:
    """What was written."""

    places: Mapping[str, Path]
    """Project → the file or folder that `Ladder.read` reads."""
    show: str
    """The command that shows the first project in its tracker."""


@dataclass(frozen=True)
class Job:
    """What the process is told."""

    tracker: str
    folder: Path
    projects: Mapping[str, Sequence[Outgoing]]


def write_runs(tracker: str, folder: Path, projects: Mapping[str, Sequence[Outgoing]]) -> Written:
    """Write the runs of some projects into a new folder.

    Raises SettingError for an unknown tracker and where the folder holds something, MissingPackageError where the
    tracker's package is not installed.
    """
    known = TRACKERS.get(tracker)
    if known is None:
        raise SettingError(f"no tracker {tracker!r}{nearest(tracker, TRACKERS)}; use {', '.join(TRACKERS)}")
    for package in known.packages:
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(package, known.extra, f"writing for {tracker}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingError(f"{folder} is there already: delete it, or name another place with --output")
    folder.mkdir(parents=True, exist_ok=True)
    (names,) = map_processes(_write, [Job(tracker, folder.resolve(), projects)], 1)
    places = {project: folder / name for project, name in names.items()}
    first = shlex.quote(str(next(iter(places.values()))))
    return Written(places, known.show.format(folder=shlex.quote(str(folder)), place=first))


def _write(job: Job, _emit: Emit) -> dict[str, str]:
    os.environ.update(TRACKERS[job.tracker].environment)
    writer = importlib.import_module(f"chidu.runs.outbound.{job.tracker}")
    return {project: writer.write(job.folder, project, runs) for project, runs in job.projects.items()}
