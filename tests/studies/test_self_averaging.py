"""The law of a spread and its verdict, on ladders where the truth is planted."""

from __future__ import annotations

import numpy as np
import pytest
from planted_spread import DELTA, planted

from chidu.errors import SettingError, TableError
from chidu.runs.ladder import Ladder
from chidu.studies import STUDIES, Decision, study_of
from chidu.studies.spread import SpreadLaw, fit_spread, likeliest, spread_over_seeds

STUDY = STUDIES["self-averaging"]


def laws(gamma: float, count: int, draws: int = 400, **how: float) -> list[SpreadLaw]:
    source = np.random.default_rng(1)
    tables = (planted(source, gamma, **how) for _ in range(count))  # type: ignore[arg-type]
    # Each has draws of its own, or the error of one quantile would be all studies'.
    return [fit_spread(spread_over_seeds(table, 5, 5), seed=i, draws=draws) for i, table in enumerate(tables)]


def part(found: list[SpreadLaw], decision: str) -> float:
    """How many of the studies come to this verdict."""
    low, high = (np.array([getattr(law, side)[0] for law in found]) for side in ("low", "high"))
    return float(((low > STUDY.threshold) if decision == "holds" else (high < STUDY.threshold)).mean())


def at_most(chance: float, count: int) -> float:
    """The largest part that luck would show in 99 of 100 tests where the chance is this."""
    return chance + 2.33 * float(np.sqrt(chance * (1 - chance) / count))


def test_at_the_threshold_a_verdict_is_wrong_in_five_of_a_hundred() -> None:
    found = laws(STUDY.threshold, 200)
    assert part(found, "holds") <= at_most(0.05, 200)
    assert part(found, "fails") <= at_most(0.05, 200)


def test_strong_self_averaging_is_found_and_its_absence_is_not() -> None:
    assert part(laws(1.0, 150, seeds=12), "holds") >= 0.95
    assert part(laws(0.0, 150), "holds") <= 0.02
    assert part(laws(-0.5, 150, seeds=12), "fails") >= 0.95


@pytest.mark.verify
@pytest.mark.parametrize(("sizes", "seeds", "span"), [(5, 8, 13.0), (5, 5, 13.0), (6, 8, 30.0), (7, 16, 13.0)])
def test_false_verdicts_stay_within_five_of_a_hundred(sizes: int, seeds: int, span: float) -> None:
    how = {"sizes": sizes, "seeds": seeds, "span": span}
    found = laws(STUDY.threshold, 1000, draws=1000, **how)
    for decision in ("holds", "fails"):
        assert part(found, decision) <= at_most(0.05, 1000)


@pytest.mark.verify
@pytest.mark.parametrize(
    ("gamma", "decision", "how"),
    [
        (1.0, "holds", {"seeds": 12}),
        (1.0, "holds", {"sizes": 6, "seeds": 8, "span": 30.0}),
        (-0.5, "fails", {"seeds": 12}),
        (0.0, "fails", {"sizes": 7, "seeds": 48, "span": 30.0}),
        (0.5, "holds", {"sizes": 7, "seeds": 48, "span": 30.0}),
    ],
)
def test_the_power_that_is_stated(gamma: float, decision: str, how: dict[str, float]) -> None:
    assert part(laws(gamma, 600, draws=1000, **how), decision) >= 0.95


@pytest.mark.verify
def test_both_exponents_are_held_at_their_level() -> None:
    found = laws(0.7, 1000, draws=1000)
    for place, truth in enumerate((0.7, DELTA)):
        inside = np.mean([law.low[place] <= truth <= law.high[place] for law in found])
        assert inside >= 0.9 - 2.33 * np.sqrt(0.09 / 1000)


@pytest.mark.verify
@pytest.mark.parametrize(("freedom", "most"), [(6.0, 0.11), (4.0, 0.13)])
def test_heavy_tails_widen_the_interval(freedom: float, most: float) -> None:
    """Not to its level, which the docs say: without widening it is 0.12 and 0.15."""
    found = laws(STUDY.threshold, 600, draws=600, freedom=freedom)
    assert max(part(found, "holds"), part(found, "fails")) <= most


def test_the_likeliest_law_is_the_slope_of_zero_score() -> None:
    source = np.random.default_rng(0)
    design = np.column_stack([np.ones(12), np.linspace(-1, 1, 12), source.normal(size=12)])
    freedom = source.integers(4, 20, 12).astype(float)
    variance = source.chisquare(freedom, (50, 12)) / freedom * np.exp(design @ [-8, -1, 0.3])
    found = likeliest(variance, freedom, design)
    ratio = variance / np.exp(found @ design.T)
    np.testing.assert_allclose((freedom / 2 * (ratio - 1)) @ design, 0, atol=1e-7)


def test_lengths_of_a_trunk_are_seen_to_stray_together() -> None:
    found = np.mean([law.correlation for law in laws(0.5, 40, draws=50, correlation=0.8)])
    assert 0.7 < found < 0.85


def test_where_tokens_follow_params_one_exponent_is_of_both() -> None:
    table = planted(np.random.default_rng(0), 1.0, sizes=7)
    shortest = table.columns["tokens"] == table.columns["tokens"].min()
    chosen = table.select(shortest)
    follow = Ladder({**chosen.columns, "tokens": 20 * chosen.columns["params"]})
    verdict = STUDY.verdict(follow)
    assert list(verdict.findings["exponents"]) == ["params"]
    assert any("tokens grow with params" in note for note in verdict.notes)


def test_the_verdict_prints_itself() -> None:
    verdict = STUDY.verdict(planted(np.random.default_rng(3), 1.0, sizes=6))
    assert verdict.verdict is Decision.HOLDS
    assert str(verdict).startswith("self-averaging: holds: ")
    assert verdict.low < verdict.effect < verdict.high
    assert verdict.more == 1.0
    small, large = verdict.findings["ends"]["smallest"], verdict.findings["ends"]["largest"]
    assert small["seeds"] > large["seeds"] >= 1
    assert STUDY.verdict(planted(np.random.default_rng(3), 1.0, sizes=6)) == verdict


def test_what_can_not_be_judged_is_refused_in_a_line() -> None:
    table = planted(np.random.default_rng(0), 1.0, seeds=5)
    without = Ladder({name: column for name, column in table.columns.items() if name != "seed"}, "mine.csv")
    with pytest.raises(TableError, match=r"mine\.csv: no column 'seed'"):
        STUDY.verdict(without)
    with pytest.raises(TableError, match="4 sizes have 5 seeds or more; the study needs 5"):
        STUDY.verdict(table.select(table.columns["params"] > 3.1e4))
    with pytest.raises(TableError, match=r"seed 0 stands 5 times"):
        STUDY.verdict(Ladder({**table.columns, "seed": np.zeros(len(table), dtype=int)}))
    with pytest.raises(TableError, match="copies of one run"):
        STUDY.verdict(Ladder({**table.columns, "loss": np.full(len(table), 3.0)}))
    with pytest.raises(SettingError, match="did you mean 'self-averaging'"):
        study_of("self-averagin")


def test_other_trainings_of_one_size_are_cells_of_their_own() -> None:
    """Two learning rates at the same params and tokens are no spread over seeds."""
    table = planted(np.random.default_rng(0), 1.0, seeds=6)
    both = {name: np.concatenate([column, column]) for name, column in table.columns.items()}
    both["loss"] = np.concatenate([table.columns["loss"], 1.5 * table.columns["loss"]])
    both["learning_rate"] = np.repeat([0.01, 0.02], len(table))
    twice, once = STUDY.verdict(Ladder(both)), STUDY.verdict(table)
    assert twice.effect == pytest.approx(once.effect, abs=1e-6)
    assert len(twice.rows) == 2 * len(once.rows)
