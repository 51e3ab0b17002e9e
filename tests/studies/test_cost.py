"""What runs cost and what the next hour buys, on tables where the law and the price of a token are planted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chidu.errors import SettingError, TableError
from chidu.runs.ladder import Ladder
from chidu.studies import STUDIES, cost, energy
from chidu.studies.cost import Terms, cost_study
from chidu.studies.energy import Counter, Power, find_counter, metered

SIZES, LENGTHS = np.geomspace(3e4, 1e6, 6), (2e5, 4e5, 8e5, 1.6e6)
FLOOR, A, ALPHA, B, BETA = 1.5, 40.0, 0.35, 60.0, 0.3
TERMS = Terms(Power.given(10.0), price=0.05)


@pytest.fixture(autouse=True)
def _few_refits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "verify" not in request.keywords:
        monkeypatch.setattr(cost, "RESAMPLES", 8)


def loss_of(size: np.ndarray | float, tokens: np.ndarray | float) -> np.ndarray:
    return np.asarray(FLOOR + A / np.asarray(size) ** ALPHA + B / np.asarray(tokens) ** BETA)


def seconds_of(size: np.ndarray | float, tokens: np.ndarray | float) -> np.ndarray:
    return 2e-8 * np.asarray(tokens) * np.asarray(size) ** 0.7


def planted(noise: float = 0.0, seed: int = 0) -> Ladder:
    size, tokens = (column.ravel() for column in np.meshgrid(SIZES, LENGTHS, indexing="ij"))
    luck = np.random.default_rng(seed).standard_normal(len(size))
    return Ladder(
        {
            "params": size, "tokens": tokens, "flops": 6 * size * tokens,
            "loss": loss_of(size, tokens) * np.exp(noise * luck), "seconds": seconds_of(size, tokens),
        }
    )  # fmt: skip


def best(seconds: float) -> float:
    """The least loss for so many seconds, by trying all sizes."""
    size = np.geomspace(1e3, 1e8, 20_000)
    return float(loss_of(size, seconds / (2e-8 * size**0.7)).min())


def test_twice_the_hours_buy_what_the_law_says() -> None:
    found = cost_study(TERMS).verdict(planted())
    dearest = float(planted().numbers("seconds").max())
    assert found.effect == pytest.approx(best(dearest) - best(2 * dearest), rel=0.02)
    assert found.verdict is None
    assert found.threshold is None
    here = found.findings["outlook"][0]
    assert here["loss"] == pytest.approx(best(dearest), rel=1e-3)
    slope = (best(dearest) - best(1.01 * dearest)) / (0.01 * dearest / 3600)
    assert here["nats_per_hour"] == pytest.approx(slope, rel=0.05)
    assert here["nats_per_money"] == pytest.approx(slope / 0.05, rel=0.05)
    assert here["watt_hours"] == pytest.approx(dearest / 3600 * 10)
    rates = [row["nats_per_hour"] for row in found.findings["outlook"]]
    assert rates == sorted(rates, reverse=True)


def test_the_worst_bargain_among_the_runs_is_named() -> None:
    table = planted()
    found = cost_study(TERMS).verdict(table)
    least = found.findings["least"]
    # By hand: every step to the next length of a size, and to the next size of a length.
    size, tokens, loss, hours = (table.numbers(n).reshape(6, 4) for n in ("params", "tokens", "loss", "seconds"))
    along = [np.diff(loss, axis=axis) / np.diff(hours / 3600, axis=axis) for axis in (0, 1)]
    assert least["nats_per_hour"] == pytest.approx(min(float((-each).min()) for each in along))
    assert {least["from"]["params"], least["to"]["params"]} <= set(size.ravel().tolist())
    assert {least["from"]["tokens"], least["to"]["tokens"]} <= set(tokens.ravel().tolist())
    assert "the next hour bought least going from" in found.meaning
    losses = [row["loss"] for row in found.rows]
    assert losses == sorted(losses, reverse=True)
    assert found.rows[0]["nats_per_hour"] == ""


def test_seeds_of_one_training_are_no_bargains() -> None:
    table = planted()
    both = {name: np.concatenate([column, column]) for name, column in table.columns.items()}
    both["seconds"] = np.concatenate([table.columns["seconds"], 1.001 * table.columns["seconds"]])
    both["loss"] = np.concatenate([table.columns["loss"], 0.99 * table.columns["loss"]])
    found, once = (cost_study(TERMS).verdict(each) for each in (Ladder(both), table))
    assert len(found.rows) == len(once.rows)
    assert found.findings["most"]["nats_per_hour"] == pytest.approx(once.findings["most"]["nats_per_hour"], rel=0.02)


def test_a_part_of_a_run_counts_for_the_whole() -> None:
    whole = planted()
    columns = dict(whole.columns)
    columns["flops_spent"] = 0.3 * whole.numbers("flops")
    columns["seconds"] = 0.3 * whole.numbers("seconds")
    part, same = (cost_study(TERMS).verdict(each) for each in (Ladder(columns), whole))
    assert part.effect == pytest.approx(same.effect, rel=1e-6)
    assert part.findings["hours"] == pytest.approx(same.findings["hours"])
    assert any("times its flops over that part's" in note for note in part.notes)


@pytest.mark.verify
def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    dearest = float(planted().numbers("seconds").max())
    truth = best(dearest) - best(2 * dearest)
    found = [cost_study(TERMS).verdict(planted(0.003, seed)) for seed in range(150)]
    assert np.mean([each.low <= truth <= each.high for each in found]) >= 0.84


def test_what_is_assumed_is_said() -> None:
    assumed = STUDIES["cost"].verdict(planted())
    assert any(note.startswith("energy is an estimate: 10 watts a core were assumed") for note in assumed.notes)
    assert any("--price says" in note for note in assumed.notes)
    assert json.loads(json.dumps(assumed.as_dict(), allow_nan=False))["verdict"] is None
    assert str(assumed).startswith("cost: 0.")
    assert "threshold  none" in STUDIES["cost"].stated()


def test_what_can_not_be_told_is_refused() -> None:
    table = planted()
    with pytest.raises(TableError, match="no column 'seconds'"):
        STUDIES["cost"].verdict(Ladder({n: c for n, c in table.columns.items() if n != "seconds"}))
    with pytest.raises(SettingError, match="price is -1; it must be above 0"):
        Terms(Power.estimated(), -1.0)
    with pytest.raises(SettingError, match="watts is 0; it must be above 0"):
        Power.given(0.0)


def rapl(folder: Path, joules: list[float]) -> None:
    """A machine with so many packages, each with a part of it that is counted twice."""
    for number, each in enumerate(joules):
        for name in (f"intel-rapl:{number}", f"intel-rapl:{number}:0"):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "energy_uj").write_text(f"{round(1e6 * each)}\n", "ascii")
            (folder / name / "max_energy_range_uj").write_text("1000000000\n", "ascii")


def test_rapl_is_read_and_its_rounds_are_made_good(tmp_path: Path) -> None:
    rapl(tmp_path, [990.0, 100.0])
    counter = find_counter(tmp_path)
    assert counter is not None
    assert counter.name == "RAPL"
    before = counter.joules()
    rapl(tmp_path, [20.0, 150.0])
    assert counter.joules() - before == pytest.approx(80.0)


def test_no_counter_is_no_error(tmp_path: Path) -> None:
    assert find_counter(tmp_path) is None
    (tmp_path / "intel-rapl:0").mkdir()
    assert find_counter(tmp_path) is None


def test_watts_are_joules_a_second_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    joules, clock = iter([100.0, 160.0]), iter([5.0, 7.0, 8.0, 9.0])
    monkeypatch.setattr(energy.time, "monotonic", lambda: next(clock))
    found = metered(Counter("RAPL", lambda: next(joules), 0), lambda: None, 3)
    assert found == Power(10.0, "measured by RAPL", False)
    assert metered(Counter("RAPL", lambda: 1.0, 0), lambda: None, 3) is None
