"""One connection: how long a client may take, and how many there may be.

uvicorn waits for ever for the rest of a request's head, and for a client to read. This does not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from chidu.serving.answers import error_body
from chidu.serving.settings import ServerSettings

__all__ = ["connections_of"]

PHRASES = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}


def connections_of(settings: ServerSettings, refused: Callable[[int], None]) -> type[H11Protocol]:
    """Return uvicorn's protocol with these settings' limits; `refused` hears the status of who is sent away."""
    return type("Connection", (_Connection,), {"limits": settings, "refused": staticmethod(refused)})


class _Connection(H11Protocol):
    """uvicorn's, with an end to every wait for the client but the one for a body, which the gate ends.

    Between answers, uvicorn closes it where nothing comes. Where something comes, and never a whole head, this does.
    """

    limits: ServerSettings
    refused: Callable[[int], None]

    def __init__(self, *how: Any, **named: Any) -> None:
        super().__init__(*how, **named)
        self._head: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or send it away where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._send_away(503, f"{self.limits.connections} connections are open: try again later", "server_busy")
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        if not self.transport.is_closing():
            super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request, for a while."""
        self._await_head()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait until the client reads, for a while."""
        super().pause_writing()
        self._reading = self.loop.call_later(self.limits.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        _stop(self._reading)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        _stop(self._head)
        _stop(self._reading)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP, in OpenAI's shape."""
        self._send_away(400, msg, "invalid_http")

    def _await_head(self) -> None:
        _stop(self._head)
        self._head = self.loop.call_later(self.limits.read_seconds, self._late)

    def _late(self) -> None:
        if self.transport.is_closing():
            self.transport.abort()  # what was sent is not read
        elif self.cycle is None or self.cycle.response_complete:
            seconds = self.limits.read_seconds
            self._send_away(408, f"the head of a request did not come within {seconds:g} s", "request_timeout")

    def _send_away(self, status: int, message: str, code: str) -> None:
        self.refused(status)
        body = json.dumps(error_body(status, message, code=code)).encode()
        head = (
            f"HTTP/1.1 {status} {PHRASES[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        )
        head += "Retry-After: 1\r\n" if status == 503 else ""
        self.transport.write(head.encode() + b"\r\n" + body)
        self.transport.close()
        # A client that does not read this shall not hold the connection either.
        _stop(self._head)
        self._head = self.loop.call_later(self.limits.read_seconds, self.transport.abort)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
