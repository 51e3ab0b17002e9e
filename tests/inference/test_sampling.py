"""Writing text: the same seed writes the same, characters come whole, and it ends where it should."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chidu.errors import InputError, SettingError
from chidu.inference import Sampling, TextModel, next_tokens
from chidu.inference.sampling import draw
from chidu.model import Transformer, save_model
from chidu.runs import Shape
from chidu.tokens import train_tokenizer

SHAPE = Shape(vocabulary=300, context_length=48, width=16, layers=2, heads=2, kv_heads=1, head_width=8, mlp_width=24)


@pytest.fixture(scope="module")
def folder(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
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


@pytest.fixture(scope="module")
def writer(folder: Path) -> TextModel:
    return TextModel(folder)


def write(writer: TextModel, prompt: str = "the work", **how: float) -> str:
    return "".join(writer.write(prompt, Sampling(**how)))  # type: ignore[arg-type]


def test_greedy_writes_the_most_likely_token_each_time(writer: TextModel) -> None:
    prefix = writer.tokenizer.encode("the work").ids
    found = list(next_tokens(writer.model, prefix, Sampling(max_tokens=12, temperature=0)))
    expected = list(prefix)
    with torch.inference_mode():
        for _ in range(12):
            expected.append(int(writer.model(torch.tensor([expected]))[0, -1].argmax()))
    assert found == expected[len(prefix) :]
    assert write(writer, temperature=0, seed=1) == write(writer, temperature=0, seed=2)


def test_the_seed_decides(writer: TextModel) -> None:
    assert write(writer, seed=3) == write(writer, seed=3)
    assert len({write(writer, seed=seed) for seed in range(5)}) > 1


@given(seed=st.integers(0, 1000), temperature=st.floats(0.1, 10))
def test_characters_come_whole(writer: TextModel, seed: int, temperature: float) -> None:
    pieces = list(writer.write("的一是", Sampling(max_tokens=40, temperature=temperature, top_p=1.0, seed=seed)))
    assert all(piece for piece in pieces)
    tokens = list(
        next_tokens(
            writer.model,
            writer.tokenizer.encode("的一是").ids,
            Sampling(max_tokens=40, temperature=temperature, top_p=1.0, seed=seed),
        )
    )
    whole = writer.tokenizer.decode(tokens[: tokens.index(0)] if 0 in tokens else tokens)
    assert "".join(pieces) == whole.rstrip("\ufffd")


def test_chinese_is_never_shown_half_written(writer: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "尺度 é 🎉好"
    ids = writer.tokenizer.encode(text).ids
    assert len(ids) > len(text)
    monkeypatch.setattr("chidu.inference.sampling.next_tokens", lambda *_: iter(ids))
    pieces = list(writer.write("的", Sampling()))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    monkeypatch.setattr("chidu.inference.sampling.next_tokens", lambda *_: iter(ids[:-1]))
    assert "".join(writer.write("的", Sampling())) == text[:-1]


def test_the_end_of_text_ends_it(writer: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = writer.tokenizer.encode("the work").ids
    monkeypatch.setattr("chidu.inference.sampling.next_tokens", lambda *_: iter([*ids, 0, *ids]))
    assert "".join(writer.write("a", Sampling())) == "the work"


def test_it_ends_where_the_context_is_full(writer: TextModel) -> None:
    prefix = [5] * 40
    assert len(list(next_tokens(writer.model, prefix, Sampling(max_tokens=1000)))) == SHAPE.context_length - 40
    assert len(list(next_tokens(writer.model, prefix, Sampling(max_tokens=3)))) == 3


def test_a_prompt_that_fills_the_context_is_refused_with_numbers(writer: TextModel) -> None:
    with pytest.raises(InputError, match=r"\d+ tokens long.*holds 48: shorten it"):
        write(writer, "的" * 60)


def test_an_empty_prompt_starts_a_text(writer: TextModel) -> None:
    assert write(writer, "", max_tokens=5, temperature=0) != ""


@pytest.mark.parametrize("temperature", [1e-40, 1e-6, 0.01])
def test_a_temperature_near_zero_is_greedy(temperature: float) -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, -50.0])
    generator = torch.Generator().manual_seed(0)
    assert draw(logits, Sampling(temperature=temperature), generator) == 1


@given(top_p=st.floats(0.01, 1.0), seed=st.integers(0, 99))
def test_top_p_keeps_the_fewest_that_hold_it(top_p: float, seed: int) -> None:
    probability = torch.tensor([0.1, 0.5, 0.3, 0.1])
    order = [1, 2, 0, 3]
    kept, held = [], 0.0
    for token in order:
        if held < top_p - 1e-6:
            kept.append(token)
        held += float(probability[token])
    generator = torch.Generator().manual_seed(seed)
    token = draw(probability.log(), Sampling(temperature=1, top_p=top_p), generator)
    assert token in kept or (token == 3 and 0 in kept)


def test_a_tiny_top_p_is_greedy(writer: TextModel) -> None:
    assert write(writer, top_p=1e-9, temperature=2) == write(writer, temperature=0)


@pytest.mark.parametrize(
    "how", [{"max_tokens": 0}, {"temperature": -1}, {"temperature": 11}, {"temperature": float("nan")}, {"top_p": 0},
            {"top_p": 1.1}]
)  # fmt: skip
def test_what_can_not_be_drawn_is_refused(how: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(how))):
        Sampling(**how)  # type: ignore[arg-type]


def test_a_folder_without_its_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer\.json is no tokenizer"):
        TextModel(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        TextModel(tmp_path)


def test_a_tokenizer_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    model = Transformer(dataclasses.replace(SHAPE, vocabulary=310))
    save_model(tmp_path, model, folder / "tokenizer.json", "")
    with pytest.raises(InputError, match="don't belong together"):
        TextModel(tmp_path)
