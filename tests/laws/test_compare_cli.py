"""The verb compare: two tables, or one with a column that names the recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from planted import CHINCHILLA, Planted, grid
from typer.testing import CliRunner

from chidu.cli import compare
from chidu.errors import FitError, SettingError, TableError
from chidu.runs.ladder import Ladder

BETTER = Planted(1.6, 400.0, 0.34, 410.0, 0.28)
FAST = ("--law", "additive", "--resamples", "20")


def call(*words: object) -> str:
    app = typer.Typer()
    app.command()(compare.command)
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compare")
    tables = [law.table(*grid(5, 4), noise=0.002, seed=i) for i, law in enumerate((CHINCHILLA, BETTER))]
    for name, table in zip(("old.csv", "new.csv"), tables, strict=True):
        Ladder.of(table).write(made / name)
    (made / "sub").mkdir()
    Ladder.of(tables[1]).write(made / "sub" / "old.csv")
    both = {name: np.concatenate([each[name] for each in tables]) for name in tables[0]}
    recipes = np.repeat(["old", "new"], 20)
    Ladder({**both, "recipe": recipes, "width": np.repeat([1.5, 2.0], 20)}).write(made / "both.csv")
    three = {name: np.concatenate([column, column[:20]]) for name, column in both.items()}
    Ladder({**three, "recipe": np.append(recipes, ["other"] * 20)}).write(made / "three.csv")
    return made


def test_the_first_line_is_the_verdict(folder: Path) -> None:
    text = call(folder / "old.csv", folder / "new.csv", "--params", "1B", "--tokens", "20B", *FAST)
    first = text.splitlines()[0]
    assert first.startswith(
        "new.csv is better than old.csv at 1B params, 20B tokens: probability above 99%; trust: yes"
    )
    assert "multiplier  old.csv needs" in text


def test_one_table_is_split_by_a_column(folder: Path) -> None:
    flags = ("--flops", "1e22", "--json", *FAST)
    two = json.loads(call(folder / "old.csv", folder / "new.csv", *flags))
    by = json.loads(call(folder / "both.csv", "--by", "recipe", *flags))
    assert (by["first"]["name"], by["second"]["name"]) == ("old", "new")
    assert by["probability"] == pytest.approx(two["probability"])
    assert json.loads(call(folder / "both.csv", "--by", "width", *flags))["first"]["name"] == "1.5"
    other = json.loads(call(folder / "three.csv", "--by", "recipe", "--between", "new,old", *flags))
    assert other["probability"] == pytest.approx(1 - two["probability"])


def test_tables_of_one_name_are_told_apart(folder: Path) -> None:
    found: dict[str, Any] = json.loads(call(folder / "old.csv", folder / "sub" / "old.csv", "--json", *FAST))
    assert found["first"]["name"] != found["second"]["name"]


def test_what_is_mistyped_is_named(folder: Path) -> None:
    old, new, three = folder / "old.csv", folder / "new.csv", folder / "three.csv"
    cases: list[tuple[tuple[object, ...], type[Exception], str]] = [
        ((old,), SettingError, "name two tables, not 1"),
        ((old, new, three), SettingError, "name two tables, not 3"),
        ((old, folder / "sub" / ".." / "old.csv"), SettingError, "one file"),
        ((new, folder / "sub" / "old.csv"), FitError, "the same runs"),
        ((old, new, "--by", "recipe"), SettingError, "splits one table"),
        ((old, new, "--between", "a,b"), SettingError, "name that with --by"),
        ((three, "--by", "recipes"), TableError, "did you mean 'recipe'"),
        ((three, "--by", "recipe"), SettingError, r"3 \(old, new, other\): choose two"),
        ((three, "--by", "recipe", "--between", "old,neww"), SettingError, "did you mean 'new'"),
        ((three, "--by", "recipe", "--between", "old,old"), SettingError, "two different"),
        ((old, new, "--params", "many", "--tokens", "1B"), SettingError, "--params: 'many' is not a number"),
        ((old, new, "--params", "1B", *FAST), FitError, "lacks tokens"),
        ((old, folder / "none.csv"), TableError, "no such file"),
        ((old, new, "--params", "-1", "--tokens", "1B", *FAST), SettingError, "--params is -1; .* above 0"),
    ]
    for words, error, message in cases:
        with pytest.raises(error, match=message):
            call(*words)
