"""What lies beneath the luck of a seed, where the truth is planted: single tokens, and the gradient."""

from __future__ import annotations

import numpy as np
import pytest

from chidu.runs.ladder import Ladder
from chidu.studies.beneath import BATCHES, beneath, beneath_words, gradient_moments

LEVEL = 0.9


def test_the_moments_of_a_gradient_are_without_bias() -> None:
    """Signal 4, and noise of variance 9 in 50 weights, over 300 models of 32 gradients."""
    source = np.random.default_rng(0)
    signal = np.zeros(50)
    signal[0] = 2.0
    found = np.array([gradient_moments(signal + 3 * source.standard_normal((32, 50))) for _ in range(300)])
    error = found.std(axis=0, ddof=1) / 300**0.5
    expected = np.array([4.0, *(450.0 / batch for batch in BATCHES)])
    assert np.all(np.abs(found.mean(axis=0) - expected) < 3 * error)


def test_sums_kept_along_the_way_are_those_of_whole_batches() -> None:
    gradients = np.random.default_rng(1).standard_normal((16, 7))
    moments = gradient_moments(iter(gradients))
    for batch, told in zip(BATCHES, moments[1:], strict=True):
        means = gradients.reshape(-1, batch, 7).mean(axis=1)
        assert told == pytest.approx(means.var(axis=0, ddof=1).sum())


def table(gamma: float = 0.5, delta: float = 0.25, signal: float = 1.0) -> Ladder:
    """Five sizes, three lengths, three seeds; a noise scale that grows as the root of params."""
    rows = []
    for params in np.geomspace(3e4, 4e5, 5).round():
        for tokens in (1e5, 2e5, 4e5):
            for seed in range(3):
                noise = 20 * (params / 3e4) ** 0.5
                is_longest = tokens == 4e5
                gradient = [signal, *(noise / batch for batch in BATCHES)] if is_longest else [None] * 5
                share = 0.04 * (params / 3e4) ** -gamma * (tokens / 1e5) ** -delta
                rows.append((params, tokens, seed, share, *gradient))
    names = ("params", "tokens", "seed", "token_variance", "gradient_square",
             *(f"gradient_variance_{batch}" for batch in BATCHES))  # fmt: skip
    return Ladder(dict(zip(names, zip(*rows, strict=True), strict=True)), "runs.csv")


def test_the_laws_are_those_planted() -> None:
    found = beneath(table(), LEVEL)
    assert found["single_tokens"]["params"]["value"] == pytest.approx(0.5)
    assert found["single_tokens"]["params_longest"]["value"] == pytest.approx(0.5)
    assert found["single_tokens"]["tokens"]["value"] == pytest.approx(0.25)
    assert found["gradient"]["batch_exponent"]["value"] == pytest.approx(1)
    assert found["gradient"]["noise_scale_per_decade"]["value"] == pytest.approx(0.5)
    assert found["gradient"]["noise_scale"][0] == {"params": 3e4, "sequences": pytest.approx(20)}
    said = beneath_words(found)
    assert "differs between seeds by 0.17 nats" in said
    assert "equal at a batch of 20 sequences" in said


def test_a_signal_that_noise_hides_is_no_number() -> None:
    found = beneath(table(signal=-0.1), LEVEL)["gradient"]
    assert [each["sequences"] for each in found["noise_scale"]] == [None] * 5
    assert found["noise_scale_per_decade"] is None
    assert found["batch_exponent"]["value"] == pytest.approx(1)
    assert "more sequences than could be told" in beneath_words({"single_tokens": None, "gradient": found})


def test_a_table_of_others_has_nothing_beneath() -> None:
    whole = table()
    plain = Ladder({name: whole.columns[name] for name in ("params", "tokens", "seed")})
    assert beneath(plain, LEVEL) == {"single_tokens": None, "gradient": None}
    assert beneath_words(beneath(plain, LEVEL)) == ""
