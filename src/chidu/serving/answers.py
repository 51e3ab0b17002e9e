"""OpenAI's shapes: completions and chats, whole and in chunks, usage, and errors."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chidu.errors import ChiduError

__all__ = ["Reply", "RequestError", "error_body", "model_body"]


class RequestError(ChiduError):
    """A request that is answered with an error: its HTTP status, and OpenAI's words for it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.headers = dict(headers or {})


KINDS = {401: "authentication_error", 429: "rate_limit_error", 503: "server_error"}


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error document."""
    kind = KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def model_body(name: str, created: int) -> dict[str, Any]:
    """Return what is said of a model."""
    return {"id": name, "object": "model", "created": created, "owned_by": "chidu"}


@dataclass
class Reply:
    """One answer under way, of several texts."""

    model: str
    is_chat: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.id = ("chatcmpl-" if self.is_chat else "cmpl-") + secrets.token_hex(12)

    @property
    def usage(self) -> dict[str, int]:
        """Tokens read and written."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    def whole(self, texts: list[tuple[str, str]]) -> dict[str, Any]:
        """Return the document of finished texts, each with why it ended."""
        choices: list[dict[str, Any]] = []
        for index, (text, finish) in enumerate(texts):
            said = {"message": {"role": "assistant", "content": text}} if self.is_chat else {"text": text}
            choices.append({"index": index, **said, "logprobs": None, "finish_reason": finish})
        return self._document("chat.completion" if self.is_chat else "text_completion", choices) | {"usage": self.usage}

    def chunk(self, index: int, text: str | None, finish: str | None) -> dict[str, Any]:
        """Return the document of a piece of one text; text None opens a chat."""
        if self.is_chat:
            delta = {"role": "assistant", "content": ""} if text is None else {"content": text} if text else {}
            said: dict[str, Any] = {"delta": delta}
        else:
            said = {"text": text or ""}
        choice = {"index": index, **said, "logprobs": None, "finish_reason": finish}
        return self._document("chat.completion.chunk" if self.is_chat else "text_completion", [choice])

    def last(self) -> dict[str, Any]:
        """Return the chunk of the usage, which has no choices."""
        return self._document("chat.completion.chunk" if self.is_chat else "text_completion", []) | {
            "usage": self.usage
        }

    def _document(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}
