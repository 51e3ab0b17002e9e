"""Batches that are passed over, runs that are taken back: by their losses alone, and to the same bits."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from chidu.errors import StoppedError, TrainingError
from chidu.runs import RunConfig
from chidu.tokens import TokenFile
from chidu.training import loop, underway
from chidu.training.loop import Trainer, train
from chidu.training.steadiness import MOST_PASSED_OVER, WINDOW, Course, Steadiness, Step


def test_what_is_no_number_is_passed_over_and_too_many_lead_astray() -> None:
    steadiness = Steadiness()
    found = [steadiness.judge(step, math.nan) for step in range(MOST_PASSED_OVER + 1)]
    assert found == [Step.PASS_OVER] * MOST_PASSED_OVER + [Step.ASTRAY]


def test_a_spike_is_passed_over_once_there_are_losses_to_hold_it_against() -> None:
    steadiness = Steadiness()
    losses = 3.0 + np.random.default_rng(0).normal(0, 0.02, WINDOW)
    assert all(steadiness.judge(step, float(loss)) is Step.TAKE for step, loss in enumerate(losses))
    assert steadiness.judge(WINDOW, 3.05) is Step.TAKE
    assert steadiness.judge(WINDOW + 1, 3.5) is Step.PASS_OVER
    again = Steadiness()
    again.load(steadiness.state())
    assert again.state() == steadiness.state()


def test_a_loss_that_climbs_slowly_is_astray() -> None:
    steadiness = Steadiness()
    found = [steadiness.judge(step, 3.0 + 0.005 * step) for step in range(400)]
    assert Step.ASTRAY in found


def test_after_a_way_back_no_batch_is_read_again() -> None:
    course = Course().back(200, 72)
    assert [course.place(step) for step in (0, 71, 72, 73)] == [0, 71, 201, 202]
    further = course.back(80, 60)
    assert [further.place(step) for step in (59, 60, 72)] == [59, 210, 222]
    assert further.steps_lost() == 128 + 20
    assert further.steps_lost(since=70) == 128
    assert Course.of(further.state()) == further


class Poisoned:
    """Batches one of which makes the run say that it is astray."""

    def __init__(self, tokens: TokenFile, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
        self.tokens, self.at, self.last = tokens, place, -1
        judge = Steadiness.judge

        def poisoned(steadiness: Steadiness, step: int, loss: float) -> Step:
            return Step.ASTRAY if self.last == self.at else judge(steadiness, step, loss)

        monkeypatch.setattr(Steadiness, "judge", poisoned)

    def batch(self, step: int, sequences: int, context_length: int, seed: int) -> NDArray[np.int64]:
        self.last = step
        return self.tokens.batch(step, sequences, context_length, seed)


@pytest.mark.parametrize("seconds", [1e9, -1.0], ids=["from the start again", "from a checkpoint"])
def test_a_run_astray_is_taken_back_to_the_same_bits_wherever_its_checkpoints_lie(
    seconds: float, tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "BACK", 1)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", seconds)
    told: list[str] = []
    batches = Poisoned(train_tokens, monkeypatch, place=7)
    trainer = train(tiny_config, batches, tmp_path / "run", tell=lambda _, line: told.append(line))
    assert trainer.course.rollbacks == ((7, 6),)
    assert "taken back to step 6" in told[0]
    plain = Trainer(tiny_config)
    plain.course = trainer.course
    while plain.step < tiny_config.steps:
        plain.advance(batches)
    for name, tensor in plain.weights.tensors().items():
        assert tensor.equal(trainer.weights.tensors()[name]), name


def test_a_run_that_stays_astray_ends_with_the_reason(
    tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Steadiness, "judge", lambda *_: Step.ASTRAY)
    with pytest.raises(TrainingError, match=r"taken back 3 times.*lower its rate"):
        train(tiny_config, train_tokens, tmp_path)


def test_a_run_that_is_asked_to_stop_saves_its_step_and_goes_on_to_the_same_bits(
    tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tiny_config, train_tokens, tmp_path / "whole")
    steps: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(underway, "is_stop_asked", lambda: len(steps) == 4)
        with pytest.raises(StoppedError, match="stopped at step 5 of"):
            train(tiny_config, train_tokens, tmp_path / "cut", progress=lambda step, _: steps.append(step))
    again: list[int] = []
    resumed = train(tiny_config, train_tokens, tmp_path / "cut", progress=lambda step, _: again.append(step))
    assert steps + again == list(range(1, tiny_config.steps + 1))
    for name, tensor in whole.weights.tensors().items():
        assert tensor.equal(resumed.weights.tensors()[name]), name


def test_a_run_of_another_config_does_not_go_on(
    tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    train(tiny_config, train_tokens, tmp_path, stop=3)
    other = dataclasses.replace(tiny_config, learning_rate=2 * tiny_config.learning_rate)
    with pytest.raises(TrainingError, match=r"of another run .learning_rate changed from"):
        train(other, train_tokens, tmp_path)
