"""A small model that Chidu saved, which every engine can open in its way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from chidu.model import Transformer, save_model
from chidu.runs import Shape
from chidu.tokens import train_tokenizer

SHAPE = Shape(vocabulary=300, context_length=48, width=32, layers=2, heads=2, kv_heads=1, head_width=16, mlp_width=32)


@pytest.fixture(scope="session")
def saved(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writer")
    lines = [{"text": path.read_text(encoding="utf-8")} for path in sorted(text_folder.iterdir())[:3]]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    train_tokenizer(folder / "train.jsonl", folder / "tokenizer.json", SHAPE.vocabulary)
    model = Transformer(SHAPE)
    model.initialise(0)
    with torch.no_grad():
        model.head.weight.mul_(40)
        # Token 0 ends a text: a model that knows nothing would end at once here and there.
        model.head.weight[0] = 0
    save_model(folder / "model", model, folder / "tokenizer.json", "")
    return folder / "model"
