"""The live record: what a reader finds, after a kill, a lock, a full disk, and a run that goes on from a checkpoint."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chidu.runs import live as room
from chidu.runs.live import LIVE_FILE, Live, LiveEstimate, LiveRecord, LiveWarning, Steps

KILLED = """
import sys, time
from pathlib import Path
from chidu.runs.live import LiveRecord, Steps
with LiveRecord.open(Path(sys.argv[1]), print) as live:
    live.stage("ladder", 0.0, "", 60.0)
    step = 0
    while True:
        live.steps(Steps("w16", step, step + 20, 5.0, 1.0, 0.1))
        step += 20
        print(step, flush=True)
        time.sleep(0.01)
"""


def read(folder: Path) -> Live:
    found = Live.read(folder)
    assert found is not None
    return found


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_was_told_is_read_back(tmp_path: Path) -> None:
    with LiveRecord.open(tmp_path, pytest.fail) as live:
        live.stage("ladder", 0.25, "training w16", 60.0)
        live.steps(Steps("w16", 0, 20, 6.0, 0.2, 0.5))
        live.steps(Steps("w16", 20, 40, 5.0, 0.4, 0.25))
        live.estimate(LiveEstimate("target", 40, 2.5, 2.4, 2.6, 0.9, True))
        live.warn(LiveWarning("target", 40, "off"))
        live.stage("ladder", 0.5, "training w24", 60.0)
    found = read(tmp_path)
    assert found.points == {"w16": (Steps("w16", 0, 20, 6.0, 0.2, 0.5), Steps("w16", 20, 40, 5.0, 0.4, 0.25))}
    assert found.estimates == (LiveEstimate("target", 40, 2.5, 2.4, 2.6, 0.9, True),)
    assert found.warnings == (LiveWarning("target", 40, "off"),)
    assert found.state is not None
    assert (found.state.stage, found.state.first, found.state.fraction) == ("ladder", 0.25, 0.5)
    assert found.state.ended == "done"
    assert [path.name for path in tmp_path.iterdir()] == [LIVE_FILE]


def test_a_run_that_goes_on_replaces_its_later_points(tmp_path: Path) -> None:
    def told(*told: Steps) -> list[tuple[int, float | None]]:
        with LiveRecord.open(tmp_path, pytest.fail) as live:
            for steps in told:
                live.steps(steps)
                if steps.loss is not None:
                    live.warn(LiveWarning(steps.run, steps.step, "off"))
        found = read(tmp_path)
        assert [each.step for each in found.warnings if each.run == "a"] == [each.step for each in found.points["a"]]
        return [(each.step, each.loss) for each in found.points["a"]]

    told(*(Steps("a", step, step + 20, 5.0) for step in range(0, 100, 20)), Steps("b", 0, 20, 4.0))
    # From a checkpoint at step 50: what came after it was not kept.
    assert told(Steps("a", 0, 50)) == [(20, 5.0), (40, 5.0)]
    assert told(Steps("a", 50, 70, 3.0)) == [(20, 5.0), (40, 5.0), (70, 3.0)]
    assert told(Steps("a", 0, 20, 2.0)) == [(20, 2.0)]
    assert read(tmp_path).points["b"] == (Steps("b", 0, 20, 4.0),)


def test_another_making_begins_with_nothing(tmp_path: Path) -> None:
    for making, kept in (("one", 1), ("one", 2), ("two", 1)):
        with LiveRecord.open(tmp_path, pytest.fail) as live:
            live.begin(["a"], making)
            live.steps(Steps("a", 20 * (kept - 1), 20 * kept, 5.0))
        assert len(read(tmp_path).points["a"]) == kept


def test_a_kill_leaves_a_file_that_reads(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while not (found := Live.read(tmp_path)) or not found.points:
        process.stdout.readline()
    process.kill()
    process.communicate()
    found = read(tmp_path)
    points = found.points["w16"]
    assert [point.start for point in points] == [20 * number for number in range(len(points))]
    assert found.state is not None
    assert found.state.ended is None
    assert found.state.is_at_work(found.state.beat + room.STALE_SECONDS - 1)
    assert not found.state.is_at_work(found.state.beat + room.STALE_SECONDS)
    with LiveRecord.open(tmp_path, pytest.fail) as live:
        live.steps(Steps("w16", 20, 40, 1.0))
    assert [point.loss for point in read(tmp_path).points["w16"]] == [5.0, 1.0]


def test_a_locked_file_is_said_once_and_caught_up_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BUSY_SECONDS", 0.01)
    said: list[str] = []
    with LiveRecord.open(tmp_path, said.append) as live:
        live.steps(Steps("a", 0, 20, 5.0))
        until(lambda: bool((found := Live.read(tmp_path)) and found.points))
        other = sqlite3.connect(tmp_path / LIVE_FILE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        live.steps(Steps("a", 20, 40, 4.0))
        until(lambda: bool(said))
        live.steps(Steps("a", 40, 60, 3.0))
        time.sleep(2 * room.TICK)
        other.execute("COMMIT")
        other.close()
        until(lambda: len(read(tmp_path).points["a"]) == 3)
    assert len(said) == 1
    assert "locked" in said[0]
    assert "training goes on" in said[0]


def test_a_full_disk_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    with LiveRecord.open(tmp_path, said.append) as live:
        live.steps(Steps("a", 0, 20, 5.0))
        until(lambda: Live.read(tmp_path) is not None and live._connection is not None)
        assert live._connection is not None
        # As many pages as there are, and no more: SQLite's own way to have a full disk.
        live._connection.execute("PRAGMA max_page_count = 1")
        live.steps(Steps("b" * 100_000, 0, 20, 5.0))
        until(lambda: bool(said))
    assert [("full" in line, "training goes on" in line) for line in said] == [(True, True)]


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be one" * 50, None])
def test_what_can_not_be_opened_is_said_once(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / LIVE_FILE
    path.mkdir() if content is None else path.write_bytes(content)
    said: list[str] = []
    with LiveRecord.open(tmp_path, said.append) as live:
        for step in range(0, 60, 20):
            live.steps(Steps("a", step, step + 20, 5.0))
            time.sleep(room.TICK)
    assert len(said) == 1
    assert Live.read(tmp_path) is None


def test_an_error_is_written_down_and_raised(tmp_path: Path) -> None:
    def fail() -> None:
        with LiveRecord.open(tmp_path, pytest.fail) as live:
            live.stage("target")
            raise ValueError("the run\ndiverged")

    with pytest.raises(ValueError, match="diverged"):
        fail()
    state = read(tmp_path).state
    assert state is not None
    assert state.ended == "the run diverged"


def test_a_file_of_another_format_is_made_anew(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / LIVE_FILE) as connection:
        connection.executescript("CREATE TABLE points (other TEXT); PRAGMA user_version = 99")
    connection.close()
    assert Live.read(tmp_path) is None
    with LiveRecord.open(tmp_path, pytest.fail) as live:
        live.steps(Steps("a", 0, 20, 5.0))
    assert list(read(tmp_path).points) == ["a"]
