"""BM25 against another package and against its formula; orders against sorting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from chidu.index.postings import K1, B, Counts, Postings, make_postings, open_postings, write_postings
from chidu.index.ranking import SHARE, best, fuse

DOCUMENTS = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=30), min_size=1, max_size=20)


def postings(folder: Path, documents: Sequence[Sequence[int]]) -> Postings:
    counts = [Counter(document) for document in documents]
    arrays = (Counts(np.array(list(one), np.int32), np.array(list(one.values()), np.int32)) for one in counts)
    write_postings(folder, make_postings(range(10, 10 + len(documents)), arrays, 13))
    return open_postings(folder)


@settings(max_examples=50, deadline=None)
@given(DOCUMENTS, st.lists(st.integers(0, 20), max_size=6))
def test_bm25_is_its_formula(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], question: list[int]
) -> None:
    mean = sum(map(len, documents)) / len(documents)
    expected = []
    for document in documents:
        score = 0.0
        for word in question:
            held = sum(word in one for one in documents)
            idf = np.log(1 + (len(documents) - held + 0.5) / (held + 0.5))
            often = document.count(word)
            score += idf * often / (often + K1 * (1 - B + B * len(document) / mean))
        expected.append(score)
    found = postings(tmp_path_factory.mktemp("index") / "postings", documents)
    assert found.scores(question) == pytest.approx(expected, rel=1e-5)
    assert found.ids.tolist() == list(range(10, 10 + len(documents)))


def test_bm25_agrees_with_rank_bm25(tmp_path: Path) -> None:
    """That package has another idf, never below a quarter of the mean one; word by word the rest must be the same."""
    source = np.random.default_rng(0)
    documents = [source.zipf(1.5, source.integers(5, 60)).clip(1, 12).tolist() for _ in range(300)]
    theirs = BM25Okapi(documents, k1=K1, b=B)
    ours = postings(tmp_path / "postings", documents)
    for word in range(1, 13):
        held = sum(word in one for one in documents)
        idf = np.log1p((300 - held + 0.5) / (held + 0.5))
        expected = theirs.get_scores([word]) / theirs.idf[word] * idf / (K1 + 1)
        assert ours.scores([word]) == pytest.approx(expected, rel=1e-5)


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 50))
def test_the_best_are_those_of_a_stable_sort(scores: list[int], most: int) -> None:
    expected = sorted(range(len(scores)), key=lambda one: (-scores[one], one))[:most]
    assert best(np.array(scores, np.float32), most).tolist() == expected


def test_fusion_by_scores() -> None:
    """By hand, for words that could give 10: what has no cosine counts as the last that has one."""
    fused = fuse({3: 5.0, 9: 2.0}, {7: 0.5, 3: 0.25}, 10.0)
    expected = {7: SHARE * 0.5, 3: SHARE * 0.25 + (1 - SHARE) * 0.5, 9: SHARE * 0.25 + (1 - SHARE) * 0.2}
    assert dict(fused) == pytest.approx(expected)
    assert [one for one, _ in fused] == sorted(expected, key=lambda one: -expected[one])
    assert fuse({4: 1.0, 2: 1.0}, {}, 2.0) == [(2, (1 - SHARE) / 2), (4, (1 - SHARE) / 2)]
    assert fuse({}, {}, 0.0) == []
