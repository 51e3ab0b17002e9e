"""Which sizes, and how many seeds of each, fit the minutes: the design of a study of luck.

Where a work folder has a ladder, its sizes and lengths are taken, and its runs are the first seed of each. More minutes
buy more seeds; where none are there yet, they first buy larger sizes. A run is named after all that it is told and all
that it reads, so runs of an earlier study are found again, and no other is mistaken for one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chidu.errors import TextError
from chidu.runs.config import RunConfig
from chidu.runs.recipe import Recipe
from chidu.runs.record import fingerprint
from chidu.studies.self_averaging import LEAST_SIZES
from chidu.studies.study import Seeds
from chidu.training.design import EVALUATION, LENGTHS, SLACK, START_SECONDS, makespan
from chidu.training.rungs import Rung

__all__ = ["Purse", "SeedsPlan", "at_rate", "ladder_sizes", "plan_seeds"]

SIZES = (
    (12, 20, 32, 48, 80),
    (12, 20, 32, 48, 80, 128),
    (16, 24, 40, 64, 96, 160),
    (24, 40, 64, 96, 160, 256),
    (40, 64, 96, 160, 256, 384),
)
"""Widths to choose from; each row spans a factor of ten in params, or more."""
LEAST_STEPS = 150
"""Of the shortest length: the warm-up of 100, and the falling part."""
TOKENS_PER_PARAM = 1.5
"""Of the largest size's longest run, over its params_matmul, where the time allows."""
SEEDS_OF_A_SIZE = 64
"""At the most: the numbers of those of another size begin there."""
FIRST_SEED = 3_000_000
"""Seeds of studies begin here, far from those of ladders and of tuning."""
SEEDS_APART = 1_000_000

Sizes = list[tuple[RunConfig, ...]]
"""The lengths of each size, the shortest first."""
Speed = Callable[[Sequence[RunConfig]], Sequence[float]]
"""Configs → seconds of an optimiser step of each, with every core at work."""


@dataclass(frozen=True)
class Purse:
    """What there is to spend."""

    seconds: float
    """Wall time of all runs."""
    processes: int
    """Runs at once."""
    train_tokens: int
    """Tokens of text; no run sees one twice."""
    held_out_tokens: int
    """Tokens that every run is measured on."""


@dataclass(frozen=True)
class SeedsPlan:
    """The runs of a study, and how long those that are not there yet should take (seconds of wall time)."""

    rungs: tuple[Rung, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form that `from_dict` reads."""
        return {"rungs": [rung.as_dict() for rung in self.rungs], "seconds": self.seconds}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SeedsPlan:
        """Read what `as_dict` wrote."""
        return cls(tuple(Rung.from_dict(each) for each in values["rungs"]), values["seconds"])

    def __str__(self) -> str:
        widths = sorted({rung.config.shape.width for rung in self.rungs})
        steps = sorted({rung.config.steps for rung in self.rungs})
        # The matrices have one rate at every width.
        rate = self.rungs[0].config.learning_rate
        other = sorted({rung.config.learning_rate / rate for rung in self.rungs} - {1.0})
        own = [rung for rung in self.rungs if rung.config.learning_rate == rate]
        seeds = len(own) // (len(widths) * len(steps))
        twins = f"; one of each at {' and '.join(f'{each:g}' for each in other)} times the rates" if other else ""
        return (
            f"{len(self.rungs)} runs: {seeds} seeds of widths {', '.join(map(str, widths))}, each "
            f"{', '.join(map(str, steps))} steps of {self.rungs[0].config.batch_tokens} tokens{twins}"
        )


@dataclass(frozen=True)
class Offer:
    """What the purse buys of some sizes."""

    sizes: Sizes
    seeds: int
    plan: SeedsPlan
    least: float
    """Seconds that the fewest seeds would take."""


def ladder_sizes(configs: Sequence[RunConfig]) -> Sizes:
    """Return the lengths of each size of a ladder, by width."""
    widths = sorted({config.shape.width for config in configs})
    return [tuple(sorted((c for c in configs if c.shape.width == width), key=lambda c: c.steps)) for width in widths]


def plan_seeds(
    recipes: Sequence[Recipe],
    purse: Purse,
    seed: int,
    text: str,
    speed: Speed,
    seeds: Seeds,
    ladder: Sequence[RunConfig] = (),
    has: Callable[[Rung], bool] = lambda _: False,
) -> SeedsPlan:
    """Return the runs that fit the purse: those of the ladder's sizes, or of the largest that leave the wanted seeds.

    Of several recipes, each with its runs long or short, the first is taken that leaves so many seeds of the smallest
    sizes, or that which leaves most.
    `text` is the fingerprint of what the runs read, `has` tells which of them are there already. Raises TextError where
    time or text is too short for the fewest seeds of the smallest sizes.
    """

    def offer(sizes: Sizes) -> Offer:
        steps = speed([lengths[0].with_steps(LEAST_STEPS) for lengths in sizes])
        return _offer(sizes, steps, purse, seed, text, has, seeds)

    if len(sizes := ladder_sizes(ladder)) >= LEAST_SIZES:
        found = offer(sizes)
        if found.seeds >= seeds.least:
            return found.plan
    best: Offer | None = None
    for recipe, part in itertools.product(recipes, (TOKENS_PER_PARAM, 0.0)):
        if (sizes := _sizes(recipe, SIZES[0], purse, part)) and (best is None or best.seeds < seeds.wanted):
            best = max((each for each in (best, offer(sizes)) if each), key=lambda each: (each.seeds, -each.least))
    if best is None:
        needed = LEAST_STEPS * LENGTHS[-1] * min(recipe.batch_tokens for recipe in recipes) + 1
        raise TextError(f"the text holds {purse.train_tokens:,} tokens to train on; a study needs {needed:,}: add text")
    if best.seeds < seeds.least:
        raise TextError(
            f"{max(0.0, purse.seconds) / 60:.1f} minutes of training are too few for {seeds.least} seeds of the "
            f"smallest sizes on this machine, which need about {math.ceil(best.least / 60)}: "
            "give more --minutes, or wait until other programs leave it alone"
        )
    return _grown(best, recipes, purse, offer, seeds).plan


def _grown(
    best: Offer, recipes: Sequence[Recipe], purse: Purse, offer: Callable[[Sizes], Offer], seeds: Seeds
) -> Offer:
    """Return the offer of the largest sizes that leave the wanted seeds; the one at hand where none larger does."""
    batch = best.sizes[0][0].batch_tokens
    recipe = next(recipe for recipe in recipes if recipe.batch_tokens == batch)
    for widths in SIZES[1:]:
        sizes = _sizes(recipe, widths, purse, TOKENS_PER_PARAM)
        guess = best.least / seeds.least * seeds.wanted * _flops(sizes) / _flops(best.sizes) if sizes else math.inf
        # A larger step costs less a flop than a small one, so the guess is on the high side: half is let pass.
        if guess > 1.5 * purse.seconds or (larger := offer(sizes)).seeds < seeds.wanted:
            break
        best = larger
    return best


def _sizes(recipe: Recipe, widths: Sequence[int], purse: Purse, part: float) -> Sizes:
    """Return the lengths of each width, the largest's longest run of so many tokens a param, but LEAST_STEPS at the
    least; none where the text is too short for any."""
    wanted = part * recipe.shape(widths[-1]).params_matmul / recipe.batch_tokens / LENGTHS[-1]
    # A window's last target is the next one's first token, so one token is left over.
    by_text = (purse.train_tokens - 1) // recipe.batch_tokens // LENGTHS[-1]
    steps = min(max(LEAST_STEPS, 10 * math.ceil(wanted / 10)), by_text)
    if steps < LEAST_STEPS:
        return []
    return [tuple(recipe.config(width, length * steps, 0) for length in LENGTHS) for width in widths]


def _flops(sizes: Sizes) -> float:
    return sum(lengths[-1].flops for lengths in sizes)


def _offer(
    sizes: Sizes,
    steps: Sequence[float],
    purse: Purse,
    seed: int,
    text: str,
    has: Callable[[Rung], bool],
    wanted: Seeds,
) -> Offer:
    """Return the most seeds of these sizes that the purse pays for, a step of each taking so many seconds."""
    step_of = {lengths[0].shape.width: step for lengths, step in zip(sizes, steps, strict=True)}

    def wall(rungs: Sequence[Rung]) -> float:
        groups: dict[str, list[Rung]] = {}
        for rung in rungs:
            groups.setdefault(rung.group, []).append(rung)
        missing = [
            _cost([rung.config for rung in each], step_of[each[0].config.shape.width], purse)
            for each in groups.values()
            if not all(map(has, each))
        ]
        return SLACK * makespan(sorted(missing, reverse=True), purse.processes) + START_SECONDS if missing else 0.0

    taken: list[Rung] = []
    fewest = [rung for index in range(wanted.least) for rung in _replicate(sizes, seed, index, text, wanted.rates)]
    seeds, least = 0, wall(fewest)
    while seeds < wanted.most:
        more = [*taken, *_replicate(sizes, seed, seeds, text, wanted.rates)]
        if wall(more) > purse.seconds:
            break
        taken, seeds = more, seeds + 1
    return Offer(sizes, seeds, SeedsPlan(tuple(taken), wall(taken)), least)


def _cost(lengths: Sequence[RunConfig], step: float, purse: Purse) -> tuple[float, list[float]]:
    """Return the seconds of a trunk and of its branches, each with its measurement."""
    measuring = EVALUATION * purse.held_out_tokens / lengths[0].batch_tokens
    return step * lengths[-1].trunk_steps, [step * (config.decay_steps + measuring) for config in reversed(lengths)]


def _replicate(sizes: Sizes, seed: int, index: int, text: str, rates: Sequence[float]) -> list[Rung]:
    """Return one run of each size and length. The first has the seed of the ladder, the others one of their own.

    No two sizes share a seed but the first, for a seed orders the text too: sizes would stray together. The first
    replicate's longest run is there at so many times the `rates` too.
    """
    rungs = []
    for lengths in sizes:
        width = lengths[0].shape.width
        own = seed if index == 0 else FIRST_SEED + SEEDS_APART * seed + SEEDS_OF_A_SIZE * width + index
        rungs += _group([replace(config, seed=own) for config in lengths], text)
        if index == 0:
            for factor in rates:
                rungs += _group([at_rate(replace(lengths[-1], seed=own), factor)], text)
    return rungs


def _group(configs: Sequence[RunConfig], text: str) -> list[Rung]:
    """Return the runs of one trunk, named after all that they are told and read."""
    key = fingerprint([[config.as_dict() for config in configs], text])[:12]
    group = f"w{configs[0].shape.width:04d}-{key}"
    return [Rung(f"{group}-{config.steps}", group, config) for config in configs]


def at_rate(config: RunConfig, factor: float) -> RunConfig:
    """Return the same training with every rate so many times as high."""
    return replace(
        config,
        learning_rate=factor * config.learning_rate,
        embedding_learning_rate=factor * config.embedding_learning_rate,
        head_learning_rate=factor * config.head_learning_rate,
    )
