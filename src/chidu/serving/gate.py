"""Before the routes: who may enter, how much may be sent; and what every answer carries."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Callable, Mapping

import numpy as np
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chidu.serving.answers import RequestError, error_body
from chidu.serving.rates import Rates
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
PAGE = re.compile(r"/|/static/[a-z]+\.[a-z]+")
"""The page and its files, which ask for one and hold nothing else."""
LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}
ANYONE = "anyone"
"""Who asks where there are no keys."""
DEEPEST = 64
"""Lists and objects of JSON in one another: what reads them, and what makes a grammar of a schema, calls itself."""
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
STEPS = np.zeros(256, np.int8)
STEPS[[*b"[{"]], STEPS[[*b"]}"]] = 1, -1


class Gate:
    """ASGI around the routes: hosts, keys, rates, the size of a body and its time, headers of every answer.

    What passes has a `Visit` in its scope.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, rates: Rates, refused: Callable[[int], None]) -> None:
        self.app, self.settings, self.rates, self.refused = app, settings, rates, refused
        self._keys = [(key.name, key.secret.encode()) for key in settings.keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        more: dict[bytes, bytes] = {}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if "visit" in scope:
                    more.update(scope["visit"].headers())
                own = message.get("headers", [])
                # The page has a policy of its own.
                more.update((name, value) for name, value in HEADERS.items() if name not in dict(own))
                message["headers"] = [*own, *more.items()]
            await send(message)

        try:
            caller = self._admit(scope)
            if scope["method"] == "POST":
                scope["visit"] = self.rates.enter(caller)
            body = await self._body(receive)
        except RequestError as error:
            await self._refuse(send_with_headers, error)
            return
        if body is None:
            return  # it has gone
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        try:
            await self.app(scope, replay, send_with_headers)
        finally:
            if "visit" in scope:
                scope["visit"].end()

    def _admit(self, scope: Scope) -> str:
        """Return who asks. Raises RequestError where it may not enter."""
        headers: Mapping[bytes, bytes] = {name.lower(): value for name, value in scope["headers"]}
        # A page of another site, whose name was made to lead here, has that name in Host.
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self.settings.is_local and host.rsplit(":", 1)[0] not in LOCAL_NAMES and host not in LOCAL_NAMES:
            raise RequestError(403, "this server answers to localhost and 127.0.0.1 alone", code="wrong_host")
        caller = ANYONE
        is_page = scope["method"] in ("GET", "HEAD") and PAGE.fullmatch(scope["path"])
        if self._keys and scope["path"] not in OPEN and not is_page:
            caller = self._caller(headers.get(b"authorization", b""))
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if scope["method"] == "POST" and kind != b"application/json":
            raise RequestError(415, "send JSON: Content-Type: application/json", code="wrong_content_type")
        return caller

    def _caller(self, said: bytes) -> str:
        scheme, _, key = said.partition(b" ")
        # Every key is compared, each in constant time.
        found = [name for name, each in self._keys if hmac.compare_digest(key.strip(), each)]
        if scheme.lower() != b"bearer" or not found:
            raise RequestError(
                401,
                "no valid key: send it as `Authorization: Bearer KEY`",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return found[0]

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the whole body; None where the client goes before its end.

        Raises RequestError where it is too large, too slow or too deep.
        """
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(self.settings.read_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.settings.body_bytes:
                        most = self.settings.body_bytes
                        raise RequestError(413, f"a request has at most {most} bytes", code="request_too_large")
                    more = message.get("more_body", False)
        except TimeoutError as error:
            seconds = self.settings.read_seconds
            # What of it comes later is no request.
            headers = {"Connection": "close"}
            raise RequestError(
                408, f"the body did not come within {seconds:g} s", code="request_timeout", headers=headers
            ) from error
        body = b"".join(parts)
        if depth(body) > DEEPEST:
            raise RequestError(400, f"lists and objects lie more than {DEEPEST} deep in one another", code="too_deep")
        return body

    async def _refuse(self, send: Send, error: RequestError) -> None:
        self.refused(error.status)
        body = json.dumps(error_body(error.status, str(error), error.param, error.code)).encode()
        said = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers}
        headers = [(name.lower().encode(), value.encode()) for name, value in said.items()]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def depth(body: bytes) -> int:
    """Return how deep the lists and objects of a JSON text lie in one another, without reading it as such."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return 0
    steps = STEPS[np.frombuffer(STRING.sub(b"", body), np.uint8)]
    return int(steps.cumsum(dtype=np.int64).max(initial=0))
