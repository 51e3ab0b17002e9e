"""Tables of runs whose law is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Planted:
    """A coupled law in the units of its columns; kappa = 1 is the additive one."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float
    kappa: float = 1.0

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Floats:
        N, D = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
        return np.asarray(self.E + (self.A / N**self.alpha + self.B / D**self.beta) ** self.kappa)

    def table(self, params: ArrayLike, tokens: ArrayLike, noise: float = 0.0, seed: int = 0) -> dict[str, Floats]:
        """Runs at these points, with log-normal noise."""
        N, D = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
        errors = np.random.default_rng(seed).normal(0, noise, len(N)) if noise else np.zeros(len(N))
        return {"params": N, "tokens": D, "flops": 6 * N * D, "loss": self.loss(N, D) * np.exp(errors)}


CHINCHILLA = Planted(1.7, 400.0, 0.34, 410.0, 0.28)
BENT = Planted(1.2, 3e4, 0.5, 2e5, 0.55, 0.6)


def grid(sizes: int = 6, lengths: int = 6, least: float = 1e8) -> tuple[Floats, Floats]:
    """Params from `least` and tokens from 20 × `least`, over two decades each, all combined."""
    N, D = np.meshgrid(np.geomspace(least, 100 * least, sizes), np.geomspace(20 * least, 2000 * least, lengths))
    return N.ravel(), D.ravel()


def ladder_world(random: np.random.Generator) -> tuple[dict[str, Floats], dict[str, list[float]], float]:
    """Twelve rungs of a bent law, as small ladders have it; a point at 8 × their flops, and what is measured there."""
    floor, kappa = random.uniform(0.9, 1.5), np.exp(random.uniform(np.log(0.4), np.log(1.6)))
    slopes, share, reducible = random.uniform(0.2, 0.45, 2), random.uniform(0.3, 0.7), random.uniform(1.8, 3.2)
    sizes, lengths = np.geomspace(0.09e6, 0.64e6, 4), np.array([0.3e6, 0.6e6, 1.2e6])
    centre = np.log(sizes).mean(), np.log(lengths).mean()

    def loss(N: ArrayLike, D: ArrayLike) -> Floats:
        first = np.log(share) - slopes[0] / kappa * (np.log(N) - centre[0])
        second = np.log(1 - share) - slopes[1] / kappa * (np.log(D) - centre[1])
        return np.asarray(floor + reducible * np.exp(kappa * np.logaddexp(first, second)))

    N, D = (axis.ravel() for axis in np.meshgrid(sizes, lengths, indexing="ij"))
    noisy = loss(N, D) * np.exp(random.normal(0, 0.003, len(N)))
    point = {"params_matmul": [sizes[-1] * 8**0.5], "tokens": [lengths[-1] * 8**0.5]}
    measured = float(loss(*point.values())[0] * np.exp(random.normal(0, 0.003)))
    return {"params_matmul": N, "tokens": D, "flops": 6 * N * D, "loss": noisy}, point, measured
