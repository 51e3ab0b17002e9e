"""What runs tell while they train, in one SQLite file of the work folder: one process writes it, any may read it.

The file is a view for people. Nothing is resumed from it, and training never waits for it: what can't be written is
said once, kept for a while, and tried again. A kill at any moment leaves what was written half a second before it; a
run that goes on from a checkpoint replaces its own later points.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from chidu.runs.exports.sqlite import open_readonly

__all__ = [
    "LIVE_FILE",
    "STALE_SECONDS",
    "Live",
    "LiveEstimate",
    "LiveRecord",
    "LiveState",
    "LiveWarning",
    "RunEvent",
    "Steps",
]

LIVE_FILE = "live.sqlite"
FORMAT = 1
TICK = 0.5
"""Seconds between two writings, where there is something to write."""
BEAT_SECONDS = 5.0
STALE_SECONDS = 20.0
"""A writer that was silent for so long is gone."""
MOST_WAITING = 20_000
"""Statements kept while the file can't be written."""
BUSY_SECONDS = 1.0

TABLES = """
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, making TEXT, told REAL);
CREATE TABLE IF NOT EXISTS points (
    run TEXT, start INTEGER, step INTEGER, loss REAL, rate REAL, seconds REAL, PRIMARY KEY (run, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS estimates (
    run TEXT, step INTEGER, loss REAL, low REAL, high REAL, level REAL, inside INTEGER, PRIMARY KEY (run, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS warnings (run TEXT, step INTEGER, text TEXT, PRIMARY KEY (run, step, text)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (
    only INTEGER PRIMARY KEY CHECK (only = 1), stage TEXT, began REAL, first REAL, fraction REAL, words TEXT,
    planned REAL, beat REAL, ended TEXT
);
"""
STATE = "stage, began, first, fraction, words, planned, beat, ended"
BY_STEP = ("points", "estimates", "warnings")
"""Tables whose rows are a run's at a step."""


@dataclass(frozen=True)
class Steps:
    """Some optimiser steps of one run, one after another."""

    run: str
    """A rung's name; a group's, for the trunk that its rungs share."""
    start: int
    """Steps done before these."""
    step: int
    """Steps done with these."""
    loss: float | None = None
    """Their mean training loss, nats per token; None where an earlier process did them."""
    rate: float = 0.0
    """Learning rate of the last one over the peak rate."""
    seconds: float = 0.0
    """Wall time they took."""

    @property
    def count(self) -> int:
        """How many they are."""
        return self.step - self.start


@dataclass(frozen=True)
class LiveState:
    """Where the undertaking is."""

    stage: str
    began: float
    """When the stage began, seconds since 1970."""
    first: float
    """Part of the stage that was done before that."""
    fraction: float
    """Part of the stage that is done."""
    words: str
    planned: float | None
    """Seconds that the stage should take in all; None where that is not known."""
    beat: float
    """When the writer was last there, seconds since 1970."""
    ended: str | None
    """None while the writer is there; else `done`, `interrupted`, or the error in one line."""

    def is_at_work(self, now: float) -> bool:
        """True where the writer is there still, as far as can be known without its help."""
        return self.ended is None and now - self.beat < STALE_SECONDS


@dataclass(frozen=True)
class LiveEstimate:
    """What a run's final held-out loss should be, as was told at a step of it."""

    run: str
    step: int
    loss: float
    low: float
    high: float
    level: float
    inside: bool
    """True where this interval and the written forecast's have a value in common."""


@dataclass(frozen=True)
class LiveWarning:
    """Something that was said of a run at a step of it."""

    run: str
    step: int
    text: str


RunEvent = Steps | LiveWarning
"""What runs tell while they train."""


@dataclass(frozen=True)
class Live:
    """All that the file holds."""

    state: LiveState | None
    points: Mapping[str, tuple[Steps, ...]]
    """Run → its points, in order."""
    told: Mapping[str, float]
    """Run → when it told its newest point, seconds since 1970."""
    estimates: tuple[LiveEstimate, ...]
    warnings: tuple[LiveWarning, ...]

    @classmethod
    def read(cls, folder: Path) -> Live | None:
        """Read a work folder's file without writing anything; None where there is none that can be read now."""
        path = folder / LIVE_FILE
        if not path.exists():
            return None
        try:
            with open_readonly(path) as connection:
                # One transaction: rows of one moment.
                connection.execute("BEGIN")
                states = list(connection.execute(f"SELECT {STATE} FROM state"))
                points: dict[str, list[Steps]] = {}
                for row in connection.execute("SELECT * FROM points ORDER BY run, step"):
                    points.setdefault(row[0], []).append(Steps(*row))
                told = list(connection.execute("SELECT run, told FROM runs WHERE told IS NOT NULL"))
                estimates = list(connection.execute("SELECT * FROM estimates ORDER BY run, step"))
                warnings = list(connection.execute("SELECT * FROM warnings ORDER BY run, step"))
        except sqlite3.Error:
            return None
        return cls(
            LiveState(*states[0]) if states else None,
            {run: tuple(found) for run, found in points.items()},
            dict(told),
            tuple(replace(LiveEstimate(*row), inside=bool(row[-1])) for row in estimates),
            tuple(LiveWarning(*row) for row in warnings),
        )


class LiveRecord:
    """The one writer of a work folder's file. A thread of its own writes, so that nobody waits for a disk."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path = path
        self._say = say
        self._has_complained = False
        self._waiting: deque[tuple[str, tuple[Any, ...]]] = deque(maxlen=MOST_WAITING)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._stage = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, say: Callable[[str], None]) -> Iterator[LiveRecord]:
        """Keep the record of a work folder; write down how it ended."""
        live = cls(folder / LIVE_FILE, say)
        live._thread.start()
        ended = "interrupted"
        try:
            yield live
            ended = "done"
        except Exception as error:
            ended = " ".join(str(error).split()) or type(error).__name__
            raise
        finally:
            live._put(("UPDATE state SET ended = ?, beat = ?", (ended, time.time())))
            live._closing.set()
            live._thread.join()

    def stage(self, stage: str, fraction: float = 0.0, words: str = "", planned: float | None = None) -> None:
        """Tell where the undertaking is."""
        now = time.time()
        if stage != self._stage:
            self._stage = stage
            row = (stage, now, fraction, fraction, words, planned, now)
            self._put(("INSERT OR REPLACE INTO state VALUES (1, ?, ?, ?, ?, ?, ?, ?, NULL)", row))
        else:
            values = (fraction, words, planned, now)
            self._put(("UPDATE state SET fraction = ?, words = ?, planned = ?, beat = ?", values))

    def begin(self, runs: Iterable[str], making: str) -> None:
        """Forget what runs of these names told when they were made for something else than `making`."""
        for run in runs:
            other = "run = ? AND NOT EXISTS (SELECT 1 FROM runs WHERE run = ? AND making = ?)"
            self._put(*((f"DELETE FROM {table} WHERE {other}", (run, run, making)) for table in BY_STEP))
            self._put(("INSERT OR REPLACE INTO runs VALUES (?, ?, NULL)", (run, making)))

    def steps(self, steps: Steps) -> None:
        """Keep what a run told, in place of what it told of these and later steps before."""
        last = steps.step if steps.loss is None else steps.start
        self._put(*((f"DELETE FROM {table} WHERE run = ? AND step > ?", (steps.run, last)) for table in BY_STEP))
        if steps.loss is not None:
            self._put(
                ("INSERT INTO points VALUES (?, ?, ?, ?, ?, ?)", tuple(asdict(steps).values())),
                ("UPDATE runs SET told = ? WHERE run = ?", (time.time(), steps.run)),
            )

    def estimate(self, estimate: LiveEstimate) -> None:
        """Keep an estimate."""
        values = tuple(asdict(estimate).values())
        self._put(("INSERT OR REPLACE INTO estimates VALUES (?, ?, ?, ?, ?, ?, ?)", values))

    def warn(self, warning: LiveWarning) -> None:
        """Keep a warning."""
        self._put(("INSERT OR REPLACE INTO warnings VALUES (?, ?, ?)", tuple(asdict(warning).values())))

    def _put(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        with self._lock:
            self._waiting.extend(statements)

    def _run(self) -> None:
        told = 0.0
        while not self._closing.wait(TICK):
            if self._waiting or time.monotonic() - told > BEAT_SECONDS:
                told = time.monotonic()
                self._write()
        self._write()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                # A plain file again: readers of a WAL leave files beside it.
                self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.close()

    def _write(self) -> None:
        """Write all that waits, and the time; where that fails, say so once and leave it waiting."""
        with self._lock:
            statements = list(self._waiting)
        try:
            connection = self._open()
            with connection:
                for statement, values in statements:
                    connection.execute(statement, values)
                connection.execute("UPDATE state SET beat = ? WHERE ended IS NULL", (time.time(),))
        except (sqlite3.Error, OSError) as error:
            self._complain(error)
            return
        with self._lock:
            for _ in range(min(len(statements), len(self._waiting))):
                self._waiting.popleft()

    def _open(self) -> sqlite3.Connection:
        """Return the connection, opened at the first call; a file of another format is made anew."""
        if self._connection is None:
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                # Without a sync at each writing: a power cut may take the last seconds of a view for people.
                connection.execute("PRAGMA synchronous = NORMAL")
                if connection.execute("PRAGMA user_version").fetchone()[0] not in (0, FORMAT):
                    for table in ("runs", "state", *BY_STEP):
                        connection.execute(f"DROP TABLE IF EXISTS {table}")
                connection.executescript(f"{TABLES} PRAGMA user_version = {FORMAT};")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _complain(self, error: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            self._say(f"{self.path} can't be written ({error}): training goes on; `chidu watch` may show less")
