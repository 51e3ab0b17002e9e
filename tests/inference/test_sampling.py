"""Writing text: the same seed writes the same, characters come whole, and it ends where it should."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chidu.errors import InputError, SettingError
from chidu.inference import Piece, Sampling, Token
from chidu.inference.own import OwnEngine
from chidu.inference.sampling import draw, pieces
from chidu.model import Transformer, save_model


@pytest.fixture(scope="module")
def writer(saved: Path) -> OwnEngine:
    return OwnEngine(saved)


def write(writer: OwnEngine, prompt: str = "the work", **how: Any) -> str:
    return "".join(texts(writer, prompt, **how))


def texts(writer: OwnEngine, prompt: str, **how: Any) -> list[str]:
    return [piece.text for piece in writer.write(prompt, Sampling(**how))]


def next_tokens(writer: OwnEngine, prefix: list[int], sampling: Sampling) -> list[int]:
    """What the engine draws, before it becomes text."""
    found = writer.write(prefix, dataclasses.replace(sampling, logprobs=0))
    return [token.id for piece in found for token in piece.drawn]


def test_greedy_writes_the_most_likely_token_each_time(writer: OwnEngine) -> None:
    prefix = writer.tokenizer.encode("the work").ids
    found = next_tokens(writer, prefix, Sampling(max_tokens=12, temperature=0))
    expected = list(prefix)
    with torch.inference_mode():
        for _ in range(12):
            expected.append(int(writer.model(torch.tensor([expected]))[0, -1].argmax()))
    assert found == expected[len(prefix) :]
    assert write(writer, temperature=0, seed=1) == write(writer, temperature=0, seed=2)


def test_the_seed_decides(writer: OwnEngine) -> None:
    assert write(writer, seed=3) == write(writer, seed=3)
    assert len({write(writer, seed=seed) for seed in range(5)}) > 1


@given(seed=st.integers(0, 1000), temperature=st.floats(0.1, 10))
def test_characters_come_whole(writer: OwnEngine, seed: int, temperature: float) -> None:
    pieces = texts(writer, "的一是", max_tokens=40, temperature=temperature, top_p=1.0, seed=seed)
    assert all(pieces[:-1])
    sampling = Sampling(max_tokens=40, temperature=temperature, top_p=1.0, seed=seed)
    whole = writer.tokenizer.decode(next_tokens(writer, writer.tokenizer.encode("的一是").ids, sampling))
    assert "".join(pieces) == whole.rstrip("\ufffd")


def says(monkeypatch: pytest.MonkeyPatch, ids: list[int]) -> None:
    """Let the model draw these tokens."""
    monkeypatch.setattr("chidu.inference.own.follow", lambda *_: iter(map(Token, ids)))


def test_chinese_is_never_shown_half_written(writer: OwnEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "尺度 é 🎉好"
    ids = writer.tokenizer.encode(text).ids
    assert len(ids) > len(text)
    says(monkeypatch, ids)
    pieces = texts(writer, "的")
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    says(monkeypatch, ids[:-1])
    assert write(writer, "的") == text[:-1]


def test_the_end_of_text_ends_it(writer: OwnEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = writer.tokenizer.encode("the work").ids
    says(monkeypatch, [*ids, 0, *ids])
    assert list(writer.write("a", Sampling()))[-1] == Piece("", "stop", 1, (), 1)
    assert write(writer, "a") == "the work"


def test_it_ends_where_the_context_is_full(writer: OwnEngine) -> None:
    prefix = [5] * 40
    for most in (1000, None):
        assert len(next_tokens(writer, prefix, Sampling(max_tokens=most))) == writer.context_length - 40
    assert len(next_tokens(writer, prefix, Sampling(max_tokens=3))) == 3


def test_a_prompt_that_fills_the_context_is_refused_with_numbers(writer: OwnEngine) -> None:
    with pytest.raises(InputError, match=r"\d+ tokens long.*holds 48: shorten it"):
        write(writer, "的" * 60)


def test_an_empty_prompt_starts_a_text(writer: OwnEngine) -> None:
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


def test_a_tiny_top_p_is_greedy(writer: OwnEngine) -> None:
    assert write(writer, top_p=1e-9, temperature=2) == write(writer, temperature=0)


@pytest.mark.parametrize(
    "how", [{"max_tokens": 0}, {"temperature": -1}, {"temperature": 11}, {"temperature": float("nan")}, {"top_p": 0},
            {"top_p": 1.1}]
)  # fmt: skip
def test_what_can_not_be_drawn_is_refused(how: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(how))):
        Sampling(**how)  # type: ignore[arg-type]


def test_a_folder_without_its_tokenizer_is_refused(saved: Path, tmp_path: Path) -> None:
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer\.json is no tokenizer"):
        OwnEngine(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        OwnEngine(tmp_path)


def test_a_tokenizer_of_another_model_is_refused(writer: OwnEngine, saved: Path, tmp_path: Path) -> None:
    model = Transformer(dataclasses.replace(writer.model.shape, vocabulary=310))
    save_model(tmp_path, model, saved / "tokenizer.json", "")
    with pytest.raises(InputError, match="don't belong together"):
        OwnEngine(tmp_path)


@given(text=st.text("abc", max_size=30), stop=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_nothing_of_a_stop_string_is_shown(text: str, stop: list[str]) -> None:
    tokens = [Token(ord(each)) for each in text]
    sampling = Sampling(stop=tuple(stop), logprobs=0)
    found = list(pieces(tokens, lambda them: "".join(map(chr, them)), lambda _: False, sampling, 1))
    ends = [end for each in stop if (end := text.find(each)) >= 0]
    # The earliest stop string to be whole ends it; of those that are whole at once, the one that began first.
    whole = min((text.find(each) + len(each) for each in stop if each in text), default=None)
    shown = "".join(piece.text for piece in found)
    if whole is None:
        assert shown == text
        assert found[-1].finish == "length"
    else:
        assert found[-1].finish == "stop"
        assert shown == text[: min(place for each in stop if (place := text[:whole].find(each)) >= 0)]
        assert ends
    assert "".join(chr(token.id) for piece in found for token in piece.drawn) == shown
    assert sum(piece.tokens for piece in found) == (len(text) if whole is None else whole)
    assert [piece.finish for piece in found[:-1]] == [None] * (len(found) - 1)


def test_top_k_keeps_so_many() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.tensor([1.0, 3.0, 2.0, 2.5])
    drawn = {draw(logits, Sampling(temperature=5, top_p=1, top_k=2), generator) for _ in range(50)}
    assert drawn == {1, 3}
