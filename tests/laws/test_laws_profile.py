"""Profiles: least at the estimate, the same in whatever coordinates, and refused on other rows."""

from __future__ import annotations

import numpy as np
import pytest
from planted import BENT, CHINCHILLA, Floats, grid

from chidu.errors import FitError
from chidu.laws import Fit, fit
from chidu.laws.objective import OBJECTIVES
from chidu.laws.profile import _Held, _tie, profile
from chidu.laws.rows import read_rows
from chidu.laws.solve import pose
from chidu.runs.ladder import Ladder

LAWS = {"additive": CHINCHILLA, "coupled": BENT, "power": CHINCHILLA}


def table(law: str, noise: float = 0.003) -> dict[str, Floats]:
    return LAWS[law].table(*grid(5, 5), noise)


@pytest.fixture(scope="module", params=list(LAWS))
def fitted(request: pytest.FixtureRequest) -> tuple[Fit, dict[str, Floats]]:
    runs = table(request.param)
    return fit(runs, request.param, 50), runs


def test_each_parameter_has_its_least_at_the_estimate(fitted: tuple[Fit, dict[str, Floats]]) -> None:
    law, runs = fitted
    found = profile(law, runs)
    assert [each.parameter for each in found] == list(law.parameters)
    for each in found:
        assert each.least == law.objective
        assert each.objective[list(each.values).index(law.parameters[each.parameter])] == law.objective
        assert np.all(np.diff(each.values) > 0)
        assert each.lost == 0
        assert each.objective.min() >= law.objective * (1 - 1e-6)
        low, high = law.intervals[each.parameter]
        assert each.values[0] <= low
        assert each.values[-1] >= high
        # The objective is one of nearly absolute values, so a profile has dents, but it rises to either side.
        assert min(each.objective[0], each.objective[-1]) > 1.005 * law.objective


def test_derivatives_go_through_the_tie(fitted: tuple[Fit, dict[str, Floats]]) -> None:
    law, runs = fitted
    rows = read_rows(Ladder(runs), law.solution.law, law.inputs, None)
    inner = pose(rows, law.solution.law, law.solution.frame)
    # A wide corner, where the objective has two derivatives everywhere.
    delta, weights = 10.0, np.ones((1, len(rows)))
    for name in law.parameters:
        tie, _ = _tie(law.solution, name)
        held = _Held.of(inner, tie)
        z = law.solution.theta[None] + 0.05
        z[:, tie.place] = tie.held(z)
        np.testing.assert_allclose(held.theta(z), law.solution.theta[None] + 0.05, rtol=1e-9)
        at = held.derivatives(z, weights, delta)
        for place in set(range(held.size)) - {tie.place}:
            step = np.zeros(held.size)
            step[place] = 1e-5
            up, down = (held.derivatives(z + sign * step, weights, delta) for sign in (1, -1))
            scale = np.abs(at.hessian).max()
            assert (up.value - down.value)[0] / 2e-5 == pytest.approx(at.gradient[0, place], rel=1e-4, abs=1e-6)
            slope = (up.gradient - down.gradient)[0] / 2e-5
            others = np.arange(held.size) != tie.place
            np.testing.assert_allclose(slope[others], at.hessian[0, place, others], rtol=1e-3, atol=1e-6 * scale)


def test_a_formula_has_the_same_profile_as_the_law_that_it_writes() -> None:
    runs = table("additive")
    own, general = fit(runs, "additive", 0), fit(runs, "E + A / params**alpha + B / tokens**beta", 0)
    theirs = {each.parameter: each for each in profile(general, runs)}
    for each in profile(own, runs):
        other = theirs[each.parameter]
        at = np.interp(np.log(each.values), np.log(other.values), other.objective)
        inside = (each.values > other.values[0]) & (each.values < other.values[-1])
        np.testing.assert_allclose(at[inside], each.objective[inside], rtol=0.03)


@pytest.mark.parametrize("law", ["kaplan", "over_training"])
def test_laws_of_the_general_solver_have_profiles(law: str) -> None:
    runs = table("additive")
    for each in profile(fit(runs, law, 0), runs, points=9):
        assert np.nanmin(each.objective) >= each.least * (1 - 1e-3)


def test_a_parameter_that_nothing_fixes_has_a_flat_profile() -> None:
    size = np.geomspace(1e7, 1e9, 12)
    runs = CHINCHILLA.table(size, 20 * size, 0.002)
    law = fit(runs, "additive", 50)
    flat = {each.parameter: each for each in profile(law, runs)}
    assert np.nanmin(flat["A"].objective) <= flat["A"].least * (1 + 1e-9)
    assert np.nanmedian(flat["A"].objective) < 2 * flat["A"].least


def test_a_floor_at_zero_is_profiled_to_one_side() -> None:
    flops = np.geomspace(1e15, 1e20, 12)
    runs = {"flops": flops, "loss": 60 / flops**0.08 - 0.5}
    law = fit(runs, "power", 0)
    assert law.parameters["E"] == 0
    assert profile(law, runs)[0].values[0] == 0


def test_few_values_for_many_rows_and_never_fewer_than_nine() -> None:
    runs = table("power")
    found = profile(fit(runs, "power", 20), runs, points=3)
    assert {len(each.values) for each in found} == {9}


def test_other_rows_are_refused() -> None:
    runs = table("additive")
    law = fit(runs, "additive", 0)
    for other in (table("additive", 0.01), {name: values[:-1] for name, values in runs.items()}):
        with pytest.raises(FitError, match="not the rows that were fitted"):
            profile(law, other)


def test_other_objectives_are_profiled_by_themselves() -> None:
    runs = table("additive")
    for objective in OBJECTIVES:
        law = fit(runs, "additive", 0, objective=objective)
        assert all(each.least == law.objective for each in profile(law, runs, points=9))
