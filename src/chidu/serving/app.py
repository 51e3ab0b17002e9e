"""The routes: OpenAI's API for one model, and what an operator asks for."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from chidu.errors import InputError
from chidu.inference import Engine, Piece, Sampling
from chidu.inference.engine import check_room
from chidu.safety import AuditRecord, Guard
from chidu.serving.answers import Reply, RequestError, error_body, model_body
from chidu.serving.asked import ChatAsked, CompletionAsked
from chidu.serving.desk import Desk
from chidu.serving.gate import Gate
from chidu.serving.guarding import Guarding, ModerationAsked
from chidu.serving.settings import ServerSettings

__all__ = ["make_app"]

Asked = TypeVar("Asked", bound=BaseModel)

log = logging.getLogger(__name__)


def make_app(
    engine: Engine, settings: ServerSettings, guard: Guard | None = None, record: AuditRecord | None = None
) -> FastAPI:
    """Return the ASGI application that serves this engine, behind a guard where there is one."""
    desk = Desk(engine, settings)
    guarding = Guarding(guard, record, desk.registry)
    created = int(time.time())
    app = FastAPI(title="Chidu", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.add_middleware(Gate, settings=settings, refused=lambda status: desk.refusals.labels(str(status)).inc())
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
        return {"object": "list", "data": [model_body(engine.name, created)]}

    @app.get("/v1/models/{name:path}")
    def model(name: str) -> dict[str, Any]:
        check_model(name)
        return model_body(engine.name, created)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        asked = await _read(request, CompletionAsked)
        check_model(asked.model)
        try:
            prompts = asked.prompts
        except ValueError as error:
            raise RequestError(400, str(error), param="n") from error
        reply = Reply(engine.name, is_chat=False)
        single = {prompt: await guarding.prompt(reply.id, prompt, "prompt") for prompt in dict.fromkeys(prompts)}
        prompts = [single[prompt] for prompt in prompts]
        tasks = [
            Task(prompt, sampling, prompt if asked.echo else "")
            for prompt, sampling in zip(prompts, asked.samplings(), strict=True)
        ]
        return await _answer(desk, guarding, request, reply, tasks, asked)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        asked = await _read(request, ChatAsked)
        check_model(asked.model)
        reply = Reply(engine.name, is_chat=True)
        turns = await guarding.conversation(reply.id, asked.conversation())
        prompt = await to_thread.run_sync(engine.chat_prompt, turns)
        tasks = [Task(prompt, sampling) for sampling in asked.samplings(engine.context_length)]
        return await _answer(desk, guarding, request, reply, tasks, asked)

    @app.post("/v1/moderations")
    async def moderations(request: Request) -> dict[str, Any]:
        asked = await _read(request, ModerationAsked)
        return await guarding.moderation(f"modr-{secrets.token_hex(12)}", asked.texts, engine.name)

    def check_model(name: str) -> None:
        if name != engine.name:
            raise RequestError(
                404,
                f"there is no model {name!r} here, only {engine.name!r}",
                param="model",
                code="model_not_found",
            )

    return app


@dataclass(frozen=True)
class Task:
    """One text to write."""

    prompt: str
    sampling: Sampling
    echo: str = ""
    """What stands before it in the answer."""


async def _answer(
    desk: Desk,
    guarding: Guarding,
    request: Request,
    reply: Reply,
    tasks: Sequence[Task],
    asked: CompletionAsked | ChatAsked,
) -> Response:
    """Let the texts be written, and answer with them, whole or in a stream. Raises InputError for a long prompt."""
    begun = time.monotonic()
    for task in tasks:
        count = len(await to_thread.run_sync(desk.engine.encode, task.prompt))
        check_room(count, desk.engine.context_length)
        reply.prompt_tokens += count
    desk.tokens.labels("prompt").inc(reply.prompt_tokens)
    if asked.stream:
        return _Stream(desk, _events(desk, guarding, reply, tasks, asked.wants_usage, begun))
    texts = []
    async with desk.turn():
        for task in tasks:
            if (written := await _written(desk, guarding, request, reply, task, begun)) is None:
                return Response(status_code=499)  # nobody reads it
            reply.completion_tokens += sum(piece.tokens for piece in written)
            texts.append((task.echo + "".join(piece.text for piece in written), written[-1].finish or "length"))
    return JSONResponse(reply.whole(texts))


async def _written(
    desk: Desk, guarding: Guarding, request: Request, reply: Reply, task: Task, begun: float
) -> list[Piece] | None:
    """Return all pieces of a text; None where who asked for it has gone."""
    found: list[Piece] = []
    async with _guarded(desk, guarding, reply, task, begun) as pieces:
        async for piece in pieces:
            found.append(piece)
            if await request.is_disconnected():
                return None
    return found


class _Stream(StreamingResponse):
    """Events, sent while a turn is held: so who finds the desk full is told by the status, before the first byte."""

    def __init__(self, desk: Desk, events: AsyncIterator[str]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self.desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a turn, then send."""
        async with self.desk.turn():
            await super().__call__(scope, receive, send)


@contextlib.asynccontextmanager
async def _guarded(
    desk: Desk, guarding: Guarding, reply: Reply, task: Task, begun: float
) -> AsyncIterator[AsyncIterator[Piece]]:
    """Yield the pieces of a text as the guard lets them leave; the engine is let go of at the end."""
    async with (
        contextlib.aclosing(desk.write(task.prompt, task.sampling, begun)) as written,
        contextlib.aclosing(guarding.answer(reply.id, written)) as pieces,
    ):
        yield pieces


async def _events(
    desk: Desk, guarding: Guarding, reply: Reply, tasks: Sequence[Task], usage: bool, begun: float
) -> AsyncIterator[str]:
    """Yield server-sent events: a document a piece, the usage where it is wanted, and the end."""
    try:
        for index, task in enumerate(tasks):
            if reply.is_chat or task.echo:
                yield _event(reply.chunk(index, None if reply.is_chat else task.echo, None))
            async with _guarded(desk, guarding, reply, task, begun) as pieces:
                async for piece in pieces:
                    reply.completion_tokens += piece.tokens
                    if piece.text:
                        yield _event(reply.chunk(index, piece.text, None))
                    if piece.finish:
                        yield _event(reply.chunk(index, "", piece.finish))
        if usage:
            yield _event(reply.last())
    except RequestError as error:
        yield _event(error_body(error.status, str(error), error.param, error.code))
    except Exception:
        log.exception("a stream broke off")
        yield _event(error_body(500, "the server failed while it wrote", code="server_failed"))
    yield "data: [DONE]\n\n"


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"


async def _read(request: Request, kind: type[Asked]) -> Asked:
    """Read a request's JSON, checked. Raises RequestError (400) naming the value that is wrong."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("constrained", "function")))
        said = f"{place}: {first['msg']}" if place else first["msg"]
        raise RequestError(400, said, param=place.split(".")[0] or None, code=first["type"]) from error


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
        is_long = "context holds" in str(error)
        code = "context_length_exceeded" if is_long else "invalid_prompt"
        return told(400, str(error), "messages" if not is_long else None, code)

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
