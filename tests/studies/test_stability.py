"""The law of how far outputs move and its verdict, on distances where the truth is planted; and the changes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from chidu.errors import TableError
from chidu.runs.ladder import Ladder
from chidu.studies import STUDIES, Decision
from chidu.studies.moves import NOISE, changed, largest_norm_rise, largest_rise, swapped
from chidu.studies.slopes import slope_of
from chidu.studies.stability import gather, longest

STUDY = STUDIES["stability"]
KINDS = (("edit", 1.0), ("edit", 16.0), ("edit", 64.0), ("noise", 16.0), ("noise", 64.0), ("noise", 128.0),
         ("rate", 0.5), ("rate", 2.0), ("reorder", 0.0), ("seed", 0.0))  # fmt: skip


def planted(
    source: np.random.Generator, rho: float, sizes: int = 5, items: int = 64, luck: float = 0.02, own: float = 0.2,
    noise: float = 0.3,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Log10 params [S], log10 of the relative distance [S, items], the mean of the kinds.

    A size has luck that all texts share (its seeds'), a text a level and a slope of its own.
    """
    decades = np.log10(np.geomspace(3e4, 4e5, sizes))
    slopes = -rho + own * source.standard_normal(items)
    logs = (
        source.normal(-1, 0.3, items)
        + np.outer(decades - decades.mean(), slopes)
        + luck * source.standard_normal((sizes, 1))
        + noise * source.standard_normal((sizes, items))
    )
    return decades, logs


def part(rho: float, count: int, decision: str, **how: float) -> float:
    """How many of so many studies come to this verdict."""
    source, found = np.random.default_rng(11), []
    for _ in range(count):
        decades, logs = planted(source, rho, **how)  # type: ignore[arg-type]
        law = slope_of(decades, -logs, np.zeros(logs.shape[1], dtype=np.int64), STUDY.level)
        found.append(law.low > STUDY.threshold if decision == "holds" else law.high < STUDY.threshold)
    return float(np.mean(found))


def at_most(chance: float, count: int) -> float:
    return chance + 2.33 * float(np.sqrt(chance * (1 - chance) / count))


def table(rho: float = 0.3, kinds: tuple[tuple[str, float], ...] = KINDS, seeds: int = 2, items: int = 12) -> Ladder:
    """A table of distances: an edit's effect falls as the root of the tokens back, a size's control is 0.5."""
    source, rows = np.random.default_rng(5), []
    for params in np.geomspace(3e4, 4e5, 5).round():
        for kind, by in kinds:
            for seed in range(1 if kind == "rate" else seeds):
                for item in range(items):
                    moved = 0.2 * (params / 1e5) ** -rho * np.exp(0.02 * source.standard_normal())
                    moved *= by**-0.5 if kind == "edit" else 1.0
                    rows.append((params, 1e5, seed, kind, by, item, 0.5 * moved, 0.5, 0.4 * moved, 0.4, 4.0, 600,
                                 2 if by == 2 else 0, 0, 0.1))  # fmt: skip
    names = ("params", "tokens", "seed", "kind", "by", "item", "distance", "control", "even_distance", "even_control",
             "entropy", "steps", "passed_over", "rollbacks", "rise")  # fmt: skip
    return Ladder(dict(zip(names, zip(*rows, strict=True), strict=True)), "moves.csv")


def test_at_the_threshold_a_verdict_is_wrong_in_five_of_a_hundred() -> None:
    for decision in ("holds", "fails"):
        assert part(STUDY.threshold, 200, decision) <= at_most(0.05, 200)


def test_an_effect_is_found_and_its_absence_is_not() -> None:
    assert part(0.4, 100, "holds") >= 0.95
    assert part(-0.3, 100, "fails") >= 0.95
    assert part(0.0, 100, "holds") <= 0.05


@pytest.mark.verify
@pytest.mark.parametrize("how", [{}, {"luck": 0.1}, {"luck": 0.0}, {"own": 0.0}, {"items": 256}, {"sizes": 8}])
def test_false_verdicts_stay_within_five_of_a_hundred(how: dict[str, float]) -> None:
    for decision in ("holds", "fails"):
        assert part(STUDY.threshold, 3000, decision, **how) <= at_most(0.05, 3000)


@pytest.mark.verify
@pytest.mark.parametrize(
    ("rho", "decision", "how"),
    [(0.2, "holds", {"items": 256}), (-0.1, "fails", {"items": 256}), (0.4, "holds", {"items": 256, "luck": 0.06})],
)
def test_the_power_that_is_stated(rho: float, decision: str, how: dict[str, float]) -> None:
    assert part(rho, 1500, decision, **how) >= 0.95


def test_the_verdict_tells_kind_by_kind() -> None:
    verdict = STUDY.verdict(table(0.3))
    assert verdict.verdict is Decision.HOLDS
    assert verdict.effect == pytest.approx(0.3, abs=0.03)
    assert [row["change"] for row in verdict.rows] == ["edit", "noise", "rate", "reorder", "seed", "all"]
    assert verdict.runs == 10  # twins of another rate are none of them
    found = verdict.findings
    assert found["even"]["value"] == pytest.approx(0.3, abs=0.03)
    assert found["control"]["value"] == pytest.approx(0, abs=1e-9)
    assert [each["power"] for each in found["back"]["sizes"]] == pytest.approx([-0.5] * 5, abs=0.02)
    assert found["back"]["power_per_decade"]["value"] == pytest.approx(0, abs=0.02)
    assert [each["power"] for each in found["contexts"]["sizes"]] == pytest.approx([0] * 5, abs=0.03)
    assert str(verdict).startswith("stability: holds: ")
    assert "half or twice the learning rates" in verdict.meaning


def test_it_counts_only_edits_far_back_and_noise_in_the_whole_context() -> None:
    """What is near, and what is in a short context, is told, but moves no verdict."""
    whole = table(0.3)
    near = ((whole.columns["kind"] == "edit") & (whole.columns["by"] == 1)) | (
        (whole.columns["kind"] == "noise") & (whole.columns["by"] < 128)
    )
    wild = np.where(near, whole.columns["params"] / 1e6, whole.columns["distance"])
    assert STUDY.verdict(Ladder({**whole.columns, "distance": wild})).effect == STUDY.verdict(whole).effect


def test_spikes_are_counted_by_size_and_rate() -> None:
    spikes = STUDY.verdict(table()).findings["spikes"]
    assert len(spikes) == 5 * 3
    assert {(each["rate"], each["runs"], each["passed_over"]) for each in spikes} == {(0.5, 1, 0), (1, 2, 0), (2, 1, 2)}
    assert all(each["steps"] == 600 * each["runs"] for each in spikes)


def test_the_norms_rise_is_told_by_size_and_rate_where_it_was_kept() -> None:
    whole = table()
    rises = np.where(whole.columns["by"] == 2, 40.0, 3.0)
    rises[whole.columns["params"] == whole.columns["params"].min()] = np.nan
    verdict = STUDY.verdict(Ladder({**whole.columns, "norm_rise": rises}))
    told = [(each["params"] < 3.1e4, each["rate"], each["largest_norm_rise"]) for each in verdict.findings["spikes"]]
    assert set(told) == {(True, 0.5, None), (True, 1, None), (True, 2, None),
                         (False, 0.5, 3.0), (False, 1, 3.0), (False, 2, 40.0)}  # fmt: skip
    assert "came to so many times the median of the 16 points before: 3 times" in verdict.meaning
    assert "40 times at 57.3k params with 2 times the rates" in verdict.meaning
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False)) == verdict.as_dict()
    without = STUDY.verdict(whole)
    assert {each["largest_norm_rise"] for each in without.findings["spikes"]} == {None}
    assert "median of the 16 points" not in without.meaning
    with pytest.raises(TableError, match="norm_rise"):
        STUDY.verdict(Ladder({**whole.columns, "norm_rise": np.full(len(whole), "much")}))


def test_models_that_are_only_less_sure_are_told_apart() -> None:
    """The distance falls with size as told, but not once all have one entropy: a note says so."""
    whole = table(0.3)
    flat = Ladder({**whole.columns, "even_distance": 0.1 + 1e-3 * (np.arange(len(whole)) % 7)})
    verdict = STUDY.verdict(flat)
    assert verdict.verdict is Decision.HOLDS
    assert any("how sure they are makes part of the effect" in note for note in verdict.notes)


def test_kinds_that_part_are_noted() -> None:
    whole = table(0.3)
    turned = np.where(whole.columns["kind"] == "reorder", whole.columns["params"] / 1e7, whole.columns["distance"])
    assert any("the kinds part" in note for note in STUDY.verdict(Ladder({**whole.columns, "distance": turned})).notes)


def test_a_table_of_one_kind_is_judged_and_a_note_says_what_is_missing() -> None:
    seeds = table(kinds=(("seed", 0.0),))
    told = ("params", "tokens", "seed", "kind", "item", "distance", "control")
    verdict = STUDY.verdict(Ladder({name: seeds.columns[name] for name in told}, "mine.csv"))
    assert verdict.verdict is Decision.HOLDS
    assert verdict.findings["even"] is None
    assert verdict.findings["spikes"] == []
    assert any("the table has not: noise, reorder, edit, rate" in note for note in verdict.notes)


def test_rows_may_stand_in_any_order() -> None:
    whole = table()
    mixed = whole.select(np.random.default_rng(0).permutation(len(whole)))
    assert STUDY.verdict(mixed).effect == pytest.approx(STUDY.verdict(whole).effect, rel=1e-9)


def test_what_can_not_be_judged_is_refused_in_a_line() -> None:
    whole = table()
    with pytest.raises(TableError, match=r"moves\.csv: no column 'kind'"):
        longest(Ladder({n: c for n, c in whole.columns.items() if n != "kind"}, "moves.csv"))
    kept = (whole.columns["params"] > 3.1e4) | (whole.columns["item"] != 3) | (whole.columns["kind"] != "seed")
    with pytest.raises(TableError, match="no row of 30000 params, seed 0, item 3: every size must be asked each item"):
        gather(whole.select(kept))
    with pytest.raises(TableError, match="3 sizes and 12 items; the study needs 4 sizes and 8 items"):
        gather(whole.select(whole.columns["params"] > 1e5))
    with pytest.raises(TableError, match="a distance is 0 at the least"):
        gather(Ladder({**whole.columns, "distance": -whole.columns["distance"]}, "moves.csv"))


def test_clauses_change_places() -> None:
    ends = frozenset({9})
    np.testing.assert_array_equal(swapped(np.array([1, 9, 2, 3, 9, 4, 9, 5]), ends), [1, 9, 4, 9, 2, 3, 9, 5])
    np.testing.assert_array_equal(swapped(np.array([1, 9, 2, 3, 9, 4]), ends), [2, 3, 9, 1, 9, 4])
    assert swapped(np.array([1, 2, 9, 3]), ends) is None  # one clause
    assert swapped(np.array([1, 2, 9, 3, 9]), ends) is None  # the last end has nothing after it
    assert swapped(np.array([7, 9, 7, 9, 1]), ends) is None  # both alike


def test_every_change_is_small_and_leaves_the_last_token() -> None:
    plain = np.random.default_rng(0).integers(0, 50, (40, 64))
    found = {(kind, by): sequences for kind, by, sequences in changed(plain, plain[:, ::-1], 3)}
    assert list(found) == [("noise", 16), ("noise", 64), ("reorder", 0), ("edit", 1), ("edit", 4), ("edit", 16)]
    for back in (1, 4, 16):
        rows, columns = np.nonzero(found["edit", back] != plain)
        np.testing.assert_array_equal(rows, np.arange(40))
        assert set(columns.tolist()) == {64 - back}
    for read in (16, 64):
        hit = found["noise", read] != plain[:, -read:]
        assert hit.any(axis=1).all()
        assert not hit[:, -1].any()
    assert 0.5 / NOISE < float((found["noise", 64] != plain).mean()) < 2 / NOISE
    for first, second in zip(changed(plain, plain, 3), changed(plain, plain, 3), strict=True):
        np.testing.assert_array_equal(first[2], second[2])


def test_the_largest_rise_of_a_curve() -> None:
    falling = [(step, 5 - step / 100) for step in range(40)]
    assert largest_rise(falling) == 0
    spiked = [(step, loss + (1.5 if step == 30 else 0)) for step, loss in falling]
    assert largest_rise(spiked) == pytest.approx(1.5 - 0.085, abs=1e-9)
    assert largest_rise(falling[:5]) == 0


def test_the_largest_norm_over_those_before() -> None:
    """Against the median of the means before it, so that one spike hides no later one; the warm-up is not told."""
    steady = [(step, 1.0, 1.5) for step in range(40)]
    assert largest_norm_rise(steady) == 1.5
    spiked = [(step, 90.0 if step == 20 else mean, 180.0 if step == 20 else most) for step, mean, most in steady]
    assert largest_norm_rise(spiked) == 180
    spiked[30] = (30, 60.0, 120.0)
    assert largest_norm_rise(spiked[21:]) == pytest.approx(1.5)
    assert largest_norm_rise([(0, 500.0, 900.0), *steady[1:]]) == 1.5
    assert math.isnan(largest_norm_rise(steady[:16]))
    assert math.isnan(largest_norm_rise(()))
