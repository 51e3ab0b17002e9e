"""The SQLite file of an index: files, passages and their words, and where the vectors are.

One file is the truth: what lies beside it (postings, vectors) is named in it, and written before it is named. So
whoever is killed at whatever moment leaves the state before or the state after, and files that nobody names.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from chidu.errors import IndexBusyError, IndexFolderError, MissingPackageError

__all__ = ["FORMAT", "Store", "hold", "without_vectors"]

FORMAT = 1
"""Raised when what is written can't be read by an older Chidu, or words and passages are cut otherwise."""
NAME = "index.sqlite"
_APPLICATION = 0x43484458
_PATIENCE = 30.0
"""Seconds to wait while another process commits."""
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE contents (id INTEGER PRIMARY KEY AUTOINCREMENT, mark TEXT NOT NULL UNIQUE);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, content INTEGER NOT NULL, first_line INTEGER NOT NULL,
    last_line INTEGER NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL, digest BLOB NOT NULL,
    words BLOB NOT NULL, counts BLOB NOT NULL
);
CREATE INDEX passages_by_content ON passages (content);
CREATE INDEX passages_by_digest ON passages (digest);
CREATE TABLE lines_left_out (content INTEGER NOT NULL, line INTEGER NOT NULL, reason TEXT, bytes INTEGER, detail TEXT);
CREATE INDEX lines_left_out_by_content ON lines_left_out (content);
CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
CREATE TABLE files (
    name TEXT PRIMARY KEY, content INTEGER NOT NULL, bytes INTEGER NOT NULL, changed INTEGER NOT NULL,
    seen INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_by_content ON files (content);
CREATE TABLE left_out (name TEXT, reason TEXT, bytes INTEGER, detail TEXT);
CREATE TABLE vectors (digest BLOB PRIMARY KEY, slot INTEGER NOT NULL) WITHOUT ROWID;
"""


class Store:
    """A connection to the SQLite file of one index."""

    def __init__(self, folder: Path, *, make: bool = False) -> None:
        """Open an index that is there, or with ``make`` begin one where there is none.

        Raises IndexFolderError where the folder holds no index, one of another format, a damaged one, or other files.
        """
        self.folder = folder
        path = folder / NAME
        if not path.is_file():
            if not make:
                raise IndexFolderError(f"{folder} holds no index: make one first, or mend the path")
            _check_free(folder)
        with self.named():
            folder.mkdir(parents=True, exist_ok=True)
            mode = "rwc" if make else "rw"
            self.database = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", _PATIENCE, isolation_level=None, uri=True,
                check_same_thread=False,
            )  # fmt: skip
            try:
                self._check(path, make=make)
            except BaseException:
                self.database.close()
                raise

    def _check(self, path: Path, *, make: bool) -> None:
        application, version = (self.database.execute(f"PRAGMA {name}").fetchone()[0]
                                for name in ("application_id", "user_version"))  # fmt: skip
        if (
            make
            and not application
            and not version
            and not self.database.execute("SELECT 1 FROM sqlite_master").fetchone()
        ):
            self.database.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id={_APPLICATION};"
                f" PRAGMA user_version={FORMAT}; COMMIT;"
            )
        elif application != _APPLICATION:
            raise IndexFolderError(f"{path} is no index of Chidu's: name another folder, or delete it")
        elif version > FORMAT:
            raise IndexFolderError(
                f"{path} was made by a newer Chidu (format {version}, this one reads {FORMAT}): "
                "upgrade with pip install -U chidu, or name another folder"
            )
        elif version < FORMAT:
            raise IndexFolderError(
                f"{path} has format {version}, this Chidu reads {FORMAT}: delete {path.parent} and make it again"
            )

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Turn what goes wrong with the files into an IndexFolderError that says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise IndexFolderError(
                f"{self.folder} can't be used ({error}): see that it may be read and written, and the disk has room"
            ) from error
        except sqlite3.DatabaseError as error:
            raise IndexFolderError(f"{self.folder} is damaged ({error}): delete it and make it again") from error
        except PermissionError as error:
            raise IndexFolderError(
                f"{error.filename}: {error.strerror}: see that {self.folder} may be read and written"
            ) from error

    @contextlib.contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Commit all that the block does, or nothing; ``DEFERRED`` for a block that only reads."""
        with self.named():
            self.database.execute(f"BEGIN {kind}")
            try:
                yield self.database
                self.database.execute("COMMIT")
            except BaseException:
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
                raise

    def fact(self, name: str, otherwise: object = None) -> object:
        """Return a fact of the index by its name."""
        row = self.database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return otherwise if row is None else row[0]

    def number(self, name: str) -> int:
        """Return a fact that is a number, 0 where it is not there."""
        value = self.fact(name, 0)
        assert isinstance(value, int)
        return value

    def set_fact(self, name: str, value: object) -> None:
        """Write a fact, within the transaction under way."""
        self.database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def without_vectors(database: sqlite3.Connection) -> int:
    """Count the passages that readers see and that have no vector."""
    (count,) = database.execute(
        "SELECT COUNT(*) FROM passages WHERE content IN (SELECT content FROM files)"
        " AND digest NOT IN (SELECT digest FROM vectors)"
    ).fetchone()
    return int(count)


def _check_free(folder: Path) -> None:
    """Raise IndexFolderError where an index can't begin: a file, or a folder of something else."""
    if folder.exists() and not folder.is_dir():
        raise IndexFolderError(f"{folder} is a file: name a folder for the index")
    try:
        others = [path.name for path in folder.iterdir() if not path.name.startswith((".lock", ".DS_Store", "shard-"))]
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise IndexFolderError(f"{folder}: {error.strerror}: see that it may be read and written") from error
    if others:
        raise IndexFolderError(f"{folder} holds other files and is no index: name an empty or new folder")


@contextlib.contextmanager
def hold(folder: Path, marker: str = NAME) -> Iterator[None]:
    """Hold a folder for writing: one that has the file ``marker``, or an empty one.

    Raises IndexBusyError where another process writes into it, IndexFolderError where it holds other files or may not
    be written.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise MissingPackageError("filelock", "search", "writing an index") from error
    if not (folder / marker).exists():
        _check_free(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise IndexBusyError(f"{folder} is being written by another chidu process: wait for it") from error
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise IndexFolderError(f"{folder}: {error.strerror}: name a folder that may be written") from error
