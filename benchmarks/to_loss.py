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

from results import row

from chidu.parallel import Emit, cores, map_processes
from chidu.runs.config import RunConfig
from chidu.runs.recipe import Recipe
from chidu.runs.record import read_json, write_json
from chidu.tokens import TokenFile
from chidu.training.design import Design
from chidu.training.optimiser import rate_factor
from chidu.training.probe import best_precision

HELD_OUT_TOKENS = 131_072
CONTEXT, BATCH = 128, 1024
WIDTH, LAYERS, STEPS = 128, 4, 2560
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
OURS = (480, 640, 853, 1138, 1517)
"""Lengths of ours, among which the one with nanoGPT's loss lies."""
LENGTHS = (1.0, 2**0.5, 2.0, 2**1.5, 4.0)
"""A ladder of five lengths a size, in units of the shortest."""


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


def five_lengths(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Return a size's runs at five lengths, from the shortest to the longest of these."""
    shortest = min(configs, key=lambda config: config.steps)
    return [shortest.with_steps(round(times * shortest.steps)) for times in LENGTHS]


def trunk_flops(groups: Sequence[Sequence[RunConfig]]) -> list[float]:
    """Return the flops of trunks and branches, and of all runs by themselves."""
    shared = alone = 0.0
    for configs in groups:
        longest = max(configs, key=lambda config: config.steps)
        a_step = longest.batch_tokens * longest.shape.flops_per_token()
        shared += a_step * (longest.trunk_steps + sum(config.decay_steps for config in configs))
        alone += sum(config.flops for config in configs)
    return [shared, alone]
