"""The training loop: from a config and tokens to weights, one step after another, resumable at any of them."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from chidu.errors import TrainingError
from chidu.model.gradient import GradientPass
from chidu.model.transformer import Transformer
from chidu.runs.config import RunConfig
from chidu.training.checkpoint import latest_checkpoint, read_checkpoint, why_torn, write_checkpoint
from chidu.training.curve import Curve
from chidu.training.optimiser import Optimiser
from chidu.training.team import Team
from chidu.training.weights import FlatWeights, write_weights

__all__ = ["CHECKPOINT_SECONDS", "Batches", "Trainer", "forget", "train", "trained_model"]

CHECKPOINT_SECONDS = 15.0
"""A kill loses at most about this much work. The clock decides when to save, never how long to train."""

Progress = Callable[[int], None]
"""Told the number of steps done."""


class Batches(Protocol):
    """Where batches come from: `chidu.tokens.TokenFile`."""

    def batch(self, step: int, sequences: int, context_length: int, seed: int) -> NDArray[np.int64]:
        """Return tokens [sequences, context_length + 1] of this step, a function of the arguments alone."""
        ...


class Trainer:
    """A model on its way: weights, optimiser, the step and seconds reached, and the training curve so far."""

    def __init__(self, config: RunConfig, device: torch.device | None = None, team: Team | None = None) -> None:
        self.config = config
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
        self.step = 0
        self.seconds = 0.0
        self.curve = Curve(config.steps)
        self._each = self.team.zeros((self.team.size,), torch.float32, self.device)

    def advance(self, batches: Batches) -> float:
        """Take one step; return its training loss. Raises TrainingError where the loss is no number."""
        config = self.config
        batch = batches.batch(self.step, config.sequences, config.shape.context_length, config.seed)
        tokens = torch.from_numpy(batch[self.team.rank :: self.team.size]).to(self.device)
        self._each[self.team.rank] = self._differentiate(tokens[:, :-1], tokens[:, 1:])
        self.weights.collect()
        value = self._each.mean().item()
        refuse_divergence(config, self.step, value)
        self.optimiser.step(self.step)
        self.step += 1
        self.curve.note(self.step, value)
        return value

    def _differentiate(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Leave this process's gradient where the optimiser finds it; return the loss."""
        if self.device.type == "cpu":
            return self._pass(tokens, targets)
        # A GPU has kernels of its own for what is written out for processors.
        self.weights.clear()
        loss = self.model.loss(tokens, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def save(self, folder: Path, keep: int = 2) -> None:
        """Write a checkpoint of this step."""
        tensors = {**self.weights.tensors(), **self.optimiser.tensors()}
        state = {"config": self.config.as_dict(), **self.curve.as_dict(), "seconds": self.seconds}
        write_checkpoint(folder, self.step, tensors, state, keep)

    def save_weights(self, path: Path) -> None:
        """Write the final weights alone, float32, flat by group, atomically."""
        write_weights(path, self.weights.tensors())

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint: of this run, or of the trunk it shares."""
        tensors, state = read_checkpoint(checkpoint)
        self.step = int(state["step"])
        self.weights.load(tensors)
        self.optimiser.load(tensors, self.step)
        self.curve.take(state)
        self.seconds = float(state["seconds"])


def train(
    config: RunConfig,
    batches: Batches,
    folder: Path,
    *,
    stop: int | None = None,
    start: Path | None = None,
    marks: tuple[int, ...] = (),
    progress: Progress = lambda _: None,
    team: Team | None = None,
) -> Trainer:
    """Train until step `stop` (the config's last by default), going on from what `folder` holds.

    A first call goes on from the checkpoint `start`, where given. At each step of `marks` a checkpoint is kept as
    `folder/marks.scratch/step-…` for runs that branch off. Every process of a `team`
    calls this alike; the first one saves. Raises TrainingError where the run diverges.
    """
    stop = config.steps if stop is None else stop
    trainer = Trainer(config, team=team)
    is_first = trainer.team.rank == 0
    own = folder / "checkpoints.scratch"
    newest = latest_checkpoint(own)[0]
    if newest is not None:
        trainer.load(newest)
    elif start is not None:
        if why := why_torn(start):
            raise TrainingError(f"{start} can't be branched off from ({why}): delete {start.parent.parent} to redo it")
        trainer.load(start)
        trainer.seconds = 0.0
    saved = clock = time.monotonic()
    while trainer.step < stop:
        trainer.advance(batches)
        trainer.seconds += time.monotonic() - clock
        clock = time.monotonic()
        progress(trainer.step)
        # The others wait at their next step's end until the first one, having saved, gets there.
        if is_first and trainer.step in marks:
            trainer.save(folder / "marks.scratch", keep=len(marks))
        if is_first and time.monotonic() - saved > CHECKPOINT_SECONDS and trainer.step < stop:
            trainer.save(own)
            saved = time.monotonic()
    return trainer


def refuse_divergence(config: RunConfig, step: int, loss: float) -> None:
    """Raise TrainingError where the loss of a step is no number."""
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss is {loss} at step {step} "
            f"(width {config.shape.width}, rate {config.learning_rate:.2g}): the run diverged; lower its rate"
        )


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


def forget(folder: Path) -> None:
    """Remove the checkpoints of a run that is finished."""
    shutil.rmtree(folder / "checkpoints.scratch", ignore_errors=True)
