"""Forecasts over time: scored once, judged together, and what was changed or torn counts for nothing."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.errors import ForecastError, TableError
from chidu.runs import Ladder
from chidu.runs.forecast import Score, WrittenForecast
from chidu.runs.history import (
    Entry,
    History,
    check_forecast_path,
    measured_in,
    read_history,
    score_forecast,
    score_path,
)

Write = Callable[..., Path]


def made(**changes: Any) -> WrittenForecast:
    fields: dict[str, Any] = {
        "written": "2026-01-01T00:00:00+00:00",
        "point": {"params": 1e9, "tokens": 2e10},
        "law": "additive",
        "formula": "E + A / params^alpha + B / tokens^beta",
        "loss": 3.0,
        "low": 2.9,
        "high": 3.1,
        "level": 0.9,
        "extrapolation": None,
        "trust": "yes",
        "why": "尺度",
        "ladder": "fit",
        "target": "point",
    }
    return WrittenForecast(**{**fields, **changes})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def build(name: str = "one", **changes: Any) -> Path:
        path = tmp_path / f"{name}.json"
        made(**changes).write(path)
        return path

    return build


def test_a_score_stands_beside_its_forecast(write: Write) -> None:
    path = write()
    found = score_forecast(path, 3.05)
    assert (found.inside, found.measured_standard_error) == (True, None)
    assert found.error_percent == pytest.approx(100 * (3.0 / 3.05 - 1))
    assert Score.from_dict(json.loads(score_path(path).read_text())) == found
    assert score_path(path).name == "one.score.json"


def test_a_forecast_is_scored_once(write: Write) -> None:
    path = write()
    score_forecast(path, 3.05)
    before = score_path(path).read_bytes()
    for measured in (3.05, 2.95):
        with pytest.raises(ForecastError, match=r"scored already \(measured 3\.05"):
            score_forecast(path, measured)
    assert score_path(path).read_bytes() == before


@pytest.mark.parametrize("measured", [0.0, -1.0, math.nan, math.inf])
def test_a_measured_loss_is_a_number_above_0(measured: float, write: Write) -> None:
    path = write()
    with pytest.raises(ForecastError, match="above 0"):
        score_forecast(path, measured)
    assert not score_path(path).exists()


def test_what_was_changed_or_torn_is_not_scored(write: Write, tmp_path: Path) -> None:
    path = write()
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace('"loss": 3.0', '"loss": 3.05'), encoding="utf-8")
    with pytest.raises(ForecastError, match="changed after it was written"):
        score_forecast(path, 3.05)
    for torn in (whole[: len(whole) // 2], "", "\x00\xff"):
        path.write_text(torn, encoding="utf-8")
        with pytest.raises(ForecastError, match="can't be read"):
            score_forecast(path, 3.05)
    for other in ("[]", "{}", '"text"', "3"):
        path.write_text(other)
        with pytest.raises(ForecastError, match="no written forecast"):
            score_forecast(path, 3.05)
    with pytest.raises(ForecastError, match="no such file"):
        score_forecast(tmp_path / "none.json", 3.05)
    with pytest.raises(ForecastError, match="is a folder"):
        score_forecast(tmp_path, 3.05)
    with pytest.raises(ForecastError, match="is a score"):
        score_forecast(tmp_path / "one.score.json", 3.05)


def test_where_a_forecast_may_be_written(write: Write, tmp_path: Path) -> None:
    check_forecast_path(tmp_path / "new.json")
    path = write()
    for wrong, message in (
        (path, "made once"),
        (tmp_path, "is a folder"),
        (tmp_path / "new", "ends in .json"),
        (tmp_path / "new.score.json", "not in .score.json"),
    ):
        with pytest.raises(ForecastError, match=message):
            check_forecast_path(wrong)
    score_forecast(path, 3.0)
    path.unlink()
    with pytest.raises(ForecastError, match="score of an earlier forecast"):
        check_forecast_path(path)


def test_a_history_lists_what_was_written_in_order(write: Write, tmp_path: Path) -> None:
    late = write("a", written="2026-03-01T00:00:00+00:00")
    write("b", written="2026-01-01T00:00:00+00:00")
    score_forecast(late, 3.2)
    found = read_history(tmp_path)
    assert [each.name for each in found.entries] == ["b", "a"]
    lines = str(found).splitlines()
    assert lines[2].split()[:3] == ["b", "2026-01-01T00:00:00+00:00", "3.0000"]
    assert lines[2].split()[3:] == ["2.9000", "to", "3.1000", "(90%)", "-", "-", "-"]
    assert lines[3].split()[-3:] == ["3.2000", "-6.25%", "no"]
    assert "1 scored, 1 not yet" in found.summary
    assert found.judgement == "too few to tell"
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [each["score"] is None for each in document["forecasts"]] == [True, False]
    assert (document["scored"], document["inside"], document["share"]) == (1, 0, 0.0)


def test_without_scores_nothing_is_claimed(write: Write, tmp_path: Path) -> None:
    write()
    found = read_history(tmp_path)
    assert found.summary == "1 forecast, none scored yet"
    assert math.isnan(found.mean_error)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["mean_error"] is None


def test_what_cannot_be_trusted_is_named_and_counts_for_nothing(write: Write, tmp_path: Path) -> None:
    score_forecast(write("good"), 3.05)
    score_forecast(write("changed"), 3.05)
    changed = tmp_path / "changed.json"
    changed.write_text(changed.read_text(encoding="utf-8").replace("2.9", "2.0"), encoding="utf-8")
    write("torn").write_text('{"written": "2026')
    for name, change in (("better", {"inside": True, "error_percent": 0.1}), ("later", {"measured": 2.99})):
        score_forecast(write(name), 4.0)
        beside = tmp_path / f"{name}.score.json"
        beside.write_text(json.dumps(json.loads(beside.read_text()) | change))
    score_forecast(write("gone"), 3.05)
    (tmp_path / "gone.json").unlink()
    (tmp_path / "fit.json").write_text('{"chidu_fit": 2}')
    (tmp_path / "half.json.tmp-12").write_text("{")
    (tmp_path / "notes.txt").write_text("")
    found = read_history(tmp_path)
    assert [each.name for each in found.entries if not each.trouble] == ["good"]
    assert len(found.scored) == 1
    assert found.others == 1
    text = str(found)
    for name in ("changed", "torn", "better", "later", "gone"):
        assert any(line.startswith("warning: ") and name in line for line in text.splitlines()), name
    assert "1 other JSON file" in text


def test_a_folder_without_forecasts_is_named(tmp_path: Path) -> None:
    with pytest.raises(ForecastError, match="holds no written forecasts"):
        read_history(tmp_path)
    with pytest.raises(ForecastError, match="no such folder"):
        read_history(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(ForecastError, match="is a file"):
        read_history(tmp_path / "file")


def history(held: int, missed: int, level: float = 0.9) -> History:
    forecast = made(level=level)
    scores = [forecast.against(3.0)] * held + [forecast.against(4.0)] * missed
    return History("f", tuple(Entry(str(i), forecast, score) for i, score in enumerate(scores)), 0)


@pytest.mark.parametrize(
    ("held", "missed", "level", "judgement"),
    [
        (0, 4, 0.9, "too few to tell"),
        (4, 0, 0.5, "too few to tell"),
        (2, 3, 0.9, "too narrow"),
        (9, 1, 0.9, "as they should be"),
        (20, 0, 0.9, "as they should be"),
        (40, 0, 0.9, "too wide"),
        (5, 0, 0.5, "too wide"),
        (5, 5, 0.5, "as they should be"),
    ],
)
def test_intervals_are_judged_only_where_the_scores_can_tell(
    held: int, missed: int, level: float, judgement: str
) -> None:
    found = history(held, missed, level)
    assert found.judgement == judgement
    assert judgement.removeprefix("too ") in found.summary or judgement in ("too few to tell", "as they should be")


def test_levels_of_several_forecasts_count_each_for_itself() -> None:
    wide, narrow = history(6, 0, 0.95), history(0, 6, 0.2)
    both = dataclasses.replace(wide, entries=(*wide.entries, *narrow.entries))
    # Half inside where 57.5% was meant, and each as it should be.
    assert both.level == pytest.approx(0.575)
    assert both.judgement == "as they should be"


@given(held=st.integers(0, 60), missed=st.integers(0, 60))
def test_the_share_lies_in_its_interval(held: int, missed: int) -> None:
    found = history(held, missed)
    low, high = found.share_interval
    if held + missed:
        assert 0 <= low <= held / (held + missed) <= high <= 1
        assert high - low < 1


def test_the_run_is_found_in_a_table(tmp_path: Path) -> None:
    written = made(point={"params": 1e9, "tokens": 2e10, "flops": 1.2e20})
    rows = {
        "params": [1.004e9, 1e9, 2e9],
        "tokens": [2e10, 4e10, 2e10],
        "flops": [1.4e20, 1, 1],
        "loss": [3.1, 2.8, 2.7],
    }
    assert measured_in(Ladder(rows), written) == 3.1
    with pytest.raises(ForecastError, match=r"2 rows \(1, 2\) are the run"):
        measured_in(Ladder({"params": [1e9, 1e9], "tokens": [2e10, 2e10], "loss": [3, 3.1]}), written)
    with pytest.raises(ForecastError, match=r"no row is the run.*params 1B, tokens 20B"):
        measured_in(Ladder({"params": [3e9], "tokens": [2e10], "loss": [3]}), written)
    assert measured_in(Ladder({"flops": [1.2e20, 3e20], "loss": [3.2, 3]}), written) == 3.2
    with pytest.raises(TableError, match="no column 'flops'"):
        measured_in(Ladder({"loss": [3.0]}), written)


def test_a_file_nested_without_end_does_not_end_a_history(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 200_000, encoding="utf-8")
    found = read_history(tmp_path)
    assert "can't be read (nested too deeply)" in found.entries[0].trouble
