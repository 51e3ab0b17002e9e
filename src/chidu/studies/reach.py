"""How far a small task comes with params and tokens, and whether it is above chance anywhere.

**Law.** The score is linear in log params and log tokens. The slope over params is that of the scores' means over the
lengths (`slopes.slope_of`). The slope over tokens is every model's own, for its lengths are of one training; its error
is what these slopes differ by from model to model and from item to item (`slopes.mean_of`).

**Chance.** In every cell (a size at a length) the part of items answered rightly, each item's mean over the seeds; its
interval is Student's t over the items, so wide (Bonferroni) that of all cells of all tasks together a true chance is
left in one study of ten at the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.studies.slopes import Slope, mean_of, slope_of, student

__all__ = ["Answered", "Cell", "Reach", "reach_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """What models of several lengths scored on the items of one task."""

    task: str
    params: Floats
    """(models,)"""
    tokens: Floats
    """(lengths,)"""
    scores: Floats
    """(lengths, models, items) nats"""
    right: Floats
    """(lengths, models, items) 1 or 0"""
    chance: float
    """Part that a model which knows nothing answers rightly."""


@dataclass(frozen=True)
class Cell:
    """A size at a length: the part of items answered rightly."""

    params: float
    tokens: float
    right: float
    low: float
    high: float
    """Of the interval that all cells of all tasks share the level of."""
    score: float
    """Mean, nats."""


@dataclass(frozen=True)
class Reach:
    """One task's law and cells."""

    task: str
    by_params: Slope
    by_tokens: Slope
    """Nats per tenfold."""
    chance: float
    cells: tuple[Cell, ...]
    """By tokens, then params."""

    @property
    def is_above_chance(self) -> bool:
        """True where some cell's whole interval is above chance."""
        return any(each.low > self.chance for each in self.cells)

    @property
    def last(self) -> Cell:
        """The largest size at the most tokens."""
        return self.cells[-1]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "task": self.task,
            **{
                name: {"value": slope.value, "low": slope.low, "high": slope.high}
                for name, slope in (("by_params", self.by_params), ("by_tokens", self.by_tokens))
            },
            "chance_percent": 100 * self.chance,
            "is_above_chance": self.is_above_chance,
            "points": [
                {"params": each.params, "tokens": each.tokens, "right_percent": 100 * each.right,
                 "low": 100 * each.low, "high": 100 * each.high, "score": each.score}
                for each in self.cells
            ],
        }  # fmt: skip


def reach_of(answered: Answered, level: float, tasks: int) -> Reach:
    """Return a task's reach, one of so many tasks. At least two lengths, three models, two items."""
    lengths, _, items = answered.scores.shape
    one = np.zeros(items, dtype=np.int64)
    apart = np.log10(answered.tokens) - np.log10(answered.tokens).mean()
    slopes = np.einsum("l,lmi->mi", apart, answered.scores) / (apart @ apart)
    sizes = np.unique(answered.params)
    told = 1 - (1 - level) / (tasks * lengths * len(sizes))
    half = student(0.5 + told / 2, items - 1)
    cells = []
    for place, tokens in enumerate(answered.tokens):
        for size in sizes:
            chosen = answered.params == size
            right = answered.right[place, chosen].mean(axis=0)  # of each item
            # Where all items are alike the spread says nothing; what chance would leave is a floor to it.
            least = (answered.chance * (1 - answered.chance) / chosen.sum()) ** 0.5
            mean, error = float(right.mean()), max(float(right.std(ddof=1)), float(least)) / items**0.5
            cells.append(
                Cell(
                    float(size), float(tokens), mean, max(0.0, mean - half * error), min(1.0, mean + half * error),
                    float(answered.scores[place, chosen].mean()),
                )
            )  # fmt: skip
    return Reach(
        answered.task,
        slope_of(np.log10(answered.params), answered.scores.mean(axis=0), one, level),
        mean_of(slopes, one, level),
        answered.chance,
        tuple(cells),
    )
