"""The log-linear model trained by the same loop as the Transformer: same batches, schedule, checkpoints and judgement.

Only the gradient and the optimiser are its own: autograd, and Adam on θ, float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chidu.errors import TrainingError
from chidu.model.loglinear import LogLinear
from chidu.runs.config import RunConfig
from chidu.training.checkpoint import latest_checkpoint, read_checkpoint, write_checkpoint
from chidu.training.optimiser import BETAS, EPSILON, rate_factor
from chidu.training.underway import PLAIN, Heard, Underway

__all__ = ["Bag", "BagTrainer"]

AGREEMENT = 0.8
"""Between 0.5 and 1: how the moves of the words in a window add up, as a power of their number."""


@dataclass(frozen=True)
class Bag:
    """Which log-linear model."""

    window: int
    """Words before the target that are read, at the most."""
    rank: int | None
    """Of θ; None for a full one."""
    mean: bool
    """True where the exponent is the mean over the words read, False where it is their sum."""

    def rate(self, rate: float) -> float:
        """Return Adam's rate of θ for a rate that suits a window of one word.

        One step moves an exponent by the rate times what the words of the window add up to: √window where they do not
        agree, window where they do. On the default corpus 0.8 lies nearest to the best power (LOG.md). With full
        windows sum and mean are one model in other units, and rates that differ by the window make their trainings one.
        """
        spread: float = self.window**AGREEMENT
        return rate * self.window / spread if self.mean else rate / spread


class BagTrainer(Underway):
    """A log-linear model on its way in this process.

    The config is the Transformer's that would be trained beside it: of its shape vocabulary and context length are
    read; `embedding_learning_rate` is the rate of θ at a window of one word.
    """

    checkpoints = PLAIN

    def __init__(self, config: RunConfig, bag: Bag) -> None:
        super().__init__(config)
        self.bag = bag
        self.model = LogLinear(config.shape.vocabulary, bag.window, bag.rank, bag.mean)
        self.restart()

    def restart(self) -> None:
        """Go back to step 0."""
        self.model.initialise(self.config.seed)
        self.optimiser = torch.optim.Adam(self.model.parameters(), betas=BETAS, eps=EPSILON)
        self._forget()

    def _differentiate(self, batch: NDArray[np.int64], stops: bool, is_due: bool) -> Heard:
        tokens = torch.from_numpy(batch)
        self.optimiser.zero_grad()
        loss = self.model.loss(tokens[:, :-1], tokens[:, 1:])
        loss.backward()  # type: ignore[no-untyped-call]
        return Heard(loss.item(), stops, is_due)

    def _move(self) -> bool:
        weights = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        if not all(bool(gradient.isfinite().all()) for gradient in weights):
            return False
        rate = self.bag.rate(self.config.embedding_learning_rate) * rate_factor(self.config, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        return True

    def _pass_over(self) -> None:
        self.optimiser.zero_grad()

    def latest(self, folder: Path, step: int | None = None) -> tuple[Path | None, list[str]]:
        """Return the newest checkpoint that verifies, of that step at the latest; and what was passed over."""
        return latest_checkpoint(folder, step)

    def save(self, folder: Path, keep: int = 2, may_write: Callable[[], None] = lambda: None) -> None:
        """Write a checkpoint of this step."""
        write_checkpoint(
            folder, self.step, self._tensors(), {**self._state(), "bag": asdict(self.bag)}, keep, may_write
        )

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint of this run. Raises TrainingError where it is another's."""
        tensors, state = read_checkpoint(checkpoint)
        self._check(state, checkpoint)
        if state.get("bag") != asdict(self.bag):
            raise TrainingError(f"{checkpoint} is of another model: name another folder, or delete {checkpoint.parent}")
        self._take(state)
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                weight.copy_(tensors[name])
                self.optimiser.state[weight] = {
                    "step": torch.tensor(float(tensors[f"{name}.steps"])),
                    "exp_avg": tensors[f"{name}.first"].clone(),
                    "exp_avg_sq": tensors[f"{name}.second"].clone(),
                }

    def _tensors(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, weight in self.model.named_parameters():
            moments: dict[str, Any] = self.optimiser.state[weight]
            found[name] = weight.detach().contiguous()
            if moments:
                found[f"{name}.steps"] = moments["step"].reshape(1)
                found[f"{name}.first"], found[f"{name}.second"] = moments["exp_avg"], moments["exp_avg_sq"]
        return found
