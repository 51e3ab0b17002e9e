"""One run over many processes, on one host or on many: weights, gradients and moments are sharded by FSDP2.

The model, the recipe and the batches are those of `chidu.training.loop`: each process reads its part of every batch, so
that any number of processes trains the same run, up to the order in which sums are taken. Where there are GPUs each
process has one and they talk by NCCL; else they talk by gloo. GPUs have not been tried.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from chidu.errors import TrainingError
from chidu.model.transformer import Transformer
from chidu.parallel import Emit, heeding_stops
from chidu.runs.config import RunConfig
from chidu.runs.lease import hold
from chidu.runs.live import RunEvent
from chidu.runs.record import read_json, write_json
from chidu.runs.run import Run
from chidu.tokens import TokenFile
from chidu.training.loop import go_on, take_steps
from chidu.training.ranks import Ranks, naming_lost_ranks
from chidu.training.rungs import Rung, StepCount, Text, finished_run
from chidu.training.sharded_checkpoint import latest_sharded, read_sharded, read_state, write_sharded
from chidu.training.sharded_optimiser import ShardedOptimiser
from chidu.training.target import WEIGHTS
from chidu.training.underway import SHARDED, Heard, Underway, forget
from chidu.training.weights import flat_groups, write_weights

__all__ = ["Crew", "ShardedTrainer", "Thrift", "follow", "train_sharded"]


@dataclass(frozen=True)
class Thrift:
    """What a run does to need less memory. It changes no result beyond the order of sums."""

    sequences_at_once: int = 0
    """Sequences that a process passes at once, the gradients of a step being added up; 0: all of its part."""
    recompute: bool = False
    """Keep of each block only what it read, and compute the rest again on the way back: a third more work."""


@dataclass(frozen=True)
class Crew:
    """Who trains a run together."""

    ranks: Ranks
    thrift: Thrift


class ShardedTrainer(Underway):
    """A model on its way, sharded over all processes: weights, optimiser, and the rest.

    Raises TrainingError where the batch can't be shared out evenly.
    """

    checkpoints = SHARDED

    def __init__(self, config: RunConfig, ranks: Ranks, mesh: DeviceMesh, thrift: Thrift | None = None) -> None:
        super().__init__(config)
        if config.sequences % ranks.size:
            raise TrainingError(
                f"{config.sequences} sequences a step can't be split over {ranks.size} processes: "
                "start a number that divides them, or set batch_tokens"
            )
        self.ranks, self.thrift = ranks, thrift or Thrift()
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        self.model = sharded_model(config, mesh, ranks.device, dtype, self.thrift.recompute)
        self.optimiser = ShardedOptimiser(dict(self.model.named_parameters()), config, ranks, dtype)

    def _differentiate(self, batch: NDArray[np.int64], stops: bool, is_due: bool) -> Heard:
        tokens = torch.from_numpy(batch[self.ranks.rank :: self.ranks.size]).to(self.ranks.device)
        loss = self._own_gradient(tokens)
        # One sum serves all that must be agreed on. When to save, the clock of the first process says.
        wishes = (float(stops), float(is_due and self.ranks.rank == 0))
        told = torch.stack([loss / self.ranks.size, *(loss.new_tensor(wish) for wish in wishes)])
        dist.all_reduce(told)
        value, must_stop, must_save = told.tolist()
        return Heard(value, must_stop > 0, must_save > 0)

    def _own_gradient(self, tokens: Tensor) -> Tensor:
        """Leave the gradient of all processes' mean loss in the weights; return this process's loss."""
        total = torch.zeros((), device=tokens.device)
        for part in torch.split(tokens, self.thrift.sequences_at_once or len(tokens)):
            loss = self.model.loss(part[:, :-1], part[:, 1:]) * (len(part) / len(tokens))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _move(self) -> bool:
        moved = self.optimiser.step(self.step)
        self.norm = self.optimiser.norm
        return moved

    def _pass_over(self) -> None:
        self.optimiser.forget_gradient()

    def restart(self) -> None:
        """Go back to step 0."""
        draw_weights(self.model, self.config.seed)
        self.optimiser.restart()
        self._forget()

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return all that a checkpoint stores, by kind and name; filling them goes on from there."""
        weights = {name: weight.detach() for name, weight in self.model.named_parameters()}
        return {"weights": weights, **self.optimiser.tensors()}

    def latest(self, folder: Path, step: int | None = None) -> tuple[Path | None, list[str]]:
        """Return the newest checkpoint of ours that verifies, of that step at the latest; and what was passed over."""
        return latest_sharded(folder, self.ranks, step)

    def save(self, folder: Path, keep: int = 2, may_write: Callable[[], None] = lambda: None) -> None:
        """Write a checkpoint of this step. All processes call this alike; the first one asks whether it may."""
        state = {**self._state(), "processes": self.ranks.size}
        write_sharded(folder, self.step, self.tensors(), state, self.ranks, keep, may_write)

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, of any number of processes. All processes call this alike.

        Raises TrainingError where it is another run's.
        """
        state = read_state(checkpoint)
        self._check(state, checkpoint)
        read_sharded(checkpoint, self.tensors())
        self._take(state)
        self.optimiser.begin_at(self.step)

    def whole_weights(self) -> dict[str, Tensor]:
        """Return the weights, whole, by name, in the memory of the first process; nothing in the others."""
        found = get_model_state_dict(self.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        # A head that is the embedding has an entry of its own there.
        own = {name for name, _ in self.model.named_parameters()}
        return {name: tensor for name, tensor in found.items() if name in own and isinstance(tensor, Tensor)}


def sharded_model(
    config: RunConfig, mesh: DeviceMesh, device: torch.device, dtype: torch.dtype, recompute: bool
) -> Transformer:
    """Return a model whose float32 weights are sharded over the mesh, with the values that `initialise` would give it.

    Products are in `dtype`, gradients are added in float32. Each block is gathered when it computes, and let go;
    embedding, last norm and head stay gathered between forward and backward. No process ever holds all weights: they
    are drawn one by one.
    """
    # A block also returns its values, which are a view; nobody adds to them in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view", category=UserWarning)
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    with torch.device("meta"):
        model = Transformer(config.shape, recompute)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    model.to_empty(device=device)
    with device:
        model.fill_buffers()
    draw_weights(model, config.seed)
    return model


@torch.no_grad()
def draw_weights(model: Transformer, seed: int) -> None:
    """Give sharded weights the values that `Transformer.initialise` would give them."""
    for weight, drawn in model.drawn_weights(seed):
        assert isinstance(weight, DTensor)
        # Every process draws the same and takes its own rows: nothing is sent.
        whole = distribute_tensor(drawn.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None)
        weight.copy_(whole)


def train_sharded(
    rung: Rung,
    text: Text,
    folder: Path,
    crew: Crew,
    on_event: Callable[[RunEvent], None],
    say: Callable[[str], None],
) -> Run:
    """Train one run in all processes; leave `run.json` and the final weights in `folder`, as `train_target` does.

    The first process calls this, while the others are in `follow`. Goes on from the newest checkpoint of an earlier
    call, also of another number of processes; the same number gives the same bits. All hosts must see `folder` and the
    text under the same paths. SIGTERM and Ctrl-C, to any process, save a checkpoint first. Raises WorkerError where a
    process is lost, StoppedError where another was asked to stop, and TrainingError where the run diverges or
    checkpoints are refused.
    """
    path = folder / "run.json"
    if not path.exists():
        crew.ranks.hand_out(
            {
                "rung": rung.as_dict(),
                "text": {name: str(value) for name, value in asdict(text).items()},
                "folder": str(folder.resolve()),
                "thrift": asdict(crew.thrift),
            }
        )
        with hold(folder) as lease:
            _train(rung, text, folder, crew, on_event, say, lease.check)
    forget(folder)
    return Run.from_dict(read_json(path))


def follow(ranks: Ranks) -> None:
    """Wait, in any process but the first, for the run that `train_sharded` begins, and take part in it."""
    order = ranks.await_order()
    if order is None:
        return
    told = order["text"]
    text = Text(Path(told["train"]), Path(told["held_out"]), int(told["held_out_tokens"]))
    crew = Crew(ranks, Thrift(**order["thrift"]))
    rung, folder = Rung.from_dict(order["rung"]), Path(order["folder"])
    _train(rung, text, folder, crew, lambda _: None, lambda _: None, lambda: None)


def _train(
    rung: Rung,
    text: Text,
    folder: Path,
    crew: Crew,
    emit: Emit,
    say: Callable[[str], None],
    may_write: Callable[[], None],
) -> None:
    """Train the run to its end, measure it, and write what `train_sharded` promises. Every process is here at once."""
    ranks = crew.ranks
    count = StepCount(emit, rung.name, rung.config)
    with heeding_stops(), naming_lost_ranks(), ranks.meeting() as mesh:
        tokens, held_out = ranks.together(lambda: (TokenFile.open(text.train), TokenFile.open(text.held_out)))
        trainer = ShardedTrainer(rung.config, ranks, mesh, crew.thrift)
        go_on(trainer, folder, None, count.warn)
        say(f"target: {ranks.size} processes train it, from step {trainer.step} on")
        take_steps(trainer, tokens, folder, progress=count, tell=count.warn, may_write=may_write)
        count.flush()
        # Every process measures all of it: the held-out tokens are few, and the gathered weights pass by anyway.
        run = finished_run(rung, trainer, trainer.model, tokens, held_out, text, first=0)
        whole = trainer.whole_weights()

        def finish() -> None:
            if ranks.rank == 0:
                may_write()
                write_weights(folder / WEIGHTS, flat_groups(whole.items()))
                write_json(folder / "run.json", run.as_dict())

        ranks.together(finish)
