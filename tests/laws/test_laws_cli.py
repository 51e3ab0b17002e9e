"""The verbs fit, backtest, forecast and plan: one JSON document with --json, the same for people without."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from planted import BENT, grid
from typer.testing import CliRunner

from chidu.cli import backtest, forecast, plan
from chidu.cli import fit as fit_verb
from chidu.errors import FitError, InputError, SettingError
from chidu.runs.ladder import Ladder

VERBS: dict[str, ModuleType] = {"fit": fit_verb, "backtest": backtest, "forecast": forecast, "plan": plan}


def call(*words: str) -> str:
    app = typer.Typer()
    for name, module in VERBS.items():
        app.command(name)(module.command)
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def document(*words: str) -> dict[str, Any]:
    return dict(json.loads(call(*words, "--json")))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("laws") / "runs.csv"
    Ladder.of(BENT.table(*grid(5, 4), noise=0.002)).write(path)
    return str(path)


@pytest.fixture(scope="module")
def saved(table: str) -> str:
    path = Path(table).with_name("fit.json")
    call("fit", table, "--resamples", "50", "--output", str(path))
    return str(path)


def test_fit_says_what_it_found(table: str) -> None:
    found = document("fit", table, "--resamples", "20")
    assert {"law", "parameters", "intervals", "objective", "status", "rows", "law_scores", "warnings"} <= set(found)
    assert "objective" in call("fit", table, "--resamples", "20")


def test_fit_maps_columns(table: str, tmp_path: Path) -> None:
    runs = Ladder.read(table)
    renamed = {{"loss": "val/loss", "params": "n"}.get(name, name): column for name, column in runs.columns.items()}
    Ladder.of(renamed).write(tmp_path / "other.csv")
    mapped = document("fit", tmp_path / "other.csv", "--columns", "loss=val/loss,params=n", "--resamples", "0")
    assert mapped["parameters"] == document("fit", table, "--resamples", "0")["parameters"]
    with pytest.raises(SettingError, match="OURS=THEIRS"):
        call("fit", table, "--columns", "loss")


def test_columns_may_be_repeated_and_their_names_are_checked(table: str, tmp_path: Path) -> None:
    runs = Ladder.read(table)
    renamed = {{"loss": "val/loss", "params": "n"}.get(name, name): column for name, column in runs.columns.items()}
    Ladder.of(renamed).write(tmp_path / "other.csv")
    flags = ("--columns", "loss=val/loss", "--columns", "params=n", "--resamples", "0")
    assert document("fit", tmp_path / "other.csv", *flags)["rows"] == len(runs)
    with pytest.raises(SettingError, match="did you mean 'params'"):
        call("fit", table, "--columns", "parms=n")
    with pytest.raises(SettingError, match="both"):
        call("fit", table, "--columns", "loss=a", "--columns", "loss=b")


def test_a_fit_does_not_overwrite_its_table(table: str, tmp_path: Path) -> None:
    before = Path(table).read_bytes()
    (tmp_path / "link.csv").symlink_to(table)
    for output, words in ((table, "would be lost"), (tmp_path / "link.csv", "would be lost"), (tmp_path, "folder")):
        with pytest.raises(SettingError, match=words):
            call("fit", table, "--resamples", "0", "--output", str(output))
    assert Path(table).read_bytes() == before


def test_a_saved_fit_is_said_and_keeps_its_law(table: str, saved: str, tmp_path: Path) -> None:
    output = tmp_path / "fit.json"
    assert f"written    {output}" in call("fit", table, "--resamples", "0", "--output", str(output))
    with pytest.raises(SettingError, match=r"fit\.json is a saved fit and has its law"):
        call("forecast", saved, "--law", "power", "--params", "1B", "--tokens", "20B")


def test_bounds_need_a_law_and_an_order(table: str) -> None:
    with pytest.raises(FitError, match="give the law too"):
        call("fit", table, "--bounds", "alpha=0.1:1")
    with pytest.raises(FitError, match="1 is not below 0"):
        call("fit", table, "--law", "E + A/params**alpha", "--bounds", "alpha=1:0")


def test_full_width_commas_are_named(table: str) -> None:
    with pytest.raises(SettingError, match="full-width"):
        call("fit", table, "--columns", "params=n，loss=val/loss")


def test_a_table_may_come_through_a_pipe(table: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(Path(table).read_bytes()))
    writer.start()
    assert document("fit", str(pipe), "--resamples", "0")["rows"] == 20
    writer.join()


def test_flags_of_a_point_are_named(saved: str, tmp_path: Path) -> None:
    Ladder({"params": ["1B"], "tokens": ["20B"]}).write(tmp_path / "points.csv")
    with pytest.raises(SettingError, match="leave out --params"):
        call("forecast", saved, "--points", str(tmp_path / "points.csv"), "--params", "1B")
    for value, words in (("-1", "--params is -1"), ("many", "--params: 'many' is not a number")):
        with pytest.raises(SettingError, match=words):
            call("forecast", saved, "--params", value, "--tokens", "20B")


def test_forecast_from_a_saved_fit_and_from_the_table_agree(table: str, saved: str) -> None:
    flags = ("--params", "30B", "--tokens", "600B")
    first, second = document("forecast", saved, *flags), document("forecast", table, *flags)
    assert first["rows"][0]["loss"] == pytest.approx(second["rows"][0]["loss"], rel=1e-9)
    assert {"trust", "why", "rows"} <= set(first)
    assert {"params", "tokens", "loss", "low", "high", "level", "extrapolation"} <= set(first["rows"][0])
    assert call("forecast", saved, *flags).startswith(f"trust: {first['trust']}")


def test_forecast_of_flops_is_the_plans(saved: str) -> None:
    best = document("plan", saved, "--flops", "1e23")
    row = document("forecast", saved, "--flops", "1e23")["rows"][0]
    assert (row["params"], row["loss"]) == pytest.approx((best["params"], best["loss"]))


def test_forecast_of_a_table_of_points(saved: str, tmp_path: Path) -> None:
    Ladder({"params": ["1B", "30B"], "tokens": ["20B", "600B"]}).write(tmp_path / "points.csv")
    assert len(document("forecast", saved, "--points", tmp_path / "points.csv", "--level", "0.5")["rows"]) == 2


def test_plan_has_every_number_with_its_interval(saved: str) -> None:
    found = document("plan", saved, "--flops", "1e23", "--unique-tokens", "100B")
    for name in ("params", "tokens", "flops", "loss"):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    assert "100B" in call("plan", saved, "--flops", "1e23", "--unique-tokens", "100B")


def test_backtest_ends_with_a_summary(table: str) -> None:
    assert "median error" in document("backtest", table, "--law", "additive", "--resamples", "20")["summary"]


def test_what_is_missing_is_named(saved: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--params --tokens"):
        call("forecast", saved, "--params", "1B")
    with pytest.raises(InputError, match=r"No such file"):
        call("forecast", tmp_path / "none.json", "--flops", "1e20")
    (tmp_path / "torn.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        call("plan", tmp_path / "torn.json", "--flops", "1e20")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(FitError, match=r"other\.json"):
        call("plan", tmp_path / "other.json", "--flops", "1e20")
