"""One run on pairs of sentences: its size and length for the time there is, its training, its held-out loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import SettingError
from chidu.parallel import Emit, cores, map_processes
from chidu.runs.config import RunConfig
from chidu.runs.lease import Lease, forget_leases, hold
from chidu.runs.live import RunEvent
from chidu.runs.recipe import Recipe
from chidu.runs.record import read_json, write_json
from chidu.runs.run import Run
from chidu.training.rungs import STOP_SECONDS, Rung, StepCount
from chidu.training.target import WEIGHTS
from chidu.training.team import join, shared_bytes

if TYPE_CHECKING:
    from chidu.tokens import PairFile
    from chidu.training.loop import Trainer

__all__ = ["PairDesign", "design_pairs", "pair_recipe", "train_pairs"]

WIDTHS = (32, 64, 96, 128, 192, 256, 320, 384, 512)
TOKENS_A_PARAM = 4.0
"""Tokens read for each param that multiplies, at the least: of the widths that can be so long, the widest is taken."""
WARMUP_PART = 0.05


@dataclass(frozen=True)
class PairDesign:
    """What is trained, and by how many processes of how many threads: with others it would end in other bits."""

    config: RunConfig
    processes: int
    threads: int
    seconds: float
    """That it should take."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form that `from_dict` reads."""
        return {**vars(self), "config": self.config.as_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PairDesign:
        """Read what `as_dict` wrote."""
        return cls(**{**values, "config": RunConfig.from_dict(values["config"])})


def pair_recipe(vocabulary: int, context_length: int) -> Recipe:
    """Return the recipe of translation models: the built-in one, with a layer more and twice the batch."""
    from chidu.training.probe import best_precision

    return Recipe(
        vocabulary=vocabulary,
        context_length=context_length,
        batch_tokens=max(2048, context_length),
        least_layers=4,
        precision=best_precision(),
    )


def design_pairs(recipe: Recipe, seconds: float, params: int | None, seed: int) -> PairDesign:
    """Choose the width for so many seconds, or the one whose params come nearest to `params` (None: not named).

    A few steps are timed for it. Raises SettingError where the time is too short for a hundred steps.
    """
    configs = [recipe.config(width, 100, seed) for width in WIDTHS]
    wanted = configs if params is None else [min(configs, key=lambda each: abs(each.shape.params - params))]
    best: PairDesign | None = None
    for config in wanted:
        design = _timed(config, seconds)
        if best is None or design.config.tokens >= TOKENS_A_PARAM * design.config.shape.params_matmul:
            best = design
        else:
            break
    assert best is not None
    if best.config.steps < 100:
        raise SettingError(
            f"in {seconds / 60:g} min this machine makes {best.config.steps} steps of {best.config.shape.params:,} "
            "params: give it more minutes, or fewer params"
        )
    return best


def _timed(config: RunConfig, seconds: float) -> PairDesign:
    from chidu.training.probe import measure_together

    processes, threads, step = measure_together(config, cores())
    steps = int(seconds / step)
    warmup = min(config.warmup_steps, round(WARMUP_PART * steps))
    return PairDesign(replace(config, steps=max(1, steps), warmup_steps=warmup), processes, threads, steps * step)


@dataclass(frozen=True)
class Work:
    """What a worker is told."""

    folder: Path
    rung: Rung
    pairs: Path
    """Its folder holds `train.npy` and `held_out.npy`."""
    bytes_per_token: float
    unique_tokens: int
    design: PairDesign
    rank: int
    lease: Lease


def train_pairs(
    design: PairDesign,
    name: str,
    pairs: Path,
    packed: dict[str, Any],
    folder: Path,
    on_event: Callable[[RunEvent], None],
) -> Run:
    """Train one run on packed pairs; leave `run.json` and the final weights in `folder`.

    `packed` are the summaries of `pack_pairs`, by part. Goes on from the newest checkpoint of an earlier call.
    """
    from chidu.training.underway import forget

    path = folder / "run.json"
    if not path.exists():
        rung = Rung(name, name, design.config)
        held_out = packed["held_out"]
        with hold(folder) as lease:
            items = [
                Work(
                    folder, rung, pairs, held_out["bytes"] / held_out["learned"], packed["train"]["tokens"],
                    design, rank, lease,
                )
                for rank in range(design.processes)
            ]  # fmt: skip
            memory = shared_bytes(design.config.shape.params, design.processes)
            map_processes(
                _train, items, len(items), lambda _, event: on_event(event), shared_bytes=memory, grace=STOP_SECONDS
            )
    forget(folder)
    forget_leases(folder)
    return Run.from_dict(read_json(path))


def _train(work: Work, emit: Emit) -> None:
    import torch

    from chidu.tokens import PairFile
    from chidu.training.loop import train

    torch.set_num_threads(work.design.threads)
    team = join(work.rank, work.design.processes)
    count = StepCount(emit if work.rank == 0 else lambda _: None, work.rung.name, work.rung.config)
    trainer = train(
        work.rung.config, PairFile(work.pairs / "train.npy"), work.folder,
        progress=count, tell=count.warn, team=team, may_write=work.lease.check,
    )  # fmt: skip
    if work.rank > 0:
        return
    count.flush()
    run = _measured(work, trainer, PairFile(work.pairs / "held_out.npy"))
    work.lease.check()
    trainer.save_weights(work.folder / WEIGHTS)
    write_json(work.folder / "run.json", run.as_dict())


def _measured(work: Work, trainer: Trainer, held_out: PairFile) -> Run:
    from chidu.training.held_out import learned_loss

    config = work.rung.config
    loss, error = learned_loss(trainer.model, held_out.all())
    return Run(
        name=work.rung.name,
        group=work.rung.group,
        config=config,
        loss=loss,
        loss_standard_error=error,
        bytes_per_token=work.bytes_per_token,
        unique_tokens=work.unique_tokens,
        seconds=trainer.seconds,
        flops_spent=float(config.steps + trainer.course.steps_lost(0))
        * config.batch_tokens
        * config.shape.flops_per_token(),
        curve=tuple(trainer.curve),
        gradient_norms=tuple(trainer.curve.norms),
        passed_over=tuple(trainer.steadiness.passed_over),
        rollbacks=trainer.course.rollbacks,
    )
