"""What one training is told: a shape, and how to train it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from chidu.errors import SettingError, nearest
from chidu.runs.shape import Shape

__all__ = ["RunConfig", "from_mapping"]

Made = TypeVar("Made")

PRECISIONS = ("bf16", "float32")
OPTIMISERS = ("muon", "adamw")
DECAYS = ("linear", "cosine")


@dataclass(frozen=True)
class RunConfig:
    """One training, whole: the same config, tokens and machine give the same weights, bit for bit."""

    shape: Shape
    """The model's sizes."""
    steps: int
    """Optimiser steps."""
    batch_tokens: int
    """Tokens in one step; a multiple of the context length."""
    learning_rate: float
    """Peak rate of the matrices inside the layers."""
    embedding_learning_rate: float
    """Peak rate of embedding and norms."""
    head_learning_rate: float
    """Peak rate of the head, where it has its own weights."""
    warmup_steps: int
    """Steps over which the rate rises linearly from 0."""
    decay_fraction: float
    """Part of the steps, at the end, over which a linear decay takes the rate to 0."""
    weight_decay: float = 0.1
    """Decoupled decay of the matrices, times the rate; under AdamW of embedding and head too."""
    gradient_clip: float = 1.0
    """Largest norm of the whole gradient."""
    seed: int = 0
    """Seeds the weights and the order of the data."""
    precision: str = "bf16"
    """`bf16` (products in bfloat16, weights and moments in float32) or `float32`."""
    optimiser: str = "muon"
    """`muon` for the matrices and Adam for the rest, or `adamw` for all."""
    decay: str = "linear"
    """How the rate falls: `linear` to 0 over the last part, or `cosine` to a tenth from the end of the warm-up on."""

    def __post_init__(self) -> None:
        _require(self.steps >= 1, f"steps is {self.steps}; it must be at least 1")
        _require(0 <= self.warmup_steps <= self.steps, f"warmup_steps ({self.warmup_steps}) must be in 0..steps")
        _require(0 <= self.decay_fraction <= 1, f"decay_fraction ({self.decay_fraction}) must be in 0..1")
        for name, known in (("precision", PRECISIONS), ("optimiser", OPTIMISERS), ("decay", DECAYS)):
            _require(getattr(self, name) in known, f"{name} {getattr(self, name)!r} is not {' or '.join(known)}")
        rows, rest = divmod(self.batch_tokens, self.shape.context_length)
        _require(
            rest == 0 and rows >= 1,
            f"batch_tokens ({self.batch_tokens}) must be whole sequences of {self.shape.context_length} tokens",
        )

    @property
    def tokens(self) -> int:
        """Tokens seen in training."""
        return self.steps * self.batch_tokens

    @property
    def sequences(self) -> int:
        """Sequences in one step."""
        return self.batch_tokens // self.shape.context_length

    @property
    def flops(self) -> float:
        """Floating-point operations of the whole training, counted from the shape."""
        return float(self.tokens) * self.shape.flops_per_token()

    @property
    def decay_steps(self) -> int:
        """Steps of the falling rate at the end."""
        return self.steps - self.warmup_steps if self.decay == "cosine" else round(self.steps * self.decay_fraction)

    @property
    def trunk_steps(self) -> int:
        """Steps before the rate falls: what a longer run of the same recipe shares with this one."""
        return self.steps - self.decay_steps

    def with_steps(self, steps: int) -> RunConfig:
        """Return the same config with another number of steps."""
        return dataclasses.replace(self, steps=steps)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form that `from_dict` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """Read what `as_dict` wrote. Raises SettingError for an unknown key."""
        values = dict(values)
        shape = from_mapping(Shape, values.pop("shape", {}), "shape")
        return from_mapping(cls, {"shape": shape, **values}, "run")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise SettingError(f"run: {message}")


def from_mapping(kind: type[Made], values: Mapping[str, Any], where: str) -> Made:
    """Build the dataclass ``kind`` from a mapping. Raises SettingError naming the nearest known key."""
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise SettingError(f"{where}: unknown key {name!r}{nearest(name, known)}")
    try:
        return kind(**values)
    except (TypeError, SettingError) as error:
        raise SettingError(f"{where}: {error}") from error
