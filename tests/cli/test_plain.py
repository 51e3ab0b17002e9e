"""Foreign text does not steer a terminal: no control character of it is printed, and no colour moves."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from chidu.cli import app, fail
from chidu.cli.plain import plain, plain_on_terminal

STEERING = "\x1b]0;owned\x07\x1b[2J\x9b31m\rgone\x7f\x08"


@given(st.text())
def test_nothing_steers_and_nothing_moves(text: str) -> None:
    found = plain(text)
    assert len(found) == len(text)
    left = {character for character in found.replace("\r\n", "") if ord(character) < 32 or 127 <= ord(character) < 160}
    assert left <= {"\n", "\t"}
    assert not set(found) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert [one for one, other in zip(text, found, strict=True) if one != other and one.isprintable()] == []


def test_what_is_sent_to_a_file_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert plain_on_terminal(STEERING) == STEERING
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert plain_on_terminal("a\x1b[1m") == "a␛[1m"


def test_errors_and_searches_are_plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail(f"no such file: {STEERING}")
    assert "\x1b" not in (said := capsys.readouterr().err)
    assert "␛" in said
    (tmp_path / "a\x1b[2J.txt").write_text("The kettle\x1b[31m is red.\n")
    shown = CliRunner().invoke(
        app, ["search", "kettle", str(tmp_path), "--embedder", "none", "--index", str(tmp_path / "i")]
    )
    assert shown.exit_code == 0
    assert "kettle" in shown.stdout
    assert not {"\x1b", "\x07", "\x9b"} & set(shown.output)
