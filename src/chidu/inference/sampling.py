"""How a token is drawn, and how tokens become text: whole characters, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chidu.errors import SettingError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["HALF", "Piece", "Sampling", "draw", "pieces"]

HALF = "\ufffd"
"""What a character of which some bytes are missing is shown as."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn, and when to stop."""

    max_tokens: int = 100
    """Tokens to write at the most."""
    temperature: float = 0.8
    """Divides the logits; 0 takes the most likely token (greedy)."""
    top_p: float = 0.95
    """Draw from the fewest most likely tokens that hold this much probability."""
    seed: int = 0
    top_k: int = 0
    """Draw from so many most likely tokens; 0: from all."""
    stop: tuple[str, ...] = ()
    """Texts before which the writing ends."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise SettingError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if not 0 <= self.seed < 2**63:
            raise SettingError(f"seed is {self.seed}; it must be in 0..2**63-1")
        if not 0 <= self.temperature <= 10:
            raise SettingError(f"temperature is {self.temperature}; it must be in 0..10")
        if not 0 < self.top_p <= 1:
            raise SettingError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        if self.top_k < 0:
            raise SettingError(f"top_k is {self.top_k}; it must be 0 or more")
        if not all(self.stop):
            raise SettingError("stop holds an empty text, before which nothing could be written")


@dataclass(frozen=True)
class Piece:
    """Some text as it is written; the last piece of a text says why it ended there."""

    text: str
    finish: str | None = None
    """`stop` (the end of the text, or a stop string), `length` (max_tokens, or a full context); None before the end."""
    tokens: int = 0
    """Tokens that were drawn for it."""


def draw(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draw one token from logits [V]."""
    import torch

    if sampling.temperature == 0:
        return int(logits.argmax())
    # From the largest logit down, in float64: a temperature close to 0 must not divide to infinity less infinity.
    scaled = (logits - logits.max()).double() / sampling.temperature
    probability, order = scaled.softmax(dim=-1).sort(descending=True, stable=True)
    # A token is kept where those before it hold less than top_p: so at least one always is.
    probability[probability.cumsum(0) - probability >= sampling.top_p] = 0
    if sampling.top_k:
        probability[sampling.top_k :] = 0
    return int(order[torch.multinomial(probability, 1, generator=generator)])


def pieces(
    tokens: Iterable[int], decode: Callable[[list[int]], str], ends: Callable[[int], bool], sampling: Sampling
) -> Iterator[Piece]:
    """Yield the text of tokens as they come: characters when they are whole, and what may be a stop string's beginning
    only when it is none. The last piece, which may be empty, has the reason of the end."""
    written: list[int] = []
    shown, counted, drawn, text, finish = 0, 0, 0, "", "length"
    for token in tokens:
        drawn += 1
        if ends(token):
            finish = "stop"
            break
        written.append(token)
        text = decode(written)
        if (found := first_stop(text, sampling.stop)) is not None:
            text, finish = text[:found], "stop"
            break
        safe = len(text) - held_back(text, sampling.stop)
        if safe > shown and not text.endswith(HALF):
            yield Piece(text[shown:safe], tokens=drawn - counted)
            shown, counted = safe, drawn
    yield Piece(text[shown:].rstrip(HALF), finish, drawn - counted)


def first_stop(text: str, stop: Iterable[str]) -> int | None:
    """Return where the first stop string in a text begins, or None."""
    found = [place for each in stop if (place := text.find(each)) >= 0]
    return min(found, default=None)


def held_back(text: str, stop: Iterable[str]) -> int:
    """Return how many characters at the end of a text are the beginning of a stop string."""
    return max((k for each in stop for k in range(1, len(each)) if text.endswith(each[:k])), default=0)
