"""Pairs of sentences: what is read, what is left out and why, and that no sentence is on both sides of the split."""

from __future__ import annotations

import json
from pathlib import Path

import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.corpus import NO_PROSE, Pair, build_pairs, read_lines, read_pairs
from chidu.corpus.pairs import cleaned, masked
from chidu.errors import SettingError, TextError


def write(path: Path, pairs: list[tuple[str, str]]) -> Path:
    lines = [json.dumps({"en": english, "zh": chinese}, ensure_ascii=False) for english, chinese in pairs]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def catalogue(path: Path, entries: list[tuple[str, str]], language: str = "zh_CN") -> Path:
    found = polib.POFile()
    found.metadata = {"Language": language, "Content-Type": "text/plain; charset=utf-8"}
    for source, said in entries:
        found.append(polib.POEntry(msgid=source, msgstr=said))
    (found.save_as_mofile if path.suffix == ".mo" else found.save)(str(path))
    return path


NUMBERED = [(f"This is sentence number {n}.", f"这是第 {n} 句话。") for n in range(100)]


def test_pairs_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [("One.", "一。")])
    (tmp_path / "b.tsv").write_text("zh\tnote\ten\n二。\tx\tTwo.\n", encoding="utf-8")
    catalogue(tmp_path / "c.po", [("_Three", "三(_T)"), ("Not translated", "")])
    catalogue(tmp_path / "d.mo", [("Fo_ur", "四")])
    found = list(read_pairs([tmp_path]))
    assert [each.texts for each in found if isinstance(each, Pair)] == [
        ("One.", "一。"), ("Two.", "二。"), ("Three", "三"), ("Four", "四"),
    ]  # fmt: skip
    assert {each.languages for each in found if isinstance(each, Pair)} == {("en", "zh")}


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("See docs/x.md, or ./run.sh.", ["docs/x.md", "./run.sh"]),
        ("查看docs/img/a.png中的~/.config/b.toml，", ["docs/img/a.png", "~/.config/b.toml"]),
        ("在/usr/bin中用--help或--color=auto，", ["/usr/bin", "--help", "--color=auto"]),
        ("Edit /etc/apt/sources.list.", ["/etc/apt/sources.list"]),
        ("and/or, read/write, TCP/IP, 3.5/4.0, km/h.", []),
        ("http://a.b/docs/x.md。", ["http://a.b/docs/x.md"]),
    ],
)
def test_paths_are_no_prose(text: str, held: list[str]) -> None:
    assert [found[0] for found in NO_PROSE.finditer(text)] == held


def test_plural_forms_are_pairs_too(tmp_path: Path) -> None:
    found = polib.POFile()
    found.metadata = {"Language": "zh_CN"}
    found.append(polib.POEntry(msgid="%d file", msgid_plural="%d files", msgstr_plural={0: "%d 个文件"}))
    found.save(str(tmp_path / "a.po"))
    assert [each.texts for each in read_pairs([tmp_path]) if isinstance(each, Pair)] == [("%d files", "%d 个文件")]


@pytest.mark.parametrize(
    ("english", "chinese", "reason"),
    [
        ("", "空的", "one side is empty"),
        ("Same 一样", "Same 一样", "both sides are the same"),
        ("12 + 3", "十五", "one side has no words"),
        ("Open %s", "打开 %d", "places for values, tags or addresses differ"),
        ("Open the file", "Öffnen", "not in the language it should be"),
        ("打开文件吧", "打开这个文件", "not in the language it should be"),
        ("word " * 200, "字" * 200, "above 600 letters"),
        ("A sentence that goes on and on for a while.", "短", "one side is more than three times as long"),
    ],
)
def test_what_is_no_pair_is_left_out_with_its_reason(english: str, chinese: str, reason: str) -> None:
    assert cleaned(Pair((english, chinese), ("en", "zh"))) == reason


def test_what_is_no_prose_becomes_a_mark_in_both() -> None:
    assert masked("Use %s of <b>all</b> in {0}", "在 {0} 用<b>全部</b>的 %s") == (
        "Use ⟦0⟧ of ⟦1⟧all⟦2⟧ in ⟦3⟧", "在 ⟦3⟧ 用⟦1⟧全部⟦2⟧的 ⟦0⟧",
    )  # fmt: skip
    assert masked("50% of all, see https://a.b/c.", "全部的 50%，见 https://a.b/c。") == (
        "50% of all, see ⟦0⟧.", "全部的 50%，见 ⟦0⟧。",
    )  # fmt: skip
    assert cleaned(Pair(("A  line\nand another", "一行\n再一行"), ("en", "zh"))) == (
        "A line and another",
        "一行 再一行",
    )


@given(st.text(max_size=80))
def test_marks_can_be_taken_back(text: str) -> None:
    found = masked(text, text)
    assert found is not None
    held = iter(NO_PROSE.findall(text))
    assert NO_PROSE.sub(lambda _: next(held), found[0]) == text


def test_the_split_holds_sentences_together(tmp_path: Path) -> None:
    twice = [(english, chinese.replace("这", "那")) for english, chinese in NUMBERED]
    source = write(tmp_path / "a.jsonl", [*NUMBERED, *twice, *NUMBERED[:3]])
    found = build_pairs([source], tmp_path / "one")
    assert (found["pairs"] + found["held_out"], found["dropped"]) == (200, {"a duplicate": 3})
    sides = [{line["en"] for line in read_lines(tmp_path / "one" / f"{part}.jsonl")} for part in ("train", "held_out")]
    assert sides[1]
    assert not sides[0] & sides[1]
    # The order of the files changes nothing.
    (tmp_path / "b.jsonl").write_text("\n".join(reversed(source.read_text().splitlines())))
    build_pairs([tmp_path / "b.jsonl"], tmp_path / "two")
    assert (tmp_path / "one/train.jsonl").read_bytes() == (tmp_path / "two/train.jsonl").read_bytes()


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "no.tsv").write_text("first\tsecond\nx\ty\n")
    (tmp_path / "latin.jsonl").write_bytes("é".encode("latin-1"))
    (tmp_path / "broken.jsonl").write_text('{"en": "x"}\n[1]\n{"en": 3, "zh": "四"}\nno json\n')
    (tmp_path / "torn.mo").write_bytes(b"\xde\x12\x04\x95\x00\x00")
    (tmp_path / "other.jsonl").write_text('{"en": "Good morning", "de": "Guten Morgen"}\n')
    catalogue(tmp_path / "unnamed.po", [("One", "一")], language="")
    for name, why in (
        ("nowhere", "no such file or folder"),
        ("empty", "has no file of pairs"),
        ("a.txt", "is no file of pairs: its name must end in .jsonl"),
        ("no.tsv", "its first line must name two languages"),
        ("latin.jsonl", "is not UTF-8"),
        ("broken.jsonl", "fewer than two pairs are left (no pair of two languages: 4)"),
        ("torn.mo", "fewer than two pairs are left (no catalogue of gettext's: 1)"),
        ("unnamed.po", "a catalogue that names no language: 1"),
    ):
        with pytest.raises(TextError) as told:
            build_pairs([tmp_path / name], tmp_path / "out")
        assert why in str(told.value)
    write(tmp_path / "good.jsonl", NUMBERED)
    with pytest.raises(SettingError, match=r"other\.jsonl has de and en, the files before it en and zh"):
        build_pairs([tmp_path / "good.jsonl", tmp_path / "other.jsonl"], tmp_path / "out")
