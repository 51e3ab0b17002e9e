"""Reasons for an answer: which tokens carried it, what each layer would have said, where it may come from, and how far
such reasons can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch

from chidu.errors import ContextError, InputError, SettingError
from chidu.evaluation.attribution import (
    MOST_STEPS,
    STEPS,
    Gradients,
    integrated_gradients,
    leave_one_out,
    log_probabilities,
)
from chidu.evaluation.deletion import Deletion, Margin, deleted, margin
from chidu.evaluation.lens import Guess, logit_lens
from chidu.evaluation.tracing import CorpusTrace, Origin
from chidu.evaluation.white_box import WhiteBox, texts_of
from chidu.inference import Prompt

__all__ = ["LIMITS", "MAX_TOKENS", "Explained", "Explanation", "check_numbers", "explain"]

MAX_TOKENS = 12
"""Tokens of an answer that is written here."""
LIMITS = {
    "meaning": "A share says how the model's arithmetic moved, not what it meant: these are no reasons that it had.",
    "together": "The two methods may name different tokens, and both can miss tokens that only count together.",
    "others": "The deletion test asks whether the named tokens matter more than others; it can't show that nothing "
    "else matters.",
    "layers": "Layers are read through the last layer's words, which the early ones do not yet speak.",
    "origin": "The same words in the training text are no proof that they were learned there, and what was learned "
    "from many texts stands in none; and no reason tells whether the answer is true.",
}
"""What such explanations cannot tell, by names that another language has its own sentences for."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Explained:
    """One token of an answer, and what was found of it."""

    token: int
    text: str
    log_probability: float
    """Natural logarithm of its probability, after all tokens before it."""
    gradients: Gradients
    """Integrated gradients."""
    left_out: tuple[float, ...]
    """What it loses, in nats, as each token before it is left out."""
    deletion: tuple[Deletion, ...]
    """The deletion test for the tokens that gradients name, then those that leaving out names; none: too few tokens."""
    layers: tuple[Guess, ...]
    """What each layer would have said; none where the model has no way from them to words."""


@dataclass(frozen=True)
class Explanation:
    """Reasons for an answer."""

    model: str
    prompt: str
    answer: str
    inputs: tuple[str, ...]
    """Texts of all tokens, the prompt's and then the answer's: shares are in their order. A character of several tokens
    stands with the last of them."""
    prompt_tokens: int
    tokens: tuple[Explained, ...]
    """The answer's."""
    gradients: Margin | None
    """The deletion test over the answer's tokens: integrated gradients against random tokens."""
    left_out: Margin | None
    """The same for leaving one out."""
    without_layers: str
    """Why there are no layers; empty where there are."""
    origin: Origin | None
    """Where it may come from; None where no training text was named."""
    limits: Mapping[str, str] = field(default_factory=LIMITS.copy)

    @property
    def missed(self) -> float:
        """Part of the whole that the shares of integrated gradients miss, the median over the answer's tokens.

        Wholes below 0.1 nats are taken as that: there is nothing to be shared out.
        """
        return median(abs(each.gradients.gap) / max(abs(each.gradients.whole), 0.1) for each in self.tokens)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        found = asdict(self) | {"missed": self.missed}
        for token, explained in zip(found["tokens"], self.tokens, strict=True):
            token["gradients"] |= {"gap": explained.gradients.gap}
        for name, each in (("gradients", self.gradients), ("left_out", self.left_out)):
            if each is not None:
                found[name] |= {"verdict": each.verdict}
        return found


def check_numbers(max_tokens: int, steps: int) -> None:
    """Raise SettingError where a number that `explain` is asked with is out of range: before a model is opened."""
    if max_tokens < 1:
        raise SettingError(f"max_tokens is {max_tokens}; it must be at least 1")
    if not 2 <= steps <= MOST_STEPS:
        raise SettingError(f"steps is {steps}; it must be from 2 to {MOST_STEPS}")


def explain(
    box: WhiteBox,
    prompt: Prompt,
    answer: str | None = None,
    *,
    max_tokens: int = MAX_TOKENS,
    steps: int = STEPS,
    seed: int = 0,
    trace: CorpusTrace | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Give reasons for an answer, or for the one that the model writes itself, greedily, of ``max_tokens`` at most.

    ``steps``: places of the path of integrated gradients. ``seed``: of the random choices of the deletion test.
    ``trace``: the training text, to look for where the answer may come from. Takes (tokens of the answer) × ``steps``
    readings forward and back, and as many forward as there are tokens in all, for leaving one out.

    Raises InputError where the prompt has fewer than two tokens, the answer none, or the model writes none;
    ContextError where both are longer than the context; SettingError for numbers out of range.
    """
    check_numbers(max_tokens, steps)
    read = box.read(prompt)
    if len(read) < 2:
        raise InputError("the prompt has fewer than two tokens: there is nothing to choose among; write more of it")
    if len(read) >= box.context_length:
        raise ContextError(
            f"the prompt has {len(read)} tokens; the model's context holds {box.context_length}: shorten it"
        )
    written = _write(box, read, max_tokens) if answer is None else box.go_on(read, answer)
    if not written:
        why = (
            "the model ends here without a word: name an answer" if answer is None else "the answer is empty: give some"
        )
        raise InputError(why)
    tokens, first = [*read, *written], len(read)
    if len(tokens) > box.context_length:
        raise ContextError(
            f"prompt and answer have {len(tokens)} tokens; the model's context holds {box.context_length}: shorten them"
        )
    texts = texts_of(box, tokens)
    tell = progress or (lambda _done, _words: None)
    tell(0.0, "leaving each token out")
    (likely,) = log_probabilities(box, [tokens], len(written))
    lost = leave_one_out(box, tokens, first)
    layers, without = _layers(box, tokens, first)
    explained = []
    for number, place in enumerate(range(first, len(tokens))):
        tell(0.1 + 0.9 * number / len(written), f"token {number + 1} of {len(written)}")
        gradients = integrated_gradients(box, tokens, place, steps)
        explained.append(
            Explained(
                tokens[place], texts[place], float(likely[number]), gradients, lost[number],
                deleted(box, tokens, place, [gradients.shares, lost[number]], seed), tuple(layers[number]),
            )
        )  # fmt: skip
    tell(1.0, "done")
    shown, said = "".join(texts[:first]), "".join(texts[first:])
    return Explanation(
        box.name, shown, said, tuple(texts), first, tuple(explained),
        _margin(explained, 0, seed), _margin(explained, 1, seed), without,
        None if trace is None else trace.origin(shown, said),
    )  # fmt: skip


@torch.no_grad()
def _write(box: WhiteBox, read: list[int], most: int) -> list[int]:
    """Return the tokens that the model takes for the most likely, one after another, up to the end of its text."""
    written = list[int]()
    while len(written) < most and len(read) + len(written) < box.context_length:
        token = int(box.logits(box.embed(torch.tensor([[*read, *written]])), 1)[0, 0].argmax())
        if token in box.ends:
            break
        written.append(token)
    return written


def _layers(box: WhiteBox, tokens: Sequence[int], first: int) -> tuple[list[list[Guess]], str]:
    """Return what the layers would have said of each token, or nothing and why."""
    try:
        return logit_lens(box, tokens, first), ""
    except InputError as error:
        return [[] for _ in tokens[first:]], str(error)


def _margin(explained: Sequence[Explained], way: int, seed: int) -> Margin | None:
    found = [each.deletion[way] for each in explained if each.deletion]
    return margin([each.named for each in found], [each.random for each in found], seed) if found else None
