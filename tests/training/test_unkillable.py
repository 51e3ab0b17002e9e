"""What a machine does to a run: kills, a full disk, a disk turned read-only, clocks that jump, a spoilt checkpoint.

Every one ends in the same weights as the run that nothing happened to.
"""

from __future__ import annotations

import dataclasses
import errno
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from kill_work import NEVER, digest, train_to_the_end

from chidu.errors import StorageError
from chidu.parallel import worker_environment
from chidu.runs import RunConfig, storage
from chidu.tokens import TokenFile
from chidu.training import Text, checkpoint, loop

ALWAYS = -1.0
"""Save after every step."""


@pytest.fixture(scope="module")
def config(tiny_config: RunConfig) -> RunConfig:
    return dataclasses.replace(tiny_config, steps=40)


@pytest.fixture(scope="module")
def undisturbed(config: RunConfig, packed_text: Text, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the run that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(config, packed_text, folder, NEVER)
    return (folder / "hash.txt").read_text()


def start(config: RunConfig, text: Text, folder: Path, seconds: float) -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kill_work"])
    folder.mkdir(exist_ok=True)
    process = context.Process(target=train_to_the_end, args=(config, text.train, folder, seconds))
    # The fork server imports what each process needs, from where this file lies.
    with worker_environment(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        process.start()
    return process


def wait_for(step: int, folder: Path, process: Any) -> None:
    """Return when a run has saved this step, or has ended."""
    scratch = folder / "checkpoints.scratch"
    while process.is_alive() and not any(int(p.name[5:13]) >= step for p in scratch.glob("step-????????*")):
        time.sleep(0.001)


def run(config: RunConfig, text: Text, folder: Path, seconds: float) -> None:
    process = start(config, text, folder, seconds)
    process.join(120)
    assert process.exitcode == 0


def check_kills(count: int, config: RunConfig, text: Text, folder: Path, expected: str) -> None:
    """Kill so many runs, each at a random moment of training or saving, and let each end in the expected weights."""
    source = random.Random(count)
    for number in range(count):
        own = folder / str(number)
        process = start(config, text, own, ALWAYS)
        # So far from the end that it can't be there first.
        wait_for(source.randint(1, config.steps - 15), own, process)
        time.sleep(source.uniform(0, 0.02))
        process.kill()
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
        run(config, text, own, source.choice((ALWAYS, NEVER)))
        assert (own / "hash.txt").read_text() == expected, number
        shutil.rmtree(own)


def test_kills_change_no_bit(config: RunConfig, packed_text: Text, tmp_path: Path, undisturbed: str) -> None:
    check_kills(5, config, packed_text, tmp_path, undisturbed)


@pytest.mark.verify
def test_a_hundred_kills_change_no_bit(config: RunConfig, packed_text: Text, tmp_path: Path, undisturbed: str) -> None:
    check_kills(100, config, packed_text, tmp_path, undisturbed)


class Machine:
    """Trains in this process, saving after every step."""

    def __init__(self, config: RunConfig, tokens: TokenFile, folder: Path) -> None:
        self.config, self.tokens, self.folder = config, tokens, folder
        self.steps: list[int] = []
        self.told: list[str] = []

    def train(self, stop: int | None = None) -> loop.Trainer:
        return loop.train(
            self.config,
            self.tokens,
            self.folder,
            stop=stop,
            progress=lambda step, _: self.steps.append(step),
            tell=lambda _, line: self.told.append(line),
        )


@pytest.fixture
def machine(config: RunConfig, train_tokens: TokenFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", ALWAYS)
    return Machine(config, train_tokens, tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=["full", "read-only", "failing"])
@pytest.mark.parametrize("place", ["write_bytes", "rename"])
def test_a_disk_that_takes_no_more_ends_the_run_by_its_name_and_costs_nothing(
    number: int, place: str, machine: Machine, undisturbed: str
) -> None:
    usual, calls = getattr(Path, place), iter(range(10**6))

    def refuse(self: Path, *rest: Any) -> Any:
        if next(calls) >= 20:
            raise OSError(number, "no", str(self))
        return usual(self, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "PAUSES", (0.001, 0.001))
        patch.setattr(Path, place, refuse)
        with pytest.raises(OSError, match="no") as caught:
            machine.train()
    # What may pass is tried again first, and then named with what to do.
    assert isinstance(caught.value, StorageError) if number != errno.EROFS else caught.value.errno == number
    newest = checkpoint.latest_checkpoint(machine.folder / "checkpoints.scratch")[0]
    assert newest is not None
    assert not list(machine.folder.rglob("*.tmp-*"))
    machine.steps.clear()
    assert digest(machine.train()) == undisturbed
    assert machine.steps[0] == checkpoint.step_of(newest) + 1 > 5


def test_clocks_that_jump_change_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch, undisturbed: str) -> None:
    source = random.Random(0)
    monkeypatch.setattr(time, "monotonic", lambda: source.uniform(0, 1e6))
    monkeypatch.setattr(time, "time", lambda: source.uniform(-1e9, 1e10))
    assert digest(machine.train()) == undisturbed


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_a_spoilt_newest_checkpoint_is_named_and_the_one_before_taken(
    name: str, machine: Machine, undisturbed: str
) -> None:
    machine.train(stop=30)
    spoilt = checkpoint.checkpoint_path(machine.folder / "checkpoints.scratch", 29) / name
    content = bytearray(spoilt.read_bytes())
    content[len(content) // 2] ^= 255
    spoilt.write_bytes(content)
    machine.steps.clear()
    assert digest(machine.train()) == undisturbed
    assert machine.steps[0] == 29
    assert "step-00000029" in machine.told[0]
    assert "going on from an older one" in machine.told[0]
