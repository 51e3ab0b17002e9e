"""Where sentences end: the same by windows as at one go, and a full stop inside a name is told."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencex import get_sentence_boundaries

from chidu.apps.sentences import boundaries, sentences

CLAUSES = ["The ladder has five rungs", "Dr. Wu left at 3.5 p.m. on foot", "Is it so", "她把窗户关上了", "雨下了一夜"]


@given(st.lists(st.sampled_from([f"{one}{end}" for one in CLAUSES for end in "。!?."]), min_size=1, max_size=60))
@settings(max_examples=60)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_windows_cut_where_one_look_does(language: str, parts: list[str]) -> None:
    text = " ".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[boundaries.__module__], "_WINDOW", 150)
        found = boundaries(text, language)
    whole = [(one["start_index"], one["end_index"]) for one in get_sentence_boundaries(language, text)]
    assert found == whole


def test_a_sentence_longer_than_the_window_is_one() -> None:
    long = "word " * 5_000 + "end."
    assert boundaries(f"{long} Another one.", "en")[0][1] >= len(long)
    assert len(boundaries(f"{long} Another one.", "en")) == 2


@pytest.mark.parametrize(
    ("text", "torn"),
    [
        ("It opens http.FileSystem for you.", [True, False]),
        ("It is done. The rest follows.", [False, False]),
        ("他走了。她来了。", [False, False]),
        # A full stop before Chinese is the end of a sentence, whatever it touches.
        ("See it.他走了。", [False, False]),
    ],
)
def test_a_full_stop_that_touches_a_letter_is_told(text: str, torn: list[bool]) -> None:
    assert [one.torn for one in sentences(text)] == torn
