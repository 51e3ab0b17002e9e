"""The server is as `/openapi.json` describes it: requests drawn from the description, right and wrong, by schemathesis.

Every answer has a status, a type and a shape that are described, and none is a failure of the server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from parrot import Parrot
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from chidu.serving.applications import APPLICATIONS

Serve = Callable[..., str]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def send(cases: Any, examples: int, is_right: bool, statuses: dict[int, int]) -> None:
    """Send so many requests, and count the statuses that come."""

    @given(case=cases)
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def ask(case: Any) -> None:
        # A name of the model is any text by the description; so that more than that is looked at, it is right.
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            if case.path not in APPLICATIONS:
                case.body["model"] = "parrot"
            elif is_right:  # they do without
                del case.body["model"]
        answer = case.call()
        # A body that is too large is refused for that, whatever it holds; schemathesis knows no 413. A parrot can't be
        # looked into, and does not translate: that is a described 501, no failure.
        passed = {413: negative_data_rejection, 501: not_a_server_error}.get(answer.status_code)
        checks = [each for each in CHECKS if each is not passed]
        case.validate_response(answer, checks=checks)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    ask()


def examine(address: str, examples: int) -> dict[int, int]:
    """Send so many requests to each route, as many again that are wrong; return how often each status came."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    statuses: dict[int, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (
            (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if operation.body else (GenerationMode.POSITIVE,)
        ):
            send(operation.as_strategy(generation_mode=mode), examples, mode is GenerationMode.POSITIVE, statuses)
    return statuses


def test_bodies_and_errors_are_described(serve: Serve) -> None:
    document = httpx.get(f"{serve(Parrot())}/openapi.json").json()
    for path in ("/v1/completions", "/v1/chat/completions"):
        route = document["paths"][path]["post"]
        name = route["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        schema = document["components"]["schemas"][name]
        assert "temperature" in schema["properties"]
        assert schema["additionalProperties"] is False
        assert {"200", "400", "401", "413", "429", "500"} <= set(route["responses"])


def test_the_server_is_as_described(serve: Serve) -> None:
    statuses = examine(serve(Parrot()), 25)
    assert statuses[200] > 20
    assert statuses[400] > 20


@pytest.mark.verify
def test_the_server_is_as_described_at_length(serve: Serve) -> None:
    statuses = examine(serve(Parrot()), 400)
    assert statuses[200] > 200
    assert statuses[400] > 200
