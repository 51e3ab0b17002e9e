"""The engine for models of our own layouts: `chidu.model`'s Transformer, in float32, with its keys and values kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chidu.errors import ContextError, InputError
from chidu.inference.beam import beam_search
from chidu.inference.decoder import Decoder
from chidu.inference.engine import Conversation, Prompt, check_length, check_tokens, no_chat, room
from chidu.inference.sampling import HALF, Piece, Sampling, Token, follow, open_vocabulary, pieces, weigh
from chidu.inference.translation import TranslationForm
from chidu.model.conversion import load_model
from chidu.model.transformer import KeyValues, Transformer

if TYPE_CHECKING:
    from chidu.inference.constraint import Vocabulary

__all__ = ["OwnEngine"]

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
        self.translation = TranslationForm.read(folder)
        """How it was taught to translate, where it was."""

    @property
    def context_length(self) -> int:
        """Tokens that prompt and text may have together."""
        return self.model.shape.context_length

    @property
    def params(self) -> int:
        """All params."""
        return self.model.shape.params

    def encode(self, prompt: Prompt) -> list[int]:
        """Return a prompt's tokens. Raises InputError for a conversation: these models were taught none."""
        if isinstance(prompt, Conversation):
            raise no_chat(self.name)
        if isinstance(prompt, str):
            return list(self.tokenizer.encode(prompt).ids)
        return check_tokens(prompt, self.model.shape.vocabulary)

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of what is text alone: to spell the end of text in it does not end it."""
        return list(self._plain_tokenizer.encode(text).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return str(self.tokenizer.decode(list(tokens)))

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """Yield the text that follows the prompt, in pieces of whole characters.

        Raises InputError where the prompt fills the context, or the schema is none. Text ends at the end-of-text token,
        before a stop string, at `max_tokens`, or where the context is full.
        """
        prefix = self.encode(prompt) or [END]
        most = room(len(prefix), self.context_length, sampling)
        reader = _Reader(self.model) if self.model.shape.is_gpt2 else Decoder(self.model)
        tokens = follow(reader, prefix, most, sampling, lambda: self.vocabulary)
        return pieces(tokens, self.decode, lambda token: token == END, sampling, len(prefix))

    def write_best(self, prefix: Sequence[int], most: int, beams: int) -> str:
        """Return the best text of at most `most` tokens that follows tokens, by `beam_search`.

        Raises ContextError where the context is full before it ends.
        """
        free = room(len(prefix), self.context_length, Sampling(max_tokens=most))
        best = beam_search(self.model, prefix, free, beams, END)
        if not best.is_ended and free < most:
            raise ContextError(
                f"the text and what follows it are longer than the {self.context_length} tokens there are"
            )
        return self.decode(best.tokens).rstrip(HALF)

    @torch.inference_mode()
    def score(self, prompt: Prompt, top: int = 0) -> list[Token]:
        """Return the prompt's tokens, each with its log-probability. Raises InputError where it is too long."""
        tokens = self.encode(prompt)
        check_length(len(tokens), self.context_length)
        found = [Token(token, self.vocabulary.data(token)) for token in tokens[:1]]
        if len(tokens) > 1:
            logits = self.model(torch.tensor([tokens[:-1]]))[0]
            found += weigh(logits, tokens[1:], top, self.vocabulary)
        return found

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What the tokens are in bytes."""
        return open_vocabulary(self.tokenizer.to_str(), [END], self.name)

    @cached_property
    def _plain_tokenizer(self) -> Any:
        found = type(self.tokenizer).from_str(self.tokenizer.to_str())
        found.encode_special_tokens = True
        return found


class _Reader:
    """Reads tokens of GPT-2's layout, and keeps the keys and values of those it has read."""

    def __init__(self, model: Transformer) -> None:
        self.model = model
        self.past: list[KeyValues] | None = None

    @torch.inference_mode()
    def __call__(self, tokens: list[int]) -> Tensor:
        """Return the logits [V], float32, of what follows."""
        features, self.past = self.model.features(torch.tensor([tokens]), self.past)
        logits: Tensor = self.model.head(features[0, -1])
        return logits.float()
