"""How to spend a budget: the params and tokens with the least forecast loss, and how flat the valley around them is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import FitError
from chidu.laws.objective import Floats
from chidu.units import format_count

if TYPE_CHECKING:
    from chidu.laws.fit import Fit

__all__ = ["Plan", "plan"]

VALLEYS = (0.5, 1.0)
"""Per cents of loss for which a plan says how far its params may stray."""


@dataclass(frozen=True)
class Plan:
    """A decision with its forecast. Counts in units of the fitted columns, loss in the table's unit."""

    flops: float
    flops_low: float
    flops_high: float
    params: float
    params_low: float
    params_high: float
    tokens: float
    tokens_low: float
    tokens_high: float
    loss: float
    loss_low: float
    loss_high: float
    level: float
    params_column: str
    """What `params` counts: the column the law was fitted on."""
    flops_rule: str
    """How flops follow from params and tokens."""
    valley: Mapping[float, tuple[float, float]]
    """Per cent of extra loss → least and largest params that cost no more than that, at the same flops."""
    extrapolation: float
    """Budget over the largest flops seen; NaN where the table had none."""
    trust: str
    why: str
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        from chidu.laws.show import plan_text

        return plan_text(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; NaN becomes None."""
        plain = {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in vars(self).items()
        }
        valley = {f"{percent:g}%": list(edges) for percent, edges in self.valley.items()}
        return plain | {"valley": valley, "warnings": list(self.warnings)}


def plan(fit: Fit, flops: float, unique_tokens: float | None, level: float) -> Plan:
    """Return the compute-optimal plan for a budget.

    The flops of a run are taken as factor · params · tokens: the factor is the table's own, else 6. With
    ``unique_tokens`` no token is seen twice: tokens stop there and the rest of the budget goes into params. Params and
    tokens have intervals from the refits, the loss has the forecast's. Raises FitError where the law does not read
    params and tokens, or a number is not above 0.
    """
    if len(fit.inputs) != 2 or fit.inputs[1] != "tokens":
        raise FitError(f"a plan needs a law over params and tokens; the {fit.law} law was fitted on {fit.inputs}")
    for name, value in (("flops", flops), ("unique_tokens", 1.0 if unique_tokens is None else unique_tokens)):
        if not (np.isfinite(value) and value > 0):
            raise FitError(f"{name} is {value}; it must be a finite number above 0")
    product = flops / fit.seen.flops_factor
    vectors = np.vstack([fit.solution.theta, fit.refits])
    params = _optima(fit, vectors, product)
    capped = unique_tokens is not None and bool(product / params[0] > unique_tokens)
    if unique_tokens is not None:
        params = np.maximum(params, product / unique_tokens)
    best = float(params[0])
    point = {fit.inputs[0]: [best], "tokens": [product / best], "flops": [flops]}
    table = fit.forecast(point, level)
    low, high = _edges(params[1:], level, best)
    verdict, why = fit.trust(point)
    return Plan(
        flops=flops,
        flops_low=flops,
        flops_high=flops,
        params=best,
        params_low=low,
        params_high=high,
        tokens=product / best,
        tokens_low=product / high,
        tokens_high=product / low,
        loss=float(table["loss"][0]),
        loss_low=float(table["low"][0]),
        loss_high=float(table["high"][0]),
        level=level,
        params_column=fit.inputs[0],
        flops_rule=_rule(fit),
        valley={percent: _valley(fit, best, product, percent, unique_tokens) for percent in VALLEYS},
        extrapolation=float(table["extrapolation"][0]),
        trust=verdict,
        why=why,
        warnings=_warnings(fit, best, product, capped, unique_tokens),
    )


def _optima(fit: Fit, theta: Floats, product: float) -> Floats:
    """Params (R,) of least loss where params × tokens = product, in closed form, at each vector.

    The least of A N^-α + B D^-β under N D = P lies at N^(α+β) = α A P^β / (β B), whatever kappa is.
    """
    named = fit.solution.named(theta)
    with np.errstate(divide="ignore", over="ignore"):
        log_params = (
            np.log(named["alpha"] * named["A"]) - np.log(named["beta"] * named["B"]) + named["beta"] * np.log(product)
        ) / (named["alpha"] + named["beta"])
    return np.asarray(np.exp(np.clip(log_params, 0.0, np.log(product))))


def _edges(params: Floats, level: float, best: float) -> tuple[float, float]:
    if not len(params):
        return (float("nan"), float("nan"))
    low, high = np.quantile(params, [0.5 - level / 2, 0.5 + level / 2])
    return (min(float(low), best), max(float(high), best))


def _valley(fit: Fit, best: float, product: float, percent: float, unique_tokens: float | None) -> tuple[float, float]:
    """Params to either side of the best that cost at most this per cent more loss."""
    params = best * np.exp(np.linspace(-8, 8, 6401))
    if unique_tokens is not None:
        params = params[params >= min(best, product / unique_tokens) * (1 - 1e-12)]
    loss = np.exp(fit.solution.log_loss(np.vstack([params, product / params]))[0])
    least = np.exp(fit.solution.log_loss(np.array([[best], [product / best]]))[0, 0])
    good = params[loss <= least * (1 + percent / 100)]
    return (float(min(good.min(initial=best), best)), float(max(good.max(initial=best), best)))


def _rule(fit: Fit) -> str:
    name = fit.inputs[0]
    if not fit.seen.has_flops:
        return f"approximated as 6·{name}·tokens"
    return f"{fit.seen.flops_factor:.4g}·{name}·tokens, as in the table's dearer runs"


def _warnings(fit: Fit, best: float, product: float, capped: bool, unique_tokens: float | None) -> tuple[str, ...]:
    found = list(fit.warnings)
    ratio, (low, high) = product / best / best, fit.seen.ratio
    if capped and unique_tokens is not None:
        found.append(
            f"there are only {format_count(unique_tokens)} unique tokens: more params instead, none seen twice"
        )
    elif not low <= ratio <= high:
        found.append(
            f"the optimum is not bracketed: {ratio:.3g} tokens per param, where the runs had {low:.3g} to {high:.3g}"
        )
    return tuple(found)
