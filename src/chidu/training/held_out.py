"""Loss on tokens that no run has trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from chidu.model.transformer import Transformer

__all__ = ["HeldOutLoss", "held_out_loss"]

SEQUENCES_AT_ONCE = 4


@dataclass(frozen=True)
class HeldOutLoss:
    """Mean loss in nats per token, and its standard error over sequences."""

    loss: float
    standard_error: float
    tokens: int


@torch.inference_mode()
def held_out_loss(model: Transformer, batches: Iterable[NDArray[np.int64]]) -> HeldOutLoss:
    """Measure the model, in the precision of its weights, on batches of sequences [count, T + 1].

    The logarithm is taken in float32. Sequences of one text are alike, so the standard error is over sequences, not
    over tokens.
    """
    device = model.head.weight.device
    means = []
    for batch in batches:
        tokens = torch.from_numpy(batch).to(device)
        logits = model(tokens[:, :-1]).float()
        losses = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
        means.append(losses.double().mean(dim=1).cpu())
    by_sequence = torch.cat(means)
    return HeldOutLoss(
        loss=float(by_sequence.mean()),
        standard_error=float(by_sequence.std() / len(by_sequence) ** 0.5) if len(by_sequence) > 1 else 0.0,
        tokens=len(by_sequence) * model.shape.context_length,
    )
