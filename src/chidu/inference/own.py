"""The engine for models of our own layouts: `chidu.model`'s Transformer, in float32, with its keys and values kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from chidu.errors import InputError
from chidu.inference.engine import Message, check_room, no_chat
from chidu.inference.sampling import Piece, Sampling, draw, pieces
from chidu.model.conversion import load_model
from chidu.model.transformer import Transformer

__all__ = ["OwnEngine", "next_tokens"]

END = 0
"""The end-of-text token of our tokenizers."""


class OwnEngine:
    """A saved model and its tokenizer, opened from a folder. Raises InputError where they don't belong together."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.name = folder.name
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

    @property
    def context_length(self) -> int:
        """Tokens that prompt and text may have together."""
        return self.model.shape.context_length

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens."""
        return list(self.tokenizer.encode(text).ids)

    def chat_prompt(self, messages: Sequence[Message]) -> str:  # noqa: ARG002
        """Raise InputError: these models were taught no conversation."""
        raise no_chat(self.name)

    def write(self, prompt: str, sampling: Sampling) -> Iterator[Piece]:
        """Yield the text that follows the prompt, in pieces of whole characters.

        Raises InputError where the prompt fills the context. Text ends at the end-of-text token, before a stop string,
        at `max_tokens`, or where the context is full.
        """
        prefix = self.encode(prompt) or [END]
        check_room(len(prefix), self.context_length)
        tokens = next_tokens(self.model, prefix, sampling)
        return pieces(tokens, self.tokenizer.decode, lambda token: token == END, sampling)


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
