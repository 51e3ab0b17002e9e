"""The optimiser of `chidu.training.optimiser` over weights that are sharded by rows over many processes.

Adam moves each entry by itself, so every process moves its rows. Muon needs whole matrices: each is gathered in one
process, made orthogonal there, and its rows go home. With P params in matrices over n processes, each sends and
receives P/n entries, in the precision of the products, there and back: 1/n of what one gathering of all weights for a
forward pass costs. The Newton–Schulz steps are shared out too; done by every process for every matrix they would cost
n times as much, which at 64 GPUs is a good part of a step. Memory: the whole matrices of one kind that a process owns
(1/n of them), before and after.
"""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from chidu.runs.config import RunConfig
from chidu.training.optimiser import (
    ADAMW_BETAS,
    ADAMW_EPSILON,
    BETAS,
    EPSILON,
    MOMENTUM,
    orthogonalise,
    rate_factor,
    tall_factor,
)
from chidu.training.ranks import Ranks
from chidu.training.weights import PLACES, group_of, joined

__all__ = ["ShardedOptimiser"]


class ShardedOptimiser:
    """Muon on the matrices of the layers, Adam on the rest; or AdamW on all. Moments are sharded as the weights are."""

    def __init__(self, weights: dict[str, nn.Parameter], config: RunConfig, ranks: Ranks, dtype: torch.dtype) -> None:
        self.config, self.ranks, self.dtype = config, ranks, dtype
        self.weights = weights
        """All weights by name, each a DTensor that FSDP2 sharded by rows."""
        is_muon = config.optimiser == "muon"
        self.kinds = matrices_by_kind(weights) if is_muon else {}
        """What Muon moves."""
        self.momentum = {name: _zeros(weight) for kind in self.kinds.values() for name, weight in kind.items()}
        rest = {name: weight for name, weight in weights.items() if name not in self.momentum}
        self.first = {name: _zeros(weight) for name, weight in rest.items()}
        self.second = {name: _zeros(weight) for name, weight in rest.items()}
        self.rates = {
            "embedding": config.embedding_learning_rate,
            "norms": config.embedding_learning_rate,
            "head": config.head_learning_rate,
            "matrices": config.learning_rate,
        }
        # A process may have no row of a short weight.
        groups = []
        for name, weight in rest.items():
            if rows(weight).numel():
                group = group_of(name, weight)
                decay = 0.0 if is_muon or group == "norms" else config.weight_decay
                own = nn.Parameter(rows(weight))
                groups.append({"params": [own], "name": name, "rate": self.rates[group], "weight_decay": decay})
        betas, epsilon = (BETAS, EPSILON) if is_muon else (ADAMW_BETAS, ADAMW_EPSILON)
        self.adam = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=epsilon, fused=True) if groups else None
        self.norm = math.nan
        """Of the last gradient, before it was clipped."""
        self.begin_at(0)

    def begin_at(self, step: int) -> None:
        """Let Adam go on from the moments as they are, of so many steps."""
        for group in self.adam.param_groups if self.adam else []:
            own, name = group["params"][0], group["name"]
            self.adam.state[own] = {  # type: ignore[union-attr]
                "step": torch.tensor(float(step), device=own.device),
                "exp_avg": rows(self.first[name]),
                "exp_avg_sq": rows(self.second[name]),
            }

    def restart(self) -> None:
        """Go back to step 0."""
        for kind in self.tensors().values():
            for moment in kind.values():
                rows(moment).zero_()
        self.begin_at(0)

    @torch.no_grad()
    def step(self, step: int) -> bool:
        """Move the weights by the gradient that FSDP2 left, at the rate of this step; then forget the gradient.

        Moves nothing, and returns False, where the gradient is not finite, in any process.
        """
        self.norm = float(self.clip(self.config.gradient_clip))
        if not math.isfinite(self.norm):
            return False
        factor = rate_factor(self.config, step)
        if self.adam is not None:
            for group in self.adam.param_groups:
                group["lr"] = group["rate"] * factor
                group["params"][0].grad = self.gradient(group["name"])
            self.adam.step()
        for turn, kind in enumerate(self.kinds):
            self._step_kind(kind, turn, self.config.learning_rate * factor)
        self.forget_gradient()
        return True

    def forget_gradient(self) -> None:
        """Let the next gradient be added to nothing."""
        for weight in self.weights.values():
            weight.grad = None

    def gradient(self, name: str) -> Tensor:
        """Return this process's rows of the gradient, the mean over all processes."""
        found = self.weights[name].grad
        assert isinstance(found, DTensor)
        return found.to_local()

    def clip(self, largest: float) -> Tensor:
        """Scale the gradient down to a norm of `largest` at the most; return the norm before that."""
        gradients = [self.gradient(name) for name in self.weights]
        squares = torch.stack([torch.linalg.vector_norm(each) for each in gradients]).square().sum()
        dist.all_reduce(squares)
        norm = squares.sqrt()
        factor = torch.clamp(largest / (norm + 1e-6), max=1.0)
        for each in gradients:
            each.mul_(factor)
        return norm

    def _step_kind(self, kind: str, turn: int, rate: float) -> None:
        """Move the matrices of one kind by Nesterov momentum, made orthogonal; decay them by rate × weight_decay."""
        ahead = []
        for name, weight in self.kinds[kind].items():
            gradient, momentum = self.gradient(name), rows(self.momentum[name])
            momentum.lerp_(gradient, 1 - MOMENTUM)
            ahead.append(torch.lerp(gradient, momentum, MOMENTUM).to(self.dtype))
            rows(weight).mul_(1 - rate * self.config.weight_decay)
        parts = joined(self.config.shape)[kind]
        whole_rows, columns = next(iter(self.kinds[kind].values())).shape
        scale = tall_factor(whole_rows // parts, columns)
        for weight, moved in zip(
            self.kinds[kind].values(), self._orthogonal(ahead, whole_rows, parts, turn), strict=True
        ):
            rows(weight).add_(moved, alpha=-rate * scale)

    def _orthogonal(self, ahead: list[Tensor], whole_rows: int, parts: int, turn: int) -> list[Tensor]:
        """Return, of matrices of one size of which each process has some rows, its rows of what Muon makes of them.

        Process r owns the matrices r, r + n, … (moved on by `turn`, so that the kinds even out).
        """
        size, columns = self.ranks.size, ahead[0].shape[1]
        owned = [list(range((rank - turn) % size, len(ahead), size)) for rank in range(size)]
        mine = owned[self.ranks.rank]
        heights = _heights(whole_rows, size)
        here, there = heights[self.ranks.rank] * columns, [len(mine) * height * columns for height in heights]
        sent = torch.cat([ahead[index].flatten() for indices in owned for index in indices])
        arrived = sent.new_empty(sum(there))
        dist.all_to_all_single(arrived, sent, there, [len(indices) * here for indices in owned])
        if mine:
            blocks = [
                block.view(len(mine), height, columns)
                for block, height in zip(torch.split(arrived, there), heights, strict=True)
            ]
            stack = torch.cat(blocks, dim=1).view(len(mine) * parts, whole_rows // parts, columns)
            done = orthogonalise(stack, self.dtype).reshape(len(mine), whole_rows, columns)
            arrived = torch.cat([block.flatten() for block in torch.split(done, heights, dim=1)])
        dist.all_to_all_single(sent, arrived, [len(indices) * here for indices in owned], there)
        order = [index for indices in owned for index in indices]
        home = dict(zip(order, sent.view(len(ahead), heights[self.ranks.rank], columns), strict=True))
        return [home[index] for index in range(len(ahead))]

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return momentum and moments by name, as a checkpoint stores them."""
        return {"momentum": {**self.momentum}, "exp_avg": {**self.first}, "exp_avg_sq": {**self.second}}


def matrices_by_kind(weights: dict[str, nn.Parameter]) -> dict[str, dict[str, nn.Parameter]]:
    """Return the matrices of the layers by kind and name; matrices of one kind are of one size."""
    kinds = {kind: {name: weight for name, weight in weights.items() if f"{kind}.weight" in name} for kind in PLACES}
    return {kind: found for kind, found in kinds.items() if found}


def rows(weight: Tensor) -> Tensor:
    """Return the rows of a sharded tensor that lie in this process; changing them changes the tensor."""
    assert isinstance(weight, DTensor)
    return weight.to_local().detach()


def _zeros(weight: Tensor) -> Tensor:
    return torch.zeros_like(weight.detach())


def _heights(whole_rows: int, size: int) -> list[int]:
    """Return how many of a weight's rows each process has: FSDP2 cuts as `torch.chunk` does, the last ones short."""
    height = -(-whole_rows // size)
    return [max(0, min(height, whole_rows - rank * height)) for rank in range(size)]
