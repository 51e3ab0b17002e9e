"""Search of one's own files: an index that keeps up with them, questions answered by words and by meaning.

The index answers by words (BM25) as soon as the files are read. Vectors take longer, some passages a second; they are
made by `make_vectors`, in the same process or another, while searches go on.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from chidu.apps.glosses import glosses_for
from chidu.apps.questions import question_vector
from chidu.apps.vectors import embed_all
from chidu.errors import IndexBusyError
from chidu.index import Document, Found, GivenTexts, Gloss, Index, Updated, update_index
from chidu.index import Embedder as Kind

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from numpy.typing import NDArray

    from chidu.inference.embedding import Embedder

__all__ = ["Searched", "are_vectors_made", "default_index", "make_vectors", "search", "search_texts", "update"]

Progress = Callable[[float, str], None]
Result = TypeVar("Result")

ENOUGH = 0.9
"""Share of passages with a vector from which on vectors rank too. Below it the few that have one would come first for
no other reason."""
_BATCH = 8
"""Passages whose vectors are kept at once: what a killed process loses."""
_PATIENCE = 10.0
"""Seconds to wait for another process that writes: one that makes vectors writes for a moment, again and again."""


@dataclass(frozen=True)
class Searched:
    """What a search found, and how far the index was."""

    found: Found
    vector: NDArray[np.float32] | None = field(hash=False)
    """The question's, where vectors ranked the passages too; None where words alone did."""
    glosses: tuple[Gloss, ...] = ()
    """What the words of a Chinese question were taken for, where the passages are in another language."""

    @property
    def by_meaning(self) -> bool:
        """True where vectors ranked the passages too."""
        return self.vector is not None

    @property
    def by(self) -> str:
        """What ranked the passages, in words."""
        return "words and vectors" if self.by_meaning else "words"

    @property
    def passages(self) -> int:
        """Passages that were searched."""
        return self.found.passages

    @property
    def without_vectors(self) -> int:
        """Those of them that have no vector yet."""
        return self.found.without_vectors


def default_index(paths: Sequence[str | Path]) -> Path:
    """Return where the index of these files and folders is kept, unless a place is named: by their full paths, under
    `$XDG_CACHE_HOME/chidu/indexes`, else `~/.cache/chidu/indexes`."""
    whole = sorted(os.fspath(Path(path).resolve()) for path in paths)
    cache = os.environ.get("XDG_CACHE_HOME")
    name = hashlib.sha256("\0".join(whole).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return (Path(cache) if cache else Path.home() / ".cache") / "chidu" / "indexes" / name


def update(folder: Path, paths: Sequence[str | Path], progress: Progress | None = None) -> Updated:
    """Make the index hold what is in these files and folders now: changed files alone are read.

    Raises what `chidu.index.update_index` raises: IndexBusyError after ten seconds of another process at it.
    """
    return _patiently(partial(update_index, folder, paths, progress=progress))


def search(
    folder: Path, question: str, embedder: Embedder | None = None, top: int = 5, *, by_dictionary: bool = True
) -> Searched:
    """Find the passages that a question asks for: by words, and by meaning where nine tenths have their vectors.

    A Chinese question of passages in another language is asked by what its words mean, too, by a dictionary.

    Raises TextError for an empty question, SettingError for a top below 1 or above 100, IndexFolderError where there
    is no index or its vectors are another embedder's.
    """
    with Index(folder, _kind(embedder)) as index:
        found = index.search(question, most=top)
        meant = glosses_for(question, found) if by_dictionary else ()
        if embedder is None or found.without_vectors > (1 - ENOUGH) * found.passages:
            return Searched(index.search(question, most=top, glosses=meant) if meant else found, None, meant)
        vector = question_vector(embedder, question, meant)
        return Searched(index.search(question, vector, most=top, glosses=meant), vector, meant)


def search_texts(
    texts: Sequence[Document],
    question: str,
    embedder: Embedder | None = None,
    top: int = 5,
    progress: Progress | None = None,
    *,
    by_dictionary: bool = True,
) -> Searched:
    """Find the passages of these texts that a question asks for, by words, and by meaning with an embedder, which reads
    all of them for that. Nothing is kept.

    Raises TextError for an empty question, or where the texts are.
    """
    given = GivenTexts(texts)
    found = given.search(question, most=top)
    meant = glosses_for(question, found) if by_dictionary else ()
    if embedder is None:
        return Searched(given.search(question, most=top, glosses=meant) if meant else found, None, meant)
    rows, said = [], given.said
    for start in range(0, len(said), _BATCH):
        rows.append(embed_all(embedder, said[start : start + _BATCH]))
        if progress is not None:
            done = min(start + _BATCH, len(said))
            progress(done / len(said), f"{done:,} of {len(said):,} passages")
    vector = question_vector(embedder, question, meant)
    return Searched(given.search(question, vector, np.concatenate(rows), top, meant), vector, meant)


def make_vectors(folder: Path, embedder: Embedder, progress: Progress | None = None) -> int:
    """Make the vectors that passages lack; return how many there were. What was made stays, whenever it ends.

    One process at a time does this for an index; another waits until it ended. Raises IndexFolderError where the
    index's vectors are another embedder's.
    """
    with _lock(folder), Index(folder, _kind(embedder)) as index:
        wanted, done = list(index.wanted()), 0
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            matrix = embed_all(embedder, [f"{one.heading}\n{one.text}".strip() for one in batch])
            _patiently(partial(index.fill, [one.key for one in batch], matrix))
            done += len(batch)
            if progress is not None:
                progress(done / len(wanted), f"{done:,} of {len(wanted):,} passages")
    return done


def are_vectors_made(folder: Path) -> bool:
    """Tell whether some process makes the vectors of this index now."""
    from filelock import Timeout

    try:
        with _lock(folder).acquire(blocking=False):
            return False
    except Timeout:
        return True


def _lock(folder: Path) -> BaseFileLock:
    """Return the lock of who makes vectors: no other writes them, but the files' words may change meanwhile."""
    from filelock import FileLock

    return FileLock(folder / ".lock-vectors")


def _kind(embedder: Embedder | None) -> Kind | None:
    return None if embedder is None else Kind(embedder.name, embedder.dimension)


def _patiently(write: Callable[[], Result]) -> Result:
    """Write into an index as soon as no other process does. Raises IndexBusyError where that takes too long."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return write()
        except IndexBusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
