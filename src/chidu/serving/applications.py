"""The applications' routes: summaries, translations, answers and passages from documents, and reasons for an answer.

All that comes and goes is judged: what is asked as a prompt, what is brought along as a passage, what leaves as an
answer; `guard` in the answer tells what was done. No path and no address of a request is ever opened.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chidu.corpus import as_written, check_language
from chidu.errors import (
    ChatError,
    ContextError,
    IndexFolderError,
    InputError,
    MissingPackageError,
    SettingError,
    TextError,
)
from chidu.inference import Embedder
from chidu.serving.answers import RequestError
from chidu.serving.asked import read
from chidu.serving.asked_apps import (
    AnswerAsked,
    ExplainAsked,
    SearchAsked,
    SummarizeAsked,
    TaskAsked,
    TranslateAsked,
    named,
)
from chidu.serving.desk import Desk
from chidu.serving.guarding import Guarding, Told
from chidu.serving.streams import Stream, event
from chidu.serving.working import WatchedEmbedder, WatchedEngine, Work

if TYPE_CHECKING:
    from chidu.apps import Headline, Sentence, Summary
    from chidu.evaluation.tracing import CorpusTrace
    from chidu.evaluation.white_box import WhiteBox

__all__ = ["APPLICATIONS", "Applications"]

Job = Callable[[Work, Any], Coroutine[Any, Any, dict[str, Any]]]

APPLICATIONS: dict[str, type[TaskAsked]] = {
    "/v1/summarize": SummarizeAsked,
    "/v1/translate": TranslateAsked,
    "/v1/answer": AnswerAsked,
    "/v1/search": SearchAsked,
    "/v1/explain": ExplainAsked,
}
"""Each route, and what it is sent."""
WORDS = "words"
"""The model of a search that is to make no vectors."""


class Applications:
    """What the applications need of the server, and their routes."""

    def __init__(
        self,
        desk: Desk,
        guarding: Guarding,
        embedder: Embedder | None,
        indexes: Mapping[str, Path] | None = None,
        look_into: Callable[[], WhiteBox] | None = None,
        trace: CorpusTrace | None = None,
    ) -> None:
        self._desk, self._guarding, self._look_into, self._trace = desk, guarding, look_into, trace
        self._engine = WatchedEngine(desk.engine)
        self._embedder = None if embedder is None else WatchedEmbedder(embedder)
        self._indexes = dict(indexes or {})
        self._box: WhiteBox | None = None

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        jobs: dict[str, Job] = {
            "/v1/summarize": self._summarize,
            "/v1/translate": self._translate,
            "/v1/answer": self._answer,
            "/v1/search": self._search,
            "/v1/explain": self._explain,
        }
        for path, asked in APPLICATIONS.items():
            name = path.rpartition("/")[2]
            app.add_api_route(path, self._route(name, asked, jobs[path]), methods=["POST"], name=name)
        app.add_api_route("/v1/indexes", self._list, methods=["GET"], name="indexes")

    def _list(self) -> dict[str, Any]:
        """Name the indexes that may be searched."""
        return {"object": "list", "data": [{"id": name, "object": "index"} for name in self._indexes]}

    def _route(self, name: str, kind: type[TaskAsked], job: Job) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            asked = await read(request, kind)
            work = Work(self._desk, Told(f"{name}-{secrets.token_hex(12)}"))
            guessed = sum(map(self._desk.guessed, asked.read))
            # What no model read is counted as it was guessed: it is as much work.
            request.scope["visit"].reserve(guessed, lambda: work.tokens or guessed)
            steps = work.steps(partial(self._whole, name, job, work, asked))
            if asked.stream:
                return Stream(self._desk, _events(steps))
            async with self._desk.turn(), contextlib.aclosing(steps):
                async for step in steps:
                    if isinstance(step, dict):
                        return JSONResponse(step)
                    if await request.is_disconnected():
                        break
            return Response(status_code=499)  # nobody reads it

        return route

    async def _whole(self, name: str, job: Job, work: Work, asked: TaskAsked) -> dict[str, Any]:
        """Return a job's document with what every answer has."""
        begun = int(time.time())
        try:
            found = await job(work, asked)
        except MissingPackageError as error:
            raise RequestError(501, str(error), code="not_installed") from error
        except IndexFolderError as error:
            raise RequestError(503, str(error), param="index", code="index_failed") from error
        except InputError as error:
            codes = {ContextError: "context_length_exceeded", ChatError: "no_chat"}
            code = next((code for kind, code in codes.items() if isinstance(error, kind)), "invalid_text")
            raise RequestError(400, str(error), code=code) from error
        guard = {} if self._guarding.guard is None else {"guard": work.told.actions}
        tokens = {"prompt_tokens": work.read, "completion_tokens": work.written, "total_tokens": work.tokens}
        return {"id": work.told.id, "object": name, "created": begun, **found, "usage": tokens, **guard}

    async def _summarize(self, work: Work, asked: SummarizeAsked) -> dict[str, Any]:
        """The sentences that say most of a text, or its headline.

        `model` names the embedder that tells what is alike; else words do.
        """
        from chidu.apps import headline, summarize

        embedder = self._vectors(asked.model) if asked.model else None
        text = as_written(await self._guarding.text(work.told, asked.text, "text"))
        found: Headline | Summary
        if asked.headline:
            found = cut = await work.run(headline, text)
            rows: list[dict[str, Any]] = [_lines(cut.sentence)]
        else:
            found = kept = await work.run(summarize, text, asked.sentences, asked.percent, embedder, work.tell)
            rows = [_lines(each.sentence) | {"score": round(each.score, 4)} for each in kept.kept]
        return {
            "model": asked.model,
            "summary": await self._guarding.whole_answer(work.told, found.text),
            "of": found.sentences,
            "sentences": rows,
        }

    async def _translate(self, work: Work, asked: TranslateAsked) -> dict[str, Any]:
        """A text in another language, by the model that is served."""
        from chidu.apps import translate

        self._check_model(asked.model)
        for name in ("target", "source"):
            if (code := getattr(asked, name)) is not None:
                try:
                    check_language(code, name)
                except SettingError as error:
                    raise RequestError(400, str(error), param=name, code="unknown_language") from error
        text = await self._guarding.text(work.told, asked.text, "text")
        how = {"target": asked.target, "source": asked.source, "engine": self._engine, "progress": work.tell}
        try:
            found = await work.run(translate, text, **how)
        except SettingError as error:  # both languages are known by here: the text is in the one it should go into
            raise RequestError(400, str(error), param="target", code="same_language") from error
        except (TextError, ContextError):
            raise
        except InputError as error:  # of the model: it was not taught this, or gets it wrong
            raise RequestError(501, str(error), param="model", code="model_not_able") from error
        return {
            "model": self._engine.name,
            "translation": await self._guarding.whole_answer(work.told, found.translation),
            "source": found.source,
            "target": found.target,
            "detected": found.detected,
            "sentences": len(found.pairs),
            "left": [{"line": each.line, "why": each.why} for each in found.left],
        }

    async def _answer(self, work: Work, asked: AnswerAsked) -> dict[str, Any]:
        """What documents say to a question, quoted; written by the model that is served where `model` names it."""
        from chidu.apps import answer, answer_from
        from chidu.index import Document

        self._check_model(asked.model)
        question = await self._guarding.text(work.told, asked.question, "question")
        how: dict[str, Any] = {
            "embedder": self._embedder,
            "engine": self._engine if asked.model else None,
            "guard": self._guarding.passages(work.told),
        }
        if asked.documents is None:
            found = await work.run(answer_from, self._index(asked.index), question, **how)
        else:
            documents = [Document(each.name, each.text) for each in named(asked.documents)]
            found = await work.run(answer, question, documents, **how, progress=work.tell)
        return {
            "model": self._engine.name if found.style == "abstractive" else None,
            "answered": found.answered,
            "answer": await self._guarding.whole_answer(work.told, found.answer),
            "citations": [await self._cited(work.told, each) for each in found.citations],
            "confidence": found.confidence,
            "style": found.style,
            "by": found.by,
            "unsupported": [await self._guarding.whole_answer(work.told, each) for each in found.unsupported],
            "set_aside": [asdict(each) for each in found.set_aside],
            "passages": found.passages,
            "without_vectors": found.without_vectors,
        }

    async def _cited(self, told: Told, citation: Any) -> dict[str, Any]:
        """Return a citation as it may leave: what is quoted is judged as the answer is that quotes it."""
        found = asdict(citation)
        for name in ("heading", "text", "quoted"):
            found[name] = await self._guarding.whole_answer(told, found[name]) if found[name] else ""
        return found

    async def _search(self, work: Work, asked: SearchAsked) -> dict[str, Any]:
        """Passages for a query. `model` names the embedder, or `words`; else the embedder where there is one."""
        from chidu.apps import search, search_texts
        from chidu.index import Document

        embedder = self._embedder if asked.model in (None, WORDS) else self._vectors(asked.model)
        embedder = None if asked.model == WORDS else embedder
        query = await self._guarding.text(work.told, asked.query, "query")
        if asked.documents is None:
            found = await work.run(search, self._index(asked.index), query, embedder, asked.top)
        else:
            documents = [Document(each.name, each.text) for each in named(asked.documents)]
            found = await work.run(search_texts, documents, query, embedder, asked.top, work.tell)
        results = [await self._result(work.told, hit) for hit in found.found.hits]
        return {
            "model": embedder.name if embedder is not None and found.by_meaning else None,
            "by": found.by,
            "glosses": {one.word: one.phrases for one in found.glosses},
            "passages": found.passages,
            "without_vectors": found.without_vectors,
            "results": [each for each in results if each is not None],
        }

    async def _result(self, told: Told, hit: Any) -> dict[str, Any] | None:
        """Return a passage as it may leave; None where it may not."""
        text = await self._guarding.passage(told, hit.text, hit.file)
        heading = await self._guarding.passage(told, hit.heading, hit.file) if hit.heading else ""
        if text is None or heading is None:
            return None
        names = ("file", "first_line", "last_line", "score", "words_rank", "words_score", "vector_rank", "cosine")
        return {name: getattr(hit, name) for name in names} | {"heading": heading, "text": text}

    async def _explain(self, work: Work, asked: ExplainAsked) -> dict[str, Any]:
        """Which tokens of a prompt carried an answer, and how far that can be trusted; of the answer's first tokens."""
        self._check_model(asked.model)
        (prompt,) = await self._guarding.admitted(work.told, [asked.question])
        answer = await self._guarding.text(work.told, asked.answer, "answer")
        work.tell(0.0, "opening the model")
        box = await work.run(self._opened)

        def explained() -> tuple[int, dict[str, Any]]:
            from chidu.evaluation.explanation import explain

            tokens = box.go_on(box.read(prompt), answer)
            begin = box.decode(tokens[: asked.max_tokens])
            reasons = explain(box, prompt, begin, progress=work.tell).as_dict()
            if self._trace is not None:
                # The whole answer, of which only the first tokens are explained.
                reasons["origin"] = asdict(self._trace.origin(reasons["prompt"], answer))
            return len(tokens), reasons

        of, found = await work.run(explained)
        if (origin := found["origin"]) is not None:
            for name in ("spans", "near"):
                origin[name] = [kept for each in origin[name] if (kept := await self._quoted(work.told, each))]
            del origin["work"]
        work.count("prompt", len(found["inputs"]))
        return {"model": self._engine.name, "explained": len(found["tokens"]), "of": of, "explanation": found}

    async def _quoted(self, told: Told, quoted: dict[str, Any]) -> dict[str, Any] | None:
        """Return what stands in the training text as it may leave; None where it may not."""
        places = quoted["places"] if "places" in quoted else [quoted["place"]]
        text = await self._guarding.passage(told, quoted["text"], places[0]["source"])
        return None if text is None else quoted | {"text": text}

    def _opened(self) -> WhiteBox:
        """Return the model to look into, opened at the first request. Raises RequestError (501) where that can't be."""
        if self._look_into is None:
            message = "this server can't look into its model: serve a folder or a .gguf file with chidu serve"
            raise RequestError(501, message, code="no_reasons")
        if self._box is None:
            try:
                self._box = self._look_into()
            except InputError as error:
                raise RequestError(501, str(error), code="no_reasons") from error
        return self._box

    def _check_model(self, name: str | None) -> None:
        """Raise RequestError (404) where a model is named that is not the one served."""
        if name not in (None, self._engine.name):
            message = f"there is no model {name!r} here, only {self._engine.name!r}"
            raise RequestError(404, message, param="model", code="model_not_found")

    def _vectors(self, name: str | None) -> Embedder:
        """Return the embedder of a name. Raises RequestError (404) where it is another."""
        if self._embedder is None:
            message = "this server makes no vectors: start it with --embedder, or leave model out"
            raise RequestError(404, message, param="model", code="model_not_found")
        if name != self._embedder.name:
            message = f"there is no embedder {name!r} here, only {self._embedder.name!r}"
            raise RequestError(404, message, param="model", code="model_not_found")
        return self._embedder

    def _index(self, name: str | None) -> Path:
        """Return the folder of an index. Raises RequestError (404) where the server was not started with it."""
        found = self._indexes.get(name or "")
        if found is None:
            there = ", ".join(map(repr, self._indexes)) or "none: start it with --index FOLDER"
            message = f"there is no index {name!r} here; there are {there}"
            raise RequestError(404, message, param="index", code="index_not_found")
        return found


def _lines(sentence: Sentence) -> dict[str, Any]:
    return {"first_line": sentence.first_line, "last_line": sentence.last_line}


async def _events(steps: AsyncGenerator[Any, None]) -> AsyncGenerator[str, None]:
    """Yield events: how far the work is, and at the end its document."""
    async with contextlib.aclosing(steps):
        async for step in steps:
            if isinstance(step, dict):
                yield event(step)
            elif step is not None:
                yield event({"object": "progress", "done": step[0], "said": step[1]})
