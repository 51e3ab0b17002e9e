"""Where a map works: the cores of this machine, or a Ray cluster. What `--on` says, and nothing else, decides.

A place changes where an item is worked on, never what comes of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from chidu.errors import SettingError
from chidu.parallel.environment import cores
from chidu.parallel.processes import Emit, map_processes

__all__ = ["Local", "Place", "open_place"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Place(Protocol):
    """Where items are worked on."""

    @property
    def cores(self) -> int:
        """Items of one thread that are worked on at once."""
        ...

    def check(self, folder: Path) -> None:
        """Raise ClusterError where the place is not there, or not every part of it shares this work folder."""
        ...

    def map(
        self,
        function: Callable[[Item, Emit], Result],
        items: Sequence[Item],
        on_event: Callable[[int, Any], None] | None = None,
        after: Sequence[int | None] | None = None,
        grace: float = 0.0,
    ) -> list[Result]:
        """Call ``function(item, emit)`` for every item; return the results in the items' order.

        As `map_processes` does. Where a place lasts longer than its workers, an item whose worker was lost begins again
        on another one: so ``function`` must be one that may be begun again, and goes on from what it saved; and its
        events must say where it is, not how much was added.
        """
        ...


class Local:
    """The cores of this machine. A worker that is killed ends the map: the same command goes on."""

    @property
    def cores(self) -> int:
        """Cores that this process may use."""
        return cores()

    def check(self, folder: Path) -> None:
        """Find nothing wrong."""

    def map(
        self,
        function: Callable[[Item, Emit], Result],
        items: Sequence[Item],
        on_event: Callable[[int, Any], None] | None = None,
        after: Sequence[int | None] | None = None,
        grace: float = 0.0,
    ) -> list[Result]:
        """Work in processes, one a core."""
        return map_processes(function, items, self.cores, on_event, after, grace=grace)


@contextlib.contextmanager
def open_place(on: str) -> Iterator[Place]:
    """Open ``local``, ``ray`` (the cluster of RAY_ADDRESS, else one of its own), ``ray:HOST:PORT`` or ``ray://HOST:PORT``.

    A cluster is spoken to when it is first needed. Raises SettingError where ``on`` is none of these.
    """
    if on == "local":
        yield Local()
        return
    from chidu.parallel.cluster import Cluster

    cluster = Cluster(_address(on))
    try:
        yield cluster
    finally:
        cluster.close()


def _address(on: str) -> str | None:
    """Return the address as Ray writes it, or None for a cluster of one's own."""
    scheme, _, rest = on.partition(":")
    if scheme == "torchrun":
        raise SettingError(f"--on {on} is for the target of `chidu train` alone; the ladder trains with local or ray")
    if on == "ray":
        named = os.environ.get("RAY_ADDRESS", "")
        if named in ("", "local"):
            return None
        if named == "auto":
            raise SettingError("RAY_ADDRESS is 'auto': name the head, --on ray:HOST:PORT")
        return named
    _, _, port = rest.rpartition(":")
    if scheme != "ray" or not port.isdecimal():
        raise SettingError(
            f"--on {on!r} is no place: write local, ray, ray:HOST:PORT (from a node of the cluster) or "
            "ray://HOST:PORT (from elsewhere)"
        )
    return on if rest.startswith("//") else rest
