"""A model's loss on a text that it was not trained on: nats per token, and bits per byte, which any two models share.

The text is read in windows that fit the context; before each stands as much of the text as half a window, so that no
token but the first ones has less to go by. Whether the model has seen the text in its training, nobody here can know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import ContextError, TextError
from chidu.evaluation.likelihood import likelihood
from chidu.evaluation.resampling import interval, known, resampled

if TYPE_CHECKING:
    from chidu.inference import Engine

__all__ = ["TextLoss", "text_loss"]

Progress = Callable[[float, str], None]

_WINDOW = 2_048
"""Bytes that are weighed at once; fewer where the context is short."""
_CONTEXT = 2_048
"""Tokens that are taken for the context of a model that does not tell."""
_MOST_BYTES = 1_000_000
"""Of a text that are read: a loss on more of it moves in the third digit."""


@dataclass(frozen=True)
class TextLoss:
    """What a model's loss on a text is."""

    name: str
    loss: float
    """Nats per token of the model's own."""
    bits_per_byte: float
    low: float
    high: float
    """90% interval of bits per byte, over windows."""
    tokens: int
    bytes: int
    windows: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON: an end of the interval that is not known is null."""
        return known(asdict(self))


def text_loss(engine: Engine, name: str, text: str, seed: int = 0, progress: Progress | None = None) -> TextLoss:
    """Measure a model's loss on a text, of which a million bytes are read.

    Raises TextError where it is empty, InputError where the engine can't weigh texts.
    """
    text = text.strip()
    if not text:
        raise TextError(f"{name} is empty: give a text")
    text = text.encode()[:_MOST_BYTES].decode(errors="ignore")
    # With half as much before it, a window fits even where each byte is a token.
    size = max(32, min(_WINDOW, ((engine.context_length or _CONTEXT) - 2) * 2 // 3))
    found: list[tuple[float, int, int]] = []
    done, total = 0, len(text)
    for before, window in _windows(text, size):
        found += _weighed(engine, before, window)
        done += len(window)
        if progress is not None:
            progress(done / total, f"{done:,} of {total:,} characters")
    nats, tokens, sizes = (np.array(column, float) for column in zip(*found, strict=True))

    def bits(places: Any) -> float:
        return float(nats[places].sum() / sizes[places].sum()) / math.log(2)

    everything = np.arange(len(found))
    low, high = interval(resampled(bits, len(found), seed)) if len(found) > 1 else (math.nan, math.nan)
    return TextLoss(
        name, float(nats.sum() / tokens.sum()), bits(everything), low, high,
        int(tokens.sum()), int(sizes.sum()), len(found),
    )  # fmt: skip


def _windows(text: str, size: int) -> Iterator[tuple[str, str]]:
    """Yield windows of so many bytes with what stands before them."""
    start = 0
    while start < len(text):
        end = start + max(1, len(text[start : start + size].encode()[:size].decode(errors="ignore")))
        before = text[max(0, start - size // 2) : start].encode()[-(size // 2) :].decode(errors="ignore")
        yield before, text[start:end]
        start = end


def _weighed(engine: Engine, before: str, window: str) -> Iterator[tuple[float, int, int]]:
    """Yield nats, tokens and bytes of a window; of one that the context does not hold, of its halves."""
    try:
        one = likelihood(engine, before, window)
        yield one.nats, one.tokens, one.bytes
    except ContextError:
        if len(window) < 2:
            raise
        middle = len(window) // 2
        yield from _weighed(engine, before, window[:middle])
        yield from _weighed(engine, (before + window[:middle])[-middle:], window[middle:])
