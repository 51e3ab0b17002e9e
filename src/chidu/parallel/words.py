"""What a worker has to say: warnings of Chidu's own, sent as events, and said again where the map was called."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Word", "words_as_events"]


@dataclass(frozen=True)
class Word:
    """One line for people."""

    text: str

    def say(self) -> None:
        """Hand it to this process's log, which the command line listens to."""
        logging.getLogger("chidu").warning(self.text)


class _Forward(logging.Handler):
    def __init__(self, emit: Callable[[Any], None]) -> None:
        super().__init__(logging.WARNING)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        self._emit(Word(record.getMessage()))


@contextlib.contextmanager
def words_as_events(emit: Callable[[Any], None]) -> Iterator[None]:
    """Send what is said in Chidu's log to ``emit``, each line as a `Word`."""
    log, forward = logging.getLogger("chidu"), _Forward(emit)
    log.addHandler(forward)
    try:
        yield
    finally:
        log.removeHandler(forward)
