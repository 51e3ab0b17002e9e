"""Models behind any address that speaks OpenAI's API: vLLM, llama.cpp, Ollama, or another `chidu serve`.

An address is `http://HOST:PORT/v1`, with `#MODEL` behind it where several models are there. The key is that of the
variable OPENAI_API_KEY. What is asked for and the address can't do is an error, never left out.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import openai

from chidu.errors import ContextError, InputError, RemoteError
from chidu.inference.embedding import Embedded, Role
from chidu.inference.engine import Conversation, Prompt
from chidu.inference.sampling import Piece, Sampling, Token

__all__ = ["RemoteEmbedder", "RemoteEngine"]

UNKNOWN = -1
"""The number of a token of which only the text is told."""


class _Remote:
    """A model behind an address. Raises InputError where it has no such model, RemoteError where it does not answer."""

    def __init__(self, address: str) -> None:
        self.address, _, name = address.partition("#")
        # A key must be sent, though most of these servers want none.
        self.client = openai.OpenAI(base_url=self.address, api_key=os.environ.get("OPENAI_API_KEY") or "none")
        with self.errors():
            there = [model.id for model in self.client.models.list()]
        if not name and len(there) != 1:
            raise InputError(
                f"{self.address} has {len(there)} models: name one, as {self.address}#{(*there, 'NAME')[0]}"
            )
        if name and name not in there:
            raise InputError(f"{self.address} has no model {name!r}, but {', '.join(there) or 'none'}")
        self.name = name or there[0]

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Raise the client's errors as ours."""
        try:
            yield
        except openai.BadRequestError as error:
            kind = ContextError if error.code == "context_length_exceeded" else InputError
            raise kind(f"{self.address} refuses: {_message(error)}") from error
        except openai.UnprocessableEntityError as error:
            raise InputError(f"{self.address} refuses: {_message(error)}") from error
        except openai.APIStatusError as error:
            raise RemoteError(f"{self.address} answers with status {error.status_code}: {_message(error)}") from error
        except openai.APIConnectionError as error:
            raise RemoteError(f"{self.address} can't be reached ({error.__cause__ or error}): does it run?") from error
        except openai.OpenAIError as error:
            raise RemoteError(f"{self.address} answers with what is no answer ({error})") from error


class RemoteEngine(_Remote):
    """A model that writes text, behind an address."""

    context_length = None

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """Yield the text that follows the prompt.

        Raises InputError where the address refuses what is asked for, RemoteError where it does not answer; what it
        refuses is known with the first piece.
        """
        if sampling.schema is not None and not isinstance(prompt, Conversation):
            raise InputError(f"{self.address} writes JSON by a schema in chats alone: ask for a chat")
        return self._write(prompt, sampling)

    def _write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        finish, prompt_tokens, written, counted = "length", None, 0, None
        with self.errors(), self._stream(prompt, sampling) as chunks:
            for chunk in chunks:
                if chunk.usage is not None:
                    prompt_tokens, counted = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
                for choice in chunk.choices:
                    finish = choice.finish_reason or finish
                    drawn = tuple(_drawn(choice.logprobs)) if sampling.logprobs is not None else ()
                    text = (choice.delta.content if isinstance(prompt, Conversation) else choice.text) or ""
                    if text or drawn:
                        # A piece is a token with most servers; the usage in the end puts it right.
                        written += 1
                        yield Piece(text, None, 1, drawn)
        yield Piece("", finish, 0 if counted is None else max(counted - written, 0), (), prompt_tokens)

    def _stream(self, prompt: Prompt, sampling: Sampling) -> Any:
        asked: dict[str, Any] = {
            "model": self.name,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed % 2**31,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if sampling.stop:
            asked["stop"] = list(sampling.stop)
        if sampling.top_k:
            asked["extra_body"] = {"top_k": sampling.top_k}
        if sampling.max_tokens is not None:
            asked["max_tokens"] = sampling.max_tokens
        if not isinstance(prompt, Conversation):
            if sampling.logprobs is not None:
                asked["logprobs"] = sampling.logprobs
            return self.client.completions.create(prompt=prompt if isinstance(prompt, str) else list(prompt), **asked)
        if sampling.logprobs is not None:
            asked |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        if sampling.schema is not None:
            schema = {"name": "answer", "schema": json.loads(sampling.schema)}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        turns: Any = [{"role": each.role, "content": each.content} for each in prompt.turns]
        return self.client.chat.completions.create(messages=turns, **asked)

    def score(self, prompt: Prompt, top: int = 0) -> list[Token]:
        """Return the prompt's tokens, each with its log-probability. Raises InputError where the address can't tell."""
        if isinstance(prompt, Conversation):
            raise InputError(f"{self.address} weighs texts, not conversations")
        asked: Any = prompt if isinstance(prompt, str) else list(prompt)
        with self.errors():
            answer = self.client.completions.create(
                model=self.name, prompt=asked, max_tokens=1, temperature=0, echo=True, logprobs=top
            )
        told = list(_drawn(answer.choices[0].logprobs))
        # One token is written, which was not asked for; some servers tell of that one alone.
        if len(told) < 2 and len(asked) > 1:
            raise InputError(f"{self.address} does not tell what a prompt's tokens weigh")
        return told[:-1]


class RemoteEmbedder(_Remote):
    """A model that makes vectors of texts, behind an address."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.dimension = self.embed(["a"]).vectors.shape[1]

    def embed(self, texts: Sequence[str], role: Role = "passage") -> Embedded:  # noqa: ARG002
        """Return the texts' vectors, made of length 1. Raises InputError where the address refuses them.

        OpenAI's API knows no roles: a model that reads questions otherwise reads them as passages here.
        """
        import numpy as np

        with self.errors():
            answer = self.client.embeddings.create(model=self.name, input=list(texts))
        found = np.array([each.embedding for each in sorted(answer.data, key=lambda each: each.index)], np.float32)
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return Embedded(found / np.maximum(length, 1e-12), answer.usage.prompt_tokens)


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    return " ".join(str(said or error.message).split())[:300]


def _data(text: str) -> bytes:
    """Return the bytes of a token as completions write it."""
    if text.startswith("bytes:"):
        return codecs.escape_decode(text.removeprefix("bytes:").encode())[0]
    return text.encode()


def _drawn(logprobs: Any) -> Iterator[Token]:
    """Yield the tokens that an answer tells of, in the shape of chats or that of completions."""
    if logprobs is None:
        return
    if (content := getattr(logprobs, "content", None)) is not None:
        for each in content:
            others = (Token(UNKNOWN, bytes(other.bytes or []), other.logprob) for other in each.top_logprobs)
            yield Token(UNKNOWN, bytes(each.bytes or []), each.logprob, tuple(others))
        return
    for index, text in enumerate(logprobs.tokens or []):
        top = (logprobs.top_logprobs or [None] * (index + 1))[index] or {}
        others = (Token(UNKNOWN, _data(each), value) for each, value in sorted(top.items(), key=lambda each: -each[1]))
        yield Token(UNKNOWN, _data(text), logprobs.token_logprobs[index], tuple(others))
