"""A run under way: what every way of training keeps, judges and saves alike, whoever computes the gradient."""

from __future__ import annotations

import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from chidu.errors import TrainingError
from chidu.parallel import is_stop_asked
from chidu.runs.config import RunConfig
from chidu.runs.record import changes
from chidu.training.curve import Curve
from chidu.training.steadiness import Course, Steadiness, Step

__all__ = ["PLAIN", "SHARDED", "AstrayError", "Batches", "Heard", "Underway", "forget"]

PLAIN, SHARDED = "checkpoints.scratch", "sharded.scratch"
"""Folders of checkpoints: of a run in one process or one machine's team, and of one over many processes."""


def forget(folder: Path) -> None:
    """Remove the checkpoints of a run that is finished."""
    for name in (PLAIN, SHARDED):
        shutil.rmtree(folder / name, ignore_errors=True)


class AstrayError(TrainingError):
    """A run's losses say that it will not come right by itself."""


class Batches(Protocol):
    """Where batches come from: `chidu.tokens.TokenFile`."""

    def batch(self, step: int, sequences: int, context_length: int, seed: int) -> NDArray[np.int64]:
        """Return tokens [sequences, context_length + 1] of this step, a function of the arguments alone.

        A token that is read but not to be learned stands as ~token, below 0; texts of a batch that has such do not
        see each other.
        """
        ...


@dataclass(frozen=True)
class Heard:
    """What all processes of a run have told each other at a step: the same in each of them."""

    loss: float
    """Mean over the batch, nats per token."""
    must_stop: bool
    """True where any process was asked to stop."""
    must_save: bool
    """True where the time has come to save."""


class Underway(ABC):
    """A model on its way: the step and seconds reached, the curve so far, and what its losses say of it.

    Where the weights lie, how a gradient is made and how a checkpoint is kept its kinds say. Of a run over several
    processes each has one of these, and all take the same turns, since all judge by the same numbers.
    """

    checkpoints: ClassVar[str]
    """Name of the folder, in a run's, of its checkpoints."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.step = 0
        self.seconds = 0.0
        self.curve = Curve(config.steps)
        self.steadiness = Steadiness()
        self.course = Course()
        self.heard = Heard(float("nan"), False, False)
        """At the last step."""
        self.norm = math.nan
        """Of the gradient that `_move` was asked to move by last, before it was clipped."""

    def advance(self, batches: Batches, is_due: bool = False) -> float:
        """Take one step; return its training loss, which may be no number. Raises AstrayError.

        A batch that `Steadiness` passes over, or whose gradient is not finite, moves no weight. `is_due` in the first
        process says that the time has come to save.
        """
        config = self.config
        batch = batches.batch(self.course.place(self.step), config.sequences, config.shape.context_length, config.seed)
        self.heard, self.norm = self._differentiate(batch, is_stop_asked(), is_due), math.nan
        found = self.steadiness.judge(self.step, self.heard.loss)
        if found is Step.TAKE and not self._move():
            found = self.steadiness.pass_over(self.step)
        if found is Step.ASTRAY:
            raise AstrayError(
                f"the loss is {self.heard.loss:.4g} at step {self.step} (width {config.shape.width}, rate "
                f"{config.learning_rate:.2g}); batches passed over so far: {len(self.steadiness.passed_over)}"
            )
        if found is Step.PASS_OVER:
            self._pass_over()
        self.step += 1
        self.curve.note(self.step, self.heard.loss, self.norm)
        return self.heard.loss

    @abstractmethod
    def _differentiate(self, batch: NDArray[np.int64], stops: bool, is_due: bool) -> Heard:
        """Leave the gradient of all processes' mean loss on the batch [sequences, T + 1] for `_move`."""

    @abstractmethod
    def _move(self) -> bool:
        """Move the weights by that gradient; return False, in all processes, where it is not finite and none moved.

        Leaves the gradient's norm, before it is clipped, in `norm`.
        """

    @abstractmethod
    def _pass_over(self) -> None:
        """Leave that gradient unused."""

    @abstractmethod
    def restart(self) -> None:
        """Go back to step 0."""

    @abstractmethod
    def latest(self, folder: Path, step: int | None = None) -> tuple[Path | None, list[str]]:
        """Return the newest checkpoint in `folder` that can be trusted, and why newer ones were passed over.

        With `step`, only those of that step or of earlier ones are looked at.
        """

    @abstractmethod
    def save(self, folder: Path, keep: int = 2, may_write: Callable[[], None] = lambda: None) -> None:
        """Write a checkpoint of this step, and prune all but the newest `keep`. All processes call this alike.

        `may_write` raises where the folder is another worker's by now.
        """

    @abstractmethod
    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint: of this run, or of the trunk it shares. All processes call this alike.

        Raises TrainingError where it is another run's.
        """

    def _state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside tensors and step."""
        return {
            "config": self.config.as_dict(),
            **self.curve.as_dict(),
            "seconds": self.seconds,
            "steadiness": self.steadiness.state(),
            "course": self.course.state(),
        }

    def _check(self, state: Mapping[str, Any], checkpoint: Path) -> None:
        """Raise TrainingError where a checkpoint's state is another run's."""
        theirs = RunConfig.from_dict(state["config"]).with_steps(self.config.steps)
        if theirs != self.config:
            what = "; ".join(changes(theirs.as_dict(), self.config.as_dict()))
            raise TrainingError(
                f"{checkpoint} is of another run ({what}): name another folder, or delete {checkpoint.parent}"
            )

    def _take(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint keeps beside tensors."""
        self.step = int(state["step"])
        self.curve.take(state)
        self.seconds = float(state["seconds"])
        # Checkpoints of before losses were judged hold neither: their runs go on as if they had been steady.
        self.steadiness.load(state.get("steadiness", Steadiness().state()))
        self.course = Course.of(state.get("course", Course().state()))

    def _forget(self) -> None:
        """Let step, curve and judgement be those of a run that has not begun."""
        self.step, self.curve = 0, Curve(self.config.steps)
        self.steadiness, self.course = Steadiness(), Course()
