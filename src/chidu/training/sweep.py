"""Short runs beside each other, judged on text that they did not read: what `chidu tune` chooses by.

A choice is itself a kind of training. So these runs are judged on training text that they stop short of, and the
held-out text stays for what is forecast and scored.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import TextError, TrainingError
from chidu.parallel import Emit, map_processes
from chidu.runs.config import RunConfig
from chidu.runs.record import read_json, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from chidu.tokens import TokenFile

__all__ = ["Attempt", "Pruning", "sweep", "train_attempt", "unread"]

JUDGED_AT_ONCE = 16

Pruning = Callable[[int, float], bool]
"""Told the part of a run (1, 2, …) that is done and the loss there; true where the run shall end."""


@dataclass(frozen=True)
class Attempt:
    """One short run, and where its result is kept."""

    path: Path
    """The JSON file of its result."""
    config: RunConfig
    train: Path
    """The token file."""
    judged_tokens: int
    """Tokens of unread text that it is judged on."""

    @property
    def done(self) -> bool:
        """True where the result is there, and is of this config."""
        return self.path.exists() and read_json(self.path).get("config") == self.config.as_dict()


def sweep(attempts: Sequence[Attempt], workers: int, on_done: Callable[[], None] = lambda: None) -> list[float]:
    """Run every attempt, one process each; return their losses in order, nats per token.

    A run that diverged has the loss of a model that knows nothing, log of the vocabulary. Runs whose result is there
    are not repeated, and one that was cut goes on from its last checkpoint. `on_done` is told of each run as it ends or
    is found.
    """
    missing = [attempt for attempt in attempts if not attempt.done]
    for _ in range(len(attempts) - len(missing)):
        on_done()
    map_processes(_run, missing, workers, lambda _, __: on_done())
    return [float(read_json(attempt.path)["loss"]) for attempt in attempts]


def unread(tokens: TokenFile, config: RunConfig, judged_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Yield windows that a run of this config does not come to: the last of its own order of the text.

    Raises TextError where run and judgement together need more text than there is.
    """
    length, count = config.shape.context_length, JUDGED_AT_ONCE
    batches = max(1, judged_tokens // (length * count))
    windows = tokens.unique_sequences(length)
    needed = config.steps * config.sequences + (batches + 1) * count
    if windows < needed:
        raise TextError(
            f"{tokens.path}: {tokens.tokens:,} tokens; a run of {config.tokens:,} and the text it is judged on need "
            f"{needed * length + 1:,}: bring more text"
        )
    last = windows // count
    for batch in range(last - batches, last):
        yield tokens.batch(batch, count, length, config.seed)


def train_attempt(attempt: Attempt, parts: int = 1, pruned: Pruning = lambda _, __: False) -> float:
    """Train and judge one attempt in this process, writing its result; judged after each of `parts` for pruning.

    Goes on from the newest checkpoint of an earlier call.
    """
    config, course = attempt.config, Course(attempt)
    loss, finished, on_the_way = math.log(config.shape.vocabulary), True, list[float]()
    try:
        for part in range(1, parts + 1):
            loss = course.loss_at(round(config.steps * part / parts))
            if part == parts:
                break
            on_the_way.append(loss)
            if pruned(part, loss):
                finished = False
                break
    except TrainingError:
        # A rate too high is an answer, and no failure of the sweep.
        loss = math.log(config.shape.vocabulary)
    result: dict[str, Any] = {"loss": loss, "finished": finished, "on_the_way": on_the_way}
    result |= {"steps": course.trainer.step, "seconds": course.trainer.seconds, "config": config.as_dict()}
    write_json(attempt.path, result)
    shutil.rmtree(course.scratch, ignore_errors=True)
    return loss


class Course:
    """An attempt on its way: what was judged so far, and a checkpoint now and then."""

    def __init__(self, attempt: Attempt) -> None:
        from chidu.tokens import TokenFile
        from chidu.training.checkpoint import latest_checkpoint
        from chidu.training.loop import Trainer

        self.tokens = TokenFile.open(attempt.train)
        self.judged = list(unread(self.tokens, attempt.config, attempt.judged_tokens))
        self.trainer = Trainer(attempt.config)
        self.scratch = attempt.path.with_suffix(".scratch")
        self._told = self.scratch / "losses.json"
        self._losses: dict[str, float] = read_json(self._told) if self._told.exists() else {}
        newest = latest_checkpoint(self.scratch)[0]
        if newest is not None:
            self.trainer.load(newest)
        self._saved = time.monotonic()

    def loss_at(self, step: int) -> float:
        """Return the loss after so many steps, training up to there where an earlier call has not been judged there."""
        from chidu.training.held_out import held_out_loss

        if str(step) not in self._losses:
            self._train(step)
            self._losses[str(step)] = held_out_loss(self.trainer.model, self.judged).loss
            write_json(self._told, self._losses)
        return self._losses[str(step)]

    def _train(self, step: int) -> None:
        from chidu.training.loop import CHECKPOINT_SECONDS

        clock = time.process_time()
        while self.trainer.step < step:
            self.trainer.advance(self.tokens)
            # Of this process alone: others on the machine shall not show.
            self.trainer.seconds += time.process_time() - clock
            clock = time.process_time()
            if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
                self.trainer.save(self.scratch)
                self._saved = time.monotonic()


def _run(attempt: Attempt, emit: Emit) -> None:
    import torch

    torch.set_num_threads(1)
    train_attempt(attempt)
    emit(1)
