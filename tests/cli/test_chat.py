"""`chidu chat`: what was said before is known, Ctrl-C stops an answer alone, the terminal stays as it was."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chidu.cli.chat import talk
from chidu.errors import ContextError
from chidu.inference import Conversation, Piece, Sampling

Call = Any


class Echo:
    """Says how many messages it was given, and the last; its context holds five messages."""

    name = "echo"
    context_length = 5

    def write(self, prompt: Any, sampling: Sampling) -> Iterator[Piece]:
        if len(prompt.turns) > 5:
            raise ContextError(
                f"the prompt is {len(prompt.turns)} tokens long; the model's context holds 5: shorten it"
            )
        return iter([Piece(f"{len(prompt.turns)} "), Piece(prompt.turns[-1].content, "stop")])


def test_a_conversation_is_remembered_until_the_context_is_full(capsys: pytest.CaptureFixture[str]) -> None:
    talk(Echo(), Sampling(), iter(["a", "", "b", "/clear", "c", "d", "e", "f", "/quit", "g"]), "be brief")  # type: ignore[arg-type]
    told = capsys.readouterr()
    assert told.out == "2 a\n4 b\n2 c\n4 d\n4 e\n4 f\n"
    assert told.err.count("the oldest message and its answer are left out") == 2


def test_a_message_that_is_too_long_alone_is_an_error() -> None:
    class Deaf(Echo):
        def write(self, prompt: Conversation, sampling: Sampling) -> Iterator[Piece]:
            raise ContextError("the prompt is 9 tokens long; the model's context holds 5: shorten it")

    with pytest.raises(ContextError):
        talk(Deaf(), Sampling(), iter(["a"]), None)  # type: ignore[arg-type]


def test_a_model_without_chat_says_so(call: Call, saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "said").write_text("hello\n")
    with (tmp_path / "said").open() as said:
        monkeypatch.setattr(sys, "stdin", said)
        assert "was taught no chat" in call("chat", saved).complaint


SLOW = """
import sys, time
import chidu.inference
from chidu.inference import Piece

class Slow:
    name, context_length = "slow", None
    def write(self, prompt, sampling):
        yield Piece(f"heard {len(prompt.turns)}: ")
        for word in ["quick"] if prompt.turns[-1].content == "short" else ["word "] * 1000:
            time.sleep(0.02)
            yield Piece(word)
        yield Piece("", "stop")

chidu.inference.open_engine = lambda _: Slow()
import chidu.cli

sys.argv = ["chidu", "chat"]
chidu.cli.main()
"""


def test_ctrl_c_stops_the_answer_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=tmp_path
    )
    heard = b""

    def until(words: bytes, times: int = 1) -> None:
        nonlocal heard
        end = time.monotonic() + 60
        while heard.count(words) < times:
            assert time.monotonic() < end, heard
            if select.select([ours], [], [], 0.1)[0]:
                heard += os.read(ours, 4096)

    try:
        until(b"> ")
        os.write(ours, b"long\n")
        until(b"word ", 3)
        child.send_signal(signal.SIGINT)
        until(b"(stopped)")
        until(b"> ", 2)
        os.write(ours, b"short\n")
        until(b"heard 3: quick")
        until(b"> ", 3)
        os.write(ours, b"\x04")
        assert child.wait(30) == 0
        assert b"Traceback" not in heard
        assert termios.tcgetattr(theirs) == before
    finally:
        child.kill()
        child.wait()
        os.close(ours)
        os.close(theirs)
