"""Where a text stands word for word in a corpus: suffix arrays over the bytes of its documents.

Bytes, and not tokens: any text is looked up without a tokenizer, and what one model's corpus holds is found for
another's words too. In UTF-8 a match that begins with a character's first byte begins there in the corpus as well, so
only ends are moved back to a whole character. Between documents stands a byte that UTF-8 has not: no match crosses it.

A corpus is kept in shards, each a text, its suffix array (4 bytes a byte), and its documents. A shard is named by its
content: an interrupted making goes on with those that are whole, and a changed corpus sorts what changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from chidu.corpus import Document, Dropped
from chidu.corpus.lines import write_line
from chidu.errors import IndexFolderError, MissingPackageError, SettingError, TextError, WorkFolderError
from chidu.index.nearest import Near, nearest
from chidu.index.shard import Place, Shard
from chidu.index.store import hold
from chidu.runs.record import open_whole, read_json, versions, write_json

__all__ = ["SHARD_BYTES", "SHORTEST", "Span", "Trace", "build_trace"]

SHARD_BYTES = 100_000_000
"""Bytes of text in a shard: sorting one takes about six times that in memory."""
SHORTEST = 32
"""Bytes of a span that is told: some six English words, or eleven Chinese characters."""
FORMAT = 1
NAME = "trace.json"
_BETWEEN = b"\xff"
_MOST = 2**31 - 1

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Span:
    """A part of a text that stands in the corpus, and in no longer one that does."""

    start: int
    """First character in the text that was asked about."""
    end: int
    """One past the last."""
    text: str
    count: int
    """How often it stands in the corpus."""
    places: tuple[Place, ...]
    """The first of them by shard and position, one for each document."""


def build_trace(
    documents: Iterable[Document | Dropped], folder: str | Path, *, shard_bytes: int = SHARD_BYTES
) -> dict[str, Any]:
    """Make the suffix arrays of documents in ``folder``; return what it holds, as JSON. Dropped ones are passed over.

    Readers see the former state until all is done. Killed, it goes on with the shards that are whole. Texts are taken
    as they are: normalise them, and what is asked about, with `chidu.corpus.normalise`.

    Raises TextError where no document has text, SettingError for a size of shards out of range, IndexFolderError where
    the folder can't be written, holds other files, or another process writes into it, MissingPackageError without
    pydivsufsort.
    """
    try:
        import pydivsufsort
    except ImportError as error:
        raise MissingPackageError("pydivsufsort", "search", "tracing text") from error
    if not 1 <= shard_bytes < _MOST:
        raise SettingError(f"shard_bytes is {shard_bytes}: it must be from 1 to {_MOST - 1}")
    folder = Path(folder)
    with hold(folder, NAME):
        shards = []
        for text, rows in _shards(documents, shard_bytes):
            shards.append(_write_shard(folder, text, rows, pydivsufsort.divsufsort))
        if not shards:
            raise TextError(f"{folder}: no document with text came in: name a corpus that holds some")
        found = {
            "chidu_trace": FORMAT, "bytes": sum(one["bytes"] for one in shards),
            "documents": sum(one["documents"] for one in shards), "shards": shards,
            "versions": versions(("chidu", "numpy", "pydivsufsort")),
        }  # fmt: skip
        write_json(folder / NAME, found)
        kept = {one["name"] for one in shards}
        for path in folder.glob("shard-*"):
            if path.name.partition(".")[0] not in kept:
                path.unlink()
    return found


def _shards(documents: Iterable[Document | Dropped], most: int) -> Iterator[tuple[bytes, list[dict[str, Any]]]]:
    """Yield the text of each shard, and for each of its documents where it begins and what it is."""
    text, rows = bytearray(), list[dict[str, Any]]()
    for document in documents:
        if isinstance(document, Dropped) or not document.text:
            continue
        content = document.text.encode("utf-8", "replace")
        if len(content) >= _MOST:
            raise TextError(f"{document.where or document.source}: a document of 2 GiB or more: split it")
        if text and len(text) + len(content) > most:
            yield bytes(text), rows
            text, rows = bytearray(), []
        rows.append({
            "start": len(text), "id": document.id, "source": document.source, "licence": document.licence,
            "where": document.where,
        })  # fmt: skip
        text += content + _BETWEEN
    if text:
        yield bytes(text), rows


def _write_shard(folder: Path, text: bytes, rows: list[dict[str, Any]], sort: Any) -> dict[str, Any]:
    """Write a shard's files where they are not there yet, the suffix array last."""
    told = json.dumps(rows, ensure_ascii=False).encode("utf-8", "replace")
    name = f"shard-{hashlib.sha256(hashlib.sha256(text).digest() + told).hexdigest()[:16]}"
    path = folder / f"{name}.suffixes"
    if not (path.exists() and path.stat().st_size == 4 * len(text)):
        with open_whole(folder / f"{name}.text") as file:
            file.write(text)
        lines = []
        with open_whole(folder / f"{name}.documents") as file:
            for row in rows:
                lines.append((row["start"], file.tell()))
                write_line(file, {key: value for key, value in row.items() if key != "start"})
        for suffix, values in ((".starts", np.array(lines, np.int64)), (".heads", _heads(text))):
            with open_whole(folder / f"{name}{suffix}") as file:
                np.save(file, values)
        with open_whole(path) as file:
            np.asarray(sort(text), "<i4").tofile(file)
    return {"name": name, "bytes": len(text) - len(rows), "documents": len(rows)}


def _heads(text: bytes) -> Array:
    """Return for each pair of bytes how many suffixes begin with a lower one: the search begins within its own."""
    values = np.frombuffer(text, np.uint8)
    counts = np.zeros(65_536, np.int64)
    for start in range(0, len(values) - 1, 10_000_000):
        part = values[start : start + 10_000_001]
        counts += np.bincount(part[:-1].astype(np.uint16) << 8 | part[1:], minlength=65_536)
    # The one suffix of a single byte, the last, begins with a byte that nobody asks for.
    return np.concatenate([[0], np.cumsum(counts)])


class Trace:
    """The suffix arrays of a corpus, mapped into memory."""

    def __init__(self, folder: str | Path) -> None:
        """Open what `build_trace` made.

        Raises IndexFolderError where there is none, its making never finished, a newer Chidu made it, or it is damaged.
        """
        self.folder = Path(folder)
        path = self.folder / NAME
        if not path.is_file():
            raise IndexFolderError(f"{folder} holds no trace, or its making never finished: make it (again) first")
        try:
            self.facts = dict(read_json(path))
            if self.facts["chidu_trace"] > FORMAT:
                raise IndexFolderError(
                    f"{path} was made by a newer Chidu (format {self.facts['chidu_trace']}, this one reads {FORMAT}): "
                    "upgrade with pip install -U chidu, or name another folder"
                )
            self._shards = [Shard(self.folder, one["name"]) for one in self.facts["shards"]]
        except (OSError, ValueError, KeyError, TypeError, WorkFolderError) as error:
            raise IndexFolderError(f"{folder} is damaged ({error}): delete it and make it again") from error

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._shards = []

    def spans(self, text: str, shortest: int = SHORTEST, most: int = 5) -> list[Span]:
        """Return the longest parts of a text that stand in the corpus, in their order; they may overlap.

        Each has ``shortest`` bytes (UTF-8) or more, is made of whole characters, and lies in no longer one. At most so
        many places of each are told. Raises TextError for an empty text, SettingError for numbers out of range.
        """
        if not text.strip():
            raise TextError("the text is empty: give some to look for")
        if shortest < 2 or most < 1:
            raise SettingError(f"shortest is {shortest} and most {most}: 2 and 1 at least are needed")
        content = text.encode("utf-8", "replace")
        reach: dict[int, int] = {}
        for shard in self._shards:
            _extend(reach, shard, content, shortest)
        return [self._span(content, start, end, most) for start, end in sorted(reach.items())]

    def nearest(self, text: str, most: int = 3) -> list[Near]:
        """Return passages of the corpus that share the rarest words of a text, the nearest first: see `nearest`."""
        return nearest(self._shards, text, most)

    def _span(self, content: bytes, start: int, end: int, most: int) -> Span:
        wanted = content[start:end]
        count, places = 0, list[Place]()
        for shard in self._shards:
            here, found = shard.find(wanted, most)
            count += here
            places += found
        first = len(content[:start].decode())
        text = wanted.decode()
        return Span(first, first + len(text), text, count, tuple(places[:most]))


def _extend(reach: dict[int, int], shard: Shard, content: bytes, shortest: int) -> None:
    """Add the spans of a shard to those known, start → end, and take away what lies in longer ones."""
    known, end = dict(reach), 0
    for start in range(len(content) - shortest + 1):
        end = max(end, known.get(start, 0))
        stop = max(start + shortest, end + 1)
        if stop > len(content):
            break
        if _is_within(content, start):
            continue
        found = shard.longest(content, start, stop)
        while _is_within(content, found):
            found -= 1
        if found >= stop:
            reach[start] = end = found
    furthest = 0
    for start in sorted(reach):
        if reach[start] <= furthest:
            del reach[start]
        else:
            furthest = reach[start]


def _is_within(content: bytes, place: int) -> bool:
    """True where a place lies within a character."""
    return place < len(content) and content[place] & 0xC0 == 0x80
