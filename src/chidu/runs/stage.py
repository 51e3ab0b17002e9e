"""Run a stage once: skip it where nothing changed, resume it where it was cut, redo it where something did."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chidu.errors import WorkFolderError
from chidu.runs.record import Record, changes, file_digest, fingerprint, machine, now, read_json, versions, write_json

__all__ = ["Outcome", "making", "run_stage"]

Make = Callable[[Path], Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """A stage's record, and how it came about: `skipped`, `made`, `resumed` or `redone`."""

    record: Record
    how: str
    why: str
    """For `redone`: what changed, in words; else empty."""


def run_stage(
    folder: Path,
    settings: dict[str, Any],
    inputs: dict[str, str],
    make: Make,
    say: Callable[[str], None],
) -> Outcome:
    """Make a stage's folder with ``make(folder)``, or find that it is made already.

    ``make`` returns the stage's summary (JSON). It may find what an earlier, interrupted call of the same settings and
    inputs left in the folder, and go on from there; what other settings left is removed first. ``say`` is told, in one
    line, what is about to happen. The record is written last, so a stage with a record is whole.
    """
    name = folder.name
    settings, inputs = json.loads(json.dumps(dict(settings))), dict(inputs)
    wanted = fingerprint({"stage": name, "settings": settings, "inputs": inputs})
    record = Record.read(folder)
    why = _why_redo(folder, record, settings, inputs)
    if record is not None and not why:
        say(f"{name}: nothing to do")
        return Outcome(record, "skipped", "")
    begun = _begun(folder)
    resume = record is None and begun is not None and begun["fingerprint"] == wanted
    if resume:
        say(f"{name}: resuming")
        _remove_torn(folder)
    else:
        say(f"{name}: redone, because {why}" if why else f"{name}: started")
        _clear(folder)
        begun = {"fingerprint": wanted, "started": now(), "seconds": 0.0}
        write_json(folder / "begun.json", begun)
    assert begun is not None
    record = _make(folder, name, settings, inputs, make, begun)
    return Outcome(record, "resumed" if resume else "redone" if why else "made", why)


def making(folder: Path) -> str:
    """Name this making of the stage under way: a stage that is resumed keeps the name, one that is redone does not."""
    begun = read_json(folder / "begun.json")
    return fingerprint([begun["fingerprint"], begun["started"]])


def _make(
    folder: Path, name: str, settings: dict[str, Any], inputs: dict[str, str], make: Make, begun: dict[str, Any]
) -> Record:
    clock = time.monotonic()
    try:
        result = dict(make(folder))
    except BaseException:
        begun["seconds"] += time.monotonic() - clock
        # Neither a full disk nor a folder that is gone may hide the error that is on its way.
        with contextlib.suppress(OSError):
            write_json(folder / "begun.json", begun)
        raise
    record = Record(
        stage=name,
        settings=settings,
        inputs=inputs,
        outputs=_outputs(folder),
        result=result,
        started=begun["started"],
        seconds=begun["seconds"] + time.monotonic() - clock,
        versions=versions(),
        machine=machine(),
    )
    record.write(folder)
    (folder / "begun.json").unlink()
    return record


def _why_redo(folder: Path, record: Record | None, settings: dict[str, Any], inputs: dict[str, str]) -> str:
    """Say in words why a finished stage must be made again; empty where it need not be, or was never finished."""
    if record is None:
        return ""
    changed = changes(record.settings, settings)
    changed += [f"{name} is new" for name in sorted(inputs) if record.inputs.get(name) != inputs[name]]
    if changed:
        return "; ".join(changed)
    for file, entry in record.outputs.items():
        path = folder / file
        if not path.exists():
            return f"{file} is missing"
        if path.stat().st_size != entry["bytes"] or file_digest(path) != entry["sha256"]:
            return f"{file} was changed by somebody else"
    return ""


def _outputs(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and digest of every file that the stage left, scratch folders (`*.scratch`) not counted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "begun.json")
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in files
        if not any(part.endswith(".scratch") for part in path.relative_to(folder).parts)
    }


def _remove_torn(folder: Path) -> None:
    """Remove the half-written files of a process that was killed: they are no outputs."""
    for path in folder.rglob("*.tmp-*"):
        if path.is_file():
            path.unlink()


def _begun(folder: Path) -> dict[str, Any] | None:
    path = folder / "begun.json"
    try:
        found = dict(read_json(path)) if path.exists() else None
    except (WorkFolderError, TypeError, ValueError):
        return None
    return found if found is not None and {"fingerprint", "started", "seconds"} <= set(found) else None


def _clear(folder: Path) -> None:
    if folder.exists():
        # The record goes first: a folder that is half removed must not look whole.
        (folder / "record.json").unlink(missing_ok=True)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
