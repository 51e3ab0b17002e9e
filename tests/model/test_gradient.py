"""The gradient written out is autograd's, whatever the shape."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chidu.model import Transformer, gradient
from chidu.model.gradient import GradientPass
from chidu.runs import Shape
from chidu.runs.shape import VARIANTS

SHAPE: dict[str, Any] = {
    "vocabulary": 300,
    "context_length": 16,
    "width": 32,
    "layers": 2,
    "heads": 4,
    "kv_heads": 4,
    "head_width": 8,
    "mlp_width": 24,
}


GPT2: dict[str, Any] = {"layout": "gpt2", "tied": True}


def lively(shape: Shape, dtype: torch.dtype = torch.float32) -> Transformer:
    """A model whose every weight matters: none is zero or one, as they are at the start."""
    model = Transformer(shape)
    model.initialise(1)
    generator = torch.Generator().manual_seed(2)
    for name, weight in model.named_parameters():
        if weight.dim() < 2 or name.endswith(("out.weight", "down.weight")):
            torch.nn.init.normal_(weight, mean=0.2, std=0.3, generator=generator)
    return model.to(dtype)


def both(model: Transformer, tokens: torch.Tensor) -> tuple[tuple[float, float], dict[str, tuple[torch.Tensor, ...]]]:
    """Losses and gradients: autograd's, and ours."""
    model.zero_grad()
    loss = model.loss(tokens[:, :-1], tokens[:, 1:])
    loss.backward()
    theirs = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad.fill_(7.0)  # what was there must not matter
    ours = GradientPass(model)(tokens[:, :-1], tokens[:, 1:])
    return (float(loss.detach()), float(ours)), {
        name: (theirs[name], weight.grad) for name, weight in model.named_parameters()
    }


def assert_near(pairs: dict[str, tuple[torch.Tensor, ...]], part: float) -> None:
    for name, (theirs, ours) in pairs.items():
        assert (theirs - ours).abs().max() <= part * theirs.abs().max(), name


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"kv_heads": 2},
        {"kv_heads": 1},
        {"tied": True},
        {"layers": 1, "mlp_width": 7},
        {"head_width": 6},
        GPT2,
        *({"layout": name} for name in VARIANTS),
    ],
    ids=str,
)
def test_it_is_autograds(change: dict[str, Any]) -> None:
    model = lively(Shape(**{**SHAPE, **change}))
    tokens = torch.randint(300, (3, 17), generator=torch.Generator().manual_seed(0))
    (theirs, ours), pairs = both(model, tokens)
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert_near(pairs, 2e-5)


@given(sequences=st.integers(1, 5), length=st.integers(1, 16), layout=st.sampled_from([{}, GPT2]))
def test_any_number_of_tokens(sequences: int, length: int, layout: dict[str, Any]) -> None:
    model = lively(Shape(**SHAPE, **layout))
    tokens = torch.randint(300, (sequences, length + 1), generator=torch.Generator().manual_seed(length))
    (theirs, ours), pairs = both(model, tokens)
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert_near(pairs, 5e-5)


def test_logits_in_several_parts_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(Shape(**SHAPE))
    tokens = torch.randint(300, (4, 17), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(gradient, "LOGITS_AT_ONCE", 300 * 24)
    (theirs, ours), pairs = both(model, tokens)
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert_near(pairs, 2e-5)


def test_in_bfloat16_it_is_as_near_the_exact_one_as_autograd() -> None:
    tokens = torch.randint(300, (8, 17), generator=torch.Generator().manual_seed(0))
    exact = both(lively(Shape(**SHAPE)), tokens)[1]
    rounded = both(lively(Shape(**SHAPE), torch.bfloat16), tokens)[1]
    off = {"theirs": 0.0, "ours": 0.0}
    for name, (truth, _) in exact.items():
        for who, found in zip(off, rounded[name], strict=True):
            off[who] += float((found.float() - truth).norm() / truth.norm())
    assert off["ours"] <= 1.1 * off["theirs"]


def test_a_token_that_the_model_thinks_impossible_has_a_finite_loss() -> None:
    model = lively(Shape(**SHAPE))
    with torch.no_grad():
        model.head.weight.mul_(1e4)
    tokens = torch.randint(300, (2, 17), generator=torch.Generator().manual_seed(0))
    (theirs, ours), _ = both(model, tokens)
    assert 200 < theirs < float("inf")
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("others", [{}, {"kv_heads": 2}, GPT2])
def test_texts_apart_and_what_is_only_read(others: dict[str, Any]) -> None:
    model = lively(Shape(**{**SHAPE, **others}))
    tokens = torch.randint(1, 300, (3, 17), generator=torch.Generator().manual_seed(3))
    tokens[:, [0, 5, 11]] = 0
    targets = tokens[:, 1:].clone()
    targets[:, [0, 1, 2, 7, 15]] = ~targets[:, [0, 1, 2, 7, 15]]
    loss = model.loss(tokens[:, :-1], targets, are_apart=True)
    loss.backward()
    theirs = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad.fill_(7.0)
    ours = GradientPass(model)(tokens[:, :-1], targets, are_apart=True)
    assert float(ours) == pytest.approx(float(loss.detach()), rel=1e-5)
    assert_near({name: (theirs[name], weight.grad) for name, weight in model.named_parameters()}, 1e-4)


def test_a_text_apart_is_read_as_if_it_stood_alone() -> None:
    model = lively(Shape(**SHAPE))
    one, other = torch.tensor([[0, 7, 8, 9, 3]]), torch.tensor([[0, 4, 5, 6]])
    together = model(torch.cat((one, other), dim=1), are_apart=True)
    assert torch.allclose(together[:, :5], model(one), atol=1e-5)
    assert torch.allclose(together[:, 5:], model(other), atol=1e-5)
    assert not torch.allclose(model(torch.cat((one, other), dim=1))[:, 5:], model(other), atol=1e-3)
