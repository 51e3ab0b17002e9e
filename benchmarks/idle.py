"""A run that only takes time. A module of its own: workers of a cluster find what they run by its module's name."""

from __future__ import annotations

import time

from chidu.parallel import Emit

__all__ = ["SECONDS", "idle"]

SECONDS = 1.0


def idle(_item: int, _emit: Emit) -> None:
    """Take a worker's time."""
    time.sleep(SECONDS)
