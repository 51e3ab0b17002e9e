"""The engine for GGUF files: llama.cpp on the processor, by the package xllamacpp."""

from __future__ import annotations

import json
import queue
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import xllamacpp

from chidu.errors import InputError, SchemaError
from chidu.inference.constraint import check_schema, one_line
from chidu.inference.engine import (
    Conversation,
    Engine,
    Prompt,
    check_length,
    check_tokens,
    check_turns,
    no_chat,
    room,
)
from chidu.inference.sampling import HALF, Piece, Sampling, Token
from chidu.parallel import cores

__all__ = ["GgufEngine"]

MAGIC = b"GGUF"
LONGEST_CONTEXT = 8192
"""Tokens that room is made for at the most: keys and values of a long context take more memory than the weights."""


class GgufEngine:
    """A GGUF file. `threads` are those that compute; they spin, so no more than there are free cores.

    Raises InputError where the file is none that llama.cpp opens.
    """

    def __init__(self, path: Path, threads: int | None = None, at_once: int = 1) -> None:
        self.name = path.stem
        self._path, self._facts = path, _facts(path)
        self._context = min(self._facts.context, LONGEST_CONTEXT)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = self._context * at_once
        params.n_parallel = at_once
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or cores()
        # A cache of prompts beside the slots would grow to 8 GiB of memory.
        params.cache_ram_mib = 0
        params.warmup = False
        params.verbosity = 0
        params.ui = False
        # It listens on this machine for what the library has no function for: to us alone.
        self._key = secrets.token_hex(16)
        params.api_keys = [self._key]
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise InputError(f"{path} can't be opened ({error}): is it a whole GGUF file?") from error
        # One that is let go of before its loop has begun would wait for that for ever: a token, and it has begun.
        self._server.handle_completions({"prompt": "a", "max_tokens": 1})

    @property
    def context_length(self) -> int:
        """Tokens that prompt and text may have together."""
        return self._context

    @property
    def params(self) -> int:
        """All params in the file."""
        return self._facts.params

    def encode(self, prompt: Prompt) -> list[int]:
        """Return a prompt's tokens. Raises InputError for a conversation where the file has no chat template."""
        if isinstance(prompt, Conversation):
            # The template writes all that the model wants before a text.
            return self._tokens(self._as_text(prompt), add_special=False)
        if isinstance(prompt, str):
            return self._tokens(prompt, add_special=True)
        return check_tokens(prompt, self._facts.vocabulary)

    def _tokens(self, text: str, add_special: bool) -> list[int]:
        asked = {"content": text, "add_special": add_special, "parse_special": True}
        return [int(token) for token in self._post("/tokenize", asked)["tokens"]]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return str(self._post("/detokenize", {"tokens": list(tokens)})["content"])

    def _as_text(self, conversation: Conversation) -> str:
        """Write a conversation by the template in the file. Raises InputError where it has none."""
        if not self._facts.has_chat:
            raise no_chat(self.name)
        check_turns(conversation, self._facts.control)
        turns = [{"role": each.role, "content": each.content} for each in conversation.turns]
        return str(self._post("/apply-template", {"messages": turns})["prompt"])

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """Yield the text that follows the prompt. Raises InputError where the prompt fills the context."""
        prefix = self.encode(prompt)
        most = room(len(prefix), self.context_length, sampling)
        grammar = "" if sampling.schema is None else _grammar(sampling.schema)
        return self._write(prefix, sampling, most, grammar)

    def score(self, prompt: Prompt, top: int = 0) -> list[Token]:
        """Return the prompt's tokens, each with its log-probability. Raises InputError where it is too long.

        llama.cpp's server does not tell what a prompt's tokens weigh: transformers computes it with the same weights,
        in float32. It opens the file at the first call, which needs room for them.
        """
        tokens = self.encode(prompt)
        check_length(len(tokens), self.context_length)
        return self._weigher.score(tokens, top)

    @cached_property
    def _weigher(self) -> Engine:
        from chidu.inference.hub import HubEngine

        return HubEngine(str(self._path.parent), gguf_file=self._path.name)

    def _write(self, prefix: list[int], sampling: Sampling, most: int, grammar: str) -> Iterator[Piece]:
        asked = {
            "prompt": prefix,
            "max_tokens": most,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": 0.0,
            "seed": sampling.seed % 2**32,
            "stop": list(sampling.stop),
            "stream": True,
        }
        if grammar:
            asked["grammar"] = grammar
        if sampling.logprobs is not None:
            # It tells of one at least.
            asked["logprobs"] = max(sampling.logprobs, 1)
        heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        gone = threading.Event()

        def hear(chunk: Any) -> bool:
            heard.put(chunk)
            return gone.is_set()

        def ask() -> None:
            try:
                self._server.handle_completions(asked, hear)
            finally:
                heard.put(None)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        half, whole, count, counted = "", "", 0, 0
        drawn: list[Token] = []
        try:
            while (chunk := heard.get()) is not None:
                if "error" in chunk:
                    raise InputError(f"{self.name}: {chunk['error'].get('message', chunk['error'])}")
                choice = chunk["choices"][0]
                text, finish = half + choice["text"], choice["finish_reason"]
                # Bytes of a character that is never whole are not shown.
                shown = text.rstrip(HALF)
                half = text[len(shown) :]
                whole += shown
                if grammar and finish == "stop" and not sampling.stop:
                    _check_json(whole)
                count += 1 if finish is None else 0
                if sampling.logprobs is not None:
                    drawn += _drawn(choice["logprobs"], sampling.logprobs)
                if finish:
                    count = chunk["usage"]["completion_tokens"]
                if shown or finish:
                    yield Piece(shown, finish, count - counted, tuple(drawn), len(prefix))
                    counted, drawn = count, []
        finally:
            gone.set()
            thread.join()

    def _post(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the server of the library, which listens on this machine alone, what it has no function for."""
        request = urllib.request.Request(
            self._server.listening_address + route,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            raise InputError(f"{self.name} can't read this text ({error.reason}): is it UTF-8?") from error


def _drawn(logprobs: dict[str, Any] | None, top: int) -> Iterator[Token]:
    """Yield the tokens of a piece as its log-probabilities tell them."""
    for each in (logprobs or {"content": []})["content"]:
        others = (Token(other["id"], bytes(other["bytes"]), other["logprob"]) for other in each["top_logprobs"][:top])
        yield Token(each["id"], bytes(each["bytes"]), each["logprob"], tuple(others))


def _check_json(text: str) -> None:
    """Raise SchemaError where a text that is said to have come to its end is no JSON.

    llama.cpp ends a text where its grammar leads nowhere (a constant that is a token of its own, a schema that is only
    itself), and tells nobody.
    """
    try:
        json.loads(text)
    except ValueError as error:
        raise SchemaError(f"the JSON schema can't be followed: llama.cpp was led nowhere by it ({error})") from error


def _grammar(schema: str) -> str:
    """Return llama.cpp's grammar of a JSON schema. Raises SchemaError where it is none: its server would ignore it."""
    check_schema(schema)
    try:
        return str(xllamacpp.json_schema_to_grammar(json.loads(schema)))
    except (RuntimeError, ValueError, TypeError) as error:
        raise SchemaError(f"the JSON schema can't be followed ({one_line(str(error))})") from error


@dataclass(frozen=True)
class _Facts:
    """What is read in a GGUF file before it is opened."""

    context: int
    """Tokens."""
    vocabulary: int
    """Tokens."""
    has_chat: bool
    params: int
    control: tuple[str, ...]
    """Tokens that are no text: ends of turns and the like."""


def _facts(path: Path) -> _Facts:
    """Read them. Raises InputError where it is no GGUF file."""
    from gguf import GGUFReader, TokenType

    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise InputError(f"{path} is no GGUF file")
    try:
        reader = GGUFReader(path)
        fields = reader.fields
        params = sum(int(tensor.n_elements) for tensor in reader.tensors)
        kind = bytes(fields["general.architecture"].parts[-1]).decode()
        context = int(fields[f"{kind}.context_length"].parts[-1][0])
        tokens = fields["tokenizer.ggml.tokens"]
        kinds = fields["tokenizer.ggml.token_type"].contents() if "tokenizer.ggml.token_type" in fields else []
        control = [
            bytes(tokens.parts[tokens.data[index]]).decode()
            for index, each in enumerate(kinds)
            if each == TokenType.CONTROL
        ]
    except (KeyError, ValueError, IndexError, OSError) as error:
        raise InputError(f"{path} is damaged, or no model ({type(error).__name__}: {error})") from error
    return _Facts(context, len(tokens.data), "tokenizer.chat_template" in fields, params, tuple(control))
