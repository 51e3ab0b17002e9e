"""The log-linear model in the common loop: what it comes to, and that a cut changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from chidu.errors import TrainingError
from chidu.runs import RunConfig, Shape
from chidu.training.bag import Bag, BagTrainer
from chidu.training.loop import go_on, take_steps

VOCABULARY = 16


class Whole:
    """The same text at every step: one batch of all of it."""

    def __init__(self, tokens: np.ndarray) -> None:
        self.tokens = tokens

    def batch(self, step: int, sequences: int, context_length: int, seed: int) -> np.ndarray:
        starts = np.arange(sequences)[:, None] * context_length
        return self.tokens[starts + np.arange(context_length + 1)]


class Drawn:
    """Other tokens at every step."""

    def batch(self, step: int, sequences: int, context_length: int, seed: int) -> np.ndarray:
        return np.random.default_rng((seed, step)).integers(VOCABULARY, size=(sequences, context_length + 1))


def config(steps: int, length: int, sequences: int, rate: float) -> RunConfig:
    shape = Shape(
        vocabulary=VOCABULARY, context_length=length, width=8, layers=1, heads=1, kv_heads=1, head_width=8, mlp_width=8
    )
    return RunConfig(
        shape=shape, steps=steps, batch_tokens=length * sequences, learning_rate=rate, embedding_learning_rate=rate,
        head_learning_rate=rate, warmup_steps=5, decay_fraction=0.5, precision="float32",
    )  # fmt: skip


def test_at_window_one_it_comes_to_the_bigram_maximum_likelihood(tmp_path: Path) -> None:
    """Within 1e-3 nats of the training loss, full θ, trained by the loop; counts are the answer in closed form."""
    source = np.random.default_rng(0)
    chances = source.dirichlet(np.full(VOCABULARY, 0.5), VOCABULARY)
    text = [0]
    for _ in range(4096):
        text.append(int(source.choice(VOCABULARY, p=chances[text[-1]])))
    tokens = np.array(text)
    counts = np.zeros((VOCABULARY, VOCABULARY))
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    parts = np.where(counts > 0, counts / counts.sum(axis=1, keepdims=True), 1.0)
    likeliest = -float((counts * np.log(parts)).sum() / counts.sum())
    trainer = BagTrainer(config(600, 4096, 1, 0.15), Bag(1, None, False))
    take_steps(trainer, Whole(tokens), tmp_path)
    with torch.inference_mode():
        batch = torch.from_numpy(tokens)[None]
        found = float(trainer.model.loss(batch[:, :-1], batch[:, 1:]))
    assert likeliest - 1e-6 < found < likeliest + 1e-3


@pytest.mark.parametrize("bag", [Bag(4, None, False), Bag(4, 3, True)])
def test_a_cut_changes_no_bit(tmp_path: Path, bag: Bag) -> None:
    told = config(20, 16, 2, 0.05)
    whole = BagTrainer(told, bag)
    take_steps(whole, Drawn(), tmp_path / "whole")
    first = BagTrainer(told, bag)
    take_steps(first, Drawn(), tmp_path / "cut", stop=9)
    first.save(tmp_path / "cut" / first.checkpoints)
    again = BagTrainer(told, bag)
    go_on(again, tmp_path / "cut", None, lambda *_: None)
    assert again.step == 9
    take_steps(again, Drawn(), tmp_path / "cut")
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert list(again.curve) == list(whole.curve)
    stranger = BagTrainer(told, replace(bag, window=5))
    with pytest.raises(TrainingError, match="of another model"):
        stranger.load(first.latest(tmp_path / "cut" / first.checkpoints)[0])  # type: ignore[arg-type]


def test_sum_and_mean_are_one_training_where_windows_are_full(tmp_path: Path) -> None:
    """At a window of one they are the same model; at any, θ of the mean is θ of the sum times the window."""
    losses = []
    for mean in (False, True):
        trainer = BagTrainer(config(12, 16, 2, 0.05), Bag(1, None, mean))
        take_steps(trainer, Drawn(), tmp_path / str(mean))
        losses.append([loss for _, loss in trainer.curve])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert Bag(16, None, True).rate(0.1) == pytest.approx(16 * Bag(16, None, False).rate(0.1))


def test_a_batch_without_a_number_moves_nothing(tmp_path: Path) -> None:
    trainer = BagTrainer(config(5, 16, 2, 0.05), Bag(2, None, False))
    with torch.no_grad():
        trainer.model.embedding.weight[0, 0] = math.inf
    before = trainer.model.embedding.weight.detach().clone()
    trainer.advance(Drawn())
    assert torch.equal(trainer.model.embedding.weight, before)
    assert trainer.steadiness.passed_over == [0]
