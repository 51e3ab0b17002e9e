"""What a client may not do: ask too often or for too much, be slow, never read, open too many connections."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parrot import Parrot
from test_server import client, wait_for

from chidu.errors import SettingError
from chidu.serving import Key, ServerSettings
from chidu.serving.gate import depth
from chidu.serving.settings import read_file

Serve = Callable[..., str]
KEYS = (Key("ann", "the-key-of-ann-1"), Key("bob", "the-key-of-bob-1"))
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


def test_each_key_has_its_requests_of_a_minute(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot, keys=KEYS, requests_per_minute=2)
    ann, bob = (client(address, key.secret) for key in KEYS)
    for left in ("1", "0"):
        answer = ann.completions.with_raw_response.create(model="parrot", prompt="a")
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
        assert answer.headers["x-ratelimit-remaining-requests"] == left
        assert re.fullmatch(r"[\d.]+s", answer.headers["x-ratelimit-reset-requests"])
        assert "x-ratelimit-limit-tokens" not in answer.headers
    with pytest.raises(openai.RateLimitError, match="ann has 0 of 2 requests left in this minute") as caught:
        ann.completions.create(model="parrot", prompt="a")
    assert caught.value.code == "rate_limit_exceeded"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
    assert bob.completions.create(model="parrot", prompt="a").choices[0].text == "a "
    assert ann.models.list().data[0].id == "parrot"  # it is counted what makes work
    said = httpx.get(f"{address}/metrics", headers={"Authorization": f"Bearer {KEYS[1].secret}"}).text
    assert 'chidu_caller_requests_total{caller="ann"} 2.0' in said
    assert 'chidu_caller_tokens_total{caller="ann"} 4.0' in said
    assert not any(key.secret in said for key in KEYS)


@pytest.mark.parametrize("streams", [True, False])
def test_tokens_are_set_aside_and_what_is_not_used_given_back(serve: Serve, parrot: Parrot, streams: bool) -> None:
    address = serve(parrot, tokens_per_minute=20)
    body = {"model": "parrot", "prompt": "a b", "max_tokens": 10, "stream": streams}
    answers = [httpx.post(f"{address}/v1/completions", json=body) for _ in range(4)]
    # Each may need 10 and needs 4: when the third has ended there are 8 left.
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["x-ratelimit-remaining-tokens"] == "10"
    assert answers[2].headers["x-ratelimit-remaining-tokens"] == "2"
    assert answers[3].headers["x-ratelimit-remaining-tokens"] == "8"
    assert "this needs 10: try again in" in answers[3].json()["error"]["message"]
    large = httpx.post(f"{address}/v1/completions", json={**body, "max_tokens": 30})
    assert large.json()["error"]["code"] == "request_too_large"
    assert "retry-after" not in large.headers


def test_tokens_beyond_the_guess_are_counted(serve: Serve, parrot: Parrot) -> None:
    """Before it is read, a prompt's tokens are guessed from its bytes: these words are a byte each."""
    address = serve(parrot, tokens_per_minute=30)
    body = {"model": "parrot", "prompt": "a " * 20, "max_tokens": 2}
    assert httpx.post(f"{address}/v1/completions", json=body).headers["x-ratelimit-remaining-tokens"] == "18"
    assert httpx.post(f"{address}/v1/completions", json=body).status_code == 429


def test_no_text_is_longer_than_the_server_writes(serve: Serve, parrot: Parrot) -> None:
    asked = client(serve(parrot, max_tokens=3))
    with pytest.raises(openai.BadRequestError, match="max_tokens is 4; this server writes at most 3"):
        asked.completions.create(model="parrot", prompt="a b c d e", max_tokens=4)
    turns: Any = [{"role": "user", "content": "b c d e"}]
    assert asked.chat.completions.create(model="parrot", messages=turns).choices[0].message.content == "user: b c "


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab[]{}"\\,: 你'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='a[]{}"\\'), inner, max_size=3),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(JSON, st.integers(65, 80), st.booleans())
def test_depth_is_that_of_the_value(value: Any, more: int, ascii_only: bool) -> None:
    for _ in range(more):
        value = [value]
    assert depth(json.dumps(value, ensure_ascii=ascii_only).encode()) == depth_of(value)


def test_deep_json_is_refused_and_wide_json_is_not(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot)
    for deep in (b"[" * 65, b'{"a":' * 500_000 + b"1" + b"}" * 500_000):
        answer = httpx.post(f"{address}/v1/completions", content=deep, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400 if len(deep) < 2**20 else 413
    answer = httpx.post(f"{address}/v1/completions", json={"model": "parrot", "prompt": [["["] * 65]})
    assert answer.json()["error"]["code"] != "too_deep"
    answer = httpx.post(f"{address}/v1/completions", content=b"[" * 65, headers={"Content-Type": "application/json"})
    assert answer.json()["error"]["code"] == "too_deep"


def raw(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def heard(client_socket: socket.socket) -> tuple[int, dict[str, Any]]:
    """Return the status and document of an answer after which the server closes."""
    said = b""
    while part := client_socket.recv(65536):
        said += part
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("begun", "more", "says"),
    [
        (b"", b"", "head of a request did not come"),
        (b"POST /v1/completions HTTP/1.1\r\nHost: local", b"h", "head of a request did not come"),
        (HEAD + b"Content-Length: 100\r\n\r\n{", b" ", "the body did not come within 0.5 s"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", "the body did not come within 0.5 s"),
    ],
)
def test_a_slow_client_is_sent_away(serve: Serve, parrot: Parrot, begun: bytes, more: bytes, says: str) -> None:
    """It sends a byte now and then, and never comes to an end."""
    with raw(serve(parrot, read_seconds=0.5)) as slow:
        slow.sendall(begun)
        for _ in range(8):
            time.sleep(0.05)
            slow.sendall(more)
        status, document = heard(slow)
    assert status == 408
    assert document["error"]["code"] == "request_timeout"
    assert says in document["error"]["message"]


def is_closed(client_socket: socket.socket) -> bool:
    """Send a byte; True where the other side has closed, and does not take it any more."""
    try:
        client_socket.sendall(b" ")
    except OSError:
        return True
    time.sleep(0.05)
    return False


def test_a_body_that_goes_on_after_its_answer_holds_nothing(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot, read_seconds=0.5, connections=1)
    with raw(address) as slow:
        slow.sendall(b"POST /v1/nothing HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: 100\r\n\r\n")
        assert slow.recv(65536).startswith(b"HTTP/1.1 403")
        wait_for(lambda: is_closed(slow))
    wait_for(lambda: httpx.get(f"{address}/health").status_code == 200)


def test_who_never_reads_frees_the_turn(serve: Serve) -> None:
    loud = Parrot()
    loud.context_length = 10**6
    address = serve(loud, at_once=1, read_seconds=0.5, body_bytes=2**24)
    body = json.dumps({"model": "parrot", "prompt": "word " * 90_000, "max_tokens": 90_000, "stream": True}).encode()
    with raw(address) as deaf:
        deaf.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: loud.writing == 1)
        wait_for(lambda: loud.closed == 1)
        ended = httpx.post(f"{address}/v1/completions", json={"model": "parrot", "prompt": "a"})
        assert ended.status_code == 200


def test_so_many_connections_and_no_more(serve: Serve, parrot: Parrot) -> None:
    address = serve(parrot, connections=2)
    with raw(address), raw(address) as second:
        second.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert second.recv(65536).startswith(b"HTTP/1.1 200")
        with raw(address) as third:
            status, document = heard(third)
        assert (status, document["error"]["code"]) == (503, "server_busy")
    wait_for(lambda: httpx.get(f"{address}/health").status_code == 200)
    said = httpx.get(f"{address}/metrics").text
    assert 'chidu_refusals_total{status="503"} 1.0' in said
    assert "process_resident_memory_bytes" in said


def test_what_is_no_http_is_400_in_openais_shape(serve: Serve, parrot: Parrot) -> None:
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000):
        with raw(serve(parrot)) as other:
            other.sendall(garbage)
            status, document = heard(other)
        assert (status, document["error"]["code"]) == (400, "invalid_http"), garbage[:20]


def talking(*how: float) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "talking.py", *map(str, how)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_sigterm_lets_answers_end_and_takes_no_new_ones() -> None:
    process, address = talking(0.1, 2, 20)
    answers: list[httpx.Response] = []

    def ask(streams: bool) -> None:
        body = {"model": "parrot", "prompt": "a b c d e f g h", "max_tokens": 8, "stream": streams}
        answers.append(httpx.post(f"{address}/v1/completions", json=body, timeout=30))

    # Two are written, two wait: all four were taken.
    threads = [threading.Thread(target=ask, args=(streams,)) for streams in (True, False, True, False)]
    for thread in threads:
        thread.start()
    wait_for(lambda: "chidu_waiting_requests 2.0" in httpx.get(f"{address}/metrics").text)
    process.send_signal(signal.SIGTERM)

    def refuses() -> bool:
        try:
            httpx.get(f"{address}/health")
        except httpx.TransportError:
            return True
        return False

    wait_for(refuses)
    assert len(answers) < 4, "it did not refuse before the answers in flight were done"
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 4
    for answer in answers:
        if answer.headers["content-type"].startswith("text/event-stream"):
            assert answer.text.endswith("data: [DONE]\n\n")
            assert '"h "' in answer.text
        else:
            assert answer.json()["choices"][0]["text"] == "a b c d e f g h "
    assert process.wait(20) == -signal.SIGTERM
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_settings_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    (tmp_path / "keys").write_text(f"ann: {KEYS[0].secret}\n")
    path.write_text('model = "m"\nhost = "0.0.0.0"\nkeys = "keys"\nseconds = 60\nrequests_per_minute = 60\n')
    said = read_file(path)
    assert said.pop("model") == "m"
    settings = ServerSettings(**said)
    assert (settings.seconds, settings.keys) == (60, KEYS[:1])
    assert str(settings) == "keys of ann, 60 requests per minute"
    for content, why in [
        ("request_per_minute = 1", "did you mean 'requests_per_minute'"),
        ("port = '80'", "it must be of type int"),
        ("port = true", "it must be of type int"),
        ("port =", "can't be read"),
        ("keys = 'nowhere'", "can't be read"),
    ]:
        path.write_text(content)
        with pytest.raises(SettingError, match=why):
            read_file(path)
    with pytest.raises(SettingError, match="can't be read"):
        read_file(tmp_path / "nowhere")
    for wrong in ({"max_tokens": -1}, {"read_seconds": 0.0}, {"connections": 0}, {"keys": (KEYS[0], KEYS[0])}):
        with pytest.raises(SettingError):
            ServerSettings(**wrong)
