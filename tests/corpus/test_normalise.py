"""One form for texts that look the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.corpus import chinese_share, normalise
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


@given(st.text(alphabet="ab 。.\n中", max_size=200), st.integers(2, 40))
def test_parts_have_the_length_asked_for_and_lose_only_blanks(text: str, longest: int) -> None:
    text = normalise(text)
    parts = list(cut(text, longest))
    assert all(len(part) <= longest for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_cut_goes_between_paragraphs_where_it_can() -> None:
    assert list(cut("a" * 30 + "\n\n" + "b" * 30, 40)) == ["a" * 30, "b" * 30]
    assert list(cut("春" * 30 + "。" + "秋" * 30, 40)) == ["春" * 30 + "。", "秋" * 30]


def test_chinese_is_told_by_its_characters() -> None:
    assert chinese_share("plain English") == 0
    assert chinese_share("大语言模型的尺度定律") == 1
    assert chinese_share("") == 0
