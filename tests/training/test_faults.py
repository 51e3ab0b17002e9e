"""One suite of faults for every place where a ladder trains: whatever dies, the same command ends in the same bits."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fault_work
import pytest

import cluster
from chidu.errors import ClusterError, StorageError, WorkerError
from chidu.parallel import Local, Place, open_place
from chidu.parallel.cluster import Cluster
from chidu.runs import Run, RunConfig
from chidu.runs.live import RunEvent, Steps
from chidu.training import Design, Rung, Text, train_ladder

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc; 127.0.0.2 is Linux's")

PLACES = ["local", "ray"]
LONGER = [pytest.param("local", marks=pytest.mark.verify), "ray"]
"""Where test_rungs.py has the like for this machine already."""

LADDER = """
import json, sys
from pathlib import Path
import fault_work
from chidu.parallel import open_place
from chidu.training import Design, Text, train_ladder
if __name__ == "__main__":
    design = Design.from_dict(json.loads(Path(sys.argv[1]).read_text()))
    text = Text(Path(sys.argv[2]), Path(sys.argv[3]), 640)
    with open_place(sys.argv[6]) as place:
        faulty = fault_work.Faulty(place, fault_work.waits, Path(sys.argv[5]))
        train_ladder(design.rungs, text, Path(sys.argv[4]), lambda group, steps: None, faulty)
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


def same(run: Run) -> tuple[Any, ...]:
    """All of a run that another making of it must share."""
    return run.name, run.group, run.config, run.loss, run.loss_standard_error, run.flops_spent, run.curve


@pytest.fixture(scope="module")
def undisturbed(rungs: list[Rung], packed_text: Text, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    runs = train_ladder(rungs, packed_text, tmp_path_factory.mktemp("undisturbed"), lambda group, steps: None)
    return [same(run) for run in runs]


@pytest.fixture(scope="module")
def pair() -> Iterator[cluster.Pair]:
    """The cluster that the tests share; one that kills a node starts it again."""
    pytest.importorskip("ray")
    made = cluster.Pair()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            patch.setenv(name, made.environment[name])
        yield made
    made.kill()


@pytest.fixture(scope="module")
def entered(pair: cluster.Pair) -> Iterator[Cluster]:
    with open_place(f"ray:{pair.address}") as place:
        assert isinstance(place, Cluster)
        yield place


def wait_for(condition: Callable[[], Any], seconds: float = 100.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.05)


def both_nodes(place: Cluster) -> Cluster:
    """The place once both nodes are there: a session counts them as it begins."""
    wait_for(lambda: place.cores == 2 or place._end())
    return place


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    return Local() if request.param == "local" else both_nodes(request.getfixturevalue("entered"))


class Ladder:
    """The same command, again and again."""

    def __init__(self, rungs: list[Rung], text: Text, folder: Path) -> None:
        self.rungs, self.text, self.folder = rungs, text, folder
        self.told: dict[str, tuple[str, int, int]] = {}
        """Run → its group, where it began, and how far it came."""

    def train(self, place: Place) -> list[Any]:
        self.told = {}
        return [same(run) for run in train_ladder(self.rungs, self.text, self.folder / "ladder", self.tell, place)]

    def tell(self, group: str, event: RunEvent) -> None:
        assert isinstance(event, Steps)
        begun = self.told.get(event.run, (group, event.start, 0))[1]
        self.told[event.run] = (group, min(begun, event.start), event.step)

    @property
    def steps(self) -> dict[str, int]:
        """Steps done, by group."""
        found: dict[str, int] = {}
        for group, begun, end in self.told.values():
            found[group] = found.get(group, 0) + end - begun
        return found

    def go_on(self, place: Place) -> list[Any]:
        """Train; where a place does not go on by itself, it says so, and the same command does."""
        if not isinstance(getattr(place, "place", place), Local):
            return self.train(place)
        with pytest.raises(WorkerError, match="run the same command again"):
            self.train(place)
        return self.train(place)


@pytest.fixture
def ladder(rungs: list[Rung], packed_text: Text, tmp_path: Path) -> Ladder:
    return Ladder(rungs, packed_text, tmp_path)


def begun(notes: Path) -> list[tuple[str, int]]:
    lines = [line.split() for line in (notes / "begun").read_text().splitlines()]
    return [(name, int(step)) for name, step in lines]


@pytest.mark.parametrize("place", LONGER, indirect=True)
def test_where_a_ladder_trains_changes_no_bit(place: Place, ladder: Ladder, undisturbed: list[Any]) -> None:
    place.check(ladder.folder)
    assert ladder.train(place) == undisturbed
    assert ladder.steps == ALL_STEPS
    assert not list(ladder.folder.rglob("lease.scratch"))


@pytest.mark.parametrize("place", LONGER, indirect=True)
def test_a_killed_worker_costs_nothing_but_time(
    place: Place, ladder: Ladder, undisturbed: list[Any], tmp_path: Path
) -> None:
    faulty = fault_work.Faulty(place, fault_work.worker_dies, tmp_path / "notes")
    assert ladder.go_on(faulty) == undisturbed
    assert ladder.steps == ALL_STEPS
    starts = begun(tmp_path / "notes")
    assert any(step > 0 for _, step in starts), "it began anew"


@pytest.mark.parametrize("place", LONGER, indirect=True)
def test_a_killed_node_costs_nothing_but_time(
    request: pytest.FixtureRequest, place: Place, ladder: Ladder, undisturbed: list[Any], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    notes = tmp_path / "notes"
    faulty = fault_work.Faulty(place, fault_work.waits, notes)

    def kill() -> None:
        wait_for(lambda: len(list(notes.glob("pid-*"))) == 2)
        if isinstance(place, Local):
            for path in notes.glob("pid-*"):
                os.kill(int(path.name.removeprefix("pid-")), signal.SIGKILL)
        else:
            request.getfixturevalue("pair").other.kill()
        (notes / "go").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    assert ladder.go_on(faulty) == undisturbed
    killer.join()
    assert any(step > 0 for _, step in begun(notes)), "it began anew"
    if not isinstance(place, Local):
        assert "a worker is lost" in caplog.text
        request.getfixturevalue("pair").join()


class Stopped(BaseException):
    """What Ctrl-C and SIGTERM are to the command line."""


def test_runs_on_a_cluster_save_when_the_driver_is_stopped(
    entered: Cluster, ladder: Ladder, undisturbed: list[Any], tmp_path: Path
) -> None:
    """As on this machine, see test_parallel.py."""
    both_nodes(entered)
    notes = tmp_path / "notes"

    def stop(group: str, event: RunEvent) -> None:
        ladder.tell(group, event)
        if len(ladder.told) == 2:
            raise Stopped

    faulty = fault_work.Faulty(entered, fault_work.waits_to_be_stopped, notes)
    with pytest.raises(Stopped):
        train_ladder(ladder.rungs, ladder.text, tmp_path / "ladder", stop, faulty)
    ends = sorted(path.read_text() for path in notes.glob("ended-*"))
    # A slow machine tells by the clock, before the twentieth step.
    said = re.compile(r"stopped at step (\d+) of 48, which is saved: run the same command again")
    saved = [int(found[1]) for end in ends if (found := said.fullmatch(end))]
    assert len(saved) == len(ends) == 2, ends
    assert ladder.train(fault_work.Faulty(entered, fault_work.notes_its_begin, notes)) == undisturbed
    # One node may be through with its trunk, and at the run that follows, before the other begins.
    first = dict(reversed(begun(notes)))
    assert sorted([first["w16-trunk.scratch"], first["w24-trunk.scratch"]]) == sorted(saved)


@pytest.mark.verify
@pytest.mark.parametrize("on", PLACES)
def test_a_killed_driver_leaves_nobody_and_the_same_command_goes_on(
    on: str, request: pytest.FixtureRequest, ladder: Ladder, undisturbed: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "ladder.py").write_text(LADDER)
    design = Design(tuple(ladder.rungs), ladder.rungs[0], 1, 1.0, 1.0)
    (tmp_path / "design.json").write_text(json.dumps(design.as_dict()))
    text, notes = ladder.text, tmp_path / "notes"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    if on == "ray":
        pair = request.getfixturevalue("pair")
        on = f"ray:{pair.address}"
        environment = pair.environment
    places = [tmp_path / "design.json", text.train, text.held_out, tmp_path / "ladder", notes, on]
    driver = subprocess.Popen([sys.executable, str(tmp_path / "ladder.py"), *map(str, places)], env=environment)
    wait_for(lambda: len(list(notes.glob("pid-*"))) == 2)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    pids = [path.name.removeprefix("pid-") for path in notes.glob("pid-*")]
    wait_for(lambda: not any(is_at_work(pid) for pid in pids))
    place = Local() if on == "local" else request.getfixturevalue("entered")
    (notes / "go").touch()
    assert ladder.train(fault_work.Faulty(place, fault_work.waits, notes)) == undisturbed
    assert any(step > 0 for _, step in begun(notes)), "it began anew"


def is_at_work(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.verify
def test_a_node_that_was_cut_off_and_comes_back_writes_nothing(
    ladder: Ladder, undisturbed: list[Any], tmp_path: Path
) -> None:
    """The cluster gives it up, another worker goes on; when it wakes, it finds its lease lost."""
    notes = tmp_path / "notes"
    checks = {f"RAY_health_check_{name}": "1000" for name in ("period_ms", "timeout_ms", "initial_delay_ms")}
    pair = cluster.Pair(RAY_health_check_failure_threshold="5", **checks)
    cut_off: list[int] = []

    def cut() -> None:
        wait_for(lambda: len(list(notes.glob("pid-*"))) == 2)
        numbers = {int(path.name.removeprefix("pid-")) for path in notes.glob("pid-*")}
        cut_off.extend(numbers & pair.other.pids())
        pair.other.signal(signal.SIGSTOP)
        (notes / "go").touch()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
                patch.setenv(name, pair.environment[name])
            with open_place(f"ray:{pair.address}") as place:
                assert isinstance(place, Cluster)
                both_nodes(place)
                assert ladder.train(fault_work.Faulty(place, fault_work.waits_and_tells_its_end, notes)) == undisturbed
        cutter.join()
        before = contents(tmp_path / "ladder")
        (zombie,) = cut_off
        # It alone wakes: its node, which hears that it was given up, would end it.
        os.kill(zombie, signal.SIGCONT)
        wait_for((notes / f"ended-{zombie}").exists)
        assert (notes / f"ended-{zombie}").read_text().startswith("LeaseError: ")
        assert contents(tmp_path / "ladder") == before
    finally:
        pair.kill()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.verify
def test_a_slow_node_holds_nobody_up(place: Place, ladder: Ladder, undisturbed: list[Any], tmp_path: Path) -> None:
    assert ladder.train(fault_work.Faulty(place, fault_work.is_slow, tmp_path / "notes")) == undisturbed


def test_storage_that_fails_now_and_then_costs_a_word(
    place: Place, ladder: Ladder, undisturbed: list[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "chidu"):
        assert ladder.train(fault_work.Faulty(place, fault_work.storage_hiccups, tmp_path / "notes")) == undisturbed
    for words in ("Stale file handle", "Input/output error", "No space left on device"):
        assert f"{words}; trying again" in caplog.text


def test_storage_that_goes_on_failing_is_named(place: Place, ladder: Ladder, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"Input/output error \(3 tries in .*run the same command again") as raised:
        ladder.train(fault_work.Faulty(place, fault_work.storage_is_gone, tmp_path / "notes"))
    assert str(tmp_path / "ladder") in str(raised.value)


def test_a_node_that_does_not_share_the_folder_is_named(entered: Cluster, tmp_path: Path) -> None:
    """Each node really looks; here for a file that only the driver's own folder has."""
    both_nodes(entered)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_text", lambda *_, **__: None)
        with pytest.raises(
            ClusterError, match=r"node 127\.0\.0\.[23] of .*is not the work folder there .*all nodes share"
        ):
            entered.check(tmp_path)


def test_nobody_where_a_head_is_named(ladder: Ladder) -> None:
    address = f"127.0.0.2:{cluster.free_port()}"
    with (
        open_place(f"ray:{address}") as place,
        pytest.raises(ClusterError, match=f"no head of a Ray cluster answers at {address} .*`ray start --head`"),
    ):
        place.check(ladder.folder)


def test_a_head_that_is_gone_is_named_and_another_place_goes_on(
    pair: cluster.Pair, entered: Cluster, ladder: Ladder, undisturbed: list[Any], tmp_path: Path
) -> None:
    """The last test: it ends the cluster."""
    entered.check(ladder.folder)
    notes = tmp_path / "notes"
    killed: list[float] = []

    def kill() -> None:
        wait_for(lambda: list(notes.glob("pid-*")))
        killed.append(time.monotonic())
        pair.head.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ClusterError, match=f"the head of .* is gone .*{pair.address}.* run the same command again"):
        ladder.train(fault_work.Faulty(entered, fault_work.waits, notes))
    assert time.monotonic() - killed[0] < 10
    killer.join()
    pair.kill()
    assert ladder.train(Local()) == undisturbed
