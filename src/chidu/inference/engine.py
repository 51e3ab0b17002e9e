"""What every engine does: read a prompt, write text. And which engine opens a model that somebody names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chidu.errors import ChatError, ContextError, InputError, MissingPackageError
from chidu.inference.sampling import Piece, Sampling, Token

__all__ = [
    "Conversation",
    "Engine",
    "Message",
    "Prompt",
    "can_chat",
    "check_length",
    "check_tokens",
    "check_turns",
    "no_chat",
    "open_engine",
    "room",
]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True)
class Conversation:
    """Turns, the next of which the model is to write."""

    turns: tuple[Message, ...]


Prompt = str | Sequence[int] | Conversation
"""What a model is given: a text, its tokens, or a conversation that it reads as it was taught to."""


class Engine(Protocol):
    """A model that writes text."""

    name: str

    @property
    def context_length(self) -> int | None:
        """Tokens that prompt and text may have together; None where that is not known here."""
        ...

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """Yield the text that follows a prompt; the last piece says why it ended.

        Raises InputError, before the first piece, where the prompt fills the context, is a conversation and the model
        was taught none, or where the schema is none.
        """
        ...

    def score(self, prompt: Prompt, top: int = 0) -> list[Token]:
        """Return a prompt's tokens, each with its log-probability after those before it, and so many of the most likely
        in its place; the first has none. Raises InputError where it is longer than the context."""
        ...


def no_chat(name: str) -> ChatError:
    """Return what is raised where a model that was taught no conversation is asked to have one."""
    return ChatError(f"{name} only goes on from a text; it was taught no chat: ask for completions (chidu generate)")


def can_chat(engine: Engine) -> bool:
    """Tell whether a model was taught to have a conversation; of one behind an address that is taken for granted."""
    try:
        engine.write(Conversation((Message("user", "Hello"),)), Sampling(max_tokens=1))
    except ChatError:
        return False
    except InputError:
        pass
    return True


def check_turns(conversation: Conversation, control: Iterable[str]) -> None:
    """Raise InputError where a message holds a token by which the model tells turns apart: its writer could speak in
    another's name."""
    for each in conversation.turns:
        if found := next((token for token in control if token in each.content), None):
            raise InputError(f"a message holds {found}, by which this model tells turns apart: leave it out")


def check_tokens(tokens: Sequence[int], vocabulary: int) -> list[int]:
    """Return the tokens of a prompt that came as tokens. Raises InputError where one is not of the vocabulary."""
    for token in tokens:
        if not 0 <= token < vocabulary:
            raise InputError(f"{token} is no token of this model: they go from 0 to {vocabulary - 1}")
    return list(tokens)


def check_length(tokens: int, context_length: int) -> None:
    """Raise ContextError where a text of so many tokens is longer than the context."""
    if tokens > context_length:
        raise ContextError(f"the text is {tokens} tokens long; the model's context holds {context_length}: shorten it")


def room(prefix: int, context_length: int, sampling: Sampling) -> int:
    """Return how many tokens may follow a prompt of so many. Raises ContextError where there is no room for one."""
    if prefix >= context_length:
        raise ContextError(
            f"the prompt is {prefix} tokens long; the model's context holds {context_length}: shorten it"
        )
    free = context_length - prefix
    return free if sampling.max_tokens is None else min(sampling.max_tokens, free)


def open_engine(name: str, at_once: int = 1) -> Engine:
    """Open what a name means, for so many texts at once: a folder, a GGUF file, one that `chidu models get` fetched,
    one of the hub's, or one behind an address (`http://HOST:PORT/v1#MODEL`).

    Folders of our own layouts are opened by our own model, others by transformers. Raises InputError where there is no
    such thing or it can't be opened, MissingPackageError where a package is needed.
    """
    from chidu.inference.packaged import PACKAGED, packaged_model

    if name.startswith(("http://", "https://")):
        return _remote(name)
    path = Path(name)
    if name in PACKAGED:
        path = packaged_model(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError(f"{path}: no such file: name a GGUF file")
        engine = _gguf(path, at_once)
        engine.name = name if name in PACKAGED else engine.name
        return engine
    if path.is_dir():
        return _folder(path)
    if path.exists() or name.startswith((".", "/", "~")):
        raise InputError(f"{name}: no such model: name a folder, a .gguf file, or a model of the hub; see chidu models")
    from chidu.inference.hub import HubEngine

    return HubEngine(name)


def _remote(address: str) -> Engine:
    try:
        from chidu.inference.remote import RemoteEngine
    except ImportError as error:
        raise MissingPackageError(error.name or "openai", "serve", f"asking {address}") from error
    return RemoteEngine(address)


def _gguf(path: Path, at_once: int) -> Engine:
    try:
        from chidu.inference.gguf import GgufEngine
    except ImportError as error:
        raise MissingPackageError(error.name or "xllamacpp", "serve", f"opening {path.name}") from error
    return GgufEngine(path, at_once=at_once)


def _folder(folder: Path) -> Engine:
    from chidu.inference.hub import HubEngine
    from chidu.inference.own import OwnEngine

    return OwnEngine(folder) if _is_ours(folder) else HubEngine(str(folder))


def _is_ours(folder: Path) -> bool:
    """True where a folder holds a layout that our own model computes; where it is damaged too, so that this is said."""
    from chidu.model.conversion import shape_of

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    if not isinstance(config, dict) or "model_type" not in config:
        return True
    try:
        shape_of(config)
    except InputError:
        return False
    return _has_our_tokenizer(folder)


def _has_our_tokenizer(folder: Path) -> bool:
    """True where token 0 ends a text, as in ours: other models of these layouts have theirs elsewhere."""
    from chidu.model.conversion import END_OF_TEXT

    try:
        vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        return bool(vocabulary.get(END_OF_TEXT) == 0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True
