"""`self-averaging`: does the luck of a seed matter less as the model grows?

In statistical physics a quantity is self-averaging where its variance over samples, relative to its squared mean, falls
with the system's size N: strongly as 1/N, weakly as 1/N^γ with 0 < γ < 1 (Aharony and Harris, Phys. Rev. Lett. 77, 3700
(1996)). Here a sample is a seed (of the weights and of the order of the text), N the params, and the quantity the
held-out loss.
"""

from __future__ import annotations

import math
from typing import Any

from chidu.runs.ladder import Ladder
from chidu.studies.batches import batch_notes, batch_words, of_batches, of_one_batch
from chidu.studies.beneath import beneath, beneath_words, measure
from chidu.studies.spread import Spread, SpreadLaw, fit_spread, spread_over_seeds
from chidu.studies.study import Seeds, Study
from chidu.studies.verdict import Verdict
from chidu.units import count_of, format_count

__all__ = ["LEAST_SEEDS", "LEAST_SIZES", "SELF_AVERAGING"]

LEAST_SEEDS, LEAST_SIZES = 5, 5
WANTED_SEEDS = 12
"""With five sizes over a factor of thirteen these find strong self-averaging (γ = 1) in 95 of 100 studies."""
MOST_SEEDS = 64
BATCHES = (0.25, 4.0)
"""Times the recipe's batch: over a factor of 16, nine seeds of two sizes tell the batch's exponent to about 0.4."""
CLOSE = 0.0025
"""A ladder's rung should be known to a quarter of a per cent: extrapolation magnifies its error three- to fivefold."""


def judge(study: Study, runs: Ladder, seed: int) -> Verdict:
    """Return the verdict on a table of runs with `loss`, `params`, `tokens` and `seed`."""
    whole = spread_over_seeds(runs, LEAST_SEEDS, LEAST_SIZES)
    spread = of_one_batch(whole, LEAST_SIZES)
    law = fit_spread(spread, study.level, seed, with_batch=True)
    batches = of_batches(runs, whole, study.level, seed)
    below = beneath(runs, study.level)
    effect, low, high = (float(each[0]) for each in (law.exponents, law.low, law.high))
    return study.concluded(
        effect,
        low,
        high,
        meaning=" ".join(filter(None, [meaning(spread, law), batch_words(batches), beneath_words(below)])),
        runs=int(spread.count.sum()),
        rows=rows(spread, law),
        findings={**findings(spread, law), "batch": batches, **below},
        notes=(*notes(spread, law), *batch_notes(whole, spread, batches)),
    )


def rows(spread: Spread, law: SpreadLaw) -> list[dict[str, float]]:
    """Return a row a cell: where it is, how far its seeds spread, and what the law says."""
    return [
        {
            "params": float(params),
            "tokens": float(tokens),
            "seeds": int(count),
            "loss": float(loss),
            "spread_percent": 100 * math.sqrt(variance),
            "law_percent": 100 * law.deviation([place[name] for name in law.names]),
        }
        for params, tokens, count, loss, variance, place in zip(
            spread.params, spread.tokens, spread.count, spread.loss, spread.variance, places(spread), strict=True
        )
    ]


def places(spread: Spread) -> list[dict[str, float]]:
    """Return where each cell is, by the names that a law may read."""
    told = zip(spread.params.tolist(), spread.tokens.tolist(), spread.batch.tolist(), strict=True)
    return [dict(zip(("params", "tokens", "batch_tokens"), each, strict=True)) for each in told]


def findings(spread: Spread, law: SpreadLaw) -> dict[str, Any]:
    """Return the exponents, the spread at both ends of the sizes, and the seeds that it asks for."""
    exponents = {
        name: {"value": float(value), "low": float(low), "high": float(high)}
        for name, value, low, high in zip(law.names, law.exponents, law.low, law.high, strict=True)
    }
    ends = {}
    for name, params in (("smallest", spread.params.min()), ("largest", spread.params.max())):
        deviation = law.deviation([params, *law.centre[1:]])
        ends[name] = {
            "params": float(params),
            "spread_percent": 100 * deviation,
            "seeds": math.ceil((deviation / CLOSE) ** 2),
        }
    return {
        "exponents": exponents,
        "ends": ends,
        "seeds_for_percent": 100 * CLOSE,
        "correlation": law.correlation,
        "excess_kurtosis": law.tails,
        "misfit": law.misfit,
    }


def notes(spread: Spread, law: SpreadLaw) -> tuple[str, ...]:
    """Say what a reader should know before believing the verdict."""
    found = []
    if "tokens" not in law.names:
        found.append("tokens grow with params in these runs: the exponent is of both together")
    if law.misfit > 1:
        found.append("the spreads lie off any power law by more than chance explains: the intervals are wider for it")
    if law.tails > 1:
        found.append(f"seeds have heavy tails (excess kurtosis {law.tails:.1f}): the intervals are wider for it")
    if spread.params.max() < 8 * spread.params.min():
        found.append("the sizes span less than a factor of eight: an exponent from so short a lever says little")
    return tuple(found)


def meaning(spread: Spread, law: SpreadLaw) -> str:
    """Return the paragraph for people."""
    found = findings(spread, law)
    small, large = found["ends"]["smallest"], found["ends"]["largest"]
    per_decade = 10 ** (-law.exponents[0] / 2)
    said = (
        f"Trained again with another seed, the smallest model ({format_count(small['params'])} params) ends "
        f"{small['spread_percent']:.2f}% (one standard deviation) off its mean loss, the largest "
        f"({format_count(large['params'])}) {large['spread_percent']:.2f}%, by the fitted law: ten times the params "
        f"multiply the spread by {per_decade:.2f}. "
    )
    if "tokens" in law.names:
        at = law.names.index("tokens")
        said += (
            f"With tokens the variance goes as their power {-law.exponents[at]:+.2f} "
            f"({-law.high[at]:+.2f} to {-law.low[at]:+.2f}). "
        )
    return said + (
        f"To know each rung's loss to {100 * CLOSE:g}% (standard error) a ladder needs "
        f"{count_of(small['seeds'], 'seed')} at the smallest of these sizes and {large['seeds']} at the largest."
    )


SELF_AVERAGING = Study(
    name="self-averaging",
    claim="the larger the model, the less its held-out loss depends on the seed, tokens being equal",
    statistic="γ in: variance over seeds of log loss ∝ params^-γ · tokens^-δ",
    threshold=0.25,
    why="ten times the params take a quarter off the spread (standard deviation × 0.75); 1 is strong self-averaging",
    level=0.9,
    judge=judge,
    seeds=Seeds(LEAST_SEEDS, WANTED_SEEDS, MOST_SEEDS, batches=BATCHES),
    measure=measure,
    needs_weights=False,
    measure_part=0.12,
)
