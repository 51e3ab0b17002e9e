"""How fast this machine trains: measured once, recorded, and never asked of the clock again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chidu.parallel import Emit, Place, cores, map_processes
from chidu.runs.config import RunConfig
from chidu.training.team import Team, join, shared_bytes

__all__ = ["RandomTokens", "Speed", "best_precision", "measure_apart", "measure_speed", "measure_together"]

WARM_STEPS = 3
LEAST_STEPS = 12
TIMED_SECONDS = 0.4
LENGTHS = 3
"""Runs of one size: no more are ever at work at once."""


@dataclass(frozen=True)
class Speed:
    """Seconds that one optimiser step takes with every core at work."""

    apart: tuple[float, ...]
    """For each config, run by one thread while every other core runs another."""
    together: float
    """For the one config that all cores share."""
    threads: int
    """Threads of each process that made `together` shortest."""
    processes: int = 1
    """Processes that share `together`."""


class RandomTokens:
    """Batches of random tokens: speed does not depend on what the text says."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def batch(self, step: int, sequences: int, context_length: int, seed: int) -> NDArray[np.int64]:
        """Return tokens [sequences, context_length + 1]."""
        return np.random.default_rng((seed, step)).integers(self.vocabulary, size=(sequences, context_length + 1))


def measure_speed(apart: Sequence[RunConfig], together: RunConfig, place: Place) -> Speed:
    """Time a few steps of each config on all cores of `place` at once, then of `together` shared by this machine's."""
    seconds = measure_apart(apart, place, min(place.cores, LENGTHS * len(apart)))
    processes, threads, step = measure_together(together, cores())
    return Speed(seconds, step, threads, processes)


def measure_together(config: RunConfig, cores: int) -> tuple[int, int, float]:
    """Return the processes that share a run on so many cores, their best number of threads, and a step's seconds."""
    processes = team_size(config, cores)
    found = {}
    for threads in sorted({1, cores // processes}):
        items = [(config, rank, processes, threads) for rank in range(processes)]
        memory = shared_bytes(config.shape.params, processes)
        found[threads] = max(map_processes(_time_together, items, processes, shared_bytes=memory))
    best = min(found, key=found.__getitem__)
    return processes, best, found[best]


def measure_apart(configs: Sequence[RunConfig], place: Place, at_once: int) -> tuple[float, ...]:
    """Return the seconds a step of each config takes one thread while so many of `place` do the same."""
    found = place.map(_time_apart, [tuple(configs)] * at_once)
    return tuple(statistics.mean(column) for column in zip(*found, strict=True))


def team_size(config: RunConfig, cores: int) -> int:
    """Return how many processes share one run: as many as there are cores for, each with as many sequences; one on a
    GPU."""
    import torch

    if torch.cuda.is_available():
        return 1
    return max(size for size in range(1, min(cores, config.sequences) + 1) if config.sequences % size == 0)


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
    return [_seconds_a_step(config, Team()) for config in configs]


def _time_together(trial: tuple[RunConfig, int, int, int], _: Emit) -> float:
    import torch

    config, rank, processes, threads = trial
    torch.set_num_threads(threads)
    return _seconds_a_step(config, join(rank, processes))


def _seconds_a_step(config: RunConfig, team: Team) -> float:
    from chidu.training.loop import Trainer

    trainer, tokens = Trainer(config, team=team), RandomTokens(config.shape.vocabulary)
    times: list[float] = []
    # Quick steps are timed longer, but for a team, whose processes must count alike.
    steps = WARM_STEPS + LEAST_STEPS
    while len(times) < steps:
        clock = time.perf_counter()
        trainer.advance(tokens)
        times.append(time.perf_counter() - clock)
        if team.size == 1 and len(times) == WARM_STEPS:
            steps += min(100, int(TIMED_SECONDS / min(times)))
    return statistics.median(times[WARM_STEPS:])
