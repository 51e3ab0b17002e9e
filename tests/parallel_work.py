"""What the workers of test_parallel.py are given to do: a worker finds it by this module's name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from chidu.errors import MissingPackageError, StoppedError, TextError
from chidu.parallel import is_stop_asked


def square(item: int, emit: Any) -> int:
    emit(item)
    return item * item


def talk(item: int, emit: Any) -> int:
    """Say more than a pipe holds."""
    for _ in range(2000):
        emit("x" * 200)
    return item


def environment(name: str, _: Any) -> str | None:
    return os.environ.get(name)


def fail(item: str, _: Any) -> str:
    if item == "text":
        raise TextError("the text of item 'text' is bad")
    if item == "package":
        raise MissingPackageError("nowhere", "lab", "testing")
    if item == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def fail_beside(item: tuple[str, bool], _: Any) -> None:
    """Fail, once the other worker has left its number and sleeps."""
    folder, fails = Path(item[0]), item[1]
    if not fails:
        (folder / str(os.getpid())).touch()
        time.sleep(120)
    while not list(folder.iterdir()):
        time.sleep(0.01)
    raise TextError("one failed")


def note(item: tuple[str, str, str], _: Any) -> str:
    """Leave a file, after seeing that the file it needs is there."""
    folder, name, needs = item
    assert not needs or (Path(folder) / needs).exists(), f"{name} ran before {needs}"
    (Path(folder) / name).touch()
    return name


def wait_long(item: str, _: Any) -> None:
    Path(item, str(os.getpid())).touch()
    time.sleep(120)


def save_when_asked(item: tuple[str, float], _: Any) -> None:
    """Work until asked to stop, then take some seconds to leave a file."""
    folder, seconds = Path(item[0]), item[1]
    (folder / f"{os.getpid()}.begun").touch()
    while not is_stop_asked():
        time.sleep(0.01)
    time.sleep(seconds)
    (folder / f"{os.getpid()}.saved").touch()
    raise StoppedError("stopped")
