"""The desk before the engine: so many texts at once, so many requests that wait, and what is measured on the way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import replace

from anyio import CancelScope, to_thread
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from chidu.inference import Conversation, Engine, Piece, Prompt, Sampling
from chidu.serving.answers import RequestError
from chidu.serving.rates import Rates
from chidu.serving.settings import ServerSettings

__all__ = ["Desk"]

RETRY_SECONDS = 1
BYTES_PER_TOKEN = 4
"""Of a text that is not read yet: what English has with most vocabularies."""
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Desk:
    """Lets texts be written, and counts."""

    def __init__(self, engine: Engine, settings: ServerSettings) -> None:
        self.engine, self.settings = engine, settings
        self.registry = CollectorRegistry()
        self._free = asyncio.Semaphore(settings.at_once)
        self._waiting = 0
        self.first = Histogram(
            "chidu_first_token_seconds", "From a request to its first token", buckets=SECONDS, registry=self.registry
        )
        self.between = Histogram(
            "chidu_between_tokens_seconds", "Between two pieces of a text", buckets=SECONDS, registry=self.registry
        )
        self.queue = Gauge("chidu_waiting_requests", "Texts that wait for their turn", registry=self.registry)
        self.tokens = Counter("chidu_tokens", "Tokens", ["kind"], registry=self.registry)
        self.refusals = Counter("chidu_refusals", "Requests refused, by status", ["status"], registry=self.registry)
        self.rates = Rates(settings, self.registry)
        ProcessCollector(registry=self.registry)  # memory, open files, since when

    def allowed(self, sampling: Sampling) -> Sampling:
        """Return how a text may be drawn here. Raises RequestError (400) where too many tokens are asked for."""
        most = self.settings.max_tokens
        if not most:
            return sampling
        if sampling.max_tokens is not None and sampling.max_tokens > most:
            raise RequestError(
                400,
                f"max_tokens is {sampling.max_tokens}; this server writes at most {most}",
                param="max_tokens",
                code="too_long",
            )
        return replace(sampling, max_tokens=sampling.max_tokens or most)

    @staticmethod
    def guessed(prompt: Prompt) -> int:
        """Return about how many tokens a prompt has."""
        if isinstance(prompt, Conversation):
            return sum(len(turn.content.encode()) for turn in prompt.turns) // BYTES_PER_TOKEN
        return len(prompt.encode()) // BYTES_PER_TOKEN if isinstance(prompt, str) else len(prompt)

    def expected(self, prompt: Prompt, sampling: Sampling) -> int:
        """Return about how many tokens a text will need, prompt and all, at the most: a guess, until it is read."""
        read = self.guessed(prompt)
        context = self.engine.context_length
        if context is None:
            return read + (sampling.max_tokens or 0)
        return min(context, read + (sampling.max_tokens or context))

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it. Raises RequestError (429) where too many wait already."""
        if self._free.locked() and self._waiting >= self.settings.waiting:
            raise RequestError(
                429,
                f"{self._waiting} requests wait already: try again in {RETRY_SECONDS} s",
                code="server_busy",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        self._waiting += 1
        self.queue.set(self._waiting)
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
            self.queue.set(self._waiting)
        try:
            yield
        finally:
            self._free.release()

    async def open(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """Return a text that is not begun yet. Raises InputError for a prompt that the engine can't take."""
        return await to_thread.run_sync(self.engine.write, prompt, sampling)

    async def write(self, heard: Iterator[Piece], begun: float) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of one text, written beside others; the caller holds a turn.

        A reader that goes away closes this, and the engine is free. A text that takes too long ends with `length`.
        """
        last, end = begun, time.monotonic() + self.settings.seconds
        is_first = True
        async with contextlib.aclosing(_heard(heard)) as pieces:
            async for piece in pieces:
                now = time.monotonic()
                (self.first if is_first else self.between).observe(now - last)
                last, is_first = now, False
                self.tokens.labels("completion").inc(piece.tokens)
                if piece.finish is None and now > end:
                    yield replace(piece, finish="length")
                    return
                yield piece


async def _heard(pieces: Iterator[Piece]) -> AsyncGenerator[Piece, None]:
    """Yield the pieces of an engine that writes in a thread of its own; who closes this ends the text.

    One thread a text, not one call a piece: where the engine has all cores at work, every switch of threads delays it.
    """
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()
    gone, ended = threading.Event(), asyncio.Event()

    def listen() -> None:
        last: Exception | None = None
        try:
            with contextlib.closing(pieces):  # type: ignore[type-var]
                for piece in pieces:
                    loop.call_soon_threadsafe(heard.put_nowait, piece)
                    if gone.is_set():
                        break
        except Exception as error:
            last = error
        loop.call_soon_threadsafe(heard.put_nowait, last)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=listen, daemon=True).start()
    try:
        while (piece := await heard.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        gone.set()
        # The turn is given on when the engine is free, not before.
        with CancelScope(shield=True):
            await ended.wait()
