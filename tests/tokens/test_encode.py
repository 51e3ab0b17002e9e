"""Encoding word by word gives exactly what the tokenizer gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.tokens import load_tokenizer
from chidu.tokens.encode import Encoder

AWKWARD = st.text(alphabet="abSt'sredvm l0 9\n\t\r\x0b\x1c_-.<|>()é中", max_size=40)


@pytest.fixture(scope="module")
def encoder(tokenizer_path: Path) -> Encoder:
    return Encoder(tokenizer_path)


@settings(max_examples=1000, deadline=None)
@given(AWKWARD | st.text(st.characters(max_codepoint=127), max_size=60) | st.text(max_size=30))
def test_word_by_word_is_the_same(encoder: Encoder, text: str) -> None:
    assert np.frombuffer(encoder.encode(text), encoder.dtype).tolist() == encoder.tokenizer.encode(text).ids


def test_the_words_remembered_are_bounded(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chidu.tokens.encode._MOST_WORDS", 10)
    for number in range(50):
        encoder.encode(f"word {chr(97 + number % 26)}{chr(97 + number // 26)} other")
    assert len(encoder._words) < 20


def test_another_tokenizer_is_asked_itself(tokenizer_path: Path, tmp_path: Path) -> None:
    values = json.loads(tokenizer_path.read_text("utf-8"))
    values["pre_tokenizer"]["add_prefix_space"] = True
    (tmp_path / "t.json").write_text(json.dumps(values), "utf-8")
    encoder = Encoder(tmp_path / "t.json")
    ids = load_tokenizer(tmp_path / "t.json").encode("the law").ids
    assert (
        np.frombuffer(encoder.encode("the law"), "<u2").tolist()
        == ids
        != load_tokenizer(tokenizer_path).encode("the law").ids
    )


def test_a_large_vocabulary_takes_four_bytes(tokenizer_path: Path, tmp_path: Path) -> None:
    assert Encoder(tokenizer_path).dtype == np.uint16
    values = json.loads(tokenizer_path.read_text("utf-8"))
    vocabulary = values["model"]["vocab"]
    vocabulary.update({f"more{number}": number for number in range(len(vocabulary), 65_537)})
    (tmp_path / "t.json").write_text(json.dumps(values), "utf-8")
    encoder = Encoder(tmp_path / "t.json")
    assert encoder.dtype == np.uint32
    assert len(encoder.end_of_text) == 4
