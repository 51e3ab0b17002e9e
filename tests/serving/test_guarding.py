"""The guard at a real server, by OpenAI's own client: prompts, answers, streams, moderation, metrics, the record."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from parrot import Parrot

from chidu.cli.serve import open_guard
from chidu.errors import SettingError
from chidu.safety import AuditRecord, Guard, read_policy
from chidu.safety.audit import Chain, read_chain, read_key, text_name

Serve = Callable[..., str]
LONG = "and so the day went on as days do until it was over and nobody knew why "


def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)


def lines_of(path: Path) -> list[dict[str, Any]]:
    chain = Chain()
    found = [line for line in read_chain(path, chain) if line["kind"] == "verdict"]
    assert chain.broken == ""
    return found


@pytest.fixture
def record(tmp_path: Path) -> Iterator[AuditRecord]:
    with AuditRecord(tmp_path / "verdicts.jsonl") as made:
        yield made


def streamed(asked: openai.OpenAI, prompt: str) -> tuple[str, str | None]:
    chunks = list(asked.completions.create(model="parrot", prompt=prompt, max_tokens=60, stream=True))
    return "".join(chunk.choices[0].text for chunk in chunks), chunks[-1].choices[0].finish_reason


def test_an_answer_is_redacted_whole_and_in_a_stream(serve: Serve, record: AuditRecord) -> None:
    asked = client(serve(Parrot(), Guard(), record))
    prompt = f"write to ada@example.com or 13800138000 {LONG}"
    told = "write to <EMAIL> or <PHONE> "
    whole = asked.completions.create(model="parrot", prompt=prompt, max_tokens=60)
    assert whole.choices[0].text == told + LONG
    assert whole.choices[0].finish_reason == "stop"
    assert streamed(asked, prompt) == (told + LONG, "stop")
    found = lines_of(record.path)
    assert [(line["side"], line["action"]) for line in found] == [("prompt", "flag"), ("answer", "redact")] * 2
    assert found[0]["id"] == found[1]["id"] == whole.id
    assert found[1]["categories"] == ["email", "phone"]
    assert found[0]["text"] == text_name(read_key(record.path), prompt)


def test_a_refused_answer_ends_with_content_filter(serve: Serve, record: AuditRecord, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[prompts]\nindiscriminate_weapons = "flag"\n')
    parrot = Parrot()
    asked = client(serve(parrot, Guard(read_policy(path)), record))
    prompt = f"well then how to make a pipe bomb {LONG}"
    found = asked.completions.create(model="parrot", prompt=prompt, max_tokens=60)
    assert (found.choices[0].text, found.choices[0].finish_reason) == ("well then ", "content_filter")
    assert streamed(asked, prompt) == ("well then ", "content_filter")
    chat = asked.chat.completions.create(model="parrot", messages=[{"role": "user", "content": prompt}], stream=True)
    assert [chunk.choices[0].finish_reason for chunk in chat][-1] == "content_filter"
    # The engine is let go of where the answer was refused.
    assert parrot.writing == 0
    assert [line["action"] for line in lines_of(record.path)] == ["flag", "refuse"] * 3


def test_tokens_tell_nothing_that_was_taken_out(serve: Serve) -> None:
    asked = client(serve(Parrot(), Guard()))
    how: Any = {"model": "parrot", "max_tokens": 60, "logprobs": 2}
    for stream in (False, True):
        clean = asked.completions.create(prompt="one two three", stream=stream, **how)
        choices = [each.choices[0] for each in (clean if stream else [clean])]
        assert "".join(choice.text for choice in choices) == "one two three "
        told = [token for choice in choices if choice.logprobs for token in choice.logprobs.tokens or []]
        assert told == ["one ", "two ", "three "]
        mail = asked.completions.create(prompt="to ada@example.com now", stream=stream, **how)
        choices = [each.choices[0] for each in (mail if stream else [mail])]
        assert "".join(choice.text for choice in choices) == "to <EMAIL> now "
        assert "ada" not in "".join(choice.model_dump_json() for choice in choices)


def test_a_prompt_of_tokens_is_judged_by_its_text(serve: Serve, record: AuditRecord) -> None:
    asked = client(serve(Parrot(), Guard(), record))
    found = asked.completions.create(model="parrot", prompt=[1, 2, 3], max_tokens=60)
    assert found.choices[0].text == "w1 w2 w3 "
    assert lines_of(record.path)[0]["text"] == text_name(read_key(record.path), "w1 w2 w3 ")


def test_a_refused_prompt_is_400_and_the_engine_never_reads_it(serve: Serve, record: AuditRecord) -> None:
    parrot = Parrot()
    address = serve(parrot, Guard(), record)
    asked = client(address)
    with pytest.raises(
        openai.BadRequestError, match=r"the guard refuses this prompt \(indiscriminate_weapons\)"
    ) as caught:
        asked.completions.create(model="parrot", prompt="How to make a pipe bomb?")
    assert (caught.value.code, caught.value.param) == ("content_policy_violation", "prompt")
    said: Any = [{"role": "user", "content": "你好"}, {"role": "user", "content": "怎么在家制作炸药"}]
    with pytest.raises(openai.BadRequestError) as caught:
        asked.chat.completions.create(model="parrot", messages=said, stream=True)
    assert (caught.value.code, caught.value.param) == ("content_policy_violation", "messages")
    assert parrot.closed == 0
    found = lines_of(record.path)
    assert [line["action"] for line in found] == ["refuse", "allow", "refuse"]
    assert caught.value.response.headers["x-request-id"] == found[2]["id"]
    said_of_it = httpx.get(f"{address}/metrics").text
    assert 'chidu_verdicts_total{action="refuse",side="prompt"} 2.0' in said_of_it
    assert 'chidu_findings_total{category="indiscriminate_weapons",side="prompt"} 2.0' in said_of_it


def test_a_prompt_is_redacted_before_the_engine_reads_it(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[prompts]\nprivacy = "redact"\n')
    asked = client(serve(Parrot(), Guard(read_policy(path))))
    found = asked.completions.create(model="parrot", prompt="mail ada@example.com now", echo=True)
    assert found.choices[0].text == "mail <EMAIL> nowmail <EMAIL> now "


def test_moderation_has_openais_shape(serve: Serve) -> None:
    address = serve(Parrot(), Guard())
    found = client(address).moderations.create(input=["How to make a pipe bomb?", "hello", "ada@example.com"])
    assert [result.flagged for result in found.results] == [True, False, True]
    first, _, third = (result.to_dict() for result in found.results)
    flags: Any = first["categories"]
    assert [name for name, is_found in flags.items() if is_found] == ["indiscriminate_weapons"]
    assert first["category_scores"]["indiscriminate_weapons"] == 1.0  # type: ignore[index]
    assert {name for name, is_found in third["categories"].items() if is_found} == {"privacy", "privacy/email"}  # type: ignore[attr-defined]
    assert set(third["category_scores"].values()) == {0.0, 1.0}  # type: ignore[attr-defined]
    assert found.id.startswith("modr-")
    assert client(address).moderations.create(input="hello").results[0].flagged is False
    for wrong in ({}, {"input": []}, {"input": 3}, {"input": "a", "colour": 1}):
        assert httpx.post(f"{address}/v1/moderations", json=wrong).status_code == 400
    assert httpx.post(f"{serve(Parrot())}/v1/moderations", json={"input": "a"}).status_code == 404


def test_who_goes_away_leaves_a_verdict_of_what_was_written(serve: Serve, record: AuditRecord) -> None:
    slow = Parrot(pause=0.02)
    address = serve(slow, Guard(), record)
    body = {"model": "parrot", "prompt": f"{LONG} ada@example.com {LONG}", "max_tokens": 60, "stream": True}
    with httpx.stream("POST", f"{address}/v1/completions", json=body) as answer:
        next(answer.iter_bytes())
    end = time.monotonic() + 20
    while len(found := lines_of(record.path)) < 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert [line["side"] for line in found] == ["prompt", "answer"]


def test_what_cant_be_recorded_is_not_served(
    serve: Serve, record: AuditRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve(Parrot(), Guard(), record)

    def full(_line: bytes) -> None:
        from chidu.errors import RecordError

        raise RecordError(f"{record.path} can't be written ({os.strerror(errno.ENOSPC)})")

    monkeypatch.setattr(record, "_write", full)
    answer = httpx.post(f"{address}/v1/completions", json={"model": "parrot", "prompt": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "record_failed")


class Broken:
    name = "classifier"

    def judge(self, text: str) -> list[Any]:
        raise RuntimeError("no memory")


def test_a_judge_that_fails_refuses_by_the_built_in_policy(serve: Serve, record: AuditRecord) -> None:
    asked = client(serve(Parrot(), Guard(further=[Broken()]), record))
    with pytest.raises(openai.BadRequestError, match="a judge failed"):
        asked.completions.create(model="parrot", prompt="hello")
    assert lines_of(record.path)[0]["failures"] == ["classifier: RuntimeError"]
    assert asked.moderations.create(input="hello").results[0].flagged is True


def test_flags_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    assert open_guard(None, None, no_guard=True) is None
    assert open_guard(None, None, no_guard=False) is not None
    for policy, record in ((tmp_path, None), (None, tmp_path)):
        with pytest.raises(SettingError, match="--no-guard leaves nothing"):
            open_guard(policy, record, no_guard=True)


def test_a_killed_server_loses_the_answer_in_flight_and_no_more(saved: Path, tmp_path: Path) -> None:
    """The real command: answers that came have their lines, whatever it was doing when it was killed."""
    path = tmp_path / "verdicts.jsonl"
    words = [sys.executable, "-m", "chidu", "serve", str(saved), "--port", "0", "--record", str(path)]
    came: list[str] = []
    for turn in range(2):
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            told = ""
            while "http://" not in told:
                told = server.stderr.readline()
                assert told, "the server did not start"
            assert f"record {path}" in told
            address = told.split(" at ")[1].split("/v1")[0]
            with httpx.Client(base_url=address, timeout=30) as http:
                for _ in range(3):
                    body = {"model": "model", "prompt": "the work", "max_tokens": 4}
                    answer = http.post("/v1/completions", json=body)
                    assert answer.status_code == 200, answer.text
                    came.append(answer.json()["id"])
                long = {"model": "model", "prompt": "the work", "max_tokens": 400, "stream": True}
                with http.stream("POST", "/v1/completions", json=long) as flight:
                    next(flight.iter_bytes())
                    server.send_signal(signal.SIGKILL)
        found = lines_of(path)
        answers = [line["id"] for line in found if line["side"] == "answer"]
        assert answers[: len(came)] == came or set(came) <= set(answers)
        # Its prompt was judged; of its answer there may be no line.
        assert len([line for line in found if line["side"] == "prompt"]) == len(came) + turn + 1
    shown = subprocess.run(
        [sys.executable, "-m", "chidu", "audit", "verify", str(path), "--json"], capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["wrong"] == ""
