"""`chidu forecast` with records: written before its run, scored after, and one's own calibration over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from planted import CHINCHILLA, grid
from typer.testing import CliRunner

from chidu.cli import forecast
from chidu.errors import ForecastError, SettingError
from chidu.laws import fit
from chidu.laws.reading import save_fit
from chidu.runs.forecast import WrittenForecast
from chidu.runs.ladder import Ladder
from chidu.runs.record import fingerprint

POINT = ("--params", "20B", "--tokens", "400B")


def call(*words: object) -> str:
    app = typer.Typer()
    app.command()(forecast.command)
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def document(*words: object) -> dict[str, Any]:
    return dict(json.loads(call(*words, "--json")))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "fit.json"
    save_fit(fit(CHINCHILLA.table(*grid(5, 4), noise=0.002), "additive", 30), path)
    return path


def test_written_scored_and_remembered(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "forecasts" / "big.json"
    said = document(saved, *POINT, "--record", path)
    written = WrittenForecast.read(path)
    row = said["rows"][0]
    assert (written.loss, written.low, written.high, written.level) == tuple(
        row[name] for name in ("loss", "low", "high", "level")
    )
    assert written.point == {"params": 2e10, "tokens": 4e11}
    assert written.ladder == fingerprint(json.loads(saved.read_text()))
    assert said["seal"] == written.seal
    assert "-" in call("--history", path.parent).splitlines()[2]
    truth = float(CHINCHILLA.loss(2e10, 4e11))
    scored = document("--score", path, "--measured", truth)
    assert scored["measured"] == truth
    assert scored["inside"] is (written.low <= truth <= written.high)
    assert scored["error_percent"] == pytest.approx(100 * (written.loss / truth - 1))
    found = document("--history", path.parent)
    assert (found["scored"], found["forecasts"][0]["score"]["measured"]) == (1, truth)
    with pytest.raises(ForecastError, match="scored already"):
        call("--score", path, "--measured", truth)


def test_a_forecast_is_written_once_and_of_one_run(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    assert "written: " in call(saved, *POINT, "--record", path)
    before = path.read_bytes()
    with pytest.raises(ForecastError, match="made once"):
        call(saved, "--params", "10B", "--tokens", "200B", "--record", path)
    assert path.read_bytes() == before
    Ladder({"params": ["1B", "30B"], "tokens": ["20B", "600B"]}).write(tmp_path / "points.csv")
    with pytest.raises(ForecastError, match="2 points"):
        call(saved, "--points", tmp_path / "points.csv", "--record", tmp_path / "two.json")
    with pytest.raises(ForecastError, match="is a folder"):
        call(saved, *POINT, "--record", tmp_path)
    call(saved, "--flops", "1e23", "--record", tmp_path / "budget.json")
    assert set(WrittenForecast.read(tmp_path / "budget.json").point) == {"params", "tokens", "flops"}


def test_a_forecast_without_interval_is_not_written(tmp_path: Path) -> None:
    save_fit(fit(CHINCHILLA.table(*grid(5, 4), noise=0.002), "additive", 0), tmp_path / "bare.json")
    with pytest.raises(ForecastError, match="no interval"):
        call(tmp_path / "bare.json", *POINT, "--record", tmp_path / "one.json")
    assert not (tmp_path / "one.json").exists()


def test_a_fit_without_flops_is_written_too(tmp_path: Path) -> None:
    table = CHINCHILLA.table(*grid(5, 4), noise=0.002)
    reach = table.pop("flops").max()
    save_fit(fit(table, "additive", 30), tmp_path / "fit.json")
    call(tmp_path / "fit.json", *POINT, "--record", tmp_path / "one.json")
    assert WrittenForecast.read(tmp_path / "one.json").extrapolation == pytest.approx(6 * 20e9 * 400e9 / reach)


def test_a_changed_forecast_is_not_scored(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    call(saved, *POINT, "--record", path)
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, "high": 99.0}), encoding="utf-8")
    with pytest.raises(ForecastError, match="changed after it was written"):
        call("--score", path, "--measured", "2.1")
    assert not (tmp_path / "one.score.json").exists()
    assert "warning: " in call("--history", tmp_path)


def test_measured_from_a_table(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    call(saved, *POINT, "--record", path)
    Ladder({"n": [2.004e10, 1e9], "tokens": [4e11, 2e10], "loss": [2.05, 2.6]}).write(tmp_path / "runs.csv")
    found = document("--score", path, "--measured-from", tmp_path / "runs.csv", "--columns", "params=n")
    assert found["measured"] == 2.05


def test_a_number_far_off_is_doubted_aloud(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    call(saved, *POINT, "--record", path)
    assert "if the number was a slip, delete" in call("--score", path, "--measured", "291")


def test_what_is_mistyped_is_named(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    call(saved, *POINT, "--record", path)
    cases: list[tuple[tuple[object, ...], str]] = [
        ((), "name a saved fit or a table"),
        (("--score", path), "one of --measured LOSS and --measured-from TABLE"),
        (("--score", path, "--measured", "2", "--measured-from", "x.csv"), "one of --measured"),
        (("--measured", "2"), "--measured needs the written forecast"),
        ((saved, *POINT, "--measured", "2"), "--measured needs the written forecast"),
        ((saved, "--score", path, "--measured", "2"), "leave out SOURCE"),
        (("--score", path, "--measured", "2", "--params", "1B"), "leave out --params"),
        (("--history", tmp_path, "--score", path), "leave out --score"),
        (("--score", path, "--measured", "2,1"), "decimal commas"),
        (("--score", path, "--measured", "many"), "'many' is not a number"),
    ]
    for words, message in cases:
        with pytest.raises(SettingError, match=message):
            call(*words)
    for measured in ("0", "-2"):
        with pytest.raises(ForecastError, match="above 0"):
            call("--score", path, f"--measured={measured}")
    assert not (tmp_path / "one.score.json").exists()
