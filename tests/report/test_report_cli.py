"""`chidu report` on a table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from chidu.cli.report import command
from chidu.errors import SettingError
from chidu.report import ReportContent

APP = typer.Typer()
APP.command()(command)


@pytest.fixture
def table(content: ReportContent, tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    content.ladder.write(path)
    return path


def test_table_becomes_a_page(table: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(APP, [str(table), "--output", str(page), "--language", "zh", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"report": str(page), "bytes": page.stat().st_size}
    html = page.read_text(encoding="utf-8")
    for name in ("ladder", "isoflop", "residuals", "law", "plan"):
        assert f'<section id="{name}"' in html


def test_a_page_does_not_overwrite_its_table(table: Path, tmp_path: Path) -> None:
    before = table.read_bytes()
    for output, words in ((table, "would be lost"), (tmp_path, "folder")):
        done = CliRunner().invoke(APP, [str(table), "--output", str(output)])
        assert isinstance(done.exception, SettingError)
        assert words in str(done.exception)
    assert table.read_bytes() == before


def test_wants_a_table_or_a_folder(table: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(APP, []).exit_code == 2
    assert CliRunner().invoke(APP, [str(table), "--work", str(tmp_path)]).exit_code == 2


def test_verb_loads_nothing_heavy() -> None:
    check = "import chidu.cli.report, sys; print(sorted({'numpy', 'plotly', 'jinja2', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
