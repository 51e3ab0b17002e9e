"""One run with every core at it, as a ladder's target needs: nothing else can train beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chidu.parallel import Emit, map_processes
from chidu.runs.record import read_json, write_json
from chidu.runs.run import Run
from chidu.training.rungs import Rung, StepCount, Text, finished_run

__all__ = ["WEIGHTS", "train_target"]

WEIGHTS = "weights.safetensors"
"""Name of the file of final weights, float32, flat by group."""


@dataclass(frozen=True)
class Target:
    """What the worker is told."""

    folder: Path
    rung: Rung
    text: Text
    threads: int


def train_target(rung: Rung, text: Text, folder: Path, threads: int, on_steps: Callable[[int], None]) -> Run:
    """Train one run; leave `run.json` and the final weights in `folder`.

    Goes on from the newest checkpoint of an earlier call. The same number of threads gives the same bits.
    """
    path = folder / "run.json"
    if not path.exists():
        map_processes(_train, [Target(folder, rung, text, threads)], 1, lambda _, steps: on_steps(steps))
    shutil.rmtree(folder / "checkpoints.scratch", ignore_errors=True)
    return Run.from_dict(read_json(path))


def _train(target: Target, emit: Emit) -> None:
    import torch

    from chidu.tokens import TokenFile
    from chidu.training.loop import train

    torch.set_num_threads(target.threads)
    count = StepCount(emit)
    tokens, held_out = TokenFile.open(target.text.train), TokenFile.open(target.text.held_out)
    trainer = train(target.rung.config, tokens, target.folder, progress=count)
    count.flush()
    run = finished_run(target.rung, trainer, tokens, held_out, target.text, trainer.config.steps)
    trainer.save_weights(target.folder / WEIGHTS)
    write_json(target.folder / "run.json", run.as_dict())
