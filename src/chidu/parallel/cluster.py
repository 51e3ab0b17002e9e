"""A Ray cluster, from this process's side.

Ray ends the process that loses its cluster, or lets it wait for minutes. So a process of its own speaks to Ray
(`session.py`), and this one reads a pipe: whatever becomes of that process is a named error here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import secrets
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from chidu.errors import ClusterError, MissingPackageError
from chidu.parallel.environment import environment_with, worker_environment
from chidu.parallel.processes import Emit
from chidu.parallel.session import LEAVE_SECONDS, STOP, Facts, answers, installed, serve
from chidu.parallel.tasks import Shared
from chidu.parallel.words import Word

__all__ = ["Cluster"]

Item = TypeVar("Item")
Result = TypeVar("Result")

OPEN_SECONDS = 60.0
"""Time for a head that answers to let us in; for a cluster of our own, to start."""
SHARED_FILE = ".shared"
"""What the nodes look for in the work folder."""

log = logging.getLogger(__name__)


class Cluster:
    """A Ray cluster at an address, or one of our own on this machine. An item whose worker is lost begins again."""

    def __init__(self, address: str | None) -> None:
        self.address = address
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._facts: Facts | None = None
        self._shared: Shared | None = None

    @property
    def cores(self) -> int:
        """Items that the nodes which are there now work on at once: one a core, or one a GPU where there are any."""
        return self._open().slots

    def check(self, folder: Path) -> None:
        """See that every node sees the work folder, may write into it, and has the same versions as this machine.

        Raises ClusterError. Nodes that join later are asked as they get their first item.
        """
        self._open()
        path = folder.absolute() / SHARED_FILE
        self._shared = Shared(path, secrets.token_hex(16))
        path.write_text(self._shared.content, encoding="ascii")
        nodes = self._ask("look", self._shared)
        for node, trouble in nodes.troubles.items():
            raise ClusterError(f"node {node} of {self._name}: {trouble}")
        for node, versions in nodes.versions.items():
            if versions != (ours := installed()):
                told = ", ".join(f"{name} {versions.get(name)} (here {ours.get(name)})"
                                 for name in ours if versions.get(name) != ours[name])  # fmt: skip
                raise ClusterError(
                    f"node {node} of {self._name} has other versions, which round differently: {told}: "
                    "install the same ones everywhere"
                )
        if len(kinds := set(nodes.processors.values())) > 1:
            log.warning(
                "%s: processors differ (%s): a run's last bits depend on the kind that it trains on",
                self._name, ", ".join(sorted(kinds)),
            )  # fmt: skip

    def map(
        self,
        function: Callable[[Item, Emit], Result],
        items: Sequence[Item],
        on_event: Callable[[int, Any], None] | None = None,
        after: Sequence[int | None] | None = None,
        grace: float = 0.0,
    ) -> list[Result]:
        """Work on the items as tasks of the cluster. Raises ClusterError where its head is gone."""
        if not items:
            return []
        self._open()
        job = (function, list(items), list(after or [None] * len(items)), self._shared)
        found: list[Result] = self._ask("map", *job, on_event=on_event, grace=grace)
        return found

    def close(self) -> None:
        """Leave the cluster, which ends what works there for us; end the one of our own."""
        if self._pipe is not None and self._process is not None:
            with contextlib.suppress(OSError):
                self._pipe.send(None)
            self._process.join(LEAVE_SECONDS)
            self._end()
        if self._shared is not None:
            self._shared.path.unlink(missing_ok=True)

    @property
    def _name(self) -> str:
        return f"the Ray cluster at {self.address}" if self.address else "the Ray cluster of this command"

    def _open(self) -> Facts:
        """Return what is known of the cluster, entering it at the first call."""
        if self._facts is not None:
            return self._facts
        _check_packages(self.address)
        if self.address is not None and (why := answers(self.address)):
            raise ClusterError(
                f"no head of a Ray cluster answers at {self.address} ({why}): start one with `ray start --head`, "
                "or mend the address; the same command then goes on"
            )
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        with worker_environment(), environment_with(_ray_environment(self.address is None)):
            self._process = context.Process(target=serve, args=(theirs, self.address), daemon=True)
            self._process.start()
        theirs.close()
        if not self._pipe.poll(OPEN_SECONDS):
            self._end()
            raise ClusterError(
                f"{self._name} lets nobody in ({OPEN_SECONDS:.0f} s): see that it is a Ray head's address, "
                "and that RAY_AUTH_MODE and RAY_AUTH_TOKEN are those it was started with"
            )
        facts: Facts = self._answer(None)
        self._facts = facts
        return facts

    def _ask(
        self, name: str, *given: Any, on_event: Callable[[int, Any], None] | None = None, grace: float = 0.0
    ) -> Any:
        assert self._pipe is not None
        try:
            self._pipe.send((name, given))
            return self._answer(on_event)
        except BaseException as error:
            # What is under way there is nobody's any more.
            try:
                if not isinstance(error, Exception):
                    self._let_save(grace)
            finally:
                self._end()
            raise

    def _let_save(self, seconds: float) -> None:
        """Ask the workers to save and to end; wait until they have, so many seconds at the most."""
        assert self._pipe is not None
        end = time.monotonic() + seconds
        with contextlib.suppress(EOFError, OSError):
            self._pipe.send(STOP)
            while self._pipe.poll(max(0.0, end - time.monotonic())):
                if self._pipe.recv()[0] in ("done", "failed"):
                    return

    def _answer(self, on_event: Callable[[int, Any], None] | None) -> Any:
        """Read what the session tells until its answer is there."""
        assert self._pipe is not None
        while True:
            try:
                kind, *told = self._pipe.recv()
            except (EOFError, OSError) as error:
                raise self._lost() from error
            if kind == "done":
                return told[0]
            if kind == "failed":
                raise told[0]
            index, event = told
            if isinstance(event, Word):
                event.say()
            elif on_event is not None:
                on_event(index, event)

    def _lost(self) -> ClusterError:
        """Say why the session ended by itself."""
        where = self._facts.head if self._facts is not None else self.address
        why = answers(where) if where is not None else ""
        if why:
            return ClusterError(
                f"the head of {self._name} is gone ({where}: {why}): start it again, or name another place with --on, "
                "and run the same command again: every run goes on from its last checkpoint"
            )
        return ClusterError(
            f"the process that spoke to {self._name} ended before its time: run the same command again to resume"
        )

    def _end(self) -> None:
        """End the session now; the cluster then ends what works for it."""
        if self._process is not None:
            self._process.terminate()
            self._process.join(LEAVE_SECONDS)
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = self._facts = None


def _check_packages(address: str | None) -> None:
    """Raise MissingPackageError where Ray is not installed, or what it speaks from outside of a cluster with."""
    if importlib.util.find_spec("ray") is None:
        raise MissingPackageError("ray", "ray", "--on ray")
    if address is not None and address.startswith("ray://") and importlib.util.find_spec("grpc") is None:
        raise ClusterError(
            f"--on {address} needs the package 'grpcio', here and on the head: run pip install 'ray[client]'"
        )


def _ray_environment(ours: bool) -> dict[str, str]:
    """Return what tells Ray to report nothing home; and where it starts a cluster for us, to let nobody else in."""
    wanted = {"RAY_USAGE_STATS_ENABLED": "0"}
    if ours and "RAY_AUTH_MODE" not in os.environ:
        wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return wanted
