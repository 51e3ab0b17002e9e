"""Server-sent events: sent while a turn is held, and ended by an error in its own words where one breaks off."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from chidu.errors import InputError
from chidu.serving.answers import RequestError, error_body
from chidu.serving.desk import Desk

__all__ = ["Stream", "event"]

log = logging.getLogger(__name__)


class Stream(StreamingResponse):
    """Events, sent while a turn is held: so who finds the desk full, or asks for what the engine can't write, is told
    by the status, before the first byte."""

    def __init__(self, desk: Desk, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self.desk, self.events = desk, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a turn and for the first event, then send."""
        async with self.desk.turn(), contextlib.aclosing(self.events):
            self.body_iterator = _after(await anext(self.events), self.events)
            await super().__call__(scope, receive, send)


async def _after(first: str, others: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield one event and those after it; where one of those can't be made, say so in their place."""
    yield first
    try:
        async for each in others:
            yield each
    except RequestError as error:
        yield event(error_body(error.status, str(error), error.param, error.code))
    except InputError as error:
        yield event(error_body(400, str(error), code="invalid_prompt"))
    except Exception:
        log.exception("a stream broke off")
        yield event(error_body(500, "the server failed while it wrote", code="server_failed"))
    yield "data: [DONE]\n\n"


def event(document: dict[str, Any]) -> str:
    """Return a document as one event."""
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"
