"""A small text in two languages, a tokenizer learned from it, and the text packed."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from chidu.tokens import TokenFile, pack, train_tokenizer

WORDS = re.findall(
    r"\w+", "the law of a model and its tokens loss scaling budget interval forecast ladder 尺度 定律 模型 训练"
)
VOCABULARY = 340


@pytest.fixture(scope="session")
def train_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = random.Random(0)
    path = tmp_path_factory.mktemp("text") / "train.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for _ in range(120):
            text = " ".join(source.choices(WORDS, k=source.randint(5, 300)))
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return path


@pytest.fixture(scope="session")
def tokenizer_path(train_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer(train_file, path, VOCABULARY)
    return path


@pytest.fixture(scope="session")
def packed(tokenizer_path: Path, train_file: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenFile:
    path = tmp_path_factory.mktemp("packed") / "train.bin"
    pack(tokenizer_path, train_file, path, workers=1)
    return TokenFile.open(path)
