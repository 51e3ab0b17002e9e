"""The batch's exponent, planted; the verdict is of one batch."""

from __future__ import annotations

import numpy as np
import pytest
from planted_spread import planted

from chidu.runs.ladder import Ladder
from chidu.studies import STUDIES
from chidu.studies.batches import of_one_batch
from chidu.studies.spread import fit_spread, spread_over_seeds

STUDY = STUDIES["self-averaging"]


def with_batches(source: np.random.Generator, beta: float, seeds: int = 9) -> Ladder:
    """A planted ladder at batches of 512, and the longest runs of two sizes at 128 and 2,048, as the study makes."""
    base = planted(source, 0.3, seeds=seeds)
    params, tokens = base.numbers("params"), base.numbers("tokens")
    columns = {name: [base.columns[name]] for name in base.columns} | {"batch_tokens": [np.full(len(base), 512.0)]}
    sizes = np.unique(params)
    for batch in (128.0, 2048.0):
        for size in (sizes[0], sizes[2]):
            longest = np.log(base.numbers("loss")[(params == size) & (tokens == tokens.max())])
            deviation = 0.005 * (size / 1e5) ** -0.15 * 2**-0.1 * (batch / 512) ** (-beta / 2)
            told = np.exp(longest.mean() + deviation * source.standard_normal(seeds))
            rows = {"params": size, "tokens": tokens.max(), "seed": 0, "loss": 0.0, "batch_tokens": batch}
            for name, value in rows.items():
                columns[name].append(np.full(seeds, value))
            columns["seed"][-1], columns["loss"][-1] = np.arange(seeds) + 10**6 * batch, told
    return Ladder({name: np.concatenate(each) for name, each in columns.items()})


def covered(beta: float, count: int) -> tuple[float, float]:
    """The parts of studies whose interval holds the truth, and that claim that the batch matters."""
    source, inside, claims = np.random.default_rng(2), 0, 0
    for place in range(count):
        law = fit_spread(spread_over_seeds(with_batches(source, beta), 5, 5), 0.9, place, 300, with_batch=True)
        at = law.names.index("batch_tokens")
        inside += law.low[at] <= beta <= law.high[at]
        claims += not law.low[at] <= 0 <= law.high[at]
    return inside / count, claims / count


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_the_planted_exponent_is_covered(beta: float) -> None:
    inside, claims = covered(beta, 60)
    assert inside >= 0.9 - 2.33 * (0.09 / 60) ** 0.5
    assert claims >= 0.95 if beta else claims <= 0.1 + 2.33 * (0.09 / 60) ** 0.5


@pytest.mark.verify
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_interval_holds_its_level(beta: float) -> None:
    assert covered(beta, 600)[0] >= 0.9 - 2.33 * (0.09 / 600) ** 0.5


def test_the_verdict_is_of_one_batch_alone() -> None:
    table = with_batches(np.random.default_rng(0), 1.0)
    alone = table.select(table.numbers("batch_tokens") == 512)
    both, once = STUDY.verdict(table), STUDY.verdict(alone)
    assert (both.effect, both.low, both.high, both.runs) == (once.effect, once.low, once.high, once.runs)
    assert once.findings["batch"] is None
    assert both.findings["batch"]["exponents"]["batch_tokens"]["value"] > 0
    assert len(both.findings["batch"]["points"]) == 6
    assert "With the batch, tokens being equal, the variance goes as its power -" in both.meaning
    spread = spread_over_seeds(table, 5, 5)
    assert set(of_one_batch(spread, 5).batch) == {512.0}
