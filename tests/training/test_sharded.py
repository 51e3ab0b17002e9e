"""A run over many processes is the run of one process: same losses, same weights, whatever the number of processes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.distributed.device_mesh import DeviceMesh

from chidu.runs import Recipe, RunConfig
from chidu.tokens import TokenFile
from chidu.training.loop import train
from chidu.training.ranks import Ranks
from chidu.training.sharded import ShardedTrainer, Thrift

TORCHRUN = (
    *(sys.executable, "-m", "torch.distributed.run"),
    *("--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "--nproc-per-node"),
)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


@pytest.fixture(autouse=True)
def own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture(scope="module")
def alone() -> Iterator[tuple[Ranks, DeviceMesh]]:
    """This process, as the only one of a group."""
    ranks = Ranks(0, 1, 0, dist.HashStore())
    with ranks.meeting() as mesh:
        yield ranks, mesh


def other_config(config: RunConfig) -> RunConfig:
    """Joined q, k, v; more rows than processes divide; decay; a batch of four sequences."""
    shape = dataclasses.replace(config.shape, kv_heads=2, mlp_width=37, vocabulary=301)
    return dataclasses.replace(config, shape=shape, weight_decay=0.1, batch_tokens=64)


def classic_config(config: RunConfig) -> RunConfig:
    """GPT-2's layout, AdamW, a cosine; of the context and batch of the tiny config."""
    shape = config.shape
    recipe = Recipe.gpt2(shape.vocabulary, shape.context_length, config.batch_tokens, precision="float32")
    return recipe.config(32, config.steps, config.seed)


CONFIGS = {"tiny": lambda config: config, "other": other_config, "classic": classic_config}


def run_two(folder: Path, tokens: TokenFile, *parts: dict[str, Any]) -> None:
    """Train the parts, one after another, in two processes of torchrun."""
    (folder / "task.json").write_text(json.dumps({"tokens": str(tokens.path), "parts": parts}))
    state = str(Path(os.environ["XDG_STATE_HOME"]))
    ended = subprocess.run(
        [*TORCHRUN, "2", str(Path(__file__).with_name("sharded_work.py")), str(folder)],
        env={**ENVIRONMENT, "XDG_STATE_HOME": state},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr


def part(name: str, config: RunConfig, stop: int = 12, **more: Any) -> dict[str, Any]:
    return {"name": name, "config": config.as_dict(), "stop": stop, **more}


def found(folder: Path) -> tuple[dict[str, torch.Tensor], list[tuple[int, float]]]:
    result = json.loads((folder / "result.json").read_text())
    return load_file(folder / "whole.safetensors"), [tuple(point) for point in result["curve"]]


def difference(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    assert one.keys() == two.keys()
    return max(float((tensor - two[name]).abs().max()) for name, tensor in one.items())


def assert_close(one: Any, two: Any, within: float) -> None:
    assert difference(one[0], two[0]) < within
    assert [step for step, _ in one[1]] == [step for step, _ in two[1]]
    assert max(abs(a / b - 1) for (_, a), (_, b) in zip(one[1], two[1], strict=True)) < within


def single(config: RunConfig, tokens: TokenFile, folder: Path) -> tuple[dict[str, torch.Tensor], list[Any]]:
    """The run as one process trains it: `chidu.training.loop`."""
    trainer = train(config, tokens, folder)
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}, list(trainer.curve)


def by_one(
    alone: tuple[Ranks, DeviceMesh], config: RunConfig, tokens: TokenFile, thrift: Thrift | None = None, stop: int = 12
) -> ShardedTrainer:
    trainer = ShardedTrainer(config, *alone, thrift)
    while trainer.step < stop:
        trainer.advance(tokens)
    return trainer


def result(trainer: ShardedTrainer) -> tuple[dict[str, torch.Tensor], list[Any]]:
    return trainer.whole_weights(), list(trainer.curve)


@pytest.mark.parametrize("name", CONFIGS)
def test_sharded_over_one_process_is_the_plain_run(
    name: str, alone: tuple[Ranks, DeviceMesh], tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path
) -> None:
    config = CONFIGS[name](tiny_config)
    assert_close(result(by_one(alone, config, train_tokens)), single(config, train_tokens, tmp_path), 1e-6)


def test_two_processes_train_the_run_of_one(
    alone: tuple[Ranks, DeviceMesh], tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path
) -> None:
    other = other_config(tiny_config)
    run_two(
        tmp_path,
        train_tokens,
        part("plain", tiny_config),
        part("classic", classic_config(tiny_config)),
        part("other", other),
        part("thrifty", other, thrift={"sequences_at_once": 1, "recompute": True}),
        part("cut", other, stop=5, save=True),
        part("cut", other),
        part("half", other, stop=5, save=True),
    )
    assert_close(found(tmp_path / "plain"), single(tiny_config, train_tokens, tmp_path / "one"), 1e-6)
    assert_close(
        found(tmp_path / "classic"), single(classic_config(tiny_config), train_tokens, tmp_path / "classic one"), 1e-6
    )
    whole = found(tmp_path / "other")
    assert_close(whole, single(other, train_tokens, tmp_path / "two"), 1e-6)
    assert_close(whole, result(by_one(alone, other, train_tokens)), 1e-6)
    assert_close(whole, found(tmp_path / "thrifty"), 1e-6)
    # Cut and resumed by as many processes: the same bits. By another number: the same run.
    resumed = found(tmp_path / "cut")
    assert difference(whole[0], resumed[0]) == 0
    assert whole[1] == resumed[1]
    trainer = ShardedTrainer(other, *alone)
    trainer.load(next((tmp_path / "half" / "sharded.scratch").iterdir()))
    assert trainer.step == 5
    while trainer.step < 12:
        trainer.advance(train_tokens)
    assert_close(whole, result(trainer), 5e-7)
