"""OpenAI's shapes: completions and chats, whole and in chunks, usage, and errors."""

from __future__ import annotations

import base64
import itertools
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import ChiduError
from chidu.inference import Token

__all__ = ["Reply", "RequestError", "Written", "embeddings_body", "error_body", "model_body", "shown"]


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


def model_body(name: str, created: int, *, chat: bool) -> dict[str, Any]:
    """Return what is said of a model; ``chat``, which OpenAI's API has not, tells whether it was taught any."""
    return {"id": name, "object": "model", "created": created, "owned_by": "chidu", "chat": chat}


@dataclass(frozen=True)
class Written:
    """A text, or a piece of one."""

    text: str
    finish: str | None = None
    tokens: tuple[Token, ...] | None = None
    """Its tokens and their log-probabilities, where those were asked for."""
    offset: int = 0
    """The character of the whole text at which it begins."""


@dataclass
class Reply:
    """One answer under way, of several texts."""

    model: str
    is_chat: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0
    guarded: Sequence[Mapping[str, Any]] | None = None
    """What the guard has done so far; None without a guard."""
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

    def whole(self, texts: list[Written]) -> dict[str, Any]:
        """Return the document of finished texts, each with why it ended."""
        choices: list[dict[str, Any]] = []
        for index, each in enumerate(texts):
            said = {"message": {"role": "assistant", "content": each.text}} if self.is_chat else {"text": each.text}
            choices.append({"index": index, **said, "logprobs": self._logprobs(each), "finish_reason": each.finish})
        kind = "chat.completion" if self.is_chat else "text_completion"
        return self._document(kind, choices) | {"usage": self.usage} | self._guard()

    def opening(self, index: int) -> dict[str, Any]:
        """Return the chunk that opens a chat."""
        delta = {"role": "assistant", "content": ""}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        return self._document("chat.completion.chunk", [choice])

    def chunk(self, index: int, written: Written) -> dict[str, Any]:
        """Return the document of a piece of one text."""
        said: dict[str, Any] = {"text": written.text}
        if self.is_chat:
            said = {"delta": {"content": written.text} if written.text else {}}
        choice = {"index": index, **said, "logprobs": self._logprobs(written), "finish_reason": written.finish}
        document = self._document("chat.completion.chunk" if self.is_chat else "text_completion", [choice])
        return document | self._guard() if written.finish else document

    def _guard(self) -> dict[str, Any]:
        """Return what a finished text tells of the guard: nothing of OpenAI's, whose clients pass over it."""
        return {} if self.guarded is None else {"guard": list(self.guarded)}

    def _logprobs(self, written: Written) -> dict[str, Any] | None:
        if written.tokens is None:
            return None
        return _of_chat(written.tokens) if self.is_chat else _of_completion(written.tokens, written.offset)

    def last(self) -> dict[str, Any]:
        """Return the chunk of the usage, which has no choices."""
        return self._document("chat.completion.chunk" if self.is_chat else "text_completion", []) | {
            "usage": self.usage
        }

    def _document(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


def embeddings_body(model: str, vectors: NDArray[np.float32], tokens: int, is_packed: bool) -> dict[str, Any]:
    """Return vectors [texts, dimension], as numbers or as the base64 of little-endian float32."""
    rows = (base64.b64encode(row.astype("<f4").tobytes()).decode() if is_packed else row.tolist() for row in vectors)
    return {
        "object": "list",
        "model": model,
        "data": [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def shown(token: Token) -> str:
    """Return a token as text; one that is no whole character by its bytes, as OpenAI's API does."""
    try:
        return token.data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.data)


def _of_completion(tokens: tuple[Token, ...], offset: int) -> dict[str, Any]:
    """Return log-probabilities in the shape of completions. The drawn token is always among the most likely ones."""
    data = b"".join(token.data for token in tokens)
    ends = itertools.accumulate((len(token.data) for token in tokens), initial=0)
    return {
        "tokens": [shown(token) for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [
            None if token.logprob is None else {shown(each): each.logprob for each in reversed((*token.top, token))}
            for token in tokens
        ],
        # A token that begins within a character stands where that does.
        "text_offset": [
            offset + len(data[:end].decode("utf-8", "ignore")) for end, _ in zip(ends, tokens, strict=False)
        ],
    }


def _of_chat(tokens: tuple[Token, ...]) -> dict[str, Any]:
    def said(token: Token) -> dict[str, Any]:
        return {"token": shown(token), "logprob": token.logprob, "bytes": list(token.data)}

    return {
        "content": [{**said(token), "top_logprobs": [said(each) for each in token.top]} for token in tokens],
        "refusal": None,
    }
