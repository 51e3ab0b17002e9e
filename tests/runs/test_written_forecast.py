"""A forecast is sealed before its run; what was changed, or speaks of another run, is not scored."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chidu.errors import ForecastError
from chidu.runs import Run
from chidu.runs.forecast import Score, WrittenForecast
from chidu.runs.record import fingerprint, read_json


@pytest.fixture
def written(make_run: Callable[..., Run]) -> WrittenForecast:
    config = make_run().config
    return WrittenForecast(
        written="2026-01-01T00:00:00+00:00",
        point={"params": 1e4, "tokens": 384.0, "flops": config.flops},
        law="additive",
        formula="E + A / params^α + B / tokens^β",
        loss=3.2,
        low=3.1,
        high=3.3,
        level=0.9,
        extrapolation=8.0,
        trust="yes",
        why="尺度",
        ladder="digest",
        target=fingerprint(config.as_dict()),
    )


def test_a_forecast_is_read_as_it_was_written(written: WrittenForecast, tmp_path: Path) -> None:
    written.write(tmp_path / "forecast.json")
    assert WrittenForecast.read(tmp_path / "forecast.json") == written
    with pytest.raises(ForecastError, match="made once"):
        written.write(tmp_path / "forecast.json")


@pytest.mark.parametrize(
    "change",
    [{"loss": 3.25}, {"low": 1.0}, {"high": 9.0}, {"written": "2026-01-02"}, {"target": "x"}, {"seal": "0" * 64},
     {"seal": None}, {"point": {}}],
)  # fmt: skip
def test_a_changed_forecast_is_refused(change: dict[str, object], written: WrittenForecast, tmp_path: Path) -> None:
    path = tmp_path / "forecast.json"
    written.write(path)
    path.write_text(json.dumps({**read_json(path), **change}), encoding="utf-8")
    with pytest.raises(ForecastError, match="changed after it was written"):
        WrittenForecast.read(path)


@pytest.mark.parametrize("content", ["{}", "[]", '{"loss": 3}', "3"])
def test_what_is_no_forecast_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "forecast.json").write_text(content)
    with pytest.raises(ForecastError, match="no written forecast"):
        WrittenForecast.read(tmp_path / "forecast.json")


@pytest.mark.parametrize(("loss", "inside"), [(3.25, True), (3.1, True), (3.31, False), (3.0, False)])
def test_a_score_is_the_plain_comparison(
    loss: float, inside: bool, written: WrittenForecast, make_run: Callable[..., Run], tmp_path: Path
) -> None:
    scored = written.score(make_run(loss=loss))
    assert scored.inside is inside
    assert scored.measured == loss
    assert scored.error_percent == pytest.approx(100 * (3.2 - loss) / loss)
    assert scored.width_percent == pytest.approx(6.25)
    scored.write(tmp_path / "score.json")
    assert Score.from_dict(read_json(tmp_path / "score.json")) == scored


def test_another_forecast_is_not_scored_in_its_place(
    written: WrittenForecast, make_run: Callable[..., Run], tmp_path: Path
) -> None:
    run = make_run()
    written.score(run).write(tmp_path / "score.json")
    written.score(run).write(tmp_path / "score.json")
    with pytest.raises(ForecastError, match="not scored again"):
        dataclasses.replace(written, loss=3.25).score(run).write(tmp_path / "score.json")


def test_another_run_does_not_score_it(written: WrittenForecast, make_run: Callable[..., Run]) -> None:
    run = make_run()
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, seed=1))
    with pytest.raises(ForecastError, match="another run"):
        written.score(other)
