"""The loop: the same config gives the same bits, however often it was cut; and it is plain AdamW."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from chidu.errors import TrainingError
from chidu.model import Transformer
from chidu.runs import RunConfig, Shape
from chidu.runs.record import fingerprint
from chidu.tokens import TokenFile
from chidu.training import loop
from chidu.training.checkpoint import checkpoint_path
from chidu.training.held_out import held_out_loss
from chidu.training.loop import Trainer, train, trained_model
from chidu.training.optimiser import BETAS, EPSILON, orthogonalise, rate_factor
from chidu.training.underway import forget
from chidu.training.weights import FlatWeights, group_of

precisions = pytest.mark.parametrize("precision", ["float32", "bf16"])


def bits(trainer: Trainer) -> dict[str, Any]:
    """All that two equal trainings share to the last bit."""
    found = {**trainer.weights.tensors(), **trainer.optimiser.tensors()}
    return {name: tensor.clone() for name, tensor in found.items()}


def assert_same(one: Trainer, two: Trainer) -> None:
    first, second = bits(one), bits(two)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    for mine, other in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(mine, other)


# The rate


@given(steps=st.integers(1, 400), warmup=st.integers(0, 60), decay=st.floats(0, 1))
def test_the_rate_rises_stays_and_falls(steps: int, warmup: int, decay: float, tiny_config: RunConfig) -> None:
    config = dataclasses.replace(tiny_config, steps=steps, warmup_steps=min(warmup, steps), decay_fraction=decay)
    factors = [rate_factor(config, step) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    trunk = factors[: config.trunk_steps]
    assert trunk == sorted(trunk)
    assert all(factor == 1 for factor in trunk[config.warmup_steps :])
    if config.decay_steps:
        rise = min(1.0, steps / max(1, config.warmup_steps))
        assert factors[-1] <= rise / config.decay_steps + 1e-12
        assert rate_factor(config, steps) == 0


@given(short=st.integers(20, 400), longer=st.integers(1, 5))
def test_lengths_of_one_recipe_agree_as_far_as_they_share(short: int, longer: int, tiny_config: RunConfig) -> None:
    one = dataclasses.replace(tiny_config, steps=short, warmup_steps=10, decay_fraction=0.3)
    two = one.with_steps(short * longer)
    assert all(rate_factor(one, step) == rate_factor(two, step) for step in range(one.trunk_steps))


# Flat weights


@precisions
def test_the_models_weights_are_views_of_the_flat_ones(precision: str, tiny_config: RunConfig) -> None:
    model = Transformer(tiny_config.shape)
    model.initialise(0)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    flat = FlatWeights(model, dtype)
    for name, weight in model.named_parameters():
        assert weight.dtype == dtype
        assert torch.equal(weight, before[name].to(dtype))
        assert weight.untyped_storage().data_ptr() == flat.working.untyped_storage().data_ptr()
    flat.master.fill_(0.3333)
    flat.publish()
    for weight in model.parameters():
        assert torch.equal(weight, torch.full_like(weight, 0.3333))
    assert flat.master.numel() == tiny_config.shape.params


def test_autograd_adds_into_the_flat_gradient(tiny_config: RunConfig, train_tokens: TokenFile) -> None:
    trainer = Trainer(tiny_config)
    tokens = torch.from_numpy(train_tokens.batch(0, 2, tiny_config.shape.context_length, 0))
    trainer.model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    expected = sum(weight.grad.double().square().sum() for weight in trainer.model.parameters())
    trainer.weights.collect()
    assert float(trainer.weights.clip(1e9)) == pytest.approx(float(expected) ** 0.5, rel=1e-5)
    trainer.weights.clear()
    assert all(not weight.grad.any() for weight in trainer.model.parameters())


def single_matrices(name: str, weight: torch.Tensor, shape: Shape) -> list[torch.Tensor]:
    """See the joined matrices as the single ones that they are."""
    if "gate_up" in name:
        return list(weight.chunk(2))
    if "qkv" in name and shape.heads == shape.kv_heads:
        return list(weight.chunk(3))
    return [weight]


def plain_muon(weight: torch.Tensor, gradient: torch.Tensor, momentum: torch.Tensor, rate: float, decay: float) -> None:
    """Move one matrix as Muon's paper says, one operation at a time."""
    momentum.copy_(0.95 * momentum + 0.05 * gradient)
    x = 0.05 * gradient + 0.95 * momentum
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    x = x.T if tall else x
    scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
    weight.copy_(weight * (1 - rate * decay) - rate * scale * x)


@pytest.mark.parametrize("change", [{}, {"tied": True}, {"kv_heads": 2, "mlp_width": 37}], ids=str)
def test_steps_are_those_of_muon_and_adam_written_plainly(
    change: dict[str, Any], tiny_config: RunConfig, train_tokens: TokenFile
) -> None:
    config = dataclasses.replace(tiny_config, shape=dataclasses.replace(tiny_config.shape, **change))
    trainer = Trainer(config)
    plain = Transformer(config.shape)
    plain.initialise(config.seed)
    rates = {
        "embedding": config.embedding_learning_rate,
        "norms": config.embedding_learning_rate,
        "head": config.head_learning_rate,
    }
    named = {name: (group_of(name, weight), weight) for name, weight in plain.named_parameters()}
    groups = [{"params": [weight], "group": group} for group, weight in named.values() if group != "matrices"]
    matrices = {name: weight for name, (group, weight) in named.items() if group == "matrices"}
    momenta = {name: torch.zeros_like(weight) for name, weight in matrices.items()}
    adam = torch.optim.Adam(groups, betas=BETAS, eps=EPSILON)
    for step in range(6):
        trainer.advance(train_tokens)
        batch = train_tokens.batch(step, config.sequences, config.shape.context_length, config.seed)
        tokens = torch.from_numpy(batch)
        plain.zero_grad()
        F.cross_entropy(plain(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), config.gradient_clip)
        factor = rate_factor(config, step)
        for group in adam.param_groups:
            group["lr"] = rates[group["group"]] * factor
        adam.step()
        with torch.no_grad():
            for name, weight in matrices.items():
                parts = (single_matrices(name, one, config.shape) for one in (weight, weight.grad, momenta[name]))
                for one in zip(*parts, strict=True):
                    plain_muon(*one, config.learning_rate * factor, config.weight_decay)
    for (name, mine), other in zip(trainer.model.named_parameters(), plain.parameters(), strict=True):
        assert (mine - other).abs().max() < 5e-6, name


def test_an_orthogonal_matrix_has_singular_values_near_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((16, 16), (8, 24), (24, 8)):
        stack = torch.randn(3, rows, columns, generator=generator)
        values = torch.linalg.svdvals(orthogonalise(stack, torch.float32))
        assert 0.3 < values.min() < values.max() < 1.3


# The same bits


@precisions
def test_the_same_config_gives_the_same_bits(
    precision: str, tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, precision=precision)
    one, two = (train(config, train_tokens, tmp_path / str(i)) for i in range(2))
    assert_same(one, two)
    assert one.curve == two.curve
    assert one.curve.norms == two.curve.norms
    assert [step for step, _, _ in one.curve.norms] == [step for step, _ in one.curve]
    other = train(dataclasses.replace(config, seed=1), train_tokens, tmp_path / "other")
    assert other.curve != one.curve


@precisions
@settings(max_examples=6)
@given(step=st.integers(1, 11))
def test_a_run_that_was_cut_anywhere_ends_in_the_same_bits(
    step: int, precision: str, tiny_config: RunConfig, train_tokens: TokenFile, tmp_path_factory: Any
) -> None:
    config, folder = dataclasses.replace(tiny_config, precision=precision), tmp_path_factory.mktemp("cut")
    whole = train(config, train_tokens, folder / "whole")
    cut = Trainer(config)
    for _ in range(step):
        cut.advance(train_tokens)
    cut.save(folder / "cut" / "checkpoints.scratch")
    seen: list[int] = []
    resumed = train(config, train_tokens, folder / "cut", progress=lambda step, loss: seen.append(step))
    assert seen == list(range(step + 1, config.steps + 1))
    assert_same(whole, resumed)
    assert resumed.curve == whole.curve
    assert resumed.curve.norms == whole.curve.norms
    one, two = (fingerprint({**each.curve.as_dict(), "seconds": 0.0}) for each in (whole, resumed))
    assert one == two


@precisions
def test_a_branch_is_the_run_that_was_trained_by_itself(
    precision: str, tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path
) -> None:
    longest = dataclasses.replace(tiny_config, precision=precision, steps=48)
    lengths = [longest.with_steps(steps) for steps in (12, 24, 48)]
    marks = tuple(config.trunk_steps for config in lengths)
    train(longest, train_tokens, tmp_path / "trunk", stop=longest.trunk_steps, marks=marks)
    for config in lengths:
        mark = checkpoint_path(tmp_path / "trunk" / "marks.scratch", config.trunk_steps)
        branch = train(config, train_tokens, tmp_path / f"branch{config.steps}", start=mark)
        alone = train(config, train_tokens, tmp_path / f"alone{config.steps}")
        assert_same(branch, alone)
        assert branch.curve[-1] == alone.curve[-1]


def test_the_norm_that_is_kept_is_the_gradients_before_it_is_clipped(
    tiny_config: RunConfig, train_tokens: TokenFile
) -> None:
    config = dataclasses.replace(tiny_config, gradient_clip=0.1)
    trainer, plain = Trainer(config), Transformer(config.shape)
    plain.initialise(config.seed)
    tokens = torch.from_numpy(train_tokens.batch(0, config.sequences, config.shape.context_length, config.seed))
    F.cross_entropy(plain(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
    expected = float(torch.linalg.vector_norm(torch.stack([each.grad.norm() for each in plain.parameters()])))
    trainer.advance(train_tokens)
    assert expected > 0.1
    assert trainer.curve.norms == [(1, pytest.approx(expected, rel=1e-4), trainer.norm)]


def test_a_mark_that_is_torn_is_named(tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path) -> None:
    train(tiny_config, train_tokens, tmp_path / "trunk", stop=6, marks=(6,))
    mark = checkpoint_path(tmp_path / "trunk" / "marks.scratch", 6)
    (mark / "tensors.safetensors").write_bytes(b"torn")
    with pytest.raises(TrainingError, match="cut short"):
        train(tiny_config, train_tokens, tmp_path / "branch", start=mark)


def test_checkpoints_are_written_by_the_clock_and_change_nothing(
    tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tiny_config, train_tokens, tmp_path / "whole")
    assert not list((tmp_path / "whole").glob("checkpoints.scratch/*"))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    often = train(tiny_config, train_tokens, tmp_path / "often")
    kept = sorted(path.name for path in (tmp_path / "often" / "checkpoints.scratch").iterdir())
    assert kept == ["step-00000010", "step-00000011"]
    assert_same(whole, often)
    forget(tmp_path / "often")
    assert not (tmp_path / "often" / "checkpoints.scratch").exists()


def test_final_weights_come_back_as_a_model(tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path) -> None:
    trainer = train(tiny_config, train_tokens, tmp_path)
    trainer.save_weights(tmp_path / "weights.safetensors")
    model = trained_model(tiny_config, tmp_path / "weights.safetensors")
    for mine, other in zip(model.parameters(), trainer.model.parameters(), strict=True):
        assert torch.equal(mine, other)
    wider = dataclasses.replace(tiny_config, shape=dataclasses.replace(tiny_config.shape, width=24))
    with pytest.raises(TrainingError, match="does not fit"):
        trained_model(wider, tmp_path / "weights.safetensors")
    (tmp_path / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(TrainingError, match="does not fit"):
        trained_model(tiny_config, tmp_path / "weights.safetensors")


def test_a_run_learns(tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path) -> None:
    trainer = train(tiny_config.with_steps(60), train_tokens, tmp_path)
    assert trainer.curve[-1][1] < trainer.curve[0][1] - 0.3


def test_a_run_that_diverges_is_named_with_its_step(
    tiny_config: RunConfig, train_tokens: TokenFile, tmp_path: Path
) -> None:
    wild = dataclasses.replace(
        tiny_config, steps=200, learning_rate=1e30, embedding_learning_rate=1e30, head_learning_rate=1e30
    )
    with pytest.raises(TrainingError, match=r"step \d+ .*diverged; lower its rate"):
        train(wild, train_tokens, tmp_path)


# Held-out loss


def test_the_held_out_loss_is_the_mean_over_tokens(tiny_config: RunConfig, train_tokens: TokenFile) -> None:
    model = Trainer(tiny_config).model
    batches = list(train_tokens.held_out_batches(tiny_config.shape.context_length, 160, 4))
    tokens = torch.from_numpy(np.concatenate(batches))
    with torch.inference_mode():
        by_token = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    means = by_token.view(len(tokens), -1).double().mean(dim=1)
    found = held_out_loss(model, batches)
    assert found.loss == pytest.approx(float(by_token.double().mean()), rel=1e-6)
    assert found.standard_error == pytest.approx(float(means.std()) / len(means) ** 0.5, rel=1e-4)
    assert found.tokens == 160


@precisions
def test_the_held_out_loss_does_not_depend_on_the_batch(
    precision: str, tiny_config: RunConfig, train_tokens: TokenFile
) -> None:
    model = Trainer(dataclasses.replace(tiny_config, precision=precision)).model
    losses = [
        held_out_loss(model, train_tokens.held_out_batches(tiny_config.shape.context_length, 640, sequences)).loss
        for sequences in (1, 3, 7, 40)
    ]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)


def test_one_sequence_has_no_standard_error(tiny_config: RunConfig, train_tokens: TokenFile) -> None:
    model = Trainer(tiny_config).model
    assert held_out_loss(model, train_tokens.held_out_batches(16, 16, 4)).standard_error == 0
