"""How much of everything `chidu tune` runs: made once from the time given and the machine's speed, then kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chidu.errors import SettingError, TextError
from chidu.runs.config import RunConfig
from chidu.runs.recipe import Recipe
from chidu.training.design import EVALUATION, START_SECONDS

__all__ = ["FACTORS", "LEVEL", "LONGER", "PARTS", "SWEEP_SEEDS", "WIDTHS", "TuningPlan", "config_of", "plan_tuning"]

WIDTHS = (16, 24, 40, 64)
"""Sizes at which the matrices' best rate is found. The search runs at the last but one, what it finds must hold at the
last, at LONGER times the length."""
LONGER = 2
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the matrices' rate, in the sweeps behind the law."""
SWEEP_SEEDS = 2
PARTS = 3
"""A run of the search may end after each part but the last."""
LEAST_STEPS, MOST_STEPS = 300, 2000
LEAST_SEEDS, MOST_SEEDS = 3, 8
LEAST_ROUNDS = 3
LAW_SHARE, CONFIRMATION_SHARE = 0.3, 0.2
"""Of the time; the search has the rest."""
PRUNED = 0.75
"""What a run of the search costs on average, those that end early counted, over a whole one."""
JUDGED_TOKENS = 32_768
LEVEL = 0.9


@dataclass(frozen=True)
class TuningPlan:
    """How much of everything is run: made once from the time given and the machine's speed, then kept."""

    seed: int
    """The search's; the seeds after it are the confirmation's."""
    workers: int
    steps: int
    """Steps of the default recipe that set the flops of a run, at every width."""
    rounds: int
    """Of the search: attempts of one round are chosen together."""
    at_once: int
    """Attempts in a round."""
    seeds: int
    """Fresh seeds of the confirmation."""
    judged_tokens: int
    seconds: float
    """Wall time that all should take."""

    @property
    def runs(self) -> int:
        """Runs in all: of the search, the confirmation and the sweeps."""
        return self.rounds * self.at_once + 2 * self.seeds + len(WIDTHS) * len(FACTORS) * SWEEP_SEEDS

    @property
    def fresh(self) -> range:
        """Seeds that the search has not seen."""
        return range(self.seed + 1, self.seed + 1 + self.seeds)


def plan_tuning(
    recipe: Recipe, seconds: float, workers: int, seed: int, train_tokens: int, step_seconds: Sequence[float]
) -> TuningPlan:
    """Divide the time: ``step_seconds`` are those of one step of each of WIDTHS with every worker busy.

    Raises TextError where the text is too short, SettingError where the time is.
    """
    judged = min(JUDGED_TOKENS, train_tokens // 10)
    # Where layers are fewer the same flops read more tokens, and the confirmation is LONGER.
    by_text = (train_tokens - 2 * judged) // (2 * LONGER * recipe.batch_tokens)
    if by_text < LEAST_STEPS:
        raise TextError(
            f"the text holds {train_tokens:,} tokens to train on; tuning needs "
            f"{2 * LONGER * recipe.batch_tokens * LEAST_STEPS + 2 * judged:,}: add text"
        )
    available = seconds * workers
    per_law_step = len(FACTORS) * SWEEP_SEEDS * sum(step_seconds)
    steps = int(min(max(LEAST_STEPS, LAW_SHARE * available / per_law_step), MOST_STEPS, by_text))
    judging = EVALUATION * judged / recipe.batch_tokens
    law = per_law_step * (steps + judging)
    per_seed = 2 * step_seconds[-1] * (LONGER * steps + judging)
    per_attempt = PRUNED * step_seconds[-2] * (steps + PARTS * judging)
    at_once = 2 * workers
    per_round = at_once * per_attempt + START_SECONDS * workers
    fixed = law + 3 * START_SECONDS * workers
    seeds = int(min(max(LEAST_SEEDS, CONFIRMATION_SHARE * available / per_seed), MOST_SEEDS))
    rounds = int((available - fixed - seeds * per_seed) / per_round)
    needed = fixed + LEAST_SEEDS * per_seed + LEAST_ROUNDS * per_round
    if rounds < LEAST_ROUNDS:
        raise SettingError(
            f"{seconds / 60:.1f} minutes are too few to tune on this machine, which needs about "
            f"{math.ceil(needed / workers / 60)}: give more --minutes"
        )
    expected = (fixed + seeds * per_seed + rounds * per_round) / workers
    return TuningPlan(seed, workers, steps, rounds, at_once, seeds, judged, expected)


def config_of(recipe: Recipe, changes: Mapping[str, Any], width: int, steps: int, seed: int) -> RunConfig:
    """Return the training of a changed recipe that costs the flops of so many steps of the recipe itself."""
    flops = recipe.config(width, steps, seed).flops
    changed = replace(recipe, **changes)
    return changed.config(width, max(1, round(flops / changed.config(width, 1, seed).flops)), seed)
