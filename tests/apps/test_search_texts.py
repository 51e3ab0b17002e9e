"""Texts that are given, not kept: their passages are found as those of files with the same content are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.apps import make_vectors, search, search_texts, update
from chidu.errors import InputError, TextError
from chidu.index import Document, GivenTexts
from chidu.inference import Embedder
from chidu.inference.embedding import Embedded, Role

TEXTS = {
    "coffee.md": "# The coffee machine\n\n## Descaling\n\nRun the descaler once a month.\n\n## Leaks\n\nCall us.\n",
    "keys.txt": "Keys hang beside the door. 钥匙挂在门边。\r\nBring them back.",
    "page.html": "<h1>Opening hours</h1><p>From nine to five, but for <b>Mondays</b>.</p>",
    "count.py": "def count(keys):\n    return len(keys)\n\n\nclass Door:\n    pass\n",
    "long.txt": " ".join(f"then came day {number * number} of the journey," for number in range(600)),
}
QUESTIONS = ["descaler", "钥匙在哪里", "when are you open on Mondays", "keys of the door", "len"]


class Letters:
    """An embedder for which texts are alike that have the same letters."""

    name, dimension = "letters", 64

    def embed(self, texts: Sequence[str], role: Role = "passage") -> Embedded:
        rows = [np.bincount([ord(letter) % 64 for letter in text], minlength=64) for text in texts]
        matrix = np.array(rows, np.float32)
        return Embedded(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), sum(map(len, texts)))


def given_texts() -> list[Document]:
    return [Document(name, text) for name, text in sorted(TEXTS.items())]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, text in TEXTS.items():
        (folder / name).write_bytes(text.encode())
    update(folder / "index", [folder / name for name in TEXTS])
    return folder / "index"


@pytest.mark.parametrize("opened", [None, Letters()])
def test_they_are_found_as_files_are(index: Path, opened: Embedder | None) -> None:
    if opened is not None:
        make_vectors(index, opened)
    for question in QUESTIONS:
        files, texts = search(index, question, opened, 3), search_texts(given_texts(), question, opened, 3)
        assert files.by_meaning == texts.by_meaning == (opened is not None)
        assert files.found.passages == texts.found.passages
        found = [
            (Path(hit.file).name, hit.first_line, hit.last_line, hit.heading, hit.text) for hit in files.found.hits
        ]
        assert found == [(hit.file, hit.first_line, hit.last_line, hit.heading, hit.text) for hit in texts.found.hits]
        ours, theirs = ([hit.score for hit in each.found.hits] for each in (texts, files))
        assert ours == pytest.approx(theirs)


def test_it_tells_how_far_it_is_and_can_be_stopped() -> None:
    told: list[float] = []
    search_texts(given_texts(), "keys", Letters(), progress=lambda done, _: told.append(done))
    assert told == sorted(told)
    assert told[-1] == 1.0

    def stop(_done: float, _said: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        search_texts(given_texts(), "keys", Letters(), progress=stop)


def test_what_can_not_be_searched_is_said() -> None:
    with pytest.raises(TextError, match="no text"):
        search_texts([Document("a", " \n ")], "keys")
    with pytest.raises(TextError, match="the question is empty"):
        search_texts(given_texts(), " ")
    made = GivenTexts(given_texts())
    with pytest.raises(InputError, match="passages"):
        made.search("keys", np.ones(3), np.ones((2, 3)))


@settings(max_examples=60)
@given(st.lists(st.text(max_size=300), min_size=1, max_size=4), st.text(min_size=1, max_size=20))
def test_any_text_is_cut_and_searched(texts: list[str], question: str) -> None:
    try:
        found = GivenTexts([Document(f"{number}.md", text) for number, text in enumerate(texts)]).search(question)
    except TextError:
        return
    for hit in found.hits:
        assert hit.text.strip()
        assert 1 <= hit.first_line <= hit.last_line <= texts[int(hit.file.removesuffix(".md"))].count("\n") + 1
