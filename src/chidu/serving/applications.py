"""The applications' routes: a summary of a text, passages of documents or of an index.

Each is judged as everything else is: what is asked as a prompt, what is brought along as a passage, what leaves as an
answer; `guard` in the answer tells what was done. No path and no address of a request is ever opened.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chidu.corpus import normalise
from chidu.errors import IndexFolderError, InputError, MissingPackageError
from chidu.inference import Embedder
from chidu.serving.answers import RequestError
from chidu.serving.asked import read
from chidu.serving.asked_apps import SearchAsked, SummarizeAsked, TaskAsked, named
from chidu.serving.desk import Desk
from chidu.serving.guarding import Guarding, Told
from chidu.serving.streams import Stream, event
from chidu.serving.working import Work

__all__ = ["APPLICATIONS", "Applications"]

Job = Callable[[Work, Any], Awaitable[dict[str, Any]]]

APPLICATIONS: dict[str, type[TaskAsked]] = {
    "/v1/summarize": SummarizeAsked,
    "/v1/search": SearchAsked,
}
"""Each route, and what it is sent."""
WORDS = "words"
"""The model of a search that is to make no vectors."""


class Applications:
    """What the applications need of the server, and their routes."""

    def __init__(
        self, desk: Desk, guarding: Guarding, embedder: Embedder | None, indexes: Mapping[str, Path] | None = None
    ) -> None:
        self._desk, self._guarding, self._embedder = desk, guarding, embedder
        self._indexes = dict(indexes or {})

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        jobs: dict[str, Job] = {"/v1/summarize": self._summarize, "/v1/search": self._search}
        for path, asked in APPLICATIONS.items():
            app.add_api_route(
                path, self._route(path, asked, jobs[path]), methods=["POST"], name=path.rpartition("/")[2]
            )
        app.add_api_route("/v1/indexes", self._list, methods=["GET"], name="indexes")

    def _list(self) -> dict[str, Any]:
        """Name the indexes that may be searched."""
        return {"object": "list", "data": [{"id": name, "object": "index"} for name in self._indexes]}

    def _route(self, path: str, kind: type[TaskAsked], job: Job) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            asked = await read(request, kind)
            work = Work(self._desk, Told(f"app-{secrets.token_hex(12)}"))
            guessed = sum(map(self._desk.guessed, asked.read))
            # What no model read is counted as it was guessed: it is as much work.
            request.scope["visit"].reserve(guessed, lambda: work.tokens or guessed)
            steps = work.steps(partial(self._whole, path.rpartition("/")[2], job, work, asked))
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

    async def _whole(self, thing: str, job: Job, work: Work, asked: TaskAsked) -> dict[str, Any]:
        """Return a job's document with what every answer has."""
        begun = int(time.time())
        try:
            found = await job(work, asked)
        except MissingPackageError as error:
            raise RequestError(501, str(error), code="not_installed") from error
        except IndexFolderError as error:
            raise RequestError(503, str(error), param="index", code="index_failed") from error
        except InputError as error:
            raise RequestError(400, str(error), code="invalid_text") from error
        guard = {} if self._guarding.guard is None else {"guard": work.told.actions}
        tokens = {"prompt_tokens": work.read, "completion_tokens": work.written, "total_tokens": work.tokens}
        return {"id": work.told.id, "object": thing, "created": begun, **found, "usage": tokens, **guard}

    async def _summarize(self, work: Work, asked: SummarizeAsked) -> dict[str, Any]:
        """The sentences that say most of a text. `model` names the embedder that tells what is alike; else words do."""
        from chidu.apps import summarize

        embedder = self._vectors(asked.model) if asked.model else None
        text = await self._guarding.text(work.told, asked.text, "text")
        # Line by line, so that lines keep their numbers.
        text = "\n".join(normalise(line) for line in text.split("\n"))
        watched = None if embedder is None else work.embedder(embedder)
        found = await work.run(summarize, text, asked.sentences, asked.percent, watched, work.tell)
        return {
            "model": asked.model,
            "summary": await self._guarding.whole_answer(work.told, found.text),
            "of": found.sentences,
            "sentences": [
                {
                    "first_line": each.sentence.first_line,
                    "last_line": each.sentence.last_line,
                    "score": round(each.score, 4),
                }
                for each in found.kept
            ],
        }

    async def _search(self, work: Work, asked: SearchAsked) -> dict[str, Any]:
        """Passages for a query. `model` names the embedder, or `words`; else the embedder where there is one."""
        from chidu.apps import search, search_texts
        from chidu.index import Document

        embedder = self._vectors(asked.model) if asked.model not in (None, WORDS) else self._embedder
        watched = None if embedder is None or asked.model == WORDS else work.embedder(embedder)
        query = await self._guarding.text(work.told, asked.query, "query")
        if asked.documents is None:
            answer = await work.run(search, self._index(asked.index), query, watched, asked.top)
        else:
            texts = [Document(each.name, each.text) for each in named(asked.documents)]
            answer = await work.run(search_texts, texts, query, watched, asked.top, work.tell)
        results = [await self._result(work.told, hit) for hit in answer.found.hits]
        return {
            "model": None if watched is None or not answer.by_meaning else watched.name,
            "by": answer.by,
            "passages": answer.passages,
            "without_vectors": answer.without_vectors,
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


async def _events(steps: AsyncGenerator[Any, None]) -> AsyncGenerator[str, None]:
    """Yield events: how far the work is, and at the end its document."""
    async with contextlib.aclosing(steps):
        async for step in steps:
            if isinstance(step, dict):
                yield event(step)
            elif step is not None:
                yield event({"object": "progress", "done": step[0], "said": step[1]})
