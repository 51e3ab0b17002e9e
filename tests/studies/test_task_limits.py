"""The law of small tasks and its verdict, on scores where the truth is planted."""

from __future__ import annotations

import numpy as np
import pytest

from chidu.errors import TableError
from chidu.runs.ladder import Ladder
from chidu.studies import STUDIES, Decision
from chidu.studies.limits import gather
from chidu.studies.reach import Answered, Reach, reach_of
from chidu.studies.slopes import Slope, bend_chance, chi_square, mean_of, slope_of, student

STUDY = STUDIES["limits"]
TASKS = 5


def planted(
    source: np.random.Generator, slope: float, sizes: int = 5, seeds: int = 3, items: int = 24, spread: float = 0.3,
    luck: float = 0.03,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Log10 params [M], scores [M, items of all tasks], task of each item.

    An item has a level and a slope of its own, a model luck that all its answers share, and luck at each item.
    """
    decades = np.repeat(np.log10(np.geomspace(3e4, 4e5, sizes)), seeds)
    total = TASKS * items
    own = slope + spread * source.standard_normal(total)
    shared = luck * source.standard_normal((len(decades), TASKS)).repeat(items, axis=1)
    scores = (
        source.normal(-1.4, 0.4, total)
        + np.outer(decades - decades.mean(), own)
        + shared
        + 0.2 * source.standard_normal((len(decades), total))
    )
    return decades, scores, np.arange(TASKS).repeat(items)


def found(slope: float, count: int, **how: float) -> list[Slope]:
    source = np.random.default_rng(7)
    return [slope_of(*planted(source, slope, **how), STUDY.level) for _ in range(count)]  # type: ignore[arg-type]


def part(slopes: list[Slope], decision: str) -> float:
    low, high = (np.array([getattr(each, side) for each in slopes]) for side in ("low", "high"))
    return float(((low > STUDY.threshold) if decision == "holds" else (high < STUDY.threshold)).mean())


def at_most(chance: float, count: int) -> float:
    return chance + 2.33 * float(np.sqrt(chance * (1 - chance) / count))


def table(slope: float = 0.3, jump: bool = False, seeds: int = 3) -> Ladder:
    """A table of scores; with a jump, of one task, from nothing to all between two sizes."""
    decades, scores, task = planted(np.random.default_rng(3), slope, seeds=seeds)
    if jump:
        scores[:, task == 0] += np.where(decades > 5.1, 1.0, 0.0)[:, None]
    scores = np.minimum(scores, -1e-6)
    rows, columns = scores.shape
    model, item = (each.ravel() for each in np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"))
    return Ladder(
        {
            "params": np.round(10 ** decades[model]), "tokens": np.full(len(model), 1e5), "seed": model % seeds,
            "task": [f"task {task[each]}" for each in item], "item": item, "answers": np.full(len(model), 4),
            "score": scores.ravel(), "right": (scores.ravel() > -1.0).astype(float),
        },
        "scores.csv",
    )  # fmt: skip


def test_at_the_threshold_a_verdict_is_wrong_in_five_of_a_hundred() -> None:
    slopes = found(STUDY.threshold, 300)
    assert part(slopes, "holds") <= at_most(0.05, 300)
    assert part(slopes, "fails") <= at_most(0.05, 300)


def test_an_effect_is_found_and_its_absence_is_not() -> None:
    assert part(found(0.2, 100), "holds") >= 0.95
    assert part(found(-0.1, 100), "fails") >= 0.95
    assert part(found(0.0, 100), "holds") <= 0.01


@pytest.mark.verify
@pytest.mark.parametrize("how", [{}, {"luck": 0.15}, {"spread": 0.0}, {"seeds": 2, "items": 48}, {"luck": 0.0}])
def test_false_verdicts_stay_within_five_of_a_hundred(how: dict[str, float]) -> None:
    slopes = found(STUDY.threshold, 2000, **how)
    for decision in ("holds", "fails"):
        assert part(slopes, decision) <= at_most(0.05, 2000)


@pytest.mark.verify
@pytest.mark.parametrize(("slope", "decision"), [(0.15, "holds"), (-0.05, "fails")])
def test_the_power_that_is_stated(slope: float, decision: str) -> None:
    assert part(found(slope, 1000, items=48), decision) >= 0.95


def asked(source: np.random.Generator, by_tokens: float, skill: float, items: int = 48) -> Reach:
    """Five sizes, two seeds, three lengths; the score gains `by_tokens` a decade, `skill` of the items are known."""
    decades = np.repeat(np.log10(np.geomspace(3e4, 4e5, 5)), 2)
    tokens = np.array([1e5, 2e5, 4e5])
    length = np.log10(tokens / 2e5)[:, None, None]
    own = by_tokens + 0.3 * source.standard_normal((10, 1)) + 0.3 * source.standard_normal(items)
    scores = -1.4 + length * own + 0.1 * source.standard_normal((3, 10, items))
    # An item is as easy or hard for both seeds of a size: luck that they share.
    easy = source.random((3, 5, items)).repeat(2, axis=1)
    known = easy < 0.25 + 0.75 * skill
    other = source.random((3, 10, items)) < 0.25 + 0.75 * skill
    right = np.where(source.random((3, 10, items)) < 0.5, known, other).astype(float)
    return reach_of(Answered("task", 10**decades, tokens, scores, right, 0.25), STUDY.level, TASKS)


def test_a_task_at_chance_is_rarely_called_above() -> None:
    """In one study of ten at the most, all tasks and cells together; here one task of five."""
    source = np.random.default_rng(4)
    found = [asked(source, 0.0, 0.0) for _ in range(150)]
    assert np.mean([each.is_above_chance for each in found]) <= at_most(0.02, 150)
    assert np.mean([asked(source, 0.0, 0.45).is_above_chance for _ in range(40)]) >= 0.95


def test_the_law_in_tokens() -> None:
    source = np.random.default_rng(5)
    none, more = ([asked(source, slope, 0.0).by_tokens for _ in range(150)] for slope in (0.0, 0.5))
    assert np.mean([each.low > 0 for each in none]) <= at_most(0.05, 150)
    assert np.mean([each.high < 0 for each in none]) <= at_most(0.05, 150)
    assert np.mean([each.low > 0 for each in more]) >= 0.95
    assert np.mean([each.value for each in more]) == pytest.approx(0.5, abs=0.05)


def by_way(source: np.random.Generator, slope: float) -> tuple[Slope, Slope]:
    """The slope where answers' own likelihood is taken off, and where it is not: rare words, and what each size thinks
    of them, are planted; the prompt speaks for the right answer by `slope` a decade."""
    models, items, answers = 15, 48, 4
    decades = np.repeat(np.log10(np.geomspace(3e4, 4e5, 5)), 3)
    apart = (decades - decades.mean())[:, None, None]
    own = source.normal(0, 3, (items, answers)) + apart * source.normal(0, 2, (items, answers))
    own = own + source.normal(0, 0.3, (models, items, answers))
    spoken = np.zeros((models, items, answers))
    spoken[:, :, 0] = apart[:, :, 0] * (slope + source.normal(0, 0.2, items))
    after = own + spoken + source.normal(0, 0.2, own.shape)
    elsewhere = own + source.normal(0, 0.3, (2, *own.shape)).mean(axis=0)
    found = []
    for weighed in (after - elsewhere, after):
        scores = weighed[:, :, 0] - np.log(np.exp(weighed).sum(axis=2))
        found.append(slope_of(decades, scores, np.zeros(items, dtype=np.int64), STUDY.level))
    return found[0], found[1]


def test_taking_an_answers_own_likelihood_off_narrows_the_interval() -> None:
    source = np.random.default_rng(8)
    found = [by_way(source, 0.3) for _ in range(40)]
    weighed, whole = (np.array([each[way].high - each[way].low for each in found]) for way in (0, 1))
    assert np.median(weighed) < 0.35 * np.median(whole)
    assert np.mean([each.low > STUDY.threshold for each, _ in found]) >= 0.95
    none = [by_way(source, 0.0)[0] for _ in range(40)]
    assert np.mean([each.low > 0 for each in none]) <= at_most(0.05, 40)
    assert np.mean([each.high < 0 for each in none]) <= at_most(0.05, 40)


def test_a_mean_over_models_and_items() -> None:
    """Both drawn from many: a true mean is left on a side in five of a hundred at the most."""
    source, groups = np.random.default_rng(6), np.arange(2).repeat(12)
    found = []
    for _ in range(400):
        values = source.standard_normal((4, 1)) + source.standard_normal(24) + 0.3 * source.standard_normal((4, 24))
        found.append(mean_of(values, groups, STUDY.level))
    assert np.mean([each.low > 0 for each in found]) <= at_most(0.05, 400)
    assert np.mean([each.high < 0 for each in found]) <= at_most(0.05, 400)


def test_chi_squares_quantiles() -> None:
    assert chi_square(11, 0.9) == pytest.approx((4.5748, 19.6751), rel=0.01)


def lengths(slope: float = 0.3) -> Ladder:
    """Scores at three lengths of each model."""
    parts = [table(slope) for _ in range(3)]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    tokens = np.repeat([1e5, 2e5, 4e5], len(parts[0]))
    whole = np.minimum(columns["score"] - 0.1 * np.random.default_rng(0).random(len(tokens)), -1e-6)
    return Ladder({**columns, "tokens": tokens, "score_whole": whole, "right_whole": columns["right"]}, "scores.csv")


def test_the_longest_decide_and_all_lengths_tell_the_reach() -> None:
    verdict = STUDY.verdict(lengths())
    assert verdict.effect == pytest.approx(STUDY.verdict(table()).effect)
    assert verdict.findings["tokens"] == 4e5
    assert [len(each["points"]) for each in verdict.findings["reach"]] == [15] * TASKS
    assert verdict.findings["reach"][0]["by_tokens"]["value"] == pytest.approx(0, abs=1e-9)
    assert "Not told to be above chance at any size and length" in verdict.meaning
    assert verdict.findings["whole"]["low"] < verdict.findings["whole"]["effect"]
    assert STUDY.verdict(table()).findings["reach"] == []


def test_students_quantile() -> None:
    """Against the closed forms for one and two degrees of freedom, a table's value, and the normal."""
    assert student(0.95, 1) == pytest.approx(6.313752, rel=1e-4)
    assert student(0.95, 2) == pytest.approx(2.919986, rel=1e-5)
    assert student(0.975, 13) == pytest.approx(2.160369, rel=1e-5)
    assert student(0.95, 1e6) == pytest.approx(1.644854, rel=2e-4)


def test_a_bend_is_told_from_luck() -> None:
    source = np.random.default_rng(0)
    x = np.repeat(np.arange(5.0), 3)
    chances = [bend_chance(x, 0.3 * x + source.standard_normal(15)) for _ in range(60)]
    assert 0.3 < float(np.mean([each for each in chances if each is not None])) < 0.7
    jump = bend_chance(x, (x > 2) + 0.05 * source.standard_normal(15))
    assert jump is not None
    assert jump < 1e-3
    assert bend_chance(np.arange(5.0), np.arange(5.0)) is None


def test_the_verdict_tells_task_by_task() -> None:
    verdict = STUDY.verdict(table(0.3))
    assert verdict.verdict is Decision.HOLDS
    assert [row["task"] for row in verdict.rows] == [f"task {i}" for i in range(TASKS)]
    assert {row["curve_is"] for row in verdict.rows} == {"straight"}
    assert "no sign of a jump" in verdict.meaning
    assert len(verdict.findings["curves"]["task 0"]) == 5
    assert str(verdict).startswith("limits: holds: ")


def test_a_jump_is_named() -> None:
    verdict = STUDY.verdict(table(0.1, jump=True))
    assert [row["curve_is"] for row in verdict.rows] == ["bent", "straight", "straight", "straight", "straight"]
    assert "Off a straight line by more than seeds explain: task 0." in verdict.meaning
    one = STUDY.verdict(table(0.3, seeds=2).select(np.flatnonzero(table(0.3, seeds=2).columns["seed"] < 2)))
    assert one.runs == 10


def test_rows_may_stand_in_any_order() -> None:
    whole = table()
    mixed = whole.select(np.random.default_rng(0).permutation(len(whole)))
    assert STUDY.verdict(mixed).effect == pytest.approx(STUDY.verdict(whole).effect, rel=1e-12)


def test_what_can_not_be_judged_is_refused_in_a_line() -> None:
    whole = table()
    with pytest.raises(TableError, match=r"scores\.csv: no column 'item'"):
        gather(Ladder({n: c for n, c in whole.columns.items() if n != "item"}, "scores.csv"))
    with pytest.raises(TableError, match="each model must be asked each item once"):
        gather(whole.select(np.arange(len(whole) - 1)))
    with pytest.raises(TableError, match="3 models of 1 size; the study needs 6 models of 4 sizes"):
        gather(whole.select(whole.columns["params"] == whole.columns["params"].min()))
    with pytest.raises(TableError, match="log-probabilities are 0 at the most"):
        gather(Ladder({**whole.columns, "score": -whole.columns["score"]}, "scores.csv"))
