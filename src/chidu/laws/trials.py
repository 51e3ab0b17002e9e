"""Leave the future out: fit the cheap runs, forecast the dear ones, and keep what went wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from chidu.errors import FitError
from chidu.laws.law import Law
from chidu.laws.objective import OBJECTIVES, Floats, Objective
from chidu.laws.rows import Rows
from chidu.laws.solve import Solution, refit, solve

__all__ = [
    "RESAMPLINGS",
    "Trial",
    "cut_points",
    "deviation",
    "draw_weights",
    "lost_freedom",
    "noise_of",
    "resample",
    "run_trials",
]

CUTS = (1.4, 2.0, 3.0, 4.5, 7.0, 12.0, 24.0, 48.0)
"""How far below the dearest run the cuts are tried, as factors of cost."""

_REFITS = 64

LEAST_GROUPS = 5
"""Fewer groups can't stand for what another group would have done."""

RESAMPLINGS: Mapping[str, str] = MappingProxyType(
    {
        "auto": "whole groups where the table has five or more, else rows",
        "pairs": "rows, each by itself",
        "group": "whole groups: runs that share a trajectory stray together",
        "residual": "the runs stay, their residuals change size and sign (by group, where auto would draw groups)",
    }
)
"""What refits behind the intervals draw."""


@dataclass(frozen=True)
class Trial:
    """One cut: a fit below it, and its forecasts of the rows above it. Arrays are (held-out rows,)."""

    cut: float
    """The dearest cost that the fit saw."""
    rows: int
    """Rows the fit saw."""
    held: NDArray[np.int_]
    """Indices of the held-out rows."""
    gap: Floats
    """Log of a held-out row's cost over the cut."""
    forecast: Floats
    """Log losses forecast."""
    error: Floats
    """Log forecast - log measured."""
    spread: Floats
    """Standard deviation of the log forecast over refits."""
    noise: float
    """Standard deviation of the fit's own residuals, in log loss."""
    solution: Solution


def cut_points(rows: Rows, parameters: int, factors: Sequence[float] = CUTS) -> list[float]:
    """Costs to cut at: several, each leaving enough rows below to fit and at least one above."""
    top = rows.cost.max()
    cuts: dict[int, float] = {}
    for factor in factors:
        seen = rows.cost <= top / factor * (1 + 1e-9)
        if parameters + 2 <= seen.sum() < len(rows) and _spans(rows, seen):
            cuts.setdefault(int(seen.sum()), float(rows.cost[seen].max()))
    return list(cuts.values())


def _spans(rows: Rows, seen: NDArray[np.bool_]) -> bool:
    """True where every input takes at least two values below the cut, and three where the table has three."""
    return all(len(np.unique(x[seen])) >= min(3, len(np.unique(x))) for x in rows.inputs)


def run_trials(
    rows: Rows,
    law: Law,
    cuts: Sequence[float],
    seed: int,
    objective: Objective = OBJECTIVES["huber"],
    resampling: str = "auto",
) -> list[Trial]:
    """Fit the law below each cut and forecast the rows above it.

    Left out are cuts below which a formula's search finds no value, or where it has none at a dearer row.
    """
    found = []
    for index, cut in enumerate(cuts):
        with contextlib.suppress(FitError):
            trial = _trial(rows, law, cut, np.random.default_rng([seed, index]), objective, resampling)
            found += [trial] if np.isfinite(trial.error).all() and np.isfinite(trial.spread).all() else []
    return found


def _trial(
    rows: Rows, law: Law, cut: float, random: np.random.Generator, objective: Objective, resampling: str
) -> Trial:
    seen = rows.cost <= cut
    below, held = rows.select(seen), np.flatnonzero(~seen)
    solution = solve(below, law, objective)
    above = rows.inputs[:, held]
    forecast = solution.log_loss(above)[0]
    vectors = resample(below, solution, _REFITS, random, objective, resampling)
    spread = deviation(solution.log_loss(above, vectors)) * lost_freedom(below, law)
    return Trial(
        cut=cut,
        rows=len(below),
        held=held,
        gap=np.log(rows.cost[held] / cut),
        forecast=forecast,
        error=forecast - np.log(rows.loss[held]),
        spread=spread,
        noise=noise_of(below, solution),
        solution=solution,
    )


def deviation(refitted: Floats) -> Floats:
    """Standard deviation of refitted log forecasts (R, points), from their central 80%: single refits stray far."""
    low, high = np.percentile(refitted, [10, 90], axis=0)
    return np.asarray((high - low) / (2 * 1.2816))


def lost_freedom(rows: Rows, law: Law) -> float:
    """Resampled residuals are too small, since the parameters bent towards them: by how much."""
    return float(np.sqrt(len(rows) / max(len(rows) - len(law.parameters), 1)))


def noise_of(rows: Rows, solution: Solution) -> float:
    """Standard deviation of log residuals at the dear end, corrected for the parameters spent: what lies between the
    typical run and the stray ones.

    Rows count by the root of their cost, and a few far-off runs do not lead: the corners of a grid, where training was
    starved, say little of the noise where one forecasts.
    """
    near = rows.weights * np.sqrt(rows.cost / rows.cost.max())
    residual = np.abs(solution.log_loss(rows.inputs)[0] - np.log(rows.loss))
    inner = 1.4826 * _quantile(residual, near, 0.5)
    outer = _quantile(residual, near, 0.9) / 1.645
    return float(np.sqrt(inner * outer)) * lost_freedom(rows, solution.law)


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])


def resample(
    rows: Rows,
    solution: Solution,
    count: int,
    random: np.random.Generator,
    objective: Objective = OBJECTIVES["huber"],
    resampling: str = "auto",
) -> Floats:
    """Return the vectors (count, P) of refits to resamples of the rows: see RESAMPLINGS."""
    if resampling != "residual":
        return refit(rows, solution, draw_weights(rows, count, random, resampling), objective)
    forecast = solution.log_loss(rows.inputs)[0]
    residual = np.log(rows.loss) - forecast if objective.logs else rows.loss - np.exp(forecast)
    units = _units(rows, "auto")
    drawn = random.choice(_WEBB, (count, units.max() + 1))[:, units]
    weights = np.broadcast_to(rows.weights, (count, len(rows)))
    return refit(rows, solution, weights, objective, (drawn - 1.0) * residual)


_WEBB = np.sqrt([1.5, 1.0, 0.5]).repeat(2) * np.array([1.0, -1.0] * 3)
"""Six factors of mean 0 and variance 1, for few groups (Webb, 2014)."""


def draw_weights(rows: Rows, count: int, random: np.random.Generator, resampling: str = "auto") -> Floats:
    """Return weights (count, rows) of resamples.

    Rows are drawn with replacement, each as often as it comes. A whole group counts by a draw from the exponential
    distribution (the Bayesian bootstrap, Rubin 1981): drawn as often as it comes, the few sizes of a ladder are so
    often left out that the law of what remains is anything at all.
    """
    units = _units(rows, resampling)
    count_of_units = int(units.max()) + 1
    if count_of_units < len(rows):
        return np.asarray(random.exponential(size=(count, count_of_units))[:, units] * rows.weights)
    return np.asarray(random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), count) * rows.weights)


def _units(rows: Rows, resampling: str) -> NDArray[np.int_]:
    """Number what is drawn as one: rows, or the groups that they share."""
    labels = np.unique(rows.groups, return_inverse=True)[1].reshape(-1) if len(rows.groups) else np.arange(len(rows))
    if resampling == "auto":
        resampling = "group" if LEAST_GROUPS <= labels.max() + 1 < len(rows) else "pairs"
    return np.asarray(labels if resampling == "group" else np.arange(len(rows)), dtype=int)
