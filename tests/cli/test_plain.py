"""Foreign text does not steer a terminal: no control character of it is printed, and no colour moves."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from chidu.cli import app, fail
from chidu.cli.plain import json_text, plain, plain_on_terminal

Call = Any

SOURCE = Path(__file__).parents[2] / "src" / "chidu"
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


@given(st.recursive(st.text(st.characters()), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_documents_steer_nothing_and_say_the_same(value: object) -> None:
    for indent in (None, 1):
        found = json_text(value, indent)
        assert json.loads(found) == value
        assert plain(found) == found
        found.encode()


def test_documents_stay_readable() -> None:
    assert json_text({"text": "尺度 café \x9b31m\x7f\u202e\ud800"}) == (
        r'{"text": "尺度 café \u009b31m\u007f\u202e\ud800"}'
    )


def test_every_document_of_the_command_line_is_written_so() -> None:
    writers = [path.name for path in SOURCE.glob("cli/*.py") if re.search(r"json\.dumps?\(", path.read_text())]
    assert writers == ["plain.py"]


def test_a_summary_keeps_control_characters_and_shows_them(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    prose = "The order \x1b[1mbold\x1b[0m makes letters bold\x9b0m.  \r\n\r\nA second\x07 sentence \u202estands here.\n"
    Path("a.txt").write_bytes(prose.encode())
    whole = "The order \x1b[1mbold\x1b[0m makes letters bold\x9b0m.\n\nA second\x07 sentence \u202estands here.\n"
    assert call("summarize", "a.txt").out == whole
    assert call("summarize", "a.txt", "--output", "b.txt").out == ""
    assert Path("b.txt").read_text() == whole
    (found,) = json.loads(call("summarize", "a.txt", "--json").out)["summaries"]
    assert (found["summary"], found["sentences"][1]["first_line"]) == (whole.rstrip(), 3)
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", screen)
    call("summarize", "a.txt")
    assert screen.getvalue() == ("The order ␛[1mbold␛[0m makes letters bold�0m.\n\nA second␇ sentence �stands here.\n")


def test_a_place_steers_nothing(call: Call) -> None:
    Path("kept").mkdir()
    Path("kept", "a\u202eb\x1b[2J\nc.md").write_text("# When it\u202e leaks\n\nThe kettle is red.\n")
    for verb in ("search", "answer"):
        told = call(verb, "is the kettle red?", "kept", "--embedder", "none", "--index", "i")
        assert told.code == 0
        assert re.search(r"kept/a�b␛\[2J␊c\.md:(1-)?3  When it� leaks\n", told.out)
        assert not {"\x1b", "\u202e"} & set(told.out + told.err)
