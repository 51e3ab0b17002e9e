"""Suggestions and ladder designs: sharper than chance at equal cost, within the budget, the same in any order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from planted import BENT, CHINCHILLA, Planted, grid
from typer.testing import CliRunner

from chidu.cli import ladder
from chidu.cli import suggest as suggest_verb
from chidu.errors import ChiduError, FitError, SettingError, TableError
from chidu.laws import Suggestion, fit, ladder_design, suggest
from chidu.laws.ladder_design import PUBLISHED, design_ladder
from chidu.runs.ladder import Ladder

TARGET = {"params": [1e11], "tokens": [2e12]}
BUDGET = 3e21


@pytest.fixture(autouse=True)
def few_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder_design, "FEW", 1)
    monkeypatch.setattr(ladder_design, "MANY", 3)


def offered() -> dict[str, np.ndarray]:
    N, D = grid(8, 8)
    return {"params": N, "tokens": D, "flops": 6 * N * D}


def begun(law: Planted, seed: int) -> dict[str, np.ndarray]:
    """Nine cheap runs."""
    N, D = np.meshgrid([1e8, 2e8, 4e8], [2e9, 5e9, 1.2e10])
    return law.table(N.ravel(), D.ravel(), noise=0.003, seed=seed)


def joined(*tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def miss(law: Planted, runs: dict[str, np.ndarray]) -> float:
    found = fit(runs, "coupled" if law.kappa != 1 else "additive", resamples=0).forecast(TARGET)["loss"][0]
    return abs(float(np.log(found / law.loss(1e11, 2e12))))


def at_random(candidates: dict[str, np.ndarray], seed: int) -> np.ndarray:
    taken, left = [], BUDGET
    for j in np.random.default_rng(seed).permutation(len(candidates["flops"])):
        if candidates["flops"][j] <= left:
            taken.append(j)
            left -= candidates["flops"][j]
    return np.array(taken)


@pytest.mark.parametrize("law", [CHINCHILLA, BENT], ids=["additive", "bent"])
def test_suggested_runs_forecast_better_than_random_ones_of_equal_cost(law: Planted) -> None:
    ours, theirs = [], []
    for seed in range(10):
        runs, candidates = begun(law, seed), offered()
        name = "coupled" if law.kappa != 1 else "additive"
        found = suggest(runs, candidates, BUDGET, TARGET, name, resamples=30)
        assert found.spent <= BUDGET
        bought = law.table(found.table["params"], found.table["tokens"], noise=0.003, seed=100 + seed)
        ours.append(miss(law, joined(runs, bought)))
        for draw in range(2):
            taken = at_random(candidates, 10 * seed + draw)
            bought = law.table(candidates["params"][taken], candidates["tokens"][taken], noise=0.003, seed=200 + seed)
            theirs.append(miss(law, joined(runs, bought)))
    assert np.mean(ours) < np.mean(theirs)


def test_the_width_now_is_the_forecasts_and_falls_with_each_run() -> None:
    runs = begun(CHINCHILLA, 0)
    found = suggest(runs, offered(), BUDGET, TARGET, "additive", resamples=50)
    table = fit(runs, "additive", resamples=50).forecast(TARGET)
    assert found.width_before == pytest.approx(float((table["high"] - table["low"])[0] / table["loss"][0]), rel=1e-9)
    widths = np.array([found.width_before, *found.table["width"]])
    assert (np.diff(widths) <= 1e-12).all()
    assert found.width_after == widths[-1] < found.width_before
    assert np.allclose(np.cumsum(found.table["cost"]), found.table["cumulative"])


@pytest.mark.parametrize("start", [True, False], ids=["start", "sharpen"])
def test_order_of_candidates_changes_nothing_and_the_same_call_gives_the_same_runs(start: bool) -> None:
    runs, candidates = (None if start else begun(BENT, 1)), offered()
    shuffled = np.random.default_rng(3).permutation(64)
    moved = {name: values[shuffled] for name, values in candidates.items()}
    first = suggest(runs, candidates, BUDGET, TARGET, "additive", resamples=20)
    second = suggest(runs, moved, BUDGET, TARGET, "additive", resamples=20)
    assert first.as_dict() == suggest(runs, candidates, BUDGET, TARGET, "additive", resamples=20).as_dict()
    for name in ("params", "tokens", "cost"):
        assert np.array_equal(first.table[name], second.table[name])
    assert np.array_equal(moved["params"][second.table["row"] - 1], second.table["params"])


@pytest.mark.parametrize("budget", [5e18, 3e20, 1e23])
@pytest.mark.parametrize("start", [True, False], ids=["start", "sharpen"])
def test_the_budget_is_never_exceeded(budget: float, start: bool) -> None:
    found = suggest(None if start else begun(CHINCHILLA, 2), offered(), budget, law="additive", resamples=10)
    assert 0 <= found.spent <= budget
    assert found.spent > 0 or not start
    assert len(set(found.table["row"].tolist())) == len(found.table["row"])


def test_a_start_can_be_fitted_and_says_what_it_is() -> None:
    found = suggest(None, offered(), 1e22)
    assert found.stage == "start"
    assert np.isnan(found.width_after)
    assert "ask again" in str(found)
    one_line = {name: values[::4] for name, values in begun(CHINCHILLA, 0).items()}
    assert suggest(one_line, offered(), 1e22).law == "additive"
    assert json.loads(json.dumps(found.as_dict()))["width_after"] is None
    bought = CHINCHILLA.table(found.table["params"], found.table["tokens"], noise=0.003)
    assert suggest(bought, offered(), 1e22, TARGET, resamples=20).stage == "sharpen"


def test_what_was_run_is_left_out_unless_repeats_are_wanted() -> None:
    candidates = offered()
    runs = CHINCHILLA.table(candidates["params"][:20], candidates["tokens"][:20], noise=0.003)
    found = suggest(runs, candidates, 1e22, law="additive", resamples=10)
    assert found.already_run == 20
    assert not set(found.table["row"].tolist()) & set(range(1, 21))
    assert suggest(runs, candidates, 1e22, law="additive", resamples=10, repeats=True).already_run == 0


def test_a_cost_of_ones_own_and_a_formula_serve() -> None:
    random = np.random.default_rng(0)
    N, E = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 5), 2.0 ** np.arange(5)))
    loss = (1.5 + 40 / N**0.2 / E**0.08) * np.exp(random.normal(0, 0.002, 25))
    runs = {"params": N[:12], "experts": E[:12], "loss": loss[:12]}
    candidates = {"params": N, "experts": E, "cost": np.arange(1.0, 26.0)}
    found = suggest(runs, candidates, 60, {"params": [1e10], "experts": [64]}, "E + A/params**alpha/experts**beta")
    assert found.cost_name == "cost"
    assert found.spent <= 60
    assert found.width_after < found.width_before


def test_refusals_say_what_to_do() -> None:
    runs, candidates = begun(CHINCHILLA, 0), offered()
    with pytest.raises(FitError, match="cheapest costs"):
        suggest(runs, candidates, 1e10, resamples=10, law="additive")
    with pytest.raises(FitError, match="above 0"):
        suggest(runs, candidates, float("nan"))
    with pytest.raises(FitError, match="resamples"):
        suggest(runs, candidates, 1e20, resamples=0)
    with pytest.raises(TableError, match="tokens"):
        suggest(runs, {"params": [1e9], "flops": [1e19]}, 1e20, law="additive", resamples=10)
    with pytest.raises(FitError, match="already"):
        suggest(runs, runs, 1e22, resamples=10, law="additive")
    with pytest.raises(TableError, match="add a column cost"):
        suggest(None, {"params": [1e9], "experts": [4]}, 5, law="E + A/params**alpha/experts**beta")
    for error in (FitError, TableError):
        assert issubclass(error, ChiduError)


def call(*words: object) -> str:
    app = typer.Typer()
    app.command("suggest")(suggest_verb.command)
    app.add_typer(ladder.app, name="ladder")
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_the_verb_reads_tables_and_writes_one(tmp_path: Path) -> None:
    Ladder(begun(CHINCHILLA, 0)).write(tmp_path / "runs.csv")
    Ladder(offered()).write(tmp_path / "candidates.csv")
    words = ("suggest", tmp_path / "runs.csv", tmp_path / "candidates.csv", "--budget", "1e21", "--law", "additive")
    target = ("--target-params", "100B", "--target-tokens", "2T")
    document = json.loads(call(*words, *target, "--json", "--output", tmp_path / "next.csv"))
    assert document["stage"] == "sharpen"
    assert document["targets"] == [{"params": 1e11, "tokens": 2e12}]
    assert len(Ladder.read(tmp_path / "next.csv")) == len(document["rows"])
    assert "Width of the 90% interval" in call(*words, "--target-flops", "1e24")
    with pytest.raises(SettingError, match="go together"):
        call(*words, "--target-params", "7B")
    with pytest.raises(SettingError, match="one target"):
        call(*words, *target, "--target-flops", "1e24")


def test_published_laws_have_their_published_values() -> None:
    named = PUBLISHED[0].solution.named(PUBLISHED[0].vectors)
    assert {name: pytest.approx(float(value[0])) for name, value in named.items()} == {
        "E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28,
    }  # fmt: skip


def test_a_ladder_is_cheap_keeps_its_budget_and_comes_again(tmp_path: Path) -> None:
    found = design_ladder(7e9, 1.4e11, budget=1e20)
    assert found.flops <= 1e20
    assert found.flops == pytest.approx(float(found.table["flops"].sum()))
    assert found.share == pytest.approx(found.flops / (6 * 7e9 * 1.4e11))
    assert 0 < found.width < 0.5
    assert 0 <= found.inside <= 1
    words = ("ladder", "design", "--target-params", "7B", "--target-tokens", "140B", "--budget", "1e20")
    document = json.loads(call(*words, "--json", "--output", tmp_path / "plan.csv"))
    assert document["rows"] == found.as_dict()["rows"]
    assert document["width"] == found.width
    assert set(Ladder.read(tmp_path / "plan.csv").columns) == {"params", "tokens", "flops"}


def test_a_narrower_wish_costs_more_and_an_impossible_one_is_refused() -> None:
    wide, narrow = (design_ladder(7e9, 1.4e11, width=width) for width in (0.08, 0.04))
    assert wide.flops < narrow.flops
    with pytest.raises(FitError, match="wider"):
        design_ladder(7e9, 1.4e11, width=0.002)
    with pytest.raises(FitError, match="width to reach"):
        design_ladder(7e9, 1.4e11)


def test_an_earlier_fit_is_a_prior() -> None:
    prior = fit(CHINCHILLA.table(*grid(5, 4), noise=0.002), "additive", resamples=30)
    found = design_ladder(1e11, 2e12, budget=1e22, prior=prior)
    assert found.noise == prior.calibration.noise
    assert "20 earlier runs" in found.priors[0]


def test_a_suggestion_is_one_of_chidus_names() -> None:
    import chidu

    assert chidu.suggest is suggest
    assert chidu.Suggestion is Suggestion
