"""Where an answer may come from: the same words, and the nearest passages, in the training text of a work folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chidu.corpus import Document, normalise, read_lines
from chidu.errors import WorkFolderError
from chidu.index import Near, Span, Trace, build_trace
from chidu.runs.folder import check_work_folder
from chidu.runs.record import Record, machine, now

__all__ = ["CorpusTrace", "Origin", "is_trained_on"]

STAGE = "trace"

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Origin:
    """What the training text holds of an answer."""

    work: str
    """The work folder."""
    documents: int
    bytes: int
    spans: tuple[Span, ...]
    """The longest parts of prompt and answer that stand there word for word and reach into the answer."""
    near: tuple[Near, ...]
    """Passages that share its rarest words, the nearest first."""
    is_own: bool
    """True where the model was trained on this text."""


class CorpusTrace:
    """The suffix arrays of a work folder's training text."""

    def __init__(self, work: str | Path, is_own: bool, progress: Progress | None = None) -> None:
        """Open them, or make them first where they are not there yet or are of another text.

        ``is_own``: whether the model that is to be explained was trained on this text.

        Raises WorkFolderError where the folder holds no finished corpus, IndexFolderError where ``trace`` in it can't
        be written or is damaged.
        """
        self.work, self.is_own = Path(work), is_own
        check_work_folder(self.work)
        made = Record.read(self.work / "corpus")
        if made is None:
            raise WorkFolderError(
                f"{work} holds no finished corpus: make one with chidu corpus, or name another folder"
            )
        inputs = {"train": made.outputs["train.jsonl"]["sha256"]}
        folder = self.work / STAGE
        record = Record.read(folder)
        if record is None or record.inputs != inputs:
            _make(self.work, inputs, progress)
        self._trace = Trace(folder)

    def origin(self, prompt: str, answer: str) -> Origin:
        """Look for what may have been the answer's source."""
        text = normalise(prompt + answer)
        begins = len(normalise(prompt))
        spans = tuple(span for span in self._trace.spans(text) if span.end > begins) if text else ()
        facts = self._trace.facts
        return Origin(
            str(self.work), facts["documents"], facts["bytes"], spans, tuple(self._trace.nearest(text)), self.is_own
        )


def is_trained_on(model: str, work: Path) -> bool:
    """Tell whether a model is the one of a work folder."""
    return Path(model).exists() and Path(model).resolve() == (work / "model").resolve()


def _make(work: Path, inputs: dict[str, str], progress: Progress | None) -> None:
    """Make the suffix arrays of a corpus, and then their record: without it they are made, from what is whole."""
    folder, started, clock = work / STAGE, now(), time.monotonic()
    (folder / "record.json").unlink(missing_ok=True)
    facts = build_trace(_documents(work / "corpus" / "train.jsonl", progress), folder)
    Record(
        stage=STAGE, settings={}, inputs=inputs, outputs={}, result={key: facts[key] for key in ("documents", "bytes")},
        started=started, seconds=time.monotonic() - clock, versions=facts["versions"], machine=machine(),
    ).write(folder)  # fmt: skip


def _documents(path: Path, progress: Progress | None) -> Iterator[Document]:
    read, size = 0, path.stat().st_size
    for line in read_lines(path):
        yield Document(line["text"], line["source"], line["licence"])
        read += len(line["text"].encode("utf-8", "replace"))
        if progress is not None:
            progress(read / size, "sorting the training text")
