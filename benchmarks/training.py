"""Chidu's training loop against nanoGPT's: tokens a second on one core, in alternating turns.

Both take whole steps (forward, backward, clipping, optimiser) on the same batches of random tokens, with a vocabulary
of 4096, a context of 256 and 2,048 tokens a step. nanoGPT trains its GPT-2 with AdamW in float32 (on a processor it
ignores bf16), ours the same model with AdamW (`Recipe.gpt2`), in bf16 where the processor has it; a second row has
Chidu's own layout and Muon at the same width and depth: flops a token are printed for both. Each lives in a process of
one thread; only one works at a time.

    NANOGPT=FOLDER python benchmarks/training.py [--json] [--only train_S,train_M]
    NANOGPT=FOLDER python benchmarks/training.py --work FOLDER --output FOLDER [--only recipe,trunk]

NANOGPT holds nanoGPT's model.py. With --work, a finished undertaking on whose text both train, come rows of what a loss
costs (`to_loss.py`); their trainings are kept in --output and made once. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import to_loss
from idle import SECONDS, idle
from results import row, tell

from chidu.parallel import open_place, worker_environment
from chidu.runs.config import RunConfig
from chidu.runs.recipe import Recipe

VOCABULARY, CONTEXT, BATCH = 4096, 256, 2048
TURNS = 5
TURN_SECONDS = 3.0
RUNS = 10


@dataclass(frozen=True)
class Size:
    """A width and depth, and how many times nanoGPT's speed is to be reached."""

    what: str
    width: int
    layers: int
    reach: float

    @property
    def heads(self) -> int:
        """Heads of 32."""
        return self.width // 32

    def config(self, recipe: Recipe) -> RunConfig:
        """Return a recipe's training of this size, but for the depth."""
        config = recipe.config(self.width, 10_000, 0)
        heads = {"heads": self.heads, "kv_heads": self.heads, "head_width": 32}
        return replace(config, shape=replace(config.shape, layers=self.layers, **heads))


SIZES = (Size("train_S", 64, 4, 2.5), Size("train_M", 128, 4, 1.8), Size("train_L", 256, 6, 2.0))


def classic(precision: str) -> Recipe:
    """Return the recipe that trains what nanoGPT does."""
    return Recipe.gpt2(VOCABULARY, CONTEXT, BATCH, precision=precision)


def own(precision: str) -> Recipe:
    """Return Chidu's own recipe."""
    return Recipe(VOCABULARY, CONTEXT, BATCH, precision=precision)


def ours(size: Size, recipe: Callable[[str], Recipe], pipe: Connection) -> None:
    """Train with Chidu, a turn at a time."""
    begun = time.perf_counter()
    import torch

    torch.set_num_threads(1)
    from chidu.training.loop import Trainer
    from chidu.training.probe import RandomTokens, best_precision

    config = size.config(recipe(best_precision()))
    trainer, tokens = Trainer(config), RandomTokens(VOCABULARY)
    trainer.advance(tokens)
    facts = {
        "start": time.perf_counter() - begun,
        "flops": float(config.shape.flops_per_token()),
        "peak": peak(torch.bfloat16 if config.precision == "bf16" else torch.float32),
        "precision": config.precision,
        "floor": 16.0 * config.shape.params / 1e6,
    }
    take_turns(lambda: trainer.advance(tokens), facts, pipe)


def nanogpt(size: Size, pipe: Connection) -> None:
    """Train with nanoGPT, a turn at a time, as its train.py does on a processor."""
    begun = time.perf_counter()
    sys.path.insert(0, os.environ["NANOGPT"])
    import torch

    torch.set_num_threads(1)
    from chidu.training.probe import RandomTokens
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    model = GPT(
        GPTConfig(
            block_size=CONTEXT,
            vocab_size=VOCABULARY,
            n_layer=size.layers,
            n_head=size.heads,
            n_embd=size.width,
            dropout=0.0,
            bias=False,
        )
    )
    optimiser = model.configure_optimizers(0.1, 1e-3, (0.9, 0.95), "cpu")
    tokens, step = RandomTokens(VOCABULARY), iter(range(10**9))

    def advance() -> None:
        batch = torch.from_numpy(tokens.batch(next(step), BATCH // CONTEXT, CONTEXT, 0))
        _, loss = model(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    advance()
    matrices = sum(weight.numel() for weight in model.parameters() if weight.dim() == 2)
    matrices -= model.transformer.wpe.weight.numel()
    attention = 4 * size.layers * CONTEXT * size.width
    facts = {"start": time.perf_counter() - begun, "flops": 3.0 * (2 * matrices + attention)}
    take_turns(advance, facts, pipe)


def peak(dtype: Any) -> float:
    """Flops a second of a matrix product that is good for this core."""
    import torch

    a, b = torch.randn(1024, 1024).to(dtype), torch.randn(1024, 1024).to(dtype)
    times = []
    for _ in range(20):
        clock = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - clock)
    return float(2 * 1024**3 / min(times))


def take_turns(advance: Any, facts: dict[str, Any], pipe: Connection) -> None:
    """Say what is known, then answer each call with tokens a second over one turn; a None ends it."""
    pipe.send(facts)
    while pipe.recv() is not None:
        clock, steps = time.perf_counter(), 0
        while time.perf_counter() - clock < TURN_SECONDS:
            advance()
            steps += 1
        speed = steps * BATCH / (time.perf_counter() - clock)
        pipe.send((speed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))


class Runner:
    """A process that trains when it is called."""

    def __init__(self, target: Any, *what: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=target, args=(*what, theirs), daemon=True)
        self.process.start()
        self.facts: dict[str, Any] = self.pipe.recv()
        self.speeds: list[float] = []
        self.memory = 0.0

    def turn(self) -> None:
        """Let it train for a while."""
        self.pipe.send("go")
        speed, self.memory = self.pipe.recv()
        self.speeds.append(speed)

    def end(self) -> None:
        """Let it go."""
        self.pipe.send(None)
        self.process.join()


def compare(size: Size) -> list[dict[str, Any]]:
    """Let both train in turns; return what came of it."""
    with worker_environment():
        mine, ownly = Runner(ours, size, classic), Runner(ours, size, own)
    theirs = Runner(nanogpt, size)
    runners = (mine, theirs, ownly)
    for _ in range(TURNS):
        for runner in runners:
            runner.turn()
    for runner in runners:
        runner.end()
    return [
        speed_row(size.what, mine, theirs, f"≥ {size.reach} ×"),
        speed_row(f"{size.what}: own recipe", ownly, theirs, ""),
        row(
            f"{size.what}: memory",
            mine.memory,
            theirs.memory,
            theirs.memory / mine.memory,
            "",
            "MB",
            f"largest at once, torch included; weights, gradients and moments are {mine.facts['floor']:.1f} MB",
        ),
        row(
            f"{size.what}: start to first step",
            mine.facts["start"],
            theirs.facts["start"],
            theirs.facts["start"] / mine.facts["start"],
            "",
            "s",
            "imports included",
        ),
    ]


def speed_row(what: str, mine: Runner, theirs: Runner, reach: str) -> dict[str, Any]:
    """Tokens a second of both, the ratio of each pair of turns, and the part of the core's peak."""
    pairs = [a / b for a, b in zip(mine.speeds, theirs.speeds, strict=True)]
    speed, rival = statistics.median(mine.speeds), statistics.median(theirs.speeds)
    part = speed * mine.facts["flops"] / mine.facts["peak"]
    note = (
        f"{mine.facts['precision']}, {part:.0%} of this core's {mine.facts['peak'] / 1e9:.0f} GFLOP/s; flops a token "
        f"{mine.facts['flops']:.3g} and {theirs.facts['flops']:.3g}"
    )
    return row(what, speed, rival, statistics.median(pairs), reach, "tokens/s and core", note)


def checkpoint_row(size: Size) -> dict[str, Any]:
    """What checkpoints cost, one a minute: seconds to write one, and the part of the training time."""
    import tempfile

    from chidu.training.loop import Trainer
    from chidu.training.probe import RandomTokens, best_precision

    trainer, tokens = Trainer(size.config(own(best_precision()))), RandomTokens(VOCABULARY)
    trainer.advance(tokens)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(TURNS):
            clock = time.perf_counter()
            trainer.save(Path(folder))
            times.append(time.perf_counter() - clock)
            trainer.advance(tokens)
        size_in_bytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 2
    seconds = statistics.median(times)
    note = f"{size_in_bytes / 1e6:.1f} MB, written and synced, at one a minute"
    return row(f"{size.what}: checkpoint", seconds, 60.0, seconds / 60, "≤ 0.02", "s", note, rival="a minute")


def speed_rows(size: Size) -> list[dict[str, Any]]:
    """All rows of a size."""
    return [*compare(size), checkpoint_row(size)]


def place_row() -> dict[str, Any]:
    """What a run costs beyond its own time on a Ray cluster of this machine, beside processes of this machine."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    beyond = {}
    for on in ("ray", "local"):
        with open_place(on) as place:
            at_once = place.cores
            place.map(idle, range(at_once))
            clock = time.perf_counter()
            place.map(idle, range(RUNS * at_once))
            beyond[on] = (time.perf_counter() - clock) / RUNS - SECONDS
    note = f"what {RUNS} runs after another of {SECONDS} s took longer, a run; the cluster was there"
    return row("ray", beyond["ray"], beyond["local"], beyond["local"] / beyond["ray"], "", "s", note, "local")


def rows(only: Sequence[str], work: Path | None, kept: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows asked for."""
    for size in SIZES:
        if not only or size.what in only:
            yield from speed_rows(size)
    if not only or "ray" in only:
        yield place_row()
    if work is None:
        return
    if not only or {"recipe", "to_loss"} & set(only):
        yield from to_loss.to_loss_rows(work, kept)
    if not only or "ladder_wall" in only:
        yield from to_loss.ladder_rows(work, kept)
    if not only or "trunk" in only:
        yield from to_loss.trunk_rows(work)
        yield to_loss.forecast_row(work, kept)


def main() -> int:
    """Run the comparison; print it, and with --json end with one document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="names of rows, with commas")
    parser.add_argument("--work", type=Path, help="a finished undertaking, whose text both train on")
    parser.add_argument("--output", type=Path, help="where trainings on that text are kept")
    parser.add_argument("--json", action="store_true", help="end with one JSON document")
    flags = parser.parse_args()
    if not (Path(os.environ.get("NANOGPT", "")) / "model.py").is_file() or not os.environ.get("NANOGPT"):
        print("training: NANOGPT must name a folder that holds nanoGPT's model.py", file=sys.stderr)
        return 1
    if flags.work and not flags.output:
        print("training: --work needs --output, a folder for what is trained on its text", file=sys.stderr)
        return 1
    only = [name for name in flags.only.split(",") if name]
    if flags.output:
        flags.output.mkdir(parents=True, exist_ok=True)
    tell(rows(only, flags.work, flags.output), as_json=flags.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
