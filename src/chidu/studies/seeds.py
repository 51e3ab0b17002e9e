"""Which sizes, and how many seeds of each, fit the minutes: the design of a study of luck.

Where a work folder has a ladder, its sizes and lengths are taken, and its runs are the first seed of each. More minutes
buy more seeds; where none are there yet, they first buy larger sizes. A run is named after all that it is told and all
that it reads, so runs of an earlier study are found again, and no other is mistaken for one.

**Other batches.** A study may ask for runs at another batch too: the longest of the smallest and of the middle size,
trained on as many tokens. They get OTHERS_PART of the time, and nothing where the rest is too short for the fewest
seeds: what the study puts to the test comes first. Their rates are the recipe's: it has none that goes with the batch
(a work folder's three recipes differ in the batch alone), nor does its warm-up, which is counted in steps.
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

__all__ = ["Purse", "SeedsPlan", "at_rate", "ladder_sizes", "other_batches", "plan_seeds"]

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
OTHER_BATCH_SEEDS = 100_000
"""Seeds of the runs at each other batch begin so far from those of the batch before."""
OTHERS_PART = 0.25
"""Of the time, for runs at other batches."""

Sizes = list[tuple[RunConfig, ...]]
"""The lengths of each size, the shortest first."""
Speed = Callable[[Sequence[RunConfig]], Sequence[float]]
"""Configs → seconds of an optimiser step of each, with every core at work."""
StepOf = dict[tuple[int, int], float]
"""Width and batch → seconds of an optimiser step."""


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
    others: tuple[Rung, ...] = ()
    """Runs at other batches, which no verdict is of."""

    @property
    def all_rungs(self) -> tuple[Rung, ...]:
        """Every run, those at other batches last."""
        return (*self.rungs, *self.others)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form that `from_dict` reads."""
        return {
            "rungs": [rung.as_dict() for rung in self.rungs],
            "others": [rung.as_dict() for rung in self.others],
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SeedsPlan:
        """Read what `as_dict` wrote, and what it wrote before there were runs at other batches."""
        rungs, others = (tuple(map(Rung.from_dict, values.get(name, ()))) for name in ("rungs", "others"))
        return cls(rungs, values["seconds"], others)

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
            f"{', '.join(map(str, steps))} steps of {self.rungs[0].config.batch_tokens} tokens{twins}{self._batches()}"
        )

    def _batches(self) -> str:
        """Say which runs there are at other batches."""
        if not self.others:
            return ""
        batches = sorted({rung.config.batch_tokens for rung in self.others})
        widths = sorted({rung.config.shape.width for rung in self.others})
        seeds = len(self.others) // (len(batches) * len(widths))
        return (
            f"; and {len(self.others)} runs at batches of {' and '.join(map(str, batches))} tokens: {seeds} seeds of "
            f"{'widths' if len(widths) > 1 else 'width'} {' and '.join(map(str, widths))}, tokens of the longest"
        )


@dataclass(frozen=True)
class Offer:
    """What the purse buys of some sizes."""

    sizes: Sizes
    seeds: int
    plan: SeedsPlan
    least: float
    """Seconds that the fewest seeds would take."""
    step_of: StepOf


@dataclass(frozen=True)
class Asked:
    """What runs are asked for, beside their sizes."""

    seeds: Seeds
    seed: int
    """Of the study."""
    text: str
    """Fingerprint of what the runs read."""
    has: Callable[[Rung], bool]
    """Tells which runs are there already."""


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
    sizes, or that which leaves most. Where the study asks for runs at other batches, these get a part of the time.
    `text` is the fingerprint of what the runs read, `has` tells which of them are there already. Raises TextError where
    time or text is too short for the fewest seeds of the smallest sizes.
    """

    asked = Asked(seeds, seed, text, has)
    if seeds.batches:
        part = replace(purse, seconds=(1 - OTHERS_PART) * purse.seconds)
        best = _best(recipes, part, speed, asked, ladder)
        if best.seeds >= seeds.least and (plan := _with_others(best, purse, speed, asked)).others:
            return plan
    # What is put to the test comes first: it gets all where its part is too little, or where other batches need more.
    best = _best(recipes, purse, speed, asked, ladder)
    if best.seeds < seeds.least:
        raise TextError(
            f"{max(0.0, purse.seconds) / 60:.1f} minutes of training are too few for {seeds.least} seeds of the "
            f"smallest sizes on this machine, which need about {math.ceil(best.least / 60)}: "
            "give more --minutes, or wait until other programs leave it alone"
        )
    return best.plan


def _best(recipes: Sequence[Recipe], purse: Purse, speed: Speed, asked: Asked, ladder: Sequence[RunConfig]) -> Offer:
    """Return the offer of the ladder's sizes, or of the largest that leave the wanted seeds, or that of most seeds."""

    def offer(sizes: Sizes) -> Offer:
        return _offer(sizes, _steps([lengths[0] for lengths in sizes], speed), purse, asked)

    seeds = asked.seeds
    if len(sizes := ladder_sizes(ladder)) >= LEAST_SIZES:
        found = offer(sizes)
        if found.seeds >= seeds.least:
            return found
    best: Offer | None = None
    for recipe, part in itertools.product(recipes, (TOKENS_PER_PARAM, 0.0)):
        if (sizes := _sizes(recipe, SIZES[0], purse, part)) and (best is None or best.seeds < seeds.wanted):
            best = max((each for each in (best, offer(sizes)) if each), key=lambda each: (each.seeds, -each.least))
    if best is None:
        needed = LEAST_STEPS * LENGTHS[-1] * min(recipe.batch_tokens for recipe in recipes) + 1
        raise TextError(f"the text holds {purse.train_tokens:,} tokens to train on; a study needs {needed:,}: add text")
    return best if best.seeds < seeds.least else _grown(best, recipes, purse, offer, seeds)


def _steps(configs: Sequence[RunConfig], speed: Speed) -> StepOf:
    """Time a few steps of each config."""
    timed = speed([config.with_steps(LEAST_STEPS) for config in configs])
    return {(c.shape.width, c.batch_tokens): step for c, step in zip(configs, timed, strict=True)}


def _with_others(best: Offer, purse: Purse, speed: Speed, asked: Asked) -> SeedsPlan:
    """Return the plan with as many seeds at other batches as the purse still pays for: of two sizes, or of one, or
    none."""
    for chosen in ((best.sizes[0], best.sizes[len(best.sizes) // 2]), best.sizes[:1]):
        configs = [each for lengths in chosen for each in other_batches(lengths[-1], asked.seeds.batches)]
        if not configs:
            continue
        step_of = {**best.step_of, **_steps(configs, speed)}
        others: list[Rung] = []
        seeds = 0
        while seeds < asked.seeds.most:
            more = [*others, *_other_replicate(configs, seeds, asked)]
            if _wall([*best.plan.rungs, *more], step_of, purse, asked.has) > purse.seconds:
                break
            others, seeds = more, seeds + 1
        if seeds >= asked.seeds.least:
            own = best.plan.rungs
            return SeedsPlan(own, _wall([*own, *others], step_of, purse, asked.has), tuple(others))
    return best.plan


def other_batches(config: RunConfig, factors: Sequence[float]) -> list[RunConfig]:
    """Return the same training, of as many tokens, at so many times the batch; at the root of a factor where the batch
    is no whole number of sequences, or the steps are too few; not at all where that is so too."""
    found = []
    for factor in factors:
        for each in (factor, factor**0.5):
            batch = round(each * config.batch_tokens)
            is_whole = batch > 0 and batch % config.shape.context_length == 0 and config.tokens % batch == 0
            if is_whole and (steps := config.tokens // batch) >= LEAST_STEPS:
                warm = min(config.warmup_steps, steps)
                found.append(replace(config, batch_tokens=batch, steps=steps, warmup_steps=warm))
                break
    return found


def _other_replicate(configs: Sequence[RunConfig], index: int, asked: Asked) -> list[Rung]:
    """Return one run of each config. No two share a seed, nor has any that of a run at the recipe's batch."""
    rungs = []
    batches = sorted({config.batch_tokens for config in configs})
    for config in configs:
        far = OTHER_BATCH_SEEDS * (1 + batches.index(config.batch_tokens))
        own = FIRST_SEED + SEEDS_APART * asked.seed + far + SEEDS_OF_A_SIZE * config.shape.width + index
        rungs += _group([replace(config, seed=own)], asked.text)
    return rungs


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


def _offer(sizes: Sizes, step_of: StepOf, purse: Purse, asked: Asked) -> Offer:
    """Return the most seeds of these sizes that the purse pays for."""
    wanted = asked.seeds
    taken: list[Rung] = []
    fewest = [rung for index in range(wanted.least) for rung in _replicate(sizes, index, asked)]
    seeds, least = 0, _wall(fewest, step_of, purse, asked.has)
    while seeds < wanted.most:
        more = [*taken, *_replicate(sizes, seeds, asked)]
        if _wall(more, step_of, purse, asked.has) > purse.seconds:
            break
        taken, seeds = more, seeds + 1
    return Offer(sizes, seeds, SeedsPlan(tuple(taken), _wall(taken, step_of, purse, asked.has)), least, step_of)


def _wall(rungs: Sequence[Rung], step_of: StepOf, purse: Purse, has: Callable[[Rung], bool]) -> float:
    """Return the seconds of wall time that those of the runs take that are not there yet."""
    groups: dict[str, list[Rung]] = {}
    for rung in rungs:
        groups.setdefault(rung.group, []).append(rung)
    missing = []
    for each in groups.values():
        if not all(map(has, each)):
            first = each[0].config
            step = step_of[first.shape.width, first.batch_tokens]
            missing.append(_cost([rung.config for rung in each], step, purse))
    return SLACK * makespan(sorted(missing, reverse=True), purse.processes) + START_SECONDS if missing else 0.0


def _cost(lengths: Sequence[RunConfig], step: float, purse: Purse) -> tuple[float, list[float]]:
    """Return the seconds of a trunk and of its branches, each with its measurement."""
    measuring = EVALUATION * purse.held_out_tokens / lengths[0].batch_tokens
    return step * lengths[-1].trunk_steps, [step * (config.decay_steps + measuring) for config in reversed(lengths)]


def _replicate(sizes: Sizes, index: int, asked: Asked) -> list[Rung]:
    """Return one run of each size and length. The first has the seed of the ladder, the others one of their own.

    No two sizes share a seed but the first, for a seed orders the text too: sizes would stray together. The first
    replicate's longest run is there at so many times the asked rates too.
    """
    seed, rungs = asked.seed, []
    for lengths in sizes:
        width = lengths[0].shape.width
        own = seed if index == 0 else FIRST_SEED + SEEDS_APART * seed + SEEDS_OF_A_SIZE * width + index
        rungs += _group([replace(config, seed=own) for config in lengths], asked.text)
        if index == 0:
            for factor in asked.seeds.rates:
                rungs += _group([at_rate(replace(lengths[-1], seed=own), factor)], asked.text)
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
