"""A model's log-probability of the right answer among those of an item.

The answers' log-likelihoods after the prompt, each summed over its tokens, are set against each other: the score is
their log-softmax at the right one, so log(1 / answers) for a model that knows nothing. It moves smoothly where a count
of right answers jumps, and the count is given too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from chidu.evaluation.tasks import Item
from chidu.tokens.bpe import END_OF_TEXT_ID

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from chidu.model.transformer import Transformer

__all__ = ["Asked", "ask", "score_items"]

AT_ONCE = 16
"""Sequences in one pass; padding on the right changes no score, since nothing reads ahead."""


@dataclass(frozen=True)
class Asked:
    """An item as tokens, cut to a context."""

    answers: tuple[tuple[tuple[int, ...], int], ...]
    """For each answer all tokens, the end of text before them, and how many of the last are the answer's own."""


def ask(item: Item, tokenizer: Tokenizer, context_length: int) -> Asked:
    """Write an item as tokens. Of a prompt that is too long for the context, the beginning is left out."""
    prompt = tokenizer.encode(item.prompt).ids if item.prompt else []
    found = []
    for choice in item.choices:
        own = tokenizer.encode(choice).ids[: context_length - 1]
        room = context_length + 1 - len(own)
        found.append((tuple([END_OF_TEXT_ID, *prompt][-room:] + own), len(own)))
    return Asked(tuple(found))


@torch.inference_mode()
def score_items(model: Transformer, items: Sequence[Asked]) -> NDArray[np.float64]:
    """Return [items, 2]: the right answer's log-probability among its answers (nats), and 1 where it is likeliest."""
    told = [answer for item in items for answer in item.answers]
    order = sorted(range(len(told)), key=lambda i: len(told[i][0]))  # of like lengths together: little padding
    likelihood = np.empty(len(told))
    for first in range(0, len(order), AT_ONCE):
        rows = order[first : first + AT_ONCE]
        likelihood[rows] = _log_likelihoods(model, [told[row] for row in rows])
    found, start = np.empty((len(items), 2)), 0
    for place, item in enumerate(items):
        own = likelihood[start : start + len(item.answers)]
        start += len(item.answers)
        highest = own.max()
        found[place] = own[0] - highest - np.log(np.exp(own - highest).sum()), own[0] == highest
    return found


def _log_likelihoods(model: Transformer, told: Sequence[tuple[tuple[int, ...], int]]) -> list[float]:
    longest = max(len(tokens) for tokens, _ in told)
    padded = torch.tensor([[*tokens, *[END_OF_TEXT_ID] * (longest - len(tokens))] for tokens, _ in told])
    logits = model(padded[:, :-1]).float()
    losses = F.cross_entropy(logits.transpose(1, 2), padded[:, 1:], reduction="none").double()
    return [
        -float(losses[row, len(tokens) - 1 - own : len(tokens) - 1].sum()) for row, (tokens, own) in enumerate(told)
    ]
