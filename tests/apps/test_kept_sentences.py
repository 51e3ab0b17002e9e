"""Sentences kept while a text is translated: killed wherever it is, what goes on ends as what was never stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chidu.inference
from chidu.apps import Keep, translate
from chidu.errors import TextError

TEXT = "\n\n".join(f"Sentence {number}, with `code {number}` and [a link](docs/{number}.md)." for number in range(12))


class Numbered:
    """Says of each sentence how long it is, and dies at the one it is told."""

    name = "numbered"

    def __init__(self, dies_at: int = -1) -> None:
        self.dies_at, self.asked = dies_at, 0

    def check(self, source: str, target: str) -> None: ...

    def __call__(self, sentence: str, source: str, target: str) -> str:
        if self.asked == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.asked += 1
        return f"{sentence} 译{len(sentence)}"


def translated(translator: Numbered, keep: Keep | None, text: str = TEXT) -> str:
    engine: Any = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chidu.inference, "translator_of", lambda _engine: translator)
        return translate(text, target="zh", source="en", engine=engine, keep=keep).translation


@pytest.mark.parametrize("dies_at", [0, 1, 7, 11])
def test_a_killed_translation_ends_as_one_that_was_not(tmp_path: Path, dies_at: int) -> None:
    keep = Keep(tmp_path / "out.part", "m")
    child = os.fork()
    if child == 0:
        translated(Numbered(dies_at), keep)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    second = Numbered()
    assert translated(second, keep) == translated(Numbered(), None)
    assert second.asked == 12 - dies_at
    keep.forget()
    assert list(tmp_path.iterdir()) == []


@given(st.integers(0, 2000), st.binary(max_size=6))
@settings(max_examples=40)
def test_a_torn_file_costs_work_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, more: bytes
) -> None:
    keep = Keep(tmp_path_factory.mktemp("torn") / "out.part", "m")
    wanted = translated(Numbered(), keep)
    content = keep.path.read_bytes()
    head = len(content.splitlines(keepends=True)[0])
    keep.path.write_bytes(content[: min(cut, len(content))] + (more if cut > head else b""))
    assert translated(Numbered(), keep) == wanted
    assert keep.path.read_bytes() == content


def test_another_text_model_or_language_begins_anew(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "out.part", "m")
    translated(Numbered(), keep)
    for other, text in ((Keep(keep.path, "another"), TEXT), (keep, f"{TEXT}\n")):
        told: list[str] = []
        translator = Numbered()
        translated(translator, Keep(other.path, other.model, told.append), text)
        assert (translator.asked, told) == (12, [])
    told = []
    translated(Numbered(), Keep(keep.path, "m", told.append), f"{TEXT}\n")
    assert told == [f"12 sentences of {keep.path} taken: going on behind them"]


def test_somebodys_own_file_stays(tmp_path: Path) -> None:
    (tmp_path / "out.part").write_text("notes")
    with pytest.raises(TextError, match="is no translation under way: move it"):
        translated(Numbered(), Keep(tmp_path / "out.part", "m"))
    assert (tmp_path / "out.part").read_text() == "notes"
