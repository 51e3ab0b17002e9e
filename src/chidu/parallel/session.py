"""The process that speaks to Ray. Where the head answers no more it ends."""

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

from chidu.errors import ChiduError, ClusterError
from chidu.parallel.environment import cores
from chidu.parallel.processes import Emit, end_with_parent
from chidu.parallel.tasks import Shared, Tasks, room, why_not

__all__ = ["LEAVE_SECONDS", "STOP", "Facts", "Nodes", "answers", "installed", "serve"]

LOOK_SECONDS = 60.0
"""Time for every node to look into the work folder."""
WATCH_SECONDS = 1.0
GONE_SECONDS = 4.0
"""A head that does not answer for so long is gone."""
LEAVE_SECONDS = 5.0
STOP = "stop"
"""Sent while a map is under way: its workers shall save and end."""
PACKAGES = ("chidu", "numpy", "torch")


@dataclass(frozen=True)
class Facts:
    """What is known of a cluster once it is entered."""

    head: str
    """Where the head answers, HOST:PORT."""
    slots: int
    """Items that are worked on at once."""


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
        # Where nodes have GPUs, runs go there and nowhere else: one each.
        self.needs = {"num_gpus": 1, "num_cpus": 1} if ray.cluster_resources().get("GPU", 0) >= 1 else {"num_cpus": 1}
        slots = sum(room(node, self.needs) for node in ray.nodes())
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
                trouble = f"can't run Chidu ({why_not(error)}): install it there as it is here"
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
        return Tasks(function, items, after, shared, self.needs, self.pipe.send, self.is_stop_told).finish()

    def is_stop_told(self) -> bool:
        """True where STOP has come: nothing else is sent while a map is under way."""
        return self.pipe.poll() and self.pipe.recv() == STOP


def _look(shared: Shared) -> tuple[str, dict[str, str], str]:
    return shared.trouble(), installed(), _processor()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
