"""Start a command of ours in several processes of this machine, as torchrun would, and say plainly how it ended."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chidu.errors import WorkerError
from chidu.parallel import worker_environment

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

__all__ = ["launch"]

STOPPED = {130: 130, 143: 143, -2: 130, -15: 143}
"""Exit codes of a process that was interrupted → the command's."""


def launch(words: Sequence[str], processes: int) -> int:
    """Run `python -m chidu` with these words in so many processes; return the command's exit code.

    What the processes had to say they have said. Raises WorkerError where one was killed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"chidu-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    try:
        with worker_environment():
            elastic_launch(config, sys.executable)("-m", "chidu", *words)
    except SignalException as signalled:
        return 128 + int(signalled.sigval)
    except ChildFailedError as failed:
        return _exit_code(failed.failures, processes)
    return 0


def _exit_code(failures: dict[int, ProcessFailure], processes: int) -> int:
    """Return the exit code that the processes' own codes come to."""
    codes = {rank: failure.exitcode for rank, failure in failures.items()}
    # First who was killed: the others were asked to stop then, and did.
    for rank, code in codes.items():
        if code < 0 and code not in STOPPED:
            raise WorkerError(
                f"process {rank} of {processes} was killed (signal {-code}; out of memory, perhaps): "
                "run the same command again to go on from the last checkpoint"
            )
    return next((STOPPED[code] for code in codes.values() if code in STOPPED), 1)
