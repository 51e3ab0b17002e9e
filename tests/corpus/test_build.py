"""A corpus: what goes in comes out, or is listed; and the split is nobody's choice."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.corpus import Document, Dropped, build_corpus, read_lines
from chidu.corpus.build import rank
from chidu.corpus.lines import write_line
from chidu.corpus.snapshot import read_snapshot, write_snapshot
from chidu.errors import SettingError, TextError, WorkFolderError
from chidu.runs.record import open_whole

FILES = ("train.jsonl", "held_out.jsonl", "dropped.jsonl", "sources.json")


def many(count: int, source: str = "book.txt") -> list[Document | Dropped]:
    return [Document(f"Document {number} says something of its own. " * 20, source, "MIT") for number in range(count)]


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return list(read_lines(folder / f"{name}.jsonl"))


def test_in_is_kept_and_dropped(tmp_path: Path) -> None:
    items = [
        *many(200),
        *many(30, "copy.txt"),
        Document("too short", "short.txt", where="short.txt:7"),
        Document("", "empty.txt"),
        Dropped("bad.txt", "not UTF-8", "bad.txt", bytes=12, detail="byte 3"),
        Document("用户 a@example.com 的文件很长很长很长很长很长很长", "zh.txt", where="zh.txt"),
        Document("用户 b@example.com 的文件很长很长很长很长很长很长", "zh2.txt", where="zh2.txt"),
    ]
    summary = build_corpus(items, tmp_path)
    kept, dropped = lines(tmp_path, "train") + lines(tmp_path, "held_out"), lines(tmp_path, "dropped")
    assert summary["documents_in"] == len(items) == len(kept) + len(dropped)
    assert summary["documents_kept"] == len(kept) == 201
    assert {name: entry["documents"] for name, entry in summary["dropped"].items()} == {
        "duplicate": 31,
        "shorter than 40 bytes": 2,
        "not UTF-8": 1,
    }
    assert summary["redactions"] == {"email": 1}
    assert summary["languages"]["zh"]["documents"] == 1
    assert summary["bytes_in"] == summary["bytes_kept"] + sum(one["bytes"] for one in dropped)
    assert summary["bytes_kept"] == sum(len(one["text"].encode()) for one in kept)
    assert sum(side["documents"] for side in summary["split"].values()) == 201
    assert summary["licences"]["MIT"]["documents"] == 200
    assert {one["where"]: one["reason"] for one in dropped}["zh2.txt"] == "duplicate"
    assert not any("@" in one["text"] for one in kept)
    assert all(one["id"] == hashlib.sha256(one["text"].encode()).hexdigest() for one in kept)
    assert {one["name"]: one["documents"] for one in json.loads((tmp_path / "sources.json").read_text("utf-8"))} == {
        "book.txt": 200,
        "zh.txt": 1,
    }
    assert json.loads((tmp_path / "data_card.json").read_text("utf-8")) == summary
    page = (tmp_path / "DATA_CARD.md").read_text("utf-8")
    assert "near-duplicates are found by whole lines" in page
    assert summary["not_utf8"] == {"files": 1, "first": "bad.txt"}
    assert "Not in UTF-8, to be converted first: bad.txt (files: 1)." in page
    assert "| duplicate | 31 |" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "data_card.json", "DATA_CARD.md"])


def test_the_same_documents_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    build_corpus(many(100), tmp_path / "one")
    build_corpus(iter(reversed(many(100))), tmp_path / "two")
    build_corpus(many(100), tmp_path / "three", seed=1)
    one, two, three = ((tmp_path / name / "train.jsonl").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


def test_files_are_in_the_order_of_the_hash_and_held_out_is_the_lowest_share(tmp_path: Path) -> None:
    summary = build_corpus(many(500), tmp_path, seed=3, held_out_fraction=0.3)
    train = [rank(one["id"], 3) for one in lines(tmp_path, "train")]
    held_out = [rank(one["id"], 3) for one in lines(tmp_path, "held_out")]
    assert train == sorted(train)
    assert held_out == sorted(held_out)
    assert held_out[-1] < summary["held_out_share"] * 2**64 <= train[0]


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 10_000), min_size=30, max_size=60), st.integers(0, 5))
def test_the_split_depends_on_the_text_alone(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], seed: int
) -> None:
    texts = [f"Text {number} is about the number {number} and no other." for number in numbers]
    folder = tmp_path_factory.mktemp("split")
    documents = [Document(text, f"source {place}") for place, text in enumerate(texts)]
    share = build_corpus(documents, folder, seed=seed)["held_out_share"]
    expected = {text for text in texts if rank(Document(text, "x").id, seed) < share * 2**64}
    lowest = min(texts, key=lambda text: rank(Document(text, "x").id, seed))
    assert {one["text"] for one in lines(folder, "held_out")} == expected | {lowest}


def test_a_small_corpus_holds_out_a_fifth_and_a_large_one_two_megabytes(tmp_path: Path) -> None:
    assert build_corpus(many(100), tmp_path / "small")["held_out_share"] == 0.2
    large: list[Document | Dropped] = [Document(f"{number} " + "x" * 7_000, "s") for number in range(8_000)]
    summary = build_corpus(large, tmp_path / "large")
    assert summary["held_out_share"] * summary["bytes_kept"] == pytest.approx(2e6)
    assert summary["split"]["held_out"]["bytes"] == pytest.approx(2e6, rel=0.2)


@pytest.mark.parametrize(("count", "held_out"), [(1, 0), (2, 1), (3, 1)])
def test_few_documents_leave_something_on_each_side(tmp_path: Path, count: int, held_out: int) -> None:
    build_corpus(many(count), tmp_path)
    assert len(lines(tmp_path, "held_out")) == held_out
    assert len(lines(tmp_path, "train")) == count - held_out


def test_a_book_in_one_file_can_be_split(tmp_path: Path) -> None:
    book = "\n\n".join(f"第{number}回：" + "话说天下大势，分久必合，合久必分。" * 20 for number in range(200))
    summary = build_corpus([Document(book, "三国.txt", where="三国.txt")], tmp_path)
    assert summary["documents_kept"] > 5
    assert summary["split"]["held_out"]["documents"] >= 1
    assert summary["languages"]["zh"]["documents"] == summary["documents_kept"]
    assert all(len(one["text"]) <= 8000 for one in lines(tmp_path, "train"))


def test_repeats_across_the_split_are_measured(tmp_path: Path) -> None:
    shared = "This very line stands in every document, word for word.\n"
    own = "And line {} of number {:06d} is of about the same length as that one.\n"
    texts = [shared + "".join(own.format(line, number) for line in range(3)) for number in range(100)]
    repeated = build_corpus([Document(text, "s") for text in texts], tmp_path)["held_out_repeated"]
    assert repeated == pytest.approx(len(shared) / len(texts[0]), abs=0.02)


def kept(texts: list[str], folder: Path) -> set[str]:
    build_corpus([Document(text, "s") for text in texts], folder)
    return {one["text"] for name in ("train", "held_out") for one in lines(folder, name)}


def test_a_document_that_mostly_repeats_others_is_dropped(tmp_path: Path) -> None:
    said = [f"Line {number:02d} has more than forty characters, so that it counts." for number in range(40)]
    first, second = "\n".join(said[:10]), "\n".join(said[10:20])
    half, most = "\n".join(said[:5] + said[20:25]), "\n".join(said[10:16] + said[30:34])
    assert kept([first, second, half, most], tmp_path) == {first, second, half}
    assert [one["reason"] for one in lines(tmp_path, "dropped")] == [
        "near-duplicate: over half of its text stands, line by line, in documents kept before"
    ]


POEMS = """床前明月光，疑是地上霜。举头望明月，低头思故乡。
春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。
白日依山尽，黄河入海流。欲穷千里目，更上一层楼。
千山鸟飞绝，万径人踪灭。孤舟蓑笠翁，独钓寒江雪。
红豆生南国，春来发几枝。愿君多采撷，此物最相思。"""


def test_poems_that_share_one_long_line_are_all_kept(tmp_path: Path) -> None:
    source = "（选自《唐诗三百首》，清·蘅塘退士编）"
    verses = [re.sub("([，。])", r"\1\n", poem) for poem in POEMS.split("\n")]
    poems = [poem + source for poem in verses]
    assert len(source.encode()) >= 40
    assert kept(poems, tmp_path) == set(poems)


def test_a_line_counts_by_its_bytes_in_the_measure_too(tmp_path: Path) -> None:
    # 14 characters, 42 bytes.
    own = [f"第{number:02d}回各有一行不同的正文。" * 3 for number in range(40)]
    shared = "此行在每一篇里都一字不差地有"
    build_corpus([Document(f"{shared}\n{text}", "s") for text in own], tmp_path)
    page = (tmp_path / "DATA_CARD.md").read_text("utf-8")
    assert json.loads((tmp_path / "data_card.json").read_text("utf-8"))["held_out_repeated"] > 0.2
    assert "lines of 40 bytes or more" in page


def test_the_first_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    bad = [Dropped(name, "not UTF-8", f"{name}:{line}") for name in ("旧.jsonl", "老.txt") for line in (1, 2)]
    assert build_corpus([*many(3), *bad], tmp_path)["not_utf8"] == {"files": 2, "first": "旧.jsonl"}
    assert "not_utf8" not in build_corpus(many(3), tmp_path)


def test_one_document_and_no_other_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="corpus: the only document was dropped as 'shorter"):
        build_corpus([Document("a", "s")], tmp_path)
    with pytest.raises(TextError, match="corpus: all 2 documents were dropped as 'shorter"):
        build_corpus([Document("a", "s"), Document("b", "s")], tmp_path)


def test_nothing_left_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="no documents came in"):
        build_corpus([], tmp_path)
    with pytest.raises(TextError, match=r"all 3 documents were dropped, most \(2\) as 'shorter") as caught:
        build_corpus([Document("a", "s"), Document("b", "s"), Dropped("x", "not UTF-8")], tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "train.jsonl").exists()


@pytest.mark.parametrize("fraction", [0.0, -0.1, 0.6, 1.0])
def test_a_fraction_out_of_range(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(SettingError, match="held_out_fraction"):
        build_corpus(many(3), tmp_path, held_out_fraction=fraction)


def test_other_judges_can_be_passed_in(tmp_path: Path) -> None:
    from chidu.safety import Finding

    class Seven:
        def judge(self, text: str) -> list[Finding]:
            at = text.find("7")
            return [Finding(at, at + 1, "seven", "seven")] if at >= 0 else []

    summary = build_corpus(many(8), tmp_path, judges=[Seven()])
    assert summary["redactions"] == {"seven": 1}


def test_a_source_that_fails_leaves_no_corpus(tmp_path: Path) -> None:
    def failing() -> Any:
        yield many(1)[0]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        build_corpus(failing(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_lines_are_written_whole_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with open_whole(path) as file:
        write_line(file, {"text": "中文 \u2028 and 😀"})
        write_line(file, {"text": "half \ud800"})
        assert not path.exists()
    assert [one["text"] for one in read_lines(path)] == ["中文 \u2028 and 😀", "half \ud800"]
    path.write_bytes(b'{"text": "a"}\n{"tex')
    with pytest.raises(WorkFolderError, match=r"x\.jsonl can't be read"):
        list(read_lines(path))
    with pytest.raises(WorkFolderError, match="can't be read"):
        list(read_lines(tmp_path / "missing"))


def test_a_snapshot_gives_back_what_it_was_given(tmp_path: Path) -> None:
    items = [*many(3), Dropped("s", "why", "w:1", "id", 4, "detail"), Document("half \ud800", "s", "l", "zh", "1", "w")]
    assert write_snapshot(items, tmp_path / "s.jsonl") == 4
    assert list(read_snapshot(tmp_path / "s.jsonl")) == items


def test_importing_the_corpus_loads_nothing_heavy() -> None:
    code = "import sys, chidu.corpus, chidu.safety; print({'torch', 'tokenizers', 'pandas'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
