"""Requests, checked value by value: what OpenAI's API allows and this server does; all else is refused by its name."""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request

from chidu.inference import Conversation, Message, Prompt, Sampling
from chidu.serving.answers import RequestError

__all__ = ["ChatAsked", "CompletionAsked", "EmbeddingsAsked", "Turn", "read"]

MOST_TEXTS = 16
"""Of one request: prompts times n."""
MOST_STOPS = 4
_UNSUPPORTED = {
    *("tools", "logit_bias", "suffix", "presence_penalty", "frequency_penalty", "best_of", "tool_choice", "functions"),
    *("parallel_tool_calls", "modalities", "audio", "reasoning_effort", "service_tier", "store", "prediction"),
}
"""Names of OpenAI's API that this server has nothing for."""

Stop = Annotated[str, Field(min_length=1, max_length=200)]
One = TypeVar("One")
Asked = TypeVar("Asked", bound=BaseModel)
Several = Annotated[list[One], Field(min_length=1)]


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
            message = "stream_options is for streams: set stream, or leave it out"
            raise RequestError(400, message, param="stream_options")
        return self

    @property
    def wants_usage(self) -> bool:
        """True where a stream ends with the usage."""
        return bool((self.stream_options or {}).get("include_usage"))

    def _samplings(
        self, count: int, most: int | None, logprobs: int | None, schema: str | None = None
    ) -> list[Sampling]:
        """Return how each of so many texts is drawn; without a seed, as nobody can foresee."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        first = secrets.randbits(62) if self.seed is None else self.seed % 2**62
        return [
            Sampling(
                most,
                self.temperature,
                self.top_p,
                (first + index) % 2**62,
                stop=stop,
                logprobs=logprobs,
                schema=schema,
            )
            for index in range(count)
        ]


class CompletionAsked(_Asked):
    """POST /v1/completions."""

    prompt: str | Several[str] | Several[int] | Several[Several[int]]
    """A text, its tokens, or several of either."""
    max_tokens: int = Field(default=16, ge=0)
    """0 with `echo`: nothing is written, the prompt is given back."""
    echo: bool = False
    logprobs: int | None = Field(default=None, ge=0, le=5)
    best_of: int | None = Field(default=None, ge=1, le=1)
    suffix: Literal[""] | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> CompletionAsked:
        if self.max_tokens == 0 and not self.echo:
            raise RequestError(400, "max_tokens is 0 and there is no echo: nothing is asked for", param="max_tokens")
        if (count := len(self._prompts) * self.n) > MOST_TEXTS:
            message = f"{len(self._prompts)} prompts with n = {self.n} are {count} texts, more than {MOST_TEXTS}"
            raise RequestError(400, message, param="n")
        return self

    @property
    def _prompts(self) -> list[Prompt]:
        if isinstance(self.prompt, str) or isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts, each as often as texts are wanted for it."""
        return [prompt for prompt in self._prompts for _ in range(self.n)]

    def samplings(self) -> list[Sampling]:
        """Return how each text is drawn."""
        return self._samplings(len(self.prompts), max(self.max_tokens, 1), self.logprobs)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


class Turn(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[_Part], Field(min_length=1)]
    name: str | None = Field(default=None, max_length=200)

    @property
    def message(self) -> Message:
        """The message."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message("system" if self.role == "developer" else self.role, text)


class _Text(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    schema_text: ClassVar[str | None] = None


class _AnyJson(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["json_object"]
    schema_text: ClassVar[str | None] = '{"type": "object"}'


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    of: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class _Json(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["json_schema"]
    json_schema: _Schema

    @property
    def schema_text(self) -> str | None:
        """The schema, as JSON."""
        return json.dumps(self.json_schema.of, ensure_ascii=False)


class ChatAsked(_Asked):
    """POST /v1/chat/completions."""

    messages: list[Turn] = Field(min_length=1, max_length=1000)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    response_format: _Text | _AnyJson | _Json | None = Field(default=None, discriminator="type")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: Annotated[list[Any], Field(max_length=0)] | None = None

    @model_validator(mode="after")
    def _tells_of_tokens(self) -> ChatAsked:
        if self.top_logprobs is not None and not self.logprobs:
            raise RequestError(400, "top_logprobs is given without logprobs: set that to true", param="top_logprobs")
        return self

    @property
    def conversation(self) -> Conversation:
        """The turns."""
        return Conversation(tuple(turn.message for turn in self.messages))

    def samplings(self) -> list[Sampling]:
        """Return how each text is drawn; without a number of tokens, until the context is full."""
        most = self.max_completion_tokens or self.max_tokens
        schema = None if self.response_format is None else self.response_format.schema_text
        return self._samplings(self.n, most, (self.top_logprobs or 0) if self.logprobs else None, schema)


MOST_EMBEDDED = 256
"""Texts of one request for vectors."""


class EmbeddingsAsked(BaseModel):
    """POST /v1/embeddings."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    input: str | Annotated[list[str], Field(min_length=1, max_length=MOST_EMBEDDED)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    input_type: Literal["query", "passage"] = "passage"
    """What the texts are for; OpenAI's API has no such word, others' have."""
    user: str | None = Field(default=None, max_length=1000)

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return [self.input] if isinstance(self.input, str) else self.input


async def read(request: Request, kind: type[Asked]) -> Asked:
    """Read a request's JSON, checked. Raises RequestError (400) naming the value that is wrong."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # Of a value that may be of several kinds: what is wrong with the kind that it is.
        first = next((each for each in found if not each["type"].endswith("_type")), found[0])
        if (name := str(first["loc"][0]) if first["loc"] else "") in _UNSUPPORTED:
            message = f"{name} is not supported here: leave it out"
            raise RequestError(400, message, param=name, code="unsupported") from error
        place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("constrained", "function")))
        said = f"{place}: {first['msg']}" if place else first["msg"]
        raise RequestError(400, said, param=place.split(".")[0] or None, code=first["type"]) from error
