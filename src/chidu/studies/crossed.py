"""Small tasks crossed with context: does what stands before a prompt, and has nothing to do with it, hurt?

Every item is asked with several amounts of another text before it (`beside.py`). Its own slope of the score over
log10 of all tokens that stand before the answer (the end of text counts as one) is taken for each model; the effect is
their mean, tasks weighted alike, and its error what the slopes differ by from model to model and from item to item
(`slopes.mean_of`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import TableError
from chidu.runs.ladder import Ladder
from chidu.studies.slopes import Slope, mean_of

__all__ = ["Crossed", "Size", "crossed_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """What more context does to the tasks at one size of model."""

    params: float
    slope: Slope
    """Nats per tenfold tokens before the answer."""
    points: tuple[dict[str, float], ...]
    """At each amount of another text: mean score with interval, and part right."""


@dataclass(frozen=True)
class Crossed:
    """Tasks crossed with context."""

    whole: Slope
    """Of all models."""
    sizes: tuple[Size, ...]
    tasks: tuple[tuple[str, Slope], ...]
    """Of each task, all models."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "slope": _told(self.whole),
            "sizes": [{"params": each.params, "slope": _told(each.slope), "points": list(each.points)}
                      for each in self.sizes],
            "tasks": [{"task": task, "slope": _told(slope)} for task, slope in self.tasks],
        }  # fmt: skip


def _told(slope: Slope) -> dict[str, float]:
    return {"value": slope.value, "low": slope.low, "high": slope.high}


def crossed_of(table: Ladder, level: float) -> Crossed | None:
    """Return the effect of the rows whose model is `asked`, with `task, item, before, read, params, seed, score,
    right`; None where there are none. Raises TableError where a model was not asked all of them."""
    rows = table.select(table.columns["model"].astype(str) == "asked")
    if not len(rows):
        return None
    models, of_model = np.unique(
        np.column_stack([rows.numbers("params"), rows.numbers("seed", positive=False)]), axis=0, return_inverse=True
    )
    items, first, of_item = np.unique(rows.numbers("item", positive=False), return_index=True, return_inverse=True)
    amounts, of_amount = np.unique(rows.numbers("before", positive=False), return_inverse=True)
    shaped = (len(amounts), len(models), len(items))
    cells = np.ravel_multi_index((of_amount.ravel(), of_model.ravel(), of_item.ravel()), shaped)
    if len(cells) != np.prod(shaped) or len(np.unique(cells)) != len(cells):
        raise TableError(
            f"{table.source}: {len(models)} models, {len(items)} items and {len(amounts)} amounts of text before are "
            f"{np.prod(shaped)} rows, not {len(cells)}: each model must be asked each item once with each"
        )
    order = np.argsort(cells)
    score, right = (rows.numbers(name, positive=False)[order].reshape(shaped) for name in ("score", "right"))
    decades = np.log10(rows.numbers("read")[order].reshape(shaped))
    apart = decades - decades.mean(axis=0)
    slopes = (apart * score).sum(axis=0) / (apart**2).sum(axis=0)  # [models, items]
    names = rows.columns["task"].astype(str)[first]
    tasks, groups = np.unique(names, return_inverse=True)
    params = models[:, 0]
    return Crossed(
        mean_of(slopes, groups, level),
        tuple(
            Size(float(size), mean_of(slopes[params == size], groups, level),
                 tuple(_points(amounts, decades, score, right, params == size, groups, level)))
            for size in np.unique(params)
            if (params == size).sum() > 1
        ),
        tuple(
            (str(task), mean_of(slopes[:, groups == place], np.zeros((groups == place).sum(), dtype=np.int64), level))
            for place, task in enumerate(tasks)
        ),
    )  # fmt: skip


def _points(
    amounts: Floats,
    decades: Floats,
    score: Floats,
    right: Floats,
    chosen: NDArray[np.bool_],
    groups: NDArray[np.int64],
    level: float,
) -> list[dict[str, float]]:
    found = []
    for place, before in enumerate(amounts):
        mean, part = (mean_of(each[place][chosen], groups, level) for each in (score, right))
        found.append({"before": float(before), "tokens": float(10 ** decades[place].mean()), "score": mean.value,
                      "low": mean.low, "high": mean.high, "right_percent": 100 * part.value})  # fmt: skip
    return found
