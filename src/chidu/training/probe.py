"""How fast this machine trains: measured once, recorded, and never asked of the clock again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chidu.parallel import Emit, map_processes
from chidu.runs.config import RunConfig

__all__ = ["RandomTokens", "Speed", "best_precision", "measure_speed"]

WARM_STEPS = 2
TIMED_STEPS = 7


@dataclass(frozen=True)
class Speed:
    """Seconds that one optimiser step takes with every core at work."""

    apart: tuple[float, ...]
    """For each config, run by one thread while every other core runs another."""
    together: float
    """For the one config that all cores share."""
    threads: int
    """The number of threads that made `together` shortest."""


class RandomTokens:
    """Batches of random tokens: speed does not depend on what the text says."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def batch(self, step: int, sequences: int, context_length: int, seed: int) -> NDArray[np.int64]:
        """Return tokens [sequences, context_length + 1]."""
        return np.random.default_rng((seed, step)).integers(self.vocabulary, size=(sequences, context_length + 1))


def measure_speed(apart: Sequence[RunConfig], together: RunConfig, cores: int) -> Speed:
    """Time a few steps of each config in `cores` processes at once, then of `together` alone on 1, 2, 4, … threads."""
    at_once = map_processes(_time_apart, [tuple(apart)] * cores, cores)
    threads = sorted({min(2**power, cores) for power in range(cores.bit_length() + 1)})
    alone = map_processes(_time_together, [(together, tuple(threads))], 1)[0]
    best = min(range(len(threads)), key=alone.__getitem__)
    return Speed(tuple(statistics.mean(column) for column in zip(*at_once, strict=True)), alone[best], threads[best])


def best_precision() -> str:
    """Return `bf16` where this machine multiplies it natively, else `float32`."""
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "float32"
    flags = Path("/proc/cpuinfo")
    native = flags.exists() and "avx512_bf16" in flags.read_text(encoding="ascii", errors="ignore")
    return "bf16" if native else "float32"


def _time_apart(configs: tuple[RunConfig, ...], _: Emit) -> list[float]:
    import torch

    torch.set_num_threads(1)
    return [_seconds_a_step(config) for config in configs]


def _time_together(trial: tuple[RunConfig, tuple[int, ...]], _: Emit) -> list[float]:
    import torch

    config, choices = trial
    times = []
    for threads in choices:
        torch.set_num_threads(threads)
        times.append(_seconds_a_step(config))
    return times


def _seconds_a_step(config: RunConfig) -> float:
    from chidu.training.loop import Trainer

    trainer, tokens = Trainer(config), RandomTokens(config.shape.vocabulary)
    times = []
    for _ in range(WARM_STEPS + TIMED_STEPS):
        clock = time.perf_counter()
        trainer.advance(tokens)
        times.append(time.perf_counter() - clock)
    return statistics.median(times[WARM_STEPS:])
