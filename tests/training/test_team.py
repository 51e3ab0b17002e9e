"""Several processes at one run: the same training as one process does, the same bits each time, cut or not."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import team_work
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from chidu.errors import TrainingError
from chidu.parallel import map_processes, meeting
from chidu.runs import RunConfig
from chidu.runs.live import Steps
from chidu.tokens import TokenFile
from chidu.training import Rung, Text, train_target
from chidu.training.loop import Trainer, train
from chidu.training.probe import team_size
from chidu.training.target import WEIGHTS
from chidu.training.team import Team, shared_bytes
from chidu.training.weights import FlatWeights


def train_in(folder: Path, config: RunConfig, text: Text, processes: int) -> tuple[float, dict[str, torch.Tensor]]:
    told: list[Steps] = []
    run = train_target(Rung("target", "target", config), text, folder, processes, 1, told.append)
    assert sum(steps.count for steps in told) == config.steps
    return run.loss, load_file(folder / WEIGHTS)


@pytest.mark.parametrize(
    "change",
    [{}, {"tied": True}, {"kv_heads": 2, "mlp_width": 37}, {"layout": "gpt2", "tied": True, "kv_heads": 2}],
    ids=str,
)
def test_two_processes_train_as_one_does(
    change: dict[str, Any], tiny_config: RunConfig, packed_text: Text, tmp_path: Path
) -> None:
    shape = dataclasses.replace(tiny_config.shape, **change)
    optimiser = "adamw" if shape.is_gpt2 else "muon"
    config = dataclasses.replace(tiny_config, shape=shape, weight_decay=0.1, optimiser=optimiser)
    one, weights = train_in(tmp_path / "one", config, packed_text, 1)
    two, others = train_in(tmp_path / "two", config, packed_text, 2)
    assert two == pytest.approx(one, abs=1e-5)
    for name, tensor in weights.items():
        assert (tensor - others[name]).abs().max() < 1e-4, name


def test_the_same_processes_give_the_same_bits(tiny_config: RunConfig, packed_text: Text, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_config, precision="bf16", batch_tokens=64)
    runs = [train_in(tmp_path / str(i), config, packed_text, 4) for i in range(2)]
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(tensor, runs[1][1][name]) for name, tensor in runs[0][1].items())


def test_a_team_that_was_cut_ends_in_the_same_bits(tiny_config: RunConfig, packed_text: Text, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_config, precision="bf16")
    _, whole = train_in(tmp_path / "whole", config, packed_text, 2)
    map_processes(
        team_work.cut_short,
        [(tmp_path / "cut", config, packed_text.train, rank, 7) for rank in range(2)],
        2,
        shared_bytes=shared_bytes(config.shape.params, 2),
    )
    assert (tmp_path / "cut" / "checkpoints.scratch" / "step-00000007").is_dir()
    run = train_target(Rung("target", "target", config), packed_text, tmp_path / "cut", 2, 1, lambda steps: None)
    assert run.curve[-1][0] == config.steps
    cut = load_file(tmp_path / "cut" / WEIGHTS)
    assert all(torch.equal(tensor, cut[name]) for name, tensor in whole.items())


def test_a_team_that_diverges_stops_as_one_does(tiny_config: RunConfig, packed_text: Text, tmp_path: Path) -> None:
    wild = dataclasses.replace(
        tiny_config, steps=200, learning_rate=1e30, embedding_learning_rate=1e30, head_learning_rate=1e30
    )
    with pytest.raises(TrainingError, match=r"step \d+ .*diverged; lower its rate"):
        train_in(tmp_path, wild, packed_text, 2)


def test_sequences_that_do_not_split_are_refused(tiny_config: RunConfig) -> None:
    with pytest.raises(TrainingError, match="2 sequences a step can't be split over 3 processes"):
        Trainer(tiny_config, team=Team(0, 3))


@given(count=st.integers(0, 50), size=st.integers(1, 9), turn=st.integers(0, 20))
def test_parts_cover_everything_once(count: int, size: int, turn: int) -> None:
    parts = [Team(rank, size).part(count, turn) for rank in range(size)]
    assert sorted(place for part in parts for place in range(part.start, part.stop)) == list(range(count))
    assert max(part.stop - part.start for part in parts) <= math.ceil(count / size)


@given(size=st.integers(1, 5))
def test_the_parts_of_a_team_cover_the_weights_once(size: int, tiny_config: RunConfig) -> None:
    trainers = [Trainer(tiny_config).model for _ in range(size)]
    parts = [
        part
        for rank, model in enumerate(trainers)
        for part in FlatWeights(model, torch.float32, Team(rank, size)).parts
    ]
    assert sorted(place for part in parts for place in range(part.start, part.stop)) == list(
        range(tiny_config.shape.params)
    )


def test_the_memory_asked_for_is_enough(tiny_config: RunConfig) -> None:
    for precision, size in (("float32", 2), ("bf16", 4)):
        config = dataclasses.replace(tiny_config, precision=precision, batch_tokens=64)
        memory = memoryview(bytearray(shared_bytes(config.shape.params, size)))
        Trainer(config, team=Team(1, size, None, memory))


def test_a_team_is_as_large_as_its_sequences_allow(tiny_config: RunConfig) -> None:
    if torch.cuda.is_available():
        pytest.skip("one process owns the GPU")
    wide = dataclasses.replace(tiny_config, batch_tokens=6 * 16)
    assert [team_size(wide, cores) for cores in (1, 2, 3, 4, 5, 64)] == [1, 2, 3, 3, 3, 6]


def test_without_shared_memory_there_is_no_meeting() -> None:
    with pytest.raises(RuntimeError, match="no memory was shared"):
        meeting()


def test_a_team_of_one_is_the_plain_run(
    tiny_config: RunConfig, train_tokens: TokenFile, packed_text: Text, tmp_path: Path
) -> None:
    plain = train(tiny_config, train_tokens, tmp_path / "plain")
    _, weights = train_in(tmp_path / "team", tiny_config, packed_text, 1)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in plain.weights.tensors().items())
