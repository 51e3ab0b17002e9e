"""The loss along a budget: where it is least, how flat it is there, and what reaches the same loss for less in all.

A run of N params on D tokens, whose model then serves W tokens, costs factor · N · (D + W/3) flops in all: factor · N
for each token of the training, and a third of that, which is the forward pass, for each token served (6 N D + 2 N W
where the factor is 6: Sardana et al., 2401.00448). So budgets are written in params × tokens here (flops over the
factor), and what is served as tokens of training (W/3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from chidu.errors import FitError
from chidu.laws.objective import Floats

if TYPE_CHECKING:
    from chidu.laws.fit import Fit

__all__ = ["REPEAT_WORTH", "Path", "Surface", "cheapest", "effective_tokens", "least", "valley"]

REPEAT_WORTH = 15.387756
"""R*, the repeats after which the worth of one more has fallen to 1/e: fitted by Muennighoff et al. (2305.16264,
appendix A) on their runs. It is their constant, and no part of the user's law."""

_POINTS = 400
_POINTS_REFITS = 160
"""Points of a grid for one vector, and for each of many refits, whose intervals need less."""
_TOTALS = 16


def effective_tokens(tokens: Floats, unique_tokens: float) -> Floats:
    """Return what tokens (points,) drawn from a text of ``unique_tokens`` are worth in tokens seen once.

    U (1 + R* (1 - exp(-R / R*))) with R = D/U - 1 repeats; Muennighoff et al., 2305.16264, equation 5.
    """
    if not np.isfinite(unique_tokens):
        return tokens
    repeats = np.maximum(tokens / unique_tokens - 1, 0.0)
    worth = unique_tokens * (1 - REPEAT_WORTH * np.expm1(-repeats / REPEAT_WORTH))
    return np.asarray(np.where(repeats > 0, worth, tokens))


@dataclass(frozen=True)
class Surface:
    """A fit's loss over params and tokens. A law that reads unique_tokens counts repeats itself; for others the rule of
    `effective_tokens` does."""

    fit: Fit
    params_column: str
    unique_tokens: float
    """Infinite where there is text enough."""

    def inputs(self, params: Floats, tokens: Floats) -> Floats:
        """Return the law's inputs (inputs, points) of runs with these params and tokens seen."""
        if "unique_tokens" in self.fit.inputs:
            columns = {"tokens": tokens, "unique_tokens": np.minimum(tokens, self.unique_tokens)}
        else:
            columns = {"tokens": effective_tokens(tokens, self.unique_tokens)}
        columns[self.params_column] = params
        return np.vstack([columns[name] for name in self.fit.inputs])

    def log_loss(self, params: Floats, tokens: Floats, theta: Floats) -> Floats:
        """Return log losses (R, points), infinite where the law has no value."""
        found = self.fit.solution.log_loss(self.inputs(params, tokens), theta)
        return np.where(np.isfinite(found), found, np.inf)


@dataclass(frozen=True)
class Path:
    """The runs that spend a budget, by their params; the tokens follow, and stop where there are no more."""

    product: float
    """The budget, in params × tokens."""
    most_params: float = np.inf
    most_tokens: float = np.inf
    served: float = 0.0
    """Tokens of training's worth that each param serves out of this budget; 0 where it pays for the training alone."""

    def tokens(self, params: Floats) -> Floats:
        """Return tokens (points,) of runs with these params."""
        return np.clip(self.product / params - self.served, min(1.0, self.most_tokens), self.most_tokens)

    def ends(self) -> tuple[float, float]:
        """Return the least and most params: fewer would leave budget over, more leave less than one token."""
        most = min(self.product / (1 + self.served), self.most_params)
        if most < 1 - 1e-9:
            served = " and all that is served" if self.served else ""
            raise FitError(f"the budget is too small: it does not pay for one param and one token{served}")
        most = max(most, 1.0)
        return min(max(1.0, self.product / (self.most_tokens + self.served)), most), most


def least(surface: Surface, path: Path, theta: Floats) -> tuple[Floats, Floats]:
    """Return params (R,) and log loss (R,) of the best run along a path at vectors (R, P).

    All vectors share a grid of log params, which is drawn in around where their least values lie; a parabola does the
    rest. At an end of the path, where a limit holds, the params are those of the end.
    """
    ends = path.ends()
    first, last = np.log(ends)
    low, high = first, last
    points, rounds = (_POINTS, 3) if len(theta) == 1 else (_POINTS_REFITS, 2)
    for _ in range(rounds):
        logs = np.linspace(low, high, points)
        params = np.clip(np.exp(logs), *ends)
        values = surface.log_loss(params, path.tokens(params), theta)
        # Where the terms drown in the floor many points are equally good: the middle one is taken.
        place = (values.argmin(axis=1) + points - 1 - values[:, ::-1].argmin(axis=1)) // 2
        low, high = logs[max(place.min() - 1, 0)], logs[min(place.max() + 1, points - 1)]
    found, value = _vertex(logs, values, place)
    params = np.clip(np.exp(found), *ends)
    # Exactly the limit's, where one holds, and not what its log gives back.
    return np.where(found <= first, ends[0], np.where(found >= last, ends[1], params)), value


def _vertex(logs: Floats, values: Floats, place: np.ndarray[tuple[int], np.dtype[np.int_]]) -> tuple[Floats, Floats]:
    """Return place and value of the parabola through each least value (R,) and its neighbours; the point at an end."""
    inner = np.clip(place, 1, len(logs) - 2)
    each = np.arange(len(values))
    left, middle, right = (values[each, inner + shift] for shift in (-1, 0, 1))
    with np.errstate(all="ignore"):
        bend, tilt = left - 2 * middle + right, (left - right) / 2
        usable = (inner == place) & np.isfinite(bend) & (bend > 0)
        shift = np.where(usable, np.clip(tilt / bend, -1, 1), 0.0)
        gain = np.where(usable, tilt * tilt / (2 * bend), 0.0)
    return logs[place] + shift * (logs[1] - logs[0] if len(logs) > 1 else 0.0), values[each, place] - gain


def cheapest(
    surface: Surface, path: Path, log_loss: Floats, theta: Floats, between: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Return params and tokens (R,) that reach a loss (R,) with the least budget, all that is served included.

    The best loss along a path falls as its budget (in params × tokens) grows; ``between`` brackets the budget looked
    for. A table of budgets is drawn in around those where it reaches the loss.
    """
    low, high = np.log(between)
    for _ in range(6 if len(theta) == 1 else 2):
        totals = np.linspace(low, high, _TOTALS)
        found = [least(surface, replace(path, product=float(np.exp(total))), theta) for total in totals]
        values = np.array([value for _, value in found])
        # The first budget that reaches the loss; the dearest, which does by construction, where rounding hides it.
        reached = np.minimum((values > log_loss).sum(axis=0), _TOTALS - 1)
        low, high = totals[max(reached.min() - 1, 0)], totals[reached.max()]
    if len(theta) == 1:
        params, product = found[reached[0]][0], np.exp(totals[reached])
    else:
        params, product = _between(totals, np.log([each for each, _ in found]), values, reached, log_loss)
    return params, np.array(
        [float(replace(path, product=float(p)).tokens(np.array(n))) for p, n in zip(product, params, strict=True)]
    )


def _between(
    totals: Floats,
    logs: Floats,
    values: Floats,
    reached: np.ndarray[tuple[int], np.dtype[np.int_]],
    log_loss: Floats,
) -> tuple[Floats, Floats]:
    """Return params and budget (R,) on the line between the last budget short of the loss and the first that reaches
    it."""
    each, before = np.arange(len(reached)), np.maximum(reached - 1, 0)
    with np.errstate(all="ignore"):
        part = (values[before, each] - log_loss) / (values[before, each] - values[reached, each])
    part = np.where(np.isfinite(part), np.clip(part, 0.0, 1.0), 1.0)
    params = logs[before, each] + part * (logs[reached, each] - logs[before, each])
    return np.exp(params), np.exp(totals[before] + part * (totals[reached] - totals[before]))


def valley(surface: Surface, path: Path, params: float, percent: float) -> tuple[float, float]:
    """Return the params to either side of the best that cost at most this per cent more loss along the path."""
    low, high = path.ends()
    around = np.clip(params * np.exp(np.linspace(-8, 8, 6401)), low, high)
    theta = surface.fit.solution.theta[None]
    here = np.array([params])
    most = surface.log_loss(here, path.tokens(here), theta)[0, 0] + np.log1p(percent / 100)
    good = around[surface.log_loss(around, path.tokens(around), theta)[0] <= most]
    return float(good.min(initial=params)), float(good.max(initial=params))
