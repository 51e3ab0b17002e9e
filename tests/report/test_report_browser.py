"""The page in a real browser: charts drawn, no errors, nothing run that was text, no wider than a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chidu.report import ReportContent, law_content, write_report
from chidu.report.paper import PaperContent, write_paper
from chidu.runs.ladder import Ladder
from chidu.work.results import study_part

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHARTS = ["forecast", "ladder", "residuals", "residuals_1", "residuals_2", "isoflop", "plane", "curves"]
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on the PATH")


def dump(page: Path, folder: Path, *flags: str) -> tuple[str, str]:
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--enable-logging=stderr", "--v=0", f"--user-data-dir={folder / 'profile'}", *flags, "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_chart_is_drawn_without_a_word_on_the_console(
    content: ReportContent, tmp_path: Path, language: Any
) -> None:
    hostile = {"prompt": HOSTILE, "text": HOSTILE}
    runs = tuple(replace(run, name=HOSTILE) for run in content.runs)
    page = tmp_path / "report.html"
    write_report(page, replace(content, language=language, sample=hostile, runs=runs))
    html, log = dump(page, tmp_path)
    parts = re.split(r'data-chart="', html)[1:]
    assert [part.split('"')[0] for part in parts] == CHARTS
    for part in parts:
        assert 'class="main-svg"' in part.split("<figcaption")[0]
    assert "CONSOLE" not in log
    assert "<title>taken" not in html


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_no_wider_than_a_phone(content: ReportContent, tmp_path: Path, language: Any) -> None:
    write_report(tmp_path / "report.html", replace(content, language=language))
    wrapper = tmp_path / "phone.html"
    wrapper.write_text(
        "<body><iframe src='report.html' width=390 height=800 style='border:0' onload=\""
        'document.body.dataset.width = this.contentDocument.documentElement.scrollWidth"></iframe></body>'
    )
    html, _ = dump(wrapper, tmp_path, "--allow-file-access-from-files")
    width = re.search(r'data-width="(\d+)"', html)
    assert width is not None
    assert int(width[1]) <= 390


@pytest.fixture(scope="module")
def law_page(content: ReportContent) -> ReportContent:
    assert content.fit is not None
    assert content.ladder is not None
    runs = Ladder({**content.ladder.columns, "run": [HOSTILE] * len(content.ladder)}, HOSTILE)
    return law_content(content.fit, runs, HOSTILE)


def test_a_laws_page_is_drawn_without_a_word_on_the_console(law_page: ReportContent, tmp_path: Path) -> None:
    page = tmp_path / "law.html"
    write_report(page, law_page)
    html, log = dump(page, tmp_path)
    parts = re.split(r'data-chart="', html)[1:]
    drawn = [part.split('"')[0] for part in parts if 'class="main-svg"' in part.split("<figcaption")[0]]
    profiles = [f"profile_{number}" for number in range(len(law_page.profiles))]
    assert drawn == [*CHARTS[1:-1], "backtest", "backtest_errors", *profiles]
    assert "CONSOLE" not in log
    assert "<title>taken" not in html


def test_a_laws_page_is_no_wider_than_a_phone(law_page: ReportContent, tmp_path: Path) -> None:
    test_the_page_is_no_wider_than_a_phone(law_page, tmp_path, "en")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_of_all_studies_is_drawn_and_no_wider_than_a_phone(tmp_path: Path, language: Any) -> None:
    verdict = {
        "study": "context", "claim": HOSTILE, "statistic": HOSTILE, "threshold": 0.0, "level": 0.9, "runs": 24,
        "rows": [{"model": HOSTILE, "read": read, "distance": read**-0.2} for read in (1.0, 4.0, 16.0)],
        "findings": {}, "notes": [HOSTILE], "meaning": HOSTILE, "more": 1.0, "verdict": "fails",
        "effect": -0.2, "low": -0.3, "high": -0.1,
    }  # fmt: skip
    parts = tuple(study_part(name, verdict) for name in ("context", HOSTILE))
    page, wrapper = tmp_path / "report.html", tmp_path / "phone.html"
    finding = {
        "name": "size", "source": "Kaplan", "said": HOSTILE, "published": "0.73", "value": 0.8, "low": 0.7, "high": 0.9,
        "shown": "not shown", "read": HOSTILE, "why": HOSTILE,
    }  # fmt: skip
    published = {"runs": 24, "level": 0.9, "findings": [finding]}
    write_paper(page, PaperContent(HOSTILE, parts, published=published, language=language))
    wrapper.write_text(
        "<body><iframe src='report.html' width=390 height=800 style='border:0' onload=\""
        "const page = this.contentDocument; document.body.dataset.width = page.documentElement.scrollWidth;"
        "document.body.dataset.charts = [...page.querySelectorAll('.chart')]"
        ".filter(chart => chart.querySelector('.main-svg')).length;"
        "document.body.dataset.beside = Math.max(...[...page.querySelectorAll('.prose')]"
        '.map(table => table.scrollWidth - table.clientWidth))"></iframe></body>'
    )
    html, log = dump(wrapper, tmp_path, "--allow-file-access-from-files")
    assert int(re.findall(r'data-width="(\d+)"', html)[0]) <= 390
    assert re.findall(r'data-charts="(\d+)"', html) == ["4"]
    assert re.findall(r'data-beside="(-?\d+)"', html) == ["0"]
    assert "CONSOLE" not in log
    assert "<title>taken" not in html
