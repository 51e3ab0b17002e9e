"""One finished training: its config, its losses, its cost, where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from chidu.errors import WorkFolderError
from chidu.runs.config import RunConfig
from chidu.units import bits_per_byte

__all__ = ["PositionLoss", "Run"]


@dataclass(frozen=True)
class PositionLoss:
    """Mean loss of the targets at some positions of their sequences."""

    first: int
    """The first position, from 0: the target that has one token before it in its sequence."""
    last: int
    """One past the last position."""
    loss: float
    """Nats per token."""
    standard_error: float
    """Of that mean, over documents where they are known, else over sequences."""


@dataclass(frozen=True)
class Run:
    """One training and what came of it."""

    name: str
    """The run's name, for people; nothing is ever read out of it."""
    group: str
    """Runs of one group share a trajectory (branches of one trunk), so their errors are not independent."""
    config: RunConfig
    loss: float
    """Mean loss on the held-out tokens, nats per token."""
    loss_standard_error: float
    """Standard error of that mean, over held-out sequences, nats per token."""
    bytes_per_token: float
    """Bytes of held-out text a token stands for."""
    unique_tokens: int
    """Tokens in the training text."""
    seconds: float
    """Wall time this run cost by itself (a branch: without its trunk)."""
    flops_spent: float
    """Floating-point operations this run cost by itself (a branch: without its trunk)."""
    curve: tuple[tuple[int, float], ...] = ()
    """Training loss along the way: (step, mean loss since the last point, nats per token)."""
    loss_document_standard_error: float | None = None
    """Standard error of the loss over held-out documents, nats per token; None in runs measured without it."""
    loss_by_position: tuple[PositionLoss, ...] = ()
    """Held-out loss along the context, in ranges that double; empty in runs measured without it."""
    passed_over: tuple[int, ...] = ()
    """Steps whose batch moved no weight, for its loss or gradient was off."""
    rollbacks: tuple[tuple[int, int], ...] = ()
    """Steps at which the run was astray, and those it was taken back to."""
    gradient_norms: tuple[tuple[int, float, float], ...] = ()
    """Norm of the gradient before it is clipped, at the points of the curve: step, mean and largest since the last
    point; empty in runs made before it was kept."""

    def row(self) -> dict[str, Any]:
        """Return the run as one row of a Ladder."""
        config = self.config
        return {
            "run": self.name,
            "group": self.group,
            "params": config.shape.params,
            "params_matmul": config.shape.params_matmul,
            "tokens": config.tokens,
            "flops": config.flops,
            "loss": self.loss,
            "loss_standard_error": self.loss_standard_error,
            "bits_per_byte": bits_per_byte(self.loss, self.bytes_per_token),
            "unique_tokens": self.unique_tokens,
            "epochs": config.tokens / self.unique_tokens,
            "context_length": config.shape.context_length,
            "batch_tokens": config.batch_tokens,
            "steps": config.steps,
            "learning_rate": config.learning_rate,
            "warmup_steps": config.warmup_steps,
            "decay_fraction": config.decay_fraction,
            "seed": config.seed,
            "seconds": self.seconds,
            "flops_spent": self.flops_spent,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Run:
        """Read what `as_dict` wrote. Raises WorkFolderError where it is something else."""
        try:
            values = dict(values)
            values["config"] = RunConfig.from_dict(values["config"])
            values["curve"] = tuple((int(step), float(loss)) for step, loss in values["curve"])
            values["loss_by_position"] = tuple(PositionLoss(**each) for each in values.get("loss_by_position", ()))
            values["passed_over"] = tuple(int(step) for step in values.get("passed_over", ()))
            values["rollbacks"] = tuple((int(astray), int(to)) for astray, to in values.get("rollbacks", ()))
            norms = values.get("gradient_norms", ())
            values["gradient_norms"] = tuple((int(step), float(mean), float(most)) for step, mean, most in norms)
            return cls(**values)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise WorkFolderError(
                f"a run.json is damaged ({error!r}): delete its folder to have it made again"
            ) from error
