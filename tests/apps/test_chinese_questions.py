"""A Chinese question finds English passages by what its words mean, and what has no need of that stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from chidu.apps import glosses as module
from chidu.apps import search, search_texts, update
from chidu.apps.glosses import glosses, glosses_for
from chidu.index import Document, GivenTexts

ENGLISH = [
    Document("sort.md", "Sorting\n\nArrange the lines of a file by size, the largest first."),
    Document("tea.md", "Tea\n\nBoil water, wait three minutes, pour it over the leaves."),
    Document("door.md", "Doors\n\nThe badge opens the side door until eight."),
]


def test_words_are_told_apart_and_have_their_meanings() -> None:
    found = {one.word: one.phrases for one in glosses("怎样给文件排序？")}
    assert list(found) == ["文件", "排序"]
    assert found["排序"] == ("sort", "arrange in order")
    assert "file" in found["文件"]
    # Traditional characters have the same entries; what is in Latin letters stays.
    assert {"文件", "排序"} != set(found) or dict(glosses("排序"))["排序"] == found["排序"]
    assert [one.word for one in glosses("用 docker-compose 启动容器")] == ["docker-compose", "启动", "容器"]
    assert glosses("怎么办呢？") == ()
    assert glosses("") == ()


def test_no_meaning_is_a_remark_or_a_name() -> None:
    told = [phrase for one in glosses("一本猫王的书里有两只猫和一条行") for phrase in one.phrases]
    assert "cat" in told
    assert not [phrase for phrase in told if "CL:" in phrase or "(" in phrase or "[" in phrase or not phrase.isascii()]


def test_passages_in_another_language_are_found_by_words(tmp_path: Path) -> None:
    found = search_texts(ENGLISH, "怎样把文件里的行排序？")
    assert found.found.hits[0].file == "sort.md"
    assert [one.word for one in found.glosses] == ["文件", "行", "排序"]
    for one in ENGLISH:
        (tmp_path / one.name).write_text(one.text)
    update(tmp_path / "index", [tmp_path])
    indexed = search(tmp_path / "index", "怎样把文件里的行排序？")
    assert Path(indexed.found.hits[0].file).name == "sort.md"
    assert indexed.glosses == found.glosses
    assert indexed.found.hits[0].words_score == pytest.approx(found.found.hits[0].words_score or 0, rel=1e-4)


def test_the_question_s_own_language_needs_none() -> None:
    chinese = [*ENGLISH, Document("排序.md", "怎样把文件里的行排序：用 sort 命令。")]
    found = search_texts(chinese, "怎样把文件里的行排序？")
    assert found.glosses == ()
    assert found.found.hits[0].file == "排序.md"
    assert search_texts(ENGLISH, "how are lines sorted?").glosses == ()


def test_without_the_dictionary_the_search_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = "怎样把文件里的行排序？"
    monkeypatch.setattr(module, "_dictionary", dict)
    assert glosses_for(asked, GivenTexts(ENGLISH).search(asked)) == ()
    assert search_texts(ENGLISH, asked).found.hits == ()


def test_texts_of_one_name_are_told_apart() -> None:
    same = [Document("a.md", "The kettle is red."), Document("a.md", "The kettle is blue."), Document("b", "kettle")]
    same += [Document("b", "kettle kettle"), Document("a (2).md", "kettle!")]
    found = {hit.file: hit.text for hit in search_texts(same, "kettle").found.hits}
    assert found["a.md"] == "The kettle is red."
    assert found["a (3).md"] == "The kettle is blue."
    assert set(found) == {"a.md", "a (2).md", "a (3).md", "b", "b (2)"}
