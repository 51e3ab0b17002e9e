"""The pairs that applications are judged on: a file of the user's, or the few that lie in the package.

A file has a JSON document a line. For `summarize`: `text` and `summary`. For `translate`: `source`, `target`, and the
two-letter codes `from` and `to`. For `answer` and `search` lines of two kinds: documents (`document`, its name, and
`text`), and questions (`question`, and `answers`, an empty list where no document answers; for `search` `documents`,
the names of those that are right).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chidu.corpus import check_language
from chidu.errors import ChiduError, TextError
from chidu.index import Document
from chidu.runs.record import fingerprint, parse_json
from chidu.units import count_of

__all__ = ["APPS", "Pairs", "Question", "SentencePair", "TextPair", "read_pairs"]

APPS = ("summarize", "translate", "answer", "search")
_FOLDER = Path(__file__).with_name("pairs")
_LEAST = 4
"""Items below which an interval would be a joke."""


@dataclass(frozen=True)
class TextPair:
    """A text and a summary of it that a person wrote."""

    text: str
    summary: str


@dataclass(frozen=True)
class SentencePair:
    """A text and its translation."""

    source: str
    target: str
    source_language: str
    target_language: str


@dataclass(frozen=True)
class Question:
    """A question to documents."""

    question: str
    answers: tuple[str, ...]
    """Any of which is right; none where the documents hold no answer, or where it is a question of search."""
    documents: tuple[str, ...]
    """Names of those that are right, for search."""


@dataclass(frozen=True)
class Pairs:
    """What an application is judged on."""

    app: str
    source: str
    """Where they came from, in words."""
    texts: tuple[TextPair, ...] = ()
    sentences: tuple[SentencePair, ...] = ()
    documents: tuple[Document, ...] = ()
    questions: tuple[Question, ...] = ()
    digest: str = ""
    """Fingerprint of their content."""

    def __len__(self) -> int:
        return len(self.texts) + len(self.sentences) + len(self.questions)


def read_pairs(app: str, path: Path | None = None) -> Pairs:
    """Read the pairs of an application; without a file, those of the package.

    Raises TextError naming file and line where a line is not as it should be, or there are fewer than four items.
    """
    place = path or _FOLDER / f"{app}.jsonl"
    name = str(path) if path else "the package's own pairs"
    rows = list(_rows(place, name))
    made = _MADE[app](rows) if rows else {}
    found = Pairs(app, name, **made, digest=fingerprint([row for _, row in rows]))
    if len(found) < _LEAST:
        raise TextError(f"{name}: {count_of(len(found), 'item')}; {app} needs {_LEAST} at the least: give more")
    return found


Row = tuple[str, Mapping[str, Any]]
"""Where it stands, and what it holds."""


def _rows(path: Path, name: str) -> list[Row]:
    if not path.is_file():
        raise TextError(f"{path} is no file: name a .jsonl file of pairs")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise TextError(f"{name} is not UTF-8 ({error.reason} at byte {error.start}): convert it") from error
    found: list[Row] = []
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise TextError(f"{where} is no JSON ({error}): write one document a line") from error
        if not isinstance(row, dict):
            raise TextError(f"{where} is no JSON object: write {{...}} in each line")
        found.append((where, row))
    return found


def _text(row: Row, key: str) -> str:
    where, values = row
    value = values.get(key)
    if not isinstance(value, str) or not value.strip():
        raise TextError(f"{where}: {key!r} must be a text that is not empty")
    return value


def _texts(row: Row, key: str) -> tuple[str, ...]:
    where, values = row
    value = values.get(key)
    if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
        raise TextError(f"{where}: {key!r} must be a list of texts")
    return tuple(value)


def _language(row: Row, key: str) -> str:
    try:
        return check_language(_text(row, key), key)
    except ChiduError as error:
        raise TextError(f"{row[0]}: {error}") from error


def _summaries(rows: Sequence[Row]) -> dict[str, Any]:
    return {"texts": tuple(TextPair(_text(row, "text"), _text(row, "summary")) for row in rows)}


def _translations(rows: Sequence[Row]) -> dict[str, Any]:
    found = []
    for row in rows:
        one = SentencePair(_text(row, "source"), _text(row, "target"), _language(row, "from"), _language(row, "to"))
        if one.source_language == one.target_language:
            raise TextError(f"{row[0]}: 'from' and 'to' are both {one.source_language!r}")
        found.append(one)
    return {"sentences": tuple(found)}


def _questions(rows: Sequence[Row], wants: str) -> dict[str, Any]:
    documents: dict[str, Document] = {}
    questions: list[tuple[Row, Question]] = []
    for row in rows:
        where, values = row
        if "document" in values:
            name = _text(row, "document")
            if name in documents:
                raise TextError(f"{where}: there is a document {name!r} already")
            documents[name] = Document(name, _text(row, "text"))
        elif "question" in values:
            own = _texts(row, wants)
            kept = {"answers": own, "documents": ()} if wants == "answers" else {"answers": (), "documents": own}
            questions.append((row, Question(_text(row, "question"), **kept)))
        else:
            raise TextError(f"{where}: neither 'document' nor 'question' is in it")
    if not documents:
        raise TextError(f"{rows[0][0]}: no line has a document: write some, of which the questions are asked")
    for (where, _), one in questions:
        if wants == "documents" and not one.documents:
            raise TextError(f"{where}: 'documents' is empty: name the documents that are right")
        missing = [name for name in one.documents if name not in documents]
        if missing:
            raise TextError(f"{where}: there is no document {missing[0]!r}")
    return {"documents": tuple(documents.values()), "questions": tuple(one for _, one in questions)}


_MADE: Mapping[str, Callable[[Sequence[Row]], dict[str, Any]]] = {
    "summarize": _summaries,
    "translate": _translations,
    "answer": lambda rows: _questions(rows, "answers"),
    "search": lambda rows: _questions(rows, "documents"),
}
