"""What a worker's environment holds: a small model uses one core well and two cores badly."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

__all__ = ["WORKER_ENVIRONMENT", "cores", "environment_with", "worker_environment"]

# One thread a worker. And memory that was freed stays with the process: glibc otherwise gives each large tensor back to
# the system and has the next one made of fresh pages, thousands of faults a step, a quarter of the time or more.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}


def cores() -> int:
    """Number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_environment() -> contextlib.AbstractContextManager[None]:
    """Set the workers' environment in this process, so that what it starts inherits it, and put the old one back."""
    return environment_with(WORKER_ENVIRONMENT)


@contextlib.contextmanager
def environment_with(wanted: Mapping[str, str]) -> Iterator[None]:
    """Meanwhile have these variables in this process's environment; put the old ones back."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
