"""This process's place among those that torchrun started, on one host or on many, and how they agree.

`torchrun` gives each process a rank and a store that all can read. The first process (rank 0) does what one process
must do, and hands out an order when there is something for all; the others wait for it, however long that takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from chidu.errors import TrainingError, WorkerError

if TYPE_CHECKING:
    import torch
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.distributed_c10d import Store

__all__ = ["Ranks", "launched", "naming_lost_ranks"]

Result = TypeVar("Result")

ORDER, HOME = "chidu-order", "chidu-home"
LOOK_SECONDS = 0.2
"""How often a waiting process looks for its order."""
FAREWELL_SECONDS = 10.0
LOST = "another process of this run has ended: run the same command again to go on from the last checkpoint"


def launched() -> bool:
    """True in a process that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@dataclass(frozen=True)
class Ranks:
    """One process of `size`; number `local_rank` on its host, with the GPU of that number where there is one."""

    rank: int
    size: int
    local_rank: int
    store: Store

    @classmethod
    def of_torchrun(cls) -> Ranks:
        """Read this process's place from what torchrun left in its environment, and meet the others."""
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        store, rank, size = next(iter(rendezvous("env://")))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return cls(rank, size, int(os.environ["LOCAL_RANK"]), PrefixStore(f"attempt-{attempt}", store))

    @property
    def device(self) -> torch.device:
        """The GPU of this process, or the processor."""
        import torch

        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def hand_out(self, order: Mapping[str, Any] | None) -> None:
        """Tell the waiting processes, once, what to do; None sends them home."""
        self.store.set(ORDER, json.dumps(order))

    def send_home(self) -> None:
        """Let the others end, where nothing was handed out; wait until they know, since the store ends with us."""
        if self.store.check([ORDER]):
            return
        self.hand_out(None)
        clock = time.monotonic()
        while self.store.add(HOME, 0) < self.size - 1 and time.monotonic() - clock < FAREWELL_SECONDS:
            time.sleep(LOOK_SECONDS)

    def await_order(self) -> dict[str, Any] | None:
        """Return what the first process hands out; None where there is nothing to do."""
        with naming_lost_ranks():
            # Waiting inside of the store would keep signals out.
            while not self.store.check([ORDER]):
                time.sleep(LOOK_SECONDS)
            order: dict[str, Any] | None = json.loads(self.store.get(ORDER))
            if order is None:
                self.store.add(HOME, 1)
        return order

    @contextlib.contextmanager
    def meeting(self) -> Iterator[DeviceMesh]:
        """Connect all processes (NCCL between GPUs, gloo between processors); give the mesh that spans them."""
        import torch
        import torch.distributed as dist
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.distributed_c10d import PrefixStore

        device = self.device
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=PrefixStore("run", self.store),
            rank=self.rank,
            world_size=self.size,
        )
        try:
            yield init_device_mesh(device.type, (self.size,), mesh_dim_names=("shard",))
        finally:
            dist.destroy_process_group()

    def together(self, work: Callable[[], Result]) -> Result:
        """Do `work` in every process, and go on when all have done it; where one fails, all raise."""
        result, error = None, None
        try:
            result = work()
        except Exception as raised:
            error = raised
        told = self.gather(None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        for rank, words in enumerate(told):
            if words is not None:
                raise TrainingError(f"process {rank} of {self.size} failed ({words}): mend that, and run again")
        return result  # type: ignore[return-value]

    def gather(self, value: Result) -> list[Result]:
        """Return every process's value, in their order."""
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def from_first(self, ask: Callable[[], Result]) -> Result:
        """Return to every process what `ask` returns in the first."""
        return self.gather(self.together(lambda: ask() if self.rank == 0 else None))[0]  # type: ignore[return-value]


@contextlib.contextmanager
def naming_lost_ranks() -> Iterator[None]:
    """Turn what a broken connection to another process raises into one clear line."""
    import torch.distributed as dist

    try:
        yield
    except dist.DistError as error:
        raise WorkerError(LOST) from error
    except RuntimeError as error:
        # gloo raises plain RuntimeErrors that name its source files.
        if "gloo" not in str(error):
            raise
        raise WorkerError(LOST) from error
