"""A work folder's trace: made once, made again for another text, gone on with where it was cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chidu.corpus import Document, build_corpus
from chidu.errors import IndexFolderError, WorkFolderError
from chidu.evaluation.tracing import CorpusTrace
from chidu.runs.folder import open_work_folder
from chidu.runs.stage import run_stage

ANSWER = "the quick vermilion okapi never sleeps before noon"

# So many, since some may be held out.
SAID = [f"Number {number} says: {ANSWER}." for number in range(8)]


def corpus(work: Path, *more: str) -> Path:
    """Make a work folder with a corpus of a few documents, and these."""
    texts = [f"Document {number} tells of matter {number * 7919} and of nothing else at all." for number in range(20)]
    documents = [
        *(Document(text, f"file{number}.txt", "MIT") for number, text in enumerate(texts)),
        *(Document(text, "zoo.txt", "CC0-1.0") for text in more),
    ]
    with open_work_folder(work):
        run_stage(work / "corpus", {}, {"text": json.dumps(more)}, lambda one: build_corpus(documents, one), print)
    return work


def test_an_answer_is_found_with_its_source_and_licence(tmp_path: Path) -> None:
    trace = CorpusTrace(corpus(tmp_path, *SAID), is_own=False)
    found = trace.origin("It is known that the quick", ANSWER.removeprefix("the quick"))
    assert (found.work, found.is_own) == (str(tmp_path), False)
    (span,) = found.spans
    assert span.text == f" {ANSWER}"
    assert 1 <= span.count <= len(SAID)
    assert {(place.source, place.licence) for place in span.places} == {("zoo.txt", "CC0-1.0")}
    assert found.near[0].place.source == "zoo.txt"
    assert {"vermilion", "okapi"} <= set(found.near[0].words)
    assert 10 < found.documents < 28


def test_what_stands_in_the_prompt_alone_is_no_source_of_the_answer(tmp_path: Path) -> None:
    trace = CorpusTrace(corpus(tmp_path, *SAID), is_own=True)
    assert trace.origin(f"Is it so that {ANSWER}? ", "Zyzzyva qwx.").spans == ()


def test_it_is_made_once_and_again_for_another_text(tmp_path: Path) -> None:
    work = corpus(tmp_path)
    told = list[float]()
    CorpusTrace(work, is_own=True, progress=lambda done, _: told.append(done))
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] <= 1
    before = len(told)
    CorpusTrace(work, is_own=True, progress=lambda done, _: told.append(done))
    assert len(told) == before
    corpus(work, *SAID)
    trace = CorpusTrace(work, is_own=True, progress=lambda done, _: told.append(done))
    assert len(told) > before
    assert trace.origin("It is", f" {ANSWER}").spans


def test_one_that_was_cut_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record comes last: without it, what is whole is kept, and what is torn is made again."""
    import pydivsufsort

    work = corpus(tmp_path, *SAID)
    CorpusTrace(work, is_own=True)
    calls, real = list[int](), pydivsufsort.divsufsort
    monkeypatch.setattr(pydivsufsort, "divsufsort", lambda text: calls.append(len(text)) or real(text))
    (work / "trace" / "record.json").unlink()
    CorpusTrace(work, is_own=True)
    assert not calls
    (work / "trace" / "record.json").unlink()
    (torn,) = (work / "trace").glob("*.suffixes")
    torn.write_bytes(torn.read_bytes()[:-4])
    trace = CorpusTrace(work, is_own=True)
    assert len(calls) == 1
    assert trace.origin("It", f" is known that {ANSWER}").spans


def test_what_is_no_folder_for_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkFolderError, match="holds no finished corpus"):
        CorpusTrace(tmp_path / "none", is_own=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkFolderError, match="holds other files"):
        CorpusTrace(tmp_path, is_own=False)
    work = corpus(tmp_path / "work")
    CorpusTrace(work, is_own=True)
    (torn,) = (work / "trace").glob("*.suffixes")
    torn.write_bytes(b"")
    with pytest.raises(IndexFolderError, match="damaged"):
        CorpusTrace(work, is_own=True)
