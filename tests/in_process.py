"""A map over processes without processes: for tests of what is mapped, where starting them would take the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
