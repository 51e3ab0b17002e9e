"""Porian's three causes on a ladder of our own: the head uncounted, a warm-up too long, one rate and batch for all.

    OMP_NUM_THREADS=1 python benchmarks/porian.py --work FOLDER --kept KEPT [--seeds 3] [--processes 2] [--json]
    chidu study all --runs KEPT/runs.csv

FOLDER has `tokens/` of a demo or a build; nothing is written there. First the rates of every size, as a factor on the
recipe's, and its batch are tuned at the middle length with a seed of their own, judged on training text that no run
comes to. Then ladders with fresh seeds are trained: each size with its own setting (tuned), all sizes with the rates
and the batch that suit the largest (one), the recipe as it is (recipe), and the recipe with a warm-up that is long for
the short runs (long). Warm-up is held in tokens, not in steps, where batches differ. A run that is there already is not
made again.

The last rows say how runs fare whose warm-up is a part of their length (`--parts lengths`).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from results import tell

from chidu.laws.calibration import student
from chidu.parallel import Local
from chidu.runs.config import RunConfig
from chidu.runs.ladder import Ladder
from chidu.runs.recipe import Recipe
from chidu.runs.record import write_json
from chidu.runs.run import Run
from chidu.studies.published import compare_published, exponent_moved
from chidu.tokens import TokenFile
from chidu.training.probe import best_precision
from chidu.training.rungs import Rung, Text, train_ladder
from chidu.training.sweep import Attempt, sweep

CONTEXT, HELD_OUT_TOKENS, JUDGED_TOKENS = 128, 65_536, 65_536
WIDTHS = (12, 20, 28, 40, 56)
TOKENS = (153_600, 307_200, 614_400)
GRID = ((0.5, 256), (0.5, 512), (1.0, 512), (1.0, 1024), (2.0, 1024))
"""Factors on the rates, and tokens in a step: small batches want low rates."""
BATCH = 1024
"""The recipe's."""
WARMUP, LONG_WARMUP = 30 * BATCH, 100 * BATCH
"""Tokens: the recipe's, and one of two thirds of the shortest runs."""
TUNING_SEED = 0
LENGTHS_WIDTHS, LENGTHS_STEPS = (32, 64), (630, 2520)
LENGTHS_PARTS = (0.05, 0.15)
LEVEL = 0.9


@dataclass(frozen=True)
class Setting:
    """What is tuned: a factor on all rates of the recipe, and tokens in a step."""

    factor: float = 1.0
    batch: int = BATCH

    def __str__(self) -> str:
        return f"{self.factor:g} × the rates, {self.batch:,} tokens a step"

    def recipe(self, vocabulary: int, warmup: int) -> Recipe:
        """Return the recipe so changed, with a warm-up of so many tokens."""
        own = Recipe()
        return Recipe(
            vocabulary, CONTEXT, self.batch, warmup // self.batch,
            learning_rate=self.factor * own.learning_rate,
            embedding_learning_rate=self.factor * own.embedding_learning_rate,
            head_learning_rate=self.factor * own.head_learning_rate,
            precision=best_precision(),
        )  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """Where tokens are read and runs are kept, and how many run at once."""

    work: Path
    kept: Path
    place: Few

    @property
    def text(self) -> Text:
        """The tokens."""
        return Text(self.work / "tokens/train.bin", self.work / "tokens/held_out.bin", HELD_OUT_TOKENS)

    @property
    def vocabulary(self) -> int:
        """Of the tokens."""
        return TokenFile.open(self.text.train).vocabulary

    def config(
        self, width: int, tokens: int, seed: int, setting: Setting, warmup: int = WARMUP, rates_of: int | None = None
    ) -> RunConfig:
        """Return one training; with `rates_of` it has the rates of that width."""
        recipe, steps = setting.recipe(self.vocabulary, warmup), tokens // setting.batch
        config, other = recipe.config(width, steps, seed), recipe.config(rates_of or width, steps, seed)
        rates = ("embedding_learning_rate", "head_learning_rate")
        return replace(config, **{name: getattr(other, name) for name in rates})

    def train(self, configs: Iterable[RunConfig]) -> list[Run]:
        """Train what is not there yet; lengths of one size and setting share a trunk, and none is made twice."""
        wanted = list(dict.fromkeys(configs))
        rungs = [Rung(f"{group_of(config)}-{config.tokens}", group_of(config), config) for config in wanted]
        return train_ladder(rungs, self.text, self.kept / "runs", lambda _group, _event: None, self.place)


class Few(Local):
    """This machine, at most so many processes at once."""

    def __init__(self, processes: int) -> None:
        self.processes = processes

    @property
    def cores(self) -> int:
        """Processes at once."""
        return self.processes


def group_of(config: RunConfig) -> str:
    """Name what runs of several lengths share."""
    rates = (config.learning_rate, config.embedding_learning_rate, config.head_learning_rate)
    told = "-".join(f"{rate:.4g}" for rate in rates)
    return f"w{config.shape.width:03d}-b{config.batch_tokens}-r{told}-u{config.warmup_steps}-s{config.seed}"


def tune(bench: Bench) -> dict[int, Setting]:
    """Return the best setting of each size at the middle length, and write all losses to `tuning.json`."""
    settings = [Setting(factor, batch) for factor, batch in GRID]
    pairs = [(width, setting) for width in WIDTHS for setting in settings]
    attempts = [
        Attempt(
            bench.kept / "tuning" / f"w{width:03d}-b{setting.batch}-f{setting.factor:g}.json",
            bench.config(width, TOKENS[1], TUNING_SEED, setting),
            bench.text.train,
            JUDGED_TOKENS,
        )
        for width, setting in pairs
    ]
    losses = sweep(attempts, bench.place.cores)
    found = [
        {"width": width, "factor": setting.factor, "batch": setting.batch, "loss": loss}
        for (width, setting), loss in zip(pairs, losses, strict=True)
    ]
    write_json(bench.kept / "tuning.json", found)
    best = {width: min((each for each in found if each["width"] == width), key=_loss) for width in WIDTHS}
    return {width: Setting(each["factor"], each["batch"]) for width, each in best.items()}


def _loss(row: Mapping[str, Any]) -> float:
    return float(row["loss"])


def arms_of(bench: Bench, tuned: Mapping[int, Setting], seed: int) -> dict[str, list[RunConfig]]:
    """Return the four ladders of a seed; rows of all lie in one order."""
    largest = WIDTHS[-1]
    cells = [(width, tokens) for width in WIDTHS for tokens in TOKENS]
    return {
        "tuned": [bench.config(width, tokens, seed, tuned[width]) for width, tokens in cells],
        "one": [bench.config(width, tokens, seed, tuned[largest], rates_of=largest) for width, tokens in cells],
        "recipe": [bench.config(width, tokens, seed, Setting()) for width, tokens in cells],
        "long": [bench.config(width, tokens, seed, Setting(), LONG_WARMUP) for width, tokens in cells],
    }


def table_of(runs: Iterable[Run]) -> Ladder:
    """Return runs as a table that has all rates and the head's params."""
    rows = [
        {
            **run.row(),
            "params_head": run.config.shape.vocabulary * run.config.shape.width,
            "embedding_learning_rate": run.config.embedding_learning_rate,
            "head_learning_rate": run.config.head_learning_rate,
        }
        for run in runs
    ]
    return Ladder({name: [row[name] for row in rows] for name in rows[0]}, "runs.csv")


def cause_rows(bench: Bench, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Rows of the tuning, of the arms against each other, and of all that was published on causes."""
    tuned = tune(bench)
    for width, setting in tuned.items():
        yield line(f"tuned: width {width}", setting.factor, 1.0, "× rates", f"{setting}", "recipe")
    ladders: dict[str, list[Run]] = {}
    for seed in seeds:
        arms = arms_of(bench, tuned, seed)
        by_config = {run.config: run for run in bench.train(config for arm in arms.values() for config in arm)}
        for name, configs in arms.items():
            ladders.setdefault(name, []).extend(by_config[config] for config in configs)
    every = table_of({run.name: run for arm in ladders.values() for run in arm}.values())
    every.write(bench.kept / "runs.csv")
    tables = {name: table_of(arm) for name, arm in ladders.items()}
    for name in ("one", "recipe", "long"):
        gains = np.log(tables[name].numbers("loss") / tables["tuned"].numbers("loss"))
        by_width = gains.reshape(len(seeds), len(WIDTHS), -1).mean(axis=(0, 2))
        note = ", ".join(f"{width}: {100 * gain:.2f}" for width, gain in zip(WIDTHS, by_width, strict=True))
        yield line(f"loss of {name} over tuned", 100 * float(gains.mean()), 0.0, "%", f"by width {note}", "tuned")
    for fault, mended in (("one", "tuned"), ("recipe", "tuned"), ("one", "recipe"), ("long", "recipe")):
        moved = exponent_moved(tables[fault], tables[mended])
        note = f"moved by {moved.value:.3f} ({moved.low:.3f} to {moved.high:.3f}), {moved.shown.value}"
        yield line(f"exponent of the best size: {fault}", moved.at_fault, moved.mended, "", note, mended)
    for found in compare_published(every).findings:
        if found.source.startswith("Porian"):
            note = f"{found.low:.3f} to {found.high:.3f}: {found.shown.value}; {found.read}"
            yield line(f"cause: {found.name}", found.value, 0.0, "", note, "none")


def line(what: str, ours: float, theirs: float, unit: str, note: str, rival: str) -> dict[str, Any]:
    """One line of the result; a ratio says nothing here."""
    return {
        "what": what, "ours": round(ours, 4), "rival": rival, "theirs": round(theirs, 4),
        "ratio": "-", "reach": "", "unit": unit, "note": note,
    }  # fmt: skip


def length_rows(bench: Bench, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Rows of a warm-up that is a part of the run against the recipe's 30 steps, seed by seed."""
    own = Recipe().warmup_steps
    losses: dict[tuple[int, int, int, int], float] = {}
    warmups = {steps: [own, *(n for n in (round(part * steps) for part in LENGTHS_PARTS) if n > own + 2)]
               for steps in LENGTHS_STEPS}  # fmt: skip
    for seed in seeds:
        keys = [(width, steps, warmup, seed) for width in LENGTHS_WIDTHS for steps in LENGTHS_STEPS
                for warmup in warmups[steps]]  # fmt: skip
        configs = [bench.config(w, s * BATCH, seed, Setting(), warmup * BATCH) for w, s, warmup, _ in keys]
        losses |= {key: run.loss for key, run in zip(keys, bench.train(configs), strict=True)}
    for steps, several in warmups.items():
        for warmup in several[1:]:
            apart = {
                width: [100 * math.log(losses[width, steps, warmup, seed] / losses[width, steps, own, seed])
                        for seed in seeds]
                for width in LENGTHS_WIDTHS
            }  # fmt: skip
            for width, each in apart.items():
                yield paired(f"{steps} steps, width {width}: warm-up {warmup}", each, own)
            yield paired(
                f"{steps} steps, all widths: warm-up {warmup}", [d for each in apart.values() for d in each], own
            )


def paired(what: str, differences: Sequence[float], own: int) -> dict[str, Any]:
    """One line of a mean of paired differences (per cent of the loss) with its standard error and interval."""
    count, mean = len(differences), float(np.mean(differences))
    note = "one pair"
    if count > 1:
        error = float(np.std(differences, ddof=1)) / math.sqrt(count)
        half = student(0.5 + LEVEL / 2, count - 1) * error
        note = f"standard error {error:.2f}, {LEVEL:.0%} {mean - half:+.2f} to {mean + half:+.2f}, {count} pairs"
    return line(what, mean, 0.0, "% of the loss", note, f"{own} steps")


def main() -> None:
    """Train what is missing, and tell the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="work folder with tokens/")
    parser.add_argument("--kept", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--seeds", type=int, default=3, help="fresh seeds, 1, 2, …")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=["causes", "lengths"], default=["causes", "lengths"])
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    bench = Bench(told.work, told.kept, Few(told.processes))
    if not bench.text.train.exists():
        sys.exit(f"{bench.text.train} is not there: make it with chidu build")
    seeds = range(1, told.seeds + 1)
    rows = {"causes": cause_rows, "lengths": length_rows}
    tell((row for part in told.parts for row in rows[part](bench, seeds)), as_json=told.json)


if __name__ == "__main__":
    main()
