"""Summaries: sentences of the text itself, in its order, with their places; what says most of it is kept."""

from __future__ import annotations

import numpy as np
import pytest

from chidu.apps import sentences, summarize, summarizing
from chidu.errors import SettingError, TextError
from chidu.inference import open_embedder

TEXT = """# Tea

Dr. Lu says that green tea, e.g. Longjing, wants water of 80.5 degrees. Is that so?
It is!

```sh
make tea. Now. Please.
```

## 冲泡

他说：“水不要太烫。”然后走了。绿茶用八十度的水
冲泡两分钟。是吗？

- Warm the pot first. Then pour.
- 红茶要用开水。

| a. b. | c. |
|---|---|
"""


def test_sentences_end_where_they_do_and_know_their_place() -> None:
    found = sentences(TEXT)
    assert [(one.text, one.first_line, one.last_line) for one in found] == [
        ("Dr. Lu says that green tea, e.g. Longjing, wants water of 80.5 degrees.", 3, 3),
        ("Is that so?", 3, 3),
        ("It is!", 4, 4),
        ("他说：“水不要太烫。”", 12, 12),
        ("然后走了。", 12, 12),
        ("绿茶用八十度的水冲泡两分钟。", 12, 13),
        ("是吗？", 13, 13),
        ("- Warm the pot first.", 15, 15),
        ("Then pour.", 15, 15),
        ("- 红茶要用开水。", 16, 16),
    ]
    assert {one.headings for one in found[:3]} == {("# Tea",)}
    assert {one.headings for one in found[3:]} == {("# Tea", "## 冲泡")}
    assert [one.paragraph for one in found] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 3]


def test_all_that_is_kept_stands_in_the_text_in_its_order() -> None:
    summary = summarize(TEXT, percent=100)
    assert [each.sentence for each in summary.kept] == sentences(TEXT)
    assert summary.text == (
        "# Tea\n\nDr. Lu says that green tea, e.g. Longjing, wants water of 80.5 degrees. Is that so? It is!\n\n"
        "## 冲泡\n\n他说：“水不要太烫。”然后走了。绿茶用八十度的水冲泡两分钟。是吗？\n\n"
        "- Warm the pot first. Then pour.\n\n- 红茶要用开水。"
    )
    few = summarize(TEXT, 2)
    assert (len(few.kept), few.sentences) == (2, 10)
    assert len(summarize(TEXT, 1_000).kept) == 10
    assert len(summarize(TEXT, percent=20).kept) == 2
    assert len(summarize(TEXT).kept) == 5


RIVER = [
    "The river brings sand to the sea.",
    "Sand from the river builds islands in the sea.",
    "A cat slept on the mat.",
    "Where the river meets the sea, sand settles into islands.",
    "Prices rose by two per cent.",
]


@pytest.mark.parametrize("embedder", [None, "e5"])
def test_what_the_text_is_about_comes_before_what_stands_alone(embedder: str | None) -> None:
    opened = None if embedder is None else open_embedder(embedder)
    kept = [each.sentence.text for each in summarize(" ".join(RIVER), 2, embedder=opened).kept]
    assert set(kept) < {RIVER[0], RIVER[1], RIVER[3]}


def test_one_sentence_of_a_short_text_is_the_first() -> None:
    text = " ".join(["Here is what happened.", *RIVER])
    (one,) = summarize(text, 1).kept
    assert one.sentence.text == "Here is what happened."
    assert one.score > 0
    (other,) = summarize(" ".join([text] * 20), 1).kept
    assert other.sentence.text in RIVER


def test_a_sentence_without_words_is_ranked_too() -> None:
    kept = summarize("_ _. a b. b c.").kept
    assert np.isfinite([each.score for each in kept]).all()
    assert len(kept) == 2


def test_the_same_is_not_said_twice() -> None:
    kept = [each.sentence.text for each in summarize(" ".join([RIVER[0]] * 4 + RIVER), 3).kept]
    assert len(set(kept)) == len(kept) == 3


def test_a_long_text_keeps_its_share_of_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summarizing, "_PART", 50)
    text = "\n\n".join(f"Sentence {number} tells of thing {number * 7 % 31} and no other." for number in range(230))
    told: list[tuple[float, str]] = []
    summary = summarize(text, 23, progress=lambda done, words: told.append((done, words)))
    lines = [each.sentence.first_line for each in summary.kept]
    assert lines == sorted(lines)
    parts = np.bincount([(line - 1) // 2 // 50 for line in lines])
    assert parts.tolist() == [5, 5, 5, 5, 3]
    assert told[-1] == (1.0, "230 of 230 sentences")


def test_ranks_are_those_of_the_paper() -> None:
    """The weights solve s = (1 - d) + d L's, whatever the graph; alike sentences weigh the same."""
    source = np.random.default_rng(0)
    rows = source.random((7, 5)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    alike = rows @ rows.T
    scores = summarizing._ranked(alike)
    links = (alike - alike.min()) / (1 - alike.min())
    links = np.clip(links, 0, 1) / np.clip(links, 0, 1).sum(1, keepdims=True)
    assert scores == pytest.approx(np.linalg.solve(np.eye(7) - 0.85 * links.T, np.full(7, 0.15)), abs=1e-4)
    assert scores.mean() == pytest.approx(1, abs=1e-4)
    assert summarizing._ranked(np.ones((3, 3), np.float32)) == pytest.approx(np.ones(3))


def test_wrong_input_is_named() -> None:
    for text in ("", " \n", "```\ncode. here.\n```\n", "---\n***\n", "# Title alone\n"):
        with pytest.raises(TextError, match="no sentence"):
            summarize(text)
    with pytest.raises(SettingError, match="name one"):
        summarize(TEXT, 1, 10)
    for count, percent in ((0, None), (None, 0), (None, 101), (None, float("nan"))):
        with pytest.raises(SettingError, match="is needed"):
            summarize(TEXT, count, percent)


@pytest.mark.parametrize("mark", ["1.", "12)", "-", "3."])
def test_the_mark_of_an_item_is_no_sentence_of_its_own(mark: str) -> None:
    found = sentences(f"{mark} Close the lid. Wait.\n{mark} 先关上盖子。再等。")
    assert [one.text for one in found] == [f"{mark} Close the lid.", "Wait.", f"{mark} 先关上盖子。", "再等。"]
