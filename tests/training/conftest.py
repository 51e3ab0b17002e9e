"""Token files of the small text, for runs of a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from chidu.corpus import build_corpus, text_files
from chidu.tokens import TokenFile, pack, train_tokenizer
from chidu.training import Text


@pytest.fixture(scope="session")
def packed_text(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Text:
    folder = tmp_path_factory.mktemp("packed-text")
    build_corpus(text_files([text_folder]), folder)
    train_tokenizer(folder / "train.jsonl", folder / "tokenizer.json", 300)
    for name in ("train", "held_out"):
        pack(folder / "tokenizer.json", folder / f"{name}.jsonl", folder / f"{name}.bin", workers=1)
    return Text(folder / "train.bin", folder / "held_out.bin", 640)


@pytest.fixture(scope="session")
def train_tokens(packed_text: Text) -> TokenFile:
    return TokenFile.open(packed_text.train)
