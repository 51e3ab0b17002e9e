"""The gradient noise scale: planted ones come back, inside their intervals as often as promised."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from chidu.runs import RunConfig
from chidu.tokens import TokenFile
from chidu.training.loop import Trainer
from chidu.training.noise_scale import measure_noise_scale, noise_scale, sequence_gradients


def planted(random: np.random.Generator, count: int, dimension: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradients with |G|² = 1 and tr(Σ) = scale, as products with their mean and with themselves."""
    gradients = random.normal(0, math.sqrt(scale / dimension), (count, dimension))
    gradients[:, 0] += 1.0
    return gradients @ gradients.mean(axis=0), (gradients**2).sum(axis=1)


def test_a_planted_scale_comes_back_inside_its_interval() -> None:
    random = np.random.default_rng(0)
    found = [noise_scale(*planted(random, 200, 50, 30.0)) for _ in range(300)]
    assert np.median([value for value, _, _ in found]) == pytest.approx(30.0, rel=0.05)
    inside = np.mean([low <= 30.0 <= high for _, low, high in found])
    assert 0.84 < inside < 0.97


def test_it_is_not_the_biased_ratio() -> None:
    """The plain square of the mean gradient holds the noise of its own batch: the ratio then can't exceed the count."""
    random = np.random.default_rng(1)
    products = [planted(random, 20, 400, 200.0) for _ in range(400)]
    plain = np.median([(squares.mean() - dots.mean()) / dots.mean() for dots, squares in products])
    ours = np.median([noise_scale(*each)[0] for each in products])
    assert plain < 20
    assert ours == pytest.approx(200.0, rel=0.3)


def test_pure_noise_has_no_upper_end() -> None:
    random = np.random.default_rng(2)
    gradients = random.normal(size=(100, 500))
    _, low, high = noise_scale(gradients @ gradients.mean(axis=0), (gradients**2).sum(axis=1))
    assert high == math.inf
    assert low > 100


def test_gradients_of_single_sequences_average_to_the_batchs(tiny_config: RunConfig, train_tokens: TokenFile) -> None:
    trainer = Trainer(tiny_config)
    for _ in range(4):
        trainer.advance(train_tokens)
    windows = train_tokens.batch(50, 12, 16, seed=3)
    mean = torch.stack([gradient.clone() for gradient in sequence_gradients(trainer, windows)]).mean(dim=0)
    tokens = torch.from_numpy(windows)
    trainer.weights.clear()
    trainer.model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    trainer.weights.collect()
    assert torch.allclose(mean, trainer.weights.gradient, atol=1e-6, rtol=1e-4)


def test_a_models_scale_agrees_with_that_of_two_batch_sizes(tiny_config: RunConfig, train_tokens: TokenFile) -> None:
    """McCandlish et al., appendix A.1: |G_B|² falls by tr(Σ)/B, so two batch sizes tell both."""
    trainer = Trainer(tiny_config)
    for _ in range(8):
        trainer.advance(train_tokens)
    before = {name: tensor.clone() for name, tensor in trainer.weights.tensors().items()}
    windows = train_tokens.batch(4, 384, 16, seed=3)
    found = measure_noise_scale(trainer, windows)
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.weights.tensors().items())
    gradients = torch.stack([gradient.clone() for gradient in sequence_gradients(trainer, windows)]).double()
    small = float(gradients.view(-1, 4, gradients.shape[1]).mean(dim=1).square().sum(dim=1).mean())
    large = float(gradients.view(-1, 64, gradients.shape[1]).mean(dim=1).square().sum(dim=1).mean())
    noise = (small - large) / (1 / 4 - 1 / 64)
    signal = (64 * large - 4 * small) / 60
    assert found.low < 16 * noise / signal < found.high
    assert found.low < found.tokens < found.high
    assert found.sequences == 384
    assert found.step == 8
    assert found.matrices > 0
