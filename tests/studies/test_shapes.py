"""The shapes of the study of structure: equal in params, each with its own detail; and one small study whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chidu.errors import SettingError, TextError
from chidu.runs.recipe import Recipe
from chidu.runs.settings import Settings
from chidu.runs.shape import VARIANTS
from chidu.studies import STUDIES, shapes
from chidu.studies.shapes import BASE, DETAILS, SIZES, config_of, shape_of
from chidu.studies.study import Means
from chidu.tokens import pack, train_tokenizer
from chidu.training import probe
from chidu.training.loop import Trainer, trained_model
from chidu.training.rungs import Text
from in_process import Here

STUDY = STUDIES["structure"]
FEW = ("base", "deep", "no positions", "tied")


@pytest.mark.parametrize("width", sorted({width for row in SIZES for width in row}))
@pytest.mark.parametrize("vocabulary", [1024, 4096])
def test_all_multiply_a_token_with_equally_many_params(width: int, vocabulary: int) -> None:
    recipe = Recipe(vocabulary, 128, 512)
    base = recipe.shape(width)
    assert shape_of(recipe, width, DETAILS[BASE]) == base
    for name, detail in DETAILS.items():
        shape = shape_of(recipe, width, detail)
        assert shape.params_matmul == pytest.approx(base.params_matmul, rel=0.0301), name
        assert shape.heads * shape.head_width == pytest.approx(shape.width, rel=0.35), name
    assert len({shape_of(recipe, width, detail) for detail in DETAILS.values()}) == len(DETAILS)


def test_each_differs_in_its_own_detail() -> None:
    recipe = Recipe(1024, 128, 512)
    base = recipe.shape(64)
    made = {name: shape_of(recipe, 64, detail) for name, detail in DETAILS.items()}
    assert (made["deep"].layers, made["shallow"].layers) == (6, 2)
    assert (made["few heads"].heads, made["many heads"].heads) == (1, 4)
    assert made["few heads"].head_width == made["many heads"].head_width * 4 == 64
    for name, factor in (("wide MLP", 2), ("narrow MLP", 0.5), ("GELU", 1.5), ("ReLU squared", 1.5)):
        own = made[name]
        assert own.mlp_width / own.width == pytest.approx(factor * base.mlp_width / base.width, rel=0.06)
    assert [made[name].positions for name in ("no positions", "learned positions")] == ["none", "learned"]
    assert [made[name].activation for name in ("GELU", "ReLU squared")] == ["gelu", "relu squared"]
    assert made["tied"].tied
    assert made["tied"].width == 64


def test_rates_follow_the_width_by_the_recipes_rule() -> None:
    recipe = Recipe(1024, 128, 512)
    deep, tied = (config_of(recipe, 64, name, 200, 0) for name in ("deep", "tied"))
    assert deep.embedding_learning_rate == pytest.approx(0.075 * (64 / deep.shape.width) ** 0.5)
    assert deep.head_learning_rate == pytest.approx(0.01 * (64 / deep.shape.width) ** 0.5)
    assert tied.embedding_learning_rate == pytest.approx((0.075 * 0.01) ** 0.5)
    assert config_of(recipe, 64, BASE, 200, 3) == recipe.config(64, 200, 3)


@pytest.mark.parametrize("layout", VARIANTS)
def test_a_variant_trains_and_comes_back_from_its_weights(layout: str, tmp_path: Path) -> None:
    config = Recipe(64, 16, 32, warmup_steps=1, precision="float32").config(16, 30, 0)
    shape = replace(config.shape, layout=layout)
    mlp_width = config.shape.mlp_width * (1 if shape.is_gated else 2)
    trainer = Trainer(replace(config, shape=replace(shape, mlp_width=mlp_width)))
    losses = [trainer.advance(probe.RandomTokens(4)) for _ in range(30)]
    assert losses[-1] < losses[0] - 1
    trainer.save_weights(tmp_path / "weights.safetensors")
    back = trained_model(trainer.config, tmp_path / "weights.safetensors")
    for name, weight in trainer.model.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], weight, msg=name)


def test_a_work_folder_can_not_ask_for_a_variant() -> None:
    with pytest.raises(SettingError, match="layout"):
        Settings(recipe={"layout": "qwen3 with gelu"})


@pytest.fixture(scope="module", autouse=True)
def _shrunk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "SIZES", ((12, 16, 20, 24), (12, 16, 20, 24, 28)))
        patch.setattr(shapes, "LEAST_STEPS", 4)
        patch.setattr(shapes, "WANTED_STEPS", 40)
        patch.setattr(probe, "measure_apart", lambda configs, place, at_once: (0.1,) * len(configs))
        yield


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "DETAILS", {name: DETAILS[name] for name in FEW})


@pytest.fixture(scope="module")
def means(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Means:
    folder = tmp_path_factory.mktemp("structure")
    texts = [path.read_text("utf-8") for path in sorted(text_folder.iterdir())[:2]]
    for name, text in zip(("train", "held_out"), texts, strict=True):
        (folder / f"{name}.jsonl").write_text(json.dumps({"text": text}) + "\n", "utf-8")
    train_tokenizer(folder / "train.jsonl", folder / "tokenizer.json", 300)
    for name in ("train", "held_out"):
        pack(folder / "tokenizer.json", folder / f"{name}.jsonl", folder / f"{name}.bin", 1)
    text = Text(folder / "train.bin", folder / "held_out.bin", 128)
    recipes = tuple(Recipe(300, 16, batch, warmup_steps=2) for batch in (64, 32))
    return Means(
        folder / "runs", text, "text", 300, recipes, 100_000, folder, 60.0, 0, Here(),  # type: ignore[arg-type]
        lambda _fraction, _words: None,
    )  # fmt: skip


def test_runs_are_made_and_found_again(means: Means, few: None) -> None:
    """Two shapes of two sizes; another call trains nothing."""
    own = STUDY.own_runs
    assert own is not None
    plan = own.plan(means)
    assert 0 < plan["seconds"] <= means.seconds
    assert plan["words"].startswith("32 runs: 2 seeds of 4 shapes (base, deep, no positions, tied) of the sizes of ")
    assert len({each["config"]["seed"] for each in plan["rungs"]}) == 32  # no two runs share luck
    wanted = [each for each in shortened(plan) if each["shape"] in ("base", "no positions")]
    some = {**plan, "rungs": [each for each in wanted if each["config"]["shape"]["width"] < 20]}
    table = own.make(means, json.loads(json.dumps(some)))
    assert table.columns["shape"].tolist() == ["base", "base", "no positions", "no positions"] * 2
    assert table.columns["layers"].tolist() == [3] * 8
    before = {path: path.stat().st_mtime_ns for path in means.folder.glob("*/run.json")}
    assert len(before) == 8
    assert not list(means.folder.glob("*.scratch"))
    np.testing.assert_array_equal(own.make(means, some).numbers("loss"), table.numbers("loss"))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def shortened(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The plan's runs, of four steps each."""
    return [{**each, "config": {**each["config"], "steps": 4}} for each in plan["rungs"]]


@pytest.mark.verify
def test_a_small_study_from_plan_to_verdict(means: Means, few: None) -> None:
    own = STUDY.own_runs
    assert own is not None
    plan = own.plan(means)
    verdict = STUDY.verdict(own.make(means, {**plan, "rungs": shortened(plan)}))
    assert verdict.runs == 32
    found = verdict.findings
    assert (found["params_are"], found["against"]) == ("params_matmul", "base")
    assert {each["shape"] for each in found["details"]} == {"deep", "no positions", "tied"}
    assert all(len(each["points"]) == 4 for each in found["details"])
    assert len(found["spread"]) == len(found["law"]) == 4


def test_more_time_buys_the_larger_batch_and_more_sizes(means: Means) -> None:
    """At 0.1 s a step of all 12 shapes, each with two seeds, on two cores."""
    own = STUDY.own_runs
    assert own is not None
    little, more, much = (own.plan(replace(means, seconds=seconds)) for seconds in (110.0, 235.0, 3000.0))
    assert "each 10 steps of 32 tokens" in little["words"]
    assert "widths 12, 16, 20, 24, each 40 steps of 64 tokens" in more["words"]
    assert "widths 12, 16, 20, 24, 28" in much["words"]
    assert all(each["seconds"] <= seconds for each, seconds in ((little, 110), (more, 235), (much, 3000)))


def test_what_can_not_be_run_is_refused_in_a_line(means: Means) -> None:
    own = STUDY.own_runs
    assert own is not None
    with pytest.raises(TextError, match=r"0\.2 minutes are too few for 4 steps of 12 shapes of 4 sizes, which need"):
        own.plan(replace(means, seconds=10.0))
    with pytest.raises(TextError, match="the text holds 100 tokens to train on; structure needs 129: add text"):
        own.plan(replace(means, train_tokens=100))
    classic = replace(means, recipes=(Recipe.gpt2(300, 16, 32),))
    with pytest.raises(SettingError, match="varies shapes of the qwen3 layout"):
        own.plan(classic)
