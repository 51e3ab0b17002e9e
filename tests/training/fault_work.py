"""What goes wrong in the workers of test_faults.py: a worker finds it by this module's name."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from chidu.errors import StoppedError
from chidu.parallel import Place, is_stop_asked
from chidu.runs import storage
from chidu.training import loop
from chidu.training.checkpoint import latest_checkpoint

Function = Callable[[Any, Any], Any]


class Faulty:
    """A place whose workers do their items with a fault of the module's: `fault(notes, function, item, emit)`."""

    def __init__(self, place: Place, fault: Callable[..., Any], notes: Path) -> None:
        self.place, self.fault, self.notes = place, fault, notes
        notes.mkdir(exist_ok=True)

    @property
    def cores(self) -> int:
        return self.place.cores

    def check(self, folder: Path) -> None:
        self.place.check(folder)

    def map(
        self,
        function: Function,
        items: Sequence[Any],
        on_event: Callable[[int, Any], None] | None = None,
        after: Sequence[int | None] | None = None,
        grace: float = 0.0,
    ) -> list[Any]:
        return self.place.map(partial(self.fault, self.notes, function), items, on_event, after, grace)


def save_at_every_step() -> None:
    loop.CHECKPOINT_SECONDS = -1.0


def note_begin(notes: Path, item: Any) -> None:
    """Write down where an item begins: 0, or the step of its checkpoint."""
    newest = latest_checkpoint(item.folder / "checkpoints.scratch")[0]
    with (notes / "begun").open("a") as file:
        file.write(f"{item.folder.name} {int(newest.name.removeprefix('step-')) if newest else 0}\n")


def notes_its_begin(notes: Path, function: Function, item: Any, emit: Any) -> Any:
    """Nothing goes wrong."""
    note_begin(notes, item)
    return function(item, emit)


def waits_to_be_stopped(notes: Path, function: Function, item: Any, emit: Any) -> Any:
    """Every worker waits, when it first has something to tell, until it is asked to stop, and writes its end down."""

    def tell(event: Any) -> None:
        emit(event)
        end = time.monotonic() + 60
        while not is_stop_asked():
            assert time.monotonic() < end, "nobody asks to stop"
            time.sleep(0.01)

    try:
        return function(item, tell)
    except StoppedError as error:
        (notes / f"ended-{os.getpid()}").write_text(str(error))
        raise


def worker_dies(notes: Path, function: Function, item: Any, emit: Any) -> Any:
    """The first worker that has something to tell is killed."""
    save_at_every_step()
    note_begin(notes, item)

    def tell(event: Any) -> None:
        emit(event)
        try:
            (notes / "killed").touch(exist_ok=False)
        except FileExistsError:
            return
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    return function(item, tell)


def waits(notes: Path, function: Function, item: Any, emit: Any) -> Any:
    """Every worker writes its number down when it first has something to tell, and waits until it may go on."""
    save_at_every_step()
    note_begin(notes, item)

    def tell(event: Any) -> None:
        emit(event)
        if not (notes / "go").exists():
            (notes / f"pid-{os.getpid()}").touch()
        while not (notes / "go").exists():
            time.sleep(0.05)

    return function(item, tell)


def waits_and_tells_its_end(notes: Path, function: Function, item: Any, emit: Any) -> Any:
    """As `waits`; and how a worker ended is written down, whoever still hears of it."""
    try:
        return waits(notes, function, item, emit)
    except BaseException as error:
        (notes / f"ended-{os.getpid()}").write_text(f"{type(error).__name__}: {error}")
        raise


def is_slow(notes: Path, function: Function, item: Any, emit: Any) -> Any:
    """The first trunk takes until all runs of the other one are there."""
    if item.folder.name == "w24-trunk.scratch":
        end = time.monotonic() + 100
        while not all((item.folder.parent / f"w16-{steps}" / "run.json").exists() for steps in (24, 48, 96)):
            assert time.monotonic() < end, "the slow node holds the others up"
            time.sleep(0.05)
    return function(item, emit)


def storage_hiccups(notes: Path, function: Function, item: Any, emit: Any) -> Any:
    """Every eleventh sync (a checkpoint takes five) and every fourth reading of a text fail, now so and now so."""
    storage.PAUSES = (0.01, 0.01, 0.01, 0.01)
    save_at_every_step()
    kinds = [errno.ESTALE, errno.EIO, errno.ENOSPC]
    with (
        failing(os, "fsync", lambda count: kinds[count % 33 // 11] if count % 11 == 0 else 0),
        failing(Path, "read_text", lambda count: errno.ESTALE if count % 4 == 0 else 0),
    ):
        return function(item, emit)


def storage_is_gone(notes: Path, function: Function, item: Any, emit: Any) -> Any:
    """No sync ever works."""
    storage.PAUSES = (0.01, 0.01)
    with failing(os, "fsync", lambda count: errno.EIO):
        return function(item, emit)


class failing:  # noqa: N801
    """Let calls of `owner.name` fail whose count `which` gives an error number for."""

    def __init__(self, owner: Any, name: str, which: Callable[[int], int]) -> None:
        self.owner, self.name, self.which = owner, name, which
        self.real, self.count = getattr(owner, name), 0

    def __enter__(self) -> None:
        def call(*given: Any, **named: Any) -> Any:
            self.count += 1
            number = self.which(self.count)
            if number:
                raise OSError(number, os.strerror(number))
            return self.real(*given, **named)

        setattr(self.owner, self.name, call)

    def __exit__(self, *_: object) -> None:
        setattr(self.owner, self.name, self.real)
