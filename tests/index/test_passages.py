"""Passages: nothing is lost, nothing is too long, and cuts lie where the text pauses."""

from __future__ import annotations

import gzip
import json
import os
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.corpus import Dropped
from chidu.errors import TextError
from chidu.index.passage import Line, Passage, cut_lines
from chidu.index.reading import File, find_files, read_passages


def read(path: Path, longest: int = 1_000, most_bytes: int = 10**8) -> list[Passage]:
    found = list(read_passages(file_of(path), longest, most_bytes))
    assert all(isinstance(one, Passage) for one in found), found
    return found  # type: ignore[return-value]


def file_of(path: Path) -> File:
    (file,) = find_files([path], most_bytes=10**9)
    assert isinstance(file, File)
    return file


def reason(path: Path, most_bytes: int = 10**8) -> str:
    *_, last = read_passages(file_of(path), 1_000, most_bytes)
    assert isinstance(last, Dropped)
    return last.reason


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


TEXTS = st.text(st.sampled_from(list("ab c.\n\n。！，中文字é\U00020000")), max_size=3_000)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(20, 200), st.booleans())
def test_no_character_is_lost_and_no_passage_too_long(text: str, longest: int, is_code: bool) -> None:
    lines = [Line(number, line) for number, line in enumerate(text.split("\n"), 1)]
    passages = list(cut_lines(lines, longest, is_code=is_code))
    assert "".join("".join(one.text.split()) for one in passages) == "".join(text.split())
    for one in passages:
        assert 0 < len(one.text) <= longest
        held = "\n".join(text.split("\n")[one.first_line - 1 : one.last_line])
        assert "".join(one.text.split()) in "".join(held.split())
        assert one.text.strip()[0] in text.split("\n")[one.first_line - 1]
        assert one.text.strip()[-1] in text.split("\n")[one.last_line - 1]


def test_cuts_prefer_paragraphs_then_sentences() -> None:
    paragraphs = [" ".join(["Five words make one sentence."] * 10) for _ in range(6)]
    lines = [Line(1 + 2 * number, text) for number, text in enumerate(paragraphs)]
    blank = [line for one in lines for line in (one, Line(one.number + 1, ""))]
    whole = list(cut_lines(blank, 400))
    assert [one.text for one in whole] == paragraphs
    assert [(one.first_line, one.last_line) for one in whole] == [(n, n) for n in range(1, 12, 2)]
    for one in cut_lines([Line(1, " ".join(paragraphs))], 200):
        assert one.text.endswith(".")
        assert one.text.startswith("Five")


def test_chinese_is_cut_between_sentences_and_by_its_width() -> None:
    sentence = "模型越大，损失越低，但数据也要更多，他说：“就是这样。”"
    passages = list(cut_lines([Line(1, sentence * 60)], 400))
    assert len(passages) > 5
    assert all(one.text.endswith("。”") and one.text.startswith("模型") for one in passages)
    assert all(len(one.text) <= 200 for one in passages)


def test_hard_wrapped_sentences_are_not_torn(tmp_path: Path) -> None:
    words = ["This", "sentence", "is", "wrapped", "over", "several", "lines", "of", "its", "file", "and", "goes", "on."]
    lines = [" ".join((words * 60)[start : start + 7]) for start in range(0, 600, 7)]
    for one in read(write(tmp_path / "wrapped.txt", "\n".join(lines)), 300)[:-1]:
        assert one.text.replace("\n", " ").endswith("goes on.")


def test_markdown_headings_make_a_path_and_fences_hold_none(tmp_path: Path) -> None:
    text = (
        "Before.\n\n# Top\n\nOne.\n\n### Deep\n\n```sh\n# no heading\n```\n\n### Other\nTwo.\n\nUnder\n-----\nThree.\n"
    )
    found = [(one.heading, one.first_line, one.last_line) for one in read(write(tmp_path / "a.md", text))]
    assert found == [
        ("", 1, 1), ("Top", 3, 5), ("Top › Deep", 7, 11), ("Top › Other", 13, 14), ("Top › Under", 16, 18),
    ]  # fmt: skip


def test_a_heading_without_text_goes_along_with_the_next(tmp_path: Path) -> None:
    (one,) = read(write(tmp_path / "a.md", "# Top\n\n## Below\n\nText.\n"))
    assert (one.heading, one.text, one.first_line) == ("Top › Below", "# Top\n\n## Below\n\nText.", 1)
    (last,) = read(write(tmp_path / "b.md", "# Alone\n"))
    assert last.text == "# Alone"


def test_rst_titles_have_levels_in_the_order_of_their_marks(tmp_path: Path) -> None:
    text = (
        "=====\nTitle\n=====\n\nIntro.\n\nPart\n----\nOne.\n\nSub\n~~~\nTwo.\n\nNext\n----\nThree.\n\n----\n\nFour.\n"
    )
    found = [(one.heading, one.text.splitlines()[-1], one.first_line) for one in read(write(tmp_path / "a.rst", text))]
    assert found == [
        ("Title", "Intro.", 2), ("Title › Part", "One.", 7), ("Title › Part › Sub", "Two.", 11),
        ("Title › Next", "Four.", 15),
    ]  # fmt: skip


def test_html_says_what_a_page_says_with_lines_of_its_source(tmp_path: Path) -> None:
    page = (
        "<html><head><title>My\n page</title><style>p {}</style></head>\n<body><h1>One &amp; only</h1>\n"
        "<p>Some <b>bold</b>\ntext.</p><script>var hidden = '<p>x</p>';</script>\n<pre>\nkept  as\nit is</pre>"
        "<h2>二</h2><ul><li>first<li>second</ul>"
    )
    one, two = read(write(tmp_path / "a.html", page))
    assert (one.heading, one.first_line, one.last_line) == ("One & only", 1, 8)
    assert one.text == "My page\n\nOne & only\n\nSome bold text.\n\nkept  as\nit is"
    assert (two.heading, two.text, two.first_line) == ("One & only › 二", "二\n\nfirst\nsecond", 8)


def test_code_is_cut_at_definitions_with_what_stands_above_them(tmp_path: Path) -> None:
    code = "import os\n\n# Why it is so.\n@cached\ndef one(a):\n    return a\n\nclass Two:\n    def deep(self):\n"
    found = [(one.heading, one.first_line, one.last_line) for one in read(write(tmp_path / "a.py", code))]
    assert found == [("", 1, 1), ("def one(a)", 3, 6), ("class Two", 8, 9)]


def test_jsonl_lines_are_documents_and_bad_ones_are_listed(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "First.\nStill first.", "title": "T"}), "{", "", json.dumps({"txt": 1}), "[" * 99_999]
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    good, *bad = read_passages(file_of(path), 1_000, 10**8)
    assert good == Passage("First.\nStill first.", 1, 1, "T")
    assert [one.where.rpartition(":")[2] for one in bad if isinstance(one, Dropped)] == ["2", "4", "5"]


def test_line_ends_marks_and_forms_of_all_systems(tmp_path: Path) -> None:
    text = "\ufeffOne\r\ncafe\u0301\rthree  \n\n\n\n\n\nnine"
    one, two, three = (read(write(tmp_path / "a.txt", text))[0].text.split("\n")[n] for n in range(3))
    assert (one, two, three) == ("One", "café", "three")
    assert read(tmp_path / "a.txt")[0].last_line == 9


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.bin", b"text\0more", "binary (holds NUL bytes)"),
        ("a.pyc", b"\xcb\r\r\n\0\0\xff", "binary (holds NUL bytes)"),
        ("a.txt", "尺度".encode("gb18030"), "not UTF-8"),
        ("b.txt", "text".encode("utf-16"), "not UTF-8"),
        ("a.txt.gz", b"no gzip", "damaged gzip file"),
        ("b.txt.gz", gzip.compress(b"text" * 99, mtime=0)[:-9], "damaged gzip file"),
    ],
)
def test_what_is_no_text_is_left_out_with_its_reason(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    assert reason(write(tmp_path / name, content)) == why


def test_a_gzip_file_is_measured_unpacked(tmp_path: Path) -> None:
    path = write(tmp_path / "bomb.txt.gz", gzip.compress(b"bomb " * 1_000_000, mtime=0))
    assert path.stat().st_size < 100_000
    assert reason(path, most_bytes=1_000_000) == "larger than 1.0 MB"


def test_a_file_that_may_not_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", "text")
    file = file_of(path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    (one,) = read_passages(file, 1_000, 10**8)
    assert isinstance(one, Dropped)
    assert (one.reason, one.detail) == ("file can't be read", "Permission denied")


def test_every_file_of_a_folder_is_found_or_left_out(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", ".secret", ".git/config", "deep/c.py", "index/index.sqlite", "large.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, "x" * (2_000 if name == "large.txt" else 10))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round").symlink_to(tmp_path)
    found = list(find_files([tmp_path, tmp_path / "b.txt"], tmp_path / "index", most_bytes=1_000))
    files = [one.path.relative_to(tmp_path).as_posix() for one in found if isinstance(one, File)]
    assert files == ["a.md", "b.txt", "deep/c.py"]
    left = {Path(one.where).name: one.reason for one in found if isinstance(one, Dropped)}
    assert left == {
        ".secret": "hidden file", ".git": "hidden folder", "index": "the index itself",
        "large.txt": "larger than 1.0 kB", "pipe": "no regular file",
        "gone.txt": "file can't be read", "round": "link to a folder",
    }  # fmt: skip


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="does not exist"):
        list(find_files([tmp_path / "none"]))


@pytest.mark.parametrize("letter", ["a", "字", "é"])
def test_a_long_line_keeps_the_blanks_between_its_words(tmp_path: Path, letter: str) -> None:
    text = " ".join(letter * (1 + number % 9) for number in range(5_000))
    assert " ".join(one.text for one in read(write(tmp_path / "a.txt", text))) == text


@pytest.mark.parametrize("newline", ["\n", " "])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, newline: str) -> None:
    """Two files, one ten times the other, with lines or all in one line."""
    peaks = []
    for times in (500, 5_000):
        path = write(tmp_path / f"{times}.txt", ("A sentence of a long book. " * 4 + newline) * times)
        tracemalloc.start()
        count = sum(1 for _ in read_passages(file_of(path), 1_000, 10**8))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count > times // 12
    assert peaks[1] < 1.5 * peaks[0] + 50_000


def test_a_heading_of_a_lower_level_ends_at_a_higher_one() -> None:
    lines = [Line(n, f"h{n}", level, f"h{n}") for n, level in enumerate((1, 3, 3, 2), 1)]
    text = [one for line in lines for one in (line, Line(line.number, f"text {line.number}"))]
    assert [re.sub("[^h0-9 ]", "", one.heading).split() for one in cut_lines(text, 1_000)] == [
        ["h1"], ["h1", "h2"], ["h1", "h3"], ["h1", "h4"],
    ]  # fmt: skip
