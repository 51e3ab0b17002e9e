"""A map over processes without processes: for tests of what is mapped, where starting them would take the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def map_here(
    function: Callable[[Any, Callable[[Any], None]], Any],
    items: Sequence[Any],
    workers: int,
    on_event: Callable[[int, Any], None] | None = None,
) -> list[Any]:
    """Do as `map_processes` does, one item after another, in this process."""
    found = []
    for index, item in enumerate(items):

        def emit(event: Any, index: int = index) -> None:
            if on_event is not None:
                on_event(index, event)

        found.append(function(item, emit))
    return found


class Here:
    """This process as a place: one item after another, whatever its cores."""

    def __init__(self, cores: int = 2) -> None:
        self.cores = cores

    def check(self, folder: Path) -> None:
        """Find nothing wrong."""

    def map(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        on_event: Any = None,
        after: Any = None,
        grace: float = 0.0,
    ) -> list[Any]:
        """Do as a place's `map` does, in this process."""
        return map_here(function, items, 1, on_event)
