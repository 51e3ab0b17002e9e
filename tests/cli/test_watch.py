"""`chidu watch`: what is seen of a folder at every moment, by people and by programs, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import planted_work as planted

Call = Any


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if "live.sqlite" not in path.name}


def test_a_target_at_work_is_seen(call: Call, tmp_path: Path) -> None:
    work = tmp_path / "chidu-work"
    planted.until_target(work)
    before = files(work)
    with planted.training_target(work, 0.5, planted.Voice()):
        told = call("watch", "--once")
        found = json.loads(call("watch", "--json").out)
    assert (told.code, told.err) == (0, "")
    assert "\x1b" not in told.out
    lines = told.out.splitlines()
    assert lines[0].startswith("chidu-work · target ████████████░░░░░░░░░░░░ 50% · about ")
    assert any(line.startswith("w0064 ") for line in lines)
    assert re.search(r"^target █+░+ 50% · step 1,200 of 2,400 · 20 steps/s · 20.5k tokens/s", told.out, re.M)
    assert re.search(r"^should end at .* 90% interval .*inside the forecast's interval$", told.out, re.M)
    assert (found["state"], found["stage"], found["verdict"]) == ("at work", "target", "inside")
    assert found["target"]["step"] == 1200
    assert found["target"]["seconds_left"] == pytest.approx(60)
    assert found["estimate"]["low"] < found["estimate"]["loss"] < found["estimate"]["high"]
    assert {run["state"] for run in found["rungs"]} == {"done"}
    assert files(work) == before


def test_a_forecast_that_is_off_is_plain_without_colour(call: Call, tmp_path: Path) -> None:
    work = tmp_path / "chidu-work"
    planted.until_target(work, off=0.15)
    with planted.training_target(work, 0.9, planted.Voice()):
        out = " ".join(call("watch", "--once").out.split())
        verdict = json.loads(call("watch", "--json").out)["verdict"]
    assert "OUTSIDE: it does not meet the forecast's interval" in out
    assert "warning: the target should end at" in out
    assert verdict == "outside"


def test_it_ends_where_nobody_is_at_work_and_says_how_to_go_on(call: Call, tmp_path: Path) -> None:
    work = tmp_path / "chidu-work"
    planted.until_target(work)
    with planted.training_target(work, 0.4, planted.Voice()):
        pass
    told = call("watch")
    assert told.code == 0
    assert told.out.splitlines()[0].startswith("target 40%; target 40% · step 960 of 2,400 · training loss ")
    assert told.out.splitlines()[-1] == (
        "nobody is at work in chidu-work: it ended after the stage target; go on with chidu demo --work chidu-work"
    )
    planted.record(work, "report")
    assert call("watch").out.splitlines()[-1] == "finished: chidu report --work chidu-work draws the page again"


def test_a_ladder_at_work_is_seen(call: Call, tmp_path: Path) -> None:
    from chidu.runs.live import Live, LiveRecord, Steps

    work = tmp_path / "chidu-work"
    planted.until_ladder(work)
    with LiveRecord.open(work, pytest.fail) as live:
        live.stage("ladder", 0.0, "", 100.0)
        live.begin(["w0016", "w0016-600", "w0024"], "one")
        # The trunk of one size is past where the shortest run branches off, and that run is under way.
        live.steps(Steps("w0016", 0, 420, 5.0, 1.0, 4.2))
        live.steps(Steps("w0016", 420, 840, 4.8, 1.0, 4.2))
        live.steps(Steps("w0016-600", 420, 440, 4.5, 0.9, 0.2))
        live.steps(Steps("w0024", 0, 20, 6.0, 0.2, 0.4))
        live.stage("ladder", 0.1, "training w0024", 100.0)
        while not (seen := Live.read(work)) or len(seen.points) < 3:
            time.sleep(0.02)
        found = json.loads(call("watch", "--json").out)
        out = call("watch", "--once").out
    runs = {run["name"]: run for run in found["rungs"]}
    assert [(runs[name]["step"], runs[name]["state"]) for name in ("w0016-600", "w0016-1200", "w0024-600")] == [
        (440, "begun"),
        (840, "begun"),
        (20, "begun"),
    ]
    assert runs["w0016-600"]["training_loss"] == 4.5
    assert runs["w0016-600"]["steps_per_second"] == pytest.approx(100)
    assert runs["w0024-600"]["steps_per_second"] == pytest.approx(50)
    assert runs["w0032-600"]["state"] == "waiting"
    assert re.search(r"^w0016 +\S+ +73% +70% +35% ", out, re.M)
    assert found["target"]["step"] == 0
    assert found["forecast"] is None


@pytest.mark.parametrize("ended", ["killed", "error"])
def test_it_says_what_is_known_of_an_end(ended: str, call: Call, tmp_path: Path) -> None:
    import sqlite3

    work = tmp_path / "chidu-work"
    planted.until_target(work)
    with planted.training_target(work, 0.4, planted.Voice()):
        pass
    with sqlite3.connect(work / "live.sqlite") as connection:
        if ended == "killed":
            connection.execute("UPDATE state SET ended = NULL, beat = beat - 100")
        else:
            connection.execute("UPDATE state SET ended = 'the loss is nan at step 3'")
    connection.close()
    last = call("watch").out.splitlines()[-1]
    words = "not been heard of for 10" if ended == "killed" else "it ended with an error: the loss is nan at step 3"
    assert words in last


def test_what_can_not_be_watched_is_one_line(call: Call, tmp_path: Path) -> None:
    assert "chidu-work: no such folder: begin with chidu demo" in call("watch").complaint
    (tmp_path / "empty").mkdir()
    assert "has no ladder yet, and nobody is at work in it" in call("watch", "--work", "empty").complaint
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    assert "is no work folder" in call("watch", "--work", "other").complaint
    planted.until_target(tmp_path / "work")
    assert "is a folder: name a file in it" in call("watch", "--work", "work", "--page", ".").complaint
    (tmp_path / "notes.md").write_text("mine")
    assert "notes.md is a file that is no page" in call("watch", "--work", "work", "--page", "notes.md").complaint
    assert (tmp_path / "notes.md").read_text() == "mine"
    assert call("watch", "--every", "0").code == 2


def test_a_folder_that_goes_away_ends_it(call: Call, tmp_path: Path) -> None:
    work = tmp_path / "chidu-work"
    planted.until_target(work)
    with planted.training_target(work, 0.4, planted.Voice()):
        away = threading.Timer(0.5, work.rename, [tmp_path / "away"])
        away.start()
        told = call("watch", "--every", "0.2")
        away.join()
    assert "chidu-work: no such folder" in told.complaint


def test_the_page_reloads_only_while_somebody_is_at_work(call: Call, tmp_path: Path) -> None:
    work = tmp_path / "chidu-work"
    planted.until_target(work, off=0.15)
    page = tmp_path / "live.html"
    with planted.training_target(work, 0.9, planted.Voice()):
        assert call("watch", "--once", "--page", page).code == 0
        english = page.read_text(encoding="utf-8")
        assert call("watch", "--once", "--page", page, "--language", "zh").code == 0
        chinese = page.read_text(encoding="utf-8")
    for html in (english, chinese):
        assert '<meta http-equiv="refresh" content="10">' in html
        assert 'data-chart="live"' in html
    assert "90% of the target is trained. It should end at" in english
    assert "预计最终损失" in chinese
    assert "should end at" not in chinese
    assert call("watch", "--page", page).code == 0
    assert 'http-equiv="refresh"' not in page.read_text(encoding="utf-8")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_ctrl_c_gives_the_terminal_back(tmp_path: Path) -> None:
    work = tmp_path / "chidu-work"
    planted.until_target(work)
    ours, theirs = pty.openpty()
    with planted.training_target(work, 0.5, planted.Voice()):
        process = subprocess.Popen(
            [sys.executable, "-m", "chidu", "watch", "--work", str(work), "--every", "0.2"],
            stdout=theirs, stderr=theirs, stdin=theirs, env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        while b"should end at" not in shown:
            shown += os.read(ours, 65536)
        # While it draws, perhaps.
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            while more := os.read(ours, 65536):
                shown += more
        assert process.wait() == 130
    os.close(ours)
    text = shown.decode()
    assert "Traceback" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "no longer watching; the undertaking goes on" in text
