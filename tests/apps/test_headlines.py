"""Headlines: a phrase of the first sentence, word for word in its order; what limits it is never cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.apps import headline
from chidu.errors import TextError

LIMITED = ["not", "never", "unless", "only", "may", "deprecated"]


@pytest.mark.parametrize(
    ("text", "subject", "phrase"),
    [
        ("Foo is a fast text editor for programmers, written in C.", "Foo", "fast text editor for programmers"),
        ("This package provides a parser (in C) for dates. More.", "", "parser for dates"),
        ("Return the mean of all values.", "", "Return the mean of all values"),
        ("Foo is not a fast editor, which is sad.", "", "Foo is not a fast editor"),
        ("Foo is a server, which may lose data.", "Foo", "server, which may lose data"),
        ("The critics claim that Foo is a good editor.", "", "The critics claim that Foo is a good editor"),
        ("Foo is a tool that makes work with files such as text easy.", "Foo",
         "tool that makes work with files such as text easy"),
        ("Is Foo a tool?", "", "Is Foo a tool?"),
        ("甲乙是一款快速的文本编辑器，用C语言写成。", "甲乙", "快速的文本编辑器"),
        ("本软件包提供解析日期的函数（静态）。", "", "解析日期的函数"),
        ("甲乙是一款编辑器，但不能保存文件。", "甲乙", "编辑器，但不能保存文件"),
    ],
)  # fmt: skip
def test_what_is_said_of_the_subject_is_kept(text: str, subject: str, phrase: str) -> None:
    found = headline(text)
    assert (found.subject, found.phrase) == (subject, phrase)


TOOL = ["Foo", "is", "a", "tool", "that", "which,", "such", "as", "(b)", "provides", "this", "package", "and,", "fast"]
WORDS = st.sampled_from([*LIMITED, *TOOL])


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=20))
def test_words_stand_in_the_text_in_order_and_no_limit_is_lost(words: list[str]) -> None:
    text = " ".join(words)
    found = headline(text)
    left = iter(re.findall(r"\w+", found.sentence.text))
    kept = re.findall(r"\w+", found.text)
    assert all(word in left for word in kept)
    whole = re.findall(r"\w+", found.sentence.text)
    assert [word for word in kept if word in LIMITED] == [word for word in whole if word in LIMITED]


def test_a_text_without_sentences_is_named() -> None:
    with pytest.raises(TextError, match="no sentence"):
        headline(" \n---\n")
