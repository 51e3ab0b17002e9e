"""The page as a file: safe, self-contained, readable without seeing or script, and honest about what is missing."""

from __future__ import annotations

import base64
import builtins
import hashlib
import itertools
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from undertaking import full_content

from chidu.errors import MissingPackageError, SettingError
from chidu.report import ReportContent, write_report
from chidu.report.texts import texts
from chidu.runs.ladder import Ladder

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>&lt;b&gt;尺度{{ 7*7 }}"
SECTIONS = [
    "forecast",
    "law",
    "ladder",
    "residuals",
    "isoflop",
    "plane",
    "plan",
    "curves",
    "card",
    "sample",
    "costs",
    "settings",
    "limits",
]
CHARTS = ["forecast", "ladder", "residuals", "residuals_1", "residuals_2", "isoflop", "plane", "curves"]


class Page(HTMLParser):
    """What a browser would find in the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        # Inside script and style, the parser names the element whose end it waits for.
        if self.cdata_elem is None:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def page_of(folder: Path, content: ReportContent) -> tuple[str, Page]:
    path = folder / "report.html"
    write_report(path, content)
    html = path.read_text(encoding="utf-8")
    return html, Page(html)


@pytest.fixture(scope="module")
def whole(content: ReportContent, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    return page_of(tmp_path_factory.mktemp("whole"), content)


def test_every_section_is_there_in_order(whole: tuple[str, Page]) -> None:
    assert [section["id"] for section in whole[1].all("section")] == SECTIONS


def test_loads_nothing_from_elsewhere(whole: tuple[str, Page]) -> None:
    html, page = whole
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_policy_names_exactly_the_scripts_of_the_page(whole: tuple[str, Page]) -> None:
    html, page = whole
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    bodies = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies]
    assert policy is not None
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"script-src[^;]*unsafe", policy)


def test_chart_values_are_json(whole: tuple[str, Page]) -> None:
    bodies = re.findall(r'<script type="application/json" id="figure-(\w+)">(.*?)</script>', whole[0], re.DOTALL)
    assert [name for name, _ in bodies] == CHARTS
    for _, body in bodies:
        assert {"data", "layout"} <= set(json.loads(body))
        assert len(body) < 60_000


def test_readable_without_sight_or_script(whole: tuple[str, Page]) -> None:
    page = whole[1]
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    charts = [attributes for attributes in page.all("div") if "data-chart" in attributes]
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert len(page.all("figcaption")) == len(charts)
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert len(page.all("table")) == len(page.all("caption"))
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize(("language", "tag"), [("en", "en"), ("zh", "zh-Hans")])
def test_names_its_language(content: ReportContent, tmp_path: Path, language: Any, tag: str) -> None:
    html, page = page_of(tmp_path, replace(content, language=language))
    assert page.all("html") == [{"lang": tag}]
    assert texts(language)["s_limits"] in html


def test_unknown_language_names_the_known_ones(content: ReportContent, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="use en or zh"):
        write_report(tmp_path / "report.html", replace(content, language="fr"))  # type: ignore[arg-type]


def test_hostile_text_stays_text(content: ReportContent, tmp_path: Path) -> None:
    runs = tuple(replace(run, name=HOSTILE) for run in content.runs)
    hostile = full_content(
        runs,
        replace(content.fit, warnings=(HOSTILE,)),
        title=HOSTILE,
        sample={"prompt": HOSTILE, "text": HOSTILE},
        data_card={HOSTILE: HOSTILE, "notes": [HOSTILE], "dropped": {HOSTILE: {"documents": 1}}},
        settings={HOSTILE: HOSTILE},
        costs=[{"stage": HOSTILE, "seconds": 1.0, "flops": None}],
    )
    html, page = page_of(tmp_path, hostile)
    plain, _ = page_of(tmp_path, content)
    assert "<script>document.title" not in html
    assert len(re.findall("<script", html)) == len(re.findall("<script", plain))
    assert not page.all("img")
    assert "{{ 7*7 }}" in page.words


def test_headline_says_outside_when_it_is(content: ReportContent, tmp_path: Path) -> None:
    missed = {**content.forecast, "measured": 9.0, "inside": False, "error_percent": -74.1}
    _, page = page_of(tmp_path, replace(content, forecast=missed))
    assert "outside the 90% interval" in page.words
    assert "74.10% below the measurement" in page.words
    assert {"class": "headline outside"} in page.all("p")


def test_open_forecast_claims_no_measurement(content: ReportContent, tmp_path: Path) -> None:
    scored = ("measured", "measured_standard_error", "error_percent", "inside", "scored")
    said = {name: value for name, value in content.forecast.items() if name not in scored}
    _, page = page_of(tmp_path, replace(content, forecast=said, target=None))
    assert "the target is not trained yet" in page.words
    assert "measured" not in page.words.split("Contents")[0].split("Forecast against")[0]


def test_parts_that_are_missing_are_left_out(content: ReportContent, tmp_path: Path) -> None:
    _, page = page_of(tmp_path, ReportContent("table", content.ladder, fit=content.fit))
    assert [section["id"] for section in page.all("section")] == [
        *("law", "ladder", "residuals", "isoflop", "plane", "limits")
    ]
    _, page = page_of(tmp_path, ReportContent("table", content.ladder))
    assert [section["id"] for section in page.all("section")] == ["ladder", "limits"]
    assert "no law is fitted" in page.words


def test_warnings_stand_beside_the_number(content: ReportContent, tmp_path: Path) -> None:
    _, page = page_of(tmp_path, replace(content, fit=replace(content.fit, warnings=("the floor is not known",))))
    assert page.words.count("the floor is not known") == 1


def test_flops_that_are_approximated_say_so(content: ReportContent, tmp_path: Path) -> None:
    columns = {name: content.ladder.columns[name] for name in ("params", "tokens", "loss")}
    _, page = page_of(tmp_path, ReportContent("table", Ladder(columns), fit=content.fit))
    assert "6 × params × tokens" in page.words


def test_long_tables_say_that_they_are_cut(tmp_path: Path) -> None:
    size = np.geomspace(1e6, 1e9, 300)
    ladder = Ladder({"params": size, "tokens": 20 * size, "flops": 120 * size**2, "loss": 2 + 40 / size**0.3})
    _, page = page_of(tmp_path, ReportContent("many", ladder))
    assert "The first 200 of 300 rows." in page.words


@pytest.mark.parametrize(("package", "extra"), [("plotly", "report"), ("jinja2", "report")])
def test_missing_package_is_named_and_the_old_page_stays(
    content: ReportContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    load = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == package:
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingPackageError, match=rf"'{package}'.*chidu\[{extra}\]"):
        write_report(path, content)
    assert path.read_text() == "old"


def test_import_is_light() -> None:
    check = "import chidu.report, sys; print(sorted({'plotly', 'jinja2', 'torch', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_languages_say_the_same_things() -> None:
    english, chinese = texts("en"), texts("zh")
    assert list(english) == list(chinese)
    for name in english:
        assert sorted(re.findall(r"\{\w+\}", english[name])) == sorted(re.findall(r"\{\w+\}", chinese[name])), name
