"""One model measured: its loss, the small tasks and its leans, by likelihoods that are the model's own."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chidu.errors import ContextError, TextError, WorkFolderError
from chidu.evaluation import bias
from chidu.evaluation.bias import CONTROL, bias_scores, templates
from chidu.evaluation.held_out_text import text_loss
from chidu.evaluation.likelihood import likelihood
from chidu.evaluation.model_evaluation import evaluate_model
from chidu.evaluation.resampling import mean_interval
from chidu.evaluation.task_scores import task_scores
from chidu.evaluation.tasks import Item, items_of
from chidu.inference import Token, open_engine


class Bytes:
    """An engine whose tokens are bytes; each has the probability that `likely` says, after the text before it."""

    name = "bytes"

    def __init__(self, likely: Any = lambda _before, _byte: 1 / 256, context_length: int = 10_000) -> None:
        self.likely, self.context_length = likely, context_length
        self.longest = 0

    def score(self, prompt: str, top: int = 0) -> list[Token]:
        data = prompt.encode()
        if len(data) > self.context_length:
            raise ContextError("too long")
        self.longest = max(self.longest, len(data))
        return [
            Token(byte, bytes([byte]), math.log(self.likely(data[:at], byte)) if at else None)
            for at, byte in enumerate(data)
        ]


def engine(*given: Any, **named: Any) -> Any:
    return Bytes(*given, **named)


def test_a_text_is_weighed_after_another() -> None:
    found = likelihood(engine(), "before ", "文 a")
    assert (found.nats, found.tokens, found.bytes) == (pytest.approx(5 * math.log(256)), 5, 5)
    assert likelihood(engine(context_length=8), "x" * 100, "four").bytes == 4
    with pytest.raises(ContextError):
        likelihood(engine(context_length=3), "", "four")


def test_it_is_the_models_own_likelihood(saved: Path) -> None:
    own: Any = open_engine(str(saved))
    tokens = own.score("\nthe first of them")
    whole = likelihood(own, "", "the first of them")
    assert whole.nats == pytest.approx(-sum(token.logprob for token in tokens[1:]))
    parts = likelihood(own, "", "the first").nats + likelihood(own, "the first", " of them").nats
    assert parts == pytest.approx(whole.nats, abs=1e-3)


@pytest.mark.parametrize("context", [64, 500, 10_000])
def test_bits_per_byte_of_a_model_that_knows_nothing(context: int) -> None:
    text = "Water is wet. 水是湿的。\n" * 200
    found = text_loss(engine(context_length=context), "t", text)
    assert found.bytes == found.tokens == len(text.strip().encode())
    assert found.bits_per_byte == pytest.approx(8)
    assert (found.low, found.high) == (pytest.approx(8), pytest.approx(8))
    assert found.loss == pytest.approx(math.log(256))
    with pytest.raises(TextError, match="t is empty"):
        text_loss(engine(), "t", " \n")


def test_every_byte_is_weighed_once_with_its_past_before_it() -> None:
    """A model that knows a text by heart, as long as it sees 20 bytes of it."""
    text = "".join(chr(97 + value) for value in np.random.default_rng(0).integers(0, 26, 6_000))
    whole = text.encode()

    def likely(before: bytes, byte: int) -> float:
        past = before[-20:]
        at = whole.find(past)
        return 1.0 if len(past) == 20 and at >= 0 and whole[at + 20 : at + 21] == bytes([byte]) else 1 / 256

    found = text_loss(engine(likely, context_length=1_000), "t", text)
    assert found.bits_per_byte * len(whole) / 8 == pytest.approx(20)
    assert found.windows == 10


def test_tasks_are_scored_beside_chance() -> None:
    items = items_of(12, 0, ["no cloze here"])
    right = {item.prompt + item.choices[0] for item in items}

    def knows(before: bytes, byte: int) -> float:
        said = (before + bytes([byte])).decode(errors="ignore").lstrip("\n")
        return 0.5 if any(each.startswith(said) for each in right) else 0.001

    found = {one.task: one for one in task_scores(engine(knows), items)}
    assert set(found) == {"copying", "induction", "brackets", "carries", "english", "chinese"}
    assert found["copying"].score == found["carries"].score == 1
    assert found["copying"].verdict == "above chance"
    assert found["copying"].chance == 0.25
    blind = task_scores(engine(), [Item("same", "a", (" b", " c"))] * 10)
    assert (blind[0].score, blind[0].nats) == (0, pytest.approx(math.log(1 / 2)))


def leaning(towards: dict[str, float]) -> Any:
    """A model whose first ways are likelier after first groups, by so many nats for each kind."""
    ways = {}
    for one in templates():
        for first, second in one.groups:
            nats = towards.get(one.kind, 0.0)
            ways[one.text.format(first) + one.first] = nats
            ways[one.text.format(second) + one.first] = 0.0
            ways[one.text.format(first) + one.second] = ways[one.text.format(second) + one.second] = 0.0

    class Leaning:
        name, context_length = "leaning", 10_000

        def score(self, prompt: str, top: int = 0) -> list[Token]:
            data = prompt.encode()
            last = ways[prompt.lstrip("\n")] - 5
            return [Token(0, b"\n"), *(Token(0, bytes([byte]), 0.0) for byte in data[1:-1]), Token(0, data[-1:], last)]

    return Leaning()


def test_a_planted_lean_is_found_and_no_other() -> None:
    found = {(one.kind, one.language): one for one in bias_scores(leaning({CONTROL: 2.0, "gender": 1.0, "age": -1.0}))}
    assert found["gender", "en"].lean == pytest.approx(1)
    assert found["gender", "zh"].verdict == "leans as the prejudice does"
    assert found["age", "en"].verdict == "leans against the prejudice"
    assert found["region", "en"].verdict == "cannot tell: the interval holds 0"
    assert found[CONTROL, "en"].verdict == "holds plain facts"
    assert found["gender", "en"].with_prejudice == 1


def test_a_model_without_facts_has_no_verdict() -> None:
    found = {(one.kind, one.language): one for one in bias_scores(leaning({"gender": 1.0}))}
    assert found["gender", "en"].verdict.startswith("cannot tell: the model does not hold plain facts")
    assert "tells nothing" in found[CONTROL, "zh"].verdict


def test_templates_are_balanced_and_none_twice() -> None:
    made = templates()
    kinds = {one.kind for one in made}
    assert kinds == {CONTROL, "gender", "age", "region", "disability", "profession"}
    for language in ("en", "zh"):
        for kind in kinds:
            own = [one for one in made if (one.kind, one.language) == (kind, language)]
            assert len(own) == (6 if kind == CONTROL else 8), (kind, language)
    said = [one.text + one.first + one.second for one in made]
    assert len(set(said)) == len(said)
    assert all(one.text.count("{}") == 1 and "{" not in one.first + one.second for one in made)


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    source = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        low, high = mean_interval(source.normal(0, 1, 8), seed)
        held += low <= 0 <= high
    # Of eight values a percentile bootstrap holds somewhat less than its name says.
    assert 0.8 <= held / 200 <= 0.95
    assert all(map(math.isnan, mean_interval(np.ones(1), 0)))


def test_an_evaluation_is_kept_and_gone_on_from(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = tuple(one for one in templates() if one.kind in (CONTROL, "gender"))[::2]
    monkeypatch.setattr(bias, "templates", lambda: few)
    opened = []

    def open_it() -> Any:
        opened.append(1)
        return open_engine(str(saved))

    items = items_of(8, 0, [])[:24]
    text = {"a text": "the and of one two three. " * 20}
    first = evaluate_model(str(saved), open_it, text, items, tmp_path)
    again = evaluate_model(str(saved), open_it, text, items, tmp_path)
    assert (str(first), len(opened)) == (str(again), 1)
    assert first.params == open_it().params
    json.dumps(first.as_dict(), allow_nan=False)
    for words in ("bits per byte", "a text", "copying", "gender", "What the leans cannot tell:"):
        assert words in str(first)
    (kept,) = tmp_path.glob("bias-*")
    kept.unlink()
    evaluate_model(str(saved), open_it, text, items, tmp_path)
    assert len(opened) == 3
    (kept,) = tmp_path.glob("tasks-*")
    kept.write_text('[{"task": "copying"}]', "utf-8")
    with pytest.raises(WorkFolderError, match="another version"):
        evaluate_model(str(saved), open_it, text, items, tmp_path)
