"""One form for texts that look the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.corpus import is_chinese, normalise
from chidu.corpus.normalise import cut

ANY_TEXT = st.text(alphabet=st.characters(codec=None), max_size=80) | st.text(
    alphabet=" \t\r\n\v\f\x85\u2028\x00\x1b\ufeffe\u0301中，。a", max_size=60
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc\n", "a\nb\nc"),
        ("e\u0301", "é"),
        ("e\x00\u0301", "é"),
        ("\ufeffa\x07b", "ab"),
        ("a  \t\nb ", "a\nb"),
        ("\n\n a\n\n\n\n\n\nb", " a\n\n\nb"),
        ("  “你好，世界！”　（全角）ＡＢＣ", "  “你好，世界！”　（全角）ＡＢＣ"),
        ("half \ud800 pair", "half \ufffd pair"),
        ("page one\fpage two", "page one\npage two"),
        ("tab\tstays", "tab\tstays"),
        ("", ""),
        (" \n\t\n", ""),
    ],
)
def test_known_forms(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(ANY_TEXT)
def test_twice_is_once_and_the_form_is_nfc(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not set(once) & set("\r\x00\x1b\ufeff")
    once.encode()


@given(st.text(alphabet="ab 。.\n中？”；，", max_size=200), st.integers(2, 40))
def test_parts_have_the_length_asked_for_and_lose_only_blanks(text: str, longest: int) -> None:
    text = normalise(text)
    parts = list(cut(text, longest))
    assert all(len(part) <= longest for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_cut_goes_between_paragraphs_where_it_can() -> None:
    assert list(cut("a" * 30 + "\n\n" + "b" * 30, 40)) == ["a" * 30, "b" * 30]
    assert list(cut("春" * 30 + "。" + "秋" * 30, 40)) == ["春" * 30 + "。", "秋" * 30]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("他说：“" + "春" * 20 + "。”", "秋" * 30),
        ("（《" + "春" * 20 + "！》）", "秋" * 30),
        # The end of the later sentence wins, whichever mark it has.
        ("春" * 15 + "。" + "夏" * 10 + "？", "秋" * 30),
        # A sentence goes before a clause, a clause before a part of one.
        ("春" * 21 + "。", "夏" * 8 + "；" + "秋" * 30),
        ("春" * 21 + "；", "夏" * 8 + "，" + "秋" * 30),
        ("春" * 21 + "，", "夏" * 8 + " " + "秋" * 30),
        # Its quotation mark is the 41st character: the sentence before it ends the part.
        ("春" * 24 + "。", "“" + "夏" * 13 + "。”" + "秋" * 25),
    ],
)
def test_a_cut_in_chinese_leaves_sentences_whole(first: str, second: str) -> None:
    assert next(cut(first + second, 40)) == first


def test_many_closing_marks_are_cut_in_time() -> None:
    text = "。" + "”" * 20_000
    assert "".join(cut(text, 8_000)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("大语言模型的尺度定律", True),
        ("plain English", False),
        ("", False),
        ("……——！", False),
        ("我们用 PyTorch 训练 transformer，learning rate 取 3e-4。", True),
        ("The word 尺度 means scale, and 尺 is a ruler in Chinese.", False),
        ("この文は日本語で書かれています。漢字も少し入る。", False),
        ("東京都議会議員選挙公報発行条例施行規程の一部改正", True),
        ("日语里的“の”相当于中文的“的”，这是一句说明它的用法的中文。", True),
        ("Закон масштаба по-китайски: 尺度", False),
    ],
)
def test_chinese_is_told_by_its_characters(text: str, expected: bool) -> None:
    assert is_chinese(text) == expected
