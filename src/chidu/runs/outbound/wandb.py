"""Weights & Biases: offline runs, which `wandb sync` uploads where their owner wants that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import wandb

from chidu.runs.outbound.outgoing import Outgoing

__all__ = ["write"]


def write(folder: Path, project: str, runs: Sequence[Outgoing]) -> str:
    """Write each run into `PROJECT/wandb/offline-run-…`, without anything of this machine; return PROJECT."""
    place = folder / project
    place.mkdir()
    settings = wandb.Settings(
        console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True
    )
    for number, each in enumerate(runs):
        run = wandb.init(
            # Readers take runs by second and id: so ids begin with the place in the ladder.
            id=f"{number:04d}-{each.name}",
            project=project,
            name=each.name,
            group=each.group,
            config=dict(each.config),
            dir=str(place),
            mode="offline",
            settings=settings,
        )
        for step, told in each.history.items():
            run.log(told, step=step)
        run.log(dict(each.final), step=each.steps)
        run.finish()
    return project
