"""Requests, checked value by value: what OpenAI's API allows and this server does; all else is refused by its name."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chidu.inference import Message, Sampling

__all__ = ["ChatAsked", "CompletionAsked"]

MOST_TEXTS = 16
"""Of one request: prompts times n."""
MOST_STOPS = 4

Stop = Annotated[str, Field(min_length=1, max_length=200)]


class _Asked(BaseModel):
    """What both kinds of requests have."""

    # Values must be of their type: "1" is no number, 1.0 no truth. Names that nobody knows are refused.
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: str
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    n: int = Field(default=1, ge=1, le=MOST_TEXTS)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    stream: bool = False
    stream_options: dict[Literal["include_usage"], bool] | None = None
    user: str | None = Field(default=None, max_length=1000)
    presence_penalty: float | None = Field(default=None, ge=0, le=0)
    frequency_penalty: float | None = Field(default=None, ge=0, le=0)
    logit_bias: dict[str, float] | None = Field(default=None, max_length=0)

    @model_validator(mode="after")
    def _has_a_stream_for_its_options(self) -> _Asked:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is for streams: set stream, or leave it out")
        return self

    @property
    def wants_usage(self) -> bool:
        """True where a stream ends with the usage."""
        return bool((self.stream_options or {}).get("include_usage"))

    def _samplings(self, count: int, most: int) -> list[Sampling]:
        """Return how each of so many texts is drawn; without a seed, as nobody can foresee."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        first = secrets.randbits(62) if self.seed is None else self.seed % 2**62
        return [
            Sampling(most, self.temperature, self.top_p, (first + index) % 2**62, stop=stop) for index in range(count)
        ]


class CompletionAsked(_Asked):
    """POST /v1/completions."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MOST_TEXTS)]
    max_tokens: int = Field(default=16, ge=1)
    echo: bool = False
    best_of: int | None = Field(default=None, ge=1, le=1)
    suffix: Literal[""] | None = None
    logprobs: Literal[0] | None = Field(default=None, description="not computed here")

    @property
    def prompts(self) -> list[str]:
        """The prompts, each as often as texts are wanted for it. Raises ValueError where that is too often."""
        single = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        if len(single) * self.n > MOST_TEXTS:
            raise ValueError(f"{len(single)} prompts with n = {self.n} are more than {MOST_TEXTS} texts")
        return [prompt for prompt in single for _ in range(self.n)]

    def samplings(self) -> list[Sampling]:
        """Return how each text is drawn."""
        return self._samplings(len(self.prompts), self.max_tokens)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[_Part], Field(min_length=1)]
    name: str | None = Field(default=None, max_length=200)

    @property
    def message(self) -> Message:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message("system" if self.role == "developer" else self.role, text)


class ChatAsked(_Asked):
    """POST /v1/chat/completions."""

    messages: list[_Turn] = Field(min_length=1, max_length=1000)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    response_format: dict[Literal["type"], Literal["text"]] | None = None
    logprobs: Literal[False] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None

    def conversation(self) -> list[Message]:
        """Return the turns."""
        return [turn.message for turn in self.messages]

    def samplings(self, context_length: int) -> list[Sampling]:
        """Return how each text is drawn; without a number of tokens, until the context is full."""
        most = self.max_completion_tokens or self.max_tokens or context_length
        return self._samplings(self.n, most)
