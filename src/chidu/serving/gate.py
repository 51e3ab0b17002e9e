"""Before the routes: who may enter, how much may be sent; and what every answer carries."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chidu.serving.answers import error_body
from chidu.serving.settings import ServerSettings

__all__ = ["HEADERS", "Gate"]

HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
OPEN = {"/health", "/ready"}
"""Whoever asks whether the server lives needs no key."""
LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}


class Gate:
    """ASGI around the routes: hosts, keys, the size of a body, headers of every answer."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, refused: Callable[[int], None]) -> None:
        self.app, self.settings, self.refused = app, settings, refused
        self._keys = [key.encode() for key in settings.keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS.items()]
            await send(message)

        headers = {name.lower(): value for name, value in scope["headers"]}
        if (why := self._why_not(scope, headers)) is not None:
            await self._refuse(send_with_headers, *why)
            return
        body = await self._body(receive)
        if body is None:
            most = self.settings.body_bytes
            await self._refuse(send_with_headers, 413, f"a request has at most {most} bytes", "request_too_large")
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self.app(scope, replay, send_with_headers)

    def _why_not(self, scope: Scope, headers: Mapping[bytes, bytes]) -> tuple[int, str, str] | None:
        """Return status, message and code where a request may not enter."""
        # A page of another site, whose name was made to lead here, has that name in Host.
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self.settings.is_local and host.rsplit(":", 1)[0] not in LOCAL_NAMES and host not in LOCAL_NAMES:
            return 403, "this server answers to localhost and 127.0.0.1 alone", "wrong_host"
        if self._keys and scope["path"] not in OPEN and not self._knows(headers.get(b"authorization", b"")):
            return 401, "no valid key: send it as `Authorization: Bearer KEY`", "invalid_api_key"
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if scope["method"] == "POST" and kind != b"application/json":
            return 415, "send JSON: Content-Type: application/json", "wrong_content_type"
        return None

    def _knows(self, said: bytes) -> bool:
        scheme, _, key = said.partition(b" ")
        # Every key is compared, each in constant time.
        found = [hmac.compare_digest(key.strip(), each) for each in self._keys]
        return scheme.lower() == b"bearer" and any(found)

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the whole body; None where it is larger than allowed."""
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            part = message.get("body", b"")
            size += len(part)
            if size > self.settings.body_bytes:
                return None
            parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts)

    async def _refuse(self, send: Send, status: int, message: str, code: str) -> None:
        self.refused(status)
        body = json.dumps(error_body(status, message, code=code)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
