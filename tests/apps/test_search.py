"""Search of one's own files: by words at once, by meaning when vectors are there, and nothing of a text is lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chidu.apps import are_vectors_made, default_index, embed_all, make_vectors, search, update
from chidu.errors import IndexBusyError, IndexFolderError, InputError, SettingError, TextError
from chidu.index.store import hold
from chidu.inference import Embedder, open_embedder

HANDBOOK = Path(__file__).parents[2] / "docs" / "examples" / "handbook"


@pytest.fixture(scope="module")
def e5() -> Embedder:
    return open_embedder("e5")


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HANDBOOK, tmp_path / "handbook"))


def files(answer: Any) -> list[str]:
    return [Path(hit.file).name for hit in answer.found.hits]


def test_words_answer_first_and_meaning_as_soon_as_it_can(handbook: Path, tmp_path: Path, e5: Embedder) -> None:
    index = tmp_path / "index"
    update(index, [handbook])
    first = search(index, "descaler", e5)
    assert (files(first)[0], first.by_meaning, first.found.without_vectors) == ("coffee.md", False, 5)
    told: list[tuple[float, str]] = []
    assert make_vectors(index, e5, lambda done, words: told.append((done, words))) == 5
    assert told[-1] == (1.0, "5 of 5 passages")
    assert make_vectors(index, e5) == 0
    # Neither question has a word in common with what answers it; others may have a character of its.
    # No passage in the other language shares a word; one in the question's own stands beside, about something else.
    asked = {"咖啡机漏水怎么办？": "coffee.md", "how do I get in at night without a badge?": "门禁.md"}
    for question, file in asked.items():
        answer = search(index, question, e5)
        (nearest,) = [hit for hit in answer.found.hits if hit.vector_rank == 1]
        assert (Path(nearest.file).name, answer.by_meaning) == (file, True)
    assert not search(index, "咖啡机漏水怎么办？").by_meaning


def test_a_few_vectors_do_not_rank(handbook: Path, tmp_path: Path, e5: Embedder) -> None:
    """One new passage in five is one fifth: the four with vectors would push it away."""
    index = tmp_path / "index"
    update(index, [handbook])
    make_vectors(index, e5)
    (handbook / "new.md").write_text("The printer is on the second floor.\n")
    update(index, [handbook])
    answer = search(index, "printer", e5)
    assert (files(answer), answer.by_meaning, answer.found.without_vectors) == (["new.md"], False, 1)


def test_vectors_that_were_made_stay_whenever_it_ends(
    handbook: Path, tmp_path: Path, e5: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, whole = tmp_path / "index", tmp_path / "whole"
    monkeypatch.setattr("chidu.apps.searching._BATCH", 2)
    for folder in (index, whole):
        update(folder, [handbook])

    def stop(done: float, words: str) -> None:
        assert are_vectors_made(index)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_vectors(index, e5, stop)
    assert not are_vectors_made(index)
    assert make_vectors(index, e5) == 3
    make_vectors(whole, e5)
    question = "who may be ill?"
    assert [hit.text for hit in search(index, question, e5).found.hits] == [
        hit.text for hit in search(whole, question, e5).found.hits
    ]


def test_a_text_longer_than_the_context_is_read_to_its_end(e5: Embedder) -> None:
    line = "π≈3.14159; ✓ 0x7fffe3 {x: [1, 2]} — ĝðþ "
    text = line * 25
    with pytest.raises(InputError, match="tokens long"):
        e5.embed([text])
    (vector,) = embed_all(e5, [text])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    (other,) = embed_all(e5, [text + "The harvest of apples begins in autumn, when the nights grow cold. " * 6])
    apples = embed_all(e5, ["when are apples picked?"], "query")[0]
    assert other @ apples > vector @ apples + 0.01
    both = embed_all(e5, [text, "short"])
    assert np.abs(both[0] - vector).max() < 1e-6
    assert np.abs(both[1] - e5.embed(["short"]).vectors[0]).max() < 1e-6
    assert embed_all(e5, ["无" * 700]).shape == (1, e5.dimension)


def test_an_index_has_its_own_place_by_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    place = default_index(["a", "b"])
    assert place.parent == tmp_path / "cache" / "chidu" / "indexes"
    assert place == default_index([tmp_path / "b", "./a"])
    assert place != default_index(["a"]) != default_index(["b"])
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_index(["a"]).is_relative_to(Path.home() / ".cache" / "chidu")


def test_wrong_input_is_named(handbook: Path, tmp_path: Path, e5: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    with pytest.raises(IndexFolderError, match="holds no index"):
        search(index, "tea")
    update(index, [handbook])
    with pytest.raises(TextError, match="the question is empty"):
        search(index, " ")
    with pytest.raises(SettingError, match="most is 0"):
        search(index, "tea", top=0)
    monkeypatch.setattr("chidu.apps.searching._PATIENCE", 0.1)
    with hold(index), pytest.raises(IndexBusyError, match="being written by another"):
        update(index, [handbook])
