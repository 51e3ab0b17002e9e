"""`chidu translate` and `chidu train --pairs` on the command line: what is printed, and bad input in one line."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chidu.inference

Call = Any


class Shouter:
    """An engine and a translator at once: it translates by capitals."""

    name = "shouter"

    def check(self, source: str, target: str) -> None: ...

    def __call__(self, sentence: str, source: str, target: str) -> str:
        return sentence.upper()


@pytest.fixture
def shouter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chidu.inference, "open_engine", lambda _name: Shouter())
    monkeypatch.setattr(chidu.inference, "translator_of", lambda engine: engine)


@pytest.mark.usefixtures("shouter")
def test_files_texts_and_pipes_are_translated(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--to", "de", "--from", "en", "--model", "shouter"]
    Path("a.md").write_text("# A title\n\nSome words.  \nUse `code`.\n", encoding="utf-8")
    told = call("translate", "a.md", *words)
    assert (told.code, told.out) == (0, "# A TITLE\n\nSOME WORDS.  \nUSE `code`.\n")
    assert told.err.splitlines()[-1] == (
        "en to de: 3 sentences; left as they were: 0 sentences, and 1 piece of code and the like"
    )
    assert call("translate", "a.md", *words, "--output", "b.md").out == ""
    assert Path("b.md").read_text() == told.out
    assert sorted(path.name for path in Path().iterdir()) == ["a.md", "b.md"]
    assert call("translate", "Some words.", *words).out == "SOME WORDS.\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"From a pipe.\n")))
    assert call("translate", *words).out == "FROM A PIPE.\n"
    told = call("translate", "This is surely an English sentence.", "--to", "de", "--model", "shouter", "--json")
    document = json.loads(told.out)
    assert (document["source"], document["detected"], document["model"]) == ("en", True, "shouter")
    assert document["sentences"] == [
        {"source": "This is surely an English sentence.", "translation": document["translation"], "line": 1}
    ]
    assert "detected en to de" in told.err


@pytest.mark.usefixtures("shouter")
def test_the_text_is_never_its_own_output(call: Call) -> None:
    Path("a.md").write_text("Some words.\n")
    Path("folder").mkdir()
    Path("same.md").hardlink_to("a.md")
    Path("link.md").symlink_to("a.md")
    for output in ("a.md", "folder/../a.md", "same.md", "link.md"):
        told = call("translate", "a.md", "--to", "de", "--from", "en", "--model", "shouter", "--output", output)
        assert f"--output is the text itself, {Path(output)}: name another file" in told.complaint
    assert Path("a.md").read_text() == "Some words.\n"


def test_a_translation_that_is_stopped_goes_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Stopped(Shouter):
        def __call__(self, sentence: str, source: str, target: str) -> str:
            if len(asked) == 3:
                raise KeyboardInterrupt
            asked.append(sentence)
            return sentence.upper()

    monkeypatch.setattr(chidu.inference, "translator_of", lambda engine: engine)
    text = "\n\n".join(f"Sentence {word}." for word in ("one", "two", "three", "four", "five"))
    Path("a.md").write_text(text)
    words = ["translate", "a.md", "--to", "de", "--from", "en", "--model", "m", "--output", "b.md"]
    monkeypatch.setattr(chidu.inference, "open_engine", lambda _name: Stopped())
    assert call(*words).code != 0
    assert Path("b.md.part").is_file()
    assert not Path("b.md").exists()
    asked.clear()
    told = call(*words)
    assert told.code == 0
    assert asked == ["Sentence four.", "Sentence five."]
    assert Path("b.md").read_text() == text.upper()
    assert "3 sentences in b.md.part: going on behind them" in told.err
    assert not Path("b.md.part").exists()
    Path("b.md.part").write_text("my own notes")
    assert "b.md.part was not left by work under way: move it" in call(*words).complaint
    assert Path("b.md.part").read_text() == "my own notes"


@pytest.mark.usefixtures("shouter")
def test_texts_that_are_none_and_languages_unknown_are_named(call: Call) -> None:
    Path("blob").write_bytes(b"a\0b")
    Path("latin").write_bytes("café".encode("latin-1"))
    Path("blank").write_text(" \n")
    Path("large").write_bytes(b"a. " * 17_000_000)
    Path("folder").mkdir()
    for words, why in (
        (["blob", "--to", "zh"], "blob is binary (holds NUL bytes)"),
        (["latin", "--to", "zh"], "latin is not UTF-8 (unexpected end of data at byte 3): convert it"),
        (["blank", "--to", "zh"], "the text has no words"),
        (["", "--to", "zh"], "the text has no words"),
        (["large", "--to", "zh"], "large has 51.0 MB, more than 20.0 MB: cut it"),
        (["folder", "--to", "zh"], "folder is no file"),
        (["A text."], "--to is missing"),
        (["A text.", "--to", "elvish"], "--to: 'elvish' is no language known here"),
        (["A text.", "--to", "zh", "--from", "??"], "--from: '??' is no language known here"),
        (["Vq zk", "--to", "zh"], "the text's language can't be told: name it (--from, or source)"),
    ):
        assert why in call("translate", *words, "--model", "shouter").complaint


def test_without_a_model_it_is_said_what_to_do(call: Call) -> None:
    complaint = call("translate", "A text.", "--to", "zh").complaint
    assert "there is no translation model (chidu-work/translation/model is not there): teach one" in complaint


def test_pairs_go_with_few_other_flags(call: Call) -> None:
    Path("a.jsonl").write_text('{"en": "One.", "zh": "一。"}\n')
    for words, why in (
        (["--pairs", "a.jsonl", "--text", "a.txt"], "do not go with --pairs"),
        (["--pairs", "a.jsonl", "--dry-run"], "do not go with --pairs"),
        (["--params", "3M"], "are for translation models: add --pairs"),
        (["--pairs", "a.jsonl", "--params", "many"], "'many' is not a number"),
        (["--pairs", "a.jsonl", "--minutes", "0"], "minutes is 0; it must be from 0.1 to 600"),
        (["--pairs", "none.jsonl"], "none.jsonl: no such file or folder"),
        (["--pairs", "a.jsonl"], "fewer than two pairs are left (none read)"),
    ):
        assert why in call("train", "--work", "w", *words).complaint


@pytest.fixture
def heeded() -> Iterator[None]:
    """Ctrl-C as it was before: once stopped, the program heeds it no more."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("flags", "is_kept"),
    [(["--output", "b.md"], True), (["--output=b.md"], True), (["--output", "/dev/null"], False), ([], False)],
)
def test_who_stops_a_translation_is_told_whether_it_goes_on(
    call: Call, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int, flags: list[str], is_kept: bool
) -> None:
    class Stopped(Shouter):
        def __call__(self, sentence: str, source: str, target: str) -> str:
            if sentence == "Two.":
                signal.raise_signal(number)
            return sentence.upper()

    monkeypatch.setattr(chidu.inference, "open_engine", lambda _name: Stopped())
    monkeypatch.setattr(chidu.inference, "translator_of", lambda engine: engine)
    Path("a.md").write_text("One.\n\nTwo.\n")
    told = call("translate", "a.md", "--to", "de", "--from", "en", "--model", "m", *flags)
    hint = "; run the same command again to go on from here" if is_kept else ""
    assert (told.code, told.err.splitlines()[-1]) == (code, f"chidu: interrupted{hint}")
    assert Path("b.md.part").exists() == is_kept


@pytest.mark.usefixtures("heeded")
def test_nothing_goes_on_where_nothing_was_done(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Shouter):
        def __call__(self, sentence: str, source: str, target: str) -> str:
            signal.raise_signal(signal.SIGTERM)
            return sentence

    monkeypatch.setattr(chidu.inference, "open_engine", lambda _name: Stopped())
    monkeypatch.setattr(chidu.inference, "translator_of", lambda engine: engine)
    told = call("translate", "One.", "--to", "de", "--from", "en", "--model", "m", "--output", "b.md")
    assert told.err.splitlines()[-1] == "chidu: interrupted"
