"""The engine for GGUF files: llama.cpp on the processor, by the package xllamacpp."""

from __future__ import annotations

import json
import queue
import secrets
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import xllamacpp

from chidu.errors import InputError
from chidu.inference.engine import Message, check_room, no_chat
from chidu.inference.sampling import HALF, Piece, Sampling
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
        facts = _facts(path)
        self._context: int = min(facts["context"], LONGEST_CONTEXT)
        self.has_chat = facts["chat"]
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = self._context * at_once
        params.n_parallel = at_once
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or cores()
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

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens."""
        return [int(token) for token in self._post("/tokenize", {"content": text, "add_special": True})["tokens"]]

    def chat_prompt(self, messages: Sequence[Message]) -> str:
        """Write a conversation by the template in the file. Raises InputError where it has none."""
        if not self.has_chat:
            raise no_chat(self.name)
        turns = [{"role": each.role, "content": each.content} for each in messages]
        return str(self._post("/apply-template", {"messages": turns})["prompt"])

    def write(self, prompt: str, sampling: Sampling) -> Iterator[Piece]:
        """Yield the text that follows the prompt. Raises InputError where the prompt fills the context."""
        prefix = len(self.encode(prompt))
        check_room(prefix, self.context_length)
        return self._write(prompt, sampling, min(sampling.max_tokens, self.context_length - prefix))

    def _write(self, prompt: str, sampling: Sampling, most: int) -> Iterator[Piece]:
        asked = {
            "prompt": prompt,
            "max_tokens": most,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": 0.0,
            "seed": sampling.seed % 2**32,
            "stop": list(sampling.stop),
            "stream": True,
        }
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
        half, drawn, counted = "", 0, 0
        try:
            while (chunk := heard.get()) is not None:
                if "error" in chunk:
                    raise InputError(f"{self.name}: {chunk['error'].get('message', chunk['error'])}")
                choice = chunk["choices"][0]
                text, finish = half + choice["text"], choice["finish_reason"]
                # Bytes of a character that is never whole are not shown.
                shown = text.rstrip(HALF)
                half = text[len(shown) :]
                drawn += 1 if finish is None else 0
                if finish:
                    drawn = chunk["usage"]["completion_tokens"]
                if shown or finish:
                    yield Piece(shown, finish, drawn - counted)
                    counted = drawn
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
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))


def _facts(path: Path) -> dict[str, Any]:
    """Read a file's context length and whether it has a chat template. Raises InputError where it is no GGUF file."""
    from gguf import GGUFReader

    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise InputError(f"{path} is no GGUF file")
    try:
        fields = GGUFReader(path).fields
        kind = bytes(fields["general.architecture"].parts[-1]).decode()
        context = int(fields[f"{kind}.context_length"].parts[-1][0])
    except (KeyError, ValueError, IndexError, OSError) as error:
        raise InputError(f"{path} is damaged, or no model ({type(error).__name__}: {error})") from error
    return {"context": context, "chat": "tokenizer.chat_template" in fields}
