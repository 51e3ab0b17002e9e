"""Muon for the matrices, Adam for the rest, over flat weights; and the warm-up–stable–decay schedule.

For comparisons the classics too: AdamW for all, and a cosine.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chidu.runs.config import RunConfig
from chidu.training.weights import FlatWeights

__all__ = ["Optimiser", "orthogonalise", "rate_factor", "tall_factor"]

BETAS = (0.9, 0.98)
EPSILON = 1e-12
ADAMW_BETAS = (0.9, 0.95)
ADAMW_EPSILON = 1e-8
LEAST_OF_COSINE = 0.1
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def rate_factor(config: RunConfig, step: int) -> float:
    """Return the part of the peak rate that step 0, 1, … uses: up linearly, 1, then down linearly to 0.

    Hägele et al., 2405.18392. All runs of one recipe are equal up to their `trunk_steps`. A cosine falls to a tenth
    (Loshchilov and Hutter, 1608.03983, with the floor of Hoffmann et al., 2203.15556).
    """
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if step < config.trunk_steps:
        return rise
    left = (config.steps - step) / max(1, config.decay_steps)
    if config.decay == "cosine":
        return rise * (LEAST_OF_COSINE + (1 - LEAST_OF_COSINE) * 0.5 * (1 - math.cos(math.pi * left)))
    return rise * left


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


def tall_factor(rows: int, columns: int) -> float:
    """Return what the orthogonal step of a matrix is multiplied with: more where it is taller than wide."""
    return float(max(1.0, rows / columns) ** 0.5)


class Optimiser:
    """Muon on the matrices of the layers; Adam (Kingma and Ba, 1412.6980) on embedding, head and norms.

    Or AdamW (Loshchilov and Hutter, 1711.05101) on all of them.

    Each process of a team moves its own part of the weights; all see all moments.
    """

    def __init__(self, weights: FlatWeights, config: RunConfig) -> None:
        self.weights = weights
        self.config = config
        self.rates = {
            "embedding": config.embedding_learning_rate,
            "norms": config.embedding_learning_rate,
            "head": config.head_learning_rate,
        }
        is_muon = config.optimiser == "muon"
        if not is_muon:
            self.rates["matrices"] = config.learning_rate
        # The matrices lie first: what Muon calls momentum stands where Adam's first moment would, and has no second.
        self.matrices = weights.places["matrices"] if is_muon else slice(0, 0)
        """What Muon moves."""
        master, team = weights.master, weights.team
        self.first = team.zeros((master.numel(),), torch.float32, master.device)
        self._second = team.zeros((master.numel() - self.matrices.stop,), torch.float32, master.device)
        groups = []
        for group in [name for name in self.rates if name in weights.places]:
            for part in weights.group_parts(group):
                own = torch.nn.Parameter(master[part])
                own.grad = weights.gradient[part]
                decay = 0.0 if is_muon or group == "norms" else config.weight_decay
                groups.append({"params": [own], "name": group, "part": part, "weight_decay": decay})
        betas, epsilon = (BETAS, EPSILON) if is_muon else (ADAMW_BETAS, ADAMW_EPSILON)
        self.adam = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=epsilon, fused=True)
        self.norm = math.nan
        """Of the last gradient, before it was clipped."""
        self._begin_at(0)

    def _begin_at(self, step: int) -> None:
        """Let Adam find its moments, of so many steps, where all processes see them."""
        for group in self.adam.param_groups:
            self.adam.state[group["params"][0]] = {
                "step": torch.tensor(float(step), device=self.first.device),
                "exp_avg": self.first[group["part"]],
                "exp_avg_sq": self.second(group["part"]),
            }

    def second(self, place: slice) -> Tensor:
        """Return the second moments of weights that are no matrices."""
        return self._second[place.start - self.matrices.stop : place.stop - self.matrices.stop]

    def step(self, step: int) -> bool:
        """Move the weights by the gradient that autograd left, at the rate of this step.

        Moves nothing, and returns False, where the gradient is not finite.
        """
        self.norm = float(self.weights.clip(self.config.gradient_clip))
        if not math.isfinite(self.norm):
            return False
        factor = rate_factor(self.config, step)
        for group in self.adam.param_groups:
            group["lr"] = self.rates[group["name"]] * factor
        self.adam.step()
        if self.matrices.stop:
            self._step_matrices(self.config.learning_rate * factor)
        self.weights.publish()
        return True

    @torch.no_grad()
    def _step_matrices(self, rate: float) -> None:
        """Move the matrices by Nesterov momentum, made orthogonal; decay them by rate × weight_decay."""
        weights, whole = self.weights, self.matrices
        ahead = torch.empty_like(weights.master[whole])
        for part in weights.group_parts("matrices"):
            gradient, momentum = weights.gradient[part], self.first[part]
            momentum.lerp_(gradient, 1 - MOMENTUM)
            torch.lerp(gradient, momentum, MOMENTUM, out=ahead[part])
            weights.master[part].mul_(1 - rate * self.config.weight_decay)
        pairs = zip(weights.stacks(weights.master[whole]), weights.stacks(ahead), strict=True)
        for turn, (stack, direction) in enumerate(pairs):
            own = weights.team.part(len(stack), turn)
            scale = tall_factor(stack.shape[1], stack.shape[2])
            stack[own].add_(orthogonalise(direction[own], weights.working.dtype), alpha=-rate * scale)

    def tensors(self) -> dict[str, Tensor]:
        """Return momentum and moments by name, as a checkpoint stores them."""
        found = {"momentum.matrices": self.first[self.matrices]} if self.matrices.stop else {}
        for group, place in self.weights.places.items():
            if group in self.rates:
                found |= {f"exp_avg.{group}": self.first[place], f"exp_avg_sq.{group}": self.second(place)}
        return found

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take momentum and moments from a checkpoint made after `step` steps."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])
        self._begin_at(step)
