"""The routes: OpenAI's API for one model, and what an operator asks for."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from chidu.errors import ChatError, ContextError, InputError, RemoteError, SchemaError
from chidu.inference import Embedder, Engine, Piece, Prompt, Sampling, can_chat
from chidu.safety import AuditRecord, Guard
from chidu.serving.answers import Reply, RequestError, Written, embeddings_body, error_body, model_body
from chidu.serving.applications import APPLICATIONS, Applications
from chidu.serving.asked import ChatAsked, CompletionAsked, EmbeddingsAsked, read
from chidu.serving.description import describe
from chidu.serving.desk import Desk
from chidu.serving.gate import Gate
from chidu.serving.guarding import Guarding, ModerationAsked, Told
from chidu.serving.page import add_page
from chidu.serving.settings import ServerSettings
from chidu.serving.streams import Stream, event

if TYPE_CHECKING:
    from chidu.evaluation.tracing import CorpusTrace
    from chidu.evaluation.white_box import WhiteBox

__all__ = ["make_app"]

log = logging.getLogger(__name__)


def make_app(
    engine: Engine,
    settings: ServerSettings,
    *,
    guard: Guard | None = None,
    record: AuditRecord | None = None,
    embedder: Embedder | None = None,
    indexes: Mapping[str, Path] | None = None,
    look_into: Callable[[], WhiteBox] | None = None,
    trace: CorpusTrace | None = None,
) -> FastAPI:
    """Return the ASGI application that serves this engine, behind a guard and with an embedder where there are such.

    `indexes` may be searched, by the names that requests call them. `look_into` opens the model at the first request
    for reasons, and in `trace` is looked for where an answer may come from.
    """
    desk = Desk(engine, settings)
    guarding = Guarding(engine, guard, record, desk.registry)
    created = int(time.time())
    chats = {engine.name} if can_chat(engine) else set[str]()
    names = [engine.name, *([] if embedder is None else [embedder.name])]
    app = FastAPI(title="Chidu", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.refused = lambda status: desk.refusals.labels(str(status)).inc()
    app.add_middleware(Gate, settings=settings, rates=desk.rates, refused=app.state.refused)
    bodies: dict[str, type[BaseModel]] = {
        "/v1/completions": CompletionAsked,
        "/v1/chat/completions": ChatAsked,
        "/v1/embeddings": EmbeddingsAsked,
        "/v1/moderations": ModerationAsked,
        **APPLICATIONS,
    }
    describe(app, bodies)
    Applications(desk, guarding, embedder, indexes, look_into, trace).add_to(app)
    add_page(app, settings)
    _answer_errors(app, desk)

    @app.get("/health")
    @app.get("/ready")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(desk.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [model_body(name, created, chat=name in chats) for name in names]}

    @app.get("/v1/models/{name:path}")
    def model(name: str) -> dict[str, Any]:
        check_model(name, names)
        return model_body(name, created, chat=name in chats)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        asked = await read(request, CompletionAsked)
        check_model(asked.model, [engine.name])
        reply = Reply(engine.name, is_chat=False)
        tasks = [
            Task(prompt, sampling, asked.echo, asked.max_tokens > 0)
            for prompt, sampling in zip(asked.prompts, asked.samplings(), strict=True)
        ]
        return await _answer(desk, guarding, request, reply, tasks, asked)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        asked = await read(request, ChatAsked)
        check_model(asked.model, [engine.name])
        reply = Reply(engine.name, is_chat=True)
        tasks = [Task(asked.conversation, sampling) for sampling in asked.samplings()]
        return await _answer(desk, guarding, request, reply, tasks, asked)

    @app.post("/v1/moderations")
    async def moderations(request: Request) -> dict[str, Any]:
        asked = await read(request, ModerationAsked)
        return await guarding.moderation(f"modr-{secrets.token_hex(12)}", asked.texts, engine.name)

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        asked = await read(request, EmbeddingsAsked)
        if embedder is None:
            message = "this server makes no vectors: start it with --embedder"
            raise RequestError(404, message, param="model", code="model_not_found")
        check_model(asked.model, [embedder.name])
        if asked.dimensions not in (None, embedder.dimension):
            message = f"the vectors of {embedder.name} have {embedder.dimension} dimensions, and no others"
            raise RequestError(400, message, param="dimensions")
        visit, tokens = request.scope["visit"], 0
        visit.reserve(sum(map(desk.guessed, asked.texts)), lambda: tokens)
        async with desk.turn():
            found = await to_thread.run_sync(embedder.embed, asked.texts, asked.input_type)
        tokens = found.tokens
        desk.tokens.labels("embedded").inc(tokens)
        is_packed = asked.encoding_format == "base64"
        return JSONResponse(embeddings_body(embedder.name, found.vectors, tokens, is_packed))

    def check_model(name: str, there: Sequence[str]) -> None:
        if name not in there:
            raise RequestError(
                404,
                f"there is no model {name!r} here, only {', '.join(map(repr, there))}",
                param="model",
                code="model_not_found",
            )

    return app


@dataclass(frozen=True)
class Task:
    """One text to write."""

    prompt: Prompt
    sampling: Sampling
    echo: bool = False
    """The prompt, a text or tokens, stands before it in the answer."""
    writes: bool = True
    """False where only the prompt is to be given back."""


async def _answer(
    desk: Desk,
    guarding: Guarding,
    request: Request,
    reply: Reply,
    tasks: Sequence[Task],
    asked: CompletionAsked | ChatAsked,
) -> Response:
    """Let the texts be written, and answer with them, whole or in a stream.

    Raises InputError, before any is begun, for a prompt that can't be taken.
    """
    begun = time.monotonic()
    tasks = [replace(task, sampling=desk.allowed(task.sampling)) for task in tasks]
    expected = sum(desk.expected(task.prompt, task.sampling) for task in tasks)
    request.scope["visit"].reserve(expected, lambda: reply.usage["total_tokens"])
    # What is too long for the model is refused before the guard reads it, which would take longer.
    heard = [await desk.open(task.prompt, task.sampling) for task in tasks]
    told = Told(reply.id)
    reply.guarded = None if guarding.guard is None else told.actions
    prompts = await guarding.admitted(told, [task.prompt for task in tasks])
    for index, (task, prompt) in enumerate(zip(tasks, prompts, strict=True)):
        if prompt != task.prompt:
            tasks[index] = replace(task, prompt=prompt)
            heard[index] = await desk.open(prompt, task.sampling)
    texts = [
        guarding.answer(told, desk.write(each, begun), task.sampling) for task, each in zip(tasks, heard, strict=True)
    ]
    if asked.stream:
        return Stream(desk, _events(desk, reply, tasks, texts, asked.wants_usage))
    found = []
    async with desk.turn():
        for task, text in zip(tasks, texts, strict=True):
            pieces = []
            async with contextlib.aclosing(_written(desk, reply, task, text)) as written:
                async for piece in written:
                    pieces.append(piece)
                    if await request.is_disconnected():
                        return Response(status_code=499)  # nobody reads it
            found.append(_joined(pieces))
    return JSONResponse(reply.whole(found))


async def _written(
    desk: Desk, reply: Reply, task: Task, text: AsyncGenerator[Piece, None]
) -> AsyncGenerator[Written, None]:
    """Yield the pieces of one answer, the prompt before them where that is wanted, and count its tokens."""
    offset, is_counted, wants_tokens = 0, False, task.sampling.logprobs is not None
    async with contextlib.aclosing(text):
        if task.echo:
            echo = await _echo(desk, reply, task)
            offset = len(echo.text)
            yield echo
            if not task.writes:
                return
        async for piece in text:
            reply.completion_tokens += piece.tokens
            if piece.prompt_tokens is not None and not is_counted:
                reply.prompt_tokens += piece.prompt_tokens
                desk.tokens.labels("prompt").inc(piece.prompt_tokens)
                is_counted = True
            if piece.text or piece.finish or piece.drawn:
                yield Written(piece.text, piece.finish, piece.drawn if wants_tokens else None, offset)
            offset += len(piece.text)


async def _echo(desk: Desk, reply: Reply, task: Task) -> Written:
    """Return the prompt, weighed where that is wanted."""
    finish = None if task.writes else "length"
    engine, prompt = desk.engine, task.prompt
    if isinstance(prompt, str) and task.sampling.logprobs is None and task.writes:
        return Written(prompt)
    tokens = tuple(await to_thread.run_sync(engine.score, prompt, task.sampling.logprobs or 0))
    if not task.writes:
        reply.prompt_tokens += len(tokens)
        desk.tokens.labels("prompt").inc(len(tokens))
    text = b"".join(token.data for token in tokens).decode("utf-8", "replace")
    return Written(text, finish, tokens if task.sampling.logprobs is not None else None)


def _joined(pieces: Sequence[Written]) -> Written:
    """Return the whole of a text's pieces."""
    tokens = None if pieces[-1].tokens is None else tuple(token for piece in pieces for token in piece.tokens or ())
    return Written("".join(piece.text for piece in pieces), pieces[-1].finish, tokens)


async def _events(
    desk: Desk, reply: Reply, tasks: Sequence[Task], texts: Sequence[AsyncGenerator[Piece, None]], usage: bool
) -> AsyncGenerator[str, None]:
    """Yield server-sent events: a document a piece, and the usage where it is wanted."""
    for index, (task, text) in enumerate(zip(tasks, texts, strict=True)):
        async with contextlib.aclosing(_written(desk, reply, task, text)) as written:
            is_open = False
            async for piece in written:
                if reply.is_chat and not is_open:
                    yield event(reply.opening(index))
                    is_open = True
                if piece.text or piece.tokens:
                    yield event(reply.chunk(index, replace(piece, finish=None)))
                if piece.finish:
                    yield event(reply.chunk(index, Written("", piece.finish)))
    if usage:
        yield event(reply.last())


def _answer_errors(app: FastAPI, desk: Desk) -> None:
    """Let every error have OpenAI's shape."""

    def told(
        status: int, message: str, param: str | None = None, code: str | None = None, headers: Any = None
    ) -> JSONResponse:
        desk.refusals.labels(str(status)).inc()
        return JSONResponse(error_body(status, message, param, code), status, headers)

    @app.exception_handler(RequestError)
    async def refusal(_request: Request, error: RequestError) -> Response:
        return told(error.status, str(error), error.param, error.code, error.headers)

    @app.exception_handler(InputError)
    async def unfit(_request: Request, error: InputError) -> Response:
        is_long = isinstance(error, ContextError)
        if isinstance(error, SchemaError):
            return told(400, str(error), "response_format", "invalid_schema")
        if isinstance(error, ChatError):
            return told(400, str(error), "messages", "no_chat")
        code = "context_length_exceeded" if is_long else "invalid_prompt"
        return told(400, str(error), "messages" if not is_long else None, code)

    @app.exception_handler(RemoteError)
    async def unreached(_request: Request, error: RemoteError) -> Response:
        log.error("%s", error)
        return told(502, "the model is behind an address that does not answer as it should", code="upstream_failed")

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        return told(400, str(error.errors()[0]["msg"]))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        words = {404: f"there is no {request.method} {request.url.path} here", 405: "this route takes another method"}
        return told(error.status_code, words.get(error.status_code, str(error.detail)), headers=error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.error("%s failed", request.url.path, exc_info=error)
        return told(500, "the server failed; its log says why", code="server_failed")
