"""Beam search: the best there is where all is followed, greedy where one is, and nothing without an end."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.inference.beam import beam_search
from chidu.model.transformer import Transformer
from chidu.runs import Recipe

END = 0
WORDS = 5


def drawn(seed: int, layout: str = "qwen3", sharp: float = 60.0) -> Transformer:
    """A model of random weights, whose head is large enough for it to have opinions."""
    model = Transformer(Recipe(vocabulary=WORDS, context_length=16, layout=layout).shape(16)).eval()
    model.initialise(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.head.weight.mul_(sharp)
        for block in model.blocks:
            block.attention.out.weight.normal_(std=0.5, generator=generator)
    return model


@torch.inference_mode()
def logprob(model: Transformer, prefix: list[int], tokens: list[int]) -> float:
    rows = model(torch.tensor([[*prefix, *tokens]]))[0].float().log_softmax(dim=-1).double()
    return sum(float(rows[len(prefix) - 1 + at, token]) for at, token in enumerate(tokens))


@torch.inference_mode()
def greedy(model: Transformer, prefix: list[int], most: int) -> list[int]:
    written: list[int] = []
    for _ in range(most):
        token = int(model(torch.tensor([[*prefix, *written]]))[0, -1].argmax())
        if token == END:
            break
        written.append(token)
    return written


@given(st.integers(0, 2**31), st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=4), st.integers(1, 8))
@settings(max_examples=25)
def test_one_beam_is_greedy(seed: int, prefix: list[int], most: int) -> None:
    model = drawn(seed)
    found = beam_search(model, prefix, most, 1, END)
    wanted = greedy(model, prefix, most)
    assert list(found.tokens) == wanted
    ends = [*wanted, END] if found.is_ended else wanted
    assert found.is_ended == (len(wanted) < most)
    assert found.logprob == pytest.approx(logprob(model, prefix, ends), abs=1e-3)


@pytest.mark.parametrize("layout", ["qwen3", "gpt2"])
@pytest.mark.parametrize("seed", range(4))
def test_where_every_text_is_followed_the_best_is_found(seed: int, layout: str) -> None:
    model, prefix, most = drawn(seed, layout), [1, 2], 3
    found = beam_search(model, prefix, most, WORDS**most, END)
    words = range(1, WORDS)
    texts = [list(text) for size in range(most) for text in itertools.product(words, repeat=size)]
    worths = {tuple(text): logprob(model, prefix, [*text, END]) / (len(text) + 1) for text in texts}
    assert found.is_ended
    assert found.tokens == max(worths, key=worths.__getitem__)
    assert found.worth == pytest.approx(max(worths.values()), abs=1e-3)


def test_more_beams_find_texts_at_least_as_likely() -> None:
    found = []
    for seed in range(40):
        model = drawn(seed, sharp=20.0)
        one, four = (beam_search(model, [1, 2], 12, beams, END) for beams in (1, 4))
        # What does not end can be likelier than all that does.
        if one.is_ended:
            found.append(four.worth - one.worth)
    assert len(found) >= 10
    assert sum(more > 1e-3 for more in found) >= 2
    assert sum(more < -1e-3 for more in found) <= len(found) // 10


def test_without_an_end_in_sight_it_stops_where_it_must() -> None:
    model = drawn(1)
    with torch.no_grad():
        model.head.weight[END] = 0
        model.head.weight[3] *= 0
    found = beam_search(model, [1], 5, 2, WORDS)
    assert (len(found.tokens), found.is_ended) == (5, False)
