"""Spans of a text that stand in a corpus: exactly those that a search through all of it finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.corpus import Document, Dropped
from chidu.errors import IndexFolderError, SettingError, TextError
from chidu.index import Trace, build_trace
from chidu.index.store import hold
from chidu.runs.record import read_json, write_json

POEM = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
LETTERS = st.text(st.sampled_from("aab 河海𠀀\n"), max_size=40)


def brute(texts: list[str], asked: str, shortest: int) -> list[tuple[int, int, int]]:
    """Return start, end and count of every maximal span, by trying all."""
    found: list[tuple[int, int, int]] = []
    for start in range(len(asked)):
        for end in range(len(asked), start, -1):
            part = asked[start:end]
            if len(part.encode()) >= shortest and any(part in text for text in texts):
                if not found or found[-1][1] < end:
                    count = sum(text.startswith(part, place) for text in texts for place in range(len(text)))
                    found.append((start, end, count))
                break
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(LETTERS, min_size=1, max_size=6), LETTERS, st.integers(2, 8), st.sampled_from([60, 10_000]))
def test_spans_are_those_of_brute_force(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], asked: str, shortest: int, shard_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("trace")
    if not any(texts):
        return
    build_trace([Document(text, "s") for text in texts], folder, shard_bytes=shard_bytes)
    if not asked.strip():
        return
    with Trace(folder) as trace:
        spans = trace.spans(asked, shortest, most=100)
    assert [(one.start, one.end, one.count) for one in spans] == brute(texts, asked, shortest)
    for one in spans:
        assert one.text == asked[one.start : one.end]
        assert {place.id for place in one.places} == {Document(text, "s").id for text in texts if one.text in text}


def test_a_span_has_its_document_licence_and_source(tmp_path: Path) -> None:
    documents = [
        Document("Nothing of it.", "a.txt", "MIT"),
        Dropped("b.txt", "not UTF-8"),
        Document(f"唐诗：{POEM}", "poems", "CC0-1.0", where="poems.txt:7"),
    ]
    facts = build_trace(documents, tmp_path)
    assert (facts["documents"], facts["bytes"]) == (2, 14 + 9 + len(POEM.encode()))
    with Trace(tmp_path) as trace:
        (span,) = trace.spans(f"他说：{POEM}好诗")
        (place,) = span.places
        assert (span.start, span.text, span.count) == (2, f"：{POEM}", 1)
        assert (place.source, place.licence, place.where, place.start) == ("poems", "CC0-1.0", "poems.txt:7", 6)
        assert place.id == documents[2].id
        assert trace.spans("quite another text, nowhere to be found in it") == []
        assert trace.spans("short") == []


def test_a_character_is_never_cut(tmp_path: Path) -> None:
    """河 and 沮 share their first two bytes, and 海 its last with others."""
    build_trace([Document("黄河入海流", "s")], tmp_path)
    with Trace(tmp_path) as trace:
        assert [one.text for one in trace.spans("黄沮入海", 2)] == ["黄", "入海"]


def test_no_span_crosses_documents(tmp_path: Path) -> None:
    build_trace([Document("one", "s"), Document("two", "s")], tmp_path)
    with Trace(tmp_path) as trace:
        assert [one.text for one in trace.spans("onetwo", 2)] == ["one", "two"]


def test_a_changed_corpus_sorts_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(f"{letter}" * 40, "s") for letter in "abcdef"]
    build_trace(documents, tmp_path, shard_bytes=50)
    sorted_texts: list[bytes] = []
    import pydivsufsort

    real = pydivsufsort.divsufsort
    monkeypatch.setattr(pydivsufsort, "divsufsort", lambda text: sorted_texts.append(text) or real(text))
    with Trace(tmp_path) as before:
        build_trace([*documents[:2], Document("new" * 15, "s"), *documents[3:]], tmp_path, shard_bytes=50)
        assert sorted_texts == [b"new" * 15 + b"\xff"]
        assert len(before.spans("c" * 40)) == 1
    with Trace(tmp_path) as after:
        assert after.spans("c" * 40) == []
        assert len(after.spans("newnew" * 6)) == 1
    assert len(list(tmp_path.glob("shard-*.text"))) == 6


KILLED = """
    import sys
    import time
    import pydivsufsort
    from chidu.corpus import Document
    from chidu.index import build_trace

    real, count = pydivsufsort.divsufsort, 0

    def slow(text):
        global count
        count += 1
        if count == 3:
            print("now", flush=True)
            time.sleep(60)
        return real(text)

    pydivsufsort.divsufsort = slow
    build_trace([Document(letter * 40, "s") for letter in "abcdef"], sys.argv[1], shard_bytes=50)
"""


def test_a_killed_making_is_named_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    with pytest.raises(IndexFolderError, match="never finished"):
        Trace(tmp_path)
    import pydivsufsort

    real, count = pydivsufsort.divsufsort, [0]

    def counted(text: bytes) -> object:
        count[0] += 1
        return real(text)

    monkeypatch.setattr(pydivsufsort, "divsufsort", counted)
    build_trace([Document(letter * 40, "s") for letter in "abcdef"], tmp_path, shard_bytes=50)
    assert count == [4]
    with Trace(tmp_path) as trace:
        assert [one.text for one in trace.spans("x" + "f" * 40)] == ["f" * 40]


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="no document with text"):
        build_trace([Document("", "s"), Dropped("a", "why")], tmp_path / "none")
    with pytest.raises(SettingError, match="shard_bytes"):
        build_trace([], tmp_path / "none", shard_bytes=0)
    with pytest.raises(IndexFolderError, match="holds no trace"):
        Trace(tmp_path / "nowhere")
    folder = tmp_path / "trace"
    build_trace([Document("some text", "s")], folder)
    with Trace(folder) as trace:
        with pytest.raises(TextError, match="empty"):
            trace.spans("\n")
        with pytest.raises(SettingError, match="shortest is 1"):
            trace.spans("text", 1)
    with hold(folder, "trace.json"), pytest.raises(IndexFolderError, match="another chidu process"):
        build_trace([Document("other", "s")], folder)
    os.truncate(next(folder.glob("*.suffixes")), 8)
    with pytest.raises(IndexFolderError, match=r"damaged .*: delete it"):
        Trace(folder)
    write_json(folder / "trace.json", dict(read_json(folder / "trace.json")) | {"chidu_trace": 2})
    with pytest.raises(IndexFolderError, match="newer Chidu"):
        Trace(folder)
    (folder / "trace.json").write_text("{}")
    with pytest.raises(IndexFolderError, match="damaged"):
        Trace(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    with pytest.raises(IndexFolderError, match="holds other files"):
        build_trace([Document("text", "s")], tmp_path / "other")
