"""The page in a real browser: charts drawn, no errors, nothing run that was text, no wider than a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chidu.report import ReportContent, write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
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
    assert [part.split('"')[0] for part in parts] == ["forecast", "ladder", "isoflop", "residuals", "curves"]
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
