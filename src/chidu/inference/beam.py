"""Beam search over our own models: the texts of greatest mean log-probability among those that were followed.

Several beginnings are gone on from at once, those of the greatest log-probability; each that ends is kept, and the best
of those kept is told by its log-probability over its length to the power LENGTH_POWER (Wu et al., 2016, section 7, in
the plainer form of Marian and fairseq), since a sum alone would prefer short texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from chidu.model.transformer import Transformer

__all__ = ["Hypothesis", "beam_search"]

LENGTH_POWER = 1.0
"""1 takes the mean log-probability of a token, 0 the sum."""


@dataclass(frozen=True)
class Hypothesis:
    """A text that a model may write."""

    tokens: tuple[int, ...]
    """Without the end of text."""
    logprob: float
    """Natural logarithm of its probability, the end of text included where it has one."""
    is_ended: bool
    """False where there was no room for more."""

    @property
    def worth(self) -> float:
        """What hypotheses are compared by."""
        return self.logprob / float(max(1, len(self.tokens) + self.is_ended) ** LENGTH_POWER)


@torch.inference_mode()
def beam_search(model: Transformer, prefix: Sequence[int], most: int, beams: int, end: int) -> Hypothesis:
    """Return the best text of at most `most` tokens (1 at least) that follows a prefix, of so many followed at once.

    It is over once as many have ended as are followed and the best of those is worth more than any that still goes on.
    With one beam it is what greedy decoding writes.
    """
    features, past = model.features(torch.tensor([list(prefix)]))
    logits = model.head(features[:, -1])  # [B, V], of B texts that are followed
    totals = torch.zeros(1, dtype=torch.float64)
    texts: list[tuple[int, ...]] = [()]
    ended: list[Hypothesis] = []
    for step in range(most):
        found = totals[:, None] + logits.float().log_softmax(dim=-1).double()
        words = found.shape[1]
        # Twice as many as are followed: so many go on even where half of them end.
        values, places = found.flatten().topk(min(2 * beams, found.numel()))
        rows, tokens, kept = list[int](), list[int](), list[float]()
        for rank, (value, place) in enumerate(zip(values.tolist(), places.tolist(), strict=True)):
            row, token = divmod(place, words)
            if token == end:
                # One that is beaten by as many others as are followed has no claim.
                if rank < beams:
                    ended.append(Hypothesis(texts[row], value, True))
            elif len(rows) < beams:
                rows.append(row)
                tokens.append(token)
                kept.append(value)
        totals = torch.tensor(kept, dtype=torch.float64)
        texts = [(*texts[row], token) for row, token in zip(rows, tokens, strict=True)]
        if step == most - 1 or (len(ended) >= beams and _is_settled(ended, texts, kept)):
            break
        if rows != list(range(len(past[0][0]))):
            chosen = torch.tensor(rows)
            past = [(keys[chosen], values[chosen]) for keys, values in past]
        features, past = model.features(torch.tensor(tokens)[:, None], past)
        logits = model.head(features[:, -1])
    if not ended:
        ended = [Hypothesis(text, total, False) for text, total in zip(texts, totals.tolist(), strict=True)]
    return max(ended, key=lambda each: each.worth)


def _is_settled(ended: list[Hypothesis], texts: list[tuple[int, ...]], totals: list[float]) -> bool:
    going_on = (Hypothesis(text, total, False).worth for text, total in zip(texts, totals, strict=True))
    return max(each.worth for each in ended) >= max(going_on, default=float("-inf"))
