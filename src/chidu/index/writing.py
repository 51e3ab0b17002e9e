"""An index made and kept up: only files that changed are read, and what readers see changes at one moment."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chidu.corpus import Dropped
from chidu.errors import SettingError, TextError
from chidu.index.filling import compact
from chidu.index.passage import LONGEST, Passage
from chidu.index.postings import Counts, make_postings, write_postings
from chidu.index.reading import MOST_BYTES, File, digest, find_files, read_passages
from chidu.index.store import FORMAT, Store, hold, without_vectors
from chidu.index.words import stemmer
from chidu.runs.record import Record, fingerprint, machine, now, versions
from chidu.units import count_of

__all__ = ["Updated", "update_index"]

Progress = Callable[[float, str], None]

_SHORTEST = 100
"""Characters that a passage must be allowed to have."""
_BATCH = 2_000
"""Passages that are committed at once: what a killed process loses at most."""
_SETTLED = 2_000_000_000
"""Nanoseconds after which a change of a file shows in its time on any file system. A file that was changed so shortly
before it was read is read again next time."""


@dataclass(frozen=True)
class Updated:
    """What an update found and did."""

    files: int
    """Files in the index now."""
    passages: int
    """Passages in the index now."""
    read: int
    """Files that were read, since they are new or changed."""
    unchanged: int
    """Files that were not read again."""
    removed: int
    """Files that were in the index and are not there any more, or are left out now."""
    left_out: dict[str, int]
    """Reason → files, folders and lines of .jsonl files that are not in the index."""
    without_vectors: int
    """Passages that have no vector yet."""
    seconds: float

    def __str__(self) -> str:
        left = "".join(f"; left out: {reason} ({count})" for reason, count in self.left_out.items())
        return (
            f"{count_of(self.files, 'file')}, {count_of(self.passages, 'passage')} ({count_of(self.read, 'file')} read,"
            f" {self.unchanged:,} unchanged, {self.removed:,} removed){left}"
        )


def update_index(
    folder: str | Path,
    paths: Sequence[str | Path],
    *,
    longest: int = LONGEST,
    most_bytes: int = MOST_BYTES,
    stemming: str = "",
    progress: Progress | None = None,
) -> Updated:
    """Make the index in ``folder`` hold the passages of these files and folders, and of nothing else.

    Files whose content it knows are not cut again, and those whose bytes and time are unchanged not even read. Readers
    see the former state until all is done, then the new one. What an interrupted update has read is found again by
    the next. Vectors of passages whose text is unchanged stay.

    ``longest``: characters of a passage, wide ones counted as two. ``most_bytes``: larger files are left out.
    ``stemming``: a language whose endings are taken off words ("english"), or nothing.

    Raises TextError where a path does not exist or no passage is found (the index then stays as it was), SettingError
    where a setting is out of range, IndexFolderError where the folder can't be written, is no index, or another process
    writes into it.
    """
    if longest < _SHORTEST:
        raise SettingError(f"longest is {longest}: a passage needs {_SHORTEST} characters or more")
    begun, started, folder = time.monotonic(), now(), Path(folder)
    settings = {"longest": longest, "most_bytes": most_bytes, "stemming": stemming}
    words = stemmer(stemming)
    found = list(find_files(paths, folder, most_bytes))
    with hold(folder):
        store = Store(folder, make=True)
        try:
            update = _Update(store, settings, words)
            update.read([one for one in found if isinstance(one, File)], progress)
            update.left_out += [one for one in found if isinstance(one, Dropped)]
            result = update.finish(paths, time.monotonic() - begun)
            compact(store)
            _record(store, settings, result, started)
        finally:
            store.close()
    return result


class _Update:
    def __init__(self, store: Store, settings: dict[str, Any], words: Callable[[str], list[str]]) -> None:
        self._store = store
        self._settings = fingerprint([settings["longest"], settings["stemming"]])
        self._longest, self._most_bytes = settings["longest"], settings["most_bytes"]
        self._stemming = settings["stemming"]
        self._words = words
        self.left_out: list[Dropped] = []
        self._files: dict[str, tuple[int, int, int, int]] = {}
        with store.transaction("DEFERRED") as database:
            self._numbers: dict[str, int] = dict(database.execute("SELECT word, id FROM words"))
            self._before: dict[str, tuple[int, int, int, int]] = {
                name: tuple(values)
                for name, *values in database.execute("SELECT name, content, bytes, changed, seen FROM files")
            }
            self._is_same = store.fact("settings") == self._settings
        self._new_words: list[tuple[int, str]] = []
        self._read = self._unchanged = 0

    def read(self, files: Sequence[File], progress: Progress | None) -> None:
        """Read what is new or changed, committing now and then."""
        total, done = sum(file.bytes for file in files) or 1, 0
        waiting = iter(files)
        while batch := list(self._batch(waiting)):
            done += sum(file.bytes for file in batch)
            if progress is not None:
                progress(done / total, f"reading {batch[-1].name}")

    def _batch(self, files: Iterator[File]) -> Iterator[File]:
        """Take files until as many passages are new as are committed at once."""
        new = 0
        with self._store.transaction() as database:
            for file in files:
                new += self._take(file)
                yield file
                if new >= _BATCH:
                    break
            database.executemany("INSERT INTO words VALUES (?, ?)", self._new_words)
        self._new_words = []

    def _take(self, file: File) -> int:
        """Find the content of a file, or read it; return how many passages are new."""
        before = self._before.get(file.name) if self._is_same else None
        if before is not None and before[1:3] == (file.bytes, file.changed) and file.changed + _SETTLED < before[3]:
            self._files[file.name] = before
            self._unchanged += 1
            return 0
        seen, self._read = time.time_ns(), self._read + 1
        found = digest(file)
        if isinstance(found, Dropped):
            self.left_out.append(found)
            return 0
        mark = f"{found}:{file.kind}:{self._settings}"
        known = self._store.database.execute("SELECT id FROM contents WHERE mark = ?", (mark,)).fetchone()
        content, new = (known[0], 0) if known else self._cut(file, mark)
        if content is not None:
            self._files[file.name] = (content, file.bytes, file.changed, seen)
        return new

    def _cut(self, file: File, mark: str) -> tuple[int | None, int]:
        """Write a file's passages; return the content's id, None where the file is left out, and how many they are."""
        database = self._store.database
        database.execute("SAVEPOINT file")
        content = database.execute("INSERT INTO contents (mark) VALUES (?)", (mark,)).lastrowid
        assert content is not None
        new, lines, whole = 0, 0, None
        for one in read_passages(file, self._longest, self._most_bytes):
            if isinstance(one, Passage):
                self._write(content, one)
                new += 1
            elif one.where == file.name:
                whole = one
            else:
                line = int(one.where.rpartition(":")[2])
                database.execute(
                    "INSERT INTO lines_left_out VALUES (?, ?, ?, ?, ?)",
                    (content, line, one.reason, one.bytes, one.detail),
                )
                lines += 1
        if whole is None and not new and not lines:
            whole = Dropped(file.name, "no text in it", file.name, bytes=file.bytes)
        if whole is not None:
            self.left_out.append(whole)
            database.execute("ROLLBACK TO file")
        database.execute("RELEASE file")
        return (None, 0) if whole is not None else (content, new)

    def _write(self, content: int, passage: Passage) -> None:
        often = Counter(self._words(f"{passage.heading}\n{passage.text}"))
        for word in [word for word in often if word not in self._numbers]:
            self._numbers[word] = len(self._numbers)
            self._new_words.append((self._numbers[word], word))
        self._store.database.execute(
            "INSERT INTO passages (content, first_line, last_line, heading, text, digest, words, counts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                content, passage.first_line, passage.last_line, passage.heading, passage.text,
                hashlib.sha256(f"{passage.heading}\n{passage.text}".encode()).digest()[:16],
                np.array([self._numbers[word] for word in often], "<i4").tobytes(),
                np.array(list(often.values()), "<i4").tobytes(),
            ),
        )  # fmt: skip

    def finish(self, paths: Sequence[str | Path], seconds: float) -> Updated:
        """Let readers see what was read, all at once. Raises TextError where no passage was found."""
        store = self._store
        with store.transaction() as database:
            _list_contents(database, self._files)
            ids = [one for (one,) in database.execute(f"SELECT id {_LISTED}")]
            if not ids:
                raise TextError(_nothing(paths, self.left_out))
            is_same = self._is_same and _contents(self._files) == _contents(self._before)
            generation = store.number("generation") + (not is_same)
            postings = store.folder / f"postings-{generation}"
            if not is_same:
                counts = database.execute(f"SELECT words, counts {_LISTED}")
                numbers = (Counts(np.frombuffer(one, "<i4"), np.frombuffer(two, "<i4")) for one, two in counts)
                write_postings(postings, make_postings(ids, numbers, len(self._numbers)))
            self._name(database, generation)
            missing = without_vectors(database)
            lines = dict(database.execute("SELECT reason, COUNT(*) FROM lines_left_out GROUP BY reason"))
        for path in set(store.folder.glob("postings-*")) - {postings}:
            shutil.rmtree(path, ignore_errors=True)
        left_out = Counter(one.reason for one in self.left_out) + Counter(lines)
        return Updated(
            files=len(self._files), passages=len(ids), read=self._read, unchanged=self._unchanged,
            removed=len(self._before.keys() - self._files.keys()), left_out=dict(left_out.most_common()),
            without_vectors=missing, seconds=seconds,
        )  # fmt: skip

    def _name(self, database: sqlite3.Connection, generation: int) -> None:
        """Write down which files and contents there are now, and forget the others."""
        database.execute("DELETE FROM files")
        rows = ((name, *values) for name, values in self._files.items())
        database.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?)", rows)
        for table, column in (("contents", "id"), ("passages", "content"), ("lines_left_out", "content")):
            database.execute(f"DELETE FROM {table} WHERE {column} NOT IN (SELECT content FROM listed)")
        database.execute("DELETE FROM vectors WHERE digest NOT IN (SELECT digest FROM passages)")
        database.execute("DELETE FROM left_out")
        left = ((one.where, one.reason, one.bytes, one.detail) for one in self.left_out)
        database.executemany("INSERT INTO left_out VALUES (?, ?, ?, ?)", left)
        self._store.set_fact("generation", generation)
        self._store.set_fact("settings", self._settings)
        self._store.set_fact("stemming", self._stemming)


_LISTED = "FROM passages JOIN listed USING (content) ORDER BY place, id"


def _list_contents(database: sqlite3.Connection, files: dict[str, tuple[int, int, int, int]]) -> None:
    """List what readers are to see, by the names of files: the order is that of the text, whatever came to it when."""
    database.execute("CREATE TEMP TABLE listed (content INTEGER PRIMARY KEY, place INTEGER NOT NULL)")
    rows = ((files[name][0], place) for place, name in enumerate(sorted(files)))
    database.executemany("INSERT OR IGNORE INTO listed VALUES (?, ?)", rows)


def _contents(files: dict[str, tuple[int, int, int, int]]) -> dict[str, int]:
    return {name: content for name, (content, *_) in files.items()}


def _nothing(paths: Sequence[str | Path], left_out: Sequence[Dropped]) -> str:
    names = ", ".join(map(str, paths)) or "(no path given)"
    if not left_out:
        return f"{names}: no file here: name a file or folder that holds text"
    reasons = Counter(one.reason for one in left_out).most_common(3)
    told = ", ".join(f"{reason} ({count})" for reason, count in reasons)
    return f"{names}: no text to index; left out: {told}: name other files, or convert these to text in UTF-8"


def _record(store: Store, settings: dict[str, Any], updated: Updated, started: str) -> None:
    """Write `record.json`: settings, what the files' contents were, versions, machine."""
    rows = store.database.execute("SELECT name, mark FROM files JOIN contents ON id = content ORDER BY name").fetchall()
    Record(
        stage="index",
        settings=settings,
        inputs={"files": fingerprint(rows)},
        outputs={},
        result={name: value for name, value in asdict(updated).items() if name != "seconds"}
        | {"generation": store.number("generation"), "format": FORMAT},
        started=started,
        seconds=updated.seconds,
        versions=versions(("chidu", "numpy")),
        machine=machine(),
    ).write(store.folder)
