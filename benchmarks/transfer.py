"""Does the best rate of a small model serve a larger one? Sweeps of each rate at several widths, on real text.

Each rate (matrices, head, embedding) is multiplied with factors around the recipe's own, the others staying, with a few
seeds; a parabola of log loss over log rate gives the best factor of a width with its interval. Where the recipe is
right, the best factor is the same at every width: the rows compare the smallest width's with the largest's.

    python benchmarks/transfer.py --work FOLDER --output FOLDER [--widths 16,32,64] [--steps 400] [--seconds 110]

The first folder holds a finished undertaking; only its tokens are read. Runs that the second holds are not repeated,
and with --seconds the script stops there, so that it can be run in pieces; its tables need all runs.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from results import tell

from chidu.laws.calibration import student
from chidu.laws.optimum import Optimum, optimum
from chidu.runs.config import RunConfig
from chidu.runs.recipe import Recipe
from chidu.tokens import TokenFile
from chidu.training.probe import best_precision
from chidu.training.sweep import Attempt, sweep

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
DIALS = {"matrices": "learning_rate", "head": "head_learning_rate", "embedding": "embedding_learning_rate"}
JUDGED_TOKENS = 65_536
REACH = 1.5
LEVEL = 0.9

Key = tuple[str, int, int, float]
"""Dial, width, seed and factor of a run."""


def config(recipe: Recipe, width: int, steps: int, seed: int, dial: str, factor: float) -> RunConfig:
    """Return the recipe's training of a width, one of its rates multiplied."""
    made = recipe.config(width, steps, seed)
    return replace(made, **{DIALS[dial]: factor * getattr(made, DIALS[dial])})


def attempts(asked: argparse.Namespace, recipe: Recipe) -> dict[Key, Attempt]:
    """Return every run by dial, width, seed and factor; the recipe's own, factor 1, serves all dials."""
    found = {}
    for seed in range(asked.seeds):
        for width in asked.widths:
            for dial in asked.dials:
                for factor in FACTORS:
                    made = config(recipe, width, asked.steps, seed, dial, factor)
                    name = f"w{width}-{asked.steps}-s{seed}-{'own' if factor == 1 else f'{dial}-{factor:g}'}.json"
                    key = (dial, width, seed, factor)
                    found[key] = Attempt(asked.output / name, made, asked.work / "tokens/train.bin", JUDGED_TOKENS)
    return found


def best(dial: str, width: int, losses: dict[Key, float]) -> Optimum:
    """Return the best factor of a dial at a width, over all seeds."""
    rows = [(factor, loss, seed) for (d, w, seed, factor), loss in losses.items() if (d, w) == (dial, width)]
    factors, values, seeds = zip(*rows, strict=True)
    return optimum(factors, values, seeds, LEVEL)


def apart(one: Optimum, other: Optimum, freedom: int) -> tuple[float, float, float]:
    """Return how many times one optimum is the other, and the interval of that."""
    log, spread = math.log(one.value / other.value), math.hypot(one.deviation, other.deviation)
    half = student(0.5 + LEVEL / 2, freedom) * spread
    return math.exp(log), math.exp(log - half), math.exp(log + half)


def verdict(low: float, high: float) -> str:
    """Say whether two optima lie within the factor, so far as the interval tells."""
    if low >= 1 / REACH and high <= REACH:
        return "holds"
    return "fails" if high < 1 / REACH or low > REACH else "undecided"


def main() -> None:
    """Run what is missing, then tell."""
    asker = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asker.add_argument("--work", type=Path, required=True)
    asker.add_argument("--output", type=Path, required=True)
    asker.add_argument("--widths", type=lambda text: [int(each) for each in text.split(",")], default=[16, 32, 64])
    asker.add_argument("--dials", type=lambda text: text.split(","), default=list(DIALS))
    asker.add_argument("--steps", type=int, default=400)
    asker.add_argument("--seeds", type=int, default=2)
    asker.add_argument("--workers", type=int, default=1)
    asker.add_argument("--seconds", type=float, default=math.inf)
    asker.add_argument("--json", action="store_true")
    asked = asker.parse_args()
    tokens = TokenFile.open(asked.work / "tokens/train.bin")
    recipe = Recipe(vocabulary=tokens.vocabulary, context_length=128, precision=best_precision())
    runs = attempts(asked, recipe)
    asked.output.mkdir(parents=True, exist_ok=True)
    missing = list({run.path: run for run in runs.values() if not run.path.exists()}.values())
    clock = time.monotonic()
    while missing and time.monotonic() - clock < asked.seconds:
        # Several a process, because a process takes seconds to begin.
        part, missing = missing[: 6 * asked.workers], missing[6 * asked.workers :]
        sweep(part, asked.workers)
    if missing:
        sys.exit(f"{len(missing)} of {len({run.path for run in runs.values()})} runs are missing: call again")
    losses = dict(zip(runs, sweep(list(runs.values()), asked.workers), strict=True))
    tell(list(rows(asked, recipe, losses)), as_json=asked.json)


def rows(asked: argparse.Namespace, recipe: Recipe, losses: dict[Key, float]) -> list[dict[str, Any]]:
    """Return one row a dial, and print the table of all widths."""
    out = sys.stderr if asked.json else sys.stdout
    found = []
    for dial in asked.dials:
        print(f"\n{dial}: best factor, {LEVEL:.0%} interval, its rate, what being off by {REACH} costs", file=out)
        optima = {width: best(dial, width, losses) for width in asked.widths}
        for width, at in optima.items():
            own = getattr(recipe.config(width, asked.steps, 0), DIALS[dial])
            means = [mean(dial, width, factor, losses) for factor in FACTORS]
            place = (
                f"{at.value:.2f}  {at.low:.2f} to {at.high:.2f}  {own * at.value:.3g}" if at.inside else "not inside"
            )
            print(
                f"  width {width:4}  {place}  {100 * at.bend * math.log(REACH) ** 2:.2f}%  (noise "
                f"{100 * at.noise:.2f}%; losses by factor {', '.join(f'{each:.4f}' for each in means)})",
                file=out,
            )
        found.append(row(dial, min(asked.widths), max(asked.widths), optima, asked.seeds, losses))
    return found


def mean(dial: str, width: int, factor: float, losses: dict[Key, float]) -> float:
    """Return the mean loss over the seeds."""
    return statistics.mean(loss for key, loss in losses.items() if (key[0], key[1], key[3]) == (dial, width, factor))


def row(
    dial: str, small: int, large: int, optima: dict[int, Optimum], seeds: int, losses: dict[Key, float]
) -> dict[str, Any]:
    """Compare the smallest width's best factor with the largest's; the best ones tried where a sweep bounds none."""
    both = (optima[small], optima[large])
    if all(each.inside and each.bounded for each in both):
        ours, theirs = both[0].value, both[1].value
        _, low, high = apart(*both, both[0].runs - 2 - seeds)
        note = f"{LEVEL:.0%} interval {low:.2f} to {high:.2f}: {verdict(low, high)}"
    else:
        ours, theirs = (min(FACTORS, key=lambda f: mean(dial, width, f, losses)) for width in (small, large))
        note = "the best factors tried; undecided: a sweep bounds none"
    return {
        "what": f"{dial}: best factor, width {small} over {large}",
        "ours": ours, "rival": f"width {large}", "theirs": theirs,
        "ratio": round(ours / theirs, 3), "reach": REACH, "unit": "× own rate", "note": note,
    }  # fmt: skip


if __name__ == "__main__":
    main()
