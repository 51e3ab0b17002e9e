"""One run over several processes of this machine: each reads its part of every batch and moves its part of the weights.

Weights, gradients and moments lie in memory that the processes share, so a step costs two passes over the gradient and
three waits beside the arithmetic. Threads of one process do worse: they meet at every small operation, and where
another program holds a core they spin (LOG.md). A waiting process here sleeps.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from chidu.parallel import meeting

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Team", "join", "shared_bytes"]

SHARED_BYTES_A_PARAM = 24
"""Room for a param in float32: master, working copy, the sum of gradients, two moments; and what alignment takes."""
ALIGNMENT = 64


class Barrier(Protocol):
    """`multiprocessing.Barrier`."""

    def wait(self) -> int:
        """Return when every process has called."""
        ...


class Team:
    """This process's place among those that train one run."""

    def __init__(
        self, rank: int = 0, size: int = 1, barrier: Barrier | None = None, memory: memoryview | None = None
    ) -> None:
        self.rank, self.size = rank, size
        self._barrier, self._memory, self._used = barrier, memory, 0

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a tensor that every process of the team sees, at first zero.

        The processes must ask for the same tensors in the same order.
        """
        import torch

        if self._memory is None:
            return torch.zeros(shape, dtype=dtype, device=device)
        count = math.prod(shape)
        found = torch.frombuffer(self._memory, dtype=dtype, count=count, offset=self._used).view(shape)
        self._used += -(-count * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        return found

    def wait(self) -> None:
        """Go on when every process has come so far."""
        if self._barrier is not None:
            self._barrier.wait()

    def part(self, count: int, turn: int = 0) -> slice:
        """Return this process's part of `count` things: all parts are within one of the same length.

        Who gets a longer one changes with `turn`, so that over many things the parts even out.
        """
        place = (self.rank + turn) % self.size
        return slice(count * place // self.size, count * (place + 1) // self.size)


def join(rank: int, size: int) -> Team:
    """Return the team of a worker of `map_processes` with `shared_bytes`; of one, where it is alone."""
    if size == 1:
        return Team()
    memory, barrier = meeting()
    return Team(rank, size, barrier, memory)


def shared_bytes(params: int, size: int) -> int:
    """Return the memory that a team of `size` shares for a model of so many params; alone it shares none."""
    if size == 1:
        return 0
    return params * (SHARED_BYTES_A_PARAM + 4 * size) + 64 * ALIGNMENT
