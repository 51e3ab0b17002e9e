"""How likely a model holds a text to be after another: any engine that can weigh a text, whatever its tokens are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chidu.errors import ContextError

if TYPE_CHECKING:
    from chidu.inference import Engine

__all__ = ["Likelihood", "likelihood"]

_START = "\n"
"""Stands before every text, so that its first token has something to follow, in models with a mark of their own for
the beginning and in those without."""


@dataclass(frozen=True)
class Likelihood:
    """Of a text after another."""

    nats: float
    """Negative logarithm of its probability."""
    tokens: int
    bytes: int


def likelihood(engine: Engine, before: str, text: str) -> Likelihood:
    """Weigh a text after another. Of one that is too long for the context the beginning of what stands before is cut.

    A token that reaches from one into the other counts as the text's. Raises ContextError where the context does not
    hold the text alone, InputError where the engine can't weigh.
    """
    while True:
        try:
            tokens = engine.score(f"{_START}{before}{text}")
            break
        except ContextError:
            if not before:
                raise
            before = before[len(before) // 4 + 1 :]
    wanted, found, count, nats = len(text.encode()), 0, 0, 0.0
    # From the end: what a model puts before a text is no part of it.
    for token in reversed(tokens):
        if found >= wanted or token.logprob is None:
            break
        found += len(token.data)
        count += 1
        nats -= token.logprob
    return Likelihood(nats, count, wanted)
