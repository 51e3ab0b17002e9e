"""What long verbs tell where no terminal is: the first line soon, and the time that is left by what is done now."""

from __future__ import annotations

import time

import pytest

from chidu.cli.voice import LineVoice, open_voice


def test_the_first_line_comes_though_nothing_is_done_yet(capfd: pytest.CaptureFixture[str]) -> None:
    assert LineVoice.FIRST <= 3
    voice = LineVoice()
    voice.FIRST = 0.05
    voice.progress("summarize", 0.25, "part 2 of 8", None)
    assert capfd.readouterr().err == ""
    told, end = "", time.monotonic() + 20
    while not told and time.monotonic() < end:
        time.sleep(0.01)
        told = capfd.readouterr().err
    assert told == "summarize: 25% part 2 of 8\n"
    # The next is due 15 seconds later.
    voice.progress("summarize", 0.5, "part 4 of 8", None)
    time.sleep(0.1)
    assert capfd.readouterr().err == ""
    voice.close()


def test_short_work_tells_nothing(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineVoice, "FIRST", 0.05)
    with open_voice() as voice:
        voice.progress("translate", 0.0, "0 sentences", None)
        voice.progress("translate", 1.0, "", None)
        # The next stage is given up before its first line.
        voice.progress("sentences", 0.5, "", None)
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_each_text_of_several_has_its_own_time(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    voice = LineVoice()
    voice.progress("summarize", 0.0, "part 1 of 2", None)
    voice.progress("summarize", 1.0, "2 parts", None)
    now = 1000.0
    voice.progress("summarize", 0.0, "part 1 of 2", None)
    now = 1020.0
    voice.progress("summarize", 0.5, "part 2 of 2", None)
    voice.close()
    assert capfd.readouterr().err == "summarize: 50% part 2 of 2, 20 s left\n"
