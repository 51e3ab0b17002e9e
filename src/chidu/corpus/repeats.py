"""Near-duplicates: documents that say, line by line, what was said before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

__all__ = ["SeenLines"]

SHORTEST_LINE = 40
"""Bytes of a line that counts; shorter ones (brackets, headings, `Returns`) recur by chance."""
MOST_REPEATED = 0.5
"""Share of a document's counted bytes that may stand in documents kept before it."""


class SeenLines:
    """The long lines of all documents kept so far, as 64-bit hashes (about 0.1 kB each)."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def is_repeat(self, text: str) -> bool:
        """Say whether more than half of a text's long lines were seen before; remember them where not."""
        lines = list(_long_lines(text))
        repeated = sum(size for mark, size in lines if mark in self._seen)
        if repeated > MOST_REPEATED * sum(size for _, size in lines):
            return True
        self._seen.update(mark for mark, _ in lines)
        return False


def _long_lines(text: str) -> Iterator[tuple[int, int]]:
    """Yield hash and bytes of each line that counts."""
    for line in text.split("\n"):
        content = line.strip().encode()
        if len(content) >= SHORTEST_LINE:
            yield int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big"), len(content)
