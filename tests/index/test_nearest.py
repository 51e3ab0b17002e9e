"""Passages near to a text: BM25 of documents, as a count of all words of all documents finds it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.corpus import Document
from chidu.index import Trace, build_trace
from chidu.index.postings import K1, B

WORD = st.sampled_from(["apple", "Apple", "pear", "pears", "plum", "fig", "figs", "x9"])
TEXT = st.lists(WORD, min_size=1, max_size=12).map(" ".join)


def brute(texts: list[str], asked: str) -> dict[str, float]:
    """Return each text's BM25 for the words of three letters or more."""
    sizes = [len(text.encode()) for text in texts]
    scores = dict.fromkeys(texts, 0.0)
    for word in {one for one in asked.split() if len(one) > 2}:
        forms = {word, word.lower(), word.capitalize()}
        counts = [sum(one in forms for one in re.findall(r"\w+", text)) for text in texts]
        holding = sum(count > 0 for count in counts)
        if not holding:
            continue
        idf = math.log1p((len(texts) - holding + 0.5) / (holding + 0.5))
        for text, size, count in zip(texts, sizes, counts, strict=True):
            slow = K1 * (1 - B + B * size / (sum(sizes) / len(sizes)))
            scores[text] += idf * count / (count + slow)
    return scores


@settings(max_examples=60)
@given(st.lists(TEXT, min_size=1, max_size=6, unique=True), TEXT, st.sampled_from([40, 10_000]))
def test_scores_are_those_of_a_count_of_all(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], asked: str, shard_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("nearest")
    build_trace([Document(text, text) for text in texts], folder, shard_bytes=shard_bytes)
    with Trace(folder) as trace:
        found = trace.nearest(asked, most=3)
    expected = brute(texts, asked)
    assert [one.score for one in found] == pytest.approx(
        sorted((score for score in expected.values() if score > 0), reverse=True)[:3]
    )
    for one in found:
        assert one.score == pytest.approx(expected[one.place.source])
        assert one.text == one.place.source
        assert one.words


def test_a_long_document_is_told_by_its_part(tmp_path: Path) -> None:
    """The part has the words, begins and ends with whole ones, and knows where it stands."""
    text = "nothing of it here, " * 60 + "the quick vermilion okapi sleeps, " + "and nothing there, " * 60
    build_trace([Document(text, "zoo", "MIT"), Document("quick thoughts on other things", "b")], tmp_path)
    with Trace(tmp_path) as trace:
        first, second = trace.nearest("A vermilion Okapi is quick")
    assert (first.place.source, first.place.licence, second.place.source) == ("zoo", "MIT", "b")
    assert set(first.words) == {"vermilion", "Okapi", "quick"}
    assert "the quick vermilion okapi sleeps" in first.text
    assert text[first.place.start :].startswith(first.text)
    assert first.text.split()[0] in {"nothing", "of", "it", "here,"}
    assert len(first.text) <= 240


def test_chinese_is_found_by_its_pairs(tmp_path: Path) -> None:
    poem = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
    build_trace([Document(poem, "poems"), Document("今天天气很好。", "talk")], tmp_path)
    with Trace(tmp_path) as trace:
        (found,) = trace.nearest("黄河的水")
        assert (found.place.source, found.words, found.text) == ("poems", ("黄河",), poem)
        assert trace.nearest("？！ a b") == []
        assert trace.nearest("entirely other words") == []
