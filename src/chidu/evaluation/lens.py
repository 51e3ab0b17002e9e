"""The logit lens: what each layer would have said, were it the last (nostalgebraist, 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from chidu.evaluation.white_box import WhiteBox

__all__ = ["Guess", "logit_lens"]


@dataclass(frozen=True)
class Guess:
    """What one layer would have said in a place."""

    layer: int
    """0: the embedding, before any layer."""
    token: int
    """The most likely one."""
    text: str
    probability: float
    own: float
    """Probability of the token that stands there."""
    rank: int
    """Its place among all tokens, from 1."""


def logit_lens(box: WhiteBox, tokens: Sequence[int], first: int) -> list[list[Guess]]:
    """Return for each token from ``first`` on what each layer would have said in its place, the lowest layer first.

    Raises InputError where the model has no way from its layers to words that we know.
    """
    count = len(tokens) - first
    wanted = torch.tensor(tokens[first:])[:, None]
    found: list[list[Guess]] = [[] for _ in range(count)]
    for layer, logits in enumerate(box.layers(torch.tensor(tokens[:-1]), count)):
        likely = logits.softmax(dim=-1).cpu()
        own = likely.gather(-1, wanted)
        ranks = (likely > own).sum(dim=-1) + 1
        best = likely.max(dim=-1)
        for place in range(count):
            token = int(best.indices[place])
            found[place].append(
                Guess(
                    layer, token, box.decode([token]), float(best.values[place]), float(own[place]), int(ranks[place])
                )
            )
    return found
