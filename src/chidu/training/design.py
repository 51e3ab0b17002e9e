"""Choose a ladder and its target so that both fit the minutes given, on the machine that was probed."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chidu.errors import TextError
from chidu.runs.config import RunConfig
from chidu.runs.recipe import Recipe
from chidu.training.probe import Speed
from chidu.training.rungs import Rung

__all__ = ["Budget", "Design", "design_ladder", "least_tokens"]

LENGTHS = (1, 2, 4)
"""Token counts of each size, in units of the shortest: with less than a fourfold span no law can be told apart."""
LEAST_STEPS = 600
TOKENS_PER_PARAM = 6.0
"""Tokens of the dearest rung over its params_matmul, at the least: shorter runs are still learning to use their
context, and a law fitted to them misses what comes after (LOG.md)."""
ORDINARY_SPEED = 8e10
"""Flops a second and core, to guess where to begin; what is probed decides."""

LADDERS: tuple[tuple[int, ...], ...] = (
    (12, 20, 28, 40, 52),
    (12, 16, 20, 28, 36, 44, 52),
    (16, 20, 24, 32, 40, 48, 64),
    (20, 24, 32, 40, 48, 64, 80),
    (24, 32, 40, 48, 64, 80, 96),
    (32, 40, 48, 64, 80, 96, 128),
    (40, 48, 64, 80, 96, 128, 160),
    (48, 64, 80, 96, 128, 160, 192),
    (64, 80, 96, 128, 160, 192, 256),
    (80, 96, 128, 160, 192, 256, 320),
    (96, 128, 160, 192, 256, 320, 384),
    (128, 160, 192, 256, 320, 384, 512),
    (192, 256, 320, 384, 512, 640, 768),
)
"""Widths to choose from, each ladder spanning 0.8 decades of params_matmul or more.

Runs of one size stray together, by half a per cent, so seven sizes are worth more than longer runs of five (LOG.md).
Only the smallest ladder, for little time, makes do with five.
"""

ABOUT = 0.9
"""Lengths of known runs are taken up where they have this part of the steps that time and text allow, or more."""

SLACK = 1.08
"""Wall time over what was probed: checkpoints, and what else a machine does meanwhile."""
START_SECONDS = 4.0
"""Wall time until a process trains: imports, and the first steps."""
EVALUATION = 0.4
"""Time to measure a held-out token over the time to train on one."""


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
    held_out_tokens: int = 0
    """Tokens that every run is measured on."""


@dataclass(frozen=True)
class Design:
    """Rungs and target, and how long each should take (seconds of wall time)."""

    rungs: tuple[Rung, ...]
    target: Rung
    threads: int
    """Threads of each process that train the target fastest; part of the design: another number rounds differently."""
    ladder_seconds: float
    target_seconds: float
    processes: int = 1
    """Processes that share the target."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form that `from_dict` reads."""
        return {
            "rungs": [rung.as_dict() for rung in self.rungs],
            "target": self.target.as_dict(),
            "processes": self.processes,
            "threads": self.threads,
            "ladder_seconds": self.ladder_seconds,
            "target_seconds": self.target_seconds,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Design:
        """Read what `as_dict` wrote."""
        rungs = tuple(Rung.from_dict(rung) for rung in values["rungs"])
        return cls(**{**values, "rungs": rungs, "target": Rung.from_dict(values["target"])})


@dataclass(frozen=True)
class Size:
    """A width of a ladder, and the steps of its runs that were trained before."""

    width: int
    known: frozenset[int]


Probe = Callable[[list[RunConfig], RunConfig], Speed]


def design_ladder(recipe: Recipe, budget: Budget, seed: int, probe: Probe, known: Sequence[RunConfig] = ()) -> Design:
    """Return the largest ladder whose runs are all long enough and, with its target, fit the budget.

    Runs that are `known`, since they were trained before, cost no time: the ladder takes up those of its sizes, and
    has their lengths where its own would be about the same. Raises TextError where time or text is too short for even
    the smallest ladder.
    """
    if _steps_by_text(recipe, budget) < LEAST_STEPS:
        raise _too_little(recipe, budget)
    flops_a_second = ORDINARY_SPEED
    found: dict[int, Design | None] = {}
    # What a probe measures corrects the guess, so two or three probes are enough on any machine.
    while (place := _largest_place(recipe, budget, flops_a_second)) not in found:
        found[place], flops_a_second = _attempt(recipe, place, budget, seed, probe, known)
    while found[min(found)] is None and min(found) > 0:
        place = min(found) - 1
        found[place], flops_a_second = _attempt(recipe, place, budget, seed, probe, known)
    designs = [found[place] for place in sorted(found)]
    best = next((design for design in reversed(designs) if design is not None), None)
    if best is None:
        flops = _flops(recipe, LADDERS[0], budget.leap, LEAST_STEPS)
        raise _too_little(recipe, budget, SLACK * flops / flops_a_second / budget.processes)
    return best


def _largest_place(recipe: Recipe, budget: Budget, flops_a_second: float) -> int:
    """Return the place of the largest ladder that cores of this speed would manage."""

    def fits(widths: tuple[int, ...]) -> bool:
        wanted = min(_wanted_steps(recipe, widths), _steps_by_text(recipe, budget))
        flops = _flops(recipe, widths, budget.leap, max(LEAST_STEPS, wanted))
        return SLACK * flops <= flops_a_second * budget.processes * budget.seconds

    return max((place for place, widths in enumerate(LADDERS) if fits(widths)), default=0)


def _flops(recipe: Recipe, widths: tuple[int, ...], leap: float, steps: int) -> float:
    """Return the flops of a ladder and its target."""
    target = recipe.config(_target_width(recipe, widths, leap), LENGTHS[-1] * steps, 0).flops
    return target + _ladder_steps(recipe, steps) * sum(recipe.config(width, 1, 0).flops for width in widths)


def _wanted_steps(recipe: Recipe, widths: tuple[int, ...]) -> int:
    """Return the steps of the shortest length that give the dearest rung its tokens per param."""
    wanted = TOKENS_PER_PARAM * recipe.shape(widths[-1]).params_matmul
    return math.ceil(wanted / recipe.batch_tokens / LENGTHS[-1])


def _attempt(
    recipe: Recipe, place: int, budget: Budget, seed: int, probe: Probe, known: Sequence[RunConfig]
) -> tuple[Design | None, float]:
    """Return the longest runs of this ladder that the budget affords, or None where they are too short; and the speed.

    The smallest ladder may fall short of its tokens per param; any may where the text, not the time, is the limit:
    then a larger model is all that more time can buy.
    """
    widths = LADDERS[place]
    target_width = _target_width(recipe, widths, budget.leap)
    apart = [recipe.config(width, LEAST_STEPS, seed) for width in widths]
    speed = probe(apart, recipe.config(target_width, LEAST_STEPS, seed))
    per_step = sum(speed.apart) * _ladder_steps(recipe, 1) / budget.processes + speed.together * LENGTHS[-1]
    flops_a_second = _flops(recipe, widths, budget.leap, 1) / (per_step * budget.processes)
    by_text, by_time = _steps_by_text(recipe, budget), _steps_by_time(recipe, budget, speed)
    there = [_lengths(recipe, width, seed, known) for width in widths]
    steps = _taken_up(there, min(by_time, by_text))
    is_long = steps >= _wanted_steps(recipe, widths) or by_text <= by_time or place == 0
    if steps < LEAST_STEPS or not is_long:
        return None, flops_a_second
    return _design(recipe, there, target_width, budget, speed, steps, seed), flops_a_second


def _lengths(recipe: Recipe, width: int, seed: int, known: Sequence[RunConfig]) -> Size:
    """Return a width with the steps of those known runs that are this recipe's."""
    steps = (config.steps for config in known if config.shape.width == width)
    by_recipe = {steps: recipe.config(width, steps, seed) for steps in steps}
    return Size(width, frozenset(steps for steps, config in by_recipe.items() if config in known))


def _taken_up(sizes: Sequence[Size], steps: int) -> int:
    """Return the shortest length that takes up known ones and is about `steps`, or else that."""
    known = {each for size in sizes for each in size.known}
    shortest = {each // length for each in known for length in LENGTHS if each % length == 0}
    about = [each for each in shortest if max(LEAST_STEPS, ABOUT * steps) <= each <= steps]
    return max(about, default=steps)


def _target_width(recipe: Recipe, widths: tuple[int, ...], leap: float) -> int:
    """Return the least width whose run, as long as the longest rungs, has `leap` times the flops of the dearest.

    The whole leap is in params: at tokens that the ladder has seen, laws fitted to small ladders foretold runs of
    three times the params within 0.3%, at 2.6 times the tokens they missed the same runs by 2 to 6% (LOG.md).
    """
    wanted = leap * recipe.shape(widths[-1]).flops_per_token()
    candidates = range(widths[-1] + 2, 8 * widths[-1], 2)
    fitting = (width for width in candidates if width % (2 * max(2, round(width / 32))) == 0)
    return next(width for width in fitting if recipe.shape(width).flops_per_token() >= wanted)


def _ladder_steps(recipe: Recipe, steps: int) -> float:
    """Return the optimiser steps that one size costs: its trunk, and the falling part of each length."""
    decays = sum(length * steps * recipe.falling_part for length in LENGTHS)
    return LENGTHS[-1] * steps * (1 - recipe.falling_part) + decays


def _wall_seconds(
    recipe: Recipe, budget: Budget, speed: Speed, steps: int, sizes: Sequence[Size] = ()
) -> tuple[float, float]:
    """Return the wall time of ladder and target, the shortest length having so many steps; known runs take none."""
    measuring = EVALUATION * budget.held_out_tokens / recipe.batch_tokens
    taken = []
    for place, step in enumerate(speed.apart):
        known = sizes[place].known if sizes else frozenset[int]()
        missing = [length * steps for length in LENGTHS if length * steps not in known]
        if missing:
            decays = [each * recipe.falling_part for each in missing]
            taken.append((step * (missing[-1] - decays[-1]), [step * (each + measuring) for each in reversed(decays)]))
    target = speed.together * (LENGTHS[-1] * steps + speed.processes * measuring)
    ladder = makespan(sorted(taken, reverse=True), budget.processes)
    return SLACK * ladder + START_SECONDS, SLACK * target + START_SECONDS


def makespan(sizes: list[tuple[float, list[float]]], processes: int) -> float:
    """Return when the last of all runs is done, begun in the order in which `train_ladder` begins them.

    Each size is the seconds of its trunk and of its branches; branches queue when their trunk is done.
    """
    waiting = deque((seconds, branches) for seconds, branches in sizes)
    free, running, clock = processes, list[tuple[float, int, list[float]]](), 0.0
    started = 0
    while waiting or running:
        while waiting and free:
            seconds, branches = waiting.popleft()
            heapq.heappush(running, (clock + seconds, started, branches))
            free, started = free - 1, started + 1
        clock, _, branches = heapq.heappop(running)
        free += 1
        waiting.extend((seconds, []) for seconds in branches)
    return clock


def _steps_by_time(recipe: Recipe, budget: Budget, speed: Speed) -> int:
    """Return the most steps of the shortest length that the time allows, in tens."""
    tens = range(1, 100_000)
    found = bisect_right(tens, budget.seconds, key=lambda ten: sum(_wall_seconds(recipe, budget, speed, 10 * ten)))
    return 10 * found


def _steps_by_text(recipe: Recipe, budget: Budget) -> int:
    """Return the most steps of the shortest length with which no run sees a token twice, in tens."""
    # A window's last target is the next one's first token, so one token is left over.
    return 10 * ((budget.train_tokens - 1) // recipe.batch_tokens // LENGTHS[-1] // 10)


def _design(
    recipe: Recipe,
    sizes: Sequence[Size],
    target_width: int,
    budget: Budget,
    speed: Speed,
    steps: int,
    seed: int,
) -> Design:
    longest = LENGTHS[-1] * steps
    own = {length * steps for length in LENGTHS}
    rungs = tuple(
        Rung(f"w{size.width:04d}-{each}", f"w{size.width:04d}", recipe.config(size.width, each, seed))
        for size in sizes
        for each in sorted(own | {known for known in size.known if known < longest})
    )
    target = recipe.config(target_width, longest, seed)
    ladder_seconds, target_seconds = _wall_seconds(recipe, budget, speed, steps, sizes)
    shared = Rung("target", "target", target)
    return Design(rungs, shared, speed.threads, ladder_seconds, target_seconds, speed.processes)


def least_tokens(recipe: Recipe) -> int:
    """Return the tokens of text that the smallest ladder and its target need, no run seeing one twice."""
    return LEAST_STEPS * LENGTHS[-1] * recipe.batch_tokens + 1


def _too_little(recipe: Recipe, budget: Budget, seconds: float = 0.0) -> TextError:
    """Say what is too short: the text, or the time, of which the smallest ladder needs so many seconds."""
    needed = least_tokens(recipe)
    if budget.train_tokens < needed:
        return TextError(
            f"the text holds {budget.train_tokens:,} tokens to train on; the smallest ladder and its target need "
            f"{needed:,}, because no run sees a token twice: add text"
        )
    return TextError(
        f"{max(0.0, budget.seconds) / 60:.1f} minutes of training are too few for the smallest ladder on this machine, "
        f"which needs about {math.ceil(seconds / 60)}: give more --minutes, or wait until other programs leave it alone"
    )
