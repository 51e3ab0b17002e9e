"""Formulas as laws: the general solver finds what was planted, and what the laws' own solvers find."""

from __future__ import annotations

import json

import numpy as np
import pytest
from planted import BENT, CHINCHILLA, grid

from chidu.errors import FitError, TableError
from chidu.laws import LAWS, Fit, Status, fit

ADDITIVE = "E + A/params**alpha + B/tokens**beta"


@pytest.mark.parametrize("noise", [0.0, 0.003])
@pytest.mark.parametrize("law", [name for name in LAWS if LAWS[name].sums_powers])
def test_a_formula_ends_where_the_law_s_own_solver_ends(law: str, noise: float) -> None:
    table = BENT.table(*grid(6, 6), noise=noise, seed=3)
    own = fit(table, law, resamples=0)
    general = fit(table, LAWS[law].formula, resamples=0)
    assert general.objective <= own.objective * (1 + 1e-6) + 1e-12
    assert general.objective >= own.objective * (1 - 1e-6) - 1e-12
    point = {"params": [1e11], "tokens": [2e12], "flops": [1.2e24]}
    assert general.forecast(point)["loss"][0] == pytest.approx(own.forecast(point)["loss"][0], rel=1e-4)


def planted(law: str, values: dict[str, float], **columns: np.ndarray) -> dict[str, np.ndarray]:
    """A table that the law describes exactly."""
    formula = LAWS[law].parsed
    theta = np.array([[values[name] for name in formula.parameters]])
    inputs = np.vstack([columns[name] for name in formula.columns])
    return {**columns, LAWS[law].target: formula.values(theta, inputs)[0]}


N, D = grid(6, 6)
U = np.resize([3e9, 1e10, 1e11], N.shape)
CASES = {
    "pure_power": ({"A": 90.0, "alpha": 0.07}, {"flops": N * D}),
    "kaplan": ({"A": 8.8e13, "alpha": 0.076, "beta": 0.095, "B": 5.4e13}, {"params": N, "tokens": D}),
    "data_constrained": (
        {"E": 1.9, "A": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28, "R": 15.0},
        {"params": N, "tokens": D, "unique_tokens": U},
    ),
    "over_training": ({"E": 1.7, "A": 210.0, "eta": 0.17, "B": 190.0}, {"params": N, "tokens": D}),
    "precision": (
        {"E": 1.8, "A": 300.0, "gamma": 2.6, "alpha": 0.33, "B": 420.0, "beta": 0.29},
        {"params": N, "tokens": D, "bits": np.resize([4.0, 8.0, 16.0, 3.0, 6.0], N.shape)},
    ),
    "learning_rate": ({"A": 1.79, "beta": 0.307, "alpha": 0.713}, {"params": N, "tokens": D}),
    "batch_tokens": ({"A": 0.58, "beta": 0.571}, {"tokens": D}),
    "score": ({"floor": 0.25, "rise": 0.6, "steep": 3.0, "middle": 2.6}, {"loss": np.linspace(1.8, 4.2, 20)}),
    "score_direct": ({"floor": 0.2, "rise": 0.7, "steep": 0.8, "F": 3e21}, {"flops": np.geomspace(1e18, 1e24, 20)}),
}


@pytest.mark.parametrize("law", CASES)
def test_noise_free_tables_give_the_planted_law(law: str) -> None:
    values, columns = CASES[law]
    table = planted(law, values, **columns)
    found = fit(table, law, resamples=0)
    assert found.status in (Status.CONVERGED, Status.AT_BOUND)
    assert found.target == LAWS[law].target
    for name, value in values.items():
        assert found.parameters[name] == pytest.approx(value, rel=1e-2), name


def test_laws_that_are_hard_to_fix_still_give_the_planted_values() -> None:
    farseer = {
        "c1": -0.6,
        "gamma": 0.2,
        "c2": 1.0,
        "b1": 0.1,
        "beta": 0.3,
        "b2": -0.9,
        "a1": -0.1,
        "alpha": 0.2,
        "a2": -1,
    }
    broken = {"E": 1.5, "A": 60.0, "alpha": 0.09, "F": 1e20, "width": 0.5, "change": 0.08}
    for law, values, columns in (
        ("farseer", farseer, {"params": N, "tokens": D}),
        ("broken_power", broken, {"flops": np.geomspace(1e17, 1e23, 24)}),
    ):
        table = planted(law, values, **columns)
        found = fit(table, law, resamples=0)
        points = {name: column * 1.1 for name, column in columns.items()}
        np.testing.assert_allclose(
            found.forecast({**points, "flops": points.get("flops", N * D)})["loss"],
            planted(law, values, **points)[LAWS[law].target],
            rtol=2e-3,
        )


def test_a_formula_has_intervals_forecasts_and_a_saved_form() -> None:
    table = CHINCHILLA.table(*grid(5, 5), noise=0.003)
    found = fit(table, ADDITIVE, resamples=100)
    low, high = found.intervals["alpha"]
    assert low < found.parameters["alpha"] < high
    again = Fit.from_dict(json.loads(json.dumps(found.as_dict())))
    point = {"params": [3e10], "tokens": [6e11]}
    assert again.forecast(point).rows() == found.forecast(point).rows()
    assert again.as_dict() == found.as_dict()
    row = found.forecast(point).rows()[0]
    assert row["low"] < CHINCHILLA.loss(3e10, 6e11) < row["high"]
    assert "formula: loss = E + A/params**alpha" in str(found)


def test_covariates_of_any_name_can_be_read() -> None:
    table = CHINCHILLA.table(*grid(5, 5))
    table["deduplicated"] = np.resize([0.0, 1.0], 25)
    table["loss"] = table["loss"] * np.exp(-0.02 * table["deduplicated"])
    found = fit(table, "(E + A/params**alpha + B/tokens**beta) * exp(-gain * deduplicated)", resamples=0)
    assert found.inputs == ("params", "tokens", "deduplicated")
    assert found.parameters["gain"] == pytest.approx(0.02, rel=1e-3)


def test_objectives_by_name() -> None:
    table = CHINCHILLA.table(*grid(5, 5), noise=0.004, seed=2)
    found = {name: fit(table, "additive", resamples=0, objective=name) for name in ("huber", "squares", "raw_squares")}
    x = np.vstack([table["params"], table["tokens"]])
    for name, each in found.items():
        assert each.objective_name == name
        residual = each.solution.log_loss(x)[0] - np.log(table["loss"])
        if name == "raw_squares":
            residual = np.exp(each.solution.log_loss(x)[0]) - table["loss"]
        if name != "huber":
            assert each.objective == pytest.approx(0.5 * (residual**2).sum(), rel=1e-6)
    assert len({round(each.parameters["alpha"], 9) for each in found.values()}) == 3
    with pytest.raises(FitError, match="did you mean 'huber'"):
        fit(table, objective="hubr")


def test_bounds_hold_and_are_checked() -> None:
    table = CHINCHILLA.table(*grid(5, 5))
    found = fit(table, ADDITIVE, resamples=0, bounds={"alpha": (0.1, 0.3)})
    assert found.parameters["alpha"] == pytest.approx(0.3)
    assert found.status is Status.AT_BOUND
    with pytest.raises(FitError, match="did you mean 'alpha'"):
        fit(table, ADDITIVE, bounds={"alpa": (0, 1)})
    with pytest.raises(FitError, match="not below"):
        fit(table, ADDITIVE, bounds={"alpha": (1, 0)})
    with pytest.raises(FitError, match="bounds are for formulas"):
        fit(table, "additive", bounds={"alpha": (0, 1)})


def test_a_column_that_is_missing_is_no_parameter() -> None:
    table = CHINCHILLA.table(*grid(5, 5))
    with pytest.raises(TableError, match="reads unique_tokens, a column that the table lacks"):
        fit(table, "E + A/params**alpha + B/unique_tokens**beta")
    with pytest.raises(FitError, match="loss is what is forecast"):
        fit(table, "E + A*loss/params**alpha")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "formula",
    [
        "sqrt(-params)+E", "E+log(-params)", "E+exp(exp(params))", "0*E+0*params", "E-E+params-params",
        "log(0*params)+E", "((-1)**0.5)*params+E", "E + A/(params-params)", "E + A/params**alpha + log(params-1e20)",
        "log(-E)+params", "tanh(-A*params)", "-E-A/params**alpha", "E + 1/0 + A*params", "E*1e308*1e308*params",
    ],
)  # fmt: skip
def test_a_formula_without_a_usable_number_is_refused_in_one_line(formula: str) -> None:
    with pytest.raises(FitError, match=r"gives no positive number below 1e\+60 at 16 rows of 16") as caught:
        fit(CHINCHILLA.table(*grid(4, 4)), formula, resamples=5)
    assert "\n" not in str(caught.value)


def test_a_formula_with_no_number_at_some_rows_names_one() -> None:
    with pytest.raises(FitError, match=r"at 4 rows of 16 \(such as params 1e\+08\)"):
        fit(CHINCHILLA.table(*grid(4, 4)), "E + A/params**alpha + 0*log(params-2e8)", resamples=5)


def test_a_formula_whose_parameters_do_nothing_is_refused() -> None:
    with pytest.raises(FitError, match="no parameter changes its value"):
        fit(CHINCHILLA.table(*grid(4, 4)), "0*E+params", resamples=5)


@pytest.mark.filterwarnings("error")
def test_formulas_at_the_end_of_a_float_do_not_warn() -> None:
    fit(CHINCHILLA.table(*grid(4, 4)), "E+A*exp(params)", resamples=5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("law", ["kaplan", "over_training", "broken_power", "pure_power"])
def test_laws_of_the_catalogue_do_not_warn(law: str) -> None:
    fit(CHINCHILLA.table(*grid(5, 4), noise=0.01), law, resamples=2)


def test_a_law_with_all_parameters_at_their_bounds_is_at_bound() -> None:
    found = fit(CHINCHILLA.table(*grid(4, 4)), "A/params**alpha", 0, bounds={"A": (1e-9, 1e-8), "alpha": (2, 3)})
    assert found.status.value == "at_bound"


def test_a_law_that_fails_out_there_says_so_and_can_be_saved() -> None:
    params = np.geomspace(1e9, 1e10, 12)
    # As cheap runs go, the root ends at 8e9.
    loss = 1 + np.sqrt(np.maximum(1 - params / 8e9, 0.0))
    table = {"params": params, "tokens": 20 * params, "loss": loss}
    found = fit(table, "E + sqrt(1 - params/F)", resamples=20, bounds={"F": (1, 1e11)})
    assert any("has no value for the dearer ones" in text for text in found.warnings)
    json.dumps(found.as_dict(), allow_nan=False)
    assert found.trust({"params": [1e12]}) == ("no", "the law has no value there")
