"""The log-linear model: what its formula says, word by word, and what it comes to where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from chidu.errors import SettingError
from chidu.model.loglinear import LogLinear, window_sums

WINDOWS = (1, 2, 7, 64, 1024)


def drawn(vocabulary: int, window: int, rank: int | None, mean: bool) -> LogLinear:
    model = LogLinear(vocabulary, window, rank, mean)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(generator=generator)
    return model


def tokens_of(vocabulary: int, sequences: int, length: int) -> Tensor:
    return torch.randint(vocabulary, (sequences, length), generator=torch.Generator().manual_seed(2))


def as_written(model: LogLinear, tokens: Tensor) -> Tensor:
    """The formula, term by term: P [B, T, V] in float64."""
    table = model.embedding.weight.detach().double()
    theta = table.T if model.rank is None else model.head.weight.detach().double() @ table.T  # [V, V]: θ_{k, j}
    found = torch.empty(*tokens.shape, model.vocabulary, dtype=torch.float64)
    for b in range(tokens.shape[0]):
        for i in range(tokens.shape[1]):
            words = tokens[b, max(0, i + 1 - model.window) : i + 1].tolist()
            exponents = torch.stack([theta[:, j] for j in words]).sum(dim=0) / (len(words) if model.mean else 1)
            powers = (exponents - exponents.max()).exp()
            found[b, i] = powers / powers.sum()
    return found


@pytest.mark.parametrize("window", [1, 2, 7, 64])
@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("mean", [False, True])
def test_it_is_the_formula(window: int, rank: int | None, mean: bool) -> None:
    model, tokens = drawn(11, window, rank, mean), tokens_of(11, 2, 40)
    found = model.probabilities(tokens).detach().double()
    torch.testing.assert_close(found, as_written(model, tokens), atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("rank", [None, 4])
@pytest.mark.parametrize("mean", [False, True])
def test_rows_sum_to_one(window: int, rank: int | None, mean: bool) -> None:
    found = drawn(50, window, rank, mean).probabilities(tokens_of(50, 2, 1024))
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(2, 1024), atol=1e-5, rtol=0)
    assert (found >= 0).all()


def test_at_window_one_training_comes_to_the_bigram_maximum_likelihood() -> None:
    """Within 1e-3 nats of the training loss, full θ; the counts are the answer in closed form."""
    source = np.random.default_rng(0)
    vocabulary, chances = 24, source.dirichlet(np.full(24, 0.3), 24)
    text = [0]
    for _ in range(6000):
        text.append(int(source.choice(vocabulary, p=chances[text[-1]])))
    counts = np.zeros((vocabulary, vocabulary))
    np.add.at(counts, (text[:-1], text[1:]), 1)
    assert (counts == 0).any()
    parts = np.where(counts > 0, counts / counts.sum(axis=1, keepdims=True), 1.0)
    likeliest = -float((counts * np.log(parts)).sum() / counts.sum())

    model = LogLinear(vocabulary, 1)
    tokens, targets = torch.tensor([text[:-1]]), torch.tensor([text[1:]])
    assert model.loss(tokens, targets).item() == pytest.approx(math.log(vocabulary), abs=1e-6)
    optimiser = torch.optim.LBFGS(
        model.parameters(), lr=1.0, max_iter=200, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = model.loss(tokens, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)
    found = model.loss(tokens, targets).item()
    assert likeliest - 1e-6 < found < likeliest + 1e-3


def test_words_count_and_their_order_does_not() -> None:
    model = drawn(11, 5, None, False)
    once, other = torch.tensor([[1, 2, 2, 3, 4]]), torch.tensor([[2, 4, 1, 3, 2]])
    torch.testing.assert_close(model(once)[0, -1], model(other)[0, -1])
    assert not torch.allclose(model(once)[0, -1], model(torch.tensor([[1, 1, 2, 3, 4]]))[0, -1])


def test_nothing_is_read_ahead_or_beyond_the_window() -> None:
    model, tokens = drawn(11, 4, 3, True), tokens_of(11, 1, 20)
    changed = tokens.clone()
    changed[0, 10] = (changed[0, 10] + 1) % 11
    apart = (model(tokens) - model(changed)).abs().amax(dim=-1)[0] > 1e-6
    assert apart.nonzero().flatten().tolist() == [10, 11, 12, 13]


def test_narrow_windows_far_into_a_sequence_keep_their_digits() -> None:
    x = 100 + torch.randn(1, 4096, 2, generator=torch.Generator().manual_seed(0))
    exact = x.double().unfold(1, 2, 1).sum(dim=-1)
    torch.testing.assert_close(window_sums(x, 2)[:, 1:].double(), exact, atol=3e-5, rtol=0)


def test_gradients_are_those_of_the_formula() -> None:
    x = torch.randn(1, 9, 2, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: window_sums(x, 4), (x,))


@pytest.mark.parametrize(("rank", "params"), [(None, 2500), (4, 400)])
def test_params_are_counted(rank: int | None, params: int) -> None:
    model = LogLinear(50, 8, rank)
    assert model.params == sum(weight.numel() for weight in model.parameters()) == params


@pytest.mark.parametrize("rank", [None, 4])
def test_it_begins_knowing_nothing_and_can_learn(rank: int | None) -> None:
    model, tokens = LogLinear(30, 8, rank), tokens_of(30, 2, 33)
    loss = model.loss(tokens[:, :-1], tokens[:, 1:])
    assert loss.item() == pytest.approx(math.log(30), abs=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert sum(float(weight.grad.abs().sum()) for weight in model.parameters() if weight.grad is not None) > 0


@pytest.mark.parametrize("wrong", [(0, 1, None), (5, 0, None), (5, 1, 0)])
def test_numbers_below_one_are_refused(wrong: tuple[int, int, int | None]) -> None:
    with pytest.raises(SettingError, match="it must be at least 1"):
        LogLinear(*wrong)
