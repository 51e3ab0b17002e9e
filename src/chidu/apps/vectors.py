"""Vectors of texts of any length: nothing of a text is lost where it is longer than an embedder reads.

An embedder's context is short (512 tokens for `e5`, 256 for `minilm`). A text beyond it is read in parts, cut between
lines, sentences or words near the middle; its vector is the mean of theirs, each counted by its length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chidu.errors import ContextError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from chidu.inference.embedding import Embedder, Role

__all__ = ["embed_all"]

_SEAMS = (re.compile(r"\n"), re.compile(r"[。！？；]|[.!?;](?=\s)"), re.compile(r"[，、]|\s"))


def embed_all(embedder: Embedder, texts: Sequence[str], role: Role = "passage") -> NDArray[np.float32]:
    """Return vectors of length 1, [texts, dimension], whatever the texts' lengths.

    Raises InputError where a text is empty.
    """
    import numpy as np

    try:
        return embedder.embed(texts, role).vectors
    except ContextError:
        if len(texts) > 1:
            return np.concatenate([embed_all(embedder, [text], role) for text in texts])
    parts = _halves(texts[0])
    lengths = np.array([len(part) for part in parts], np.float32)
    mean = lengths @ embed_all(embedder, parts, role)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)[None]


def _halves(text: str) -> list[str]:
    """Cut a text in two, at the best seam of its middle half, without blank halves."""
    text = text.strip()
    if len(text) < 2:
        raise ContextError(f"the embedder's context does not hold {text!r} alone: name another with --embedder")
    middle = len(text) // 2
    ends = [
        min((match.end() for match in found), key=lambda end: abs(end - middle))
        for seam in _SEAMS
        if (found := list(seam.finditer(text, middle // 2, middle + middle // 2)))
    ]
    end = ends[0] if ends else middle
    return [half for half in (text[:end], text[end:]) if half.strip()]
