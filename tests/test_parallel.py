"""The one map over processes: order, dependence, errors, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import parallel_work
from chidu.errors import MissingPackageError, TextError, WorkerError
from chidu.parallel import WORKER_ENVIRONMENT, map_processes, worker_environment


def alive(pid: int) -> bool:
    """Whether a process is there and not only a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.05)


def test_results_come_in_the_items_order_and_events_name_their_item() -> None:
    heard: list[tuple[int, Any]] = []
    items = [5, 3, 9, 1]
    assert map_processes(parallel_work.square, items, 2, lambda index, event: heard.append((index, event))) == [
        item * item for item in items
    ]
    assert sorted(heard) == list(enumerate(items))


def test_no_items_start_nothing() -> None:
    assert map_processes(parallel_work.square, [], 2) == []


def test_an_item_waits_for_the_one_it_comes_after(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    items = [(str(tmp_path), name, needs) for name, needs in zip(names, ["", "a", "b", ""], strict=True)]
    assert map_processes(parallel_work.note, items, 2, after=[None, 0, 1, None]) == names


def test_an_error_is_raised_as_it_was() -> None:
    with pytest.raises(TextError, match="item 'text' is bad"):
        map_processes(parallel_work.fail, ["fine", "text", "fine"], 2)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_the_first_error_stops_the_rest(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="one failed"):
        map_processes(parallel_work.fail_beside, [(str(tmp_path), False), (str(tmp_path), True)], 2)
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())


def test_a_missing_package_comes_whole_out_of_a_worker() -> None:
    with pytest.raises(MissingPackageError, match=r"testing needs the package 'nowhere'.*chidu\[lab\]"):
        map_processes(parallel_work.fail, ["package"], 1)


@pytest.mark.parametrize("items", [["killed"], ["killed", "fine", "fine", "fine"]])
def test_a_killed_worker_is_a_named_error(items: list[str]) -> None:
    with pytest.raises(WorkerError, match="run the same command again"):
        map_processes(parallel_work.fail, items, 1)


def test_a_killed_worker_is_named_where_others_waited_for_it() -> None:
    with pytest.raises(WorkerError):
        map_processes(parallel_work.fail, ["fine", "killed", "fine"], 2, after=[None, 0, 0])


def test_an_error_of_the_listener_is_raised_and_blocks_nobody() -> None:
    def refuse(index: int, event: Any) -> None:
        raise ValueError("can't listen")

    with pytest.raises(ValueError, match="can't listen"):
        map_processes(parallel_work.talk, [0, 1], 2, refuse)


def test_workers_have_their_environment_and_ours_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(WORKER_ENVIRONMENT)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert map_processes(parallel_work.environment, names, 1) == [WORKER_ENVIRONMENT[name] for name in names]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_the_environment_comes_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    seen = []

    def fail() -> None:
        with worker_environment():
            seen.append(os.environ["OMP_NUM_THREADS"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == ["1"]
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import parallel_work, sys\nfrom chidu.parallel import map_processes\n"
        "if __name__ == '__main__': map_processes(parallel_work.wait_long, [sys.argv[1]] * 2, 2)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(program)
    seen = tmp_path / "seen"
    seen.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen([sys.executable, str(script), str(seen)], env=environment)
    wait_for(lambda: len(list(seen.iterdir())) == 2)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not any(alive(int(path.name)) for path in seen.iterdir()))


STOPPING = """
import parallel_work, signal, sys
from chidu.parallel import map_processes

class Stopped(BaseException):
    pass

def stop(number, frame):
    raise Stopped

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    folder, seconds = sys.argv[1], float(sys.argv[2])
    try:
        map_processes(parallel_work.save_when_asked, [(folder, seconds)] * 3, 2, grace=20.0)
    except Stopped:
        sys.exit(143)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(("seconds", "signals", "saved"), [(0.2, 1, 2), (60.0, 2, 0)], ids=["once", "once more"])
def test_workers_save_when_their_parent_is_stopped_and_end_at_once_at_the_second_signal(
    seconds: float, signals: int, saved: int, tmp_path: Path
) -> None:
    script, seen = tmp_path / "parent.py", tmp_path / "seen"
    script.write_text(STOPPING)
    seen.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen([sys.executable, str(script), str(seen), str(seconds)], env=environment)
    wait_for(lambda: len(list(seen.iterdir())) == 2)
    begun = [int(path.stem) for path in seen.iterdir()]
    for _ in range(signals):
        parent.send_signal(signal.SIGTERM)
        time.sleep(1)
    assert parent.wait(30) == 143
    assert len(list(seen.glob("*.saved"))) == saved
    assert len(list(seen.glob("*.begun"))) == 2, "a third item began after the signal"
    assert not any(alive(pid) for pid in begun)
