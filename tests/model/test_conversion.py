"""The model on disk: what transformers opens is what we trained; what is damaged or foreign is refused."""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_transformer import SHAPES, drawn, made

from chidu.errors import InputError, SettingError
from chidu.model import Transformer, load_model, logit_difference, save_model
from chidu.model.conversion import config_json
from chidu.runs import Shape
from chidu.runs.shape import LAYOUTS, VARIANTS
from chidu.tokens import load_tokenizer, train_tokenizer

VOCABULARY = 300


@pytest.fixture(scope="session")
def small_tokenizer(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small-tokenizer")
    lines = [{"text": path.read_text(encoding="utf-8")} for path in sorted(text_folder.iterdir())[:4]]
    (folder / "train.jsonl").write_text(
        "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n", encoding="utf-8"
    )
    train_tokenizer(folder / "train.jsonl", folder / "tokenizer.json", VOCABULARY)
    return folder / "tokenizer.json"


def saved(folder: Path, tokenizer: Path, shape: Shape) -> Transformer:
    model = made(dataclasses.replace(shape, vocabulary=VOCABULARY))
    save_model(folder, model, tokenizer, "# Notes\n")
    return model


@pytest.fixture
def folder(tmp_path: Path, small_tokenizer: Path) -> Path:
    saved(tmp_path / "model", small_tokenizer, SHAPES["grouped"])
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["plain", "grouped", "tied", "one key head, odd MLP", "gpt2"])
def test_transformers_computes_the_same_logits(name: str, small_tokenizer: Path, tmp_path: Path) -> None:
    model = saved(tmp_path, small_tokenizer, SHAPES[name])
    assert logit_difference(tmp_path, model) <= 1e-4


def test_what_transformers_saves_again_is_ours_still(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, again = load_model(folder).state_dict(), load_model(tmp_path / "theirs").state_dict()
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_transformers_encodes_the_same_tokens(folder: Path, small_tokenizer: Path) -> None:
    from transformers import AutoTokenizer

    theirs, ours = AutoTokenizer.from_pretrained(folder, local_files_only=True), load_tokenizer(small_tokenizer)
    for text in ("the work of the people", "的一是不了。", "  two  spaces\n\tand a tab", "émoji 🎉 and digits 123", ""):
        ids = theirs(text)["input_ids"]
        assert ids == ours.encode(text).ids
        assert theirs.decode(ids) == text
    assert theirs.eos_token_id == 0


@pytest.mark.parametrize("layout", VARIANTS)
def test_what_no_format_has_is_refused_and_nothing_written(layout: str, small_tokenizer: Path, tmp_path: Path) -> None:
    shape = dataclasses.replace(SHAPES["plain"], layout=layout)
    with pytest.raises(SettingError, match=f"a model of the layout '{layout}' is a study's alone: no format"):
        saved(tmp_path / "model", small_tokenizer, shape)
    assert not (tmp_path / "model").exists()
    with pytest.raises(SettingError, match="train one of qwen3 or gpt2 to save it"):
        config_json(shape)


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.layout in LAYOUTS])
def test_a_model_comes_back_from_disk(name: str, small_tokenizer: Path, tmp_path: Path) -> None:
    model = saved(tmp_path, small_tokenizer, SHAPES[name])
    back = load_model(tmp_path)
    assert back.shape == model.shape
    tokens = drawn(model.shape)
    with torch.inference_mode():
        assert torch.equal(back(tokens), model(tokens))
    assert not back.training


def test_everybody_may_read_the_files(folder: Path) -> None:
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o044 for path in folder.iterdir())
    assert (folder / "README.md").read_text() == "# Notes\n"


def config_with(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return change


def cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def drop_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, folder / "model.safetensors")


def rename_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.final.weight"] = weights.pop("model.norm.weight")
    save_file(weights, folder / "model.safetensors")


def turn_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"].T.contiguous()
    save_file(weights, folder / "model.safetensors")


def pickle_alone(folder: Path) -> None:
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (pickle_alone, "no model.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not a JSON object"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff"), "damaged"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "damaged"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 100), "damaged"),
        (cut_weights, "damaged"),
        (drop_weight, "don't match"),
        (rename_weight, "don't match"),
        (turn_weight, "don't match"),
        (config_with(model_type="llama"), "'llama' model"),
        (config_with(num_hidden_layers=2), "don't match"),
        (config_with(hidden_size=32), "don't match"),
        (config_with(tie_word_embeddings=True), "don't match"),
        (config_with(num_hidden_layers=0), "layers is 0"),
        (config_with(hidden_size=-1), "width is -1"),
        (config_with(hidden_size="16"), "width is '16'"),
        (config_with(head_dim=None), "head_width is None"),
        (config_with(vocab_size=10**12), "don't match"),
        (config_with(num_hidden_layers=10**12), "don't match"),
        (config_with(max_position_embeddings=10**12), "context of 1,000,000,000,000"),
        (config_with(rope_theta=1e6, rope_parameters=None), "rope_theta"),
        (config_with(rms_norm_eps=1e-5), "rms_norm_eps"),
        (config_with(rope_parameters={"rope_type": "yarn", "rope_theta": 1e4}), "rope_type"),
    ],
)  # fmt: skip
def test_a_spoilt_folder_is_refused_in_words(spoil: Callable[[Path], object], words: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert words in str(caught.value)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        load_model(tmp_path / "nowhere")
