"""Muon for the matrices, Adam for the rest, over flat weights; and the warm-up–stable–decay schedule."""

from __future__ import annotations

import torch
from torch import Tensor

from chidu.runs.config import RunConfig
from chidu.training.weights import FlatWeights

__all__ = ["Optimiser", "orthogonalise", "rate_factor"]

BETAS = (0.9, 0.98)
EPSILON = 1e-12
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def rate_factor(config: RunConfig, step: int) -> float:
    """Return the part of the peak rate that step 0, 1, … uses: up linearly, 1, then down linearly to 0.

    Hägele et al., 2405.18392. All runs of one recipe are equal up to their `trunk_steps`.
    """
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if step < config.trunk_steps:
        return rise
    return rise * (config.steps - step) / max(1, config.decay_steps)


def orthogonalise(stack: Tensor, dtype: torch.dtype) -> Tensor:
    """Bring the singular values of each matrix of a stack [count, rows, columns] near 1, by Newton–Schulz steps.

    Jordan et al., "Muon" (2024). The steps run in `dtype`; all matrices of a stack go at once, because one by one
    they are too small to keep a processor busy.
    """
    is_tall = stack.shape[1] > stack.shape[2]
    x = (stack.mT if is_tall else stack).to(dtype)
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


class Optimiser:
    """Muon on the matrices of the layers; Adam (Kingma and Ba, 1412.6980) on embedding, head and norms."""

    def __init__(self, weights: FlatWeights, config: RunConfig) -> None:
        self.weights = weights
        self.config = config
        self.rates = {
            "embedding": config.embedding_learning_rate,
            "norms": config.embedding_learning_rate,
            "head": config.head_learning_rate,
        }
        groups = [
            {"params": [master], "name": group} for group, master in weights.masters.items() if group in self.rates
        ]
        self.adam = torch.optim.Adam(groups, lr=0.0, betas=BETAS, eps=EPSILON, fused=True)
        self.momentum = torch.zeros_like(weights.masters["matrices"].detach())
        self.dtype = next(iter(weights.working.values())).dtype

    def step(self, step: int) -> None:
        """Move the weights by the gradient that autograd left, at the rate of this step."""
        self.weights.collect()
        self.weights.clip(self.config.gradient_clip)
        factor = rate_factor(self.config, step)
        for group in self.adam.param_groups:
            group["lr"] = self.rates[group["name"]] * factor
        self.adam.step()
        self._step_matrices(self.config.learning_rate * factor)
        self.weights.publish()

    @torch.no_grad()
    def _step_matrices(self, rate: float) -> None:
        """Move the matrices by Nesterov momentum, made orthogonal; decay them by rate × weight_decay."""
        master = self.weights.masters["matrices"]
        gradient = master.grad
        assert gradient is not None
        self.momentum.lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(self.momentum, MOMENTUM)
        master.mul_(1 - rate * self.config.weight_decay)
        for weights, direction in zip(self.weights.stacks(master), self.weights.stacks(ahead), strict=True):
            tall = max(1.0, weights.shape[1] / weights.shape[2]) ** 0.5
            weights.add_(orthogonalise(direction, self.dtype), alpha=-rate * tall)

    def tensors(self) -> dict[str, Tensor]:
        """Return momentum and moments by name, as a checkpoint stores them."""
        found = {"momentum.matrices": self.momentum}
        for group in self.adam.param_groups:
            state = self.adam.state[group["params"][0]]
            for moment in ("exp_avg", "exp_avg_sq"):
                found[f"{moment}.{group['name']}"] = state[moment]
        return found

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take momentum and moments from a checkpoint made after `step` steps."""
        self.momentum.copy_(tensors["momentum.matrices"])
        for group in self.adam.param_groups:
            self.adam.state[group["params"][0]] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"exp_avg.{group['name']}"].clone(),
                "exp_avg_sq": tensors[f"exp_avg_sq.{group['name']}"].clone(),
            }
