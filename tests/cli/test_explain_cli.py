"""`chidu explain` as people call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chidu.corpus import Document, build_corpus
from chidu.runs.folder import open_work_folder
from chidu.runs.stage import run_stage


def test_reasons_in_words_and_as_json(call: Callable[..., Any], saved: Path, tmp_path: Path) -> None:
    work = tmp_path / "some-work"
    texts = [f"In this text {number} there is the work of many people, and more {number}." for number in range(9)]
    with open_work_folder(work):
        run_stage(
            work / "corpus", {}, {},
            lambda folder: build_corpus((Document(text, "a.txt", "MIT") for text in texts), folder), print,
        )  # fmt: skip
    words = ("explain", "there is the work of", "--answer", " many people", "--model", saved, "--work", work)
    told = call(*words, "--steps", 2)
    assert told.code == 0
    for part in (
        "goes on from: there is the work of", "with:  many people", "Which words carried it",
        "The gradients' shares miss",
        "Do these words matter more than others?", "What each layer would have said", "Where it may come from",
        "Nothing here says that model was trained on this text", "Word for word", "a.txt (MIT)", "What this can't tell",
    ):  # fmt: skip
        assert part in told.out, told.out
    assert "\x1b" not in told.out
    document = json.loads(call(*words, "--steps", 2, "--json").out)
    assert document["answer"] == " many people"
    assert document["without_origin"] == ""
    assert document["origin"]["spans"][0]["places"][0]["licence"] == "MIT"
    assert "".join(document["inputs"]) == "there is the work of many people"


def test_without_a_training_text_it_says_so(call: Callable[..., Any], saved: Path) -> None:
    told = call("explain", "the work of", "--model", saved, "--max-tokens", 1, "--steps", 2)
    assert told.code == 0
    assert "Not looked for: no training text was named (--work)" in told.out


def test_complaints(call: Callable[..., Any], saved: Path, tmp_path: Path) -> None:
    for words, complaint in (
        (("explain", "a b c", "--model", "http://127.0.0.1:1/v1#m"), "reasons need the model's own weights"),
        (("explain", "a b c", "--model", saved, "--answer", ""), "the answer is empty"),
        (("explain", "", "--model", saved), "fewer than two tokens"),
        (("explain", "a b c", "--model", saved, "--work", tmp_path / "none"), "holds no finished corpus"),
        (("explain", "a b c"), "there is no model"),
    ):
        assert complaint in call(*words).complaint


def test_a_character_of_several_tokens_is_named(call: Callable[..., Any], saved: Path) -> None:
    told = call("explain", "the work of 是", "--answer", "柏", "--model", saved, "--steps", 2)
    assert told.code == 0
    assert "  part of ‘柏’ " in told.out
    assert "‘’" not in told.out
    assert call("explain", "the work of", "--model", saved, "--seed", -1).code == 2


def test_numbers_out_of_range_are_told_before_a_model_is_opened(call: Callable[..., Any]) -> None:
    told = call("explain", "the work of", "--model", "no-such-model", "--steps", -1)
    assert told.code == 1
    assert "steps is -1; it must be from 2 to" in told.err
    told = call("explain", "the work of", "--model", "no-such-model", "--max-tokens", 0)
    assert "max_tokens is 0; it must be at least 1" in told.err
