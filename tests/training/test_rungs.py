"""A ladder over two processes: order, skipping, and the same bits after any kill."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chidu.errors import SettingError, WorkerError
from chidu.runs import Run, RunConfig
from chidu.runs.live import Steps
from chidu.runs.record import read_json, write_json
from chidu.training import Design, Rung, Text, train_ladder, train_target
from chidu.training.rungs import run_path
from cluster import descendants

LADDER = """
import json, os, sys
from pathlib import Path
from chidu.training import Design, Text, train_ladder
if __name__ == "__main__":
    design = Design.from_dict(json.loads(Path(sys.argv[1]).read_text()))
    text = Text(Path(sys.argv[2]), Path(sys.argv[3]), 640)
    print("ready", flush=True)
    train_ladder(design.rungs, text, Path(sys.argv[4]), lambda group, steps: print(group, steps.count, flush=True))
"""


@pytest.fixture(scope="module")
def rungs(tiny_config: RunConfig) -> list[Rung]:
    """Two sizes of three lengths."""
    found = []
    for width in (16, 24):
        shape = dataclasses.replace(tiny_config.shape, width=width)
        for steps in (24, 48, 96):
            config = dataclasses.replace(tiny_config, shape=shape, steps=steps, precision="bf16")
            found.append(Rung(f"w{width}-{steps}", f"w{width}", config))
    return found


ALL_STEPS = {"w16": 48 + 12 + 24 + 48, "w24": 48 + 12 + 24 + 48}
"""The trunk of the longest, and each length's falling part."""


class Told:
    """Adds up the steps that were told of each group."""

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}

    def __call__(self, group: str, steps: Steps) -> None:
        self.steps[group] = self.steps.get(group, 0) + steps.count


def same(run: Run) -> tuple[Any, ...]:
    """All of a run that another making of it must share."""
    return run.name, run.group, run.config, run.loss, run.loss_standard_error, run.flops_spent, run.curve


@pytest.fixture(scope="module")
def undisturbed(
    rungs: list[Rung], packed_text: Text, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Run]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    told = Told()
    runs = train_ladder(rungs, packed_text, folder, told)
    assert told.steps == ALL_STEPS
    return folder, runs


def test_runs_come_in_the_rungs_order(undisturbed: tuple[Path, list[Run]], rungs: list[Rung]) -> None:
    folder, runs = undisturbed
    assert [(run.name, run.group, run.config) for run in runs] == [
        (rung.name, rung.group, rung.config) for rung in rungs
    ]
    for run in runs:
        assert run.flops_spent < run.config.flops
        assert Run.from_dict(read_json(run_path(folder, run.name))) == run
    assert not list(folder.rglob("checkpoints.scratch"))


def test_finished_runs_are_not_repeated(
    undisturbed: tuple[Path, list[Run]], rungs: list[Rung], packed_text: Text
) -> None:
    folder, runs = undisturbed
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    run_path(folder, "w16-48").unlink()
    told = Told()
    again = train_ladder(rungs, packed_text, folder, told)
    assert told.steps == ALL_STEPS
    assert [same(run) for run in again] == [same(run) for run in runs]
    changed = {path.parent.name for path in folder.rglob("*.json") if path.stat().st_mtime_ns != before.get(path)}
    assert changed == {"w16-48"}


def test_a_trunk_is_trained_as_far_as_runs_need_it(
    undisturbed: tuple[Path, list[Run]], rungs: list[Rung], packed_text: Text, tmp_path: Path
) -> None:
    """All of one size is there, and the longest run of the other."""
    for rung in rungs:
        if rung.group == "w16" or rung.name == "w24-96":
            write_json(run_path(tmp_path, rung.name), read_json(run_path(undisturbed[0], rung.name)))
    again = train_ladder(rungs, packed_text, tmp_path, lambda group, steps: None)
    assert [same(run)[:-1] for run in again] == [same(run)[:-1] for run in undisturbed[1]]
    assert [path.name for path in tmp_path.glob("*-trunk.scratch")] == ["w24-trunk.scratch"]
    assert read_json(tmp_path / "w24-trunk.scratch/done.json") == {"steps": 24}


def test_a_branch_is_the_run_trained_by_itself(
    undisturbed: tuple[Path, list[Run]], rungs: list[Rung], packed_text: Text, tmp_path: Path
) -> None:
    alone = train_target(rungs[1], packed_text, tmp_path, 1, 1, lambda steps: None)
    assert alone.loss == undisturbed[1][1].loss
    assert alone.flops_spent == alone.config.flops


def test_rungs_that_share_no_recipe_share_no_trunk(rungs: list[Rung], packed_text: Text, tmp_path: Path) -> None:
    other = dataclasses.replace(rungs[1], config=dataclasses.replace(rungs[1].config, seed=5))
    with pytest.raises(SettingError, match="differ in more than their steps"):
        train_ladder([rungs[0], other], packed_text, tmp_path, lambda group, steps: None)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("after", [9, pytest.param(1, marks=pytest.mark.verify)])
def test_a_ladder_whose_parent_was_killed_ends_in_the_same_bits(
    after: int, undisturbed: tuple[Path, list[Run]], rungs: list[Rung], packed_text: Text, tmp_path: Path
) -> None:
    (tmp_path / "ladder.py").write_text(LADDER)
    design = Design(tuple(rungs), rungs[0], 1, 1.0, 1.0)
    (tmp_path / "design.json").write_text(json.dumps(design.as_dict()))
    places = [tmp_path / "design.json", packed_text.train, packed_text.held_out, tmp_path / "ladder"]
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "ladder.py"), *map(str, places)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    for _ in range(1 + after):
        parent.stdout.readline()
    workers = descendants(parent.pid)
    assert workers
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < end, "workers outlived their parent"
        time.sleep(0.05)
    resumed = train_ladder(rungs, packed_text, tmp_path / "ladder", lambda group, steps: None)
    assert [same(run) for run in resumed] == [same(run) for run in undisturbed[1]]


def test_a_killed_worker_is_named_and_the_ladder_goes_on(
    undisturbed: tuple[Path, list[Run]], rungs: list[Rung], packed_text: Text, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill(group: str, steps: Steps) -> None:
        if not killed and Path("/proc/self/stat").exists():
            workers = sorted(pid for pid in descendants(os.getpid()) if b"spawn_main" in command_line(pid))
            killed.extend(workers[:1])
            os.kill(workers[0], signal.SIGKILL)

    if not Path("/proc/self/stat").exists():
        pytest.skip("reads /proc")
    with pytest.raises(WorkerError, match="run the same command again"):
        train_ladder(rungs, packed_text, tmp_path, kill)
    resumed = train_ladder(rungs, packed_text, tmp_path, lambda group, steps: None)
    assert [same(run) for run in resumed] == [same(run) for run in undisturbed[1]]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_the_target_is_trained_once(rungs: list[Rung], packed_text: Text, tmp_path: Path) -> None:
    told: list[Steps] = []
    run = train_target(rungs[0], packed_text, tmp_path, 1, 1, told.append)
    assert sum(steps.count for steps in told) == run.config.steps
    assert train_target(rungs[0], packed_text, tmp_path, 1, 1, told.append) == run
    assert sum(steps.count for steps in told) == run.config.steps
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "weights.safetensors"]
