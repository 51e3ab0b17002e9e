"""Which tokens carried a token: integrated gradients, and what is lost where one is left out.

Both are in nats of the log-probability of the token that is explained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from chidu.evaluation.white_box import WhiteBox

__all__ = [
    "MOST_STEPS",
    "STEPS",
    "Gradients",
    "free_places",
    "integrated_gradients",
    "leave_one_out",
    "log_probabilities",
]

Array = np.ndarray[Any, np.dtype[Any]]

MOST_STEPS = 256
"""The places are found as eigenvalues of a matrix of so many rows; far fewer are enough."""
STEPS = 16
"""Places of the path at which the gradient is taken (Gauss–Legendre)."""
AT_ONCE = 2_048
"""Tokens that are read at once."""
NUMBERS = 2**25
"""Logits that are held at once."""


@dataclass(frozen=True)
class Gradients:
    """What integrated gradients say of one token."""

    shares: tuple[float, ...]
    """Of each token before it, in nats; 0 of marks that are no text."""
    whole: float
    """Log-probability with the text less that with a neutral one of the same length, which the shares add up to."""

    @property
    def gap(self) -> float:
        """What the shares miss of the whole, in nats: the error of taking the path in steps."""
        return self.whole - sum(self.shares)


def integrated_gradients(box: WhiteBox, tokens: Sequence[int], place: int, steps: int = STEPS) -> Gradients:
    """Integrated gradients (Sundararajan et al., 1703.01365) of the log-probability of ``tokens[place]``.

    The path goes in a straight line from the mark between texts, in every place, to the text's own embeddings.
    """
    read, wanted = torch.tensor(tokens[:place]), tokens[place]
    end = box.embed(read)
    is_fixed = torch.tensor(box.fixed(tokens[:place]), device=end.device)
    start = torch.where(is_fixed[:, None], end, box.neutral)
    nodes, weights = _quadrature(steps)
    total = torch.zeros_like(end)
    at_once = max(1, AT_ONCE // place)
    for begin in range(0, steps, at_once):
        along, weight = (end.new_tensor(one[begin : begin + at_once]) for one in (nodes, weights))
        path = (start + along[:, None, None] * (end - start)).requires_grad_()
        said = box.logits(path, 1)[:, 0].log_softmax(dim=-1)[:, wanted]
        (slope,) = torch.autograd.grad(said.sum(), path)
        total += torch.tensordot(weight, slope, 1)
    shares = (total * (end - start)).sum(dim=-1)
    with torch.no_grad():
        both = box.logits(torch.stack((end, start)), 1)[:, 0].log_softmax(dim=-1)[:, wanted]
    return Gradients(tuple(shares.tolist()), float(both[0] - both[1]))


@cache
def _quadrature(steps: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


def leave_one_out(box: WhiteBox, tokens: Sequence[int], first: int) -> list[tuple[float, ...]]:
    """Return for each token from ``first`` on what it loses, in nats, as each token before it is left out.

    ``first``: 2 or more. A mark that is no text stays where it is, and has 0.
    """
    count = len(tokens) - first
    whole = next(log_probabilities(box, [list(tokens)], count))
    free = free_places(box, tokens[:-1])
    lost = np.zeros((count, len(tokens) - 1))
    shorter = [[*tokens[:place], *tokens[place + 1 :]] for place in free]
    # Of a text with one token of the answer less, what follows that one is weighed.
    for place, without in zip(free, log_probabilities(box, shorter, count), strict=True):
        later = max(place + 1 - first, 0)
        lost[later:, place] = whole[later:] - without[-(count - later) :]
    return [tuple(lost[number, : first + number].tolist()) for number in range(count)]


def free_places(box: WhiteBox, tokens: Sequence[int]) -> list[int]:
    """Return the places of tokens that are text, and no marks of the model's."""
    return [place for place, is_fixed in enumerate(box.fixed(tokens)) if not is_fixed]


@torch.no_grad()
def log_probabilities(box: WhiteBox, texts: Sequence[Sequence[int]], count: int) -> Iterator[Array]:
    """Yield for each text the log-probabilities [count] of its last tokens; all texts are equally long, and longer."""
    at_once = max(1, min(AT_ONCE // len(texts[0]), NUMBERS // (count * box.vocabulary)))
    for begin in range(0, len(texts), at_once):
        rows = torch.tensor(texts[begin : begin + at_once])
        said = box.logits(box.embed(rows[:, :-1]), count).log_softmax(dim=-1)
        wanted = rows[:, -count:, None].to(said.device)
        yield from said.gather(-1, wanted)[..., 0].double().cpu().numpy()
