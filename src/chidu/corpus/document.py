"""A document, and what is said of one that is left out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

__all__ = ["LONGEST", "NOT_UTF8", "Document", "Dropped"]

LONGEST = 8_000
"""Characters of a document in a corpus: some 2,000 tokens, more than the contexts we train with, yet small enough to
shuffle, and to hold out a fair sample."""
NOT_UTF8 = "not UTF-8"
"""The reason of a text in another encoding. The data card names the first such file: its owner can convert it."""


@dataclass(frozen=True)
class Document:
    """One text and where it comes from."""

    text: str
    source: str
    """The package or file it was read from."""
    licence: str = "unknown"
    """SPDX expression, or the licence as the source states it."""
    language: str | None = None
    """Two-letter code where the source states it; else it is judged roughly from the characters."""
    version: str = ""
    """Version of the package."""
    where: str = ""
    """``file:line``, for people who look for it."""

    @cached_property
    def id(self) -> str:
        """The sha256 of the text (UTF-8), in hexadecimal; of the normalised text once `build_corpus` had it."""
        return hashlib.sha256(self.text.encode("utf-8", "replace")).hexdigest()

    @cached_property
    def bytes(self) -> int:
        """Length of the text in UTF-8."""
        return len(self.text) if self.text.isascii() else len(self.text.encode("utf-8", "replace"))


@dataclass(frozen=True)
class Dropped:
    """A text that was left out, and why. Sources yield these among their documents, so that each is listed."""

    source: str
    reason: str
    """A few words, the same for all that were dropped for the same reason."""
    where: str = ""
    """``file`` or ``file:line``."""
    id: str = ""
    """The document's id, where it was read far enough to have one."""
    bytes: int = 0
    """Length of the text in UTF-8, 0 where it was not read."""
    detail: str = ""
    """What differs from case to case: the position of a bad byte, a parser's message."""
