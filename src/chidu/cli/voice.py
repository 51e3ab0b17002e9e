"""What a long verb tells on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from chidu.cli.plain import plain
from chidu.units import format_seconds, time_left

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["BarVoice", "LineVoice", "LogVoice", "Remaining", "open_voice"]


class Remaining:
    """How long a stage still takes: the plan's time at first, then more and more what was seen."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.first: float | None = None

    def seconds(self, fraction: float, planned: float | None) -> float | None:
        """Return the seconds left, or None where nothing is known yet."""
        if self.first is None:
            # A resumed stage starts above 0: what was done before took none of this time.
            self.first = fraction
        return time_left(time.monotonic() - self.started, self.first, fraction, planned)


def _left(seconds: float | None) -> str:
    """Say how long it still takes, to a second: that is finer than anybody knows."""
    return "" if seconds is None else f", {format_seconds(max(1.0, seconds))} left"


class LineVoice:
    """Plain lines; of a stage's progress one after two seconds, then one every 15 seconds at the most."""

    FIRST = 2.0
    EVERY = 15.0

    def __init__(self) -> None:
        self.stage = ""
        self.line = ""
        self.due = 0.0
        self.remaining = Remaining()
        self.lock = threading.RLock()
        self.timer: threading.Timer | None = None

    def say(self, text: str) -> None:
        """Tell one line."""
        sys.stderr.write(plain(f"{text}\n"))
        sys.stderr.flush()

    def progress(self, stage: str, fraction: float, words: str, seconds: float | None) -> None:
        """Tell how far a stage is."""
        with self.lock:
            if stage != self.stage:
                self.stage, self.remaining, self.due = stage, Remaining(), time.monotonic() + self.FIRST
                self._wake()
            left = self.remaining.seconds(fraction, seconds)
            self.line = f"{stage}: {fraction:.0%} {words}" + _left(left)
            if fraction >= 1:
                self.close()
            else:
                self._tell()

    def _wake(self) -> None:
        """Have the first line told even if nothing comes by: a model may be at its first answer for a minute."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = threading.Timer(self.FIRST, self._tell)
        self.timer.daemon = True
        self.timer.start()

    def _tell(self) -> None:
        with self.lock:
            if self.stage and time.monotonic() >= self.due:
                self.due = time.monotonic() + self.EVERY
                self.say(self.line)

    def close(self) -> None:
        """End the stage."""
        with self.lock:
            self.stage = ""
            if self.timer is not None:
                self.timer.cancel()


class BarVoice:
    """One bar for the stage at work."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self.bar: Progress = Progress(
            TextColumn("{task.fields[stage]}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self.task: TaskID | None = None
        self.stage = ""
        self.remaining = Remaining()
        self.bar.start()

    def say(self, text: str) -> None:
        """Tell one line, above the bar."""
        self.bar.console.print(plain(text), markup=False, highlight=False, soft_wrap=True)

    def progress(self, stage: str, fraction: float, words: str, seconds: float | None) -> None:
        """Move the bar."""
        if stage != self.stage:
            self._remove()
            self.stage, self.remaining = stage, Remaining()
            self.task = self.bar.add_task("", total=1.0, stage=stage)
        left = self.remaining.seconds(fraction, seconds)
        words += _left(left)
        if self.task is not None:
            self.bar.update(self.task, completed=fraction, description=words)
        if fraction >= 1:
            self._remove()
            self.stage = ""

    def _remove(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None

    def close(self) -> None:
        """Give the terminal back."""
        self.bar.stop()


class LogVoice(logging.Handler):
    """Says what rooms below warn of."""

    def __init__(self, voice: LineVoice | BarVoice) -> None:
        super().__init__(logging.WARNING)
        self.voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        """Say one line."""
        self.voice.say(record.getMessage())


@contextlib.contextmanager
def open_voice() -> Iterator[LineVoice | BarVoice]:
    """Yield bars on a terminal, lines elsewhere; they tell warnings of the log too."""
    voice: LineVoice | BarVoice = BarVoice() if sys.stderr.isatty() else LineVoice()
    log, warnings = logging.getLogger("chidu"), LogVoice(voice)
    log.addHandler(warnings)
    try:
        yield voice
    finally:
        log.removeHandler(warnings)
        voice.close()
