"""The deletion test: it tells good reasons from none, and says when it can't."""

from __future__ import annotations

import numpy as np
import pytest
from planted_box import PlantedBox

from chidu.evaluation.deletion import deleted, margin

WEIGHTS = [0.0, 0.1, 3.0, 0.0, 0.0, -0.1, 0.0, 0.0, 0.0, 5.0]


def test_the_one_that_matters_is_told_from_random_ones() -> None:
    box, tokens = PlantedBox(WEIGHTS), [0, 3, 2, 4, 6, 8, 3, 4, 6, 1]
    right = [float(token == 2) for token in tokens[:-1]]
    wrong = [float(token == 8) for token in tokens[:-1]]
    good, bad = deleted(box, tokens, 9, [right, wrong], drawn=200)
    assert (good.tokens, good.of) == (2, 9)
    lost = np.log1p(np.exp(0.0)) - np.log1p(np.exp(-3.0))
    assert good.named == pytest.approx(lost, abs=1e-3)
    assert bad.named == pytest.approx(0, abs=1e-3)
    # Two of nine are chosen: the one that matters is among them in 2 of 9 cases.
    assert good.random == bad.random == pytest.approx(lost * 2 / 9, abs=0.05)


def test_marks_are_never_left_out() -> None:
    box, tokens = PlantedBox(WEIGHTS), [9, 0, 0, 0, 0, 0, 1]
    (found,) = deleted(box, tokens, 6, [[9.0, 0, 0, 0, 0, 0]])
    assert (found.tokens, found.of, found.named, found.random) == (1, 5, 0.0, 0.0)
    assert deleted(box, [9, 0, 1], 2, [[0.0, 0.0]]) == ()


def test_the_same_seed_gives_the_same_test() -> None:
    box, tokens = PlantedBox(WEIGHTS), [0, 1, 2, 3, 4, 5, 1]
    way = [0.0, 1.0, 2.0, 0.0, 0.0, 0.0]
    assert deleted(box, tokens, 6, [way], seed=3) == deleted(box, tokens, 6, [way], seed=3)
    assert deleted(box, tokens, 6, [way], seed=3)[0].random != deleted(box, tokens, 6, [way], seed=4)[0].random


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    source, held = np.random.default_rng(0), 0
    for seed in range(200):
        random = source.normal(1.0, 0.5, 30)
        found = margin(list(random + source.normal(0.3, 1.0, 30)), list(random), seed)
        held += (found.low or 0) <= 0.3 <= (found.high or 0)
    assert 0.82 <= held / 200 <= 0.95


def test_verdicts() -> None:
    assert margin([2.0, 2.1, 1.9, 2.0], [1.0] * 4).verdict == "better"
    assert margin([0.0, 0.1, 0.1, 0.0], [1.0] * 4).verdict == "worse"
    assert margin([2.0, 0.0, 3.0, -1.0], [1.0] * 4).verdict == "undecided"
    few = margin([2.0, 2.0, 2.0], [1.0] * 3)
    assert (few.verdict, few.low, few.difference) == ("undecided", None, 1.0)
