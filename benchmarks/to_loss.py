"""What a loss costs, Chidu's way and nanoGPT's: rows of `benchmarks/training.py` on the text of a finished undertaking.

nanoGPT trains its GPT-2 as its train.py does on a processor: float32, AdamW (0.9, 0.95), decay 0.1, clipping at 1, a
hundred steps up, a cosine down to a tenth; the best of several rates counts. Ours is the recipe as it stands. Both read
the same batches and are measured on the same held-out tokens; times are processor seconds of training alone.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from results import row

from chidu.laws import fit
from chidu.parallel import Emit, cores, map_processes
from chidu.runs.config import RunConfig
from chidu.runs.ladder import Ladder
from chidu.runs.recipe import Recipe
from chidu.runs.record import read_json, write_json
from chidu.runs.run import Run
from chidu.tokens import TokenFile
from chidu.training.design import Design
from chidu.training.optimiser import rate_factor
from chidu.training.probe import best_precision
from chidu.training.rungs import Rung, Text, train_ladder
from chidu.work.undertaking import OBJECTIVE, RESAMPLES

HELD_OUT_TOKENS = 131_072
CONTEXT, BATCH = 128, 1024
WIDTH, LAYERS, STEPS = 128, 4, 2560
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
OURS = (450, 506, 570)
"""Lengths of ours, among which the one with nanoGPT's loss lies."""
LENGTHS = (1.0, 2**0.5, 2.0, 2**1.5, 4.0)
"""A ladder of five lengths a size, in units of the shortest."""


LADDER_LENGTHS = (0.5, 1.0, 2.0, 4.0)
"""nanoGPT's lengths on a ladder's sizes, in units of the middle rung's."""


@dataclass(frozen=True)
class Course:
    """One training to measure, by either; its result stays in a file, so that a run is made once."""

    path: Path
    work: Path
    width: int
    layers: int
    heads: int
    steps: int
    seed: int = 0
    rate: float | None = None
    """nanoGPT's peak rate; None where it is ours."""

    @property
    def is_ours(self) -> bool:
        """True for Chidu's own."""
        return self.rate is None


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    steps: int
    loss: float
    seconds: float
    """Of the processor, training alone."""
    flops_per_token: float


def outcomes(courses: Sequence[Course]) -> list[Outcome]:
    """Make the trainings that were not made yet, one a core; return all results in order."""
    missing = sorted((each for each in courses if not each.path.exists()), key=lambda c: -c.steps * c.width)
    map_processes(_train, missing, cores(), lambda _, __: None)
    return [Outcome(**read_json(each.path)) for each in courses]


def _train(course: Course, emit: Emit) -> None:
    import torch

    torch.set_num_threads(1)
    train, held_out = (TokenFile.open(course.work / f"tokens/{name}.bin") for name in ("train", "held_out"))
    found = (_ours if course.is_ours else _nanogpt)(course, train, held_out)
    write_json(course.path, found.__dict__)
    emit(1)


def config_of(course: Course, vocabulary: int) -> RunConfig:
    """Return this size and length by our recipe; where it is nanoGPT's, by the recipe that is like it."""
    recipe = Recipe(vocabulary, CONTEXT, BATCH, precision=best_precision())
    if course.rate is not None:
        recipe = Recipe.gpt2(vocabulary, CONTEXT, BATCH, course.rate)
    made = recipe.config(course.width, course.steps, course.seed)
    heads = {"heads": course.heads, "kv_heads": course.heads, "head_width": course.width // course.heads}
    return replace(made, shape=replace(made.shape, layers=course.layers, **heads))


def _ours(course: Course, train: TokenFile, held_out: TokenFile) -> Outcome:
    from chidu.training.held_out import held_out_loss
    from chidu.training.loop import Trainer

    config = config_of(course, train.vocabulary)
    trainer = Trainer(config)
    seconds = _spent(lambda: trainer.advance(train), config.steps)
    loss = held_out_loss(trainer.model, held_out.held_out_batches(CONTEXT, HELD_OUT_TOKENS, 4)).loss
    return Outcome(config.steps, loss, seconds, float(config.shape.flops_per_token()))


def _nanogpt(course: Course, train: TokenFile, held_out: TokenFile) -> Outcome:
    sys.path.insert(0, os.environ["NANOGPT"])
    import torch

    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    torch.manual_seed(course.seed)
    shape = {"n_layer": course.layers, "n_head": course.heads, "n_embd": course.width}
    model = GPT(GPTConfig(block_size=CONTEXT, vocab_size=train.vocabulary, dropout=0.0, bias=False, **shape))
    config = config_of(course, train.vocabulary)
    optimiser = model.configure_optimizers(config.weight_decay, config.learning_rate, (0.9, 0.95), "cpu")
    step = iter(range(course.steps))

    def advance() -> None:
        at = next(step)
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * rate_factor(config, at)
        batch = torch.from_numpy(train.batch(at, BATCH // CONTEXT, CONTEXT, course.seed))
        _, loss = model(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    seconds = _spent(advance, course.steps)
    losses, count = 0.0, 0
    model.eval()
    with torch.inference_mode():
        for sequences in held_out.held_out_batches(CONTEXT, HELD_OUT_TOKENS, 16):
            batch = torch.from_numpy(sequences)
            _, loss = model(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
            losses, count = losses + float(loss) * len(batch), count + len(batch)
    return Outcome(course.steps, losses / count, seconds, float(config.shape.flops_per_token()))


def _spent(advance: Callable[[], object], steps: int) -> float:
    """Take the steps; return the seconds that this process computed."""
    clock = time.process_time()
    for _ in range(steps):
        advance()
    return time.process_time() - clock


def steps_to(loss: float, runs: Iterable[Outcome]) -> float:
    """Return the length at which a loss is reached: a line through the two nearest lengths, in logs.

    Raises ValueError where it lies beyond all of them.
    """
    ordered = sorted(runs, key=lambda each: each.steps)
    for one, other in itertools.pairwise(ordered):
        if other.loss <= loss <= one.loss:
            part = math.log(one.loss / loss) / math.log(one.loss / other.loss)
            return one.steps * (other.steps / one.steps) ** part
    raise ValueError(f"a loss of {loss:.4f} lies beyond {ordered[0].loss:.4f} to {ordered[-1].loss:.4f}")


def best_rate(work: Path, kept: Path, width: int, layers: int, heads: int, steps: int) -> tuple[float, Outcome]:
    """Return nanoGPT's best rate, of RATES and beyond while the best is the last tried, and what it came to."""
    rates = list(RATES)
    while True:
        tried = [(rate, nanogpt_course(work, kept, width, layers, heads, steps, rate)) for rate in rates]
        found = dict(zip(rates, outcomes([course for _, course in tried]), strict=True))
        best = min(found, key=lambda rate: found[rate].loss)
        if best not in (min(rates), max(rates)) or len(rates) > len(RATES) + 2:
            return best, found[best]
        rates.append(2 * best if best == max(rates) else best / 2)


def nanogpt_course(work: Path, kept: Path, width: int, layers: int, heads: int, steps: int, rate: float) -> Course:
    """One training of nanoGPT's."""
    name = f"nanogpt-{width}x{layers}-{steps}-{rate:g}.json"
    return Course(kept / name, work, width, layers, heads, steps, rate=rate)


def to_loss_rows(work: Path, kept: Path) -> list[dict[str, Any]]:
    """Rows `recipe` and `to_loss`: flops and core-seconds to the best loss of nanoGPT at 0.8M params in blocks."""
    heads = WIDTH // 32
    rate, theirs = best_rate(work, kept, WIDTH, LAYERS, heads, STEPS)
    mine = outcomes([Course(kept / f"chidu-{WIDTH}x{LAYERS}-{s}.json", work, WIDTH, LAYERS, heads, s) for s in OURS])
    steps = steps_to(theirs.loss, mine)
    near = min(mine, key=lambda each: abs(math.log(each.steps / steps)))
    flops = [steps * BATCH * near.flops_per_token, theirs.steps * BATCH * theirs.flops_per_token]
    seconds = [steps * near.seconds / near.steps, theirs.seconds]
    note = (
        f"loss {theirs.loss:.4f}, nanoGPT's best rate {rate:g} of those tried, {theirs.steps} steps; ours {steps:.0f}"
    )
    return [
        row("recipe", *flops, flops[1] / flops[0], "≥ 2.5 ×", "flops", note),
        row("to_loss", *seconds, seconds[1] / seconds[0], "≥ 6 ×", "core-seconds", note),
    ]


def trunk_rows(work: Path) -> list[dict[str, Any]]:
    """Row `trunk`: flops of trunks and branches against runs each by itself, of a five-length ladder and the work's."""
    design = Design.from_dict(read_json(work / "design/design.json"))
    groups: dict[str, list[RunConfig]] = {}
    for rung in design.rungs:
        groups.setdefault(rung.group, []).append(rung.config)
    fives = [five_lengths(configs) for configs in groups.values()]
    own, five = trunk_flops(list(groups.values())), trunk_flops(fives)
    return [
        row("trunk", *five, five[1] / five[0], "≥ 1.6 ×", "flops", "five lengths a size", rival="each by itself"),
        row("trunk: as designed", *own, own[1] / own[0], "", "flops", "three lengths", rival="each by itself"),
    ]


def forecast_row(work: Path, kept: Path) -> dict[str, Any]:
    """Row `trunk: forecast`: a ladder of five lengths is trained, and its law forecasts the work's target."""
    design = Design.from_dict(read_json(work / "design/design.json"))
    target = Run.from_dict(read_json(work / "target/run.json"))
    groups: dict[str, list[RunConfig]] = {}
    for rung in design.rungs:
        groups.setdefault(rung.group, []).append(rung.config)
    rungs = [Rung(f"{name}-{c.steps}", name, c) for name, configs in groups.items() for c in five_lengths(configs)]
    text = Text(work / "tokens/train.bin", work / "tokens/held_out.bin", HELD_OUT_TOKENS)
    runs = train_ladder(rungs, text, kept / "five", lambda _group, _event: None)
    found = fit(Ladder.from_runs(runs), resamples=RESAMPLES, objective=OBJECTIVE)
    shape = target.config.shape
    point = {"params": [shape.params], "params_matmul": [shape.params_matmul], "tokens": [target.config.tokens]}
    row_of = found.forecast(point).rows()[0]
    inside = row_of["low"] <= target.loss <= row_of["high"]
    three = read_json(work / "forecast/forecast.json")
    error, other = (100 * abs(loss / target.loss - 1) for loss in (row_of["loss"], three["loss"]))
    note = (
        f"{len(runs)} rungs, {found.law}: {row_of['loss']:.4f}, {row_of['low']:.4f} to {row_of['high']:.4f}; measured "
        f"{target.loss:.4f}, {'inside' if inside else 'OUTSIDE'}; with three lengths {three['loss']:.4f}, "
        f"{three['low']:.4f} to {three['high']:.4f}"
    )
    return row("trunk: forecast", error, other, other / error, "inside", "%", note, rival="three lengths a size")


def five_lengths(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Return a size's runs at five lengths, from the shortest to the longest of these."""
    shortest = min(configs, key=lambda config: config.steps)
    return [shortest.with_steps(round(times * shortest.steps)) for times in LENGTHS]


def ladder_rows(work: Path, kept: Path) -> list[dict[str, Any]]:
    """Row `ladder_wall`: seconds of two cores for the work's ladder, and for nanoGPT's runs to the losses of its rungs.

    Of nanoGPT the smallest, the middle and the largest size are trained, at the best rate of the middle length, up to
    four times that length. Where a rung's loss is not reached by then, that much is counted, and no more: the row is
    what nanoGPT needs at the least. How many times our steps a rung needs is carried to the other sizes; a step's time
    is measured at every size. No time is counted in which a core of the two would be idle.
    """
    runs = [Run.from_dict(read_json(path)) for path in sorted((work / "ladder").glob("w*/run.json"))]
    sizes: dict[int, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.config.steps):
        sizes.setdefault(run.config.shape.width, []).append(run)
    widths = sorted(sizes)
    some = (widths[0], widths[len(widths) // 2], widths[-1])
    needed = {width: _steps_needed(sizes[width], work, kept) for width in some}
    ours = theirs = 0.0
    for width, rungs in sizes.items():
        a_step, its_step = _step_seconds(rungs[-1], work, kept)
        trunk = max(run.config.trunk_steps for run in rungs)
        ours += a_step * (trunk + sum(run.config.decay_steps for run in rungs))
        for place, run in enumerate(rungs):
            known = [math.log(needed[each][place].times) for each in some]
            times = math.exp(float(np.interp(math.log(width), np.log(some), known)))
            theirs += its_step * times * run.config.steps
    said = "; ".join(f"width {width} " + ", ".join(map(str, found)) for width, found in needed.items())
    note = f"{len(runs)} rungs, two at a time; times our steps, by length: {said}"
    return [row("ladder_wall", ours / 2, theirs / 2, theirs / ours, "≥ 3 ×", "s on two cores", note)]


@dataclass(frozen=True)
class Needed:
    """How many times our steps nanoGPT needs to a rung's loss; at the least, where it did not get there."""

    times: float
    is_reached: bool

    def __str__(self) -> str:
        return f"{self.times:.2f}" if self.is_reached else f"over {self.times:.1f}"


def _shape_of(run: Run) -> tuple[int, int, int]:
    shape = run.config.shape
    return shape.width, shape.layers, shape.heads


def _steps_needed(rungs: Sequence[Run], work: Path, kept: Path) -> list[Needed]:
    """Return what nanoGPT needs for each rung of a size, by its length."""
    middle = rungs[1].config.steps
    size = _shape_of(rungs[0])
    rate, _ = best_rate(work, kept, *size, middle)
    lengths = [round(times * middle) for times in LADDER_LENGTHS]
    found = outcomes([nanogpt_course(work, kept, *size, steps, rate) for steps in lengths])
    needed = []
    for run in rungs:
        try:
            needed.append(Needed(steps_to(run.loss, found) / run.config.steps, True))
        except ValueError:
            needed.append(Needed(max(lengths) / run.config.steps, False))
    return needed


def _step_seconds(run: Run, work: Path, kept: Path) -> tuple[float, float]:
    """Return the processor seconds of a step of this size: ours, and nanoGPT's."""
    size, steps = _shape_of(run), 200
    mine = Course(kept / f"chidu-{size[0]}x{size[1]}-{steps}.json", work, *size, steps)
    found = outcomes([mine, nanogpt_course(work, kept, *size, steps, RATES[0])])
    return found[0].seconds / steps, found[1].seconds / steps


def trunk_flops(groups: Sequence[Sequence[RunConfig]]) -> list[float]:
    """Return the flops of trunks and branches, and of all runs by themselves."""
    shared = alone = 0.0
    for configs in groups:
        longest = max(configs, key=lambda config: config.steps)
        a_step = longest.batch_tokens * longest.shape.flops_per_token()
        shared += a_step * (longest.trunk_steps + sum(config.decay_steps for config in configs))
        alone += sum(config.flops for config in configs)
    return [shared, alone]
