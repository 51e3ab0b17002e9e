"""The coordinate check: by our rules a few steps move the logits of every width by about as much; the stream too, but
for what the embedding's own steps do to it.

Where the size of an activation, or of its change, follows the width, the best rate does too (Yang et al., 2203.03466;
for updates of one spectral norm, as Muon's are, Yang, Simon and Bernstein, 2310.17813). So the slope of log size by log
width is held near 0, and shown to leave it for rules that are wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from chidu.model.transformer import Transformer
from chidu.runs import Recipe, RunConfig
from chidu.tokens import TokenFile
from chidu.training import Text
from chidu.training.loop import Trainer

WIDTHS = (16, 32, 64, 128)
STREAM, LOGITS = 0.12, 0.35
"""Slopes that are let pass. A rule off by a power of the width shows ±0.5 or ±1, where it is not washed out."""

Change = Callable[[RunConfig], RunConfig]
Start = Callable[[Transformer], None]


def embedding_rate_of_width_64(config: RunConfig) -> RunConfig:
    """So that the stream shows what the other rates do."""
    return replace(config, embedding_learning_rate=0.075)


def test_by_our_rule_for_matrices_and_head_nothing_grows_with_the_width(packed_text: Text) -> None:
    for steps in (4, 12):
        size, change = slopes(packed_text, steps, embedding_rate_of_width_64)
        assert np.abs(size[:-1]).max() < STREAM
        assert np.abs(change[:-1]).max() < STREAM
        assert abs(size[-1]) < LOGITS
        assert abs(change[-1]) < LOGITS


def test_the_embedding_moves_less_in_wide_models_and_the_logits_no_more(packed_text: Text) -> None:
    """Its rate falls by half a power of the width, where sweeps had their best; later layers make up for part of it."""
    for steps in (4, 12):
        size, change = slopes(packed_text, steps)
        assert -0.6 < change[0] < -0.4
        assert change[0] < change[-2] < -STREAM
        assert abs(size[-1]) < LOGITS
        assert abs(change[-1]) < LOGITS


def head_rate_of_width_64(config: RunConfig) -> RunConfig:
    return replace(config, head_learning_rate=0.01)


def matrices_as_under_adam(config: RunConfig) -> RunConfig:
    """Falling as the inverse width: right for Adam, wrong for steps that are made orthogonal."""
    return replace(config, learning_rate=0.64 / config.shape.width)


def matrices_that_rise(config: RunConfig) -> RunConfig:
    return replace(config, learning_rate=0.01 * config.shape.width / 64)


@pytest.mark.parametrize(
    ("wrong", "steps", "at_logits"),
    [(head_rate_of_width_64, 4, True), (matrices_as_under_adam, 12, False), (matrices_that_rise, 12, False)],
)
def test_a_wrong_rate_rule_is_seen(wrong: Change, steps: int, at_logits: bool, packed_text: Text) -> None:
    _, change = slopes(packed_text, steps, lambda config: wrong(embedding_rate_of_width_64(config)))
    if at_logits:
        assert abs(change[-1]) > LOGITS
    else:
        assert np.abs(change[:-1]).max() > STREAM


def embedding_that_grows(model: Transformer) -> None:
    model.embedding.weight.data.mul_(model.shape.width / 64)


def head_that_starts_large(model: Transformer) -> None:
    """Standard deviation 1 in place of 0.02."""
    model.head.weight.data.mul_(50)


@pytest.mark.parametrize(("wrong", "place"), [(embedding_that_grows, 0), (head_that_starts_large, -1)])
def test_a_blown_up_start_is_seen(wrong: Start, place: int, packed_text: Text) -> None:
    size, _ = slopes(packed_text, 4, start=wrong)
    assert abs(size[place]) > (LOGITS if place else STREAM)


def slopes(
    text: Text, steps: int, change: Change = lambda config: config, start: Start | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Slope of log size by log width, of the stream after the embedding and each block, and of the logits: their root
    mean square after so many steps, and that of their change."""
    tokens = TokenFile.open(text.train)
    recipe = Recipe(tokens.vocabulary, 64, 512, warmup_steps=1, decay_fraction=0.0, precision="float32")
    probe = torch.from_numpy(tokens.batch(0, 8, 64, seed=9))[:, :-1]
    sizes, changes = [], []
    for width in WIDTHS:
        trainer = Trainer(change(recipe.config(width, 100, 0)))
        if start is not None:
            start(trainer.model)
            trainer.weights.master.copy_(trainer.weights.working)
        before = states(trainer.model, probe)
        for _ in range(steps):
            trainer.advance(tokens)
        after = states(trainer.model, probe)
        sizes.append([rms(x) for x in after])
        changes.append([rms(new - old) for new, old in zip(after, before, strict=True)])
    logs = np.log(WIDTHS)
    return tuple(np.polyfit(logs, np.log(np.array(found)), 1)[0] for found in (sizes, changes))  # type: ignore[return-value]


@torch.inference_mode()
def states(model: Transformer, tokens: Tensor) -> list[Tensor]:
    """The stream after the embedding and after each block, and the logits."""
    found: list[Tensor] = []
    hooks = [
        model.embedding.register_forward_hook(lambda _, __, out: found.append(out.clone())),
        *(block.register_forward_hook(lambda _, __, out: found.append(out[0].clone())) for block in model.blocks),
    ]
    found.append(model(tokens))
    for hook in hooks:
        hook.remove()
    return found


def rms(x: Tensor) -> float:
    return float(x.float().square().mean().sqrt())
