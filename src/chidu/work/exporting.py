"""The finished runs of a work folder, written for other people's trackers."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from chidu.errors import SettingError, WorkFolderError
from chidu.runs.folder import check_work_folder
from chidu.runs.forecast import Score, WrittenForecast
from chidu.runs.outbound import Outgoing, outgoing_run, write_runs
from chidu.runs.record import read_json
from chidu.runs.run import Run
from chidu.work.results import LADDER_TABLE, read_run, rung_runs

__all__ = ["Export", "export_folder", "export_gguf", "export_work"]

CARD = "README.md"
DATA_CARD = "DATA_CARD.md"
OUR_OWN = ("record.json", "sample.json")
"""Files of the model's folder that are of use in the work folder alone."""


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


def export_folder(folder: Path, output: Path) -> None:
    """Write the work folder's model as a folder for Hugging Face's hub: weights, tokenizer, card, the text's data card.

    Raises WorkFolderError where there is no model yet, SettingError where the place holds something.
    """
    model = _model(folder)
    _check_new(output)
    unfinished = output.with_name(f"{output.name}.tmp-{os.getpid()}")
    try:
        shutil.copytree(model, unfinished, ignore=lambda _, names: [name for name in names if name in OUR_OWN])
        shutil.copyfile(folder / "corpus" / DATA_CARD, unfinished / DATA_CARD)
        unfinished.rename(output)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def export_gguf(folder: Path, output: Path, kind: str) -> Path:
    """Write the work folder's model as a GGUF file, and its card beside it; return the card.

    Raises WorkFolderError where there is no model yet, SettingError where the place holds something.
    """
    from chidu.model.gguf_file import write_gguf

    model, card = _model(folder), output.with_suffix(".md")
    for path in (output, card):
        _check_new(path)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(model, output, kind)
    shutil.copyfile(model / CARD, card)
    return card


def _model(folder: Path) -> Path:
    check_work_folder(folder)
    if not (folder / "model" / "record.json").is_file():
        raise WorkFolderError(f"{folder} has no finished model: run chidu build --work {folder} to its end first")
    return folder / "model"


def _check_new(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise SettingError(f"{path} is there already: delete it, or name another place")
