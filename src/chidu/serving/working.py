"""Long work of one request, in a thread: watched, counted, and ended when its time is over or who asked has gone."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from anyio import CancelScope, to_thread

from chidu.errors import ChiduError
from chidu.inference import Embedder, Engine, Piece, Prompt, Sampling, Token
from chidu.inference.embedding import Embedded, Role
from chidu.serving.answers import RequestError
from chidu.serving.desk import Desk
from chidu.serving.guarding import Told

__all__ = ["Progress", "WatchedEmbedder", "WatchedEngine", "Work"]

Result = TypeVar("Result")
Progress = tuple[float | None, str]
"""How much is done, 0 to 1, where that is known; and what of, in words."""

TICK = 0.25
"""Seconds between two looks at whether who asked is still there, and between two words of progress."""


class _GoneError(ChiduError):
    """Nobody waits for this any more."""


_CURRENT: ContextVar[Work] = ContextVar("work")
"""Whose thread this is: engines and embedders are one for all requests, and what they do is one's."""


class Work:
    """What is done for one request."""

    def __init__(self, desk: Desk, told: Told) -> None:
        self.told, self.read, self.written = told, 0, 0
        self._desk, self._end = desk, time.monotonic() + desk.settings.seconds
        self._seconds = desk.settings.seconds
        self._is_gone = threading.Event()
        self._last: Progress | None = None

    @property
    def tokens(self) -> int:
        """Tokens that models read and wrote."""
        return self.read + self.written

    def tell(self, done: float | None, said: str) -> None:
        """Keep how far the work is. Raises RequestError (503) where its time is over, and ends it where nobody waits.

        Called from the thread that works, by whoever works there, as often as they like.
        """
        self.check()
        self._last = (done, said)

    def check(self) -> None:
        """Raise where the work is to end."""
        if self._is_gone.is_set():
            raise _GoneError("who asked has gone")
        if time.monotonic() > self._end:
            message = (
                f"this took more than {self._seconds:g} s: send less text, or start the server with more --seconds"
            )
            raise RequestError(503, message, code="took_too_long")

    def count(self, kind: str, tokens: int) -> None:
        """Count tokens that a model read (`prompt`, `embedded`) or wrote (`completion`)."""
        if kind == "completion":
            self.written += tokens
        else:
            self.read += tokens
        self._desk.tokens.labels(kind).inc(tokens)

    async def run(self, function: Callable[..., Result], *values: Any, **named: Any) -> Result:
        """Call a function in a thread."""
        return await to_thread.run_sync(partial(function, *values, **named))

    async def steps(
        self, job: Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    ) -> AsyncGenerator[Progress | dict[str, Any] | None, None]:
        """Do a job; yield how far it is where that has changed, None where it has not, and its document at the end.

        Who closes this ends the work, and has to wait until the thread has seen it.
        """
        task = asyncio.create_task(self._done(job))
        try:
            while not (await asyncio.wait({task}, timeout=TICK))[0]:
                last, self._last = self._last, None
                yield last
            yield task.result()
        finally:
            self._is_gone.set()
            with CancelScope(shield=True), contextlib.suppress(Exception):
                await task

    async def _done(self, job: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
        _CURRENT.set(self)
        return await job()


class WatchedEngine:
    """An engine whose texts end with the work that they are written for, and are counted there."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.name = engine, engine.name

    def __getattr__(self, name: str) -> Any:
        """Give what else an engine has: what it was taught, and its parts."""
        return getattr(self._engine, name)

    @property
    def context_length(self) -> int | None:
        """Tokens that prompt and text may have together."""
        return self._engine.context_length

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """Yield the text that follows a prompt."""
        _CURRENT.get().check()
        return self._watched(self._engine.write(prompt, sampling))

    def _watched(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        work, is_counted = _CURRENT.get(), False
        try:
            for piece in pieces:
                if piece.prompt_tokens is not None and not is_counted:
                    work.count("prompt", piece.prompt_tokens)
                    is_counted = True
                work.count("completion", piece.tokens)
                work.check()
                yield piece
        finally:
            pieces.close()  # type: ignore[attr-defined]

    def score(self, prompt: Prompt, top: int = 0) -> list[Token]:
        """Return a prompt's tokens, weighed."""
        _CURRENT.get().check()
        tokens = self._engine.score(prompt, top)
        _CURRENT.get().count("prompt", len(tokens))
        return tokens


class WatchedEmbedder:
    """An embedder that ends with the work that it reads for, and whose tokens are counted there."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name, self.dimension = embedder.name, embedder.dimension

    def embed(self, texts: Sequence[str], role: Role = "passage") -> Embedded:
        """Return the texts' vectors."""
        _CURRENT.get().check()
        found = self._embedder.embed(texts, role)
        _CURRENT.get().count("embedded", found.tokens)
        return found
