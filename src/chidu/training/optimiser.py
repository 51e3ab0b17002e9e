"""AdamW over flat weights, with a rate for each group, and the warm-up–stable–decay schedule."""

from __future__ import annotations

import torch
from torch import Tensor

from chidu.runs.config import RunConfig
from chidu.training.weights import FlatWeights

__all__ = ["Optimiser", "rate_factor"]

BETAS = (0.9, 0.98)
EPSILON = 1e-12


def rate_factor(config: RunConfig, step: int) -> float:
    """Return the part of the peak rate that step 0, 1, … uses: up linearly, 1, then down linearly to 0.

    Hägele et al., 2405.18392. All runs of one recipe are equal up to their `trunk_steps`.
    """
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if step < config.trunk_steps:
        return rise
    return rise * (config.steps - step) / max(1, config.decay_steps)


class Optimiser:
    """AdamW (Loshchilov and Hutter, 1711.05101); decay on the matrices alone."""

    def __init__(self, weights: FlatWeights, config: RunConfig) -> None:
        self.weights = weights
        self.config = config
        self.rates = {
            "matrices": config.learning_rate,
            "embedding": config.embedding_learning_rate,
            "norms": config.embedding_learning_rate,
            "head": config.head_learning_rate,
        }
        groups = [
            {
                "params": [master],
                "name": group,
                "lr": 0.0,
                # torch's decay is rate × weight_decay a step; ours is the same, so it follows the schedule.
                "weight_decay": config.weight_decay if group == "matrices" else 0.0,
            }
            for group, master in weights.masters.items()
        ]
        self.adam = torch.optim.AdamW(groups, lr=0.0, betas=BETAS, eps=EPSILON, fused=True)

    def step(self, step: int) -> None:
        """Move the weights by the gradient that autograd left, at the rate of this step."""
        self.weights.collect()
        self.weights.clip(self.config.gradient_clip)
        factor = rate_factor(self.config, step)
        for group in self.adam.param_groups:
            group["lr"] = self.rates[group["name"]] * factor
        self.adam.step()
        self.weights.publish()

    def tensors(self) -> dict[str, Tensor]:
        """Return both moments of each group by name, as a checkpoint stores them."""
        found = {}
        for group in self.adam.param_groups:
            state = self.adam.state[group["params"][0]]
            for moment in ("exp_avg", "exp_avg_sq"):
                found[f"{moment}.{group['name']}"] = state[moment]
        return found

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take the moments from a checkpoint made after `step` steps."""
        for group in self.adam.param_groups:
            master = group["params"][0]
            self.adam.state[master] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"exp_avg.{group['name']}"].clone(),
                "exp_avg_sq": tensors[f"exp_avg_sq.{group['name']}"].clone(),
            }
