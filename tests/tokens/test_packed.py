"""Packing: all the text, in its order, however many workers; and never half a file."""

from __future__ import annotations

import errno
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chidu.corpus import read_lines
from chidu.errors import TextError, WorkFolderError
from chidu.tokens import END_OF_TEXT_ID, TokenFile, load_tokenizer, pack
from chidu.tokens import packed as packed_module


def test_the_file_holds_every_document_and_its_end(packed: TokenFile, train_file: Path, tokenizer_path: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_path)
    ends = np.flatnonzero(packed.array == END_OF_TEXT_ID)
    texts = [line["text"] for line in read_lines(train_file)]
    pieces = np.split(packed.array, ends + 1)[:-1]
    assert [tokenizer.decode(piece[:-1].tolist()) for piece in pieces] == texts
    assert packed.documents == len(texts)
    assert packed.bytes == sum(len(text.encode()) for text in texts)
    assert packed.bytes_per_token == packed.bytes / packed.tokens
    assert packed.array.dtype == np.uint16


def test_the_order_does_not_depend_on_the_workers(
    packed: TokenFile, train_file: Path, tokenizer_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chidu.tokens.packed._CHUNK_BYTES", 20_000)
    seen: list[float] = []
    for workers in (1, 3):
        path = tmp_path / f"{workers}.bin"
        values = pack(tokenizer_path, train_file, path, workers, lambda fraction, words: seen.append(fraction))
        assert path.read_bytes() == packed.path.read_bytes()
        assert values == json.loads(packed.path.with_name("train.bin.json").read_text("utf-8"))
    assert seen[-1] == 1.0
    assert len(seen) > 4
    assert sorted(one.name for one in tmp_path.iterdir()) == ["1.bin", "1.bin.json", "3.bin", "3.bin.json"]


@pytest.mark.parametrize("chunk", [1, 7, 100, 1_000, 50_000, 10_000_000])
def test_chunks_hold_every_line_once(train_file: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(packed_module, "_CHUNK_BYTES", chunk)
    edges = packed_module._edges(train_file)
    found = [line for start, end in itertools.pairwise(edges) for line in read_lines(train_file, start, end)]
    assert found == list(read_lines(train_file))


def test_an_empty_text(tokenizer_path: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"")
    with pytest.raises(TextError, match="holds no documents"):
        pack(tokenizer_path, tmp_path / "t.jsonl", tmp_path / "t.bin")
    with pytest.raises(WorkFolderError, match="missing"):
        pack(tokenizer_path, tmp_path / "missing.jsonl", tmp_path / "t.bin")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["t.jsonl"]


def test_a_full_disk_leaves_nothing_that_looks_whole(
    train_file: Path, tokenizer_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.bin"
    pack(tokenizer_path, train_file, path, 1)

    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("chidu.tokens.packed._append", full)
    with pytest.raises(OSError, match="No space"):
        pack(tokenizer_path, train_file, path, 1)
    # The old file is there, but nothing vouches for it any more.
    assert [one.name for one in tmp_path.iterdir()] == ["t.bin"]
    with pytest.raises(WorkFolderError):
        TokenFile.open(path)


def test_text_that_spells_the_end_of_text_does_not_end(tokenizer_path: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "a<|endoftext|>b"}), encoding="utf-8")
    pack(tokenizer_path, tmp_path / "t.jsonl", tmp_path / "t.bin", 1)
    assert np.flatnonzero(TokenFile.open(tmp_path / "t.bin").array == END_OF_TEXT_ID).size == 1
