"""The user's own text, and all that can be wrong with it."""

from __future__ import annotations

import gzip
import importlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from chidu.corpus import Document, Dropped, fingerprint_paths, text_files
from chidu.errors import TextError


def read(paths: Sequence[str | Path]) -> tuple[list[Document], list[Dropped]]:
    items = list(text_files(paths))
    return [one for one in items if isinstance(one, Document)], [one for one in items if isinstance(one, Dropped)]


def test_every_kind_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_text("plain text", encoding="utf-8")
    (tmp_path / "b" / "c.md").write_bytes("\ufeff# 标题".encode())
    lines = [{"text": "第一行", "licence": "CC0-1.0", "language": "zh"}, {"text": "second", "license": "MIT"}]
    content = "\n\n".join(json.dumps(one, ensure_ascii=False) for one in lines).encode()
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "e.txt.gz").write_bytes(gzip.compress(b"squeezed"))
    documents, dropped = read([tmp_path])
    assert not dropped
    assert [one.text for one in documents] == ["plain text", "第一行", "second", "squeezed", "# 标题"]
    assert [one.licence for one in documents][1:3] == ["CC0-1.0", "MIT"]
    assert documents[1].language == "zh"
    assert documents[2].where.endswith("d.jsonl.gz:3")


def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("good", encoding="utf-8")
    (tmp_path / "gb.txt").write_bytes("abc尺度".encode("gb18030"))
    (tmp_path / "sixteen.txt").write_bytes("text".encode("utf-16"))
    (tmp_path / "binary.md").write_bytes(b"ab\0cd")
    (tmp_path / "page.html").write_bytes(b"<p>")
    (tmp_path / ".hidden.txt").write_bytes(b"hidden")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.txt").write_bytes(b"hidden")
    (tmp_path / "torn.txt.gz").write_bytes(gzip.compress(b"text" * 100)[:-12])
    (tmp_path / "false.md.gz").write_bytes(b"no gzip")
    lines = [b'{"text": "fine"}', b"{broken", b'{"txt": 1}', b'{"text": 5}', b"[1]", b'{"text": "\xff"}']
    (tmp_path / "l.jsonl").write_bytes(b"\n".join(lines))
    documents, dropped = read([tmp_path])
    assert [one.text for one in documents] == ["good", "fine"]
    reasons = {Path(one.where).name: (one.reason, one.detail) for one in dropped}
    assert reasons["gb.txt"] == ("not UTF-8", "byte 3")
    assert reasons["sixteen.txt"][0] == "not UTF-8"
    assert "UTF-16" in reasons["sixteen.txt"][1]
    assert reasons["binary.md"][0] == "binary (holds NUL bytes)"
    assert reasons["page.html"][0] == "not a .txt, .md or .jsonl file"
    assert reasons[".hidden.txt"][0] == "hidden file"
    assert reasons[".git"][0] == "hidden folder"
    assert reasons["torn.txt.gz"][0] == reasons["false.md.gz"][0] == "damaged gzip file"
    assert reasons["l.jsonl:2"][0] == "line is not JSON"
    assert reasons["l.jsonl:3"][0] == reasons["l.jsonl:4"][0] == reasons["l.jsonl:5"][0] == 'line has no "text"'
    assert reasons["l.jsonl:6"] == ("not UTF-8", "byte 10")
    assert len(dropped) == 13


def one_line(paths: Sequence[str | Path]) -> str:
    with pytest.raises(TextError) as caught:
        list(text_files(paths))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    message = one_line([tmp_path / "nowhere"])
    assert "nowhere does not exist" in message
    with pytest.raises(TextError):
        fingerprint_paths([tmp_path / "nowhere"])


def test_nothing_but_gb18030_says_how_to_convert(tmp_path: Path) -> None:
    (tmp_path / "旧.txt").write_bytes("尺度".encode("gb18030"))
    message = one_line([tmp_path])
    assert "旧.txt" in message
    assert "not UTF-8 (byte 0)" in message
    assert "iconv -f GB18030" in message
    assert "-f BIG5" in message


def test_nothing_but_utf16_says_how_to_convert(tmp_path: Path) -> None:
    (tmp_path / "旧.txt").write_bytes("尺度".encode("utf-16"))
    message = one_line([tmp_path])
    assert "iconv -f UTF-16 -t UTF-8" in message
    assert "GB18030" not in message


def test_lines_in_utf16_are_one_row(tmp_path: Path) -> None:
    content = '{"text": "第一行"}\n{"text": "第二行"}\n'.encode("utf-16")
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "c.txt").write_text("plain text", encoding="utf-8")
    _, dropped = read([tmp_path])
    assert [Path(one.where).name for one in dropped] == ["a.jsonl", "b.jsonl.gz"]
    assert {(one.reason, one.bytes) for one in dropped} == {("not UTF-8", len(content))}


def test_the_text_is_named_and_not_the_picture_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    (tmp_path / "b.txt").write_bytes("尺度".encode("gb18030"))
    assert "b.txt: not UTF-8" in one_line([tmp_path])


def test_an_empty_folder_and_an_empty_file(tmp_path: Path) -> None:
    assert "no .txt, .md or .jsonl file here" in one_line([tmp_path])
    (tmp_path / "empty.jsonl").write_bytes(b"")
    assert "no .txt" in one_line([tmp_path])


def test_a_file_of_another_kind_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "book.pdf").write_bytes(b"%PDF")
    assert "give .txt, .md or .jsonl" in one_line([tmp_path / "book.pdf"])


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("once", encoding="utf-8")
    assert len(read([tmp_path, tmp_path / "a.txt"])[0]) == 1


def test_a_name_that_is_no_utf8_is_no_trouble(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.txt"
    try:
        with open(path, "wb") as file:  # noqa: PTH123 - pathlib takes no bytes
            file.write(b"text")
    except OSError:
        pytest.skip("this file system takes no such names")
    documents, _ = read([tmp_path])
    documents[0].source.encode()
    assert fingerprint_paths([tmp_path])


def test_the_fingerprint_sees_contents_and_names(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one", encoding="utf-8")
    before = fingerprint_paths([tmp_path])
    assert fingerprint_paths([tmp_path]) == before
    path.write_text("two", encoding="utf-8")
    changed = fingerprint_paths([tmp_path])
    path.rename(tmp_path / "b.txt")
    assert len({before, changed, fingerprint_paths([tmp_path])}) == 3


def test_progress_ends_at_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    seen: list[float] = []
    list(text_files([tmp_path], progress=lambda fraction, words: seen.append(fraction)))
    assert seen == [1.0]


def test_a_file_that_can_not_be_read_stops_no_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("Some text.")
    (tmp_path / "b.txt").write_text("Hidden from us.")
    reader = importlib.import_module("chidu.corpus.text_files")
    digest = reader.file_digest

    def refuse(path: Path) -> str:
        if path.name == "b.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return digest(path)

    monkeypatch.setattr(reader, "file_digest", refuse)
    assert fingerprint_paths([tmp_path]) != fingerprint_paths([tmp_path / "a.txt"])
