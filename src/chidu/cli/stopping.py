"""How Ctrl-C and SIGTERM end what is under way."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

__all__ = ["Stopped", "orderly_stops"]


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. No Exception, and no KeyboardInterrupt, which typer would end without a word."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        self.is_kept = False
        """Whether the same command goes on from what lies beside its output."""


def stop(number: int, _frame: FrameType | None) -> None:
    """End what is under way in an orderly manner: runs finish their step and save; a second call ends all at once."""
    # Past Python's buffer, which the signal may have come in the middle of.
    os.write(2, b"\nchidu: stopping (once more to leave at once)\n")
    raise Stopped(number)


@contextlib.contextmanager
def orderly_stops() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into `Stopped`."""
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
