"""All weights of a model as a few flat tensors: float32 masters, and the copies that the model computes with.

One flat tensor a group makes the optimiser's step, the gradient's norm, the sum over processes and the checkpoint a
handful of operations each, whatever the number of layers: for small models that is where the time goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from chidu.model.transformer import Transformer
from chidu.runs.record import write_atomic
from chidu.runs.shape import Shape
from chidu.training.team import Team

__all__ = ["GROUPS", "PLACES", "FlatWeights", "flat_groups", "joined", "write_weights"]

Weight = TypeVar("Weight", bound=Tensor)

GROUPS = ("matrices", "embedding", "head", "norms")
"""Weights that share a learning rate: matrices of the layers, embedding, head, weights of the norms."""


PLACES = ("attention.qkv", "attention.out", "mlp.gate_up", "mlp.up", "mlp.down")
"""Kinds of matrices, in the order in which they lie."""


def _place(name: str) -> tuple[int, str]:
    """Order the weights: by kind, then as the model names them."""
    return next((i for i, kind in enumerate(PLACES) if f"{kind}.weight" in name), len(PLACES)), ""


def joined(shape: Shape) -> dict[str, int]:
    """Return how many single matrices each kind of `PLACES` joins in one: q, k, v where they are alike; gate, up."""
    return dict.fromkeys(PLACES, 1) | {"attention.qkv": 3 if shape.heads == shape.kv_heads else 1, "mlp.gate_up": 2}


def _matrix_stacks(shape: Shape) -> list[tuple[int, int, int]]:
    """Return count, rows and columns of the matrices in each stack; joined ones (q, k, v; gate, up) count apart."""
    L, C, D, H, K, F = shape.layers, shape.width, shape.head_width, shape.heads, shape.kv_heads, shape.mlp_width
    sizes = {
        "attention.qkv": ((H + 2 * K) * D, C),
        "attention.out": (C, H * D),
        **({"mlp.gate_up": (2 * F, C)} if shape.is_gated else {"mlp.up": (F, C)}),
        "mlp.down": (C, F),
    }
    parts = joined(shape)
    return [(L * parts[kind], rows // parts[kind], columns) for kind, (rows, columns) in sizes.items()]


def group_of(name: str, weight: Tensor) -> str:
    """Name the group that a weight belongs to."""
    if name in ("embedding.weight", "positions.weight"):
        return "embedding"
    if name == "head.weight":
        return "head"
    return "matrices" if weight.dim() >= 2 else "norms"


def _members(named: Iterable[tuple[str, Weight]]) -> dict[str, list[Weight]]:
    """Return the weights of each group, in the order in which they lie."""
    members: dict[str, list[Weight]] = {group: [] for group in GROUPS}
    for name, weight in sorted(named, key=lambda entry: _place(entry[0])):
        members[group_of(name, weight)].append(weight)
    return members


def flat_groups(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Return the weights that a model names as `FlatWeights.tensors` has them: float32, flat by group."""
    return {
        f"weights.{group}": torch.cat([weight.detach().float().flatten() for weight in weights])
        for group, weights in _members(named).items()
        if weights
    }


def write_weights(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write final weights, flat by group, atomically."""
    from safetensors.torch import save

    write_atomic(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


class FlatWeights:
    """The weights of `model`, flat, the groups one after another.

    After construction the model's own parameters are views of `working` (in `dtype`) and their gradients views of this
    process's row of `working_gradients`, so that autograd adds straight into it. `master` is what the optimiser moves;
    each process of the team moves its own `parts`. Matrices of one shape lie next to each other, whatever their layer,
    so that `stacks` can see them as one tensor.
    """

    def __init__(self, model: Transformer, dtype: torch.dtype, team: Team | None = None) -> None:
        self.team = team or Team()
        members = _members(model.named_parameters())
        weights = [weight for group in members.values() for weight in group]
        total, device = sum(weight.numel() for weight in weights), weights[0].device
        self.master = self.team.zeros((total,), torch.float32, device)
        self.working = self.team.zeros((total,), dtype, device)
        self.working_gradients = self.team.zeros((self.team.size, total), dtype, device)
        self.gradient = self.team.zeros((total,), torch.float32, device)
        self._norms = self.team.zeros((self.team.size,), torch.float32, device)
        self.master.copy_(torch.cat([weight.detach().float().flatten() for weight in weights]))
        self.places = _places(members)
        self._matrices = _matrix_stacks(model.shape)
        self.parts = [part for group in self.places for part in self.group_parts(group)]
        if self.team.size == 1:
            self.parts = [slice(0, total)]  # one operation instead of many
        self._point(weights)
        # Every process writes all masters, so only now may one of them move any.
        self.team.wait()
        self.publish()

    def stacks(self, flat: Tensor) -> list[Tensor]:
        """See a flat tensor of the group `matrices` as stacks [count, rows, columns] of single matrices."""
        views, start = [], 0
        for count, rows, columns in self._matrices:
            views.append(flat[start : start + count * rows * columns].view(count, rows, columns))
            start += count * rows * columns
        return views

    def group_parts(self, group: str) -> list[slice]:
        """Return where the weights of a group lie that this process moves: whole matrices, where it has any."""
        place = self.places[group]
        if group != "matrices":
            return [_within(place, self.team.part(place.stop - place.start))]
        if self.team.size == 1:
            return [place]
        found, start = [], place.start
        for turn, (count, rows, columns) in enumerate(self._matrices):
            size, own = rows * columns, self.team.part(count, turn)
            found.append(slice(start + own.start * size, start + own.stop * size))
            start += count * size
        return found

    def _point(self, weights: list[nn.Parameter]) -> None:
        start, own = 0, self.working_gradients[self.team.rank]
        for weight in weights:
            stop, shape = start + weight.numel(), weight.shape
            weight.data = self.working[start:stop].view(shape)
            weight.grad = own[start:stop].view(shape)
            start = stop

    def clear(self) -> None:
        """Set this process's gradient to zero."""
        self.working_gradients[self.team.rank].zero_()

    def collect(self) -> None:
        """Take the mean of what autograd left in every process into the float32 gradient, where the optimiser looks."""
        self.team.wait()
        for part in self.parts:
            mine = self.gradient[part].copy_(self.working_gradients[0, part])
            for other in self.working_gradients[1:, part]:
                mine.add_(other)
            if self.team.size > 1:
                mine.div_(self.team.size)

    def clip(self, largest: float) -> Tensor:
        """Scale the gradient down to a norm of `largest` at the most; return the norm before that."""
        own = torch.stack([torch.linalg.vector_norm(self.gradient[part]) for part in self.parts])
        self._norms[self.team.rank] = torch.linalg.vector_norm(own)
        self.team.wait()
        norm: Tensor = torch.linalg.vector_norm(self._norms)
        factor = torch.clamp(largest / (norm + 1e-6), max=1.0)
        for part in self.parts:
            self.gradient[part].mul_(factor)
        return norm

    def publish(self) -> None:
        """Copy the masters to where the model computes; return when every process has."""
        for part in self.parts:
            self.working[part].copy_(self.master[part])
        self.team.wait()

    def tensors(self) -> dict[str, Tensor]:
        """Return the masters by name, as a checkpoint stores them."""
        return {f"weights.{group}": self.master[place] for group, place in self.places.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take the masters from a checkpoint."""
        for group, place in self.places.items():
            self.master[place].copy_(tensors[f"weights.{group}"])
        self.team.wait()
        self.publish()


def _places(members: dict[str, list[Weight]]) -> dict[str, slice]:
    """Return where each group that has weights lies."""
    places, start = {}, 0
    for group, weights in members.items():
        size = sum(weight.numel() for weight in weights)
        if size:
            places[group] = slice(start, start + size)
        start += size
    return places


def _within(place: slice, part: slice) -> slice:
    """Return a part of a place, as a place."""
    return slice(place.start + part.start, place.start + part.stop)
