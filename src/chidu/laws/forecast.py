"""A law's value elsewhere, with an interval, and a plain word on whether to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from chidu.errors import FitError
from chidu.laws.calibration import disagreement
from chidu.laws.doubts import CHECKPOINTS, NO_TREND, floor_is_open
from chidu.laws.objective import Floats
from chidu.laws.settings import check_level
from chidu.laws.solve import Status
from chidu.laws.trials import deviation
from chidu.runs.ladder import Ladder, Table
from chidu.units import format_level, percent, times

if TYPE_CHECKING:
    from chidu.laws.fit import Fit

__all__ = ["OFF_RATIO", "forecast", "trust"]

FAR = 30.0
"""Beyond this many times the dearest run's cost a forecast is called far."""

TOO_FAR = 1000.0

BELOW = 3.0
"""Beyond this many times below the cheapest run's cost a law is untested: the smallest models often bend off it."""

OFF_RATIO = 3.0
"""Beyond this many times the largest ratio of tokens to params that was seen, or below the least, a law is untested."""

FLOOR_MATTERS = 3.0
"""Beyond this many times the dearest run's cost a floor that the runs do not fix is a reason for care."""


@dataclass(frozen=True)
class _View:
    """Forecasts at points, all (points,), logs natural."""

    inputs: Floats
    log_loss: Floats
    deviation: Floats
    reach: Floats
    """Cost over the dearest run's."""
    depth: Floats
    """The cheapest run's cost over the point's."""


def _view(fit: Fit, points: Ladder) -> _View:
    if not len(points):
        raise FitError(f"{points.source}: no points to forecast")
    for name in fit.inputs:
        if name == "params_matmul" and name not in points and "params" in points:
            raise FitError(
                f"{points.source}: this law reads params_matmul (without the embedding), and the points have params: "
                "name the column params_matmul, and give the count without the embedding"
            )
    inputs = np.vstack([points.numbers(name) for name in fit.inputs])
    best = fit.solution.log_loss(inputs)[0]
    costs = fit.seen.costs(points, inputs)
    reach, depth = costs / fit.seen.cost, fit.seen.least_cost / costs
    if not len(fit.refits):
        return _View(inputs, best, np.full(len(best), np.nan), reach, depth)
    spread = deviation(fit.solution.log_loss(inputs, fit.refits)) * fit.seen.lost_freedom
    apart = disagreement(best, [(rival.share, rival.solution.log_loss(inputs)[0]) for rival in fit.rivals])
    return _View(inputs, best, fit.calibration.deviation(spread, np.log(reach), apart), reach, depth)


def forecast(fit: Fit, points: Ladder | Mapping[str, ArrayLike] | Any, level: float) -> Table:
    """Forecast at points. See `Fit.forecast`."""
    check_level(level)
    view = _view(fit, Ladder.of(points))
    half = fit.calibration.reach(level) * view.deviation
    return Table(
        {
            **dict(zip(fit.inputs, view.inputs, strict=True)),
            fit.value_name: np.exp(view.log_loss),
            "low": np.exp(view.log_loss - half),
            "high": np.exp(view.log_loss + half),
            "extrapolation": view.reach if fit.seen.knows_cost else np.full(len(half), np.nan),
        }
    )


def trust(fit: Fit, points: Ladder | Mapping[str, ArrayLike] | Any, level: float | None = None) -> tuple[str, str]:
    """Judge forecasts at points by the worst of them. See `Fit.trust`."""
    level = fit.level if level is None else level
    check_level(level)
    view = _view(fit, Ladder.of(points))
    if not np.isfinite(view.log_loss).all():
        return "no", "the law has no value there"
    if len(fit.refits) and not np.isfinite(view.deviation).all():
        return "no", "the law has no value there by some refits, so there is no interval"
    width = float(np.expm1(fit.calibration.reach(level) * view.deviation).max())
    grave, slight = _concerns(fit, view, width), _cautions(fit, view, width)
    if grave:
        return "no", "; ".join(grave + slight)
    if slight:
        return "with care", "; ".join(slight)
    # What dearer runs were missed by says nothing of a point among the runs.
    record = f"; {_record(fit)}" if view.reach.max() > 1 else ""
    return "yes", f"{_how_far(fit, view)}, within ±{percent(width)} at {format_level(level)}{record}"


def _concerns(fit: Fit, view: _View, width: float) -> list[str]:
    found = []
    if fit.status is Status.NOT_CONVERGED:
        found.append("the fit did not converge")
    if fit.rows <= len(fit.parameters):
        # Such a law passes through every run: no residual is left that could tell of an error.
        found.append("as many parameters as runs: the interval says nothing")
    if NO_TREND in fit.warnings:
        found.append("dearer runs are no better than cheaper ones")
    if view.reach.max() > TOO_FAR or view.depth.max() > TOO_FAR:
        found.append(f"{_how_far(fit, view)}: nothing here was tested so far out")
    elif out := _farthest_input(fit, view, TOO_FAR):
        found.append(f"{out}: nothing here was tested so far out")
    if width > 0.2:
        found.append(f"the interval is ±{percent(width)} wide")
    return found


def _cautions(fit: Fit, view: _View, width: float) -> list[str]:
    found, reach, depth = [], float(view.reach.max()), float(view.depth.max())
    if not len(fit.refits):
        few = "too few runs to redraw, so there is no interval"
        found.append(few if fit.resamples else "fitted without refits, so there is no interval")
    if max(reach, depth) <= TOO_FAR:
        if reach > FAR:
            found.append(f"{_how_far(fit, view)} (more than {FAR:g}×)")
        elif depth > BELOW:
            found.append(f"{_how_far(fit, view)}: small models may not follow the law of larger ones")
        elif (out := _farthest_input(fit, view, FAR)) and not _farthest_input(fit, view, TOO_FAR):
            found.append(out)
    if 0.05 < width <= 0.2:
        found.append(f"the interval is ±{percent(width)} wide")
    if fit.status is Status.NOT_IDENTIFIED:
        found.append("the runs do not fix the law's parameters")
    if fit.fallback:
        # Reasons are joined with semicolons, so of a sentence with one only the first half is said here.
        found.append(fit.fallback.partition(";")[0])
    if reach > FLOOR_MATTERS and floor_is_open(
        fit.solution, fit.intervals.get("E", (np.nan, np.nan)), fit.seen.least_loss
    ):
        found.append("the runs do not fix the floor E")
    if not np.isfinite(fit.score):
        found.append("too few runs to test the law on dearer ones")
    elif fit.calibration.factor > 2:
        found.append("the law missed dearer runs by more than its refits explain (the interval is widened)")
    if CHECKPOINTS in fit.warnings:
        found.append("the runs look like checkpoints of a few trainings, so the interval is too narrow")
    return found + _off_ratio(fit, view)


def _farthest_input(fit: Fit, view: _View, least: float) -> str:
    """Name the input that lies farthest beyond what was seen, where that is more than so many times."""
    worst, said = least, ""
    for name, x, low, high in zip(fit.inputs, view.inputs, fit.seen.lowest, fit.seen.highest, strict=True):
        # A formula may read columns of any sign; only counts have a ratio.
        if low <= 0 or x.min() <= 0:
            continue
        for off, words in ((x.max() / high, "the largest"), (low / x.min(), "below the least")):
            if off > worst:
                worst, said = float(off), f"{name} {times(off)} {words} seen"
    return said


def _off_ratio(fit: Fit, view: _View) -> list[str]:
    """Caution where tokens per param lie far outside of what was seen."""
    places = fit.seen.params_tokens
    if places is None or fit.seen.tokens_per_param is None:
        return []
    ratio = view.inputs[places[1]] / view.inputs[places[0]]
    low, high = fit.seen.tokens_per_param
    if ratio.min() >= low / OFF_RATIO and ratio.max() <= high * OFF_RATIO:
        return []
    worst = ratio.max() if ratio.max() > high * OFF_RATIO else ratio.min()
    per = fit.inputs[places[0]].replace("params", "param")
    return [f"{worst:.3g} tokens per {per}, where the runs had {low:.3g} to {high:.3g}"]


def _how_far(fit: Fit, view: _View) -> str:
    name = "flops" if fit.seen.has_flops else fit.seen.cost_name
    reach, depth = float(view.reach.max()), float(view.depth.max())
    if reach > max(1.0, depth):
        return f"{times(reach)} the largest {name} seen"
    return f"{times(depth)} below the least {name} seen" if depth > 1.005 else f"within the {name} seen"


def _record(fit: Fit) -> str:
    return f"forecasts of dearer runs from cheaper ones missed by {100 * fit.score:.2g}% on average"
