"""The target judged while it trains: warned of once, called back once, and the same after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

import planted_work as planted
from chidu.runs.live import Live
from chidu.work.judging import LOOKS, peers


def lives(folder: Path) -> Live:
    found = Live.read(folder)
    assert found is not None
    return found


def train(folder: Path, *parts: float, bend: float = 0.0, start: int = 0) -> list[str]:
    voice = planted.Voice()
    with planted.training_target(folder, parts[0], voice, bend=bend, start=start):
        pass
    return voice.said


def test_a_forecast_that_holds_is_left_alone(tmp_path: Path) -> None:
    planted.until_target(tmp_path)
    assert train(tmp_path, 1.0) == []
    found = lives(tmp_path)
    assert found.warnings == ()
    assert 0.75 * LOOKS < len(found.estimates) <= LOOKS
    assert all(each.inside for each in found.estimates)
    end = planted.planted_run(planted.design().target).loss
    assert found.estimates[-1].low < end < found.estimates[-1].high


def test_a_forecast_that_is_off_is_warned_of_once(tmp_path: Path) -> None:
    planted.until_target(tmp_path, off=0.15)
    said = train(tmp_path, 1.0)
    assert len(said) == 1
    assert said[0].startswith("warning: the target should end at ")
    assert "off the forecast's interval" in said[0]
    found = lives(tmp_path)
    assert [f"warning: {each.text}" for each in found.warnings] == said
    first = found.warnings[0].step
    assert [each.inside for each in found.estimates] == [each.step < first for each in found.estimates]


def test_a_run_that_turns_is_called_back_once(tmp_path: Path) -> None:
    """The forecast knows of a fall in the second half, which no rung has shown: at first it looks too low."""
    planted.until_target(tmp_path, off=-0.14)
    said = train(tmp_path, 1.0, bend=0.14)
    assert [("warning" in line, "again" in line) for line in said] == [(True, False), (False, True)]
    assert [each.text for each in lives(tmp_path).warnings] == [line.removeprefix("warning: ") for line in said]


@pytest.mark.parametrize("start", [960, 1920])
def test_a_run_that_goes_on_is_judged_as_if_it_had_not_been_cut(start: int, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    for name in ("whole", "cut"):
        planted.until_target(tmp_path / name, off=0.15)
    whole = train(tmp_path / "whole", 1.0)
    first = train(tmp_path / "cut", 0.85)
    second = train(tmp_path / "cut", 1.0, start=start)
    assert first == whole
    # What was said of steps that are made again is said again.
    step = lives(tmp_path / "whole").warnings[0].step
    assert second == (whole if step > start else [])
    one, two = lives(tmp_path / "whole"), lives(tmp_path / "cut")
    assert one.points == two.points
    assert one.warnings == two.warnings
    assert one.estimates == two.estimates


def test_a_run_that_is_taken_back_is_judged_by_what_it_does_now(tmp_path: Path) -> None:
    """What it did before it was taken back leaves no trace, in its points or in what is said of its end."""
    (tmp_path / "straight").mkdir()
    (tmp_path / "back").mkdir()
    for name, astray_to in (("straight", 0), ("back", 1200)):
        planted.until_target(tmp_path / name)
        with planted.training_target(tmp_path / name, 0.6, planted.Voice(), astray_to=astray_to):
            pass
    one, two = lives(tmp_path / "straight"), lives(tmp_path / "back")
    assert one.points == two.points
    assert one.estimates == two.estimates


def test_only_runs_of_the_same_length_are_peers() -> None:
    made = planted.design()
    runs = [planted.planted_run(rung) for rung in made.rungs]
    found = peers(runs, made.target.config)
    assert [run.loss for run in found] == [run.loss for run in runs if run.config.steps == made.target.config.steps]
