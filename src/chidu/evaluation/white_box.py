"""A model that can be looked into: entered by the embeddings of its tokens, and asked what each layer would have said.

One small interface for our own models and for those of transformers, in float32.
Shapes: B sequences, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from chidu.errors import InputError
from chidu.inference import Engine, Prompt, open_engine
from chidu.inference.hub import HubEngine
from chidu.inference.own import END, OwnEngine
from chidu.inference.packaged import PACKAGED, packaged_model
from chidu.inference.sampling import HALF
from chidu.model.conversion import END_OF_TEXT

__all__ = ["WhiteBox", "open_white_box", "texts_of", "white_box"]

NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm", "final_norm", "norm_f")
"""What models of transformers call the norm between their last layer and their head."""


class WhiteBox(Protocol):
    """A causal model, its weights open. One call at a time changes nothing in it, so others may write with it."""

    name: str
    ends: frozenset[int]
    """Tokens that end a text."""
    neutral: Tensor
    """[C]: the embedding of the mark between texts, which says nothing in particular."""
    vocabulary: int
    """Tokens that it has logits for."""

    @property
    def context_length(self) -> int:
        """Tokens that it reads at the most."""
        ...

    def read(self, prompt: Prompt) -> list[int]:
        """Return a prompt's tokens, with what the model wants before a text."""
        ...

    def go_on(self, prompt: Sequence[int], answer: str) -> list[int]:
        """Return the tokens of an answer that follows these."""
        ...

    def fixed(self, tokens: Sequence[int]) -> list[bool]:
        """Say of each token whether it is none of the text's, but a mark that the model wants (a beginning, a turn)."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        ...

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings [..., C] of tokens [...]."""
        ...

    def logits(self, embedded: Tensor, keep: int) -> Tensor:
        """Read embeddings [B, T, C]; return the logits [B, keep, V] of what follows each of the last tokens."""
        ...

    def layers(self, tokens: Tensor, keep: int) -> Iterator[Tensor]:
        """Yield the logits [keep, V] that the head would give after the embedding, and after each layer.

        Raises InputError where the model's last norm is not found, or what it gives is not what the model says.
        """
        ...


def open_white_box(name: str) -> WhiteBox:
    """Open a model to look into: a folder, a GGUF file (made float32), a packaged model, or one of the hub's.

    Raises InputError where there is no such thing, it can't be opened, or its weights are behind an address.
    """
    if name.startswith(("http://", "https://")):
        raise InputError(f"{name}: reasons need the model's own weights, which no address gives: name a folder or file")
    path = packaged_model(name) if name in PACKAGED else Path(name)
    if path.suffix != ".gguf":
        return white_box(open_engine(name))
    if not path.is_file():
        raise InputError(f"{path}: no such file: name a GGUF file")
    found = white_box(HubEngine(str(path.parent), gguf_file=path.name))
    found.name = name if name in PACKAGED else path.stem
    return found


def white_box(engine: Engine) -> WhiteBox:
    """Look into an engine's model. One that is not in float32 is copied: there must be room for both.

    Raises InputError for llama.cpp's (open the file with `open_white_box`) and for a server's, whose weights nobody
    sees, and for models that read one text and write another.
    """
    if isinstance(engine, OwnEngine):
        return OwnBox(engine)
    if isinstance(engine, HubEngine) and not engine.is_seq2seq:
        return HubBox(engine)
    why = "it reads one text and writes another" if isinstance(engine, HubEngine) else "its weights are not open here"
    raise InputError(f"{engine.name} can't be looked into ({why}): name a model that writes on, as a folder or a file")


def texts_of(box: WhiteBox, tokens: Sequence[int]) -> list[str]:
    """Return what each token adds to the text; a character of several tokens stands with its last."""
    found, before = [], ""
    for end in range(1, len(tokens) + 1):
        text = box.decode(tokens[:end]).rstrip(HALF)
        found.append(text[len(before) :])
        before = text if len(text) > len(before) else before
    return found


def _between(engine: HubEngine) -> int:
    """Return the token that stands between texts: by its usual name, else the one that ends a text.

    Raises InputError where the model has neither.
    """
    found = engine.tokenizer.get_vocab().get(END_OF_TEXT, engine.tokenizer.eos_token_id)
    if found is None:
        raise InputError(f"{engine.name} has no token that ends a text: there is nothing to compare a text with")
    return int(found)


def _behind(box: WhiteBox, prompt: Sequence[int], answer: str, alone: list[int]) -> list[int]:
    """Return an answer's tokens as they stand behind the prompt's text, or where they grow into its last one, alone."""
    whole = box.read(box.decode(prompt) + answer)
    return whole[len(prompt) :] if whole[: len(prompt)] == list(prompt) else alone


class OwnBox:
    """A model of our own layouts."""

    def __init__(self, engine: OwnEngine) -> None:
        self.name, self.ends = engine.name, frozenset([END])
        self._engine, self._model = engine, engine.model
        self.neutral = self._model.embedding.weight.detach()[END]
        self.vocabulary = self._model.shape.vocabulary

    @property
    def context_length(self) -> int:
        """Tokens that it reads at the most."""
        return self._engine.context_length

    def read(self, prompt: Prompt) -> list[int]:
        """Return a prompt's tokens."""
        return self._engine.encode(prompt)

    def go_on(self, prompt: Sequence[int], answer: str) -> list[int]:
        """Return the tokens of an answer."""
        return _behind(self, prompt, answer, self._engine.encode(answer))

    def fixed(self, tokens: Sequence[int]) -> list[bool]:
        """Say of each token whether it is the mark between texts."""
        return [token == END for token in tokens]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return self._engine.decode(tokens)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings [..., C] of tokens [...]."""
        found: Tensor = self._model.embedding(tokens).detach()
        return found

    def logits(self, embedded: Tensor, keep: int) -> Tensor:
        """Read embeddings [B, T, C]; return the logits [B, keep, V] of what follows each of the last tokens."""
        stream, _ = self._model.stream(embedded, keep=False)
        return self._said(stream[:, -keep:])

    @torch.no_grad()
    def layers(self, tokens: Tensor, keep: int) -> Iterator[Tensor]:
        """Yield the logits [keep, V] that the head would give after the embedding, and after each layer."""
        seen = list[Tensor]()
        self._model.stream(self.embed(tokens)[None], keep=False, seen=seen)
        for stream in seen:
            yield self._said(stream[0, -keep:])

    def _said(self, stream: Tensor) -> Tensor:
        logits: Tensor = self._model.head(self._model.norm(stream))
        return logits.float()


class HubBox:
    """A causal model of transformers. Raises InputError where it can't be entered by its embeddings."""

    def __init__(self, engine: HubEngine) -> None:
        self.name, self.ends = engine.name, frozenset(engine.ends)
        self._engine, self._model = engine, engine.model
        if self._model.dtype != torch.float32:
            self._model = copy.deepcopy(self._model).float()
        self._embedding = self._model.get_input_embeddings()
        self.neutral = self.embed(torch.tensor(_between(engine)))
        self.vocabulary = int(self._model.config.get_text_config().vocab_size)
        self._check()

    @property
    def context_length(self) -> int:
        """Tokens that it reads at the most."""
        return self._engine.context_length

    def read(self, prompt: Prompt) -> list[int]:
        """Return a prompt's tokens, with what the model wants before a text."""
        return self._engine.encode(prompt)

    def go_on(self, prompt: Sequence[int], answer: str) -> list[int]:
        """Return the tokens of an answer."""
        alone = list(self._engine.tokenizer(answer, add_special_tokens=False).input_ids)
        return _behind(self, prompt, answer, alone)

    def fixed(self, tokens: Sequence[int]) -> list[bool]:
        """Say of each token whether it is a mark of the model's."""
        marks = set(self._engine.tokenizer.all_special_ids)
        return [token in marks for token in tokens]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return self._engine.decode(tokens)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings [..., C] of tokens [...]."""
        found: Tensor = self._embedding(tokens.to(self._model.device)).detach()
        return found

    def logits(self, embedded: Tensor, keep: int) -> Tensor:
        """Read embeddings [B, T, C]; return the logits [B, keep, V] of what follows each of the last tokens."""
        logits: Tensor = self._model(inputs_embeds=embedded, use_cache=False, logits_to_keep=keep).logits
        return logits.float()

    @torch.no_grad()
    def layers(self, tokens: Tensor, keep: int) -> Iterator[Tensor]:
        """Yield the logits [keep, V] that the head would give after the embedding, and after each layer.

        transformers gives the stream before each layer, and after the last one and its norm.
        """
        read = tokens[None].to(self._model.device)
        found = self._model(input_ids=read, use_cache=False, output_hidden_states=True, logits_to_keep=keep)
        norm, head = self._norm(), self._model.get_output_embeddings()
        *streams, last = (each[0, -keep:] for each in found.hidden_states)
        said = head(last).float()
        if not torch.allclose(said, found.logits[0].float(), atol=1e-3, rtol=1e-3):
            raise InputError(f"{self.name} has more between its last layer and its words than a norm and a head")
        for stream in streams:
            yield head(norm(stream)).float()
        yield said

    def _norm(self) -> Any:
        base = self._model.base_model
        for inner in (base, getattr(base, "decoder", None), getattr(base, "language_model", None)):
            for name in NORMS:
                if isinstance(found := getattr(inner, name, None), torch.nn.Module):
                    return found
        raise InputError(f"{self.name}: its last norm has none of the names {', '.join(NORMS)}")

    @torch.no_grad()
    def _check(self) -> None:
        tokens = torch.arange(min(3, len(self._embedding.weight)), device=self._model.device)
        try:
            said = self.logits(self.embed(tokens)[None], 1)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise InputError(f"{self.name} can't be entered by its embeddings ({error})") from error
        told = self._model(input_ids=tokens[None], use_cache=False, logits_to_keep=1).logits.float()
        if not torch.allclose(said, told, atol=1e-3, rtol=1e-3):
            raise InputError(f"{self.name}: its embeddings alone do not give what its tokens give")
