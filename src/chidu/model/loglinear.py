"""The conditional model of the founding essay: a word's odds from a sum over the words before it.

    P(w_i = k | context) = exp(Σ_{j∈N(i)} θ_{k,w_j}) / Σ_{k'} exp(Σ_{j∈N(i)} θ_{k',w_j})

N(i) are the positions before i, the last `window` of them, each counted: a word that stands twice weighs twice, and
where a word stands does not matter. As printed the denominator lacks the index k' under θ: every term of it would be
the numerator, and every word equally likely (P = 1/V). It is read as above, the usual softmax.

θ is full (V × V numbers, a bigram table at window 1) or of low rank (θ = U Wᵀ, two tables of V × R). The exponent is
the sum, as written, or the mean over N(i). The loss is convex in a full θ. There is no bias: before any word all are
equally likely.

Shapes: B sequences, T tokens, R rank (V where θ is full), V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chidu.errors import SettingError

__all__ = ["LogLinear", "window_sums"]


class LogLinear(nn.Module):
    """Log-linear in the bag of the last `window` words.

    Parameters
    ----------
    vocabulary: words, V.
    window: words before the target that are read, at the most.
    rank: R of θ = U Wᵀ; None for a full θ.
    mean: True where the exponent is the mean over the words read, False where it is their sum.

    Raises SettingError where one of the numbers is below 1.
    """

    def __init__(self, vocabulary: int, window: int, rank: int | None = None, mean: bool = False) -> None:
        super().__init__()
        for name, value in (("vocabulary", vocabulary), ("window", window), ("rank", 1 if rank is None else rank)):
            if value < 1:
                raise SettingError(f"log-linear model: {name} is {value}; it must be at least 1")
        self.vocabulary, self.window, self.rank, self.mean = vocabulary, window, rank, mean
        self.embedding = nn.Embedding(vocabulary, vocabulary if rank is None else rank)
        """Row j is what word j adds: a column of θ, or of Wᵀ."""
        self.head = nn.Identity() if rank is None else nn.Linear(rank, vocabulary, bias=False)
        self.initialise(0)

    @property
    def params(self) -> int:
        """All params."""
        return self.vocabulary * (self.vocabulary if self.rank is None else 2 * self.rank)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Set θ to 0, so that the first loss is log V; of a low rank by its head alone, for it must leave 0."""
        if isinstance(self.head, nn.Linear):
            generator = torch.Generator().manual_seed(seed)
            self.embedding.weight.normal_(std=self.head.in_features**-0.5, generator=generator)
            self.head.weight.zero_()
        else:
            self.embedding.weight.zero_()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits [B, T, V] of the token after each of tokens [B, T]."""
        sums = window_sums(self.embedding(tokens), self.window)
        if self.mean:
            count = torch.arange(1, tokens.shape[1] + 1, device=sums.device).clamp(max=self.window)
            sums = sums / count[:, None]
        logits: Tensor = self.head(sums)
        return logits

    def probabilities(self, tokens: Tensor) -> Tensor:
        """Return P [B, T, V] of the token after each of tokens [B, T]; the rows sum to 1."""
        found: Tensor = self(tokens).float().softmax(dim=-1)
        return found

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss (a float32 scalar, nats per token) of targets [B, T] given tokens [B, T]."""
        return F.cross_entropy(self(tokens).float().flatten(0, 1), targets.flatten())


def window_sums(x: Tensor, window: int) -> Tensor:
    """Return the sum of the last `window` of x [B, T, R] up to each position, itself included: [B, T, R].

    Differences of running sums, so the cost does not depend on the window; these are float64, for a difference of large
    float32 sums would lose the digits of a narrow window far into a sequence.
    """
    if window == 1:
        return x
    running = x.cumsum(dim=1, dtype=torch.float64)
    before = F.pad(running, (0, 0, window, 0))[:, : x.shape[1]]
    return (running - before).to(x.dtype)
