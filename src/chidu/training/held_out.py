"""Loss on tokens that no run has trained on: its mean, how sure that is, and how it falls along the context."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from chidu.model.transformer import Transformer
from chidu.runs.run import PositionLoss

__all__ = ["SEQUENCES_AT_ONCE", "HeldOutLoss", "held_out_loss", "learned_loss", "position_ranges"]

SEQUENCES_AT_ONCE = 4
"""A matter of speed: the losses are the same for any number, which tests hold to the last bit."""
MOST_RANGES = 8


@dataclass(frozen=True)
class HeldOutLoss:
    """Mean loss in nats per token, and its standard errors."""

    loss: float
    standard_error: float
    """Over sequences: how far another choice of windows, all independent, would move the mean."""
    tokens: int
    documents: int = 0
    """Documents that the sequences have tokens of; 0 where they are not known."""
    document_standard_error: float | None = None
    """Over documents, each a cluster: neighbouring sequences may be parts of one. None where they are not known."""
    by_position: tuple[PositionLoss, ...] = ()
    """By ranges of the position in the sequence, each twice as long as the one before."""


def held_out_loss(
    model: Transformer, batches: Iterable[NDArray[np.int64]], documents: NDArray[np.int64] | None = None
) -> HeldOutLoss:
    """Measure the model, in the precision of its weights, on batches of sequences [count, T + 1].

    The logarithm is taken in float32. How the sequences come in batches changes nothing. `documents` [sequences, T]
    says which document each target is of (`TokenFile.held_out_documents`).
    """
    losses = token_losses(model, np.concatenate(list(batches)))
    by_sequence = losses.mean(dim=1)
    found = losses.numpy()
    alone = np.broadcast_to(np.arange(len(found))[:, None], found.shape)
    clusters = alone if documents is None else documents
    return HeldOutLoss(
        loss=float(by_sequence.mean()),
        standard_error=float(by_sequence.std() / len(by_sequence) ** 0.5) if len(by_sequence) > 1 else 0.0,
        tokens=found.size,
        documents=0 if documents is None else len(np.unique(documents)),
        document_standard_error=None if documents is None else clustered_error(found, documents),
        by_position=tuple(
            PositionLoss(
                first,
                last,
                float(found[:, first:last].mean()),
                clustered_error(found[:, first:last], clusters[:, first:last]),
            )
            for first, last in position_ranges(found.shape[1])
        ),
    )


@torch.inference_mode()
def learned_loss(model: Transformer, batches: Iterable[NDArray[np.int64]]) -> tuple[float, float]:
    """Return the mean loss, nats per token, of the targets that are learned, and its standard error over sequences.

    In the batches [count, T + 1] a token that is read but not learned stands as ~token.
    """
    from chidu.training.loop import as_read

    losses, rows, first = [], [], 0
    for batch in batches:
        tokens = torch.from_numpy(batch).to(model.head.weight.device)
        targets = tokens[:, 1:]
        logits = model(as_read(tokens[:, :-1]), are_apart=True).float()
        found = F.cross_entropy(logits.transpose(1, 2), targets.clamp(min=0), reduction="none").double().cpu()
        learned = (targets >= 0).cpu()
        losses.append(found[learned].numpy())
        rows.append(first + learned.nonzero()[:, 0].numpy())
        first += len(batch)
    every, clusters = np.concatenate(losses), np.concatenate(rows)
    return float(every.mean()), clustered_error(every, clusters)


@torch.inference_mode()
def token_losses(model: Transformer, sequences: NDArray[np.int64]) -> torch.Tensor:
    """Return the loss of every target [sequences, T], float64, nats."""
    device, found = model.head.weight.device, []
    for tokens in torch.split(torch.from_numpy(sequences).to(device), SEQUENCES_AT_ONCE):
        logits = model(tokens[:, :-1]).float()
        losses = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
        found.append(losses.double().cpu())
    return torch.cat(found)


def clustered_error(losses: NDArray[np.float64], clusters: NDArray[np.int64]) -> float:
    """Return the standard error of the mean of losses that are alike within clusters; 0 where there is one cluster.

    That of a ratio of sums (loss over tokens) of clusters of unequal length: Cochran, Sampling Techniques (1977), 6.4.
    """
    _, place = np.unique(clusters, return_inverse=True)
    place = place.ravel()
    totals, counts = np.bincount(place, losses.ravel()), np.bincount(place)
    number = len(counts)
    if number < 2:
        return 0.0
    apart = totals - counts * losses.mean()
    return float(np.sqrt(number / (number - 1) * (apart**2).sum()) / losses.size)


def position_ranges(context_length: int) -> list[tuple[int, int]]:
    """Cut positions 0 to T into ranges [first, last): the last half, the half before that, … , eight at the most."""
    edges = [context_length]
    while edges[0] > 1 and len(edges) < MOST_RANGES:
        edges.insert(0, edges[0] // 2)
    return list(itertools.pairwise([0, *edges]))
