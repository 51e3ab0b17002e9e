"""A model's log-probability of the right answer among those of an item.

The answers' log-likelihoods after the prompt, each summed over its tokens, are set against each other: the score is
their log-softmax at the right one, so log(1 / answers) for a model that knows nothing. It moves smoothly where a count
of right answers jumps, and the count is given too.

Answers differ in how likely they are of themselves: a rare word loses whatever the prompt says. So of each answer its
own log-likelihood is taken off first, and what is left is how much the prompt speaks for it (pointwise mutual
information: Holtzman et al., 2104.08315; `acc_mutual_info` of lm-evaluation-harness). Its own is that after the prompts
of other items of the task, the mean of two: after nothing at all a small model says little that matters (LOG.md has
what each way scatters by). Sentences without a prompt are set against each other by their log-likelihood a token. The
comparison of whole likelihoods is given beside it.
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

WAYS = ("weighed", "whole")
"""How answers are compared: their own likelihood taken off (or a token, where there is no prompt), or as they are."""
OTHERS = 2
"""Prompts of other items after which an answer's own likelihood is taken."""
AT_ONCE = 16
"""Sequences in one pass; padding on the right changes no score, since nothing reads ahead."""


@dataclass(frozen=True)
class Asked:
    """An item as tokens, cut to a context."""

    answers: tuple[tuple[tuple[int, ...], int], ...]
    """For each answer all tokens, the end of text before them, and how many of the last are the answer's own."""
    premises: tuple[tuple[int, ...], ...] = ()
    """What answers are likely of themselves after: other prompts of the task, each from the end of text on; none where
    the answer is all there is."""

    @property
    def elsewhere(self) -> list[tuple[tuple[int, ...], int]]:
        """The answers after each of the premises."""
        return [((*before, *tokens[-own:]), own) for before in self.premises for tokens, own in self.answers]


def ask(items: Sequence[Item], tokenizer: Tokenizer, context_length: int) -> list[Asked]:
    """Write items as tokens. Of a prompt that is too long for the context, the beginning is left out.

    The premises of an item are the prompts of the next ones of its task; of the only one, the end of text.
    """
    prompts = [[END_OF_TEXT_ID, *(tokenizer.encode(item.prompt).ids if item.prompt else [])] for item in items]
    of_task: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        of_task.setdefault(item.task, []).append(place)
    found = []
    for place, item in enumerate(items):
        choices = [tokenizer.encode(choice).ids[: context_length - 1] for choice in item.choices]
        room = context_length + 1 - max(map(len, choices))
        answers = tuple(((*prompts[place][-(context_length + 1 - len(own)) :], *own), len(own)) for own in choices)
        same = of_task[item.task]
        here = same.index(place)
        others = [same[(here + step) % len(same)] for step in range(1, OTHERS + 1)]
        premises = [tuple(prompts[other][-room:]) for other in others if other != place] or [(END_OF_TEXT_ID,)]
        found.append(Asked(answers, tuple(premises) if item.prompt else ()))
    return found


@torch.inference_mode()
def score_items(model: Transformer, items: Sequence[Asked], before: Sequence[int] = ()) -> NDArray[np.float64]:
    """Return [items, ways, 2]: the right answer's log-probability among its answers (nats), and 1 if it is likeliest.

    The ways are those of WAYS. `before` are tokens that stand before every item, in the same context.
    """
    past = model.features(torch.tensor([list(before)]))[1] if before else None
    whole = log_likelihoods(model, [answer for item in items for answer in item.answers], past)
    own = iter(log_likelihoods(model, [answer for item in items for answer in item.elsewhere], past))
    found, rest = np.empty((len(items), len(WAYS), 2)), iter(whole)
    for place, item in enumerate(items):
        after = np.array([next(rest) for _ in item.answers])
        if item.premises:
            elsewhere = np.array([next(own) for _ in item.elsewhere]).reshape(len(item.premises), -1)
            own_taken_off = after - elsewhere.mean(axis=0)
        else:
            own_taken_off = after / [count for _, count in item.answers]
        for way, weighed in enumerate((own_taken_off, after)):
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
