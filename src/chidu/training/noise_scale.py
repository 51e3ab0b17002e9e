"""How large a batch still pays: the gradient noise scale (McCandlish et al., 1812.06162).

B = tr(Σ) / |G|²: the variance of one sequence's gradient over the square of the mean gradient. Far below a batch of B
twice the batch does the work of twice the steps, far above it nothing; at B training takes twice the least steps.
Both parts are estimated without bias from the gradients of single sequences.

Limits. The derivation is for plain gradient descent with a rate chosen for each batch. Adam divides by the gradient's
size and Muon makes the whole step orthogonal, both after averaging over ten or twenty steps: their critical batch is
another number of the same kind (Muon's was measured to be larger than AdamW's: Essential AI, 2505.02222). It grows as
the loss falls. So it is a hint of the order of magnitude; which batch is best, runs must say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chidu.laws.calibration import student
from chidu.training.loop import Trainer

__all__ = ["NoiseScale", "measure_noise_scale", "noise_scale"]


@dataclass(frozen=True)
class NoiseScale:
    """A gradient noise scale and its interval, in tokens."""

    step: int
    """Optimiser steps that the model had taken."""
    tokens: float
    """tr(Σ) / |G|², in tokens of whole sequences; infinite where the mean gradient can't be told from 0."""
    low: float
    high: float
    level: float
    sequences: int
    """Single gradients that it was taken from."""
    matrices: float
    """The same of the layers' matrices alone, which Muon moves."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form; null stands for infinite."""
        return {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in asdict(self).items()
        }


def noise_scale(
    dots: NDArray[np.float64], squares: NDArray[np.float64], level: float = 0.9
) -> tuple[float, float, float]:
    """Return tr(Σ) / |G|² and its interval, in sequences.

    ``dots`` are the products g·ḡ of each sequence's gradient with the mean of all, ``squares`` their g·g; both (n,).
    The interval is a jackknife's over sequences, of |G|² / tr(Σ), which has no pole where |G|² may be 0.
    """
    count = len(squares)
    whole = float(dots.mean())  # |ḡ|²
    signal = _signal(whole, float(squares.sum()), count)
    without = (count**2 * whole - 2 * count * dots + squares) / (count - 1) ** 2
    each = np.array(
        [_signal(float(w), float(squares.sum() - q), count - 1) for w, q in zip(without, squares, strict=True)]
    )
    deviation = math.sqrt((count - 1) / count * float(((each - each.mean()) ** 2).sum()))
    half = student(0.5 + level / 2, count - 1) * deviation
    return _inverse(signal), _inverse(signal + half), _inverse(signal - half)


def _signal(mean_square: float, sum_of_squares: float, count: int) -> float:
    """Return |G|² / tr(Σ), each estimated without bias."""
    noise = (sum_of_squares - count * mean_square) / (count - 1)
    return (mean_square - noise / count) / noise if noise > 0 else math.inf


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else math.inf


def measure_noise_scale(trainer: Trainer, windows: NDArray[np.int64], level: float = 0.9) -> NoiseScale:
    """Measure a model as it stands, on windows [n, T + 1] that it has not read; in float32, one sequence at a time.

    The gradients are gone through twice, so that none has to be kept.
    """
    whole = Trainer(replace(trainer.config, precision="float32"), trainer.device)
    whole.weights.load({name: tensor.clone() for name, tensor in trainer.weights.tensors().items()})
    mean = torch.zeros_like(whole.weights.gradient)
    for gradient in sequence_gradients(whole, windows):
        mean.add_(gradient, alpha=1 / len(windows))
    places = {"all": slice(0, mean.numel()), "matrices": whole.weights.places["matrices"]}
    sums: dict[str, list[tuple[float, float]]] = {name: [] for name in places}
    for gradient in sequence_gradients(whole, windows):
        for name, place in places.items():
            here = gradient[place]
            sums[name].append((float(here.dot(mean[place])), float(here.dot(here))))
    length = windows.shape[1] - 1
    columns = {name: np.array(rows) for name, rows in sums.items()}
    found = {name: noise_scale(each[:, 0], each[:, 1], level) for name, each in columns.items()}
    value, low, high = (length * number for number in found["all"])
    return NoiseScale(trainer.step, value, low, high, level, len(windows), length * found["matrices"][0])


def sequence_gradients(trainer: Trainer, windows: NDArray[np.int64]) -> Iterator[Tensor]:
    """Yield the flat gradient of each window's mean loss; it is overwritten by the next."""
    for window in torch.from_numpy(windows).to(trainer.device):
        trainer.weights.clear()
        trainer.model.loss(window[None, :-1], window[None, 1:]).backward()  # type: ignore[no-untyped-call]
        trainer.weights.collect()
        yield trainer.weights.gradient
