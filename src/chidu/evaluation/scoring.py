"""A model's log-probability of the right answer among those of an item.

The answers' log-likelihoods after the prompt, each summed over its tokens, are set against each other: the score is
their log-softmax at the right one, so log(1 / answers) for a model that knows nothing. It moves smoothly where a count
of right answers jumps, and the count is given too.

Answers differ in how likely they are of themselves: a rare word loses whatever the prompt says. So from each answer its
own log-likelihood without the prompt is taken off first, and what is left is how much the prompt speaks for it
(pointwise mutual information: Holtzman et al., 2104.08315; `acc_mutual_info` of lm-evaluation-harness). Where there is
no prompt there is nothing to take off. The comparison of whole likelihoods is given beside it.
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

    from chidu.model.transformer import KeyValues, Transformer

__all__ = ["WAYS", "Asked", "ask", "log_likelihoods", "score_items"]

WAYS = ("own taken off", "whole")
"""How answers are compared: their own likelihood without the prompt taken off, or as they are."""

AT_ONCE = 16
"""Sequences in one pass; padding on the right changes no score, since nothing reads ahead."""


@dataclass(frozen=True)
class Asked:
    """An item as tokens, cut to a context."""

    answers: tuple[tuple[tuple[int, ...], int], ...]
    """For each answer all tokens, the end of text before them, and how many of the last are the answer's own."""
    has_prompt: bool = True
    """False where the answer is all there is."""

    @property
    def bare(self) -> tuple[tuple[tuple[int, ...], int], ...]:
        """The answers without the prompt."""
        return tuple(((END_OF_TEXT_ID, *tokens[-own:]), own) for tokens, own in self.answers)


def ask(item: Item, tokenizer: Tokenizer, context_length: int) -> Asked:
    """Write an item as tokens. Of a prompt that is too long for the context, the beginning is left out."""
    prompt = tokenizer.encode(item.prompt).ids if item.prompt else []
    found = []
    for choice in item.choices:
        own = tokenizer.encode(choice).ids[: context_length - 1]
        room = context_length + 1 - len(own)
        found.append((tuple([END_OF_TEXT_ID, *prompt][-room:] + own), len(own)))
    return Asked(tuple(found), bool(prompt))


@torch.inference_mode()
def score_items(model: Transformer, items: Sequence[Asked], before: Sequence[int] = ()) -> NDArray[np.float64]:
    """Return [items, ways, 2]: the right answer's log-probability among its answers (nats), and 1 if it is likeliest.

    The ways are those of WAYS. `before` are tokens that stand before every item, in the same context.
    """
    past = model.features(torch.tensor([list(before)]))[1] if before else None
    whole = log_likelihoods(model, [answer for item in items for answer in item.answers], past)
    asked = [item for item in items if item.has_prompt]
    own = iter(log_likelihoods(model, [answer for item in asked for answer in item.bare], past))
    found, rest = np.empty((len(items), len(WAYS), 2)), iter(whole)
    for place, item in enumerate(items):
        after = np.array([next(rest) for _ in item.answers])
        bare = np.array([next(own) for _ in item.answers]) if item.has_prompt else np.zeros(len(after))
        for way, weighed in enumerate((after - bare, after)):
            highest = weighed.max()
            score = weighed[0] - highest - np.log(np.exp(weighed - highest).sum())
            found[place, way] = score, weighed[0] == highest
    return found


def log_likelihoods(
    model: Transformer, told: Sequence[tuple[tuple[int, ...], int]], past: list[KeyValues] | None = None
) -> NDArray[np.float64]:
    """Return of each text the log-likelihood (nats) of its last tokens, as many as stand beside it.

    `past` is what the model has read before each of them.
    """
    order = sorted(range(len(told)), key=lambda i: len(told[i][0]))  # of like lengths together: little padding
    found = np.empty(len(told))
    for first in range(0, len(order), AT_ONCE):
        rows = order[first : first + AT_ONCE]
        found[rows] = _at_once(model, [told[row] for row in rows], past)
    return found


def _at_once(
    model: Transformer, told: Sequence[tuple[tuple[int, ...], int]], past: list[KeyValues] | None
) -> list[float]:
    longest = max(len(tokens) for tokens, _ in told)
    padded = torch.tensor([[*tokens, *[END_OF_TEXT_ID] * (longest - len(tokens))] for tokens, _ in told])
    read = past and [(k.expand(len(told), -1, -1, -1), v.expand(len(told), -1, -1, -1)) for k, v in past]
    logits = model.head(model.features(padded[:, :-1], read, keep=False)[0]).float()
    losses = F.cross_entropy(logits.transpose(1, 2), padded[:, 1:], reduction="none").double()
    return [
        -float(losses[row, len(tokens) - 1 - own : len(tokens) - 1].sum()) for row, (tokens, own) in enumerate(told)
    ]
