"""What an application makes of each pair, with a model or without one: as JSON, so that it can be kept.

With a model the applications do what their verbs do. Models that were taught no chat, which `chidu answer` refuses, are
let go on from the passages and the question. A causal model searches by ranking anew the five passages that the search
without a model has first, by how likely it holds the question to be after each (Ponte and Croft, 1998; Sachan et
al., 2204.07496).
Beside that, how likely a model holds the right text to be after what it was given: it moves long before a score does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.apps.abstracting import go_on_from, write_summary
from chidu.apps.answering import answer
from chidu.apps.judging.pairs import Pairs, Question
from chidu.apps.keeping import KeptPieces
from chidu.apps.searching import search_texts
from chidu.apps.sentences import sentences
from chidu.apps.summarizing import summarize
from chidu.apps.translating import translate
from chidu.corpus import is_chinese
from chidu.errors import ChatError, ContextError, InputError, TextError
from chidu.evaluation.likelihood import likelihood
from chidu.index import GivenTexts
from chidu.inference import open_embedder, open_engine

if TYPE_CHECKING:
    from chidu.index import Found
    from chidu.inference import Embedder, Engine

__all__ = ["BASELINES", "WITHOUT", "Subject", "ask_baseline", "asked", "open_subject"]

Progress = Callable[[float, str], None]
Item = dict[str, Any]

WITHOUT = "none"
"""What applications without a model are called."""
EMBEDDERS = ("e5", "minilm")
BASELINES = {
    "summarize": "the first sentence",
    "translate": "copying",
    "answer": "quoting, by words",
    "search": "BM25",
}
"""What each application is set beside."""
_ORDER = "Answer the question from the passages alone, in a few words. If they do not answer it, reply with NONE."
_TOP = 10
"""Passages that a search gives."""
_ANEW = 5
"""The first of them, which a model that writes ranks anew."""
_ANSWER_TOKENS = 40
_LEAST_ROOM = 64
"""Characters of passages below which a question is asked of too little."""


@dataclass(frozen=True)
class Subject:
    """A model that is judged, opened."""

    name: str
    params: int | None
    """None where that is not known here."""
    engine: Engine | None = None
    embedder: Embedder | None = None

    @property
    def translates_alone(self) -> bool:
        """True of a model that was made to translate and for nothing else."""
        return bool(getattr(self.engine, "is_seq2seq", False)) or getattr(self.engine, "translation", None) is not None


def open_subject(name: str) -> Subject:
    """Open what a name means: an embedder (`e5`, `minilm`), `none`, or any model that writes.

    Raises what `open_engine` and `open_embedder` raise.
    """
    if name == WITHOUT:
        return Subject(name, None)
    if name in EMBEDDERS:
        return Subject(name, None, embedder=open_embedder(name))
    engine = open_engine(name)
    return Subject(_short(name), getattr(engine, "params", None), engine=engine)


def _short(name: str) -> str:
    """Return the last part of a path, or all of it where that is a common one (`…/model`)."""
    path = Path(name)
    if not path.is_dir():
        return path.name if path.is_file() else name
    resolved = path.resolve()
    return f"{resolved.parent.name}/{resolved.name}" if resolved.name == "model" else resolved.name


def asked(pairs: Pairs, subject: Subject, progress: Progress, kept: KeptPieces) -> Iterator[Item]:
    """Yield what an application makes of each pair, each kept as soon as it is made, and none made again that is kept.

    Raises InputError where the model can't do that at all.
    """
    if subject.translates_alone and pairs.app != "translate":
        raise InputError(f"{subject.name} was made to translate")
    if subject.embedder is not None and pairs.app == "translate":
        raise InputError(f"{subject.name} makes vectors, and writes nothing")
    for number, make in enumerate(_made(pairs, subject)):
        key = str(number)
        made = kept.get(key)
        if made is None:
            progress(number / len(pairs), f"{number + 1:,} of {len(pairs):,}")
            made = json.dumps(make())
            kept.put(key, made)
        yield json.loads(made)


def _made(pairs: Pairs, subject: Subject) -> Iterator[Callable[[], Item]]:
    for text in pairs.texts:
        yield partial(_summary, text.text, text.summary, subject)
    for one in pairs.sentences:
        yield partial(_translation, one.source, one.target, one.source_language, one.target_language, subject)
    for question in pairs.questions:
        yield partial(_answered if pairs.app == "answer" else _ranked, pairs, question, subject)


def ask_baseline(pairs: Pairs) -> list[Item]:
    """Return what the plain baseline makes of each pair."""
    nobody = Subject(WITHOUT, None)
    if pairs.app == "summarize":
        return [{"said": next((each.text for each in sentences(one.text)), "")} for one in pairs.texts]
    if pairs.app == "translate":
        return [{"said": one.source} for one in pairs.sentences]
    if pairs.app == "search":
        given = GivenTexts(pairs.documents)
        return [_names(given.search(one.question, most=_TOP)) for one in pairs.questions]
    return list(asked(pairs, nobody, lambda _done, _words: None, KeptPieces()))


def _summary(text: str, reference: str, subject: Subject) -> Item:
    if subject.engine is None:
        return {"said": summarize(text, 1, embedder=subject.embedder).text}
    try:
        found = write_summary(text, subject.engine, 1)
        said, unsupported = " ".join(one.sentence.text for one in found.written), len(found.unsupported)
    except TextError:  # it wrote no sentence
        said, unsupported = "", 0
    weighed = _weighed(subject.engine, f"{text}\n\nSummary: ", reference)
    return {"said": said, "unsupported": unsupported, **weighed}


def _translation(source: str, target: str, from_: str, to: str, subject: Subject) -> Item:
    if subject.engine is None:
        return {"said": source}
    said = translate(source, target=to, source=from_, engine=subject.engine).translation
    return {"said": said, **_weighed(subject.engine, f"{source}\n", target)}


def _answered(pairs: Pairs, one: Question, subject: Subject) -> Item:
    engine = subject.engine
    try:
        found = answer(one.question, pairs.documents, embedder=subject.embedder, engine=engine)
        said = found.answer if found.answered else ""
    except ChatError:
        assert engine is not None
        quoted = answer(one.question, pairs.documents)
        said = _gone_on(engine, one.question, [each.text for each in quoted.citations]) if quoted.answered else ""
    except ContextError:
        said = ""
    if engine is None or not one.answers:
        return {"said": said}
    hits = search_texts(pairs.documents, one.question, top=1).found.hits
    before = f"{hits[0].text if hits else ''}\n\nQuestion: {one.question}\nAnswer: "
    return {"said": said, **_weighed(engine, before, one.answers[0])}


def _gone_on(engine: Engine, question: str, passages: list[str]) -> str:
    """Return what a model that was taught no chat puts behind passages and question: the first line of it."""
    given = "\n\n".join(passages)
    while True:
        try:
            said = go_on_from(engine, _ORDER, f"{given}\n\nQuestion: {question}", "Answer:", _ANSWER_TOKENS)
        except ContextError:
            if len(given) < _LEAST_ROOM:
                return ""
            given = given[: len(given) * 3 // 4]
            continue
        line = said.strip().partition("\n")[0]
        return "" if line.upper().startswith("NONE") else line


def _ranked(pairs: Pairs, one: Question, subject: Subject) -> Item:
    found = _names(search_texts(pairs.documents, one.question, subject.embedder, _TOP).found)
    engine = subject.engine
    if engine is None:
        return found
    names = found["ranked"]
    weighed = {
        document.name: _weighed(engine, f"{document.text}\n\nQuestion: ", one.question)
        for document in pairs.documents
        if document.name in (*names[:_ANEW], one.documents[0])
    }
    if not all(weighed.values()):
        raise InputError(f"{engine.name} can't weigh a question after a passage, by which it would rank them")
    first = sorted(names[:_ANEW], key=lambda name: float(weighed[name]["nats"]))
    return {"ranked": [*first, *names[_ANEW:]], **weighed[one.documents[0]]}


def _names(found: Found) -> Item:
    return {"ranked": list(dict.fromkeys(hit.file for hit in found.hits))}


def _weighed(engine: Engine, before: str, reference: str) -> Item:
    """Return how likely the right text is after what the model was given; nothing where it can't be weighed."""
    try:
        found = likelihood(engine, before, reference)
    except InputError:
        return {}
    return {"nats": found.nats, "bytes": found.bytes, "chinese": is_chinese(reference)}
