"""What the applications are asked for, checked value by value."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from chidu.inference import Conversation, Prompt
from chidu.serving.answers import RequestError
from chidu.serving.asked import Turn

__all__ = ["AnswerAsked", "Document", "ExplainAsked", "SearchAsked", "SummarizeAsked", "TaskAsked", "TranslateAsked"]

MOST_DOCUMENTS = 64
MOST_FOUND = 100
MOST_SENTENCES = 1000
MOST_EXPLAINED = 64
NAME = 200
"""Characters of a name at the most."""


def _readable(text: str) -> str:
    """Return a text. Raises PydanticCustomError where it says nothing, or is none."""
    if not text.strip():
        raise PydanticCustomError("empty_text", "it is empty: send some text")
    if "\0" in text:
        raise PydanticCustomError("binary_text", "it is binary (holds NUL characters): send text")
    return text


Readable = Annotated[str, AfterValidator(_readable), Field(json_schema_extra={"pattern": r"\S"})]


class TaskAsked(BaseModel):
    """What every application may be asked."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: str | None = Field(default=None, max_length=NAME)
    """Which model or embedder; what stands in its place otherwise is said of each route."""
    stream: bool = False
    """Tell by events how far it is; the last one has the answer."""
    user: str | None = Field(default=None, max_length=1000)

    @property
    def read(self) -> list[str]:
        """The texts that are to be read."""
        raise NotImplementedError


class Document(BaseModel):
    """A text that is brought along."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(default="", max_length=NAME)
    """By its ending it is read as Markdown, HTML, code or plain text; it names no file of the server."""
    text: Readable


Documents = Annotated[list[Document], Field(min_length=1, max_length=MOST_DOCUMENTS)]


def named(documents: list[Document]) -> list[Document]:
    """Return the documents, each with a name."""
    return [
        each if each.name else Document(name=f"document {number}", text=each.text)
        for number, each in enumerate(documents, 1)
    ]


class SummarizeAsked(TaskAsked):
    """POST /v1/summarize."""

    text: Readable
    sentences: int | None = Field(default=None, ge=1, le=MOST_SENTENCES)
    percent: float | None = Field(default=None, gt=0, le=100)
    headline: bool = Field(
        default=False, description="Cut the first sentence to a phrase instead; not with sentences, percent or model."
    )

    @model_validator(mode="after")
    def _says_how_much_once(self) -> SummarizeAsked:
        if self.sentences is not None and self.percent is not None:
            raise RequestError(400, "sentences and percent are both given: leave one out", param="percent")
        for name in ("sentences", "percent", "model"):
            if self.headline and getattr(self, name) is not None:
                raise RequestError(400, f"a headline is cut from the first sentence: leave {name} out", param=name)
        return self

    @property
    def read(self) -> list[str]:
        """The text."""
        return [self.text]


class TranslateAsked(TaskAsked):
    """POST /v1/translate."""

    text: Readable
    target: str = Field(min_length=2, max_length=16)
    """A two-letter code (ISO 639-1)."""
    source: str | None = Field(default=None, min_length=2, max_length=16)
    """Else it is detected."""

    @property
    def read(self) -> list[str]:
        """The text."""
        return [self.text]


class _Sought(TaskAsked):
    """What is looked for in documents, or in an index."""

    documents: Documents | None = None
    index: str | None = Field(default=None, max_length=NAME)
    """The name of an index that the server was started with."""

    @model_validator(mode="after")
    def _says_where_once(self) -> _Sought:
        if (self.documents is None) == (self.index is None):
            raise RequestError(400, "give documents or the name of an index, one of the two", param="documents")
        return self

    @property
    def texts(self) -> list[str]:
        """Of the documents."""
        return [each.text for each in self.documents or ()]


class AnswerAsked(_Sought):
    """POST /v1/answer."""

    question: Readable = Field(max_length=2000)

    @property
    def read(self) -> list[str]:
        """The question, and the documents' texts."""
        return [self.question, *self.texts]


class SearchAsked(_Sought):
    """POST /v1/search."""

    query: Readable = Field(max_length=2000)
    top: int = Field(default=5, ge=1, le=MOST_FOUND)

    @property
    def read(self) -> list[str]:
        """The query, and the documents' texts."""
        return [self.query, *self.texts]


class ExplainAsked(TaskAsked):
    """POST /v1/explain."""

    prompt: Readable | None = None
    messages: Annotated[list[Turn], Field(min_length=1, max_length=1000)] | None = None
    answer: Readable
    max_tokens: int = Field(default=12, ge=1, le=MOST_EXPLAINED)
    """Of the answer that are explained; each takes some twenty readings of all before it."""

    @model_validator(mode="after")
    def _says_what_was_answered_once(self) -> ExplainAsked:
        if (self.prompt is None) == (self.messages is None):
            raise RequestError(400, "give a prompt or messages, one of the two", param="prompt")
        return self

    @property
    def question(self) -> Prompt:
        """What was answered."""
        return self.prompt or Conversation(tuple(each.message for each in self.messages or ()))

    @property
    def read(self) -> list[str]:
        """The prompt or the messages, and the answer."""
        return [self.prompt or "", *(each.message.content for each in self.messages or ()), self.answer]
