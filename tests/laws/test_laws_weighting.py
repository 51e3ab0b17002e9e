"""Dear rows first, and what refits draw."""

from __future__ import annotations

import numpy as np
import pytest
from planted import CHINCHILLA

from chidu.errors import FitError
from chidu.laws import Fit, backtest, fit
from chidu.laws.calibration import DRIFT, DRIFT_ALONG
from chidu.laws.catalogue import LAWS
from chidu.laws.rows import WINDOW, read_rows
from chidu.laws.solve import refit, solve
from chidu.laws.trials import RESAMPLINGS, draw_weights, resample
from chidu.runs import Ladder

N = np.repeat(np.geomspace(1e8, 3e9, 6), 4)
D = np.tile([5e9, 1e10, 2e10, 4e10], 6)
TABLE = CHINCHILLA.table(N, D, noise=0.004, seed=3)
POINT = {"params": [2e10], "tokens": [4e10], "flops": [4.8e21]}


def test_dear_rows_first_is_weights_by_the_root_of_cost() -> None:
    by_name = fit(TABLE, "additive", 0, weighting="dear")
    weights = np.sqrt(TABLE["flops"] / TABLE["flops"].max())
    by_hand = fit(TABLE, "additive", 0, weights=weights)
    assert by_name.parameters == by_hand.parameters
    assert by_name.objective == by_hand.objective
    assert by_name.weighting == "dear"
    assert "weights " in str(by_name)
    assert "weights " not in str(by_hand)


def test_frontier_rows_first_is_a_window_over_what_cheaper_runs_reached() -> None:
    found = fit(TABLE, "additive", 0, weighting="frontier")
    least = np.array([TABLE["loss"][TABLE["flops"] <= flops * (1 + 1e-12)].min() for flops in TABLE["flops"]])
    by_hand = fit(TABLE, "additive", 0, weights=1 / (1 + (np.log(TABLE["loss"] / least) / WINDOW) ** 2))
    assert found.parameters == pytest.approx(dict(by_hand.parameters), rel=1e-9)
    assert found.weighting == "frontier"


def test_it_multiplies_the_rows_own_weights() -> None:
    own = np.linspace(0.5, 2.0, len(N))
    by_name = fit({**TABLE, "weight": own}, "additive", 0, weighting="dear")
    by_hand = fit(TABLE, "additive", 0, weights=own * np.sqrt(TABLE["flops"] / TABLE["flops"].max()))
    assert by_name.parameters == pytest.approx(dict(by_hand.parameters))


def test_auto_tries_both_where_it_knows_the_cost() -> None:
    found = fit(TABLE, resamples=20)
    assert list(found.law_scores) == [
        "additive",
        "coupled",
        "additive (dear rows first)",
        "coupled (dear rows first)",
    ]
    assert found.score == min(found.law_scores.values()) or found.weighting == "even"
    experts = {"params": TABLE["params"], "experts": TABLE["tokens"] / 1e9, "loss": TABLE["loss"]}
    assert list(fit(experts, inputs=("params", "experts"), resamples=20).law_scores) == ["additive", "coupled"]


def test_a_law_by_name_is_fitted_evenly_unless_told() -> None:
    assert fit(TABLE, "additive", 0).weighting == "even"
    assert list(fit(TABLE, weighting="even", resamples=20).law_scores) == ["additive", "coupled"]


def test_short_runs_that_follow_no_law_spoil_the_dear_rows_less() -> None:
    starved = {**TABLE, "loss": TABLE["loss"] * np.where(TABLE["tokens"] == 5e9, 1.06, 1.0)}
    truth = CHINCHILLA.loss(2e10, 4e10)
    even, dear = (fit(starved, "coupled", 0, weighting=name).forecast(POINT)["loss"][0] for name in ("even", "dear"))
    assert abs(dear / truth - 1) < abs(even / truth - 1)


def test_a_fit_keeps_its_weighting() -> None:
    found = fit(TABLE, "additive", 20, weighting="dear")
    values = found.as_dict()
    assert Fit.from_dict(values).weighting == "dear"
    assert Fit.from_dict(values).score == found.score


def test_a_backtest_names_the_weighting() -> None:
    judged = backtest(TABLE, "additive", 20, weighting="dear")
    assert set(judged.table["law"]) == {"additive (dear rows first)"}


@pytest.mark.parametrize("setting", ["weighting", "resampling"])
def test_unknown_names_are_refused(setting: str) -> None:
    with pytest.raises(FitError, match=rf"no {setting} 'odd': choose among auto"):
        fit(TABLE, "additive", 20, **{setting: "odd"})  # type: ignore[arg-type]


# What refits draw


def grouped() -> dict[str, np.ndarray]:
    """Sizes that each stray as one, as trunks do."""
    luck = np.random.default_rng(5).normal(0, 0.01, 6).repeat(4)
    return {**TABLE, "loss": CHINCHILLA.loss(N, D) * np.exp(luck), "group": np.repeat(np.arange(6), 4)}


def spread(table: dict[str, np.ndarray], resampling: str) -> float:
    rows = read_rows(Ladder.of(table), LAWS["additive"], None, None)
    solution = solve(rows, LAWS["additive"])
    vectors = resample(rows, solution, 300, np.random.default_rng(0), resampling=resampling)
    return float(np.std(solution.log_loss(np.array([[2e10], [4e10]]), vectors)))


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_without_noise_refits_are_the_fit(resampling: str) -> None:
    exact = CHINCHILLA.table(N, D, noise=0.0, seed=0) | {"group": np.repeat(np.arange(6), 4)}
    assert spread(exact, resampling) < 1e-4


def test_rows_that_stray_as_one_are_not_taken_for_independent() -> None:
    table = grouped()
    assert spread(table, "group") > 1.3 * spread(table, "pairs")
    assert spread(table, "auto") == spread(table, "group")


def test_groups_are_never_quite_gone() -> None:
    rows = read_rows(Ladder.of(grouped()), LAWS["additive"], None, None)
    weights = draw_weights(rows, 500, np.random.default_rng(0))
    assert weights.min() > 0
    by_group = weights[:, [np.flatnonzero(rows.groups == group)[0] for group in range(6)]]
    assert by_group.mean() == pytest.approx(1, abs=0.05)
    assert np.array_equal(weights, by_group[:, rows.groups])


def test_refits_to_shifted_losses_are_those_to_a_table_with_them() -> None:
    rows = read_rows(Ladder.of(TABLE), LAWS["additive"], None, None)
    solution = solve(rows, LAWS["additive"])
    shifts = np.random.default_rng(1).normal(0, 0.003, (3, len(rows)))
    found = refit(rows, solution, np.ones((3, len(rows))), shifts=shifts)
    x = np.array([[2e10, 1e9], [4e10, 1e11]])
    for vector, shift in zip(found, shifts, strict=True):
        shifted = TABLE | {
            "loss": np.exp(np.log(rows.loss) + shift),
            "params": rows.inputs[0],
            "tokens": rows.inputs[1],
        }
        again = solve(
            read_rows(Ladder.of(shifted | {"flops": rows.cost}), LAWS["additive"], None, None), LAWS["additive"]
        )
        assert solution.log_loss(x, vector[None])[0] == pytest.approx(again.log_loss(x)[0], abs=2e-4)


def test_checkpoints_along_a_few_runs_drift_more() -> None:
    steps = np.geomspace(1e9, 6e10, 12)
    params, tokens = np.repeat(np.geomspace(1e8, 3e9, 5), 12), np.tile(steps, 5)
    table = CHINCHILLA.table(params, tokens, noise=0.004, seed=1)
    apart = fit(table, "additive", 20).calibration
    along = fit({**table, "group": np.repeat(np.arange(5), 12)}, "additive", 20).calibration
    assert apart.drift == pytest.approx(DRIFT * apart.noise)
    assert along.drift == pytest.approx(DRIFT_ALONG * along.noise)
