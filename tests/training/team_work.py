"""What the processes of test_team.py are given to do: a worker finds it by this module's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chidu.runs import RunConfig
from chidu.tokens import TokenFile
from chidu.training.loop import train
from chidu.training.team import join


def cut_short(item: tuple[Path, RunConfig, Path, int, int], _: Any) -> None:
    """Train to a step and leave a checkpoint of it, as a run does that is killed thereafter."""
    folder, config, tokens, rank, step = item
    trainer = train(config, TokenFile.open(tokens), folder, stop=step, team=join(rank, 2))
    if rank == 0:
        trainer.save(folder / "checkpoints.scratch")
