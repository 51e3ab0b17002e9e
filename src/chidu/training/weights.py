"""All weights of a model as a few flat tensors: float32 masters, and the copies that the model computes with.

One flat tensor a group makes the optimiser's step, the gradient's norm, the sum over processes and the checkpoint a
handful of operations each, whatever the number of layers: for small models that is where the time goes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chidu.model.transformer import Transformer
from chidu.runs.shape import Shape

__all__ = ["GROUPS", "FlatWeights"]

GROUPS = ("matrices", "embedding", "head", "norms")
"""Weights that share a learning rate: matrices of the layers, embedding, head, weights of the norms."""


PLACES = ("attention.qkv", "attention.out", "mlp.gate_up", "mlp.down")


def _place(name: str) -> tuple[int, str]:
    """Order the weights: by kind, then as the model names them."""
    return next((i for i, kind in enumerate(PLACES) if f"{kind}.weight" in name), len(PLACES)), ""


def _matrix_stacks(shape: Shape) -> list[tuple[int, int, int]]:
    """Return count, rows and columns of the matrices in each stack; joined ones (q, k, v; gate, up) count apart."""
    L, C, D = shape.layers, shape.width, shape.head_width
    joined = 3 if shape.heads == shape.kv_heads else 1
    rows = (shape.heads + 2 * shape.kv_heads) * D // joined
    return [
        (L * joined, rows, C),
        (L, C, shape.heads * D),
        (2 * L, shape.mlp_width, C),
        (L, C, shape.mlp_width),
    ]


def group_of(name: str, weight: nn.Parameter) -> str:
    """Name the group that a weight belongs to."""
    if name == "embedding.weight":
        return "embedding"
    if name == "head.weight":
        return "head"
    return "matrices" if weight.dim() >= 2 else "norms"


class FlatWeights:
    """The weights of `model`, flat by group.

    After construction the model's own parameters are views of `working[group]` (in `dtype`) and their gradients views
    of one tensor, so that autograd adds straight into it. `masters` are what the optimiser moves. Matrices of one
    shape lie next to each other, whatever their layer, so that `stacks` can see them as one tensor.
    """

    def __init__(self, model: Transformer, dtype: torch.dtype) -> None:
        members: dict[str, list[nn.Parameter]] = {group: [] for group in GROUPS}
        for name, weight in sorted(model.named_parameters(), key=lambda entry: _place(entry[0])):
            members[group_of(name, weight)].append(weight)
        members = {group: weights for group, weights in members.items() if weights}
        self.masters = {
            group: nn.Parameter(torch.cat([weight.detach().float().flatten() for weight in weights]))
            for group, weights in members.items()
        }
        self.working = {group: master.detach().to(dtype, copy=True) for group, master in self.masters.items()}
        total = sum(master.numel() for master in self.masters.values())
        device = next(iter(self.masters.values())).device
        self.working_gradient = torch.zeros(total, dtype=dtype, device=device)
        self.gradient = torch.zeros(total, dtype=torch.float32, device=device)
        self._matrices = _matrix_stacks(model.shape)
        self._point(members)

    def stacks(self, flat: Tensor) -> list[Tensor]:
        """See a flat tensor of the group `matrices` as stacks [count, rows, columns] of single matrices."""
        views, start = [], 0
        for count, rows, columns in self._matrices:
            views.append(flat[start : start + count * rows * columns].view(count, rows, columns))
            start += count * rows * columns
        return views

    def _point(self, members: dict[str, list[nn.Parameter]]) -> None:
        start = 0
        for group, weights in members.items():
            size = self.masters[group].numel()
            self.masters[group].grad = self.gradient[start : start + size]
            offset = 0
            for weight in weights:
                count, shape = weight.numel(), weight.shape
                weight.data = self.working[group][offset : offset + count].view(shape)
                weight.grad = self.working_gradient[start + offset : start + offset + count].view(shape)
                offset += count
            start += size

    def clear(self) -> None:
        """Set the gradient to zero."""
        self.working_gradient.zero_()

    def collect(self) -> None:
        """Take what autograd left into the float32 gradient, where the optimiser finds it."""
        self.gradient.copy_(self.working_gradient)

    def clip(self, largest: float) -> Tensor:
        """Scale the gradient down to a norm of `largest` at the most; return the norm before that."""
        norm: Tensor = torch.linalg.vector_norm(self.gradient)
        self.gradient.mul_(torch.clamp(largest / (norm + 1e-6), max=1.0))
        return norm

    def publish(self) -> None:
        """Copy the masters to where the model computes."""
        for group, master in self.masters.items():
            self.working[group].copy_(master.detach())

    def tensors(self) -> dict[str, Tensor]:
        """Return the masters by name, as a checkpoint stores them."""
        return {f"weights.{group}": master.detach() for group, master in self.masters.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take the masters from a checkpoint."""
        for group, master in self.masters.items():
            master.detach().copy_(tensors[f"weights.{group}"])
        self.publish()
