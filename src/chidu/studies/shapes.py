"""The runs of the study of structure: at each size a dozen shapes that multiply a token with equally many params.

One is the recipe's own; each of the others differs from it in one detail. The width gives way where a detail costs
params, and the MLP takes up what is left over, so that all have the same `params_matmul` within three per cent: what a
token is multiplied with, and so the arithmetic of a token. (Equal `params` would give a tied model, which saves a table
that costs no arithmetic, a larger one in its place.) Rates follow the width by the recipe's rule and are tuned to no
shape. Every run has a seed of its own, which orders the text too.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chidu.errors import SettingError, TextError
from chidu.runs.config import RunConfig
from chidu.runs.ladder import Ladder
from chidu.runs.live import LiveWarning, RunEvent
from chidu.runs.recipe import Recipe
from chidu.runs.record import fingerprint
from chidu.runs.shape import Shape
from chidu.studies.study import Means, OwnRuns
from chidu.training.design import EVALUATION, SLACK, START_SECONDS
from chidu.training.rungs import TRUNK, Rung, train_ladder

__all__ = ["DETAILS", "OWN_SHAPES", "Detail", "shape_of"]


@dataclass(frozen=True)
class Detail:
    """How a shape differs from the recipe's own of its size."""

    layers: float = 1.0
    """Layers, over the recipe's."""
    heads: float = 1.0
    """Heads, over the recipe's; together they are as wide all the same."""
    mlp: float = 1.0
    """MLP width over width, over the recipe's."""
    layout: str = "qwen3"
    tied: bool = False


BASE = "base"
DETAILS = {
    BASE: Detail(),
    "deep": Detail(layers=2),
    "shallow": Detail(layers=2 / 3),
    "few heads": Detail(heads=0.5),
    "many heads": Detail(heads=2),
    "wide MLP": Detail(mlp=2),
    "narrow MLP": Detail(mlp=0.5),
    "no positions": Detail(layout="qwen3 without positions"),
    "learned positions": Detail(layout="qwen3 with learned positions"),
    "GELU": Detail(layout="qwen3 with gelu", mlp=1.5),
    "ReLU squared": Detail(layout="qwen3 with relu squared", mlp=1.5),
    "tied": Detail(tied=True),
}
"""Every shape by name. Without a gate the MLP has two matrices for three, so it is half as wide again."""

SIZES: tuple[tuple[int, ...], ...] = (
    (16, 24, 40, 64),
    (16, 24, 40, 64, 96),
    (24, 40, 64, 96, 160),
    (40, 64, 96, 160, 256),
)
"""Widths of the base to choose from; each row spans a factor of eight in params_matmul, or more."""
CLOSE = 0.03
"""Part of params_matmul that a shape may differ by from its size's own. What it does is taken out by the slope between
sizes."""
SEEDS = 2
"""Of each shape and size."""
LEAST_STEPS, WANTED_STEPS = 150, 600
"""Fewer are refused; with more than wanted, larger sizes are taken, and larger batches."""
TOKENS_PER_PARAM = 20.0
"""Of the largest size over its params_matmul, at the most: longer runs than that tell of other things."""
FIRST_SEED = 7_000_000
PROBED = (BASE, "deep")
"""Shapes that are timed; layers are what the time of a step goes by, params being equal."""


def shape_of(recipe: Recipe, width: int, detail: Detail) -> Shape:
    """Return the shape with a detail and the params_matmul of the recipe's own of this width, its MLP nearest to what
    the detail asks for."""
    base = recipe.shape(width)
    goal, ratio = base.params_matmul, detail.mlp * base.mlp_width / base.width

    def made(own: int, mlp_width: int) -> Shape:
        heads = max(1, round(base.heads * detail.heads))
        head_width = max(2, 2 * round(own / heads / 2))
        layers = max(1, round(base.layers * detail.layers))
        return replace(
            base, width=own, layers=layers, heads=heads, kv_heads=heads, head_width=head_width,
            mlp_width=max(1, mlp_width), layout=detail.layout, tied=detail.tied,
        )  # fmt: skip

    if detail.layout == base.layout and (detail.layers, detail.heads, detail.mlp) == (1, 1, 1):
        return made(width, base.mlp_width)

    def missed(shape: Shape) -> float:
        return abs(math.log(shape.mlp_width / shape.width / ratio)) + abs(math.log(shape.params_matmul / goal))

    found = []
    for own in range(4, 2 * width + 1, 2):
        without = made(own, 1)
        a_row = without.layers * own * (3 if without.is_gated else 2)
        least, most = (1 + (goal * (1 + off) - without.params_matmul) / a_row for off in (-CLOSE, CLOSE))
        shape = made(own, min(math.floor(most), max(math.ceil(least), round(ratio * own))))
        if abs(shape.params_matmul / goal - 1) <= CLOSE:
            found.append(shape)
    return min(found, key=missed)


def config_of(recipe: Recipe, width: int, name: str, steps: int, seed: int) -> RunConfig:
    """Return the training of one shape: the recipe's of its size, with the rates of its own width."""
    base, shape = recipe.config(width, steps, seed), shape_of(recipe, width, DETAILS[name])
    falling = (width / shape.width) ** 0.5 if recipe.optimiser == "muon" else 1.0
    embedding, head = base.embedding_learning_rate * falling, base.head_learning_rate * falling
    # A table that is both has the geometric mean, as its first values do (LOG.md).
    table = (embedding * head) ** 0.5 if shape.tied else embedding
    return replace(base, shape=shape, embedding_learning_rate=table, head_learning_rate=head)


def named_rungs(means: Means, recipe: Recipe, widths: Sequence[int], steps: int) -> list[tuple[str, Rung]]:
    """Return all runs, each with the name of its shape."""
    found = []
    for width in widths:
        for place, name in enumerate(DETAILS):
            for index in range(SEEDS):
                seed = FIRST_SEED + 1_000_000 * means.seed + 1000 * width + 10 * place + index
                config = config_of(recipe, width, name, steps, seed)
                group = f"shape{width:04d}-{fingerprint([config.as_dict(), means.fingerprint])[:12]}"
                found.append((name, Rung(f"{group}-{steps}", group, config)))
    return found


@dataclass(frozen=True)
class Clock:
    """How long runs take on this machine."""

    means: Means
    probe: Callable[[Sequence[RunConfig]], Sequence[float]]

    def wall(self, recipe: Recipe, widths: Sequence[int], steps: int) -> float:
        """Return the wall time (seconds) of all runs of these widths."""
        configs = [config_of(recipe, width, name, LEAST_STEPS, 0) for width in widths for name in PROBED]
        timed = iter(self.probe(configs))
        measuring = EVALUATION * self.means.text.held_out_tokens / recipe.batch_tokens
        total = 0.0
        for width in widths:
            base, deep = next(timed), next(timed)
            own = recipe.shape(width).layers
            for detail in DETAILS.values():
                layers = shape_of(recipe, width, detail).layers
                step = base + (deep - base) * (layers - own) / (round(own * DETAILS[PROBED[1]].layers) - own)
                total += SEEDS * max(step, 0.5 * base) * (steps + measuring)
        return START_SECONDS + SLACK * total / self.means.place.cores

    def steps(self, recipe: Recipe, widths: Sequence[int]) -> int:
        """Return how many steps of every run fit time and text, by tens; below LEAST_STEPS where too few do."""
        one, two = self.wall(recipe, widths, 0), self.wall(recipe, widths, 1)
        by_time = (self.means.seconds - one) / (two - one)
        by_text = (self.means.train_tokens - 1) // recipe.batch_tokens
        enough = TOKENS_PER_PARAM * recipe.shape(widths[-1]).params_matmul / recipe.batch_tokens
        return 10 * math.floor(max(0.0, min(by_time, by_text, max(enough, LEAST_STEPS))) / 10)


def plan(means: Means) -> dict[str, Any]:
    """Time a few steps, and choose sizes, batch and steps."""
    from chidu.training.probe import best_precision, measure_apart

    known: dict[RunConfig, float] = {}

    def probe(configs: Sequence[RunConfig]) -> list[float]:
        new = [config for config in configs if config not in known]
        if new:
            known.update(zip(new, measure_apart(new, means.place, means.place.cores), strict=True))
        return [known[config] for config in configs]

    recipes = [replace(recipe, precision=best_precision()) for recipe in means.recipes]
    if any(recipe.layout != "qwen3" for recipe in recipes):
        raise SettingError("structure varies shapes of the qwen3 layout, and the folder's [recipe] names another one")
    return chosen(means, recipes, Clock(means, probe))


def chosen(means: Means, recipes: Sequence[Recipe], clock: Clock) -> dict[str, Any]:
    """Choose: the largest batch that leaves WANTED_STEPS of the smallest sizes, then the largest sizes that do."""
    recipe, steps = recipes[-1], 0
    for recipe in recipes:
        if (steps := clock.steps(recipe, SIZES[0])) >= WANTED_STEPS:
            break
    widths = SIZES[0]
    if steps < LEAST_STEPS:
        raise TextError(_too_few(means, recipe, clock))
    for larger in SIZES[1:]:
        if (found := clock.steps(recipe, larger)) < WANTED_STEPS:
            break
        widths, steps = larger, found
    rungs = named_rungs(means, recipe, widths, steps)
    return {
        "seconds": clock.wall(recipe, widths, steps),
        "words": (
            f"{len(rungs)} runs: {SEEDS} seeds of {len(DETAILS)} shapes ({', '.join(DETAILS)}) of the sizes of widths "
            f"{', '.join(map(str, widths))}, each {steps} steps of {recipe.batch_tokens} tokens"
        ),
        "rungs": [{"shape": name, **rung.as_dict()} for name, rung in rungs],
    }


def _too_few(means: Means, recipe: Recipe, clock: Clock) -> str:
    needed = LEAST_STEPS * recipe.batch_tokens + 1
    if means.train_tokens < needed:
        return f"the text holds {means.train_tokens:,} tokens to train on; structure needs {needed:,}: add text"
    return (
        f"{max(0.0, means.seconds) / 60:.1f} minutes are too few for {LEAST_STEPS} steps of {len(DETAILS)} shapes of "
        f"{len(SIZES[0])} sizes, which need about {math.ceil(clock.wall(recipe, SIZES[0], LEAST_STEPS) / 60)}: "
        "give more --minutes"
    )


def make(means: Means, plan: dict[str, Any]) -> Ladder:
    """Train what is not there yet, and return the table of all runs with the names of their shapes."""
    names = [each["shape"] for each in plan["rungs"]]
    rungs = [Rung.from_dict({name: each[name] for name in ("name", "group", "config")}) for each in plan["rungs"]]
    runs = train_ladder(rungs, means.text, means.folder, Progress(means, rungs), means.place)
    for rung in rungs:
        shutil.rmtree(means.folder / f"{rung.group}{TRUNK}", ignore_errors=True)
    table = Ladder.from_runs(runs)
    told = {name: [getattr(rung.config.shape, name) for rung in rungs] for name in ("width", "layers", "heads")}
    return Ladder({**table.columns, "shape": names, **told}, "structure")


class Progress:
    """Turns the optimiser steps of all runs into one fraction, each step weighted by its flops."""

    def __init__(self, means: Means, rungs: Sequence[Rung]) -> None:
        self.means = means
        self.weight = {rung.group: rung.config.shape.flops_per_token() ** 0.75 for rung in rungs}
        self.total = sum(self.weight[rung.group] * rung.config.steps for rung in rungs)
        self.done = 0.0
        self._reached: dict[str, int] = {}

    def __call__(self, group: str, event: RunEvent) -> None:
        """Hear of steps; of what went amiss the run itself keeps the account."""
        if isinstance(event, LiveWarning):
            return
        # A run that is taken back, or goes on with another worker, makes steps again.
        self.done += self.weight[group] * (event.step - self._reached.get(event.run, event.start))
        self._reached[event.run] = event.step
        self.means.tell(min(1.0, self.done / self.total), "training shapes")


OWN_SHAPES = OwnRuns(plan, make)
