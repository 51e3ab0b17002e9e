"""The least loss that each budget buys, by a fit and by its refits, and where the frontiers of two fits meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chidu.laws.objective import Floats
from chidu.laws.trials import deviation
from chidu.laws.valley import Path, Surface, least

if TYPE_CHECKING:
    from chidu.laws.fit import Fit

__all__ = ["Crossing", "Frontier", "Multiplier", "crossing", "frontier", "has_frontier", "multiplier", "optimum"]


@dataclass(frozen=True)
class Frontier:
    """Natural logs of the least loss at budgets `flops` (budgets,), which ascend."""

    flops: Floats
    best: Floats
    """(budgets,)"""
    spread: Floats
    """Of the refits (R, budgets), drawn apart to the calibrated deviation, without the noise of a single run."""


@dataclass(frozen=True)
class Crossing:
    """Where two frontiers meet, of the budgets that were searched. None stands for beyond that side of them."""

    flops: float | None
    """None where they do not meet; of several places the dearest."""
    low: float | None
    high: float | None
    searched: tuple[float, float]
    share: float
    """Part of the refits whose frontiers meet there."""


@dataclass(frozen=True)
class Multiplier:
    """How many times the flops one recipe needs for the other's loss. None: out of the range that was searched."""

    value: float | None
    low: float | None
    high: float | None
    searched: tuple[float, float]


def has_frontier(fit: Fit) -> bool:
    """True where flops can be told from what the law reads: flops alone, or params and tokens."""
    if fit.inputs == ("flops",):
        return True
    known = {"params", "params_matmul", "tokens", "unique_tokens"}
    return fit.seen.params_tokens is not None and set(fit.inputs) <= known


def optimum(fit: Fit, flops: float) -> dict[str, float]:
    """Return the columns of the run with the least loss that these flops buy."""
    if fit.inputs == ("flops",):
        return {"flops": flops}
    surface, path = _surface(fit), Path(flops / fit.seen.flops_factor)
    params, _ = least(surface, path, fit.solution.theta[None])
    found = {surface.params_column: params[0], "tokens": path.tokens(params)[0], "flops": flops}
    if "unique_tokens" in fit.inputs:
        found["unique_tokens"] = found["tokens"]
    return {name: float(value) for name, value in found.items()}


def _surface(fit: Fit) -> Surface:
    return Surface(fit, next(name for name in fit.inputs if name.startswith("params")), np.inf)


def frontier(fit: Fit, refits: Floats, flops: Floats) -> Frontier:
    """Return the frontier at these budgets, for the fit and for refits (R, P)."""
    vectors = fit.solution.theta[None]
    if fit.inputs == ("flops",):
        best = fit.solution.log_loss(flops[None], vectors)[0]
        raw = fit.solution.log_loss(flops[None], refits)
    else:
        surface = _surface(fit)
        paths = [Path(float(product)) for product in flops / fit.seen.flops_factor]
        best = np.array([least(surface, path, vectors)[1][0] for path in paths])
        raw = np.array([least(surface, path, refits)[1] for path in paths]).T
    seen, found = fit.seen, fit.calibration
    spread = deviation(raw)
    drift = found.drift * np.maximum(np.log(flops / seen.cost), 0.0)
    wanted = found.factor * np.sqrt((spread * seen.lost_freedom) ** 2 + drift**2)
    return Frontier(flops, best, best + (raw - best) * wanted / np.maximum(spread, 1e-12))


def crossing(first: Frontier, second: Frontier, searched: tuple[float, float], level: float) -> Crossing:
    """Find where the second's loss less the first's changes sign; refits that match by place make the interval.

    Where a refit has no crossing, it lies below the searched budgets if the refit's top agrees with the fit's, else
    beyond them.
    """
    inside = (first.flops >= searched[0] * (1 - 1e-9)) & (first.flops <= searched[1] * (1 + 1e-9))
    budgets = np.log(first.flops[inside])
    gap = (second.best - first.best)[inside]
    gaps = (second.spread - first.spread)[:, inside]
    best = _last_zero(budgets, gap)
    places = np.array([_last_zero(budgets, each) for each in gaps])
    share = float(np.isfinite(places).mean())
    if not np.isfinite(best):
        return Crossing(None, None, None, searched, share)
    elsewhere = np.where(np.sign(gaps[:, -1]) == np.sign(gap[-1]), -np.inf, np.inf)
    low, high = _quantiles(np.where(np.isfinite(places), places, elsewhere), level)
    return Crossing(float(np.exp(best)), _edge(min(low, best)), _edge(max(high, best)), searched, share)


def multiplier(first: Frontier, second: Frontier, flops: float, level: float) -> Multiplier:
    """Find how many times `flops` the first needs for the loss that the second has there."""
    budgets = np.log(first.flops) - np.log(flops)

    def needed(own: Floats, other: Floats) -> float:
        return _first_below(budgets, own - np.interp(0.0, budgets, other))

    best = needed(first.best, second.best)
    each = np.array([needed(own, other) for own, other in zip(first.spread, second.spread, strict=True)])
    low, high = _quantiles(each, level)
    ends = (float(np.exp(budgets[0])), float(np.exp(budgets[-1])))
    return Multiplier(_edge(best), _edge(min(low, best)), _edge(max(high, best)), ends)


def _last_zero(places: Floats, values: Floats) -> float:
    """Place of the last change of sign, on the line between its neighbours; NaN without one."""
    changes = np.flatnonzero((values[1:] > 0) != (values[:-1] > 0))
    return _between(places, values, int(changes[-1])) if len(changes) else float("nan")


def _first_below(places: Floats, values: Floats) -> float:
    """Place where falling values first reach 0; -inf where they begin below, inf where they never get there."""
    reached = values <= 0
    if reached[0]:
        return -np.inf
    return _between(places, values, int(np.argmax(reached)) - 1) if reached.any() else np.inf


def _between(places: Floats, values: Floats, left: int) -> float:
    part = values[left] / (values[left] - values[left + 1])
    return float(places[left] + part * (places[left + 1] - places[left]))


def _quantiles(values: Floats, level: float) -> tuple[float, float]:
    """Quantiles that are values themselves: between a number and an infinity nothing lies."""
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], method="nearest")
    return float(low), float(high)


def _edge(log: float) -> float | None:
    return float(np.exp(log)) if np.isfinite(log) else None
