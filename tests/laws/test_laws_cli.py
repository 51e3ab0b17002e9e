"""The verbs fit, backtest, forecast and plan: one JSON document with --json, the same for people without."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer
from planted import BENT, grid
from typer.testing import CliRunner

from chidu.cli import backtest, forecast, plan
from chidu.cli import fit as fit_verb
from chidu.errors import FitError, ForecastError, InputError, SettingError
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
    with pytest.raises(SettingError, match=r"fit\.json is a saved fit and has its own"):
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


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved fit of a law of three inputs."""
    folder = tmp_path_factory.mktemp("repeated")
    params, unique, epochs = (
        each.ravel() for each in np.meshgrid(np.geomspace(1e8, 1e10, 4), np.geomspace(1e9, 1e11, 4), [1.0, 4.0])
    )
    worth = unique * (1 - 15.0 * np.expm1(-(epochs - 1) / 15.0))
    loss = 1.7 + 400 / params**0.34 + 410 / worth**0.28
    Ladder.of({"params": params, "tokens": unique * epochs, "unique_tokens": unique, "loss": loss}).write(
        folder / "runs.csv"
    )
    call("fit", folder / "runs.csv", "--law", "data_constrained", "--resamples", "20", "--output", folder / "fit.json")
    return str(folder / "fit.json")


def test_further_inputs_of_a_law_are_given_by_name(repeated: str) -> None:
    flags = ("--params", "1B", "--tokens", "20B")
    row = document("forecast", repeated, *flags, "--at", "unique_tokens=5B")["rows"][0]
    assert (row["params"], row["tokens"], row["unique_tokens"]) == (1e9, 2e10, 5e9)
    every = document("forecast", repeated, "--at", "params=1B,tokens=20B", "--at", "unique_tokens=5B")["rows"][0]
    assert every == row
    for words, said in (
        (flags, r"needs --params --tokens --at unique_tokens=… \(or --flops alone, or --points FILE"),
        ((*flags, "--at", "unique_token=5B"), "reads no unique_token .did you mean 'unique_tokens'"),
        ((*flags, "--at", "unique_tokens"), "is not NAME=NUMBER"),
        ((*flags, "--at", "unique_tokens=-5"), "--at unique_tokens is -5; it must be a finite number above 0"),
        ((*flags, "--at", "unique_tokens=1,unique_tokens=2"), "stands twice"),
        ((*flags, "--at", "params=2B,unique_tokens=5B"), "params is given twice"),
        (("--flops", "1e21", "--at", "unique_tokens=5B"), "--flops stands alone"),
        (("--params", "1e70", "--tokens", "20B"), "--params is 1e70; no number of a training run lies beyond"),
    ):
        with pytest.raises(SettingError, match=said):
            call("forecast", repeated, *words)


def test_flops_alone_see_each_token_once(repeated: str) -> None:
    row = document("forecast", repeated, "--flops", "1e21")["rows"][0]
    assert row["unique_tokens"] == row["tokens"]


def test_the_order_of_a_formulas_columns_does_not_swap_params_and_tokens(table: str) -> None:
    rows = [
        document("forecast", table, "--law", law, "--resamples", "2", "--params", "1B", "--tokens", "20B")["rows"][0]
        for law in ("E + A/params**alpha + B/tokens**beta", "E + B/tokens**beta + A/params**alpha")
    ]
    assert [row["params"] for row in rows] == [1e9, 1e9]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-3)


def test_a_law_of_another_target_is_not_called_a_loss(tmp_path: Path) -> None:
    params, tokens = grid(4, 4)
    rate = 1.79 * tokens**0.307 / params**0.713
    Ladder.of({"params": params, "tokens": tokens, "learning_rate": rate}).write(tmp_path / "lr.csv")
    flags = ("--law", "learning_rate", "--resamples", "5")
    printed = call("fit", tmp_path / "lr.csv", *flags, "--output", tmp_path / "lr")
    assert "bracketed" not in printed
    point = ("forecast", tmp_path / "lr", "--params", "1B", "--tokens", "20B")
    wanted = 1.79 * 2e10**0.307 / 1e9**0.713
    found = document(*point)
    assert found["target"] == "learning_rate"
    assert found["rows"][0]["learning_rate"] == pytest.approx(wanted, rel=1e-4)
    assert "loss" not in found["rows"][0]
    text = call(*point)
    assert "learning_rate" in text
    assert f"{wanted:.4g}" in text
    with pytest.raises(ForecastError, match="forecasts of the loss, and this law speaks of learning_rate"):
        call(*point, "--record", tmp_path / "one.json")
    judged = document("backtest", tmp_path / "lr.csv", *flags)
    assert judged["median_error"] < 1e-3


def test_a_score_is_forecast_beside_the_loss_it_is_read_from(tmp_path: Path) -> None:
    loss = np.linspace(2.0, 3.9, 14)
    score = 0.25 + 0.6 / (1 + np.exp(-3 * (2.9 - loss)))
    Ladder.of({"loss": loss, "score": score}).write(tmp_path / "scores.csv")
    assert "spans only" not in call("fit", tmp_path / "scores.csv", "--law", "score", "--output", tmp_path / "s.json")
    row = document("forecast", tmp_path / "s.json", "--at", "loss=2.5")["rows"][0]
    assert (row["loss"], row["score"]) == (2.5, pytest.approx(0.25 + 0.6 / (1 + np.exp(-1.2)), rel=1e-3))


def test_the_trust_line_speaks_at_the_level_asked_for(saved: str) -> None:
    whole = {
        level: call("forecast", saved, "--params", "3B", "--tokens", "60B", "--level", level)
        for level in ("0.5", "0.99")
    }
    widths = {level: re.search(r"within ±([\d.]+)% at (\d+)%", text) for level, text in whole.items()}
    assert all(widths.values())
    half, most = (widths[level].groups() for level in ("0.5", "0.99"))  # type: ignore[union-attr]
    assert (half[1], most[1]) == ("50", "99")
    assert float(half[0]) < float(most[0])
    assert "at 50%" in document("plan", saved, "--flops", "1e22", "--level", "0.5")["why"]


def test_a_slip_in_a_formula_is_named(table: str) -> None:
    with pytest.raises(FitError, match=r"'tokns' is no column \(did you mean 'tokens'"):
        call("fit", table, "--law", "E + A/params^alpha + B/tokns^beta")
    with pytest.raises(FitError, match=r"names no column of the table \(did you mean 'params'"):
        call("fit", table, "--law", "E + A/prams^alpha")


def test_what_a_fit_does_not_read_is_refused(table: str, saved: str, tmp_path: Path) -> None:
    for flag in ("--resamples", "--seed"):
        with pytest.raises(SettingError, match=f"{flag}: .* is a saved fit and has its own"):
            call("forecast", saved, "--params", "1B", "--tokens", "20B", flag, "10")
    one = str(tmp_path / "one.json")
    call("fit", table, "--law", "E + A/params^alpha", "--resamples", "20", "--output", one)
    with pytest.raises(SettingError, match="reads no tokens: leave out --tokens"):
        call("forecast", one, "--params", "1B", "--tokens", "20B")
    assert "trust" in call("forecast", one, "--params", "1B")


def test_rows_are_chosen_by_their_values(table: str, tmp_path: Path) -> None:
    runs = Ladder.read(table)
    both = {name: np.concatenate([column, column]) for name, column in runs.columns.items()}
    both["group"] = np.repeat(["wiki", "code"], len(runs))
    both["seed"] = np.repeat([0, 1], len(runs))
    path = str(tmp_path / "both.csv")
    Ladder.of(both).write(path)
    for chosen in ("group=wiki", "seed=0", "seed=0,group=wiki"):
        assert document("fit", path, "--where", chosen, "--resamples", "5")["rows"] == len(runs)
    assert document("backtest", path, "--where", "seed=1", "--resamples", "5")["law"]
    with pytest.raises(SettingError, match="no row has group=book; it has wiki, code"):
        call("fit", path, "--where", "group=book")
    with pytest.raises(InputError, match=r"no column 'grup' \(did you mean 'group'"):
        call("fit", path, "--where", "grup=wiki")
    with pytest.raises(SettingError, match="is not COLUMN=VALUE"):
        call("fit", path, "--where", "wiki")


def test_a_level_is_told_with_all_its_digits(saved: str) -> None:
    said = call("forecast", saved, "--params", "1B", "--tokens", "20B", "--level", "0.999")
    assert "99.9% low" in said
    assert "100%" not in said


def test_auto_names_the_laws_for_the_columns_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "experts.csv"
    path.write_text("params,num_experts,loss\n1e7,1,3\n1e8,1,2.8\n1e7,8,2.9\n", encoding="utf-8")
    with pytest.raises(FitError, match="for the columns that are: --law experts"):
        call("fit", str(path))


def test_a_plan_says_what_a_cluster_needs(saved: str) -> None:
    alone = document("plan", "--params", "7B", "--tokens", "2T", "--gpu", "a100", "--devices", "64", "--price", "2")
    assert alone["steps"] > 400_000
    assert "memory" in call("plan", "--params", "7B", "--tokens", "2T", "--gpu", "a100", "--devices", "64")
    found = document("plan", saved, "--flops", "1e21", "--gpu", "h100", "--devices", "8")
    assert found["cluster"]["tokens"] == found["tokens"]
    assert "On 8 h100s" in call("plan", saved, "--hours", "24", "--gpu", "h100", "--devices", "8")
    with pytest.raises(SettingError, match="--params is what the law finds"):
        call("plan", saved, "--flops", "1e21", "--params", "7B")
    with pytest.raises(SettingError, match="--params 7B --tokens 2T --gpu a100"):
        call("plan", "--params", "7B")
