"""The process that speaks to Ray, and what runs on the nodes.

It asks for one task an item, hands on what they tell, and begins an item again whose worker was lost. Ray's own
retries are not used: they would say nothing. Where the head answers no more this process ends.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from chidu.errors import ChiduError, ClusterError, WorkerError
from chidu.parallel.environment import WORKER_ENVIRONMENT, cores
from chidu.parallel.processes import Emit, end_with_parent
from chidu.parallel.words import Word, words_as_events

__all__ = ["LEAVE_SECONDS", "Facts", "Nodes", "Shared", "answers", "installed", "serve"]

TELL_SECONDS = 0.3
"""How often events are fetched."""
ATTEMPTS = 6
"""Times that an item is begun: a worker may be lost to the machine's whim, but not again and again."""
LOOK_SECONDS = 60.0
"""Time for every node to look into the work folder."""
WATCH_SECONDS = 1.0
GONE_SECONDS = 4.0
"""A head that does not answer for so long is gone."""
LEAVE_SECONDS = 5.0
HEAD = "node:__internal_head__"
"""A resource that Ray gives to the head alone."""
PACKAGES = ("chidu", "numpy", "torch")


@dataclass(frozen=True)
class Facts:
    """What is known of a cluster once it is entered."""

    head: str
    """Where the head answers, HOST:PORT."""
    slots: int
    """Items that are worked on at once."""


@dataclass(frozen=True)
class Shared:
    """A file in the work folder, by which a node sees that the folder is the one that is meant."""

    path: Path
    content: str

    def trouble(self) -> str:
        """Say what this machine can't do with the folder; empty where all is well."""
        folder = self.path.parent
        try:
            if self.path.read_text(encoding="ascii") != self.content:
                return f"{folder} is another folder there: put the work folder on storage that all nodes share"
        except OSError as error:
            return (
                f"{folder} is not the work folder there ({error.strerror}): put it on storage that all nodes share, "
                "under the same path"
            )
        mine = self.path.with_name(f"{self.path.name}-{socket.gethostname()}-{os.getpid()}")
        try:
            mine.write_text(self.content, encoding="ascii")
            mine.unlink()
        except OSError as error:
            return f"{folder} can't be written into there ({error.strerror}): mend its permissions"
        return ""


@dataclass(frozen=True)
class Nodes:
    """What the nodes said of themselves, by their address."""

    troubles: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    processors: dict[str, str] = field(default_factory=dict)


def answers(address: str, seconds: float = 2.0) -> str:
    """Return an empty string where something listens at HOST:PORT, else why not. It takes 2 s at the most."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds):
            return ""
    except (OSError, ValueError, OverflowError) as error:
        return str(error)


def installed() -> dict[str, str]:
    """Return the versions, on this machine, of what decides the bits of a run."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def serve(pipe: Connection, address: str | None) -> None:
    """Enter a cluster and do what the pipe asks for, until it asks for nothing more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, args=(_leave_or_end,), daemon=True).start()
    # Ray prints pages about a lost worker, and has a log of its own (/tmp/ray/session_latest/logs).
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        session = Session(pipe, address)
        pipe.send(("done", session.facts))
    except Exception as error:
        pipe.send(
            ("failed", _one_line(error, f"the Ray cluster at {address}" if address else "a Ray cluster of our own"))
        )
        return
    threading.Thread(target=_watch, args=(session.facts.head,), daemon=True).start()
    # Ray's own way out ends a cluster of ours whole: killed, it leaves agents behind for a minute.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        _obey(pipe, session)
    finally:
        session.leave()


def _obey(pipe: Connection, session: Session) -> None:
    """Do what the pipe asks for, until it asks for nothing more."""
    while (asked := pipe.recv()) is not None:
        name, given = asked
        try:
            pipe.send(("done", getattr(session, name)(*given)))
        except ChiduError as error:
            pipe.send(("failed", error))
        except Exception as error:
            error.add_note(traceback.format_exc())
            pipe.send(("failed", error))


def _leave_or_end() -> None:
    """Leave the cluster in order; where that takes long (its head may be gone), end this process."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LEAVE_SECONDS)
    os._exit(1)


def _one_line(error: Exception, where: str) -> ClusterError:
    first = " ".join(str(error).split())[:300]
    return ClusterError(f"{where} can't be entered ({type(error).__name__}: {first}): see that both run the same Ray")


def _watch(head: str) -> None:
    """End this process when the head is gone: Ray itself would wait for minutes, or end it without a word."""
    heard = time.monotonic()
    while time.monotonic() - heard < GONE_SECONDS:
        time.sleep(WATCH_SECONDS)
        if not answers(head):
            heard = time.monotonic()
    os._exit(1)


class Session:
    """A connection to a cluster."""

    def __init__(self, pipe: Connection, address: str | None) -> None:
        import ray

        self.pipe = pipe
        own = {} if address else {"num_cpus": cores(), "include_dashboard": False}
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)
        resources = ray.cluster_resources()
        # Where nodes have GPUs, runs go there and nowhere else: one each.
        self.needs = {"num_gpus": 1, "num_cpus": 1} if resources.get("GPU", 0) >= 1 else {"num_cpus": 1}
        slots = int(resources.get("GPU", 0) or resources.get("CPU", 0))
        if slots < 1:
            raise ClusterError("the cluster has no core to offer: add nodes with `ray start --address=…`")
        is_client = address is not None and address.startswith("ray://")
        head = address if address is not None and is_client else ray.get_runtime_context().gcs_address
        self.facts = Facts(head.removeprefix("ray://"), slots)

    def leave(self) -> None:
        """End what works for us, and the cluster too where it is ours."""
        import ray

        ray.shutdown()

    def look(self, shared: Shared) -> Nodes:
        """Have every node look at the work folder, at its versions and its processor."""
        import ray
        from ray.exceptions import RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        found = Nodes()
        task = ray.remote(_look)
        asked = {}
        for node in ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1:
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                asked[task.options(num_cpus=0, scheduling_strategy=there).remote(shared)] = node["NodeManagerAddress"]
        done, late = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_SECONDS)
        for reference in done:
            node = asked[reference]
            try:
                trouble, found.versions[node], found.processors[node] = ray.get(reference)
            except RayError as error:
                trouble = f"can't run Chidu ({_cause(error)}): install it there as it is here"
            if trouble:
                found.troubles[node] = trouble
        found.troubles.update({asked[reference]: f"no answer for {LOOK_SECONDS:.0f} s" for reference in late})
        return found

    def map(
        self,
        function: Callable[[Any, Emit], Any],
        items: Sequence[Any],
        after: Sequence[int | None],
        shared: Shared | None,
    ) -> list[Any]:
        """Work on every item, see `Place.map`."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        work = ray.remote(_work).options(
            **self.needs,
            max_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
        )
        # On the head: while that is there, so is who hears.
        ear = (
            ray.remote(_Ear).options(num_cpus=0, resources={HEAD: 0.001}, max_restarts=-1, max_task_retries=-1).remote()
        )
        running: dict[Any, int] = {}
        results: dict[int, Any] = {}
        begun = [0] * len(items)
        waiting = [(0.0, index) for index, first in enumerate(after) if first is None]
        while running or waiting:
            for due, index in [one for one in waiting if one[0] <= time.monotonic()]:
                waiting.remove((due, index))
                begun[index] += 1
                running[work.remote(function, items[index], index, ear, shared)] = index
            done = ray.wait(list(running), num_returns=len(running), timeout=TELL_SECONDS)[0] if running else []
            outcomes = {}
            for reference in done:
                index = running.pop(reference)
                try:
                    outcomes[index] = ray.get(reference)
                except RayTaskError as error:
                    raise ClusterError(f"a node can't run Chidu ({_cause(error)}): install it there as here") from error
                except RayError as error:
                    self._tell_lost(index, begun[index], type(error).__name__)
                    waiting.append((time.monotonic() + 2.0 ** (begun[index] - 1), index))
            self._tell(ear)
            for index, (is_good, value) in outcomes.items():
                if not is_good:
                    raise value
                results[index] = value
                waiting += [(0.0, later) for later, first in enumerate(after) if first == index]
            if not running:
                time.sleep(TELL_SECONDS)
        return [results[index] for index in range(len(items))]

    def _tell(self, ear: Any) -> None:
        """Hand on what was heard since the last time."""
        import ray

        for index, event in ray.get(ear.take.remote()):
            self.pipe.send(("event", index, event))

    def _tell_lost(self, index: int, begun: int, why: str) -> None:
        if begun == ATTEMPTS:
            raise WorkerError(
                f"the worker of one item was lost {ATTEMPTS} times ({why}; out of memory, perhaps): "
                "run the same command again to resume"
            )
        self.pipe.send(("again", index, None))
        self.pipe.send(("event", index, Word(f"ray: a worker is lost ({why}): its run goes on with another one")))


def _cause(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[-1][:200]}"


class _Ear:
    """Hears, on the head, what workers tell, and keeps it until it is fetched."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, Any]] = []

    def tell(self, index: int, event: Any) -> None:
        self.heard.append((index, event))

    def take(self) -> list[tuple[int, Any]]:
        heard, self.heard = self.heard, []
        return heard


def _look(shared: Shared) -> tuple[str, dict[str, str], str]:
    return shared.trouble(), installed(), _processor()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _work(
    function: Callable[[Any, Emit], Any], item: Any, index: int, ear: Any, shared: Shared | None
) -> tuple[bool, Any]:
    """Work on one item; return whether that went well, and the result or the error."""
    import ray

    told: list[Any] = []

    def emit(event: Any) -> None:
        told[:] = [ear.tell.remote(index, event)]

    try:
        if shared is not None and (trouble := shared.trouble()):
            raise ClusterError(f"node {ray.util.get_node_ip_address()}: {trouble}")
        with words_as_events(emit):
            outcome = True, function(item, emit)
    except Exception as error:
        if not isinstance(error, ChiduError):
            error.add_note(traceback.format_exc())
        outcome = False, error
    # A caller's calls arrive in their order: when the last is heard, all are.
    if told:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(told[0], timeout=30)
    return outcome
