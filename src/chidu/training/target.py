"""One run with every core of this machine at it, as a ladder's target needs: nothing else can train beside it.

It trains where the command runs, whatever `--on` says: its processes share memory, the design timed it on this machine,
and with another number of processes it would end in other bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chidu.parallel import Emit, map_processes
from chidu.runs.lease import Lease, forget_leases, hold
from chidu.runs.live import RunEvent
from chidu.runs.record import read_json, write_json
from chidu.runs.run import Run
from chidu.training.rungs import STOP_SECONDS, WEIGHTS, Rung, StepCount, Text, finished_run
from chidu.training.team import join, shared_bytes

__all__ = ["WEIGHTS", "train_target"]


@dataclass(frozen=True)
class Target:
    """What the worker is told."""

    folder: Path
    rung: Rung
    text: Text
    rank: int
    processes: int
    threads: int
    lease: Lease


def train_target(
    rung: Rung, text: Text, folder: Path, processes: int, threads: int, on_event: Callable[[RunEvent], None]
) -> Run:
    """Train one run in so many processes of so many threads; leave `run.json` and the final weights in `folder`.

    Goes on from the newest checkpoint of an earlier call. The same numbers of processes and threads give the same bits.
    """
    from chidu.training.underway import forget

    path = folder / "run.json"
    if not path.exists():
        with hold(folder) as lease:
            items = [Target(folder, rung, text, rank, processes, threads, lease) for rank in range(processes)]
            memory = shared_bytes(rung.config.shape.params, processes)
            map_processes(
                _train, items, processes, lambda _, event: on_event(event), shared_bytes=memory, grace=STOP_SECONDS
            )
    forget(folder)
    forget_leases(folder)
    return Run.from_dict(read_json(path))


def _train(target: Target, emit: Emit) -> None:
    import torch

    from chidu.tokens import TokenFile
    from chidu.training.loop import train

    torch.set_num_threads(target.threads)
    team = join(target.rank, target.processes)
    count = StepCount(emit if target.rank == 0 else lambda _: None, target.rung.name, target.rung.config)
    tokens, held_out = TokenFile.open(target.text.train), TokenFile.open(target.text.held_out)
    trainer = train(
        target.rung.config, tokens, target.folder,
        progress=count, tell=count.warn, team=team, may_write=target.lease.check,
    )  # fmt: skip
    if target.rank > 0:
        return
    count.flush()
    run = finished_run(target.rung, trainer, trainer.model, tokens, held_out, target.text, first=0)
    target.lease.check()
    trainer.save_weights(target.folder / WEIGHTS)
    write_json(target.folder / "run.json", run.as_dict())
