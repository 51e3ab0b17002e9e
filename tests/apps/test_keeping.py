"""Pieces kept while a text is at work: killed wherever it is, what goes on ends as what was never stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chidu.inference
from chidu.apps import KeptPieces, translate
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


def translated(translator: Numbered, path: Path | None, text: str = TEXT, model: str = "m") -> str:
    engine: Any = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chidu.inference, "translator_of", lambda _engine: translator)
        kept = KeptPieces(path)
        return translate(text, target="zh", source="en", engine=engine, model=model, kept=kept).translation


@pytest.mark.parametrize("dies_at", [0, 1, 7, 11])
def test_a_killed_translation_ends_as_one_that_was_not(tmp_path: Path, dies_at: int) -> None:
    path = tmp_path / "out.part"
    child = os.fork()
    if child == 0:
        translated(Numbered(dies_at), path)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    second = Numbered()
    assert translated(second, path) == translated(Numbered(), None)
    assert second.asked == 12 - dies_at
    KeptPieces(path).forget()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_goes_by_before_the_first_word_of_progress(tmp_path: Path) -> None:
    def first_told(path: Path) -> float:
        told: list[float] = []
        engine: Any = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chidu.inference, "translator_of", lambda _engine: Numbered())
            translate(
                TEXT, target="zh", source="en", engine=engine, model="m", kept=KeptPieces(path),
                progress=lambda done, _words: told.append(done),
            )  # fmt: skip
        return told[0] if told else 1.0

    path = tmp_path / "out.part"
    assert first_told(path) == 0.0
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:8]))
    assert first_told(path) > 0.4
    assert first_told(path) == 1.0


@given(st.integers(0, 2000), st.binary(max_size=6))
@settings(max_examples=40)
def test_a_torn_file_costs_work_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, more: bytes
) -> None:
    path = tmp_path_factory.mktemp("torn") / "out.part"
    wanted = translated(Numbered(), path)
    content = path.read_bytes()
    head = len(content.splitlines(keepends=True)[0])
    path.write_bytes(content[: min(cut, len(content))] + (more if cut > head else b""))
    assert translated(Numbered(), path) == wanted
    assert path.read_bytes() == content


def test_only_what_is_new_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "out.part"
    translated(Numbered(), path)
    for model, text, new in (("another", TEXT, 12), ("m", TEXT, 0), ("m", f"{TEXT} One more is here.", 1)):
        translator = Numbered()
        assert translated(translator, path, text, model) == translated(Numbered(), None, text)
        assert translator.asked == new


def test_somebodys_own_file_stays(tmp_path: Path) -> None:
    (tmp_path / "out.part").write_text("notes")
    with pytest.raises(TextError, match="was not left by work under way: move it"):
        translated(Numbered(), tmp_path / "out.part")
    assert (tmp_path / "out.part").read_text() == "notes"
