"""The items of one map as tasks of a Ray cluster, and what runs on the nodes.

An item whose worker was lost begins again. Ray's own retries are not used, and items are given to nodes by name, to
each as many as it has room for: Ray says nothing of a retry, and what it once asked of a node that went silent without
closing its connections holds up whatever is like it, on all nodes, for as long as those stay open.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chidu.errors import ChiduError, ClusterError, StoppedError, WorkerError
from chidu.parallel.environment import WORKER_ENVIRONMENT
from chidu.parallel.processes import Emit, heed_stops
from chidu.parallel.words import Word, words_as_events

__all__ = ["Shared", "Tasks", "room", "why_not"]

TELL_SECONDS = 0.3
"""How often events are fetched."""
NODES_SECONDS = 2.0
"""How often the head is asked which nodes there are."""
ATTEMPTS = 6
"""Times that an item is begun: a worker may be lost to a machine's whim, but not again and again."""
HEAD = "node:__internal_head__"
"""A resource that Ray gives to the head alone."""


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


def room(node: Mapping[str, Any], needs: Mapping[str, int]) -> int:
    """Return how many items Ray's `node` has room for at once, each needing so much of it."""
    kind = "GPU" if "num_gpus" in needs else "CPU"
    return int(node["Resources"].get(kind, 0)) if node["Alive"] else 0


class Tasks:
    """One map, while it is under way. `send` is given ("event", index, event) for `Cluster`; `is_stop_told` ends it."""

    def __init__(
        self,
        function: Callable[[Any, Emit], Any],
        items: Sequence[Any],
        after: Sequence[int | None],
        shared: Shared | None,
        needs: dict[str, int],
        send: Callable[[Any], None],
        is_stop_told: Callable[[], bool],
    ) -> None:
        import ray

        self.needs = needs
        self.work = ray.remote(_work)
        # On the head: while that is there, so is who hears.
        ear = ray.remote(_Ear).options(num_cpus=0, resources={HEAD: 0.001}, max_restarts=-1, max_task_retries=-1)
        self.ear = ear.remote()
        self.function, self.items, self.after, self.shared = function, items, after, shared
        self.send, self.is_stop_told = send, is_stop_told
        self.attempts = [0] * len(items)
        self.room: dict[str, int] = {}
        """Node that is there → items it has room for."""
        self.running: dict[Any, tuple[int, str]] = {}
        """Task → its item, and the node it was given to."""
        self.due = [(0.0, index) for index, first in enumerate(after) if first is None]
        """When (monotonic) which item is to begin."""
        self.results: dict[int, Any] = {}
        self.losses: Counter[str] = Counter()
        """Node → workers that it lost."""
        self._looked = 0.0
        self._is_told = False

    def finish(self) -> list[Any]:
        """Work on every item; return the results in the items' order.

        Raises the first error of an item; StoppedError, once all have saved that can, where it is told to stop.
        """
        while self.running or self.due:
            if self.is_stop_told():
                self._stop()
            self._look()
            self._begin()
            outcomes = self._collect()
            # What a finished item told was heard before it was done.
            self._hear()
            for index, (is_good, value) in outcomes.items():
                if not is_good:
                    raise value
                self.results[index] = value
                self.due += [(0.0, later) for later, first in enumerate(self.after) if first == index]
        return [self.results[index] for index in range(len(self.items))]

    def _look(self) -> None:
        """See which nodes are there, and give up the tasks of those that the head has given up."""
        import ray

        if time.monotonic() - self._looked < NODES_SECONDS:
            return
        self.room = {node["NodeID"]: found for node in ray.nodes() if (found := room(node, self.needs))}
        self._looked = time.monotonic()
        for task, (_, node) in list(self.running.items()):
            if node not in self.room:
                self._begin_again(task, "its node does not answer")
        if not self.room and not self._is_told:
            self.send(("event", 0, Word("ray: no node is left to work on: waiting for one to join")))
        self._is_told = not self.room

    def _begin(self) -> None:
        """Begin the items that are due, each on the node with the most room, while there is any."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        free = dict(self.room)
        for _, node in self.running.values():
            free[node] = free.get(node, 0) - 1
        for entry in [entry for entry in self.due if entry[0] <= time.monotonic()]:
            # One that lost a worker may be dead, which the head does not know yet.
            open_nodes = [node for node, left in free.items() if left > 0]
            if not open_nodes:
                return
            node = min(open_nodes, key=lambda node: (self.losses[node], -free[node]))
            self.due.remove(entry)
            index = entry[1]
            self.attempts[index] += 1
            free[node] -= 1
            work = self.work.options(
                **self.needs,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
                runtime_env={"env_vars": WORKER_ENVIRONMENT},
            )
            place = (index, self.attempts[index])
            task = work.remote(self.function, self.items[index], place, self.ear, self.shared)
            self.running[task] = (index, node)

    def _stop(self) -> None:
        """Ask every worker to save, and wait for them; who waits for us knows how long that may take."""
        import ray

        for task in self.running:
            ray.cancel(task)
        if self.running:
            ray.wait(list(self.running), num_returns=len(self.running))
        raise StoppedError("stopped: run the same command again")

    def _collect(self) -> dict[int, tuple[bool, Any]]:
        """Return what came of the items that ended; those whose worker was lost become due again."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        if not self.running:
            time.sleep(TELL_SECONDS)
            return {}
        outcomes = {}
        for task in ray.wait(list(self.running), num_returns=len(self.running), timeout=TELL_SECONDS)[0]:
            try:
                outcome = ray.get(task)
            except RayTaskError as error:
                raise ClusterError(f"a node can't run Chidu ({why_not(error)}): install it there as here") from error
            except RayError as error:
                self._begin_again(task, type(error).__name__)
            else:
                outcomes[self.running.pop(task)[0]] = outcome
        return outcomes

    def _hear(self) -> None:
        """Hand on what was told since the last time; attempts that were given up are heard no more."""
        import ray

        for (index, attempt), event in ray.get(self.ear.take.remote()):
            if attempt == self.attempts[index]:
                self.send(("event", index, event))

    def _begin_again(self, task: Any, why: str) -> None:
        """Let an item whose worker was lost begin again, after a while that doubles."""
        index, node = self.running.pop(task)
        self.losses[node] += 1
        attempts = self.attempts[index]
        if attempts == ATTEMPTS:
            raise WorkerError(
                f"the worker of one item was lost {ATTEMPTS} times ({why}; out of memory, perhaps): "
                "run the same command again to resume"
            )
        self.due.append((time.monotonic() + 2.0 ** (attempts - 1), index))
        self.send(("event", index, Word(f"ray: a worker is lost ({why}): another one goes on with its run")))


def why_not(error: Exception) -> str:
    """Return, in one line, what Ray's error is about."""
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {(str(cause).strip().splitlines() or [''])[-1][:200]}"


class _Ear:
    """Hears, on the head, what workers tell, and keeps it until it is fetched."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def tell(self, place: tuple[int, int], event: Any) -> None:
        self.heard.append((place, event))

    def take(self) -> list[Any]:
        heard, self.heard = self.heard, []
        return heard


def _work(
    function: Callable[[Any, Emit], Any], item: Any, place: tuple[int, int], ear: Any, shared: Shared | None
) -> tuple[bool, Any]:
    """Work on one item, in its so-manieth attempt; return whether that went well, and the result or the error."""
    import ray

    # So Ray's `cancel` comes, which else breaks off wherever it meets the work.
    heed_stops(signal.SIGINT)
    told: list[Any] = []

    def emit(event: Any) -> None:
        told[:] = [ear.tell.remote(place, event)]

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
