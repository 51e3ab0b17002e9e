"""The runs of the study of context: log-linear models of every window, full and of low rank, sum and mean.

All are trained by the common loop (`chidu.training.bag`) on the same batches, and beside them Transformers of three
sizes (`beside.py`). Each is measured on the last half of the same held-out sequences, reading as many words as it was
trained on and, with its θ as it is, more. A finished model leaves one small file, named after all that it was told and
read: another call finds it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import TextError
from chidu.parallel import Emit
from chidu.runs.config import RunConfig
from chidu.runs.ladder import Ladder
from chidu.runs.recipe import Recipe
from chidu.runs.record import fingerprint, read_json, write_json
from chidu.studies.average import distances
from chidu.studies.beside import WIDTHS, besides, measuring_tokens
from chidu.studies.study import Means, OwnRuns
from chidu.training.rungs import STOP_SECONDS, Text

if TYPE_CHECKING:
    from chidu.model.loglinear import LogLinear
    from chidu.training.bag import Bag

__all__ = ["OWN_RUNS"]

WINDOWS = (1, 4, 16, 64, 256, 1024)
LENGTH = 1024
"""Tokens in a sequence, and in a step."""
RANK = 32
FULL_RATE, LOW_RATE = 0.1, 0.05
"""Adam's, of a θ at a window of one word, full and of low rank; see `Bag.rate`."""
SEEDS = 2
LEAST_STEPS, MOST_STEPS = 60, 2000
SLACK = 1.25
START_SECONDS = 15.0
TIMED = 6
"""Steps; the first is not counted."""
SEED_OF_STUDY = 5_000_000
CONTEXTS_APART = 8
"""Of every so many contexts the whole distribution is kept, for its distance from the average one."""


@dataclass(frozen=True)
class BagRun:
    """One model to train and measure."""

    folder: Path
    config: RunConfig
    window: int
    rank: int | None
    mean: bool
    text: Text

    @property
    def finished(self) -> Path:
        """The file that is there when it is trained and measured."""
        return self.folder / "bag.json"

    @property
    def bag(self) -> Bag:
        """The model."""
        from chidu.training.bag import Bag

        return Bag(self.window, self.rank, self.mean)


def config_of(means: Means, steps: int, seed: int, width: int = WIDTHS[0]) -> RunConfig:
    """Return the training of a Transformer beside; the log-linear models take batches and schedule from it."""
    from chidu.training.probe import best_precision

    recipe = Recipe(means.vocabulary, LENGTH, LENGTH, warmup_steps=min(20, steps // 3), precision=best_precision())
    return recipe.config(width, steps, seed)


def transformers(means: Means, steps: int) -> list[RunConfig]:
    """Return the trainings of all Transformers, the dearest first."""
    seeds = [SEED_OF_STUDY + 1000 * means.seed + place for place in range(SEEDS)]
    return [config_of(means, steps, seed, width) for width in reversed(WIDTHS) for seed in seeds]


def runs_of(means: Means, steps: int) -> list[BagRun]:
    """Return all models, the dearest first."""
    found = []
    for place in range(SEEDS):
        config = config_of(means, steps, SEED_OF_STUDY + 1000 * means.seed + place)
        for rank, rate in ((None, FULL_RATE), (RANK, LOW_RATE)):
            told = RunConfig.from_dict({**config.as_dict(), "embedding_learning_rate": rate, "precision": "float32"})
            for window in reversed(WINDOWS):
                for mean in (False, True):
                    key = fingerprint([told.as_dict(), window, rank, mean, means.fingerprint])[:12]
                    folder = means.folder / f"bag{window:04d}-{key}"
                    found.append(BagRun(folder, told, window, rank, mean, means.text))
    return sorted(found, key=lambda each: (each.rank is not None, each.window == 1))


def plan(means: Means) -> dict[str, Any]:
    """Time a few steps, and choose how many fit."""
    from chidu.training.probe import measure_apart

    shortest = runs_of(means, LEAST_STEPS)
    kinds = [next(each for each in shortest if each.rank == rank and each.window > 1) for rank in (None, RANK)]
    timed = means.place.map(_seconds_a_step, [tuple(kinds)] * means.place.cores)
    full, low = (sum(column) / len(column) for column in zip(*timed, strict=True))
    bags = 2 * len(WINDOWS) * SEEDS * (full + low)
    # Measuring passes over the held-out text once for each number of words read.
    sequences = max(1, means.text.held_out_tokens // LENGTH)
    measuring = sum(len(WINDOWS) - i for i in range(len(WINDOWS))) * 2 * SEEDS * (full + low) * sequences / 2
    wide = sum(measure_apart(transformers(means, LEAST_STEPS), means.place, means.place.cores))
    # To read is a third of what a step takes.
    measuring += wide * measuring_tokens(WINDOWS, means.text.held_out_tokens) / LENGTH / 3
    a_step = SLACK * (bags + wide) / means.place.cores
    fixed = 2 * START_SECONDS + SLACK * measuring / means.place.cores
    steps = min(MOST_STEPS, 10 * math.floor((means.seconds - fixed) / a_step / 10))
    if steps < LEAST_STEPS:
        raise TextError(
            f"{max(0.0, means.seconds) / 60:.1f} minutes are too few for {LEAST_STEPS} steps of every model, which "
            f"need about {math.ceil((fixed + LEAST_STEPS * a_step) / 60)}: give more --minutes"
        )
    return {
        "steps": steps,
        "seconds": fixed + steps * a_step,
        "words": (
            f"{len(shortest)} log-linear models ({SEEDS} seeds of windows {', '.join(map(str, WINDOWS))}; sum and "
            f"mean; θ full and of rank {RANK}) and Transformers of widths {', '.join(map(str, WIDTHS))}, each {steps} "
            f"steps of {LENGTH} tokens"
        ),
    }


def make(means: Means, plan: dict[str, Any]) -> Ladder:
    """Train and measure what is not there yet; return a row for each model and number of words read."""
    steps = int(plan["steps"])
    runs = runs_of(means, steps)
    missing = [each for each in runs if not each.finished.exists()]
    done = 0

    def on_event(_index: int, _event: object) -> None:
        nonlocal done
        done += 1
        means.tell(0.7 * done / max(1, len(missing)), "training log-linear models")

    means.tell(0.0, "training log-linear models")
    means.place.map(_train_bag, missing, on_event, grace=STOP_SECONDS)
    rows = [row for each in runs for row in read_json(each.finished)["rows"]]
    later = replace(means, tell=lambda part, words: means.tell(0.7 + 0.3 * part, words))
    rows += besides(later, transformers(means, steps), WINDOWS)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Ladder({name: [row.get(name) for row in rows] for name in names}, "context")


def _train_bag(run: BagRun, emit: Emit) -> None:
    """Train and measure one model. Runs in a worker."""
    import torch

    from chidu.runs.lease import forget_leases, hold
    from chidu.tokens import TokenFile
    from chidu.training.bag import BagTrainer
    from chidu.training.loop import go_on, take_steps
    from chidu.training.underway import forget

    torch.set_num_threads(1)
    with hold(run.folder) as lease:
        if not run.finished.exists():
            trainer = BagTrainer(run.config, run.bag)
            go_on(trainer, run.folder, None, lambda _step, _line: None)
            take_steps(trainer, TokenFile.open(run.text.train), run.folder, may_write=lease.check)
            rows = measured(trainer.model, run)
            lease.check()
            write_json(run.finished, {"bag": asdict(run.bag), "curve": trainer.curve, "rows": rows})
            forget(run.folder)
    forget_leases(run.folder)
    emit(run.folder.name)


def measured(model: LogLinear, run: BagRun) -> list[dict[str, Any]]:
    """Return what a trained model comes to when it reads as many words as in training, and more."""
    from chidu.tokens import TokenFile

    held_out = TokenFile.open(run.text.held_out)
    sequences = np.concatenate(list(held_out.held_out_batches(LENGTH, run.text.held_out_tokens)))
    common = {
        "model": "mean" if run.mean else "sum",
        "theta": "full" if run.rank is None else "low",
        "trained": run.window,
        "seed": run.config.seed,
        "params": model.params,
        "tokens": run.config.tokens,
    }
    return [
        {**common, "read": read, **distribution(model, sequences, read)} for read in WINDOWS if read >= run.window
    ]  # fmt: skip


def distribution(model: LogLinear, sequences: np.ndarray[Any, Any], read: int) -> dict[str, float]:
    """Return loss, entropy (nats) and Jensen–Shannon distance from the average distribution, of a number of words read.

    On the last half of each sequence. The distance is the root of the divergence in nats; its mean over contexts.
    """
    import torch

    trained, model.window = model.window, read
    losses, entropies, total, kept = 0.0, 0.0, torch.zeros(model.vocabulary, dtype=torch.float64), []
    try:
        with torch.inference_mode():
            for sequence in torch.from_numpy(sequences):
                half = (len(sequence) - 1) // 2
                log_chances = model(sequence[None, :-1])[0, half:].double().log_softmax(dim=-1)
                losses -= float(log_chances.gather(1, sequence[1 + half :, None]).sum())
                chances = log_chances.exp()
                entropies -= float(torch.where(chances > 0, chances * log_chances, 0.0).sum())
                total += chances.sum(dim=0)
                kept.append(chances[::CONTEXTS_APART].float())
    finally:
        model.window = trained
    count = len(sequences) * ((sequences.shape[1]) // 2)
    return {
        "loss": losses / count,
        "entropy": entropies / count,
        "distance": float(distances(torch.cat(kept).double(), total / count).mean()),
    }


def _seconds_a_step(runs: tuple[BagRun, ...], _: Emit) -> list[float]:
    import time

    import torch

    from chidu.training.bag import BagTrainer
    from chidu.training.probe import RandomTokens

    torch.set_num_threads(1)
    found = []
    for run in runs:
        trainer, tokens = BagTrainer(run.config, run.bag), RandomTokens(run.config.shape.vocabulary)
        trainer.advance(tokens)
        clock = time.monotonic()
        for _step in range(TIMED):
            trainer.advance(tokens)
        found.append((time.monotonic() - clock) / TIMED)
    return found


OWN_RUNS = OwnRuns(plan, make)
