"""Judge the whole procedure by leaving the future out: fit below a cut, forecast above, compare with the measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chidu.errors import FitError
from chidu.laws.catalogue import find_law
from chidu.laws.choose import label
from chidu.laws.fit import Fit, candidates, fit
from chidu.laws.objective import Floats
from chidu.laws.rows import read_costs, read_rows
from chidu.laws.settings import check_settings
from chidu.laws.trials import cut_points
from chidu.runs.ladder import Ladder, Table
from chidu.units import count_of

__all__ = ["Backtest", "backtest"]

FACTORS = (1.4, 2.0, 2.8, 4.0, 8.0, 16.0, 32.0)
"""The cuts lie this far below the dearest run's cost."""


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts of runs that the fits below each cut had not seen."""

    law: str
    """As asked for."""
    level: float
    table: Table
    """A row for each cut and run above it: cut, gap (× the cut), law, forecast, low, high, measured, error (of 1)."""
    median_error: float
    """Median of |error|."""
    inside: float
    """Part of the rows that the interval holds; NaN without intervals."""
    width: float
    """Median of (high - low) / forecast; NaN without intervals."""
    cuts: int

    @property
    def summary(self) -> str:
        """One line."""
        found = f"{len(self.table['error'])} forecasts at {self.cuts} cuts: median error {100 * self.median_error:.2f}%"
        if not math.isfinite(self.width):
            return f"{found}, fitted without refits, so there are no intervals"
        return (
            f"{found}, {self.inside:.0%} inside the {self.level:.0%} interval, "
            f"whose median width is {100 * self.width:.2g}%"
        )

    def __str__(self) -> str:
        from chidu.laws.show import backtest_text

        return backtest_text(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "law": self.law,
            "level": self.level,
            "cuts": self.cuts,
            "median_error": self.median_error,
            "inside": self.inside if math.isfinite(self.inside) else None,
            "width": self.width if math.isfinite(self.width) else None,
            "summary": self.summary,
            "rows": self.table.rows(),
        }


def backtest(
    runs: Ladder | Mapping[str, ArrayLike] | Any,
    law: str = "auto",
    resamples: int = 200,
    *,
    level: float = 0.9,
    seed: int = 0,
    weighting: str = "auto",
) -> Backtest:
    """Fit below several cuts of cost and forecast every run above; ``auto`` chooses anew below each cut.

    Raises as `fit` does, and FitError where no cut leaves enough rows below it.
    """
    check_settings(resamples, level, seed)
    ladder = Ladder.of(runs)
    shape = candidates(ladder, None, None)[0][0] if law == "auto" else find_law(law, ladder.columns)
    rows = read_rows(ladder, shape, None, None)
    cost = read_costs(ladder, shape)
    pieces = []
    for cut in cut_points(rows, len(shape.parameters), FACTORS):
        below = fit(ladder.select(cost <= cut), law, resamples, level=level, seed=seed, weighting=weighting)
        pieces.append(_judge(below, ladder.select(cost > cut), cut, cost[cost > cut]))
    if not pieces:
        raise FitError(
            f"{ladder.source}: {count_of(len(ladder), 'row')}: too few to leave the dearer ones out: "
            f"the {shape.name} law needs {len(shape.parameters) + 2} rows at half the largest cost or less"
        )
    table = Table({name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]})
    return Backtest(
        law=law,
        level=level,
        table=table,
        median_error=float(np.median(np.abs(table["error"]))),
        inside=_inside(table) if resamples else float("nan"),
        width=float(np.median((table["high"] - table["low"]) / table["forecast"])),
        cuts=len(pieces),
    )


def _inside(table: Table) -> float:
    return float(np.mean((table["low"] <= table["measured"]) & (table["measured"] <= table["high"])))


def _judge(below: Fit, above: Ladder, cut: float, cost: Floats) -> dict[str, NDArray[Any]]:
    """Columns of one cut: forecasts beside what was measured."""
    forecast = below.forecast(above)
    measured = above.numbers(below.target)
    return {
        "cut": np.full(len(above), cut),
        "gap": cost / cut,
        "law": np.full(len(above), label(below.law, below.weighting), dtype=object),
        "forecast": forecast[below.value_name],
        "low": forecast["low"],
        "high": forecast["high"],
        "measured": measured,
        "error": forecast[below.value_name] / measured - 1,
    }
