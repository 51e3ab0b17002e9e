"""A model's score on the small tasks: how often the right answer is the likeliest of those shown, beside chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import MissingPackageError
from chidu.evaluation.likelihood import likelihood
from chidu.evaluation.resampling import LEVEL

if TYPE_CHECKING:
    from chidu.evaluation.tasks import Item
    from chidu.inference import Engine

__all__ = ["TaskScore", "task_scores"]

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class TaskScore:
    """What a model does on one task."""

    task: str
    items: int
    score: float
    """Share of items whose right answer is the likeliest, 0 to 1."""
    low: float
    high: float
    """90% interval of the score (Wilson's)."""
    chance: float
    """What guessing gives."""
    nats: float
    """Mean log-probability of the right answer among those shown: it moves before the score does."""

    @property
    def verdict(self) -> str:
        """In words: above chance, below it, or that it can't be told."""
        if self.low > self.chance:
            return "above chance"
        return "below chance" if self.high < self.chance else "cannot be told from chance"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "verdict": self.verdict}


def task_scores(engine: Engine, items: Sequence[Item], progress: Progress | None = None) -> list[TaskScore]:
    """Ask a model every item; return a score for each task, in the order of the items."""
    found: dict[str, list[tuple[bool, float, float]]] = {}
    for number, item in enumerate(items):
        if progress is not None:
            progress(number / len(items), f"{number:,} of {len(items):,} items")
        likely = np.array([-likelihood(engine, item.prompt, choice).nats for choice in item.choices])
        highest = likely.max()
        own = float(likely[0] - highest - np.log(np.exp(likely - highest).sum()))
        # Where two answers are as likely, the model does not know: the right one must be above all others.
        is_right = bool(likely[0] > np.delete(likely, 0).max())
        found.setdefault(item.task, []).append((is_right, own, 1 / len(item.choices)))
    return [_of(task, rows) for task, rows in found.items()]


def _of(task: str, rows: Sequence[tuple[bool, float, float]]) -> TaskScore:
    try:
        from scipy.stats import binomtest
    except ImportError as error:
        raise MissingPackageError("scipy", "evaluate", "intervals of scores") from error
    right, nats, chance = (np.array(column, float) for column in zip(*rows, strict=True))
    ends = binomtest(int(right.sum()), len(rows)).proportion_ci(LEVEL, method="wilson")
    return TaskScore(
        task, len(rows), float(right.mean()), float(ends.low), float(ends.high), float(chance.mean()),
        float(nats.mean()),
    )  # fmt: skip
