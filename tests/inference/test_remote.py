"""Models behind an address: our own server is the other side, with a parrot or a model of ours in it."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from chidu.cli.serve import open_port
from chidu.errors import InputError, RemoteError
from chidu.inference import Conversation, Message, Sampling, open_embedder, open_engine
from chidu.inference.hub import HubEngine
from chidu.inference.own import OwnEngine
from chidu.serving import ServerSettings, make_app


def serving(engine: Any, embedder: Any = None) -> Iterator[str]:
    settings = ServerSettings(port=0)
    door = open_port(settings)
    server = uvicorn.Server(uvicorn.Config(make_app(engine, settings, embedder=embedder), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{door.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join(20)
    door.close()


@pytest.fixture(scope="module")
def ours(saved: Path) -> Iterator[str]:
    yield from serving(OwnEngine(saved))


def test_it_writes_what_the_other_side_does(ours: str, saved: Path) -> None:
    near, far = OwnEngine(saved), open_engine(ours)
    assert far.name == saved.name
    assert far.context_length is None
    for sampling in (
        Sampling(temperature=0, max_tokens=12),
        Sampling(max_tokens=20, seed=3, temperature=1.5, logprobs=2),
    ):
        one, other = list(near.write("the work", sampling)), list(far.write("the work", sampling))
        assert "".join(piece.text for piece in one) == "".join(piece.text for piece in other)
        assert sum(piece.tokens for piece in one) == sum(piece.tokens for piece in other)
        assert (one[-1].finish, one[-1].prompt_tokens) == (other[-1].finish, other[-1].prompt_tokens)
        for ours_, theirs in zip(
            (token for piece in one for token in piece.drawn),
            (token for piece in other for token in piece.drawn),
            strict=True,
        ):
            assert ours_.data == theirs.data
            assert ours_.logprob == theirs.logprob
    assert "".join(piece.text for piece in far.write([5, 6], Sampling(temperature=0))) == "".join(
        piece.text for piece in near.write([5, 6], Sampling(temperature=0))
    )


def test_it_weighs_what_the_other_side_does(ours: str, saved: Path) -> None:
    near, far = OwnEngine(saved).score("the work 的", 2), open_engine(ours).score("the work 的", 2)
    assert [token.data for token in near] == [token.data for token in far]
    assert [token.logprob for token in near] == [token.logprob for token in far]


def test_a_chat_and_a_schema_are_passed_on(foreign: Path) -> None:
    near = HubEngine(str(foreign))
    said = Conversation((Message("user", "hello"),))
    sampling = Sampling(temperature=0, max_tokens=10, logprobs=1)
    for address in serving(near):
        far = open_engine(address)
        one, other = list(near.write(said, sampling)), list(far.write(said, sampling))
        assert "".join(piece.text for piece in one) == "".join(piece.text for piece in other)
        assert [token.data for piece in one for token in piece.drawn] == [
            token.data for piece in other for token in piece.drawn
        ]
        drawn = dataclasses.replace(sampling, schema='{"type": "boolean"}', logprobs=None)
        assert "".join(piece.text for piece in far.write(said, drawn)).strip() in ("true", "false")
        with pytest.raises(InputError, match="refuses: the JSON schema can't be followed"):
            list(far.write(said, dataclasses.replace(drawn, schema='{"type": "frob"}')))
        with pytest.raises(InputError, match="in chats alone"):
            far.write("hello", drawn)


def test_what_the_other_side_refuses_is_said(ours: str) -> None:
    far = open_engine(ours)
    with pytest.raises(InputError, match=r"refuses: the prompt is \d+ tokens long"):
        list(far.write("的" * 100, Sampling()))
    with pytest.raises(InputError, match=r"refuses: .* was taught no chat"):
        list(far.write(Conversation((Message("user", "hi"),)), Sampling()))
    with pytest.raises(InputError, match=r"has no model 'other', but "):
        open_engine(f"{ours}#other")


def test_an_address_where_nothing_answers_is_named() -> None:
    with pytest.raises(RemoteError, match=r"http://127\.0\.0\.1:9/v1 can't be reached"):
        open_engine("http://127.0.0.1:9/v1#model")


def test_a_server_before_a_server_says_when_that_one_fails(saved: Path) -> None:
    import httpx

    other = serving(OwnEngine(saved))
    far = open_engine(next(other))
    for address in serving(far):
        body = {"model": far.name, "prompt": "the work", "temperature": 0}
        assert httpx.post(f"{address}/completions", json=body).status_code == 200
        long = httpx.post(f"{address}/completions", json={**body, "prompt": "的" * 100})
        assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert next(other, None) is None
        for streams in (False, True):
            gone = httpx.post(f"{address}/completions", json={**body, "stream": streams}, timeout=60)
            assert (gone.status_code, gone.json()["error"]["code"]) == (502, "upstream_failed")


def test_vectors_come_from_there_too(saved: Path) -> None:
    near = open_embedder("e5")
    for address in serving(OwnEngine(saved), near):
        far = open_embedder(f"{address}#e5")
        assert far.dimension == 384
        one, other = near.embed(["the work", "工作"]), far.embed(["the work", "工作"])
        assert np.abs(one.vectors - other.vectors).max() < 1e-6
        assert one.tokens == other.tokens
        with pytest.raises(InputError, match=r"has 2 models: name one"):
            open_embedder(address)
        with pytest.raises(InputError, match="text 1 is empty"):
            far.embed([" "])
    assert math.isclose(float(np.linalg.norm(other.vectors[0])), 1, abs_tol=1e-5)
