"""The training loop: from a config and tokens to weights, one step after another, resumable at any of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from chidu.errors import StoppedError, TrainingError
from chidu.model.gradient import GradientPass
from chidu.model.transformer import Transformer
from chidu.runs.config import RunConfig
from chidu.training.checkpoint import latest_checkpoint, read_checkpoint, step_of, why_torn, write_checkpoint
from chidu.training.optimiser import Optimiser
from chidu.training.steadiness import BACK, MOST_ROLLBACKS
from chidu.training.team import Team
from chidu.training.underway import PLAIN, AstrayError, Batches, Heard, Underway
from chidu.training.weights import FlatWeights, write_weights

__all__ = ["CHECKPOINT_SECONDS", "Trainer", "as_read", "go_on", "take_steps", "train", "trained_model"]

CHECKPOINT_SECONDS = 15.0
"""A kill loses at most about this much work. The clock decides when to save, never how long to train."""

Progress = Callable[[int, float], None]
"""Told the number of steps done, and the training loss of the last one."""

Tell = Callable[[int, str], None]
"""Told a step and one line of what happened there that people should know."""


class Trainer(Underway):
    """A model on its way in this process, or in those of a team, which share memory: weights, optimiser, and the rest.

    Raises TrainingError where the batch can't be shared out evenly.
    """

    checkpoints = PLAIN

    def __init__(self, config: RunConfig, device: torch.device | None = None, team: Team | None = None) -> None:
        super().__init__(config)
        self.team = team or Team()
        if config.sequences % self.team.size:
            raise TrainingError(f"{config.sequences} sequences a step can't be split over {self.team.size} processes")
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = Transformer(config.shape)
        self.model.initialise(config.seed)
        self.model.to(self.device)
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        self.weights = FlatWeights(self.model, dtype, self.team)
        self._pass = GradientPass(self.model)
        self.optimiser = Optimiser(self.weights, config)
        self._each = self.team.zeros((self.team.size,), torch.float32, self.device)
        self._stops = self.team.zeros((self.team.size,), torch.float32, self.device)

    def _differentiate(self, batch: NDArray[np.int64], stops: bool, is_due: bool) -> Heard:
        tokens = torch.from_numpy(batch[self.team.rank :: self.team.size]).to(self.device)
        self._each[self.team.rank] = self._own_gradient(tokens[:, :-1], tokens[:, 1:])
        self._stops[self.team.rank] = stops
        self.weights.collect()
        # The first process saves for all: the others need not know when.
        return Heard(self._each.mean().item(), bool(self._stops.any()), is_due)

    def _own_gradient(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Leave this process's gradient where the optimiser finds it; return the loss."""
        # Where some are only read, the sequence is of texts that have nothing to do with each other.
        are_apart = bool((targets < 0).any())
        tokens = as_read(tokens)
        if self.device.type == "cpu":
            return self._pass(tokens, targets, are_apart)
        # A GPU has kernels of its own for what is written out for processors.
        self.weights.clear()
        loss = self.model.loss(tokens, targets, are_apart)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _move(self) -> bool:
        moved = self.optimiser.step(self.step)
        self.norm = self.optimiser.norm
        return moved

    def _pass_over(self) -> None:
        self.team.wait()

    def restart(self) -> None:
        """Go back to step 0."""
        model = Transformer(self.config.shape)
        model.initialise(self.config.seed)
        self.weights.load(FlatWeights(model.to(self.device), torch.float32).tensors())
        self.optimiser.load({name: torch.zeros_like(each) for name, each in self.optimiser.tensors().items()}, 0)
        self._forget()

    def latest(self, folder: Path, step: int | None = None) -> tuple[Path | None, list[str]]:
        """Return the newest checkpoint that verifies, of that step at the latest; and what was passed over."""
        return latest_checkpoint(folder, step)

    def save(self, folder: Path, keep: int = 2, may_write: Callable[[], None] = lambda: None) -> None:
        """Write a checkpoint of this step; of a team, the first process does."""
        # The others wait at their next step's end until the first one, having saved, gets there.
        if self.team.rank == 0:
            tensors = {**self.weights.tensors(), **self.optimiser.tensors()}
            write_checkpoint(folder, self.step, tensors, self._state(), keep, may_write)

    def save_weights(self, path: Path) -> None:
        """Write the final weights alone, float32, flat by group, atomically."""
        write_weights(path, self.weights.tensors())

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint: of this run, or of the trunk it shares.

        Raises TrainingError where it is another run's.
        """
        tensors, state = read_checkpoint(checkpoint)
        self._check(state, checkpoint)
        self._take(state)
        self.weights.load(tensors)
        self.optimiser.load(tensors, self.step)


def as_read(tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens as the model reads them: one that is read but not learned stands in a batch as ~token."""
    return torch.where(tokens < 0, ~tokens, tokens)


def train(
    config: RunConfig,
    batches: Batches,
    folder: Path,
    *,
    stop: int | None = None,
    start: Path | None = None,
    marks: tuple[int, ...] = (),
    progress: Progress = lambda _step, _loss: None,
    tell: Tell = lambda _step, _line: None,
    team: Team | None = None,
    may_write: Callable[[], None] = lambda: None,
) -> Trainer:
    """Train until step `stop` (the config's last by default), going on from what `folder` holds.

    A first call goes on from the checkpoint `start`, where given. The rest is as `take_steps` says. Every process of a
    `team` calls this alike.
    """
    trainer = Trainer(config, team=team)
    go_on(trainer, folder, start, tell)
    take_steps(
        trainer, batches, folder,
        stop=stop, start=start, marks=marks, progress=progress, tell=tell, may_write=may_write,
    )  # fmt: skip
    return trainer


def go_on(trainer: Underway, folder: Path, start: Path | None, tell: Tell) -> None:
    """Bring a trainer to where its run goes on: to its newest checkpoint, or to `start`, where there is none."""
    newest, passed_over = trainer.latest(folder / trainer.checkpoints)
    for why in passed_over:
        tell(trainer.step, f"the checkpoint {folder.name}/{why}: going on from an older one")
    if newest is not None:
        trainer.load(newest)
    elif start is not None:
        _branch_off(trainer, start)
        trainer.seconds = 0.0


def take_steps(
    trainer: Underway,
    batches: Batches,
    folder: Path,
    *,
    stop: int | None = None,
    start: Path | None = None,
    marks: tuple[int, ...] = (),
    progress: Progress = lambda _step, _loss: None,
    tell: Tell = lambda _step, _line: None,
    may_write: Callable[[], None] = lambda: None,
) -> None:
    """Take the steps that are left until step `stop`, leaving a checkpoint now and then.

    At each step of `marks` a checkpoint is kept as `folder/marks.scratch/step-…` for runs that branch off. A run astray
    is taken back a stretch, to its `start` at most, and goes on with other batches. `may_write` raises where this
    worker no longer holds the folder. Raises TrainingError where the run diverges for good, and StoppedError, all being
    saved, where a process of this run was asked to stop.
    """
    stop = trainer.config.steps if stop is None else stop
    own = folder / trainer.checkpoints
    saved = clock = time.monotonic()
    while trainer.step < stop:
        before = len(trainer.steadiness.passed_over)
        try:
            loss = trainer.advance(batches, is_due=time.monotonic() - saved > CHECKPOINT_SECONDS)
        except AstrayError as error:
            _go_back(trainer, batches, own, start, error, tell)
            continue
        trainer.seconds += time.monotonic() - clock
        clock = time.monotonic()
        progress(trainer.step, loss)
        if len(trainer.steadiness.passed_over) > before:
            tell(trainer.step, f"step {trainer.step - 1} was passed over: its loss or gradient is off ({loss:.4g})")
        if trainer.step in marks:
            trainer.save(folder / "marks.scratch", len(marks), may_write)
        if (trainer.heard.must_save or trainer.heard.must_stop) and trainer.step < stop:
            trainer.save(own, may_write=may_write)
            saved = time.monotonic()
        if trainer.heard.must_stop and trainer.step < stop:
            raise StoppedError(f"stopped at step {trainer.step} of {stop}, which is saved: run the same command again")


def _branch_off(trainer: Underway, start: Path) -> None:
    if why := why_torn(start):
        raise TrainingError(f"{start} can't be branched off from ({why}): delete {start.parent.parent} to redo it")
    trainer.load(start)


def _go_back(
    trainer: Underway, batches: Batches, own: Path, start: Path | None, error: AstrayError, tell: Tell
) -> None:
    """Take a run that is astray back to BACK steps before, by making the steps up to there again.

    Checkpoints lie where the clock put them, and the run must not depend on that; so the way from the last one before
    is gone again, to the same bits. Raises the error where the run was taken back often enough.
    """
    course, astray = trainer.course, trainer.step
    if len(course.rollbacks) == MOST_ROLLBACKS:
        raise TrainingError(
            f"{error}; taken back {MOST_ROLLBACKS} times already: the run diverged; lower its rate"
        ) from error
    first = 0 if start is None else step_of(start)
    goal, seconds = max(first, astray - BACK), trainer.seconds
    tell(goal, f"the run went astray: {error}; taken back to step {goal}, it goes on with other batches")
    before, _ = trainer.latest(own, goal)
    if before is not None:
        trainer.load(before)
    elif start is not None:
        _branch_off(trainer, start)
    else:
        trainer.restart()
    trainer.course = course
    while trainer.step < goal:
        trainer.advance(batches)
    trainer.course, trainer.seconds = course.back(astray, goal), seconds


def trained_model(config: RunConfig, weights: Path) -> Transformer:
    """Return the model, in float32, whose final weights `save_weights` wrote.

    Raises TrainingError where they are another shape's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = Transformer(config.shape)
    flat = FlatWeights(model, torch.float32)
    try:
        flat.load(load_file(weights))
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"{weights} does not fit the run's shape ({error}): delete its folder to train again"
        ) from error
    return model.eval()
