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

from chidu.errors import StoppedError, TrainingError
from chidu.model.gradient import GradientPass
from chidu.model.transformer import Transformer
from chidu.parallel import is_stop_asked
from chidu.runs.config import RunConfig
from chidu.runs.record import changes, write_atomic
from chidu.training.checkpoint import latest_checkpoint, read_checkpoint, step_of, why_torn, write_checkpoint
from chidu.training.optimiser import Optimiser
from chidu.training.steadiness import BACK, MOST_ROLLBACKS, Course, Steadiness, Step
from chidu.training.team import Team
from chidu.training.weights import FlatWeights

__all__ = ["CHECKPOINT_SECONDS", "AstrayError", "Batches", "Trainer", "forget", "train", "trained_model"]

CHECKPOINT_SECONDS = 15.0
"""A kill loses at most about this much work. The clock decides when to save, never how long to train."""

CURVE_POINTS = 100
"""Points of the training curve kept for a run."""

Progress = Callable[[int, float], None]
"""Told the number of steps done, and the training loss of the last one."""

Tell = Callable[[int, str], None]
"""Told a step and one line of what happened there that people should know."""


class AstrayError(TrainingError):
    """A run's losses say that it will not come right by itself."""


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
        self.curve: list[tuple[int, float]] = []
        self.steadiness = Steadiness()
        self.course = Course()
        self.is_stopping = False
        """True once a process of the team was asked to stop; all of them see it at the same step."""
        self._losses: list[float] = []
        self._each = self.team.zeros((self.team.size,), torch.float32, self.device)
        self._stops = self.team.zeros((self.team.size,), torch.float32, self.device)

    def advance(self, batches: Batches) -> float:
        """Take one step; return its training loss, which may be no number. Raises AstrayError.

        A batch that `Steadiness` passes over, or whose gradient is not finite, moves no weight.
        """
        config = self.config
        batch = batches.batch(self.course.place(self.step), config.sequences, config.shape.context_length, config.seed)
        tokens = torch.from_numpy(batch[self.team.rank :: self.team.size]).to(self.device)
        self._each[self.team.rank] = self._differentiate(tokens[:, :-1], tokens[:, 1:])
        self._stops[self.team.rank] = is_stop_asked()
        self.weights.collect()
        value = self._each.mean().item()
        self.is_stopping = bool(self._stops.any())
        found = self.steadiness.judge(self.step, value)
        if found is Step.TAKE and not self.optimiser.step(self.step):
            found = self.steadiness.pass_over(self.step)
        if found is Step.ASTRAY:
            raise AstrayError(
                f"the loss is {value:.4g} at step {self.step} (width {config.shape.width}, rate "
                f"{config.learning_rate:.2g}); batches passed over so far: {len(self.steadiness.passed_over)}"
            )
        if found is Step.PASS_OVER:
            self.team.wait()
        self.step += 1
        self._note(value)
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

    def _note(self, loss: float) -> None:
        """Keep the mean training loss of every stretch of steps."""
        if math.isfinite(loss):
            self._losses.append(loss)
        is_point = self.step % max(1, self.config.steps // CURVE_POINTS) == 0 or self.step == self.config.steps
        if is_point and self._losses:
            self.curve.append((self.step, sum(self._losses) / len(self._losses)))
            self._losses = []

    def save(self, folder: Path, keep: int = 2, may_write: Callable[[], None] = lambda: None) -> None:
        """Write a checkpoint of this step, see `write_checkpoint`."""
        tensors = {**self.weights.tensors(), **self.optimiser.tensors()}
        state = {
            "config": self.config.as_dict(),
            "curve": self.curve,
            "losses": self._losses,
            "seconds": self.seconds,
            "steadiness": self.steadiness.state(),
            "course": self.course.state(),
        }
        write_checkpoint(folder, self.step, tensors, state, keep, may_write)

    def save_weights(self, path: Path) -> None:
        """Write the final weights alone, float32, flat by group, atomically."""
        from safetensors.torch import save

        write_atomic(path, save({name: tensor.contiguous() for name, tensor in self.weights.tensors().items()}))

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint: of this run, or of the trunk it shares.

        Raises TrainingError where it is another run's.
        """
        tensors, state = read_checkpoint(checkpoint)
        theirs = RunConfig.from_dict(state["config"]).with_steps(self.config.steps)
        if theirs != self.config:
            what = "; ".join(changes(theirs.as_dict(), self.config.as_dict()))
            raise TrainingError(
                f"{checkpoint} is of another run ({what}): name another folder, or delete {checkpoint.parent}"
            )
        self.step = int(state["step"])
        self.weights.load(tensors)
        self.optimiser.load(tensors, self.step)
        self.curve = [(int(step), float(loss)) for step, loss in state["curve"]]
        self._losses = [float(loss) for loss in state["losses"]]
        self.seconds = float(state["seconds"])
        # Checkpoints of before losses were judged hold neither: their runs go on as if they had been steady.
        self.steadiness.load(state.get("steadiness", Steadiness().state()))
        self.course = Course.of(state.get("course", Course().state()))

    def restart(self) -> None:
        """Go back to step 0."""
        model = Transformer(self.config.shape)
        model.initialise(self.config.seed)
        self.weights.load(FlatWeights(model.to(self.device), torch.float32).tensors())
        self.optimiser.load({name: torch.zeros_like(each) for name, each in self.optimiser.tensors().items()}, 0)
        self.step, self.curve, self._losses = 0, [], []
        self.steadiness, self.course = Steadiness(), Course()


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

    A first call goes on from the checkpoint `start`, where given. At each step of `marks` a checkpoint is kept as
    `folder/marks.scratch/step-…` for runs that branch off. A run astray is taken back a stretch, and goes on with other
    batches. Every process of a `team` calls this alike; the first one saves. `may_write` raises where this worker no
    longer holds the folder. Raises TrainingError where the run diverges for good, and StoppedError, all being saved,
    where this process was asked to stop.
    """
    stop = config.steps if stop is None else stop
    trainer = Trainer(config, team=team)
    is_first = trainer.team.rank == 0
    own = folder / "checkpoints.scratch"
    first = _begin(trainer, own, start, tell)
    saved = clock = time.monotonic()
    while trainer.step < stop:
        before = len(trainer.steadiness.passed_over)
        try:
            loss = trainer.advance(batches)
        except AstrayError as error:
            _go_back(trainer, batches, own, start, first, error, tell)
            continue
        trainer.seconds += time.monotonic() - clock
        clock = time.monotonic()
        progress(trainer.step, loss)
        if len(trainer.steadiness.passed_over) > before:
            tell(trainer.step, f"step {trainer.step - 1} was passed over: its loss or gradient is off ({loss:.4g})")
        # The others wait at their next step's end until the first one, having saved, gets there.
        if is_first and trainer.step in marks:
            trainer.save(folder / "marks.scratch", len(marks), may_write)
        is_due = trainer.is_stopping or time.monotonic() - saved > CHECKPOINT_SECONDS
        if is_first and is_due and trainer.step < stop:
            trainer.save(own, may_write=may_write)
            saved = time.monotonic()
        if trainer.is_stopping and trainer.step < stop:
            raise StoppedError(f"stopped at step {trainer.step} of {stop}, which is saved: run the same command again")
    return trainer


def _begin(trainer: Trainer, own: Path, start: Path | None, tell: Tell) -> int:
    """Bring a trainer to where its run goes on; return the step that the run begins at."""
    newest, passed_over = latest_checkpoint(own)
    for why in passed_over:
        tell(trainer.step, f"the checkpoint {own.parent.name}/{why}: going on from an older one")
    if newest is not None:
        trainer.load(newest)
    elif start is not None:
        _branch_off(trainer, start)
        trainer.seconds = 0.0
    return 0 if start is None else step_of(start)


def _branch_off(trainer: Trainer, start: Path) -> None:
    if why := why_torn(start):
        raise TrainingError(f"{start} can't be branched off from ({why}): delete {start.parent.parent} to redo it")
    trainer.load(start)


def _go_back(
    trainer: Trainer, batches: Batches, own: Path, start: Path | None, first: int, error: AstrayError, tell: Tell
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
    goal, seconds = max(first, astray - BACK), trainer.seconds
    tell(goal, f"the run went astray: {error}; taken back to step {goal}, it goes on with other batches")
    before = latest_checkpoint(own, goal)[0]
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


def forget(folder: Path) -> None:
    """Remove the checkpoints of a run that is finished."""
    shutil.rmtree(folder / "checkpoints.scratch", ignore_errors=True)
