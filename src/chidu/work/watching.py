"""A work folder that somebody else is at work in, read without its lock and without writing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import WorkFolderError
from chidu.runs.folder import check_work_folder
from chidu.runs.forecast import WrittenForecast
from chidu.runs.live import STALE_SECONDS, Live, LiveState, Steps
from chidu.runs.picture import Picture, RunPicture, StudyPicture
from chidu.runs.record import Record, read_json
from chidu.runs.run import Run
from chidu.runs.settings import read_settings
from chidu.units import time_left
from chidu.work.results import ORDER, read_records
from chidu.work.study import POOL

if TYPE_CHECKING:
    from chidu.training.design import Design
    from chidu.training.rungs import Rung

__all__ = ["read_picture"]

NEWEST = 5
"""Points that a speed and a present loss are taken from: one point is noise."""


def read_picture(folder: Path) -> Picture:
    """Look at a work folder once.

    Raises WorkFolderError where it is not there, is none, or holds no ladder yet and nobody is making one.
    """
    if not folder.exists():
        raise WorkFolderError(f"{folder}: no such folder: begin with {_command(folder, 'demo')}, or name another one")
    check_work_folder(folder)
    live = Live.read(folder)
    state = live.state if live is not None else None
    is_at_work = state is not None and state.is_at_work(time.time())
    study = _study(folder, state)
    if not is_at_work and study is None and not (folder / "design" / "design.json").exists():
        raise WorkFolderError(
            f"{folder} has no ladder yet, and nobody is at work in it: begin with {_command(folder, 'demo')} "
            f"or {_command(folder, 'build')} --text FILE"
        )
    seconds = {name: record.seconds for name, record in read_records(folder).items()}
    is_finished = not is_at_work and ("report" in seconds if study is None else _is_done(state))
    left = [name for name in ORDER if name not in seconds]
    stage = state.stage if state is not None else (left or [ORDER[-1]])[0]
    rungs, target = _runs(folder, live, is_at_work)
    written = folder / "forecast" / "forecast.json"
    return Picture(
        folder=str(folder),
        state="at work" if is_at_work else "finished" if is_finished else "stopped",
        why="" if is_at_work or is_finished else _why(state),
        go_on="" if is_at_work or is_finished else _go_on(folder, study),
        stage=stage,
        fraction=1.0 if stage in seconds and study is None else state.fraction if state is not None else 0.0,
        seconds_left=_seconds_left(state, target) if is_at_work else None,
        seconds=seconds,
        rungs=rungs,
        target=target,
        forecast=_forecast(written) if written.exists() else None,
        estimates=live.estimates if live is not None else (),
        warnings=live.warnings if live is not None else (),
        score=_score(folder),
        study=study,
    )


def _command(folder: Path, verb: str) -> str:
    return f"chidu {verb} --work {folder}"


def _is_done(state: LiveState | None) -> bool:
    return state is not None and state.ended == "done"


def _go_on(folder: Path, study: StudyPicture | None) -> str:
    if study is not None:
        return _command(folder, f"study {study.name if study.number is None else 'all'}")
    return _command(folder, "build" if read_settings(folder).text else "demo")


def _study(folder: Path, state: LiveState | None) -> StudyPicture | None:
    """Return how far the study is that the live record speaks of; None where it speaks of a stage."""
    if state is None or state.stage in ORDER or not (folder / "studies" / state.stage).is_dir():
        return None
    name, plan = state.stage, folder / "studies" / state.stage / "plan.json"
    planned = [each["name"] for each in read_json(plan).get("rungs", ())] if plan.exists() else []
    done = sum((folder / POOL / each / "run.json").exists() for each in planned)
    number, count = _place(folder, name)
    runs = len(planned) or None
    return StudyPicture(name, runs, None if runs is None else done, state.words, number, count)


def _place(folder: Path, name: str) -> tuple[int | None, int | None]:
    """Return which of all studies this one is, where they are made one after another."""
    division = folder / "studies" / "all" / "division.json"
    made = read_json(division) if division.exists() else {}
    names = [] if made.get("finished", True) else list(made["asked"]["studies"])
    return (names.index(name) + 1, len(names)) if name in names else (None, None)


def _why(state: LiveState | None) -> str:
    if state is None:
        return "it has no live record"
    if state.ended is None:
        return f"it has not been heard of for {time.time() - state.beat:,.0f} s: killed, perhaps"
    return {"done": f"it ended after the stage {state.stage}", "interrupted": "it was interrupted"}.get(
        state.ended, f"it ended with an error: {state.ended}"
    )


def _seconds_left(state: LiveState | None, target: RunPicture | None) -> float | None:
    """The target's own pace is known best; other stages hold many runs, or none."""
    if state is None:
        return None
    if state.stage == "target" and target is not None and target.seconds_left:
        return target.seconds_left
    return time_left(time.time() - state.began, state.first, state.fraction, state.planned)


def _forecast(path: Path) -> dict[str, float]:
    written = WrittenForecast.read(path)
    return {name: getattr(written, name) for name in ("loss", "low", "high", "level")}


def _score(folder: Path) -> dict[str, Any] | None:
    path = folder / "score" / "score.json"
    if not path.exists():
        return None
    scored = read_json(path)
    return {name: scored[name] for name in ("measured", "error_percent", "inside")}


def _runs(folder: Path, live: Live | None, is_at_work: bool) -> tuple[tuple[RunPicture, ...], RunPicture | None]:
    """Return the rungs and the target of the folder's design; none where there is no design yet."""
    path = folder / "design" / "design.json"
    if not path.exists():
        return (), None
    from chidu.training.design import Design

    design: Design = Design.from_dict(read_json(path))
    record = Record.read(folder / "ladder")
    left_out = {each["name"] for each in record.result.get("left_out", ())} if record is not None else set()
    rungs = tuple(
        _run(rung, folder / "ladder" / rung.name, live, is_at_work)
        for rung in design.rungs
        if rung.name not in left_out
    )
    # The target waits until its forecast is written: what is there before is of another making.
    began = (folder / "forecast" / "record.json").exists()
    return rungs, _run(design.target, folder / "target", live if began else None, is_at_work)


def _run(rung: Rung, folder: Path, live: Live | None, is_at_work: bool) -> RunPicture:
    config, made = rung.config, folder / "run.json"
    if made.exists():
        run = Run.from_dict(read_json(made))
        last = run.curve[-NEWEST:]
        mean = sum(loss for _, loss in last) / len(last) if last else None
        return _picture(rung, config.steps, mean, run.curve, loss=run.loss)
    name, shown = _newest(rung, live)
    newest = shown[-NEWEST:]
    if live is None or not newest:
        return _picture(rung, 0, None, ())
    steps, seconds = sum(each.count for each in newest), sum(each.seconds for each in newest)
    mean = sum((each.loss or 0.0) * each.count for each in newest) / steps
    trains = is_at_work and newest[-1].step < config.steps and seconds > 0 and _is_fresh(live, name, newest[-1])
    curve = tuple((each.step, each.loss or 0.0) for each in live.points.get(rung.name, ()))
    return _picture(rung, newest[-1].step, mean, curve, speed=steps / seconds if trains else None)


def _newest(rung: Rung, live: Live | None) -> tuple[str, Sequence[Steps]]:
    """Return a run's points; before it has any of its own, those that it shares with its trunk."""
    points = live.points if live is not None else {}
    if points.get(rung.name) or rung.group == rung.name:
        return rung.name, points.get(rung.name, ())
    return rung.group, [each for each in points.get(rung.group, ()) if each.step <= rung.config.trunk_steps]


def _is_fresh(live: Live, run: str, newest: Steps) -> bool:
    """True where a run told its newest point not long ago, as its pace goes."""
    patience = max(STALE_SECONDS, 3 * newest.seconds)
    return live.points[run][-1] == newest and time.time() - live.told.get(run, 0.0) < patience


def _picture(
    rung: Rung,
    step: int,
    training_loss: float | None,
    curve: tuple[tuple[int, float], ...],
    *,
    loss: float | None = None,
    speed: float | None = None,
) -> RunPicture:
    config = rung.config
    return RunPicture(
        name=rung.name,
        group=rung.group,
        params=config.shape.params,
        steps=config.steps,
        batch_tokens=config.batch_tokens,
        step=step,
        training_loss=training_loss,
        loss=loss,
        steps_per_second=speed,
        curve=curve,
    )
