"""A work folder at a chosen moment, made up but of the right form: curves whose end is known, and who is at work."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chidu.runs.config import RunConfig
from chidu.runs.forecast import WrittenForecast
from chidu.runs.ladder import Ladder
from chidu.runs.live import Live, LiveRecord, Steps
from chidu.runs.recipe import Recipe
from chidu.runs.record import Record, fingerprint, write_json
from chidu.runs.run import Run
from chidu.training import Design, Rung
from chidu.work.judging import TargetJudge, peers

WIDTHS, TARGET_WIDTH = (16, 24, 32, 48, 64), 224
LENGTHS = (600, 1200, 2400)
RECIPE = Recipe(1024, 128, 1024)


class Voice:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, stage: str, fraction: float, words: str, seconds: float | None) -> None:
        pass


def config_of(width: int, steps: int) -> RunConfig:
    return RECIPE.config(width, steps, 0)


def planted_run(rung: Rung, bend: float = 0.0) -> Run:
    """A run whose curve is planted; from its middle on it falls sooner than the law says, by `bend` in log units."""
    config, size = rung.config, rung.config.shape.params_matmul
    step = np.arange(1, 101) * (config.steps // 100)
    text = np.random.default_rng(0).normal(0, 0.01, 100)
    left = (15472 / size**0.5457 + 3.6e5 / (step * 1024) ** 0.6896) ** 0.3157
    excess = 0.18 * (1 - (size / 1.2e4) ** -0.2) * np.minimum(1, (1 - step / config.steps) / config.decay_fraction)
    sooner = bend * np.clip(2 * step / config.steps - 1, 0, 1)
    losses = left * np.exp(excess + text - sooner)
    curve = tuple((int(at), float(loss)) for at, loss in zip(step, losses, strict=True))
    loss = float(left[-1] * math.exp(-sooner[-1]))
    return Run(rung.name, rung.group, config, loss, 0.01, 2.5, 10_000_000, 60.0, config.flops, curve)


def design() -> Design:
    rungs = tuple(
        Rung(f"w{width:04d}-{steps}", f"w{width:04d}", config_of(width, steps)) for width in WIDTHS for steps in LENGTHS
    )
    return Design(rungs, Rung("target", "target", config_of(TARGET_WIDTH, LENGTHS[-1])), 1, 100.0, 200.0)


def record(folder: Path, stage: str) -> None:
    Record(stage, {}, {}, {}, {}, "2026-01-01T00:00:00+00:00", 10.0, {}, {}).write(folder / stage)


def until_ladder(folder: Path) -> Design:
    """A folder whose ladder is about to begin."""
    made = design()
    write_json(folder / "work.json", {"chidu_work_folder": 1})
    write_json(folder / "design" / "design.json", made.as_dict())
    record(folder, "design")
    return made


def until_target(folder: Path, off: float = 0.0, bend: float = 0.0) -> Design:
    """A folder whose target is about to train; its forecast lies `off` (log units) the end that the law knows of."""
    made = until_ladder(folder)
    runs = [planted_run(rung) for rung in made.rungs]
    for run in runs:
        write_json(folder / "ladder" / run.name / "run.json", run.as_dict())
    Ladder.from_runs(runs).write(folder / "ladder" / "ladder.csv")
    record(folder, "ladder")
    end = planted_run(made.target).loss * math.exp(off)
    config = made.target.config
    point = {"params": float(config.shape.params), "tokens": float(config.tokens), "flops": config.flops}
    low, high = end * math.exp(-0.04), end * math.exp(0.04)
    WrittenForecast(
        "2026-01-01T00:00:00+00:00", point, "additive", "", end, low, high, 0.9, 8.0, "yes", "", "",
        fingerprint(config.as_dict()),
    ).write(folder / "forecast" / "forecast.json")  # fmt: skip
    record(folder, "forecast")
    return made


@contextlib.contextmanager
def training_target(
    folder: Path, part: float, voice: Voice, *, bend: float = 0.0, start: int = 0, astray_to: int = 0
) -> Iterator[None]:
    """Somebody trains the target: from step `start`, where a checkpoint was, to this part of it; and stays.

    With `astray_to` it first goes so far, with twice the loss from a quarter on, and is taken back to that quarter.
    """
    made = design()
    written = WrittenForecast.read(folder / "forecast" / "forecast.json")
    run = planted_run(made.target, bend)
    whole, finished = run.config.steps, peers([planted_run(rung) for rung in made.rungs], run.config)
    with LiveRecord.open(folder, voice.say) as live:
        live.stage("target", start / whole, "", 200.0)
        live.begin(["target"], "one")
        judge = TargetJudge(finished, run.config, written, folder, live, voice)

        def walk(begin: int, end: int, wrong: float = 1.0) -> int:
            for step, loss in run.curve:
                if begin < step <= end:
                    steps = Steps("target", begin, step, loss * (wrong if step > whole / 4 else 1), 1.0, 1.2)
                    live.steps(steps)
                    judge(steps)
                    live.stage("target", step / whole, "training target", 200.0)
                    begin = step
            return begin

        if start:
            judge(Steps("target", 0, start))
            live.steps(Steps("target", 0, start))
        if astray_to:
            walk(0, astray_to, wrong=2.0)
            start = whole // 4
        last = walk(start, round(part * whole))
        limit = time.monotonic() + 30
        while not (seen := Live.read(folder)) or not seen.state or seen.state.fraction != last / whole:
            assert time.monotonic() < limit
            time.sleep(0.02)
        yield
