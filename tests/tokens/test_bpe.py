"""The tokenizer: any text comes back exactly, and the same text gives the same tokenizer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.errors import SettingError, TextError, WorkFolderError
from chidu.tokens import END_OF_TEXT, END_OF_TEXT_ID, load_tokenizer, train_tokenizer


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="尺度定律，。的 abc\n\t😀👨‍👩‍👧<|endoftext|>", max_size=60))
def test_any_text_comes_back(tokenizer_path: Path, text: str) -> None:
    tokenizer = load_tokenizer(tokenizer_path)
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert END_OF_TEXT_ID not in ids


def test_the_vocabulary_is_what_was_asked_for(tokenizer_path: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_path)
    assert tokenizer.get_vocab_size() == 340
    assert tokenizer.token_to_id(END_OF_TEXT) == END_OF_TEXT_ID == 0
    assert len(tokenizer.encode("scaling law").ids) < len("scaling law")
    assert len(tokenizer.encode("尺度").ids) < len("尺度".encode())


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_same_sample_gives_the_same_file(
    train_file: Path, tokenizer_path: Path, tmp_path: Path, threads: str
) -> None:
    code = (
        "import os, sys, pathlib; os.environ['RAYON_NUM_THREADS'] = sys.argv[3]\n"
        "from chidu.tokens import train_tokenizer\n"
        "train_tokenizer(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 340)"
    )
    subprocess.run([sys.executable, "-c", code, train_file, tmp_path / "t.json", threads], check=True)
    assert (tmp_path / "t.json").read_bytes() == tokenizer_path.read_bytes()


def test_only_the_first_part_of_the_text_is_read(train_file: Path, tmp_path: Path) -> None:
    summary = train_tokenizer(train_file, tmp_path / "t.json", 300, sample_bytes=5_000)
    assert 5_000 <= summary["sample_bytes"] < 10_000
    assert summary["sample_documents"] < 60


def test_too_little_text_for_the_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"text": "three little words"}) + "\n", encoding="utf-8")
    with pytest.raises(TextError, match=r"18 bytes of text give a vocabulary of \d+, not 4096: bring more") as caught:
        train_tokenizer(path, tmp_path / "t.json", 4096)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "t.json").exists()


def test_a_vocabulary_below_the_bytes(train_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="vocabulary is 256"):
        train_tokenizer(train_file, tmp_path / "t.json", 256)


def test_a_damaged_or_missing_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{", encoding="utf-8")
    for name in ("t.json", "missing.json"):
        with pytest.raises(WorkFolderError, match="is no tokenizer"):
            load_tokenizer(tmp_path / name)
