"""Questions answered from documents: the stretch of them that answers, with its place, or that there is none.

Whether the documents answer at all is judged by a logistic model of what the search tells (judgement.py), not by how
near the nearest passage lies: that is as near for questions that nothing answers. Passages are data: one that gives
orders to a model is left out, and told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chidu.apps.composing import compose
from chidu.apps.judgement import LOOKED_AT, cited, judgement_for
from chidu.apps.quoting import by_vectors, by_words, quote, stretches
from chidu.apps.searching import Searched, search, search_texts
from chidu.corpus import is_chinese
from chidu.errors import SettingError, TextError
from chidu.index import MOST_BYTES, Document, Hit
from chidu.safety import Action, Guard
from chidu.safety.patterns import PhraseJudge
from chidu.safety.phrases import INJECTION_PHRASES
from chidu.units import format_bytes

if TYPE_CHECKING:
    from chidu.inference.embedding import Embedder
    from chidu.inference.engine import Engine

__all__ = ["Answer", "Citation", "Document", "SetAside", "answer", "answer_from"]

Style = Literal["extractive", "abstractive"]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Citation:
    """A passage on which an answer rests."""

    file: str
    """Its path, or the name of the document."""
    first_line: int
    last_line: int
    """Where what is quoted stands, counted from 1."""
    heading: str
    """The headings above it, the highest first."""
    text: str
    """The passage, as the index has it."""
    quoted: str
    """The stretch of ``text`` that is meant, word for word."""
    probability: float | None
    """That this passage answers, 0 to 1; None as `Answer.confidence` is."""


@dataclass(frozen=True)
class SetAside:
    """A passage that was found and not used, because it gives orders to a model or the guard refuses it."""

    file: str
    first_line: int
    last_line: int
    rules: tuple[str, ...]
    """What found it."""


@dataclass(frozen=True)
class Answer:
    """What the documents say to a question."""

    answer: str
    """What is quoted, the most probable first, or what a model wrote; where nothing answers, that nothing does."""
    citations: tuple[Citation, ...]
    """Empty where nothing answers."""
    answered: bool
    confidence: float | None
    """Probability that a passage that is cited, or would be, answers; calibrated, 0 to 1. None where words alone ranked
    passages without headings: judged on FAQs, it told nothing there."""
    style: Style
    by: str
    """What ranked the passages: `words`, or `words and vectors`."""
    set_aside: tuple[SetAside, ...]
    passages: int
    """That were searched."""
    without_vectors: int
    """Those of them that have no vector yet, and were ranked by words alone."""
    unsupported: tuple[str, ...] = ()
    """Sentences of a written answer that the citations do not bear out; marked in ``answer`` too."""


def answer(
    question: str,
    documents: Sequence[str | Document],
    *,
    embedder: Embedder | None = None,
    engine: Engine | None = None,
    guard: Guard | None = None,
    threshold: float | None = None,
    progress: Progress | None = None,
) -> Answer:
    """Answer a question from texts that are at hand; a text without a name is called `document 1`, and so on.

    Passages are ranked by words, and with an embedder by vectors too, all of which are made first: some passages a
    second. See `answer_from` for the rest. Raises TextError where there is no document, one is no text or too large, or
    none holds a passage.
    """
    _check(threshold)
    searched = search_texts(_named(documents), question, embedder, LOOKED_AT, progress, by_dictionary=False)
    return _answer(searched, question, embedder, engine, guard, threshold)


def answer_from(
    folder: Path,
    question: str,
    *,
    embedder: Embedder | None = None,
    engine: Engine | None = None,
    guard: Guard | None = None,
    threshold: float | None = None,
) -> Answer:
    """Answer a question from an index that `update` made of files.

    The answer is quoted word for word. With an ``engine`` it is written from the passages cited instead, and each
    sentence that they do not bear out is marked; where that is more than half of them, the quotation stands instead.
    ``threshold`` is the probability from which on an answer is given, else what was judged best. ``guard`` judges the
    passages, by its policy; without one, those that give orders to a model are set aside.

    Raises TextError for an empty question, SettingError for a threshold that is no probability, IndexFolderError where
    there is no index or its vectors are another embedder's, and what the engine raises.
    """
    _check(threshold)
    # Of passages found by a dictionary the judgement knows nothing: it would say 0.53 on average, and be right in 0.40.
    searched = search(folder, question, embedder, LOOKED_AT, by_dictionary=False)
    return _answer(searched, question, embedder, engine, guard, threshold)


def _check(threshold: float | None) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise SettingError(f"threshold is {threshold}: a probability from 0 to 1 is needed")


def _answer(
    searched: Searched,
    question: str,
    embedder: Embedder | None,
    engine: Engine | None,
    guard: Guard | None,
    threshold: float | None,
) -> Answer:
    hits, aside = _allowed(searched.found.hits, guard)
    judgement = judgement_for(embedder.name if embedder is not None and searched.by_meaning else None, question)
    probabilities = judgement.probabilities(question, searched.found, hits)
    order = cited(probabilities)
    confidence = float(probabilities[order].sum())
    tells = searched.by_meaning or not order or any(hits[one].heading for one in order)
    told = partial(
        Answer, confidence=confidence if tells else None, by=searched.by, set_aside=aside, passages=searched.passages,
        without_vectors=searched.without_vectors,
    )  # fmt: skip
    none = partial(told, answer=_none(question), citations=(), answered=False)
    if not order or confidence < (judgement.threshold if threshold is None else threshold):
        return none(style="extractive")
    sure = [float(probabilities[one]) if tells else None for one in order]
    citations = tuple(_cite(hits[one], each, searched, embedder) for one, each in zip(order, sure, strict=True))
    if engine is not None:
        composed = compose(engine, question, [one.text for one in citations])
        if composed is None:
            return none(style="abstractive")
        if 2 * len(composed.unsupported) <= composed.sentences:
            return told(
                answer=composed.text, citations=citations, answered=True, style="abstractive",
                unsupported=composed.unsupported,
            )  # fmt: skip
    return told(
        answer="\n\n".join(one.quoted for one in citations), citations=citations, answered=True, style="extractive"
    )


def _none(question: str) -> str:
    return "这些文件没有回答这个问题。" if is_chinese(question) else "These documents do not answer this question."


def _allowed(hits: Sequence[Hit], guard: Guard | None) -> tuple[list[Hit], tuple[SetAside, ...]]:
    """Return the passages that may be used, as far as they may, and those that may not."""
    judge = guard or Guard(judges=[PhraseJudge(INJECTION_PHRASES)])
    allowed, aside = [], []
    for hit in hits:
        verdict = judge.judge("passage", f"{' '.join(hit.heading.split())}\n{hit.text}")
        if verdict.action is Action.REFUSE:
            aside.append(SetAside(hit.file, hit.first_line, hit.last_line, tuple(verdict.rules)))
        else:
            heading, _, text = verdict.text.partition("\n")
            allowed.append(replace(hit, heading=heading, text=text))
    return allowed, tuple(aside)


def _cite(hit: Hit, probability: float | None, searched: Searched, embedder: Embedder | None) -> Citation:
    """Say where the stretch of a passage that answers stands."""
    said = stretches(hit.text)
    if embedder is not None and searched.vector is not None:
        scores = by_vectors(said, searched.vector, embedder)
    else:
        scores = by_words(said, searched.found.rarities)
    start, end = quote(hit.text, said, scores)
    first = last = hit.first_line
    # Where lines of the file are not lines of the passage (HTML, .jsonl), the place is the passage's.
    if hit.text.count("\n") == hit.last_line - hit.first_line:
        first += hit.text.count("\n", 0, start)
        last = hit.first_line + hit.text.count("\n", 0, end)
    else:
        last = hit.last_line
    return Citation(hit.file, first, last, hit.heading, hit.text, hit.text[start:end], probability)


def _named(documents: Sequence[str | Document]) -> list[Document]:
    """Return documents that have text, each with a name. Raises TextError where one is no text, or none has any."""
    found = []
    for number, one in enumerate(documents, 1):
        name, text = (f"document {number}", one) if isinstance(one, str) else (one.name, one.text)
        if "\0" in text:
            raise TextError(f"{name} holds NUL characters: give text")
        if (size := len(text.encode("utf-8", "replace"))) > MOST_BYTES:
            raise TextError(f"{name} has {format_bytes(size)}, more than {format_bytes(MOST_BYTES)}: cut it")
        if text.strip():
            found.append(Document(name, text))
    if not found:
        raise TextError(f"{len(documents)} documents, and no text in them: give some")
    return found
