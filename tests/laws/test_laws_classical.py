"""The classical views: minima and sizes that lead are where the planted law has them, bias and all; what can't be
had is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from planted import CHINCHILLA, Planted, grid
from typer.testing import CliRunner

import chidu.cli.fit
from chidu.errors import FitError, TableError
from chidu.laws import fit
from chidu.laws.classical import Envelope, Isoflop, disagreement, envelope, expected_bias, isoflop, views
from chidu.runs.ladder import Ladder

Floats = NDArray[np.float64]
EXPONENT = CHINCHILLA.beta / (CHINCHILLA.alpha + CHINCHILLA.beta)


def best(flops: ArrayLike, law: Planted = CHINCHILLA) -> Floats:
    """Compute-optimal params of an additive law, where flops are 6 N D."""
    ratio = law.alpha * law.A / (law.beta * law.B)
    product = np.asarray(flops, dtype=float) / 6
    return np.asarray((ratio * product**law.beta) ** (1 / (law.alpha + law.beta)))


def sweeps(
    half_width: float, sizes: int = 7, noise: float = 0.0, seed: int = 0, off: float = 1.0, law: Planted = CHINCHILLA
) -> dict[str, Floats]:
    """Six budgets, each with sizes from 1/half_width to half_width of `off` times the best params."""
    flops = np.repeat(np.geomspace(1e18, 1e21, 6), sizes)
    params = off * best(flops, law) * np.tile(np.geomspace(1 / half_width, half_width, sizes), 6)
    return law.table(params, flops / 6 / params, noise=noise, seed=seed)


@pytest.mark.parametrize("half_width", [2, 4, 8, 16])
def test_noise_free_minima_have_the_stated_bias_and_the_right_exponent(half_width: float) -> None:
    found = isoflop(sweeps(half_width, sizes=9), resamples=0)
    assert len(found.sweeps) == 6
    for sweep in found.sweeps:
        off = 100 * abs(sweep.params / best(sweep.flops) - 1)
        assert off == pytest.approx(expected_bias(half_width), rel=0.15)
        assert sweep.bias_percent == pytest.approx(off, rel=0.15)
        assert sweep.params * sweep.tokens == pytest.approx(sweep.flops / 6)
    params, tokens = found.scalings
    assert params.exponent == pytest.approx(EXPONENT, abs=1e-6)
    assert params.exponent + tokens.exponent == pytest.approx(1)
    assert params.at(1e20)[0] == pytest.approx(params.coefficient * 1e20**params.exponent)


def test_the_bias_is_the_measured_one() -> None:
    assert [round(expected_bias(width), 1) for width in (1, 2, 4, 8, 16)] == [0.0, 0.3, 1.3, 3.0, 5.3]


def test_intervals_of_minima_and_exponents_hold() -> None:
    minima, exponents = [], []
    for seed in range(40):
        found = isoflop(sweeps(5, noise=0.003, seed=seed), resamples=200, seed=seed)
        minima += [low <= best(flops) <= high for flops, _, low, high in found.optima()]
        params = found.scalings[0]
        exponents.append(params.exponent_low <= EXPONENT <= params.exponent_high)
        assert params.exponent_low < params.exponent < params.exponent_high
    assert 0.85 <= np.mean(minima) <= 1.0
    assert np.mean(exponents) >= 0.8


def test_slightly_unequal_flops_are_one_budget_and_taken_out() -> None:
    table = sweeps(3)
    stretched = table["flops"] * np.tile(np.geomspace(0.97, 1.03, 7), 6)
    law = CHINCHILLA.table(table["params"], stretched / 6 / table["params"])
    found = isoflop(law, resamples=0)
    assert [sweep.rows for sweep in found.sweeps] == [7] * 6
    for sweep in found.sweeps:
        assert sweep.params == pytest.approx(best(sweep.flops), rel=0.02)


@pytest.mark.parametrize(("off", "side", "more"), [(30.0, "below", "smaller"), (1 / 30, "above", "larger")])
def test_a_minimum_that_is_not_bracketed_is_left_out_and_said(off: float, side: str, more: str) -> None:
    good, shifted = sweeps(4), sweeps(4, off=off)
    table = {name: np.concatenate([good[name][:35], shifted[name][35:]]) for name in good}
    found = isoflop(table, resamples=20)
    assert [bool(sweep.left_out) for sweep in found.sweeps] == [False] * 5 + [True]
    assert f"lies {side} all sizes" in found.sweeps[-1].left_out
    assert f"add {more} ones" in str(found)
    assert np.isnan(found.sweeps[-1].params)
    assert found.scalings[0].exponent == pytest.approx(EXPONENT, abs=1e-6)
    assert len(found.optima()) == 5


def test_a_parabola_that_bends_down_is_left_out() -> None:
    table = sweeps(4)
    table["loss"][:7] = 4 - table["loss"][:7] / 10
    assert "does not bend up" in isoflop(table, resamples=20).sweeps[0].left_out


def test_an_interval_that_the_runs_leave_open_is_said_to_be() -> None:
    found = isoflop(sweeps(1.5, noise=0.02, seed=1), resamples=200)
    wide = [sweep for sweep in found.sweeps if not sweep.left_out]
    assert any(sweep.params_low == 0 or np.isinf(sweep.params_high) for sweep in wide)
    assert "open" in str(found)
    json.dumps(found.as_dict(), allow_nan=False)


def test_flops_that_vary_smoothly_are_cut_into_windows() -> None:
    random = np.random.default_rng(0)
    params, tokens = 10 ** random.uniform(7.5, 9, 3000), 10 ** random.uniform(9, 10.5, 3000)
    found = isoflop(CHINCHILLA.table(params, tokens, noise=0.002), resamples=50)
    assert found.rows_outside < 30
    assert found.scalings[0].exponent == pytest.approx(EXPONENT, abs=0.02)
    assert "budgets are shown, evenly chosen" in str(found)


def test_one_bracketed_budget_gives_no_power_law() -> None:
    table = {name: column[:7] for name, column in sweeps(4).items()}
    found = isoflop(table, resamples=20)
    assert found.scalings == ()
    assert "no power law" in str(found)


def test_rows_outside_any_budget_are_counted() -> None:
    table = sweeps(4)
    lone = CHINCHILLA.table([3e8, 4e8], [7e9, 9e10])
    found = isoflop({name: np.concatenate([table[name], lone[name]]) for name in table}, resamples=0)
    assert (found.rows, found.rows_outside) == (44, 2)
    assert "2 rows in none" in str(found)


def test_scattered_runs_have_no_budget_and_it_is_said() -> None:
    random = np.random.default_rng(0)
    params = np.geomspace(1e7, 1e9, 12)
    with pytest.raises(FitError, match="no budget has 4 sizes") as caught:
        isoflop(CHINCHILLA.table(params, params * random.uniform(5, 80, 12)))
    assert "\n" not in str(caught.value)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(scale=st.floats(1e-4, 1e4), seed=st.integers(0, 1000))
def test_units_and_order_change_nothing(scale: float, seed: int) -> None:
    table = sweeps(4, noise=0.003)
    order = np.random.default_rng(seed).permutation(len(table["loss"]))
    before = isoflop(table, resamples=50)
    after = isoflop({**{name: column[order] for name, column in table.items()}}, resamples=50)
    assert after.as_dict() == before.as_dict()
    other = isoflop({**table, "params": table["params"] * scale}, resamples=50)
    assert other.scalings[0].exponent == pytest.approx(before.scalings[0].exponent, rel=1e-6)
    assert other.sweeps[0].params == pytest.approx(before.sweeps[0].params * scale, rel=1e-6)


def test_the_envelope_is_led_by_the_sizes_nearest_the_best() -> None:
    found = envelope(CHINCHILLA.table(*grid(16, 16, 1e7)), resamples=0)
    step = 100 ** (1 / 15)
    counted = [lead for lead in found.leads if not lead.left_out]
    assert len(counted) >= 5
    for lead in counted[1:-1]:
        middle = best(np.sqrt(lead.flops_from * lead.flops_to))
        assert lead.params / step < middle < lead.params * step
    params, tokens = found.scalings
    assert params.exponent == pytest.approx(EXPONENT, abs=0.03)
    assert params.exponent + tokens.exponent == pytest.approx(1, abs=1e-6)


def test_sizes_that_lead_for_want_of_others_do_not_count() -> None:
    found = envelope(CHINCHILLA.table(*grid(8, 8, 1e7)), resamples=0)
    assert found.leads[0].left_out
    assert found.leads[-1].left_out
    assert "left out   budgets where no smaller or no larger size was run" in str(found)


def test_intervals_of_the_envelope_hold() -> None:
    held = []
    for seed in range(15):
        found = envelope(CHINCHILLA.table(*grid(12, 12, 1e7), noise=0.002, seed=seed), resamples=60)
        held.append(found.scalings[0].exponent_low <= EXPONENT <= found.scalings[0].exponent_high)
    assert np.mean(held) >= 0.85


def test_training_curves_are_told_apart_by_group() -> None:
    table = CHINCHILLA.table(*grid(6, 20, 1e7), noise=0.001)
    twice = {name: np.concatenate([column, column]) for name, column in table.items()}
    twice["group"] = np.concatenate([np.tile(np.arange(6), 20), np.tile(np.arange(6, 12), 20)])
    assert envelope(twice, resamples=0).curves == 12
    assert envelope(table, resamples=0).curves == 6


def test_too_few_sizes_for_an_envelope_are_said() -> None:
    with pytest.raises(FitError, match="2 sizes with runs at two budgets or more"):
        envelope(CHINCHILLA.table([1e8, 1e8, 2e8, 2e8], [1e9, 2e9, 1e9, 2e9]))
    apart = CHINCHILLA.table(np.repeat([1e7, 1e8, 1e9], 2), [1e8, 2e8, 1e10, 2e10, 1e12, 2e12])
    with pytest.raises(FitError, match="no budget is reached by three sizes"):
        envelope(apart)
    few = envelope(
        CHINCHILLA.table(np.repeat([3e7, 1e8, 3e8], 8), np.tile(np.geomspace(1e8, 1e11, 8), 3)), resamples=10
    )
    assert few.scalings == ()
    assert "no power law" in str(few)


def test_an_envelope_of_few_sizes_gives_no_interval_and_says_so() -> None:
    found = envelope(CHINCHILLA.table(*grid(5, 10, 1e7)), resamples=100)
    assert found.usable < 0.8
    assert np.isnan(found.scalings[0].exponent_low)
    assert "no interval" in str(found)
    assert found.optima() == []


@pytest.mark.parametrize("look", [isoflop, envelope])
def test_bad_columns_are_refused(look: object) -> None:
    with pytest.raises(TableError, match="no column 'tokens'"):
        look({"params": [1e8], "loss": [3.0]})  # type: ignore[operator]
    with pytest.raises(TableError, match="row 1, column 'loss'"):
        look({"params": [1e8], "tokens": [1e9], "loss": [np.nan]})  # type: ignore[operator]


@pytest.mark.parametrize("look", [isoflop, envelope])
def test_settings_out_of_range_are_refused(look: object) -> None:
    for wrong, words in (({"level": 1.5}, "level"), ({"resamples": -1}, "resamples"), ({"seed": -1}, "seed")):
        with pytest.raises(FitError, match=words):
            look(sweeps(4), **wrong)  # type: ignore[operator]


def test_a_table_without_tokens_has_no_views_and_the_reason_is_said() -> None:
    flops = np.geomspace(1e18, 1e22, 12)
    table = {"flops": flops, "loss": 1.5 + 900 / flops**0.15}
    found = views(fit(table, "power", resamples=10), table)
    assert found.found == ()
    assert all("not to be had" in text and "no column" in text for text in found.said.values())


def test_views_agree_with_the_law_that_the_runs_were_made_from() -> None:
    table = sweeps(5, noise=0.002)
    found = views(fit(table, "additive", resamples=100), table)
    assert found.said["isoFLOP"].startswith("agrees with the law on the best params at all 6 budgets")
    assert "not to be had: " in found.said["envelope"]
    assert [type(view) for view in found.found] == [Isoflop]
    both = CHINCHILLA.table(*grid(9, 9, 1e7), noise=0.002)
    assert [type(view) for view in views(fit(both, "additive", resamples=50), both).found] == [Envelope, Isoflop]


def test_views_that_disagree_name_the_budgets() -> None:
    law = fit(sweeps(5, noise=0.001), "additive", resamples=100)
    other = isoflop(sweeps(5, noise=0.001, law=Planted(1.7, 400.0, 0.34, 4100.0, 0.28)), resamples=100)
    said = disagreement(law, other)
    assert said.startswith("disagrees with the law on the best params at 6 of 6 budgets (1e+18, ")
    assert "\n" not in said


def test_what_cannot_be_compared_is_said() -> None:
    table = sweeps(5, noise=0.002)
    view = isoflop(table, resamples=20)
    assert "reads flops" in disagreement(fit(table, "power", resamples=20), view)
    assert "without refits" in disagreement(fit(table, "additive", resamples=0), view)
    matmul = fit({**table, "params_matmul": table["params"] * 0.9}, "additive", resamples=20)
    assert "counts params_matmul" in disagreement(matmul, view)


def test_views_are_json_and_print_on_one_table_each() -> None:
    table = CHINCHILLA.table(*grid(8, 8, 1e7), noise=0.002)
    found = views(fit(table, "additive", resamples=50), table)
    again = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [view["view"] for view in again["views"]] == ["envelope", "isoflop"]
    for word in ("approach 1", "approach 2", "half-width", "bias", "params = ", "flops^"):
        assert word in str(found)


def test_the_verb_prints_views_under_the_fit(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    Ladder.of(CHINCHILLA.table(*grid(6, 6, 1e7), noise=0.002)).write(path)
    app = typer.Typer()
    app.command()(chidu.cli.fit.command)
    words = [str(path), "--law", "additive", "--resamples", "50", "--views"]
    text = CliRunner().invoke(app, words).stdout
    assert text.index("additive law") < text.index("envelope (approach 1)") < text.index("isoFLOP (approach 2)")
    document = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert set(document["views"]["said"]) == {"envelope", "isoFLOP"}
    assert document["law"] == "additive"
