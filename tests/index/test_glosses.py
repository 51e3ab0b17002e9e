"""Words of another language, weighed by what they may mean: against the same done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.index import Document, GivenTexts, Gloss
from chidu.index.glosses import forms

TEXTS = {
    "sort.txt": "Sorts lines of a file.",
    "copy.txt": "Copies files.",
    "tea.txt": "Tea is drunk at four.",
    "order.txt": "Arrange the plates in order.",
}


def idf(held: int) -> float:
    return math.log1p((len(TEXTS) - held + 0.5) / (held + 0.5))


def search(*glosses: Gloss) -> dict[str, float]:
    found = GivenTexts([Document(name, text) for name, text in TEXTS.items()]).search("怎样", glosses=glosses)
    return {hit.file: hit.words_score or 0.0 for hit in found.hits}


def test_the_best_meaning_counts_and_endings_do_not() -> None:
    found = GivenTexts([Document(name, text) for name, text in TEXTS.items()]).search(
        "怎样给文件排序", glosses=[Gloss("文件", ("document", "file")), Gloss("排序", ("sort", "arrange in order"))]
    )
    assert [hit.file for hit in found.hits] == ["sort.txt", "copy.txt", "order.txt"]
    assert found.unknown == frozenset()
    # `file` stands in two texts, in one as `files`; all its forms are as rare as the commonest of them.
    phrase = (idf(1) + idf(1) + idf(1)) / 3
    assert found.most == pytest.approx(idf(1) + max(idf(1), phrase), rel=1e-6)
    assert set(found.rarities) == {"file", "files", "sorts", "arrange", "in", "order"}


def test_what_no_passage_holds_drops_out() -> None:
    assert search(Gloss("排序", ("sort",)), Gloss("协程", ("coroutine",))) == search(Gloss("排序", ("sort",)))
    assert search(Gloss("协程", ("coroutine",))) == {}


def test_many_meanings_weigh_no_more_than_one() -> None:
    one, several = search(Gloss("排序", ("sort",))), search(Gloss("排序", ("sort", "sorts", "sort lines")))
    assert several["sort.txt"] == pytest.approx(one["sort.txt"], rel=0.25)


@given(st.text(max_size=12))
def test_a_word_is_among_its_forms_once(word: str) -> None:
    found = forms(word)
    assert found[0] == word
    assert len(found) == len(set(found))
    if not word.isascii():
        assert found == [word]


def test_forms_are_the_usual_ones() -> None:
    for word, others in {"copy": "copies copied copying", "stop": "stopped stopping", "make": "making makes"}.items():
        assert set(others.split()) <= set(forms(word))
    assert np.all([len(forms(word)) == 1 for word in ("a", "x1", "is")])
