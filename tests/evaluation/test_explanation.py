"""All reasons for one answer, and what can't be explained."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from planted_box import PlantedBox

from chidu.errors import ContextError, InputError, SettingError
from chidu.evaluation.explanation import explain
from chidu.evaluation.white_box import open_white_box

WEIGHTS = [0.0, 0.1, 3.0, 0.0, 0.0, -0.1, 0.0, 0.0, 0.0, 5.0]


def test_all_of_it_is_there_and_is_json(saved: Path) -> None:
    box = open_white_box(str(saved))
    told = list[float]()
    found = explain(box, "the work of many people", max_tokens=5, steps=4, progress=lambda done, _: told.append(done))
    assert found.prompt == "the work of many people"
    assert "".join(found.inputs) == found.prompt + found.answer
    assert len(found.tokens) == 5
    for number, each in enumerate(found.tokens):
        assert len(each.gradients.shares) == len(each.left_out) == found.prompt_tokens + number
        assert each.text == found.inputs[found.prompt_tokens + number]
        assert each.layers[-1].own == pytest.approx(math.exp(each.log_probability), rel=1e-3)
        # The most likely one was written.
        assert each.layers[-1].token == each.token
    assert found.gradients is not None
    assert (found.gradients.count, found.gradients.low is None) == (5, False)
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["tokens"][0]["gradients"]["gap"] == pytest.approx(found.tokens[0].gradients.gap)
    assert document["missed"] == found.missed >= 0
    assert document["left_out"]["verdict"] in ("better", "worse", "undecided")
    assert (told, told[-1]) == (sorted(told), 1.0)


def test_an_answer_that_is_named_is_explained(saved: Path) -> None:
    box = open_white_box(str(saved))
    found = explain(box, "the work of", " many people", steps=2)
    assert (found.prompt, found.answer) == ("the work of", " many people")
    assert explain(box, "the work of", " many people", steps=2) == found


def test_known_reasons_are_found() -> None:
    """Of ten tokens one carries all: both ways name it, the test says so, and no layer disagrees."""
    found = explain(PlantedBox(WEIGHTS), "0332466684", "1111")
    for each in found.tokens:
        assert each.left_out.index(max(each.left_out)) == each.gradients.shares.index(max(each.gradients.shares)) == 3
        assert [one.token for one in each.layers] == [0, 1, 1]
    assert [each.verdict for each in (found.left_out, found.gradients) if each is not None] == ["better", "better"]


def test_what_can_not_be_explained_is_refused(saved: Path) -> None:
    box = open_white_box(str(saved))
    with pytest.raises(InputError, match="fewer than two tokens"):
        explain(box, "", "a")
    with pytest.raises(InputError, match="the answer is empty"):
        explain(box, "the work of", "")
    with pytest.raises(ContextError, match="context holds 48"):
        explain(box, "the work of many people " * 20, "a")
    with pytest.raises(SettingError, match="max_tokens is 0"):
        explain(box, "the work of", max_tokens=0)


def test_too_few_words_are_no_test() -> None:
    found = explain(PlantedBox(WEIGHTS), "90", "1")
    assert (found.gradients, found.left_out, found.tokens[0].deletion) == (None, None, ())
