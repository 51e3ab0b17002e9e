"""How sure distributions are, and how far they lie from their average."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["distances", "entropies"]


def distances(chances: Tensor, others: Tensor) -> Tensor:
    """Return the Jensen–Shannon distance (root of the divergence, nats) of each row [n, V] from one distribution [V],
    or from the row beside it [n, V]."""
    middle = (chances + others) / 2
    divergence = entropies(middle) - (entropies(chances) + entropies(others)) / 2
    found: Tensor = divergence.clamp(min=0).sqrt()
    return found


def entropies(chances: Tensor) -> Tensor:
    """Return the entropy (nats) of each row [n, V]."""
    import torch

    return -torch.where(chances > 0, chances * chances.clamp(min=1e-300).log(), 0.0).sum(dim=-1)
