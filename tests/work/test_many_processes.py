"""The command line over several processes: it ends plainly however it was ended, and goes on from there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny

from chidu.cli.processes import count_of_processes, in_processes, words_without_on
from chidu.errors import SettingError
from chidu.parallel import open_place
from chidu.runs.record import read_json
from chidu.work.results import read_records, read_run

TORCHRUN = (
    *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
    *("--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"),
)
TRAIN = ("-m", "chidu", "train", "--work")


@pytest.mark.parametrize("on", ["torchrun", "torchrun:0", "torchrun:x", "torchrun:2:3"])
def test_a_number_of_processes_is_needed(on: str) -> None:
    with pytest.raises(SettingError, match="write torchrun:2"):
        in_processes(on, lambda _: None)


def test_several_processes_are_for_the_target_alone() -> None:
    with pytest.raises(SettingError, match="for the target of `chidu train`"), open_place("torchrun:2"):
        pass


def test_processes_are_counted_and_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [count_of_processes(on) for on in ("local", "ray", "torchrun:2", "torchrun:64")] == [0, 0, 2, 64]
    assert words_without_on(["train", "--on", "torchrun:2", "--work", "x"]) == ["train", "--work", "x"]
    assert words_without_on(["train", "--work", "x", "--on=torchrun:2"]) == ["train", "--work", "x"]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(SettingError, match="leave one of them out"):
        in_processes("torchrun:2", lambda _: None)


def test_one_process_does_the_work_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    seen: list[object] = []
    in_processes("local", seen.append)
    assert seen == [None]


@pytest.fixture(scope="module")
def forecast(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder as far as the forecast, its target 320 steps long."""
    folder = tmp_path_factory.mktemp("before-the-target")
    with pytest.MonkeyPatch.context() as patch:
        tiny.shrink(patch.setattr)
        patch.setattr("chidu.training.design.LEAST_STEPS", 80)
        patch.setattr("chidu.training.design._steps_by_time", lambda *_: 80)
        tiny.undertake(folder, text_folder, "forecast")
    return folder


@pytest.fixture
def work(forecast: Path, tmp_path: Path) -> Path:
    shutil.copytree(forecast, tmp_path / "work")
    return tmp_path / "work"


class Started:
    """A command under way, and what it says."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self.log = folder.parent / "log.txt"
        environment = {**os.environ, "XDG_STATE_HOME": str(folder.parent / "state"), "OMP_NUM_THREADS": "1"}
        with self.log.open("w") as file:
            self.process = subprocess.Popen([*words, str(folder)], stdout=file, stderr=file, env=environment)

    def until(self, words: str) -> None:
        """Return when these words were said."""
        for _ in range(1200):
            if words in self.said:
                return
            assert self.process.poll() is None, self.said
            time.sleep(0.05)
        raise AssertionError(self.said)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def end(self) -> int:
        return self.process.wait(timeout=120)

    def worker(self, rank: int) -> int:
        """Return the process id of one of torchrun's workers."""
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
                place = f"\0RANK={rank}\0" in (status.parent / "environ").read_text()
            except OSError:
                continue
            if parent == self.process.pid and place:
                return int(status.parent.name)
        raise AssertionError("no such worker")


def checkpoint_steps(work: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (work / "target" / "sharded.scratch").glob("step-????????"))


@pytest.mark.verify
def test_a_run_that_was_ended_twice_is_the_run_that_was_not(work: Path, forecast: Path, tmp_path: Path) -> None:
    shutil.copytree(forecast, tmp_path / "whole" / "work")
    whole = Started((sys.executable, *TRAIN[:-1], "--on", "torchrun:2", "--work"), tmp_path / "whole" / "work")
    assert whole.end() == 0, whole.said

    first = Started((*TORCHRUN, *TRAIN), work)
    first.until("2 processes train it, from step 0 on")
    first.process.send_signal(signal.SIGTERM)
    assert first.end() != 0
    assert "chidu: interrupted; run the same command again to go on from here" in first.said
    (step,) = checkpoint_steps(work)
    assert step > 0

    second = Started((*TORCHRUN, *TRAIN), work)
    second.until(f"2 processes train it, from step {step} on")
    os.kill(second.worker(1), signal.SIGKILL)
    assert second.end() != 0
    assert "run the same command again" in second.said
    assert checkpoint_steps(work) == [step]

    third = Started((*TORCHRUN, *TRAIN), work)
    assert third.end() == 0, third.said
    assert f"from step {step} on" in third.said
    one, two = read_run(work), read_run(tmp_path / "whole" / "work")
    assert (one.loss, one.curve) == (two.loss, two.curve)
    weights = [folder / "target" / "weights.safetensors" for folder in (work, tmp_path / "whole" / "work")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert not (work / "target" / "sharded.scratch").exists()


@pytest.mark.verify
def test_started_by_us_it_says_in_one_line_who_was_killed(work: Path) -> None:
    started = Started((sys.executable, *TRAIN[:-1], "--on", "torchrun:2", "--work"), work)
    started.until("2 processes train it")
    os.kill(started.worker(1), signal.SIGKILL)
    assert started.end() == 1, started.said
    assert "Traceback" not in started.said
    assert started.said.strip().splitlines()[-1].startswith("chidu: ")
    assert "run the same command again" in started.said


@pytest.mark.verify
def test_later_stages_find_the_same_as_after_one_process(work: Path, forecast: Path, tmp_path: Path) -> None:
    shutil.copytree(forecast, tmp_path / "plain" / "work")
    many = Started((sys.executable, *TRAIN[:-1], "--on", "torchrun:2", "--work"), work)
    assert many.end() == 0, many.said
    one = Started((sys.executable, *TRAIN), tmp_path / "plain" / "work")
    assert one.end() == 0, one.said
    records = read_records(work)
    assert {"target", "score", "model"} <= records.keys()
    assert records.keys() == read_records(tmp_path / "plain" / "work").keys()
    ours, theirs = read_run(work), read_run(tmp_path / "plain" / "work")
    assert ours.config == theirs.config
    assert ours.flops_spent == theirs.flops_spent
    # In bf16 the sums of two processes round apart from those of one.
    assert ours.loss == pytest.approx(theirs.loss, rel=0.02)
    assert records["model"].result["logit_difference"] < 1e-4
    assert json.dumps(read_json(work / "model" / "config.json")) == json.dumps(
        read_json(tmp_path / "plain" / "work" / "model" / "config.json")
    )
