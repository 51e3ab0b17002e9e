"""The deletion test: is more lost without the tokens that are said to have carried a token than without any others?

After ERASER's comprehensiveness (DeYoung et al., 1911.03429): the same number of tokens is left out at random, many
times, and the two losses are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chidu.evaluation.attribution import free_places, log_probabilities
from chidu.evaluation.resampling import interval
from chidu.evaluation.white_box import WhiteBox

__all__ = ["DRAWN", "LEVEL", "SHARE", "Deletion", "Margin", "deleted", "margin"]

Array = np.ndarray[Any, np.dtype[Any]]

SHARE = 0.2
"""Of the tokens before one, so many are left out: those with the highest shares."""
DRAWN = 20
"""Random choices of as many."""
LEVEL = 0.9
FEWEST = 4
"""Tokens from which an interval is told; of fewer, the bootstrap's is much too narrow."""
RESAMPLES = 2_000


@dataclass(frozen=True)
class Deletion:
    """What one token lost, in nats of its log-probability."""

    tokens: int
    """That were left out."""
    of: int
    """Tokens of text before it."""
    named: float
    """Lost without those that were said to have carried it."""
    random: float
    """Lost without as many others, the mean over random choices; a choice may hold some that were named."""


@dataclass(frozen=True)
class Margin:
    """What was lost over several tokens or texts: the means, in nats, and their difference."""

    named: float
    random: float
    difference: float
    low: float | None
    """Ends of the difference's interval, by bootstrap; None for fewer than four."""
    high: float | None
    level: float
    count: int
    """Tokens or texts."""

    @property
    def verdict(self) -> str:
        """`better` than random where the whole interval is above 0, `worse` where below, else `undecided`."""
        if self.low is None or self.high is None:
            return "undecided"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "undecided"


def deleted(
    box: WhiteBox, tokens: Sequence[int], place: int, ways: Sequence[Sequence[float]], seed: int = 0,
    share: float = SHARE, drawn: int = DRAWN,
) -> tuple[Deletion, ...]:  # fmt: skip
    """Leave out the tokens that each way of ``ways`` (shares of the tokens before ``place``) names, and as many others.

    Returns nothing where there are too few tokens to leave some out and keep others.
    """
    free = np.array(free_places(box, tokens[:place]))
    count = max(1, round(share * len(free)))
    if len(free) <= count or place <= count:
        return ()
    source = np.random.default_rng((seed, place))
    chosen = [source.choice(free, count, replace=False) for _ in range(drawn)]
    # Of equal shares the later token first, as all else is equal the nearer.
    named = [free[np.lexsort((free, np.asarray(way)[free]))[-count:]] for way in ways]
    texts = [_without(tokens[: place + 1], places) for places in (*named, *chosen)]
    (whole,) = next(log_probabilities(box, [tokens[: place + 1]], 1)).tolist()
    lost = whole - np.concatenate(list(log_probabilities(box, texts, 1)))
    random = float(lost[len(ways) :].mean())
    return tuple(Deletion(count, len(free), float(each), random) for each in lost[: len(ways)])


def _without(tokens: Sequence[int], places: Array) -> list[int]:
    gone = set(places.tolist())
    return [token for place, token in enumerate(tokens) if place not in gone]


def margin(named: Sequence[float], random: Sequence[float], seed: int = 0, level: float = LEVEL) -> Margin:
    """Return the mean losses and the interval of their difference, by bootstrap over the rows."""
    differences = np.subtract(named, random)
    low = high = None
    if len(differences) >= FEWEST:
        rows = np.random.default_rng(seed).integers(0, len(differences), (RESAMPLES, len(differences)))
        low, high = interval(differences[rows].mean(axis=1), level)
    return Margin(
        float(np.mean(named)), float(np.mean(random)), float(differences.mean()), low, high, level, len(differences)
    )
