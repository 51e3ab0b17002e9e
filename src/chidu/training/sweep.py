"""Short runs beside each other, judged on text that they did not read: what `chidu tune` chooses by.

A choice is itself a kind of training. So these runs are judged on training text that they stop short of, and the
held-out text stays for what is forecast and scored.
"""

from __future__ import annotations

import math
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
    are not repeated, so a sweep that was killed goes on, a run that was under way from its beginning. `on_done` is told
    of each run as it ends or is found.
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
    """Train and judge one attempt in this process, writing its result; judged after each of `parts` for pruning."""
    from chidu.tokens import TokenFile
    from chidu.training.held_out import held_out_loss
    from chidu.training.loop import Trainer

    config, tokens = attempt.config, TokenFile.open(attempt.train)
    judged = list(unread(tokens, config, attempt.judged_tokens))
    trainer, clock = Trainer(config), time.process_time()
    loss, finished, on_the_way = math.log(config.shape.vocabulary), True, list[float]()
    try:
        for part in range(1, parts + 1):
            while trainer.step < round(config.steps * part / parts):
                trainer.advance(tokens)
            loss = held_out_loss(trainer.model, judged).loss
            if part == parts:
                break
            on_the_way.append(loss)
            if pruned(part, loss):
                finished = False
                break
    except TrainingError:
        # A rate too high is an answer, and no failure of the sweep.
        loss = math.log(config.shape.vocabulary)
    result: dict[str, Any] = {"loss": loss, "finished": finished, "on_the_way": on_the_way, "steps": trainer.step}
    result["seconds"] = time.process_time() - clock
    write_json(attempt.path, {**result, "config": config.as_dict()})
    return loss


def _run(attempt: Attempt, emit: Emit) -> None:
    import torch

    torch.set_num_threads(1)
    train_attempt(attempt)
    emit(1)
