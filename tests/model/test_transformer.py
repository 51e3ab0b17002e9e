"""The Transformer: its closed-form cost, its loss, its causality, its cache."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from chidu.model import Transformer
from chidu.model.gradient import GradientPass
from chidu.runs import Recipe, Shape
from chidu.runs.shape import VARIANTS

SHAPES = {
    "plain": Shape(64, 8, 16, 2, 2, 2, 8, 32),
    "grouped": Shape(64, 8, 16, 3, 4, 2, 4, 20),
    "one key head, odd MLP": Shape(97, 12, 24, 2, 6, 1, 4, 37),
    "tied": Shape(50, 8, 16, 2, 2, 1, 8, 24, tied=True),
    "gpt2": Shape(64, 8, 16, 2, 2, 2, 8, 40, tied=True, layout="gpt2"),
    **{name: Shape(64, 8, 16, 2, 2, 2, 8, 28, layout=name) for name in VARIANTS},
    "tied, learned positions": Shape(50, 8, 16, 2, 2, 1, 8, 24, tied=True, layout="qwen3 with learned positions"),
    "wide heads": Shape(33, 5, 10, 1, 3, 3, 14, 7),
    "recipe": dataclasses.replace(Recipe().shape(32), vocabulary=300, context_length=32),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def made(shape: Shape, seed: int = 0) -> Transformer:
    """A model none of whose weights is zero, so that every part has its say."""
    model = Transformer(shape)
    model.initialise(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


def drawn(shape: Shape, sequences: int = 2, length: int | None = None, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(shape.vocabulary, (sequences, length or shape.context_length), generator=generator)


@every_shape
def test_params_are_those_of_the_modules(shape: Shape) -> None:
    model = Transformer(shape)
    assert shape.params == sum(weight.numel() for weight in model.parameters())
    multiplied = [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert shape.params_matmul == sum(weight.numel() for weight in multiplied)
    assert shape.weight_bytes() == sum(weight.numel() * weight.element_size() for weight in model.parameters())


@every_shape
def test_flops_are_those_that_torch_counts(shape: Shape) -> None:
    model, tokens = made(shape), drawn(shape, sequences=3)
    with FlopCounterMode(display=False) as counter:
        model.loss(tokens, tokens).backward()
    assert counter.get_total_flops() == tokens.numel() * shape.flops_per_token()
    with FlopCounterMode(display=False) as counter:
        GradientPass(model)(tokens, tokens)
    assert counter.get_total_flops() == tokens.numel() * shape.flops_per_token()


def test_flops_of_shorter_sequences(tiny_shape: Shape) -> None:
    model, tokens = made(tiny_shape), drawn(tiny_shape, length=5)
    with FlopCounterMode(display=False) as counter:
        model.loss(tokens, tokens).backward()
    assert counter.get_total_flops() == tokens.numel() * tiny_shape.flops_per_token(5)


def test_the_loss_of_a_model_is_that_of_its_logits(tiny_shape: Shape) -> None:
    model, tokens, targets = made(tiny_shape), drawn(tiny_shape), drawn(tiny_shape, seed=1)
    expected = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    assert model.loss(tokens, targets).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_loss_in_bf16_is_float32_and_close(tiny_shape: Shape) -> None:
    model, tokens = made(tiny_shape), drawn(tiny_shape)
    exact = model.loss(tokens, tokens).item()
    loss = model.to(torch.bfloat16).loss(tokens, tokens)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=0.03)


@every_shape
def test_a_fresh_model_knows_nothing(shape: Shape) -> None:
    model = Transformer(shape)
    model.initialise(0)
    tokens = drawn(shape, sequences=8)
    if not shape.tied:
        assert model.loss(tokens, tokens.roll(1)).item() == pytest.approx(math.log(shape.vocabulary), rel=0.02)


def test_a_tied_table_begins_between_embedding_and_head() -> None:
    model = Transformer(Shape(500, 8, 64, 2, 2, 2, 32, 64, tied=True))
    model.initialise(0)
    assert float(model.embedding.weight.detach().std()) == pytest.approx((0.7 * 0.02) ** 0.5, rel=0.02)


@pytest.mark.parametrize(("layout", "sees_order"), [("qwen3 without positions", False), ("qwen3", True),
                                                    ("qwen3 with learned positions", True)])  # fmt: skip
def test_without_positions_one_layer_sees_a_bag_of_words(layout: str, sees_order: bool) -> None:
    shape = Shape(64, 8, 16, 1, 2, 2, 8, 28, layout=layout)
    model, tokens = made(shape), drawn(shape)
    swapped = tokens.clone()
    swapped[:, [1, 4]] = tokens[:, [4, 1]]
    with torch.no_grad():
        before, after = model(tokens)[:, -1], model(swapped)[:, -1]
    assert torch.allclose(before, after, atol=1e-5) == (not sees_order)


def test_the_seed_alone_decides_the_weights(tiny_shape: Shape) -> None:
    models = [Transformer(tiny_shape) for _ in range(3)]
    for model, seed in zip(models, (5, 5, 6), strict=True):
        torch.rand(7)
        model.initialise(seed)
    one, two, three = (torch.cat([weight.flatten() for weight in model.parameters()]) for model in models)
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


@given(place=st.integers(0, 15), token=st.integers(0, 299), seed=st.integers(0, 99))
def test_a_token_changes_nothing_before_it(place: int, token: int, seed: int) -> None:
    shape = Shape(300, 16, 16, 2, 2, 1, 8, 24)
    model, tokens = made(shape), drawn(shape, sequences=1, seed=seed)
    changed = tokens.clone()
    changed[0, place] = token
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :place], after[:, :place])
    assert torch.equal(before, after) == bool(tokens[0, place] == token)


@every_shape
@pytest.mark.parametrize("cut", [1, 3])
def test_the_cache_gives_what_the_whole_pass_gives(shape: Shape, cut: int) -> None:
    model, tokens = made(shape), drawn(shape)
    with torch.inference_mode():
        whole = model(tokens)
        features, past = model.features(tokens[:, :cut])
        parts = [model.head(features)]
        for i in range(cut, shape.context_length):
            features, past = model.features(tokens[:, i : i + 1], past)
            parts.append(model.head(features))
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_a_sequence_does_not_depend_on_its_neighbours(tiny_shape: Shape) -> None:
    model, tokens = made(tiny_shape), drawn(tiny_shape, sequences=3)
    with torch.inference_mode():
        torch.testing.assert_close(model(tokens)[1:2], model(tokens[1:2]), rtol=1e-4, atol=1e-5)
