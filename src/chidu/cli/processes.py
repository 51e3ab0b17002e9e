"""`--on`: one command in one process, in several of this machine, or in those that torchrun started."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from chidu.errors import ChiduError, SettingError, WorkerError

if TYPE_CHECKING:
    from chidu.training.ranks import Ranks

__all__ = ["in_processes"]


def in_processes(on: str, work: Callable[[Ranks | None], None]) -> None:
    """Do `work`: here; or in N processes started here, where `on` is ``torchrun:N``; or as one of torchrun's.

    Of several processes the first does the work, and the others wait for what it hands out. Raises SettingError where
    `on` starts processes beside torchrun's, and WorkerError where a process was killed.
    """
    processes = count_of_processes(on)
    if launched_by_torchrun():
        if processes:
            raise SettingError("--on starts processes, and torchrun has started this one: leave one of them out")
        work_among(work)
    elif processes:
        from chidu.training.launch import launch

        raise SystemExit(launch(words_without_on(sys.argv[1:]), processes))
    else:
        work(None)


def count_of_processes(on: str) -> int:
    """Return the N of ``torchrun:N``, or 0 for any other place."""
    match = re.fullmatch(r"torchrun:([1-9]\d{0,3})", on)
    if match is None and on.startswith("torchrun"):
        raise SettingError(f"--on is {on!r}; write torchrun:2 for two processes of this machine")
    return int(match[1]) if match else 0


def launched_by_torchrun() -> bool:
    """True in a process that torchrun started; needs no torch."""
    from chidu.training.ranks import launched

    return launched()


def words_without_on(words: list[str]) -> list[str]:
    """Return a command's words without the flag that started the processes."""
    found, skip = [], False
    for word in words:
        if not skip and word != "--on" and not word.startswith("--on="):
            found.append(word)
        skip = word == "--on"
    return found


def work_among(work: Callable[[Ranks | None], None]) -> None:
    """Do the work as the first of torchrun's processes, or help as another."""
    from chidu.training.ranks import Ranks

    ranks = Ranks.of_torchrun()
    if ranks.rank == 0:
        try:
            work(ranks)
        finally:
            ranks.send_home()
        return
    from chidu.training.sharded import follow

    # The first process speaks for all: of a signal, and of what ends the run in every process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    try:
        follow(ranks)
    except WorkerError:
        raise
    except (ChiduError, OSError):
        raise SystemExit(1) from None
