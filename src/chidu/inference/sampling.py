"""Write text with a model, a token at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from chidu.errors import InputError, SettingError
from chidu.model.conversion import load_model
from chidu.model.transformer import Transformer

__all__ = ["Sampling", "TextModel", "next_tokens"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn."""

    max_tokens: int = 100
    """Tokens to write at the most."""
    temperature: float = 0.8
    """Divides the logits; 0 takes the most likely token (greedy)."""
    top_p: float = 0.95
    """Draw from the fewest most likely tokens that hold this much probability."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise SettingError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if not 0 <= self.seed < 2**63:
            raise SettingError(f"seed is {self.seed}; it must be in 0..2**63-1")
        if not 0 <= self.temperature <= 10:
            raise SettingError(f"temperature is {self.temperature}; it must be in 0..10")
        if not 0 < self.top_p <= 1:
            raise SettingError(f"top_p is {self.top_p}; it must be above 0 and at most 1")


class TextModel:
    """A saved model and its tokenizer, opened from a folder."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.model = load_model(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise InputError(f"{folder} has no tokenizer.json: name a folder that holds a saved model")
        try:
            self.tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"{path} is no tokenizer ({error}): name a folder that holds a saved model") from error
        if self.tokenizer.get_vocab_size() != self.model.shape.vocabulary:
            raise InputError(
                f"{folder}: the tokenizer has {self.tokenizer.get_vocab_size()} tokens, "
                f"the weights {self.model.shape.vocabulary}: they don't belong together"
            )

    def write(self, prompt: str, sampling: Sampling) -> Iterator[str]:
        """Yield the text that follows the prompt, in pieces of whole characters.

        Raises InputError where the prompt fills the context. Text ends at the end-of-text token, at `max_tokens`, or
        where the context is full.
        """
        prefix = self.tokenizer.encode(prompt).ids or [0]
        if len(prefix) >= self.model.shape.context_length:
            raise InputError(
                f"the prompt is {len(prefix)} tokens long; the model's context holds "
                f"{self.model.shape.context_length}: shorten it"
            )
        written: list[int] = []
        shown = ""
        for token in next_tokens(self.model, prefix, sampling):
            if token == 0:
                break
            written.append(token)
            text = self.tokenizer.decode(written)
            # A character of several bytes may be half written: it is shown when whole.
            if not text.endswith("\ufffd"):
                yield text[len(shown) :]
                shown = text


@torch.inference_mode()
def next_tokens(model: Transformer, prefix: list[int], sampling: Sampling) -> Iterator[int]:
    """Yield the tokens that follow the prefix, until `max_tokens` or a full context."""
    generator = torch.Generator().manual_seed(sampling.seed)
    tokens, past = torch.tensor([prefix]), None
    for _ in range(min(sampling.max_tokens, model.shape.context_length - len(prefix))):
        features, past = model.features(tokens, past)
        token = draw(model.head(features[0, -1]).float(), sampling, generator)
        yield token
        tokens = torch.tensor([[token]])


def draw(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draw one token from logits [V]."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    # From the largest logit down, in float64: a temperature close to 0 must not divide to infinity less infinity.
    scaled = (logits - logits.max()).double() / sampling.temperature
    probability, order = scaled.softmax(dim=-1).sort(descending=True, stable=True)
    # A token is kept where those before it hold less than top_p: so at least one always is.
    probability[probability.cumsum(0) - probability >= sampling.top_p] = 0
    return int(order[torch.multinomial(probability, 1, generator=generator)])
