"""What the applications are asked for, checked value by value."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from chidu.serving.answers import RequestError

__all__ = ["Document", "SearchAsked", "SummarizeAsked", "TaskAsked"]

MOST_DOCUMENTS = 64
MOST_FOUND = 100
MOST_SENTENCES = 1000
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

    @model_validator(mode="after")
    def _says_how_much_once(self) -> SummarizeAsked:
        if self.sentences is not None and self.percent is not None:
            raise RequestError(400, "sentences and percent are both given: leave one out", param="percent")
        return self

    @property
    def read(self) -> list[str]:
        """The text."""
        return [self.text]


class SearchAsked(TaskAsked):
    """POST /v1/search."""

    query: Readable = Field(max_length=2000)
    documents: Documents | None = None
    index: str | None = Field(default=None, max_length=NAME)
    """The name of an index that the server was started with."""
    top: int = Field(default=5, ge=1, le=MOST_FOUND)

    @model_validator(mode="after")
    def _says_where_once(self) -> SearchAsked:
        if (self.documents is None) == (self.index is None):
            raise RequestError(400, "give documents or the name of an index, one of the two", param="documents")
        return self

    @property
    def read(self) -> list[str]:
        """The query, and the documents' texts."""
        return [self.query, *(each.text for each in self.documents or ())]
