"""The page while the undertaking is at work: what it says, draws and reloads, in both languages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_report_browser import BROWSER, dump
from test_report_chinese import CHINESE, is_chinese

import planted_work as planted
from chidu.report.content import Language, ReportContent
from chidu.report.live import live_chart, live_grid, live_headline, live_lines
from chidu.report.texts import texts
from chidu.runs.picture import Picture
from chidu.work.results import write_live_page
from chidu.work.watching import read_picture

Moment = tuple[Path, Picture]


def moment(folder: Path, part: float, off: float = 0.0) -> Moment:
    planted.until_target(folder, off)
    with planted.training_target(folder, part, planted.Voice()):
        return folder, read_picture(folder)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Moment:
    return moment(tmp_path_factory.mktemp("half"), 0.5)


@pytest.fixture(scope="module")
def off(tmp_path_factory: pytest.TempPathFactory) -> Moment:
    return moment(tmp_path_factory.mktemp("off"), 0.95, off=0.15)


def content_of(picture: Picture) -> ReportContent:
    return ReportContent(title="", ladder=None, picture=picture)


def test_the_chart_holds_curve_band_and_estimates(half: Moment) -> None:
    _, picture = half
    chart = live_chart(content_of(picture), texts("en"))
    assert chart is not None
    assert picture.forecast is not None
    assert picture.target is not None
    traces = {trace["name"]: trace for trace in json.loads(chart.figure)["data"] if trace["name"]}
    band = "forecast, 90% interval"
    assert list(traces) == [band, "forecast", "should end in (90%)", "should end at", "training loss"]
    drawn = traces[band]
    reach = [picture.forecast["low"], picture.forecast["high"]]
    assert [min(drawn["y"]), max(drawn["y"])] == pytest.approx(reach, 1e-5)
    assert max(drawn["x"]) == traces["should end at"]["x"][0] == 2400 * 1024
    assert max(traces["training loss"]["x"]) == 1200 * 1024
    assert len(chart.grid.rows) == len(picture.estimates) > 20
    assert len(live_grid(picture, texts("en")).rows) == 16


def test_the_headline_says_where_it_will_end(half: Moment, off: Moment) -> None:
    english = texts("en")
    assert picture_mood(half[1]) == "inside"
    assert picture_mood(off[1]) == "outside"
    sentence, _ = live_headline(off[1], english)
    assert sentence.startswith("95% of the target is trained. It should end at ")
    assert sentence.endswith("outside, the two intervals do not meet.")
    before = replace(half[1], estimates=(), stage="corpus", target=None)
    assert live_headline(before, english)[0].startswith("At work on the stage corpus: 50% done, about ")
    assert live_headline(replace(before, state="stopped"), english) == (
        "Nobody is at work; the last stage was corpus.",
        "",
    )


def picture_mood(picture: Picture) -> str:
    return live_headline(picture, texts("en"))[1]


def test_every_sentence_is_in_chinese(off: Moment) -> None:
    _, picture = off
    said = [live_headline(picture, CHINESE)[0], *live_lines(picture, CHINESE)]
    said += [CHINESE.say(each.text) for each in picture.warnings]
    back = "the target should end at 2.5, 90% interval 2.4 to 2.6 (from 50% of the run)"
    said.append(CHINESE.say(f"{back}: that meets the forecast's interval, 2.3 to 2.7, again"))
    assert len(said) == 7
    allowed = re.compile(r"target|\d+ (min \d+ )?s\b")
    assert [sentence for sentence in said if not is_chinese(allowed.sub("", sentence))] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_drawn_at_any_moment(language: Language, half: Moment, off: Moment, tmp_path: Path) -> None:
    early = tmp_path / "early"
    planted.until_ladder(early)
    page = tmp_path / "page.html"
    moments = [half, off, (early, read_picture(early))]
    for folder, picture in moments:
        write_live_page(folder, picture, page, 10, language)
        html = page.read_text(encoding="utf-8")
        assert '<meta http-equiv="refresh" content="10">' in html
        assert '<main>\n<section id="live"' in html
        write_live_page(folder, picture, page, None, language)
        assert 'http-equiv="refresh"' not in page.read_text(encoding="utf-8")


@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_browser_draws_it(language: Language, off: Moment, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_live_page(*off, page, 100, language)
    html, log = dump(page, tmp_path)
    part = html.split('data-chart="live"')[1].split("<figcaption")[0]
    assert 'class="main-svg"' in part
    assert "CONSOLE" not in log
