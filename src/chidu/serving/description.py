"""What `/openapi.json` says: the routes, the bodies they take, and every answer they may give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

__all__ = ["describe"]

PLACE = "#/components/schemas/"
REFUSALS = {
    400: "a value that is wrong, by its name",
    401: "no valid key",
    403: "another host's name",
    404: "no such model or route",
    405: "another method",
    408: "the request did not come to its end in time",
    413: "too large",
    415: "no JSON",
    429: "too much in this minute, or too many that wait",
    500: "the engine failed",
    501: "a package is not installed, or the model is not made for this",
    502: "the model is behind an address, which does not answer as it should",
    503: "too many connections, a record that can't be written, or work that took too long",
}
TEXT = {"type": "string"}
NUMBER = {"type": "integer", "minimum": 0}


def _object(required: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": dict(required)}


USAGE = _object(dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), NUMBER))
CHOICE = _object({"index": NUMBER, "finish_reason": {"enum": ["stop", "length", "content_filter"]}})
MODEL = _object(
    {"id": TEXT, "object": {"const": "model"}, "created": NUMBER, "owned_by": TEXT, "chat": {"type": "boolean"}}
)
ANSWER = _object(
    {
        "id": TEXT,
        "object": TEXT,
        "created": NUMBER,
        "model": TEXT,
        "choices": {"type": "array", "minItems": 1, "items": CHOICE},
        "usage": USAGE,
    }
)
EVENT = _object({"data": TEXT})
"""`data` is a document of JSON; of the last event, `[DONE]`."""
OR_NONE = {"type": ["string", "null"]}
ERROR = _object({"error": _object({"message": TEXT, "type": TEXT, "param": OR_NONE, "code": OR_NONE})})
VECTORS = _object({"model": TEXT, "data": {"type": "array", "minItems": 1, "items": _object({"index": NUMBER})}})
RESULT = _object({"flagged": {"type": "boolean"}, "categories": {"type": "object"}})
VERDICTS = _object({"id": TEXT, "model": TEXT, "results": {"type": "array", "minItems": 1, "items": RESULT}})
GUARD = {"type": "array", "items": _object({"side": TEXT, "action": TEXT, "categories": {"type": "array"}})}
"""There where there is a guard: what it did about each text that was not simply let pass."""


def _application(**required: Any) -> dict[str, Any]:
    found = _object({"id": TEXT, "object": TEXT, "created": NUMBER, **required, "usage": USAGE})
    found["properties"]["guard"] = GUARD
    return found


LINES = {"first_line": NUMBER, "last_line": NUMBER}
PLACES = {**LINES, "score": {"type": "number"}}
KEPT = {**_object(PLACES), "required": list(LINES)}
"""The sentence of a headline was not ranked, and has no score."""
PASSAGE = _object({"file": TEXT, "heading": TEXT, "text": TEXT, **PLACES})
BOOLEAN = {"type": "boolean"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
SURE = {"anyOf": [SHARE, {"type": "null"}]}
CITATION = _object({"file": TEXT, "first_line": NUMBER, "last_line": NUMBER, "heading": TEXT, "quoted": TEXT})
ANSWERS = {
    "/health": ("application/json", _object({"status": {"const": "ok"}})),
    "/ready": ("application/json", _object({"status": {"const": "ok"}})),
    "/metrics": ("text/plain", TEXT),
    "/v1/models": ("application/json", _object({"data": {"type": "array", "items": MODEL}})),
    "/v1/models/{name}": ("application/json", MODEL),
    "/v1/embeddings": ("application/json", VECTORS),
    "/v1/moderations": ("application/json", VERDICTS),
    "/v1/indexes": ("application/json", _object({"data": {"type": "array", "items": _object({"id": TEXT})}})),
    "/v1/summarize": (
        "application/json",
        _application(summary=TEXT, of=NUMBER, sentences={"type": "array", "items": KEPT}),
    ),
    "/v1/translate": (
        "application/json",
        _application(translation=TEXT, source=TEXT, target=TEXT, detected=BOOLEAN, sentences=NUMBER),
    ),
    "/v1/answer": (
        "application/json",
        _application(answered=BOOLEAN, answer=TEXT, confidence=SURE, citations={"type": "array", "items": CITATION}),
    ),
    "/v1/explain": ("application/json", _application(explained=NUMBER, of=NUMBER, explanation={"type": "object"})),
    "/v1/search": (
        "application/json",
        _application(by=TEXT, passages=NUMBER, results={"type": "array", "items": PASSAGE}),
    ),
}
"""Of routes but those that OpenAI's clients ask for texts."""


def describe(app: FastAPI, bodies: Mapping[str, type[BaseModel]]) -> None:
    """Let an application describe its routes; `bodies` names what each that is sent something takes."""
    document: dict[str, Any] = {}

    def written() -> dict[str, Any]:
        if not document:
            document.update(_document(app, bodies))
        return document

    # FastAPI asks for this name.
    told: Callable[[], dict[str, Any]] = written
    app.openapi = told  # type: ignore[method-assign]


def _document(app: FastAPI, bodies: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    document: dict[str, Any] = get_openapi(title=app.title, version=app.version, routes=app.routes)
    _, schemas = models_json_schema([(body, "validation") for body in bodies.values()], ref_template=PLACE + "{model}")
    document["components"] = {
        "schemas": {**schemas["$defs"], "Error": ERROR},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    refusals = {
        str(status): {"description": why, **_content("application/json", {"$ref": PLACE + "Error"})}
        for status, why in REFUSALS.items()
    }
    for path, methods in document["paths"].items():
        for route in methods.values():
            kind, schema = ANSWERS.get(path, ("application/json", ANSWER))
            content = _content(kind, schema)
            if path in bodies:
                body = {"$ref": PLACE + bodies[path].__name__}
                route["requestBody"] = {"required": True, **_content("application/json", body)}
            if path in bodies and "stream" in bodies[path].model_fields:
                content["content"] |= {"text/event-stream": {"schema": EVENT}}
            route["responses"] = {"200": {"description": "done", **content}, **refusals}
            # Without keys, none is asked for.
            route["security"] = [{"key": []}, {}]
    return document


def _content(kind: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": {kind: {"schema": schema}}}
