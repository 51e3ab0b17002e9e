"""`cost`: what a ladder's runs cost in hours, energy and money, and what the next hour buys. A report, no verdict.

A run's hours are measured. Where a table says how many of a run's flops its seconds are of (a branch is timed without
its trunk), they are scaled to the whole run. The law of the loss is `chidu.fit`'s; hours a token are a power of the
size, fitted to the runs. From both, the best loss for some hours: the size is chosen anew for each.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import SettingError, TableError
from chidu.laws import Fit, fit
from chidu.runs.ladder import Ladder
from chidu.studies.energy import Power
from chidu.studies.study import Study
from chidu.studies.verdict import Verdict
from chidu.units import format_count

__all__ = ["COST", "Terms", "cost_study"]

Floats = NDArray[np.float64]

RESAMPLES = 100
OUTLOOK = (1.0, 10.0, 100.0)
"""Times the dearest run's hours that the report looks at."""
REACH = 30.0
"""How far beyond the runs' sizes the best size for some hours is looked for."""
SIZES = 200


@dataclass(frozen=True)
class Terms:
    """What an hour of a device costs. A device is what one run has to itself: here a core."""

    power: Power
    price: float | None = None
    """Of one device for one hour, in any currency; None where it is not known."""

    def __post_init__(self) -> None:
        if self.price is not None and not 0 < self.price < 1e9:
            raise SettingError(f"price is {self.price:g}; it must be above 0, in any currency, for a device and hour")


@dataclass(frozen=True)
class Speed:
    """Hours a token, as a power of the size."""

    level: float
    slope: float

    @classmethod
    def of(cls, size: Floats, hours_per_token: Floats) -> Speed:
        """Fit a line to logs."""
        slope, level = np.polyfit(np.log(size), np.log(hours_per_token), 1)
        return cls(float(level), float(slope))

    def tokens(self, size: Floats, hours: float) -> Floats:
        """Return how many tokens models of these sizes see in these hours."""
        found: Floats = hours / np.exp(self.level + self.slope * np.log(size))
        return found


def whole_hours(runs: Ladder) -> Floats:
    """Return each run's device hours, of its whole training."""
    seconds = runs.numbers("seconds")
    if "flops_spent" in runs and "flops" in runs:
        seconds = seconds * runs.numbers("flops") / runs.numbers("flops_spent")
    return seconds / 3600


def judge(study: Study, runs: Ladder, seed: int, terms: Terms) -> Verdict:
    """Return the report on a table of runs with `loss`, `params`, `tokens` and `seconds`.

    Raises TableError where it has one size, FitError where no law can be fitted.
    """
    hours, loss = whole_hours(runs), runs.numbers("loss")
    law = fit(runs, law="additive", resamples=RESAMPLES, level=study.level, seed=seed)
    size, tokens = runs.numbers(law.inputs[0]), runs.numbers("tokens")
    if size.max() < 1.5 * size.min():
        raise TableError(f"{runs.source}: all runs have about one size: what hours buy needs several")
    speed = Speed.of(size, hours / tokens)
    most = float(hours.max())
    now, then = best_point(law, speed, size, most), best_point(law, speed, size, 2 * most)
    bought = _losses(law, now) - _losses(law, then)
    effect = float(bought[0])
    low, high = np.quantile(bought[1:], [0.5 - study.level / 2, 0.5 + study.level / 2])
    outlook = [outlook_row(law, speed, size, most * times, terms) for times in OUTLOOK]
    trainings = over_seeds(runs.numbers("params"), tokens, hours, loss)
    steps = neighbours(*trainings)
    return Verdict(
        study=study.name,
        claim=study.claim,
        statistic=study.statistic,
        threshold=None,
        verdict=None,
        effect=effect,
        low=min(float(low), effect),
        high=max(float(high), effect),
        level=study.level,
        more=None,
        meaning=meaning(outlook, steps, effect, float(hours.sum()), terms),
        runs=len(runs),
        rows=frontier(*trainings, terms),
        findings={
            "hours": float(hours.sum()),
            "watts": terms.power.watts,
            "watts_from": terms.power.source,
            "price": terms.price,
            "law": law.law,
            "outlook": outlook,
            "least": steps[0] if steps else None,
            "most": steps[-1] if steps else None,
        },
        notes=notes(runs, terms),
    )


def best_point(law: Fit, speed: Speed, seen: Floats, hours: float) -> Floats:
    """Return size and tokens [2, 1] of the least loss that these device hours buy."""
    size = np.geomspace(seen.min() / REACH, seen.max() * REACH, SIZES)
    points = np.vstack([size, speed.tokens(size, hours)])
    found = law.solution.log_loss(points)[0]
    return points[:, [int(np.argmin(found))]]


def _losses(law: Fit, point: Floats) -> Floats:
    """Return the loss at a point by the law, then by each of its refits (1 + R,)."""
    logs = (law.solution.log_loss(point).ravel(), law.solution.log_loss(point, law.refits).ravel())
    return np.asarray(np.exp(np.concatenate(logs)))


def outlook_row(law: Fit, speed: Speed, seen: Floats, hours: float, terms: Terms) -> dict[str, Any]:
    """Return the best loss for these hours, and what one more hour or one more unit of currency buys there."""
    point = best_point(law, speed, seen, hours)
    forecast = law.forecast(dict(zip(law.inputs, point, strict=True)))
    step = 0.01
    further = best_point(law, speed, seen, hours * (1 + step))
    rate = float(_losses(law, point)[0] - _losses(law, further)[0]) / (hours * step)
    found = {
        "hours": hours,
        law.inputs[0]: float(point[0, 0]),
        "tokens": float(point[1, 0]),
        "loss": float(forecast["loss"][0]),
        "low": float(forecast["low"][0]),
        "high": float(forecast["high"][0]),
        "nats_per_hour": max(0.0, rate),
        "watt_hours": hours * terms.power.watts,
    }
    if terms.price is not None:
        found |= {"money": hours * terms.price, "nats_per_money": max(0.0, rate) / terms.price}
    return found


def over_seeds(params: Floats, tokens: Floats, hours: Floats, loss: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return params, tokens, and the means of hours and loss, of each params and tokens: seeds are no bargains."""
    told, place, counts = np.unique(np.column_stack([params, tokens]), axis=0, return_inverse=True, return_counts=True)
    hours, loss = (np.bincount(place.ravel(), values) / counts for values in (hours, loss))
    return told[:, 0], told[:, 1], hours, loss


def neighbours(params: Floats, tokens: Floats, hours: Floats, loss: Floats) -> list[dict[str, Any]]:
    """Return each step from a run to a dearer one that is longer or larger, not both; the worst bargain first."""
    found = []
    for fixed, grows, what in ((params, tokens, "tokens"), (tokens, params, "params")):
        for value in np.unique(fixed):
            rows = np.flatnonzero(fixed == value)
            rows = rows[np.argsort(grows[rows], kind="stable")]
            for before, after in itertools.pairwise(rows.tolist()):
                if hours[after] > hours[before]:
                    nats = float(loss[before] - loss[after])
                    found.append(
                        {
                            "more": what,
                            "from": {"params": float(params[before]), "tokens": float(tokens[before])},
                            "to": {"params": float(params[after]), "tokens": float(tokens[after])},
                            "nats": nats,
                            "nats_per_hour": nats / float(hours[after] - hours[before]),
                        }
                    )
    return sorted(found, key=lambda each: each["nats_per_hour"])


def frontier(params: Floats, tokens: Floats, hours: Floats, loss: Floats, terms: Terms) -> list[dict[str, Any]]:
    """Return a row a run that no cheaper run beats, with what each of its hours bought over the one before."""
    found: list[dict[str, Any]] = []
    before: int | None = None
    for row in np.argsort(hours, kind="stable").tolist():
        if before is not None and loss[row] >= loss[before]:
            continue
        cells: dict[str, Any] = {
            "params": float(params[row]),
            "tokens": float(tokens[row]),
            "device_hours": float(hours[row]),
            "watt_hours": float(hours[row] * terms.power.watts),
        }
        if terms.price is not None:
            cells["money"] = float(hours[row] * terms.price)
        cells["loss"] = float(loss[row])
        gain = "" if before is None else float((loss[before] - loss[row]) / (hours[row] - hours[before]))
        found.append({**cells, "nats_per_hour": gain})
        before = row
    return found


def notes(runs: Ladder, terms: Terms) -> tuple[str, ...]:
    """Say what is measured, and what is not."""
    found = []
    if terms.power.is_estimate:
        found.append(f"energy is an estimate: {terms.power.source}")
    if "flops_spent" in runs and "flops" in runs:
        found.append("hours of a run that shares a trunk are its own part's, times its flops over that part's")
    if terms.price is None:
        found.append("no price is given: --price says what one device costs for one hour")
    return tuple(found)


def meaning(
    outlook: list[dict[str, Any]], steps: list[dict[str, Any]], effect: float, hours: float, terms: Terms
) -> str:
    """Return the paragraph for people."""
    here, far = outlook[0], outlook[-1]
    said = (
        f"All runs, each by itself, are {_hours(hours)} of a device, {hours * terms.power.watts:.3g} watt hours"
        f"{'' if terms.price is None else f', {hours * terms.price:.3g} in money'}. At the dearest run's hours "
        f"({_hours(here['hours'])}) the best loss is {here['loss']:.3f} nats, and one more hour buys at the rate of "
        f"{here['nats_per_hour']:.3g} nats; twice the hours buy {effect:.3f} nats. At a hundred times the hours the "
        f"law says {far['loss']:.3f} ({far['low']:.3f} to {far['high']:.3f}), and an hour buys "
        f"{far['nats_per_hour']:.2g} nats. "
    )
    if not steps:
        return said.rstrip()
    return said + (
        f"Among the runs the next hour bought least {_step(steps[0])}, and most {_step(steps[-1])}."
    )  # fmt: skip


def _step(step: dict[str, Any]) -> str:
    start, end = step["from"], step["to"]
    rate = f"{step['nats_per_hour']:.3g} nats an hour"
    if step["more"] == "tokens":
        return (
            f"going from {format_count(start['tokens'])} to {format_count(end['tokens'])} tokens at "
            f"{format_count(start['params'])} params ({rate})"
        )
    return (
        f"going from {format_count(start['params'])} to {format_count(end['params'])} params at "
        f"{format_count(start['tokens'])} tokens ({rate})"
    )


def _hours(hours: float) -> str:
    return f"{hours:.2f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"


COST = Study(
    name="cost",
    claim="none: what runs cost in hours, energy and money, and where the next hour buys least",
    statistic="nats that twice the dearest run's hours buy, the size chosen anew, by the fitted law",
    threshold=0.0,
    why="a report",
    level=0.9,
    judge=lambda study, runs, seed: judge(study, runs, seed, Terms(Power.estimated())),
    is_report=True,
)


def cost_study(terms: Terms) -> Study:
    """Return the study under these terms."""
    return replace(COST, judge=lambda study, runs, seed: judge(study, runs, seed, terms))
