"""A model whose reasons are known: what it says depends on one sum over its tokens, and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from chidu.inference import Prompt


class PlantedBox:
    """Tokens are digits, and 0 or 1 can follow; 9 is a mark that is no text.

    The odds of 1 are the exponential of the sum of what each token before it weighs.
    """

    name, context_length, vocabulary, ends = "planted", 1_000, 10, frozenset({7})

    def __init__(self, weights: Sequence[float], neutral: float = 0.0) -> None:
        self.weights, self.neutral = torch.tensor(weights)[:, None], torch.tensor([neutral])

    def read(self, prompt: Prompt) -> list[int]:
        return [int(letter) for letter in str(prompt)]

    def go_on(self, prompt: Sequence[int], answer: str) -> list[int]:
        return self.read(answer)

    def fixed(self, tokens: Sequence[int]) -> list[bool]:
        return [token == 9 for token in tokens]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(str, tokens))

    def embed(self, tokens: Tensor) -> Tensor:
        return self.weights[tokens]

    def logits(self, embedded: Tensor, keep: int) -> Tensor:
        sums = embedded[..., 0].cumsum(-1)[:, -keep:]
        never = sums.new_full((*sums.shape, 8), -1e9)
        return torch.cat((torch.zeros_like(sums)[..., None], sums[..., None], never), dim=-1)

    def layers(self, tokens: Tensor, keep: int) -> Iterator[Tensor]:
        """Two layers: the first knows half of the sum."""
        whole = self.logits(self.embed(tokens)[None], keep)[0]
        yield from (0 * whole, whole / 2, whole)
