"""Shares that are known, and the same shares from whoever computes the model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planted_box import PlantedBox

from chidu.errors import InputError
from chidu.evaluation.attribution import integrated_gradients, leave_one_out, log_probabilities
from chidu.evaluation.lens import logit_lens
from chidu.evaluation.white_box import HubBox, OwnBox, open_white_box, texts_of, white_box
from chidu.inference import open_engine
from chidu.inference.hub import HubEngine
from chidu.inference.own import OwnEngine
from chidu.model.gguf_file import write_gguf

WEIGHTS = st.lists(st.floats(-2, 2), min_size=10, max_size=10)
TOKENS = st.lists(st.integers(0, 9), min_size=2, max_size=8)


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


@given(WEIGHTS, TOKENS, st.floats(-1, 1))
def test_shares_are_those_of_the_one_sum(weights: list[float], tokens: list[int], neutral: float) -> None:
    """Where all depends on one sum, each token's share is its part in the sum's change, and marks have none."""
    box = PlantedBox(weights, neutral)
    found = integrated_gradients(box, [*tokens, 1], len(tokens))
    at = [weights[token] for token in tokens]
    start = [weights[token] if token == 9 else neutral for token in tokens]
    whole = log_sigmoid(sum(at)) - log_sigmoid(sum(start))
    moved = sum(at) - sum(start)
    assert found.whole == pytest.approx(whole, abs=1e-4)
    assert found.gap == pytest.approx(0, abs=1e-4)
    if abs(moved) > 0.01:
        expected = [(end - begin) / moved * whole for begin, end in zip(start, at, strict=True)]
        assert found.shares == pytest.approx(expected, abs=1e-3)


@given(WEIGHTS, TOKENS, st.integers(1, 3))
def test_what_is_lost_is_what_the_sum_loses(weights: list[float], tokens: list[int], count: int) -> None:
    box, whole = PlantedBox(weights), [*tokens, *[1] * count]
    lost = leave_one_out(box, whole, len(tokens))
    for number, row in enumerate(lost):
        before = whole[: len(tokens) + number]
        total = sum(weights[token] for token in before)
        assert len(row) == len(before)
        for token, value in zip(before, row, strict=True):
            less = 0.0 if token == 9 else log_sigmoid(total) - log_sigmoid(total - weights[token])
            assert value == pytest.approx(less, abs=1e-4)


def test_leaving_out_is_reading_without(saved: Path) -> None:
    """The engine, asked to weigh the text without the token, says what was lost."""
    engine = open_engine(str(saved))
    box = white_box(engine)
    tokens = box.read("the work of many people")
    first = len(tokens) - 3
    lost = leave_one_out(box, tokens, first)
    whole = [each.logprob or 0.0 for each in engine.score(tokens)]
    for place in range(len(tokens) - 1):
        without = [each.logprob or 0.0 for each in engine.score([*tokens[:place], *tokens[place + 1 :]])]
        for number in range(max(place + 1 - first, 0), 3):
            at = first + number
            assert lost[number][place] == pytest.approx(whole[at] - without[at - 1], abs=1e-4)


def test_ours_and_transformers_give_the_same_reasons(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chidu.inference.hub._has_bf16", lambda: False)
    own, theirs = OwnBox(OwnEngine(saved)), HubBox(HubEngine(str(saved)))
    tokens = own.read("the work of many people in the world")
    place = len(tokens) - 2
    for box in (own, theirs):
        assert box.read(box.decode(tokens)) == tokens
        assert box.go_on(tokens[:place], box.decode(tokens[place:])) == tokens[place:]
    mine, other = (integrated_gradients(box, tokens, place) for box in (own, theirs))
    assert mine.shares == pytest.approx(other.shares, abs=2e-3)
    assert mine.whole == pytest.approx(other.whole, abs=2e-3)
    lost, others = (leave_one_out(box, tokens, place) for box in (own, theirs))
    assert [value for row in lost for value in row] == pytest.approx([v for row in others for v in row], abs=2e-3)
    lens, others_lens = (logit_lens(box, tokens, place) for box in (own, theirs))
    for ours, hub in zip(lens, others_lens, strict=True):
        assert [(one.layer, one.token, one.text) for one in ours] == [(one.layer, one.token, one.text) for one in hub]
        assert [one.own for one in ours] == pytest.approx([one.own for one in hub], abs=1e-3)


@pytest.mark.parametrize("layout", ["saved", "foreign"])
def test_the_last_layer_says_what_the_model_says(layout: str, request: pytest.FixtureRequest) -> None:
    box = open_white_box(str(request.getfixturevalue(layout)))
    tokens = box.read("the work of many people")
    (likely,) = log_probabilities(box, [tokens], 4)
    for value, layers in zip(likely, logit_lens(box, tokens, len(tokens) - 4), strict=True):
        assert len(layers) == 3
        assert layers[-1].own == pytest.approx(math.exp(value), rel=1e-3)
        assert (layers[-1].rank == 1) == (layers[-1].token == tokens[-4 + list(likely).index(value)])
        assert all(0 < one.own <= one.probability <= 1 for one in layers)


def test_the_shares_add_up_in_a_real_model(saved: Path) -> None:
    box = open_white_box(str(saved))
    tokens = box.read("the work of many people")
    found = integrated_gradients(box, tokens, len(tokens) - 1, steps=256)
    assert abs(found.gap) < 0.02 * max(1.0, abs(found.whole))


def test_the_engine_is_left_as_it_was(foreign: Path) -> None:
    engine = HubEngine(str(foreign))
    named = list(engine.model.named_parameters())
    before = {name: (value.dtype, value.requires_grad, value.clone()) for name, value in named}
    box = white_box(engine)
    tokens = box.read("the work of many people")
    integrated_gradients(box, tokens, len(tokens) - 1)
    for name, value in named:
        dtype, has_gradient, values = before[name]
        assert (value.dtype, value.requires_grad, value.grad) == (dtype, has_gradient, None)
        assert torch.equal(value, values)


def test_a_gguf_file_is_made_float32(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(saved, path, "f32")
    box, own = open_white_box(str(path)), open_white_box(str(saved))
    assert box.name == "model"
    tokens = own.read("the work of many people")
    mine, other = (next(log_probabilities(each, [tokens], 3)) for each in (own, box))
    assert np.allclose(mine, other, atol=1e-3)


def test_what_has_no_open_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which no address gives"):
        open_white_box("http://127.0.0.1:1/v1#model")
    with pytest.raises(InputError, match="no such file"):
        open_white_box(str(tmp_path / "none.gguf"))


def test_a_character_of_several_tokens_stands_with_its_last(saved: Path) -> None:
    box = open_white_box(str(saved))
    text = "the work 龘 of"
    tokens = box.read(text)
    texts = texts_of(box, tokens)
    assert "".join(texts) == text
    assert "" in texts
    assert any("龘" in one for one in texts)
