"""The classic recipe is what it says: transformers' GPT-2, torch's AdamW, a cosine to a tenth."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from chidu.errors import SettingError
from chidu.model.conversion import config_json, to_hugging_face
from chidu.runs import Recipe, RunConfig, Shape
from chidu.runs.settings import read_settings, write_settings
from chidu.tokens import TokenFile
from chidu.training.checkpoint import checkpoint_path
from chidu.training.loop import Trainer, train
from chidu.training.optimiser import rate_factor


@pytest.fixture
def config() -> RunConfig:
    return Recipe.gpt2(300, 16, 64, warmup_steps=3, precision="float32").config(32, 12, 0)


def test_it_is_gpt2s_shape_and_adamws_settings(config: RunConfig) -> None:
    shape = config.shape
    assert (shape.layout, shape.mlp_width, shape.tied) == ("gpt2", 128, True)
    assert (config.optimiser, config.decay, config.weight_decay) == ("adamw", "cosine", 0.1)
    assert config.embedding_learning_rate == config.head_learning_rate == config.learning_rate
    assert RunConfig.from_dict(config.as_dict()) == config


def test_the_rate_follows_a_cosine_to_a_tenth(config: RunConfig) -> None:
    factors = [rate_factor(config, step) for step in range(config.steps)]
    assert factors[:3] == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    for step in range(3, 12):
        assert factors[step] == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi * (step - 3) / 9)))
    assert config.trunk_steps == 3


def test_steps_are_those_of_transformers_gpt2_and_torchs_adamw(config: RunConfig, train_tokens: TokenFile) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    trainer = Trainer(config)
    plain = GPT2LMHeadModel(GPT2Config(**config_json(config.shape))).train()
    plain.load_state_dict(to_hugging_face(trainer.model.state_dict(), config.shape), strict=False)
    named = {name: weight for name, weight in plain.named_parameters() if not name.endswith(".bias")}
    groups = [
        {"params": [weight for weight in named.values() if weight.dim() >= 2], "weight_decay": 0.1},
        {"params": [weight for weight in named.values() if weight.dim() < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    for step in range(6):
        ours = trainer.advance(train_tokens)
        batch = torch.from_numpy(train_tokens.batch(step, config.sequences, 16, config.seed))
        loss = F.cross_entropy(plain(batch[:, :-1]).logits.flatten(0, 1), batch[:, 1:].flatten())
        assert ours == pytest.approx(float(loss.detach()), rel=1e-5)
        plain.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(named.values(), config.gradient_clip)
        for group in adamw.param_groups:
            group["lr"] = config.learning_rate * rate_factor(config, step)
        adamw.step()
    for name, mine in to_hugging_face(trainer.model.state_dict(), config.shape).items():
        if name in named:
            assert (mine - named[name]).abs().max() < 2e-5, name


def test_it_goes_on_and_branches_off_to_the_same_bits(
    config: RunConfig, train_tokens: TokenFile, tmp_path: Path
) -> None:
    whole = train(config, train_tokens, tmp_path / "whole")
    cut = Trainer(config)
    for _ in range(7):
        cut.advance(train_tokens)
    cut.save(tmp_path / "cut" / "checkpoints.scratch")
    marks = (config.trunk_steps,)
    train(config, train_tokens, tmp_path / "trunk", stop=config.trunk_steps, marks=marks)
    mark = checkpoint_path(tmp_path / "trunk" / "marks.scratch", config.trunk_steps)
    others = (
        train(config, train_tokens, tmp_path / "cut"),
        train(config, train_tokens, tmp_path / "branch", start=mark),
    )
    for other in others:
        for name, tensor in whole.weights.tensors().items():
            assert tensor.equal(other.weights.tensors()[name]), name


def test_our_own_layout_takes_adamw_too(config: RunConfig, train_tokens: TokenFile) -> None:
    shape = Recipe(300, 16, 64).shape(32)
    trainer = Trainer(dataclasses.replace(config, shape=shape))
    losses = [trainer.advance(train_tokens) for _ in range(12)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("change", [{"tied": False}, {"kv_heads": 1}, {"head_width": 4}, {"layout": "gpt3"}], ids=str)
def test_what_is_no_such_shape_is_refused(change: dict[str, object], config: RunConfig) -> None:
    with pytest.raises(SettingError, match="layout"):
        Shape(**{**dataclasses.asdict(config.shape), **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"optimiser": "sgd"}, {"decay": "square"}, {"precision": "int8"}], ids=str)
def test_what_is_no_such_training_is_refused(change: dict[str, str], config: RunConfig) -> None:
    with pytest.raises(SettingError, match="is not"):
        dataclasses.replace(config, **change)  # type: ignore[arg-type]


def test_a_work_folder_asks_for_it_in_its_settings(tmp_path: Path) -> None:
    lines = ["[recipe]", 'layout = "gpt2"', 'optimiser = "adamw"', 'decay = "cosine"', "learning_rate = 0.002"]
    (tmp_path / "chidu.toml").write_text("\n".join([*lines, "weight_decay = 0.1"]))
    settings = read_settings(tmp_path)
    asked = settings.recipes[0]
    assert asked == Recipe.gpt2(asked.vocabulary, asked.context_length, asked.batch_tokens)
    write_settings(tmp_path, settings)
    assert read_settings(tmp_path) == settings
    # No length shares more than the warm-up with another, and the design knows it.
    assert asked.falling_part == 1.0


@pytest.mark.parametrize("line", ['layout = "gpt3"', "decay = 1", "optimiser = true"])
def test_a_word_that_is_none_of_the_recipes_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "chidu.toml").write_text(f"[recipe]\n{line}\n")
    with pytest.raises(SettingError, match=r"recipe\.\w+ is .*; it must be '"):
        read_settings(tmp_path)
