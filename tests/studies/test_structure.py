"""The spread over shapes and its verdict, on ladders where the truth is planted."""

from __future__ import annotations

import numpy as np
import pytest

from chidu.errors import TableError
from chidu.runs.ladder import Ladder
from chidu.studies import STUDIES, Decision
from chidu.studies.details import Cells, Detail, details_of
from chidu.studies.structure import gather, interval_of

STUDY = STUDIES["structure"]
LUCK = 0.003


def planted(
    source: np.random.Generator, gamma: float, sizes: int = 5, shapes: int = 8, seeds: int = 2, same: bool = False,
    spread: float = 0.01, outlier: float = 1.0,
) -> Ladder:  # fmt: skip
    """Runs whose shapes differ by `spread` in the middle of the sizes; by draws of their own, or the `same`; the last
    one by more, where it is an outlier."""
    common = source.standard_normal(shapes)
    common[-1] *= outlier
    rows = []
    for params in np.geomspace(3e4, 1e6, sizes):
        scale = spread * (params / 1.7e5) ** (-gamma / 2)
        effects = scale * (common if same else source.standard_normal(shapes))
        for shape, effect in enumerate(effects):
            own = params * np.exp(source.uniform(-0.02, 0.02))
            for seed in range(seeds):
                luck = LUCK * (params / 1.7e5) ** -0.25 * source.standard_normal()
                rows.append((own, 6e5, f"shape {shape}", seed, (2 + 50 / own**0.3) * np.exp(effect + luck)))
    columns = zip(*rows, strict=True)
    return Ladder(dict(zip(("params", "tokens", "shape", "seed", "loss"), columns, strict=True)))


def parts(gamma: float, count: int, draws: int = 300, **how: object) -> tuple[float, float]:
    """How many of the studies hold, and how many fail."""
    source = np.random.default_rng(5)
    tables = (planted(source, gamma, **how) for _ in range(count))  # type: ignore[arg-type]
    # Each has draws of its own, or the error of one quantile would be all studies'.
    found = [interval_of(gather(table), STUDY.threshold, STUDY.level, i, draws) for i, table in enumerate(tables)]
    low, high = (np.array([getattr(each, side) for each in found]) for side in ("low", "high"))
    return float((low > STUDY.threshold).mean()), float((high < STUDY.threshold).mean())


def at_most(chance: float, count: int) -> float:
    return chance + 2.33 * float(np.sqrt(chance * (1 - chance) / count))


def test_at_the_threshold_a_verdict_is_wrong_in_five_of_a_hundred() -> None:
    assert max(parts(STUDY.threshold, 80)) <= at_most(0.05, 80)


def test_a_spread_that_shrinks_is_found() -> None:
    holds, fails = parts(1.25, 60, shapes=12)
    assert holds >= 0.9
    assert fails == 0


@pytest.mark.verify
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(("shapes", "seeds", "spread"), [(8, 2, 0.01), (5, 3, 0.01), (8, 2, 0.003)])
def test_false_verdicts_stay_within_five_of_a_hundred(shapes: int, seeds: int, spread: float, same: bool) -> None:
    found = parts(STUDY.threshold, 200, shapes=shapes, seeds=seeds, spread=spread, same=same)
    assert max(found) <= at_most(0.05, 200)


@pytest.mark.verify
def test_one_shape_that_is_far_off_makes_no_false_verdict() -> None:
    """What our own runs show: a detail or two make most of the spread, at all sizes alike."""
    assert max(parts(STUDY.threshold, 200, shapes=12, same=True, outlier=5.0)) <= at_most(0.05, 200)


def planted_details(source: np.random.Generator, effects: dict[str, tuple[float, float]]) -> list[Detail]:
    """Five sizes, two seeds a shape; of each shape the effect at the smallest size and at the largest."""
    params, luck = np.geomspace(3e4, 1e6, 5), 0.004
    cells, within, freedom = [], [], 2 * len(effects) - len(effects)
    for place in range(5):
        runs = {
            name: first + (last - first) * place / 4 + luck * source.standard_normal(2)
            for name, (first, last) in effects.items()
        }
        cells.append({name: float(each.mean()) for name, each in runs.items()})
        within.append(sum(float(each.var(ddof=1)) for each in runs.values()) / freedom)
    counts = [dict.fromkeys(effects, 2)] * 5
    return details_of(Cells(params, cells, counts, np.array(within), np.full(5, float(freedom)), "base"), STUDY.level)


NOTHING = dict.fromkeys(("base", *map(str, range(11))), (0.0, 0.0))


def test_a_detail_that_does_nothing_is_rarely_told() -> None:
    """All details and sizes together in one study of ten, at the most; the points' own intervals hold it in nine."""
    source = np.random.default_rng(1)
    found = [planted_details(source, NOTHING) for _ in range(100)]
    assert np.mean([any(each.fate != "not told" for each in details) for details in found]) <= at_most(0.1, 100)
    points = [point for details in found for each in details for point in each.points]
    assert np.mean([point.low <= 0 <= point.high for point in points]) == pytest.approx(0.9, abs=0.03)
    held = [each.low <= 0 <= each.high for details in found for each in details]
    assert 0.85 <= np.mean(held) <= 0.97


def test_what_keeps_mattering_and_what_fades_are_told_apart() -> None:
    source = np.random.default_rng(2)
    planted_in = {**NOTHING, "keeps": (0.04, 0.04), "fades": (0.06, 0.0)}
    found = [{each.shape: each for each in planted_details(source, planted_in)} for _ in range(40)]
    assert np.mean([each["keeps"].fate == "keeps" for each in found]) >= 0.95
    assert np.mean([each["fades"].fate == "fades" for each in found]) >= 0.85
    assert np.mean([each["fades"].high < 0 for each in found]) >= 0.95
    assert np.mean([each["keeps"].low <= 0 <= each["keeps"].high for each in found]) >= 0.8


def test_without_a_base_shapes_are_set_against_their_mean() -> None:
    verdict = STUDY.verdict(planted(np.random.default_rng(0), 1.5, shapes=12))
    details = verdict.findings["details"]
    assert verdict.findings["against"] == "the mean of the shapes"
    assert sum(each["points"][0]["effect_percent"] for each in details) == pytest.approx(0, abs=1e-9)
    based = planted(np.random.default_rng(0), 1.5, shapes=12)
    names = np.where(based.columns["shape"] == "shape 3", "base", based.columns["shape"].astype(str))
    found = STUDY.verdict(Ladder({**based.columns, "shape": names}, "mine.csv")).findings
    assert found["against"] == "base"
    of = {each["shape"]: each["points"][2]["effect_percent"] for each in details}
    for each in found["details"]:
        assert each["points"][2]["effect_percent"] == pytest.approx(of[each["shape"]] - of["shape 3"], abs=1e-9)


def test_the_points_of_the_chart() -> None:
    found = STUDY.verdict(planted(np.random.default_rng(0), 1.5, shapes=12)).findings
    assert all(each["low"] <= each["spread_percent"] <= each["high"] for each in found["spread"])
    spreads = [each["spread_percent"] for each in found["law"]]
    assert spreads == sorted(spreads, reverse=True)


def test_params_matmul_are_what_sizes_go_by() -> None:
    """A tied model has fewer params and multiplies a token with as many."""
    table = planted(np.random.default_rng(0), 1.0)
    tied = table.columns["shape"] == "shape 1"
    params = np.where(tied, 0.6, 1.0) * table.numbers("params")
    own = Ladder({**table.columns, "params": params, "params_matmul": table.numbers("params")}, "own.csv")
    assert gather(own).params_are == "params_matmul"
    assert STUDY.verdict(own).effect == STUDY.verdict(table).effect


@pytest.mark.verify
def test_the_power_that_is_stated() -> None:
    assert parts(1.25, 150, shapes=12)[0] >= 0.95
    assert parts(-0.75, 150, shapes=12)[1] >= 0.95


def test_shapes_that_do_not_differ_leave_it_undecided() -> None:
    verdict = STUDY.verdict(planted(np.random.default_rng(0), 1.0, spread=0.0))
    assert verdict.verdict is Decision.UNDECIDED
    assert verdict.high - verdict.low > 4


def test_the_verdict_prints_itself() -> None:
    verdict = STUDY.verdict(planted(np.random.default_rng(0), 1.5, shapes=12))
    assert verdict.verdict is Decision.HOLDS
    assert str(verdict).startswith("structure: holds: ")
    assert "does best" in verdict.meaning
    assert len(verdict.rows) == 5


def test_params_of_one_size_need_not_be_quite_equal() -> None:
    """What they differ by is taken out: without shapes' effects the spread is the seeds' luck."""
    sizes = gather(planted(np.random.default_rng(0), 1.0, spread=0.0, shapes=60))
    np.testing.assert_allclose(sizes.between, sizes.within / sizes.seeds, rtol=0.6)


def test_what_can_not_be_judged_is_refused_in_a_line() -> None:
    table = planted(np.random.default_rng(0), 1.0)
    without = Ladder({name: column for name, column in table.columns.items() if name != "shape"}, "mine.csv")
    with pytest.raises(TableError, match=r"mine\.csv: no column 'shape'"):
        STUDY.verdict(without)
    with pytest.raises(TableError, match="no 4 sizes have 4 shapes with 2 seeds each"):
        STUDY.verdict(table.select(table.columns["seed"] == 0))
