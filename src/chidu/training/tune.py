"""Search for a better recipe on small models, and believe it only where fresh seeds at a larger size agree.

Every run of one width costs the same flops, whatever its batch and depth; what that takes in time is said beside it.

    search        Optuna over rates, batch, falling part and depth, at one width and seed
    confirmation  the best of it against the default: fresh seeds, wider, longer; the best of many is partly luck
    law           the best rate of the matrices at several widths, and a power law through these
    noise scale   how large a batch the gradient's noise pays for

Nothing depends on the clock but the plan, which is made once and kept: what was killed goes on and ends the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import FitError
from chidu.laws.calibration import student
from chidu.laws.fit import fit
from chidu.laws.optimum import Optimum, optimum
from chidu.parallel import Emit, map_processes
from chidu.runs.config import RunConfig
from chidu.runs.recipe import Recipe
from chidu.runs.record import read_json, write_json
from chidu.training import tuning_plan
from chidu.training.search import Tried, search
from chidu.training.sweep import Attempt, sweep, unread
from chidu.training.tuning_plan import FACTORS, LEVEL, LONGER, SWEEP_SEEDS, TuningPlan, config_of

if TYPE_CHECKING:
    from chidu.training.noise_scale import NoiseScale

__all__ = ["Confirmation", "RateLaw", "Tuned", "confirm", "confirmation_of", "fit_rates", "tune"]

GRADIENTS = 256
"""Sequences whose gradients the noise scale is taken from, at the most."""


@dataclass(frozen=True)
class Confirmation:
    """The best of a search against the default, with seeds that the search has not seen."""

    width: int
    differences: tuple[float, ...]
    """Log of loss over the default's loss, one a seed."""
    mean: float
    low: float
    """Low end of the mean's interval, Student's."""
    high: float
    level: float
    time: float
    """Processor time of the best over the default's: of equal flops, which is not equal time. It decides nothing."""

    @property
    def better(self) -> bool:
        """True where the interval lies below 0: the gain is more than the seeds' luck."""
        return self.high < 0


def confirm(
    plan: TuningPlan, recipe: Recipe, changes: Mapping[str, Any], train: Path, folder: Path, on_done: Callable[[], None]
) -> Confirmation:
    """Train both with every fresh seed at the largest width, LONGER than the search did; both share a seed's data."""
    width, steps = tuning_plan.WIDTHS[-1], LONGER * plan.steps
    attempts = [
        Attempt(
            folder / "confirmation" / f"{name}-s{seed}.json",
            config_of(recipe, wanted, width, steps, seed),
            train,
            plan.judged_tokens,
        )
        for seed in plan.fresh
        for name, wanted in (("default", {}), ("best", changes))
    ]
    losses = np.log(sweep(attempts, plan.workers, on_done)).reshape(-1, 2)
    seconds = np.array([read_json(attempt.path)["seconds"] for attempt in attempts]).reshape(-1, 2).sum(axis=0)
    return confirmation_of(width, losses[:, 1] - losses[:, 0], float(seconds[1] / seconds[0]))


def confirmation_of(width: int, differences: NDArray[np.float64], time: float) -> Confirmation:
    """Return the mean of paired differences with its interval."""
    count, mean = len(differences), float(differences.mean())
    half = student(0.5 + LEVEL / 2, count - 1) * float(differences.std(ddof=1)) / math.sqrt(count)
    return Confirmation(width, tuple(map(float, differences)), mean, mean - half, mean + half, LEVEL, time)


@dataclass(frozen=True)
class RateLaw:
    """The matrices' best rate by size: rate = at · (params_matmul / params)^slope."""

    optima: dict[int, Optimum]
    """Width → best rate with its interval."""
    params: float
    """The largest size swept, params_matmul."""
    at: float
    """The law's rate there; NaN where there is no law."""
    slope: float
    low: float
    high: float
    level: float
    why_not: str = ""
    """Why there is no law; empty where there is one."""

    @property
    def keeps(self) -> bool:
        """True where the interval holds 0, the recipe's own rule: one rate at every width."""
        return self.low <= 0 <= self.high

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form; null stands for what is not known."""
        optima = [{"width": width, **each.as_dict()} for width, each in self.optima.items()]
        values = {name: getattr(self, name) for name in ("params", "at", "slope", "low", "high", "level")}
        known = {name: value if math.isfinite(value) else None for name, value in values.items()}
        return {"optima": optima, **known, "why_not": self.why_not}


def sweep_rates(
    plan: TuningPlan, recipe: Recipe, changes: Mapping[str, Any], train: Path, folder: Path, on_done: Callable[[], None]
) -> RateLaw:
    """Sweep the matrices' rate of the changed recipe at every width, and fit its optima."""
    own = replace(recipe, **changes).learning_rate
    rows = [
        (width, seed, factor)
        for seed in range(plan.seed, plan.seed + SWEEP_SEEDS)
        for width in tuning_plan.WIDTHS
        for factor in FACTORS
    ]
    attempts = [
        Attempt(
            folder / "rates" / f"w{width:04d}-s{seed}-{factor:g}.json",
            config_of(recipe, {**changes, "learning_rate": factor * own}, width, plan.steps, seed),
            train,
            plan.judged_tokens,
        )
        for width, seed, factor in rows
    ]
    losses = sweep(attempts, plan.workers, on_done)
    optima = {}
    for width in tuning_plan.WIDTHS:
        here = [(factor * own, loss, seed) for (w, seed, factor), loss in zip(rows, losses, strict=True) if w == width]
        rates, found, blocks = zip(*here, strict=True)
        optima[width] = optimum(rates, found, blocks, LEVEL)
    shapes = {width: replace(recipe, **changes).shape(width).params_matmul for width in tuning_plan.WIDTHS}
    return fit_rates(optima, shapes, plan.seed)


def fit_rates(optima: dict[int, Optimum], params: Mapping[int, int], seed: int) -> RateLaw:
    """Fit a power law to the best rates of several widths; those that no sweep bounds, or that lie outside, left out.

    The slope's interval is the union of two: what refits of other rows give, and what the optima's own errors allow.
    """
    largest = float(max(params.values()))
    usable = [width for width, each in optima.items() if each.bounded and each.inside]
    if len(usable) < 3:
        why = f"of {len(optima)} sweeps {len(usable)} have their best rate inside, with an interval: too few for a law"
        return RateLaw(optima, largest, math.nan, math.nan, -math.inf, math.inf, LEVEL, why)
    logs = np.log([params[width] / largest for width in usable])
    weights = np.array([optima[width].deviation ** -2.0 for width in usable])
    columns = {"params_matmul": np.exp(logs) * largest, "learning_rate": [optima[width].value for width in usable]}
    try:
        fitted = fit(
            columns,
            law=f"A * (params_matmul / {largest!r})^slope",
            target="learning_rate",
            bounds={"slope": (-2.0, 2.0)},
            level=LEVEL,
            seed=seed,
            weights=weights / weights.max(),
        )
    except FitError as error:
        return RateLaw(optima, largest, math.nan, math.nan, -math.inf, math.inf, LEVEL, str(error))
    slope, (low, high) = fitted.parameters["slope"], fitted.intervals["slope"]
    spread = float((weights * (logs - np.average(logs, weights=weights)) ** 2).sum()) ** -0.5
    half = student(0.5 + LEVEL / 2, optima[usable[0]].runs - 2 - SWEEP_SEEDS) * spread
    return RateLaw(
        optima, largest, fitted.parameters["A"], slope, min(low, slope - half), max(high, slope + half), LEVEL
    )


@dataclass(frozen=True)
class Measured:
    """A run whose gradient noise is measured when its rate is about to fall."""

    config: RunConfig
    train: Path
    judged_tokens: int


def _measure(item: Measured, emit: Emit) -> list[NoiseScale]:
    """Measure at half and at the whole of the full rate."""
    import torch

    from chidu.tokens import TokenFile
    from chidu.training.loop import Trainer
    from chidu.training.noise_scale import measure_noise_scale

    torch.set_num_threads(1)
    config, tokens = item.config, TokenFile.open(item.train)
    windows = np.concatenate(list(unread(tokens, config, item.judged_tokens)))[:GRADIENTS]
    trainer, found = Trainer(config), []
    for stop in (config.trunk_steps // 2, config.trunk_steps):
        while trainer.step < stop:
            trainer.advance(tokens)
        found.append(measure_noise_scale(trainer, windows, LEVEL))
    emit(1)
    return found


@dataclass(frozen=True)
class Tuned:
    """What tuning found, and what it hands on."""

    plan: TuningPlan
    tried: tuple[Tried, ...]
    best: Tried
    """The best finished attempt of the search."""
    confirmation: Confirmation | None
    """None where the default was the best."""
    changes: dict[str, Any]
    """What is handed on; empty where the default stays."""
    law: RateLaw
    noise: tuple[NoiseScale, ...]
    batch_tokens: int
    """Of the recipe handed on."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        confirmation = self.confirmation
        return {
            "recipe": self.changes,
            "attempts": len(self.tried),
            "ended_early": sum(not each.finished for each in self.tried),
            "default_loss": self.tried[0].loss,
            "best": asdict(self.best),
            "confirmation": None if confirmation is None else {**asdict(confirmation), "better": confirmation.better},
            "law": self.law.as_dict(),
            "noise_scale": [each.as_dict() for each in self.noise],
            "batch_tokens": self.batch_tokens,
            "plan": asdict(self.plan),
        }


def tune(
    plan: TuningPlan, recipe: Recipe, train: Path, folder: Path, on_done: Callable[[], None] = lambda: None
) -> Tuned:
    """Search, confirm, fit the best rates, measure the noise; every run is kept in `folder`, and none repeated.

    `on_done` is told of every run that ends.
    """
    tried = search(plan, recipe, train, folder, on_done)
    best = min((each for each in tried if each.finished), key=lambda each: each.loss)
    confirmation = confirm(plan, recipe, best.changes, train, folder, on_done) if best.changes else None
    changes = best.changes if confirmation is not None and confirmation.better else {}
    law = sweep_rates(plan, recipe, changes, train, folder, on_done)
    config = config_of(recipe, changes, tuning_plan.WIDTHS[-1], plan.steps, plan.seed)
    noise = map_processes(_measure, [Measured(config, train, plan.judged_tokens)], 1)[0]
    found = Tuned(plan, tuple(tried), best, confirmation, changes, law, tuple(noise), config.batch_tokens)
    write_json(folder / "tune.json", found.as_dict())
    return found
