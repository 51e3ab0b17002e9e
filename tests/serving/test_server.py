"""The server as OpenAI's own client and plain HTTP see it: answers, streams, refusals, and who goes away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from parrot import Parrot

from chidu.errors import SettingError
from chidu.inference import open_embedder
from chidu.inference.hub import HubEngine
from chidu.inference.own import OwnEngine
from chidu.serving import Key, ServerSettings
from chidu.serving.settings import read_keys

Serve = Callable[..., str]
KEY = "a-key-of-some-length-1"


def client(address: str, key: str = "any") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.01)


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


def test_a_text_is_completed(serve: Serve, parrot: Parrot) -> None:
    asked = client(serve(parrot))
    found = asked.completions.create(model="parrot", prompt="one two three", max_tokens=10)
    assert found.choices[0].text == "one two three "
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (3, 3, 6)
    cut = asked.completions.create(model="parrot", prompt="one two three", max_tokens=2)
    assert (cut.choices[0].text, cut.choices[0].finish_reason) == ("one two ", "length")
    echo = asked.completions.create(model="parrot", prompt=["a b", "c"], n=2, echo=True, max_tokens=5)
    assert [choice.text for choice in echo.choices] == ["a ba b ", "a ba b ", "cc ", "cc "]
    assert [choice.index for choice in echo.choices] == [0, 1, 2, 3]


def test_a_chat_is_answered_whole_and_in_a_stream(serve: Serve, parrot: Parrot) -> None:
    asked = client(serve(parrot))
    turns: Any = [{"role": "user", "content": [{"type": "text", "text": "你好"}]}]
    whole = asked.chat.completions.create(model="parrot", messages=turns)
    assert whole.choices[0].message.content == "user: 你好 "
    stream = asked.chat.completions.create(
        model="parrot", messages=turns, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "user: 你好 "
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2
    assert len({chunk.id for chunk in chunks}) == 1


def test_our_own_model_is_served(serve: Serve, saved: Path) -> None:
    asked = client(serve(OwnEngine(saved)))
    assert [model.id for model in asked.models.list()] == ["model"]
    assert asked.models.retrieve("model").owned_by == "chidu"
    how: Any = {"model": "model", "prompt": "the work", "max_tokens": 12, "seed": 3}
    one, two = (asked.completions.create(**how) for _ in range(2))
    assert one.choices[0].text == two.choices[0].text
    streamed = "".join(chunk.choices[0].text for chunk in asked.completions.create(**how, stream=True))
    assert streamed == one.choices[0].text
    with pytest.raises(openai.BadRequestError, match="was taught no chat"):
        asked.chat.completions.create(model="model", messages=[{"role": "user", "content": "hi"}])


def test_completions_tell_what_their_tokens_weigh(serve: Serve, parrot: Parrot) -> None:
    asked = client(serve(parrot))
    how: Any = {"model": "parrot", "prompt": "one 二", "logprobs": 2}
    told = asked.completions.create(**how).choices[0].logprobs
    assert told is not None
    assert told.tokens == ["one ", "二 "]
    assert told.token_logprobs == [-1.0, -2.0]
    assert told.top_logprobs == [
        {"the0 ": -0.1, "the1 ": -1.1, "one ": -1.0},
        {"the0 ": -0.1, "the1 ": -1.1, "二 ": -2.0},
    ]
    assert told.text_offset == [0, 4]
    echoed = asked.completions.create(**how, echo=True).choices[0]
    assert echoed.text == "one 二 one 二 "
    assert echoed.logprobs is not None
    assert echoed.logprobs.token_logprobs == [None, -2.0, -1.0, -2.0]
    assert echoed.logprobs.top_logprobs is not None
    assert echoed.logprobs.top_logprobs[0] is None
    assert echoed.logprobs.text_offset == [0, 4, 6, 10]
    alone = asked.completions.create(**how, echo=True, max_tokens=0)
    assert (alone.choices[0].text, alone.choices[0].finish_reason) == ("one 二 ", "length")
    assert alone.usage is not None
    assert (alone.usage.prompt_tokens, alone.usage.completion_tokens) == (2, 0)
    assert asked.completions.create(model="parrot", prompt="a b", logprobs=0).choices[0].logprobs is not None
    assert asked.completions.create(model="parrot", prompt="a b").choices[0].logprobs is None
    chunks = [chunk.choices[0] for chunk in asked.completions.create(**how, echo=True, stream=True)]
    assert "".join(chunk.text for chunk in chunks) == echoed.text
    parts = [chunk.logprobs for chunk in chunks if chunk.logprobs is not None]
    for name in ("tokens", "token_logprobs", "text_offset"):
        assert [each for part in parts for each in getattr(part, name)] == getattr(echoed.logprobs, name)


def test_chats_tell_what_their_tokens_weigh(serve: Serve, parrot: Parrot) -> None:
    asked = client(serve(parrot))
    how: Any = {"model": "parrot", "messages": [{"role": "user", "content": "二"}], "logprobs": True}
    told = asked.chat.completions.create(**how, top_logprobs=1).choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert [(each.token, each.logprob, bytes(each.bytes or [])) for each in told.content] == [
        ("user: ", -1.0, b"user: "), ("二 ", -2.0, "二 ".encode())
    ]  # fmt: skip
    assert [[other.token for other in each.top_logprobs] for each in told.content] == [["the0 "], ["the0 "]]
    streamed = [
        each.token
        for chunk in asked.chat.completions.create(**how, stream=True)
        if chunk.choices[0].logprobs is not None
        for each in chunk.choices[0].logprobs.content or []
    ]
    assert streamed == ["user: ", "二 "]
    with pytest.raises(openai.BadRequestError, match="without logprobs"):
        asked.chat.completions.create(**{**how, "logprobs": False}, top_logprobs=1)


def test_what_is_wrong_is_said_of_the_kind_that_was_sent(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot)

    def said(**change: Any) -> str:
        asked = {"model": "parrot", "prompt": "a", **change}
        return str(httpx.post(f"{address}/v1/completions", json=asked).json()["error"]["message"])

    assert "at least 1 character" in said(stop=[""])
    assert "at most 4 items" in said(stop=["a"] * 4000)
    assert "at least 1 item" in said(prompt=[])
    assert said(suffix="x") == "suffix is not supported here: leave it out"


def test_a_prompt_may_come_as_tokens(serve: Serve, parrot: Parrot, saved: Path) -> None:
    asked = client(serve(parrot))
    one = asked.completions.create(model="parrot", prompt=[3, 1], echo=True)
    assert one.choices[0].text == "w3 w1 w3 w1 "
    two = asked.completions.create(model="parrot", prompt=[[3], [1, 2]])
    assert [choice.text for choice in two.choices] == ["w3 ", "w1 w2 "]
    assert two.usage is not None
    assert two.usage.prompt_tokens == 3
    own = client(serve(OwnEngine(saved)))
    with pytest.raises(openai.BadRequestError, match="100000 is no token of this model"):
        own.completions.create(model="model", prompt=[100_000])


def test_an_answer_fits_its_schema(serve: Serve, foreign: Path) -> None:
    asked = client(serve(HubEngine(str(foreign))))
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    how: Any = {"model": foreign.name, "messages": [{"role": "user", "content": "hi"}], "seed": 1}
    named = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    found = asked.chat.completions.create(**how, response_format=named).choices[0]
    assert found.finish_reason == "stop"
    assert json.loads(found.message.content or "")["a"] in (True, False)
    streamed = "".join(
        chunk.choices[0].delta.content or ""
        for chunk in asked.chat.completions.create(**how, response_format=named, stream=True)
    )
    assert streamed == found.message.content
    wrong = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "frob"}}}
    for streams in (False, True):
        with pytest.raises(openai.BadRequestError, match="the JSON schema can't be followed"):
            asked.chat.completions.create(**how, response_format=wrong, stream=streams)
    with pytest.raises(openai.BadRequestError, match="response_format"):
        asked.chat.completions.create(**how, response_format={"type": "json_schema"})


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"tools": []}, "tools"),
        ({"seed": 2**70}, "seed"),
        ({"logprobs": 6}, "logprobs"),
        ({"suffix": "x"}, "suffix"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"colour": "red"}, "colour"),
        ({"model": 3}, "model"),
        ({"prompt": ["a"] * 10, "n": 5}, "n"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_400_and_named(serve: Serve, parrot: Parrot, change: dict[str, Any], param: str) -> None:
    asked = {"model": "parrot", "prompt": "a", **change}
    answer = httpx.post(f"{serve(parrot)}/v1/completions", json=asked)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"model": "parrot", "messages": []}', 400),
        (b'{"model": "parrot", "messages": [{"role": "user", "content": ""}]}', 400),
        (b'{"model": "parrot", "messages": [{"role": "tool", "content": "x"}]}', 400),
        (b'{"model": "parrot", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', 400),
        (b'{"model": "parrot", "temperature": NaN, "messages": [{"role": "user", "content": "x"}]}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 100_000, 400),
        (b'{"model": "other", "messages": [{"role": "user", "content": "x"}]}', 404),
        (b'{"model": "parrot", "messages": [{"role": "user", "content": "' + b"x " * 100 + b'"}]}', 400),
        (b"x" * 2_000_000, 413),
        (b"\xff\xfe{}", 400),
    ],
)  # fmt: skip
def test_whatever_is_sent_has_a_proper_status(serve: Serve, parrot: Parrot, body: bytes, status: int) -> None:
    answer = httpx.post(
        f"{serve(parrot)}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_long_prompt_is_400_with_the_numbers(serve: Serve, parrot: Parrot) -> None:
    with pytest.raises(openai.BadRequestError, match="100 tokens long; the model's context holds 64") as caught:
        client(serve(parrot)).completions.create(model="parrot", prompt="x " * 100)
    assert caught.value.code == "context_length_exceeded"


def test_other_routes_and_methods_have_openais_shape(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot)
    assert httpx.get(f"{address}/v1/nothing").status_code == 404
    assert httpx.get(f"{address}/v1/completions").status_code == 405
    assert "error" in httpx.get(f"{address}/v1/completions").json()
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4' here, only 'parrot'"):
        client(address).completions.create(model="gpt-4", prompt="a")
    assert httpx.post(f"{address}/v1/completions", content=b"a=b").status_code == 415


def test_keys_guard_every_route_but_health(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot, keys=(Key("one", KEY), Key("two", KEY[::-1])))
    assert client(address, KEY).models.list().data[0].id == "parrot"
    assert client(address, KEY[::-1]).models.list().data[0].id == "parrot"
    with pytest.raises(openai.AuthenticationError) as caught:
        client(address, "wrong").models.list()
    assert caught.value.code == "invalid_api_key"
    for path in ("/v1/models", "/metrics", "/openapi.json", "/v1/nothing"):
        assert httpx.get(address + path).status_code == 401, path
    assert httpx.get(f"{address}/health").json() == {"status": "ok"}
    assert httpx.get(f"{address}/ready").status_code == 200


def test_another_hosts_name_is_refused(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot)
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        assert httpx.get(f"{address}/v1/models", headers={"Host": host}).status_code in (400, 403), host
    assert httpx.get(f"{address}/v1/models", headers={"Host": "localhost:1"}).status_code == 200


def test_every_answer_has_the_headers(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot)
    asked = [("/v1/models", "localhost"), ("/x", "localhost"), ("/", "elsewhere")]
    for answer in [httpx.get(address + path, headers={"Host": host}) for path, host in asked]:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_texts_are_written_side_by_side_and_the_rest_waits_or_is_sent_away(serve: Serve) -> None:
    slow = Parrot(pause=0.05)
    address = serve(slow, at_once=2, waiting=2)
    statuses: list[int] = []

    def ask() -> None:
        body = {"model": "parrot", "prompt": "a b c d e f", "max_tokens": 6}
        answer = httpx.post(f"{address}/v1/completions", json=body, timeout=30)
        statuses.append(answer.status_code)
        if answer.status_code == 429:
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["error"]["type"] == "rate_limit_error"
        else:
            assert answer.json()["choices"][0]["text"] == "a b c d e f "

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 4 + [429] * 4
    assert slow.most == 2
    said = httpx.get(f"{address}/metrics").text
    assert 'chidu_refusals_total{status="429"} 4.0' in said
    assert 'chidu_tokens_total{kind="completion"} 24.0' in said
    assert "chidu_first_token_seconds_count 4.0" in said
    assert "chidu_waiting_requests 0.0" in said


@pytest.mark.parametrize("streams", [True, False])
def test_who_goes_away_frees_the_turn(serve: Serve, streams: bool) -> None:
    slow = Parrot(pause=0.05)
    address = serve(slow, at_once=1, waiting=0)
    body = {"model": "parrot", "prompt": "a " * 30, "max_tokens": 30, "stream": streams}
    if streams:
        with httpx.stream("POST", f"{address}/v1/completions", json=body) as answer:
            next(answer.iter_bytes())
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/completions", json=body, timeout=0.3)
    wait_for(lambda: slow.writing == 0)
    assert slow.closed == 1
    wait_for(lambda: httpx.post(f"{address}/v1/completions", json={**body, "max_tokens": 1}).status_code == 200)


def test_a_text_that_takes_too_long_ends(serve: Serve) -> None:
    found = client(serve(Parrot(pause=0.05), seconds=0.12)).completions.create(
        model="parrot", prompt="a " * 50, max_tokens=50
    )
    assert found.choices[0].finish_reason == "length"
    assert 1 <= len(found.choices[0].text.split()) < 10


def test_an_engine_that_fails_is_a_500_without_a_trace(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot)
    parrot.fails_at = 0
    body = {"model": "parrot", "prompt": "a b c"}
    for streams in (False, True):
        answer = httpx.post(f"{address}/v1/completions", json={**body, "stream": streams})
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "server_failed"
        assert "dead" not in answer.text
    parrot.fails_at = 1
    with httpx.stream("POST", f"{address}/v1/completions", json={**body, "stream": True}) as stream:
        lines = [line for line in stream.iter_lines() if line]
    assert json.loads(lines[0].removeprefix("data: "))["choices"][0]["text"] == "a "
    assert json.loads(lines[-2].removeprefix("data: "))["error"]["code"] == "server_failed"
    assert lines[-1] == "data: [DONE]"
    parrot.fails_at = None
    assert httpx.post(f"{address}/v1/completions", json=body).status_code == 200


def test_no_other_machine_without_keys() -> None:
    for host in ("0.0.0.0", "10.0.0.1", "::", "example.org"):
        with pytest.raises(SettingError, match="there are no keys: give --keys FILE"):
            ServerSettings(host=host)
        assert ServerSettings(host=host, keys=(Key("one", KEY),)).host == host
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        assert ServerSettings(host=host).is_local
    for wrong in ({"port": 70_000}, {"at_once": 0}, {"waiting": -1}, {"seconds": 0.0}, {"body_bytes": 0}):
        with pytest.raises(SettingError):
            ServerSettings(**wrong)


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# ours\n{KEY}\n\n  ann: {KEY[::-1]}  \n")
    assert read_keys(path) == (Key("key1", KEY), Key("ann", KEY[::-1]))
    assert KEY not in repr(read_keys(path))
    for content in ("", "# none\n", "short\n", f"{KEY} and more\n", "é" * 20, f"a b: {KEY}\n", "ann:\n"):
        path.write_text(content)
        with pytest.raises(SettingError, match="--keys"):
            read_keys(path)
    with pytest.raises(SettingError, match="can't be read"):
        read_keys(tmp_path / "nowhere")


def test_vectors_are_made_as_openais_client_asks_for_them(serve: Serve, parrot: Parrot) -> None:
    e5 = open_embedder("e5")
    asked = client(serve(parrot, embedder=e5))
    assert [model.id for model in asked.models.list()] == ["parrot", "e5"]
    expected = e5.embed(["one", "二"]).vectors
    for how in ({}, {"encoding_format": "float"}):
        found = asked.embeddings.create(model="e5", input=["one", "二"], **how)  # type: ignore[arg-type]
        assert [each.embedding for each in found.data] == [pytest.approx(row.tolist(), abs=1e-6) for row in expected]
        assert found.usage.prompt_tokens == e5.embed(["one", "二"]).tokens
    question = asked.embeddings.create(model="e5", input="one", extra_body={"input_type": "query"})
    assert question.data[0].embedding == pytest.approx(e5.embed(["one"], "query").vectors[0].tolist(), abs=1e-6)
    for wrong, said in (
        ({"model": "parrot"}, "no model 'parrot' here, only 'e5'"),
        ({"input": []}, "input"),
        ({"input": ""}, "text 1 is empty"),
        ({"input": [1, 2]}, "input"),
        ({"input": "的" * 2000}, r"context holds 512"),
        ({"dimensions": 100}, "have 384 dimensions"),
    ):
        with pytest.raises(openai.APIStatusError, match=said):
            asked.embeddings.create(**{"model": "e5", "input": "one", **wrong})  # type: ignore[arg-type]
    with pytest.raises(openai.NotFoundError, match="start it with --embedder"):
        client(serve(parrot)).embeddings.create(model="e5", input="one")
