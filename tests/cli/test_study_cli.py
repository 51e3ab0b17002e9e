"""`chidu study` from the command line, on tables and on what it can't do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

Call = Any

TABLE = Path(__file__).parents[2] / "docs" / "examples" / "seeds.csv"


def test_it_judges_a_table_without_a_work_folder(call: Call, tmp_path: Path) -> None:
    shutil.copy(TABLE, tmp_path / "seeds.csv")
    plain = call("study", "self-averaging", "--runs", "seeds.csv")
    assert plain.code == 0
    assert plain.out.startswith("self-averaging: holds: ")
    found = json.loads(call("study", "self-averaging", "--runs", "seeds.csv", "--json").out)
    assert list(found)[-5:] == ["verdict", "effect", "low", "high", "minutes"]
    assert (found["verdict"], found["minutes"]) == ("holds", 0.0)
    assert found["low"] < 1.0 < found["high"]  # as planted
    assert [path.name for path in tmp_path.iterdir()] == ["seeds.csv"]


def test_other_names_are_mapped(call: Call, tmp_path: Path) -> None:
    text = TABLE.read_text("utf-8")
    (tmp_path / "other.csv").write_text(text.replace("seed,", "rng,", 1), "utf-8")
    assert "no column 'seed'" in call("study", "self-averaging", "--runs", "other.csv").complaint
    assert call("study", "self-averaging", "--runs", "other.csv", "--columns", "seed=rng").code == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("averaging",), "no study 'averaging'"),
        (("self-averaging", "--columns", "seed=rng"), "give that with --runs TABLE"),
        (("limits", "--price", "1"), "--price and --watts are for the study of cost, not for limits"),
        (("limits", "--page", "x.html"), "--page and --language are for all studies: chidu study all, not limits"),
        (("all", "--price", "1"), "--price and --watts: run chidu study cost first; all keeps what it reported"),
        (("all", "--language", "fr"), "no texts in language 'fr'"),
        (("all", "--minutes", "0.5"), "minutes is 0.5; it must be from 1 to 600"),
        (("all", "--page", "."), "--page: . is a folder: name a file in it"),
        (("cost",), "chidu-work has no finished ladder: run chidu ladder"),
        (("self-averaging", "--minutes", "0.5"), "minutes is 0.5; it must be from 1 to 600"),
        (("self-averaging", "--runs", "none.csv"), "none.csv: no such file"),
        (("self-averaging", "--text", "none.txt"), "none.txt: no such file or folder"),
        (("self-averaging", "--on", "moon"), "moon"),
    ],
)
def test_what_it_can_not_do_is_said_in_a_line(
    call: Call, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in call("study", *words).complaint
    assert not list(tmp_path.iterdir())


def test_cost_judges_a_table_at_a_price(call: Call, tmp_path: Path) -> None:
    shutil.copy(TABLE.with_name("costs.csv"), tmp_path / "costs.csv")
    found = json.loads(call("study", "cost", "--runs", "costs.csv", "--price", "0.5", "--watts", "20", "--json").out)
    assert list(found)[-5:] == ["verdict", "effect", "low", "high", "minutes"]
    assert found["verdict"] is None
    assert found["rows"][0]["money"] == pytest.approx(0.5 * found["rows"][0]["device_hours"])
    assert found["findings"]["watts"] == 20


def test_nothing_asked_is_a_usage_error(call: Call) -> None:
    assert call("study").code == 2


def test_all_judge_a_table_and_write_their_page(call: Call, tmp_path: Path) -> None:
    shutil.copy(TABLE, tmp_path / "seeds.csv")
    assert "would be lost" in call("study", "all", "--runs", "seeds.csv", "--page", "seeds.csv").complaint
    found = json.loads(call("study", "all", "--runs", "seeds.csv", "--language", "zh", "--json").out)
    assert list(found)[-2:] == ["verdicts", "page"]
    told = {each["study"]: each for each in found["verdicts"]}
    assert told["self-averaging"]["verdict"] == "holds"
    assert all(each["reason"] for name, each in told.items() if name != "self-averaging")
    assert {"name", "value", "shown", "read"} <= set(found["published"]["findings"][0])
    assert found["page"] == str((tmp_path / "studies.html").resolve())
    assert "规模对这份文本做了什么" in (tmp_path / "studies.html").read_text(encoding="utf-8")
