"""Warnings beside a fit: each speaks where its fault was planted, and hardly ever where none was."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from planted import BENT, CHINCHILLA, grid

from chidu.errors import ChiduError
from chidu.laws import LAWS, fit
from chidu.laws.doubts import NO_TREND, doubts
from chidu.laws.rows import Rows, read_rows
from chidu.laws.solve import Solution, solve
from chidu.runs.ladder import Ladder

Floats = NDArray[np.float64]
Runs = dict[str, Floats]
TOP, SMALL = "dearest runs bend away", "smallest sizes bend away"
ONE_RUN, EARLY, OPTIMUM = "look like checkpoints of one run", "groups look like checkpoints", "optimum is not bracketed"
FLOOR = (1.0, 2.0)


def fitted(runs: Runs, law: str = "additive") -> tuple[Rows, Solution]:
    rows = read_rows(Ladder.of(runs), LAWS[law], None, None)
    return rows, solve(rows, LAWS[law])


def raised(runs: Runs, law: str = "additive") -> list[str]:
    said = " ".join(doubts(*fitted(runs, law), FLOOR))
    return [each for each in (TOP, SMALL, ONE_RUN, EARLY, OPTIMUM) if each in said]


def text_of(words: str, runs: Runs, law: str = "additive") -> str:
    return next((text for text in doubts(*fitted(runs, law), FLOOR) if words in text), "")


def clean(seed: int) -> tuple[Runs, str]:
    """A table of one of five designs, made from the law that is then fitted, with 0.1, 0.3 or 1% noise."""
    random = np.random.default_rng([7, seed])
    law, name = ((CHINCHILLA, "additive"), (BENT, "coupled"))[seed // 5 % 2]
    if seed % 5 == 0:
        params, tokens = grid(int(random.integers(4, 9)), int(random.integers(4, 7)), 10 ** random.uniform(7, 9))
    elif seed % 5 == 1:
        params = np.repeat(np.geomspace(1e7, 1.6e8, 5), 4)
        tokens = params * np.tile([5, 10, 20, 80], 5)
    elif seed % 5 == 2:
        flops = np.repeat(np.geomspace(1e18, 1e21, 5), 7)
        params = np.sqrt(flops / 120) * np.tile(np.geomspace(1 / 6, 6, 7), 5)
        tokens = flops / 6 / params
    elif seed % 5 == 3:
        params = 10 ** random.uniform(7, 9.5, random.integers(14, 200))
        tokens = params * 10 ** random.uniform(0.3, 2.5, len(params))
    else:
        params, tokens = np.repeat(np.geomspace(1e7, 1e9, 6), 12), np.tile(np.linspace(0.2, 3, 12), 6)
        tokens = 20 * params * tokens
    return law.table(params, tokens, noise=(0.001, 0.003, 0.01)[seed // 10 % 3], seed=seed + 1000), name


def test_clean_tables_raise_hardly_a_doubt() -> None:
    alarms = Counter(each for seed in range(100) for each in raised(*clean(seed)))
    assert alarms.total() <= 2, alarms


def bent(size: float, noise: float, seed: int) -> Runs:
    """A grid whose dearest runs are off by up to `size` in log loss."""
    table = CHINCHILLA.table(*grid(6, 6, 1e7), noise=noise, seed=seed)
    cost = np.log(table["flops"])
    cut = np.sort(cost)[-8]
    return {**table, "loss": table["loss"] * np.exp(size * np.clip((cost - cut) / (cost.max() - cut), 0, 1))}


@pytest.mark.parametrize(("size", "words"), [(0.03, "long runs"), (-0.03, "recipe of the cheaper runs")])
def test_residuals_that_bend_at_the_top_are_said(size: float, words: str) -> None:
    found = [text_of(TOP, bent(size, 0.002, seed)) for seed in range(10)]
    assert sum(map(bool, found)) >= 9
    assert all(words in text and ("above" in text) is (size > 0) for text in found if text)


def test_the_bend_is_what_a_fit_without_the_top_would_miss() -> None:
    text = text_of(TOP, bent(0.03, 0.0005, 0))
    assert 2 <= float(text.partition("%")[0].split()[-1]) <= 4


def test_a_small_bend_and_one_stray_run_are_not() -> None:
    assert not text_of(TOP, bent(0.002, 0.003, 0))
    for seed in range(10):
        table = CHINCHILLA.table(*grid(6, 6, 1e7), noise=0.002, seed=seed)
        second = np.argsort(table["flops"])[-3]
        table["loss"][second] *= 1.03
        assert not text_of(TOP, table)


def with_embeddings(noise: float, seed: int, least: float = 1e7) -> Runs:
    """Runs that follow their params without embeddings, in a table that counts those of a vocabulary of 50,000."""
    inner, tokens = grid(8, 6, least)
    table = CHINCHILLA.table(inner, tokens, noise=noise, seed=seed)
    width = (inner * 64 / 12) ** (1 / 3)
    return {**table, "params": inner + 50_000 * width, "flops": 6 * (inner + 50_000 * width) * tokens}


def test_embeddings_among_the_params_are_suspected() -> None:
    found = [text_of(SMALL, with_embeddings(0.002, seed)) for seed in range(10)]
    assert sum(map(bool, found)) >= 8
    assert all("above" in text and "params_non_embedding" in text for text in found if text)


def test_a_column_that_leaves_them_out_is_not_blamed_for_them() -> None:
    table = with_embeddings(0.001, 0)
    text = text_of(SMALL, {**table, "params_matmul": table["params"]})
    assert text
    assert "embedding" not in text


def trajectories(points: int, seed: int, alike: float = 0.9, noise: float = 0.003) -> Runs:
    """Checkpoints at even steps of six runs, whose errors drift slowly."""
    random = np.random.default_rng(seed)
    params = np.repeat(np.geomspace(1e7, 1e9, 6), points)
    table = CHINCHILLA.table(params, 20 * params * np.tile(np.linspace(0.1, 1, points), 6))
    errors = random.normal(0, 1, (6, points))
    for k in range(1, points):
        errors[:, k] = alike * errors[:, k - 1] + np.sqrt(1 - alike**2) * errors[:, k]
    return {**table, "loss": table["loss"] * np.exp(noise * errors.ravel())}


def test_points_of_one_run_are_suspected_where_no_group_names_them() -> None:
    found = [text_of(ONE_RUN, trajectories(24, seed)) for seed in range(10)]
    assert sum(map(bool, found)) >= 9
    assert all("`group`" in text for text in found if text)
    assert not any(text_of(ONE_RUN, trajectories(24, seed, alike=0.0)) for seed in range(10))


def test_a_law_that_misses_smoothly_on_separate_runs_is_no_trajectory() -> None:
    assert not text_of(ONE_RUN, BENT.table(*grid(8, 16, 1e7), noise=0.0005))


def test_named_trajectories_are_not_suspected_but_their_early_losses_are() -> None:
    table = trajectories(24, 0)
    named = {**table, "group": np.repeat(np.arange(6.0), 24)}
    assert text_of(EARLY, named)
    assert not text_of(ONE_RUN, named)
    last = {name: column[23::24] for name, column in named.items()}
    one = {**{name: np.concatenate([column, column]) for name, column in last.items()}}
    one["tokens"] = one["tokens"] * np.repeat([1.0, 3.0], 6)
    assert not text_of(EARLY, one)


def test_a_group_that_names_an_experiment_is_no_trajectory() -> None:
    table = CHINCHILLA.table(*grid(6, 6), noise=0.002)
    assert not text_of(EARLY, {**table, "group": np.tile([0.0, 1.0, 2.0], 12)})
    assert not text_of(EARLY, {**table, "group": np.zeros(36)})


@pytest.mark.parametrize(("ratios", "side", "more"), [((80, 2000), "above", "fewer"), ((0.05, 2), "below", "more")])
def test_runs_to_one_side_of_the_optimum_are_said(ratios: tuple[float, float], side: str, more: str) -> None:
    params = np.repeat(np.geomspace(1e8, 1e10, 5), 5)
    table = CHINCHILLA.table(params, params * np.tile(np.geomspace(*ratios, 5), 5), noise=0.001)
    text = text_of(OPTIMUM, table)
    assert f"{side} the law's best ratio" in text
    assert f"add runs with {more} tokens per param" in text
    around = CHINCHILLA.table(params, params * np.tile(np.geomspace(2, 200, 5), 5), noise=0.001)
    assert not text_of(OPTIMUM, around)


def test_exact_tables_raise_no_doubt() -> None:
    for law, name in ((CHINCHILLA, "additive"), (BENT, "coupled")):
        assert raised(law.table(*grid(6, 6)), name) == []


def test_units_order_and_copies_of_rows_change_no_doubt() -> None:
    table = bent(0.03, 0.002, 0)
    order = np.random.default_rng(0).permutation(36)
    assert raised({name: column[order] for name, column in table.items()}) == raised(table)
    assert raised({**table, "params": table["params"] * 1e-6, "flops": table["flops"] * 1e-6}) == raised(table)


def test_laws_of_other_columns_are_judged_by_what_they_have() -> None:
    flops = np.geomspace(1e18, 1e22, 16)
    loss = 1.5 + 900 / flops**0.15 * np.exp(np.random.default_rng(0).normal(0, 0.002, 16))
    rows, solution = fitted({"flops": flops, "loss": loss}, "power")
    assert doubts(rows, solution, FLOOR) == ()
    loss[-4:] *= np.exp([0.005, 0.01, 0.02, 0.03])
    assert TOP in " ".join(doubts(*fitted({"flops": flops, "loss": loss}, "power"), FLOOR))


def test_doubts_stand_beside_the_fit_on_one_line_each() -> None:
    found = fit(bent(0.03, 0.002, 0), "additive", resamples=10)
    assert any(TOP in text for text in found.warnings)
    assert all("\n" not in text for text in found.warnings)


def said(runs: Runs, law: str = "additive") -> str:
    return " ".join(doubts(*fitted(runs, law), FLOOR))


def test_copied_rows_are_counted() -> None:
    table = CHINCHILLA.table(*grid(5, 4), noise=0.003)
    assert "repeat" not in said(table)
    twice = {name: np.concatenate([column, column[:3]]) for name, column in table.items()}
    assert "3 rows repeat another's inputs and result" in said(twice)


def test_flops_of_another_unit_are_named_with_the_factor() -> None:
    table = CHINCHILLA.table(*grid(5, 4), noise=0.003)
    assert "check their unit" not in said(table)
    assert "flops are 1e-18 × 6·params·tokens" in said({**table, "flops": table["flops"] * 1e-18})


def test_a_run_far_off_the_law_is_named() -> None:
    table = CHINCHILLA.table(*grid(5, 4), noise=0.003)
    assert "far off the law" not in said(table)
    table["loss"][7] *= 3
    assert f"params {table['params'][7]:.3g}, tokens {table['tokens'][7]:.3g}" in said(table)


def test_losses_that_do_not_fall_with_scale_are_not_trusted() -> None:
    table = CHINCHILLA.table(*grid(5, 4), noise=0.003)
    rising = {**table, "loss": table["loss"].max() + table["loss"].min() - table["loss"]}
    found = fit(rising, "additive", resamples=20)
    assert NO_TREND in found.warnings
    verdict, why = found.trust({"params": [1e11], "tokens": [1e12]})
    assert verdict == "no"
    assert "no better than cheaper ones" in why


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight": np.zeros(20)}, "every weight is 0"),
        ({"loss": np.full(20, 3.0)}, "every run has loss = 3"),
        ({"params": np.r_[1e300, np.geomspace(1e8, 1e10, 19)]}, "row 1, column 'params' is 1e+300"),
        ({"tokens": np.r_[np.geomspace(1e9, 1e11, 19), 1e-300]}, "row 20, column 'tokens' is 1e-300"),
    ],
)
def test_what_no_law_can_come_from_is_one_line(change: Runs, words: str) -> None:
    with pytest.raises(ChiduError) as caught:
        fit({**CHINCHILLA.table(*grid(5, 4)), **change}, resamples=0)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("factor", "warned"), [(1.2, True), (1.005, False)])
def test_pooled_experiments_are_told_from_seeds(factor: float, warned: bool) -> None:
    one, other = (CHINCHILLA.table(*grid(5, 4), noise=0.002, seed=seed) for seed in (1, 2))
    other["loss"] = factor * other["loss"]
    table = {name: np.concatenate([one[name], other[name]]) for name in one} | {"group": np.repeat(["a", "b"], 20)}
    found = [text for text in fit(table, "additive", resamples=0).warnings if "at equal points" in text]
    assert bool(found) is warned
    if warned:
        assert "2 groups differ by 20% at equal points" in found[0]
