"""Leases: one worker at a time, whoever dies, sleeps or is cut off, and whatever the clocks say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chidu.errors import LeaseError, WorkFolderError
from chidu.runs import lease as lease_module
from chidu.runs.lease import forget_leases, hold

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")

FOREIGN = b"0123 another-boot/pid:[1] 42 1234 elsewhere\n"
"""What the worker of another machine writes."""

HOLDER = """
import sys, time
from pathlib import Path
from chidu.errors import LeaseError
from chidu.runs import lease
lease.RENEW_SECONDS = 0.1
if __name__ == "__main__":
    with lease.hold(Path(sys.argv[1])) as held:
        print("held", flush=True)
        sys.stdin.readline()
        try:
            held.check()
        except LeaseError as error:
            print("lost:", error, flush=True)
        else:
            print("mine", flush=True)
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("RENEW", 0.1), ("EXPIRY", 1.5), ("PATIENCE", 2.5), ("LOOK", 0.02)):
        monkeypatch.setattr(lease_module, f"{name}_SECONDS", seconds)


def start_holder(folder: Path, tmp_path: Path) -> subprocess.Popen[str]:
    """Hold the folder in another process; a line to its input asks whether it still does."""
    script = tmp_path / "holder.py"
    script.write_text(HOLDER)
    holder = subprocess.Popen(
        [sys.executable, str(script), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def leave(folder: Path, content: bytes, number: int = 3) -> Path:
    """Put somebody's lease there."""
    path = folder / "lease.scratch" / f"{number:08d}"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_numbers_rise_until_the_run_is_forgotten(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        with hold(tmp_path / "run") as lease:
            lease.check()
            assert [path.name for path in lease.path.parent.iterdir()] == [f"{number:08d}"]
    forget_leases(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
    with pytest.raises(LeaseError):
        lease.check()


def test_an_error_lets_go_at_once(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(tmp_path) as first:
        raise ZeroDivisionError
    with hold(tmp_path) as second:
        assert int(second.path.name) == int(first.path.name) + 1
        with pytest.raises(LeaseError):
            first.check()


@needs_proc
def test_a_dead_process_of_this_machine_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = start_holder(tmp_path / "run", tmp_path)
    holder.kill()
    holder.wait()
    monkeypatch.setattr(lease_module, "EXPIRY_SECONDS", 10_000.0)
    monkeypatch.setattr(lease_module, "PATIENCE_SECONDS", 20.0)
    with hold(tmp_path / "run") as lease:
        lease.check()


@pytest.mark.usefixtures("quick")
def test_a_silent_worker_of_another_machine_is_succeeded_by_no_clock_but_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave(tmp_path, FOREIGN)
    for year in (-50, 50):
        os.utime(path, (time.time() + year * 3e7,) * 2)
    clocks = SimpleNamespace(monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr(lease_module, "time", clocks)
    with hold(tmp_path) as lease:
        assert lease.path.name == "00000004"
        assert not path.exists()
        lease.check()
    assert f"{tmp_path} was held by process 42 on elsewhere: waiting" in caplog.text


@pytest.mark.usefixtures("quick")
def test_a_worker_of_another_machine_that_is_at_work_is_left_alone(tmp_path: Path) -> None:
    path = leave(tmp_path, FOREIGN)
    ended = threading.Event()
    thread = threading.Thread(target=lease_module._renew, args=(path, ended))
    thread.start()
    with pytest.raises(WorkFolderError, match="is held by process 42 on elsewhere, which is at work"), hold(tmp_path):
        pytest.fail("taken from one that is at work")
    ended.set()
    thread.join()
    assert path.read_bytes().startswith(FOREIGN + b"..")


@pytest.mark.usefixtures("quick")
def test_a_torn_lease_is_nobodys_after_a_while(tmp_path: Path) -> None:
    leave(tmp_path, b"")
    with hold(tmp_path) as lease:
        lease.check()


@needs_proc
@pytest.mark.usefixtures("quick")
def test_who_was_cut_off_finds_the_lease_lost(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = start_holder(folder, tmp_path)
    assert holder.stdin is not None
    holder.send_signal(signal.SIGSTOP)
    with hold(folder) as lease:
        holder.send_signal(signal.SIGCONT)
        told, _ = holder.communicate("\n")
        assert told.startswith(f"lost: {folder} is held by process {os.getpid()} on ")
        lease.check()
        assert [path.name for path in lease.path.parent.iterdir()] == [lease.path.name]


@needs_proc
def test_who_was_stopped_and_not_succeeded_goes_on(tmp_path: Path) -> None:
    holder = start_holder(tmp_path / "run", tmp_path)
    holder.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    holder.send_signal(signal.SIGCONT)
    assert holder.communicate("\n")[0] == "mine\n"


@pytest.mark.usefixtures("quick")
def test_of_many_successors_one_takes_over(tmp_path: Path) -> None:
    for number in range(10):
        folder = tmp_path / str(number)
        leave(folder, FOREIGN + lease_module.LET_GO)
        inside, most, lock = [0], [0], threading.Lock()
        together = threading.Barrier(4)
        threads = [
            threading.Thread(target=take_turn, args=(folder, together, inside, most, lock)) for _ in range(4)
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1]


def take_turn(folder: Path, together: threading.Barrier, inside: list[int], most: list[int], lock: Any) -> None:
    together.wait()
    with hold(folder) as lease:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        lease.check()
        with lock:
            inside[0] -= 1


def test_what_was_made_anew_under_the_same_number_is_anothers(tmp_path: Path) -> None:
    with hold(tmp_path) as old:
        pass
    forget_leases(tmp_path)
    with hold(tmp_path) as new:
        assert old.path == new.path
        with pytest.raises(LeaseError):
            old.check()


def test_a_training_that_was_cut_off_writes_nothing_over_its_successors(
    tmp_path: Path,
) -> None:
    """A checkpoint on its way when the lease is lost does not get its name, and prunes nothing."""
    import torch

    from chidu.training.checkpoint import latest_checkpoint, write_checkpoint

    folder, tensors = tmp_path / "checkpoints.scratch", {"a": torch.zeros(3)}
    with hold(tmp_path) as old:
        write_checkpoint(folder, 1, tensors, {}, may_write=old.check)
        old.path.with_name("00000002").write_bytes(FOREIGN)
        write_checkpoint(folder, 9, tensors, {})
        with pytest.raises(LeaseError):
            write_checkpoint(folder, 2, tensors, {}, may_write=old.check)
    assert latest_checkpoint(folder)[0] == folder / "step-00000009"
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000001", "step-00000009"]
