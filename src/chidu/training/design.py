"""Choose a ladder and its target so that both fit the minutes given, on the machine that was probed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chidu.errors import TextError
from chidu.runs.config import RunConfig
from chidu.runs.recipe import Recipe
from chidu.training.probe import Speed
from chidu.training.rungs import Rung

__all__ = ["Budget", "Design", "design_ladder"]

LENGTHS = (1, 2, 4)
"""Token counts of each size, in units of the shortest: with less than a fourfold span no law can be told apart."""
LEAST_STEPS = 600
LARGER_FROM = 1200
"""Steps of the shortest length from which a larger ladder is tried."""
MOST_STEPS = 6000
ORDINARY_SPEED = 7e10
"""Flops a second and core, to guess where to begin; what is probed decides."""

LADDERS: tuple[tuple[int, ...], ...] = (
    (16, 24, 32, 48),
    (24, 32, 48, 64),
    (32, 48, 64, 96),
    (32, 48, 64, 96, 128),
    (48, 64, 96, 128, 192),
    (64, 96, 128, 192, 256),
    (96, 128, 192, 256, 384),
    (128, 192, 256, 384, 512),
    (192, 256, 384, 512, 768),
    (256, 384, 512, 768, 1024),
)
"""Widths to choose from, each spanning 0.8 decades of params_matmul or more."""

# Idle cores at the ladder's end, evaluation, and steps slower than the probe's median.
SLACK = 1.12


@dataclass(frozen=True)
class Budget:
    """What there is to spend."""

    seconds: float
    """Wall time for ladder and target together."""
    processes: int
    """Processes that train at once."""
    train_tokens: int
    """Tokens of text; no run sees one twice."""
    leap: float
    """The target's flops over the dearest rung's, at the least."""


@dataclass(frozen=True)
class Design:
    """Rungs and target, and how long each should take (seconds of wall time)."""

    rungs: tuple[Rung, ...]
    target: Rung
    threads: int
    """Threads that train the target fastest; part of the design, because another number rounds differently."""
    ladder_seconds: float
    target_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form that `from_dict` reads."""
        return {
            "rungs": [_rung_dict(rung) for rung in self.rungs],
            "target": _rung_dict(self.target),
            "threads": self.threads,
            "ladder_seconds": self.ladder_seconds,
            "target_seconds": self.target_seconds,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Design:
        """Read what `as_dict` wrote."""
        rungs = tuple(_rung_of(rung) for rung in values["rungs"])
        return cls(**{**values, "rungs": rungs, "target": _rung_of(values["target"])})


def _rung_dict(rung: Rung) -> dict[str, Any]:
    return {"name": rung.name, "group": rung.group, "config": rung.config.as_dict()}


def _rung_of(values: Mapping[str, Any]) -> Rung:
    return Rung(values["name"], values["group"], RunConfig.from_dict(values["config"]))


Probe = Callable[[list[RunConfig], RunConfig], Speed]


def design_ladder(recipe: Recipe, budget: Budget, seed: int, probe: Probe) -> Design:
    """Return the largest ladder whose runs are all long enough and, with its target, fit the budget.

    Raises TextError where the text is too short for even the smallest ladder.
    """
    place = _first_guess(recipe, budget)
    design = _attempt(recipe, LADDERS[place], budget, seed, probe)
    while design is None and place > 0:
        place -= 1
        design = _attempt(recipe, LADDERS[place], budget, seed, probe)
    if design is None:
        raise _too_little(recipe, budget)
    while design.rungs[0].config.steps >= LARGER_FROM and place + 1 < len(LADDERS):
        place += 1
        larger = _attempt(recipe, LADDERS[place], budget, seed, probe)
        if larger is None:
            break
        design = larger
    return design


def _first_guess(recipe: Recipe, budget: Budget) -> int:
    """Return the place of the largest ladder that a core of ordinary speed would manage; probing starts there."""

    def seconds(widths: tuple[int, ...]) -> float:
        flops = sum(recipe.config(width, LEAST_STEPS, 0).flops for width in widths) * _ladder_steps(recipe, 1)
        target = recipe.config(widths[-1], LENGTHS[-1] * LEAST_STEPS, 0).flops * budget.leap
        return (flops + target) / (ORDINARY_SPEED * budget.processes)

    return max((i for i, widths in enumerate(LADDERS) if seconds(widths) <= budget.seconds), default=0)


def _attempt(recipe: Recipe, widths: tuple[int, ...], budget: Budget, seed: int, probe: Probe) -> Design | None:
    """Return the longest runs of these widths that the budget affords, or None where they are too short."""
    target_width = _target_width(recipe, widths, budget.leap)
    apart = [recipe.config(width, LEAST_STEPS, seed) for width in widths]
    speed = probe(apart, recipe.config(target_width, LEAST_STEPS, seed))
    steps = _affordable_steps(recipe, widths, target_width, budget, speed)
    if steps < LEAST_STEPS:
        return None
    return _design(recipe, widths, target_width, budget, speed, min(steps, MOST_STEPS), seed)


def _target_width(recipe: Recipe, widths: tuple[int, ...], leap: float) -> int:
    """Return the width whose params_matmul stand to the largest rung's as nearly as can be as sqrt(leap)."""
    wanted = recipe.shape(widths[-1]).params_matmul * leap**0.5
    step = 16 if widths[-1] < 64 else 32
    candidates = range(widths[-1] + step, 4 * widths[-1], step)
    fitting = [width for width in candidates if width % (2 * max(2, width // 32)) == 0]
    return min(fitting, key=lambda width: abs(math.log(recipe.shape(width).params_matmul / wanted)))


def _target_steps(recipe: Recipe, widths: tuple[int, ...], target_width: int, leap: float, steps: int) -> int:
    """Return the steps that give the target `leap` times the flops of the dearest rung, rounded up to tens."""
    dearest = recipe.shape(widths[-1]).flops_per_token() * LENGTHS[-1] * steps
    return 10 * math.ceil(leap * dearest / recipe.shape(target_width).flops_per_token() / 10)


def _ladder_steps(recipe: Recipe, steps: int) -> float:
    """Return the optimiser steps that one size costs: its trunk, and the falling part of each length."""
    decays = sum(round(length * steps * recipe.decay_fraction) for length in LENGTHS)
    return LENGTHS[-1] * steps * (1 - recipe.decay_fraction) + decays


def _wall_seconds(
    recipe: Recipe, widths: tuple[int, ...], target_width: int, budget: Budget, speed: Speed, steps: int
) -> tuple[float, float]:
    """Return the wall time of ladder and target."""
    ladder = sum(speed.apart) * _ladder_steps(recipe, steps) / budget.processes
    # No ladder is shorter than its largest size's trunk and longest branch.
    ladder = max(ladder, speed.apart[-1] * LENGTHS[-1] * steps)
    target = speed.together * _target_steps(recipe, widths, target_width, budget.leap, steps)
    return SLACK * ladder, SLACK * target


def _affordable_steps(recipe: Recipe, widths: tuple[int, ...], target_width: int, budget: Budget, speed: Speed) -> int:
    """Return the most steps of the shortest length that time and text allow, in tens; below 600 is too few."""
    per_step = sum(_wall_seconds(recipe, widths, target_width, budget, speed, LEAST_STEPS)) / LEAST_STEPS
    by_time = budget.seconds / per_step
    longest = max(LENGTHS[-1], _target_steps(recipe, widths, target_width, budget.leap, LEAST_STEPS) / LEAST_STEPS)
    by_text = budget.train_tokens / recipe.batch_tokens / longest
    steps = 10 * math.floor(min(by_time, by_text) / 10)
    # Steps of the target are rounded up, and not by the same part at every length.
    while steps >= LEAST_STEPS and not _fits(recipe, widths, target_width, budget, speed, steps):
        steps -= 10
    return steps


def _fits(recipe: Recipe, widths: tuple[int, ...], target_width: int, budget: Budget, speed: Speed, steps: int) -> bool:
    longest = max(LENGTHS[-1] * steps, _target_steps(recipe, widths, target_width, budget.leap, steps))
    seconds = sum(_wall_seconds(recipe, widths, target_width, budget, speed, steps))
    return seconds <= budget.seconds and longest * recipe.batch_tokens <= budget.train_tokens


def _design(
    recipe: Recipe,
    widths: tuple[int, ...],
    target_width: int,
    budget: Budget,
    speed: Speed,
    steps: int,
    seed: int,
) -> Design:
    rungs = tuple(
        Rung(f"w{width:04d}-{length * steps}", f"w{width:04d}", recipe.config(width, length * steps, seed))
        for width in widths
        for length in LENGTHS
    )
    target_steps = _target_steps(recipe, widths, target_width, budget.leap, steps)
    target = recipe.config(target_width, target_steps, seed)
    ladder_seconds, target_seconds = _wall_seconds(recipe, widths, target_width, budget, speed, steps)
    return Design(rungs, Rung("target", "target", target), speed.threads, ladder_seconds, target_seconds)


def _too_little(recipe: Recipe, budget: Budget) -> TextError:
    needed = LEAST_STEPS * LENGTHS[-1] * recipe.batch_tokens * budget.leap**0.5
    if budget.train_tokens < needed * 1.2:
        return TextError(
            f"the text holds {budget.train_tokens:,} tokens; the smallest ladder and its target need about "
            f"{int(needed * 1.2):,} (runs never see a token twice): add text"
        )
    return TextError(
        f"{budget.seconds / 60:.1f} minutes are too few for the smallest ladder on this machine: give more --minutes"
    )
