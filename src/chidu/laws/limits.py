"""What bounds a plan beside its budget: the text there is, a device's memory and speed, what the model will serve."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from chidu.errors import FitError
from chidu.laws.settings import above_zero

__all__ = ["MOST_EPOCHS", "Bound", "Limits"]

MOST_EPOCHS = 4.0
"""Up to here repeated text was found nearly as good as new (Muennighoff et al., 2305.16264); no plan goes beyond."""
MOST_INFERENCE = 1e18
"""Tokens; beyond, those of the training are lost in the rounding beside them, and no model has served as many."""
BYTES_PER_PARAM = 2.0
"""Of bf16 weights: what stands for `bytes_per_param` where it is not given."""


@dataclass(frozen=True)
class Bound:
    """One limit as a bound on params or tokens."""

    name: str
    """The setting it came from."""
    of: str
    """`params` or `tokens`."""
    most: float


@dataclass(frozen=True)
class Limits:
    """Limits of a plan; None is no limit. Raises FitError, in one line, where one can't be or two contradict."""

    unique_tokens: float | None = None
    """Tokens of different text there are."""
    epochs: float = 1.0
    """How often each may be seen, 1 to MOST_EPOCHS."""
    max_params: float | None = None
    memory: float | None = None
    """Bytes of the device that will hold the model's weights."""
    tokens_per_second: float | None = None
    """What the model must write for one reader: each token reads all weights from the memory once."""
    bandwidth: float | None = None
    """Bytes a second that this memory delivers."""
    bytes_per_param: float | None = None
    """Of the weights as they are served."""
    inference_tokens: float | None = None
    """Tokens the model will read and write in its life."""
    lifetime: bool = False
    """True where the budget pays for the inference too; else for the training, and the loss it buys is kept."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "lifetime":
                above_zero(name, value)
        if not 1 <= self.epochs <= MOST_EPOCHS:
            raise FitError(
                f"epochs is {self.epochs:g}; it must be 1 to {MOST_EPOCHS:g}: beyond, repeats soon add nothing"
            )
        if self.epochs > 1 and self.unique_tokens is None:
            raise FitError("epochs says nothing without unique_tokens: give both, or leave epochs out")
        if (self.tokens_per_second is None) != (self.bandwidth is None):
            raise FitError("tokens_per_second and bandwidth (bytes/s of the memory) go together: give both, or neither")
        if self.bytes_per_param is not None and self.memory is None and self.bandwidth is None:
            raise FitError("bytes_per_param says nothing without memory or bandwidth: give one, or leave it out")
        if self.inference_tokens is not None and self.inference_tokens > MOST_INFERENCE:
            raise FitError(f"inference_tokens is {self.inference_tokens:g}; it must be at most {MOST_INFERENCE:g}")
        if self.lifetime and self.inference_tokens is None:
            raise FitError("a budget for the whole lifetime needs inference_tokens: give them, or leave lifetime out")
        for bound in self.bounds:
            if bound.most < 1:
                raise FitError(f"{bound.name} leaves room for {bound.most:.3g} {bound.of}: less than one")

    @property
    def weight_bytes(self) -> float:
        """Bytes of one param, as served."""
        return BYTES_PER_PARAM if self.bytes_per_param is None else self.bytes_per_param

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The limits on params and tokens, the tightest of each kind first."""
        found = []
        if self.unique_tokens is not None:
            found.append(Bound("unique_tokens", "tokens", self.epochs * self.unique_tokens))
        if self.max_params is not None:
            found.append(Bound("max_params", "params", self.max_params))
        if self.memory is not None:
            found.append(Bound("memory", "params", self.memory / self.weight_bytes))
        if self.tokens_per_second is not None and self.bandwidth is not None:
            most = self.bandwidth / self.weight_bytes / self.tokens_per_second
            found.append(Bound("tokens_per_second", "params", most))
        return tuple(sorted(found, key=lambda bound: bound.most))

    def most(self, of: str) -> float:
        """Return the most params or tokens; infinite where nothing limits them."""
        return min((bound.most for bound in self.bounds if bound.of == of), default=np.inf)

    def without(self, of: str) -> Limits:
        """Return the same without the limits on params, or on tokens."""
        if of == "tokens":
            return replace(self, unique_tokens=None, epochs=1.0)
        return replace(self, max_params=None, memory=None, tokens_per_second=None, bandwidth=None, bytes_per_param=None)

    @property
    def served(self) -> float:
        """What is served, in tokens of training's worth: a forward pass is a third of a training step."""
        return 0.0 if self.inference_tokens is None else self.inference_tokens / 3
