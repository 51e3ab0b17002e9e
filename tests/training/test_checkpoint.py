"""Checkpoints: what is torn is passed over with its reason, what is whole is found, whenever the kill came."""

from __future__ import annotations

import errno
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from chidu.training import checkpoint
from chidu.training.checkpoint import checkpoint_path, latest_checkpoint, read_checkpoint, write_checkpoint


def write(folder: Path, step: int, keep: int = 2) -> Path:
    return write_checkpoint(folder, step, {"weights": torch.full((64,), float(step))}, {"curve": []}, keep)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    path = write(tmp_path, 7)
    assert latest_checkpoint(tmp_path) == (path, [])
    tensors, state = read_checkpoint(path)
    assert torch.equal(tensors["weights"], torch.full((64,), 7.0))
    assert state == {"step": 7, "curve": []}


def test_no_file_is_larger_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 400)
    tensors = {
        "large": torch.arange(1234.0),
        "table": torch.arange(600.0).view(100, 6),
        "wide": torch.arange(300.0).view(1, 300),
        "single": torch.tensor(3.0),
        "none": torch.empty(0),
    }
    path = write_checkpoint(tmp_path, 1, tensors, {})
    files = sorted(path.glob("tensors*.safetensors"))
    assert len(files) > 15
    assert sum(file.stat().st_size > 1000 for file in files) == 1, "only what has one row is larger"
    found, _ = read_checkpoint(path)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    files[-1].unlink()
    assert "missing" in latest_checkpoint(tmp_path)[1][0]


def test_no_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nowhere") == (None, [])


@pytest.mark.parametrize(
    ("tear", "why"),
    [
        (lambda path: cut(path / "tensors.safetensors"), "cut short"),
        (lambda path: (path / "tensors.safetensors").unlink(), "missing"),
        (lambda path: flip(path / "tensors.safetensors"), "sha256"),
        (lambda path: flip(path / "state.json"), "sha256"),
        (lambda path: (path / "manifest.json").unlink(), "no manifest"),
        (lambda path: cut(path / "manifest.json"), "no manifest"),
        (lambda path: (path / "manifest.json").write_text("3"), "no manifest"),
        (lambda path: (path / "manifest.json").write_text("{}"), "missing"),
    ],
)  # fmt: skip
def test_a_torn_checkpoint_is_passed_over_with_its_reason(
    tear: Callable[[Path], object], why: str, tmp_path: Path
) -> None:
    older, newer = write(tmp_path, 9), write(tmp_path, 10)
    tear(newer)
    found, passed_over = latest_checkpoint(tmp_path)
    assert found == older
    assert len(passed_over) == 1
    assert passed_over[0].startswith("step-00000010: ")
    assert why in passed_over[0]


def test_the_newest_are_kept_and_the_torn_go(tmp_path: Path) -> None:
    for step in (99, 5, 100, 10):
        write(tmp_path, step)
    # 99 and 100 were there when training went on from an earlier step: they had not been trusted.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000005", "step-00000010"]
    write(tmp_path, 11, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000011"]


def test_torn_newer_ones_do_not_push_the_good_one_out(tmp_path: Path) -> None:
    for step in (20, 21):
        flip(write(tmp_path, step) / "state.json")
    good = write(tmp_path, 12)
    assert latest_checkpoint(tmp_path)[0] == good


def test_the_same_step_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, 3)
    assert latest_checkpoint(tmp_path)[0] == write(tmp_path, 3)


def test_a_full_disk_is_an_os_error_and_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write(tmp_path, 1)

    def full(self: Path, *_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr("chidu.runs.storage.PAUSES", (0.0,))
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, 2)
    assert list(tmp_path.iterdir()) == [old]


SAVE_FOR_EVER = """
import sys, torch
from pathlib import Path
from chidu.training.checkpoint import latest_checkpoint, write_checkpoint
folder = Path(sys.argv[1])
found = latest_checkpoint(folder)[0]
step = int(found.name[5:]) if found else 0
print("ready", flush=True)
while True:
    step += 1
    tensors = {"weights": torch.full((200_000,), float(step))}
    write_checkpoint(folder, step, tensors, {"curve": [step]})
    print(step, flush=True)
"""


def kill_while_saving(folder: Path, times: int) -> None:
    source, last = random.Random(0), 0
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        saved = [process.stdout.readline() for _ in range(source.randint(1, 3))]
        time.sleep(source.random() * 0.02)
        process.kill()
        process.communicate()
        found, _ = latest_checkpoint(folder)
        assert found is not None
        tensors, state = read_checkpoint(found)
        step = int(saved[-1])
        assert state["step"] >= max(step, last)
        last = state["step"]
        assert state["curve"] == [last]
        assert torch.equal(tensors["weights"], torch.full((200_000,), float(last)))


def test_a_kill_while_saving_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    kill_while_saving(tmp_path, 4)


@pytest.mark.verify
def test_many_kills_while_saving_leave_a_whole_checkpoint(tmp_path: Path) -> None:
    kill_while_saving(tmp_path, 20)


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    half = tmp_path / "step-00000004.tmp-4711"
    half.mkdir()
    (half / "tensors.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path) == (None, [])
    write(tmp_path, 5)
    assert not half.exists()
    shutil.copytree(checkpoint_path(tmp_path, 5), checkpoint_path(tmp_path, 4))
    manifest = json.loads((checkpoint_path(tmp_path, 5) / "manifest.json").read_text())
    assert set(manifest) == {"tensors.safetensors", "state.json"}
