"""Which items stand in the training text, letter by letter: these prove memory, and no skill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from chidu.parallel import Emit, Place

__all__ = ["found_in_text"]

CHUNK_BYTES = 8_000_000


def found_in_text(traces: Sequence[str], text: Path, place: Place) -> set[str]:
    """Return those of some strings that a .jsonl file's texts hold somewhere. Lines are shared out over the cores."""
    size = text.stat().st_size
    # As they stand in JSON: one search over the file's bytes does for all documents.
    needles = {json.dumps(trace, ensure_ascii=False)[1:-1].encode("utf-8", "replace"): trace for trace in traces}
    items = [(str(text.absolute()), start, tuple(needles)) for start in range(0, size, CHUNK_BYTES)]
    return {needles[needle] for found in place.map(_look, items) for needle in found}


def _look(item: tuple[str, int, tuple[bytes, ...]], _: Emit) -> list[bytes]:
    path, start, needles = item
    with Path(path).open("rb") as file:
        file.seek(start)
        # A string may begin in one chunk and end in the next.
        part = file.read(CHUNK_BYTES + max(map(len, needles), default=0))
    return [needle for needle in needles if needle in part]
