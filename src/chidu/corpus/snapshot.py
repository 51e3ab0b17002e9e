"""What was collected, kept as it was found: a later package upgrade changes no corpus that was made before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from chidu.corpus.document import Document, Dropped
from chidu.corpus.lines import read_lines, write_line
from chidu.runs.record import open_whole

__all__ = ["read_snapshot", "write_snapshot"]


def write_snapshot(items: Iterable[Document | Dropped], path: Path) -> int:
    """Write every document, and every one that was dropped on the way, as JSON lines; return how many documents."""
    count = 0
    with open_whole(path) as file:
        for item in items:
            is_document = isinstance(item, Document)
            count += is_document
            write_line(file, {"document" if is_document else "dropped": asdict(item)})
    return count


def read_snapshot(path: Path) -> Iterator[Document | Dropped]:
    """Yield what `write_snapshot` was given, in the same order."""
    for line in read_lines(path):
        yield Document(**line["document"]) if "document" in line else Dropped(**line["dropped"])
