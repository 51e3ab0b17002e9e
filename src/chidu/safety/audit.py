"""The record of verdicts: lines of JSON that only grow, each with the hash of the one before it.

A line holds no text: `text` is its HMAC under a key that lies beside the record, so that whoever has the key can prove
that a verdict was of a certain text, and whoever has not can't guess texts. Fields of a line: `seq`, `time` (UTC),
`kind` (`opened`, `verdict` or `torn`), what the kind has, `before` (hash of the former line) and `hash` (SHA-256 of
the line without it).

The last hash is the record's anchor. A chain alone can be rebuilt by whoever may write the file; a chain that holds an
anchor which was kept elsewhere was not rewritten up to there.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from chidu.errors import MissingPackageError, RecordError
from chidu.safety.guard import Verdict

__all__ = ["MOST_BYTES", "START", "AuditRecord", "Chain", "read_chain", "read_key"]

START = "0" * 64
"""What stands before the first line."""
MOST_BYTES = 64 * 2**20
"""Of a file of the record; the line that reaches it is its last, and a further file is begun."""
_LONGEST_LINE = 2**20

log = logging.getLogger(__name__)


def _packed(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def sealed(values: dict[str, Any]) -> tuple[bytes, str]:
    """Return a line with its hash at its end, and the hash."""
    body = _packed(values)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f'{body[:-1]},"hash":"{digest}"}}\n'.encode(), digest


def parsed(line: bytes) -> dict[str, Any]:
    """Read a line. Raises ValueError where it is none of ours, or its hash is not that of its content."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(values, dict) or not isinstance(digest := values.pop("hash", None), str):
        raise ValueError("it has no hash")
    # Packed again, and compared as bytes: so nothing in a line is free, blanks and doubled keys neither.
    again, real = sealed(values)
    if real != digest or again != line:
        raise ValueError("its content is not what its hash says")
    if not isinstance(values.get("seq"), int) or not isinstance(values.get("before"), str):
        raise ValueError("it has no number, or no hash of the former line")
    return {**values, "hash": digest}


def parts_of(path: Path) -> list[Path]:
    """Return the files of a record, the oldest first: those that were full, and the one at work."""
    full = [one for one in path.parent.glob(f"{path.name}.*") if one.name[len(path.name) + 1 :].isdigit()]
    return [*sorted(full), *([path] if path.exists() else [])]


@dataclass
class Chain:
    """What reading a record's lines in order has come to."""

    entries: int = 0
    first: int = 0
    """Number of the first line that is here: above 0 where older files were taken away."""
    anchor: str = START
    """Hash of the last line."""
    broken: str = ""
    """What and where the first bad line is; nothing where the chain holds."""
    torn: str = ""
    """Where a last line without an end stands: a writer was killed, or is at work."""


def read_chain(path: Path, chain: Chain, *, files: int = 0) -> Iterator[dict[str, Any]]:
    """Yield a record's lines as long as they hold, and tell ``chain``; of so many of the newest files, 0 for all.

    Raises RecordError where there is no record.
    """
    parts = parts_of(path)[-files:]
    if not parts:
        raise RecordError(f"{path}: no record there: name the file that chidu serve --record wrote")
    expected: int | None = None
    for file in parts:
        try:
            with file.open("rb") as lines:
                for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), b""), 1):
                    where = f"{file.name}, line {number}"
                    if not line.endswith(b"\n") and file == path and len(line) < _LONGEST_LINE:
                        chain.torn = where
                        return
                    try:
                        values = parsed(line)
                        if expected is None:
                            chain.first = expected = values["seq"]
                            chain.anchor = values["before"]
                            if expected == 0 and chain.anchor != START:
                                raise ValueError("it is the first, and names a former one")
                        if values["seq"] != expected:
                            raise ValueError(f"it is number {values['seq']}; {expected} was to come")
                        if values["before"] != chain.anchor:
                            raise ValueError(
                                "it names another former line: one before it was changed, added or taken away"
                            )
                    except ValueError as error:
                        chain.broken = f"{where}: {error}"
                        return
                    chain.entries, chain.anchor, expected = chain.entries + 1, values["hash"], expected + 1
                    yield values
        except OSError as error:
            raise RecordError(f"{file} can't be read ({error.strerror}): see that it is yours") from error


def key_path(path: Path) -> Path:
    """Return where a record's key lies."""
    return path.with_name(f"{path.name}.key")


def read_key(path: Path) -> bytes:
    """Read a record's key. Raises RecordError where there is none, or others may read it."""
    key = key_path(path)
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
        content = key.read_bytes().strip()
        found = bytes.fromhex(content.decode("ascii"))
    except FileNotFoundError:
        raise RecordError(f"{key}: the record's key is not there: bring it back, or name a new record") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{key} can't be read as a key ({error}): bring back the one that was made") from error
    if mode & 0o077 and os.name == "posix":
        raise RecordError(f"{key} can be read by others (mode {mode:o}): chmod 600 {key}")
    if len(found) != 32:
        raise RecordError(f"{key} is no key of a record: bring back the one that was made")
    return found


def _make_key(path: Path) -> bytes:
    made = secrets.token_bytes(32)
    descriptor = os.open(key_path(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(made.hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return made


class AuditRecord:
    """A record open for writing, by one process at a time.

    Every line is one write, and is on the disk (fsync) when `append` returns; ``sync=False`` leaves that to the system:
    then a killed process loses nothing still, a power cut may lose the last lines. A last line that a killed writer
    left torn is set aside in a file beside the record, and a line of kind `torn` says so.
    Opening checks the two newest files of the chain. Raises RecordError where another process writes it, its chain is
    broken, or its key is not there.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES, sync: bool = True) -> None:
        try:
            from filelock import FileLock, Timeout
        except ImportError as error:
            raise MissingPackageError("filelock", "guard", "keeping a record") from error
        self.path, self.most_bytes, self.sync = path, most_bytes, sync
        self._mutex = threading.Lock()
        self._file = -1
        if path.is_dir():
            raise RecordError(f"{path} is a folder: name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{path}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RecordError(f"{path} is written by another process: name another record with --record") from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        self._key = read_key(self.path) if parts_of(self.path) else self._new_key()
        self._key_name = hashlib.sha256(self._key).hexdigest()[:16]
        chain, last = Chain(), {}
        if parts_of(self.path):
            # The newest may be empty, if a writer was killed as it turned over.
            for values in read_chain(self.path, chain, files=2):
                if values.get("kind") == "opened" and values.get("key") != self._key_name:
                    raise RecordError(
                        f"{key_path(self.path)} is another record's key: bring back the one that was made"
                    )
                last = values
            if chain.broken:
                raise RecordError(f"the record {self.path} is broken ({chain.broken}): keep it, and name a new one")
        self.anchor, self._next = chain.anchor, last.get("seq", -1) + 1
        aside = self._set_aside() if chain.torn else None
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if aside is not None:
            self._append("torn", **aside)
        self._append("opened", key=self._key_name)

    def _new_key(self) -> bytes:
        # A key without a record was left by a writer that ended in between.
        return read_key(self.path) if key_path(self.path).exists() else _make_key(self.path)

    def _set_aside(self) -> dict[str, Any]:
        """Take the torn last line out of the record, into a file of its own."""
        content = self.path.read_bytes()
        keep = content.rfind(b"\n") + 1
        torn = content[keep:]
        place = self.path.with_name(f"{self.path.name}.torn-{self._next}")
        place.write_bytes(torn)
        os.truncate(self.path, keep)
        log.warning("%s: the last line was torn by a writer that was killed; set aside in %s", self.path, place.name)
        return {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest(), "aside": place.name}

    def append(self, request: str, verdict: Verdict, text: str) -> str:
        """Write down a verdict of a text, and return the line's hash. Raises RecordError where the disk is full."""
        return self._append(
            "verdict",
            id=request,
            side=verdict.side,
            action=verdict.action.word,
            categories=verdict.categories,
            rules=verdict.rules,
            failures=list(verdict.failures),
            rules_version=verdict.rules_version,
            policy_version=verdict.policy_version,
            text=text_name(self._key, text),
        )

    def _append(self, kind: str, **values: Any) -> str:
        with self._mutex:
            if self._file < 0:
                raise RecordError(f"{self.path} is closed: open the record again")
            if os.fstat(self._file).st_size >= self.most_bytes:
                self._turn_over()
                self._add("opened", {"key": self._key_name})
            return self._add(kind, values)

    def _add(self, kind: str, values: dict[str, Any]) -> str:
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line, digest = sealed({"seq": self._next, "time": time, "kind": kind, **values, "before": self.anchor})
        self._write(line)
        self.anchor, self._next = digest, self._next + 1
        return digest

    def _write(self, line: bytes) -> None:
        """Write a line in one piece, or nothing of it."""
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.sync:
                os.fsync(self._file)
        except OSError as error:
            # A part of a line would be torn in the middle of the record.
            os.ftruncate(self._file, size)
            raise RecordError(
                f"{self.path} can't be written ({error.strerror}): make room, or see to the disk"
            ) from error

    def _turn_over(self) -> None:
        """Give the full file the number of the line that comes next, and begin a new one."""
        os.close(self._file)
        self.path.replace(self.path.with_name(f"{self.path.name}.{self._next:012d}"))
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        """Let the record go."""
        with self._mutex:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
                self._lock.release()

    def __enter__(self) -> AuditRecord:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def text_name(key: bytes, text: str) -> str:
    """Return the name of a text under a key (HMAC of SHA-256)."""
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def is_about(values: dict[str, Any], actions: Sequence[str], categories: Sequence[str]) -> bool:
    """Tell whether a line is a verdict with one of these actions and one of these categories; none names all."""
    return (
        values.get("kind") == "verdict"
        and (not actions or values.get("action") in actions)
        and (not categories or bool(set(categories) & set(values.get("categories", ()))))
    )
