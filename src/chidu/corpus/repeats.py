"""Near-duplicates: documents that say, line by line, what was said before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

__all__ = ["SHORTEST_LINE", "SeenLines", "long_lines"]

SHORTEST_LINE = 40
"""Bytes of a line that counts; shorter ones (brackets, headings, `Returns`) recur by chance."""
MOST_REPEATED = 0.5
"""Share of a document's bytes that may stand in documents kept before it."""


class SeenLines:
    """The long lines of all documents kept so far, as 64-bit hashes (about 0.1 kB each)."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def is_repeat(self, text: str) -> bool:
        """Say whether more than half of a text stands in long lines seen before; remember its lines where not."""
        lines = [(_mark(line), len(line)) for line in long_lines(text)]
        repeated = sum(size for mark, size in lines if mark in self._seen)
        # Of the whole text: short lines (verse) are its own, and one long line they share makes no copies of poems.
        if repeated > MOST_REPEATED * len(text.encode()):
            return True
        self._seen.update(mark for mark, _ in lines)
        return False


def long_lines(text: str) -> Iterator[bytes]:
    """Yield each line that counts, without the blanks around it, in UTF-8."""
    for line in text.split("\n"):
        content = line.strip().encode()
        if len(content) >= SHORTEST_LINE:
            yield content


def _mark(line: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(line, digest_size=8).digest(), "big")
