"""Files of a folder as passages: which are read, how, and why others are left out."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from chidu.corpus import Dropped, normalise
from chidu.corpus.document import NOT_UTF8
from chidu.errors import TextError
from chidu.index.markup import code_lines, html_lines, markdown_lines, rst_lines
from chidu.index.passage import Line, Passage, cut_lines
from chidu.runs.record import file_digest
from chidu.units import format_bytes

__all__ = ["MOST_BYTES", "File", "digest", "find_files", "kind_of", "marked", "read_passages"]

MOST_BYTES = 20_000_000
"""Bytes of a file that is read, after unpacking: a thousand pages have 2 to 4 MB."""
_PIECE = 4_096
"""Characters of a line that are read at once."""
_CODE = [
    ".bash", ".c", ".cc", ".clj", ".cpp", ".cs", ".css", ".cu", ".cxx", ".dart", ".el", ".erl", ".ex", ".f90",
    ".go", ".h", ".hpp", ".hs", ".java", ".jl", ".js", ".jsx", ".kt", ".lisp", ".lua", ".m", ".ml", ".mjs", ".php",
    ".pl", ".pm", ".proto", ".ps1", ".py", ".pyi", ".pyx", ".r", ".rb", ".rs", ".scala", ".scm", ".sh", ".sql",
    ".swift", ".toml", ".ts", ".tsx", ".vue", ".yaml", ".yml", ".zig", ".zsh",
]  # fmt: skip
_KINDS = dict.fromkeys(_CODE, "code") | {
    ".md": "markdown", ".markdown": "markdown", ".rst": "rst", ".html": "html", ".htm": "html", ".xhtml": "html",
    ".jsonl": "jsonl",
}  # fmt: skip
"""Suffix → how a file is read; any other is plain text, if it is text."""


@dataclass(frozen=True)
class File:
    """A file that may hold text."""

    path: Path
    name: str
    """The path as text that can be written."""
    bytes: int
    changed: int
    """When it was last changed, in nanoseconds of the system's clock."""

    @property
    def kind(self) -> str:
        """How it is read: markdown, rst, html, code, jsonl or text."""
        return kind_of(self.path.name.removesuffix(".gz"))


def kind_of(name: str) -> str:
    """Return how a file of this name is read."""
    return _KINDS.get(Path(name).suffix.lower(), "text")


class _LeftOutError(Exception):
    """This file can't be used: a reason, the same for all such files, and what is particular to this one."""


def find_files(
    paths: Sequence[str | Path], passed_over: Path | None = None, most_bytes: int = MOST_BYTES
) -> Iterator[File | Dropped]:
    """Yield the files named, and those of folders and theirs, in the order of their names; what is left out as Dropped.

    Left out here: hidden files and folders, what lies in ``passed_over`` (the index itself), what is no regular file,
    and files of more than ``most_bytes``. Folders that links lead to are not entered. Raises TextError where a path
    does not exist.
    """
    seen: set[Path] = set()
    for one in map(Path, paths):
        if not one.exists():
            raise TextError(f"{one} does not exist: name a file or folder that holds text")
        for path, reason in _walk(one, passed_over) if one.is_dir() else [(one, "")]:
            if path not in seen:
                seen.add(path)
                yield Dropped(_name(path), reason, _name(path)) if reason else _look(path, most_bytes)


def _walk(folder: Path, passed_over: Path | None) -> Iterator[tuple[Path, str]]:
    failed: list[OSError] = []
    own = passed_over.resolve() if passed_over is not None else None
    for name, folders, files in os.walk(folder, onerror=failed.append):
        left = {one: "hidden folder" for one in folders if one.startswith(".")}
        left |= {one: "the index itself" for one in folders if own is not None and Path(name, one).resolve() == own}
        left |= {one: "link to a folder" for one in folders if one not in left and Path(name, one).is_symlink()}
        folders[:] = sorted(set(folders) - set(left))
        yield from ((Path(name, one), left[one]) for one in sorted(left))
        yield from ((Path(name, one), "hidden file" if one.startswith(".") else "") for one in sorted(files))
    yield from ((Path(error.filename), "folder can't be read") for error in failed)


def _look(path: Path, most_bytes: int) -> File | Dropped:
    name = _name(path)
    try:
        found = path.stat()
    except OSError as error:
        return Dropped(name, "file can't be read", name, detail=str(error.strerror))
    if not stat.S_ISREG(found.st_mode):
        return Dropped(name, "no regular file", name)
    if found.st_size > most_bytes:
        return Dropped(name, _too_large(most_bytes), name, bytes=found.st_size)
    return File(path, name, found.st_size, found.st_mtime_ns)


def _name(path: Path) -> str:
    """Return a path as text that can be written: a name's bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _too_large(most_bytes: int) -> str:
    return f"larger than {format_bytes(most_bytes)}"


def digest(file: File) -> str | Dropped:
    """Return the sha256 of a file's bytes, or why it can't be read."""
    try:
        return file_digest(file.path)
    except OSError as error:
        return _left_out(file, "file can't be read", str(error.strerror))


def _left_out(file: File, reason: str, detail: str = "") -> Dropped:
    return Dropped(file.name, reason, file.name, bytes=file.bytes, detail=detail)


def read_passages(file: File, longest: int, most_bytes: int) -> Iterator[Passage | Dropped]:
    """Yield a file's passages as they are read, and each line of a .jsonl file that can't be used as Dropped.

    A Dropped of the whole file (``where`` without a line) comes last, and says that what came before does not count. A
    file holds one window of text at a time in memory, HTML the whole page, .jsonl one line.
    """
    try:
        if file.kind == "jsonl":
            yield from _read_documents(file, longest, most_bytes)
        else:
            lines = _lines(file, most_bytes)
            yield from cut_lines(marked(file.kind, lines), longest, is_code=file.kind == "code")
    except _LeftOutError as error:
        yield _left_out(file, *error.args)
    except UnicodeDecodeError as error:
        reason = "binary (holds NUL bytes)" if _is_binary(file.path) else NOT_UTF8
        yield _left_out(file, reason, f"{error.reason}, byte 0x{error.object[error.start]:02x}")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield _left_out(file, "damaged gzip file", str(error))
    except OSError as error:
        yield _left_out(file, "file can't be read", str(error.strerror or error))


def _is_binary(path: Path) -> bool:
    with path.open("rb") as source:
        start = source.read(8_192)
    return b"\0" in start and not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def marked(kind: str, lines: Iterator[Line]) -> Iterable[Line]:
    """Mark the headings in the lines of a file of this kind."""
    mark: dict[str, Callable[[Iterable[Line]], Iterator[Line]]] = {
        "markdown": markdown_lines, "rst": rst_lines, "code": code_lines, "html": _page_lines,
    }  # fmt: skip
    return mark[kind](lines) if kind in mark else lines


def _page_lines(lines: Iterable[Line]) -> Iterator[Line]:
    source, number = [], 1
    for line in lines:
        source.append("\n" * (line.number - number) + line.text)
        number = line.number
    return html_lines("".join(source))


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _pieces(file: File, piece: int, most_bytes: int) -> Iterator[tuple[int, str, bool]]:
    """Yield a file's lines, each in pieces of at most so many characters: number, piece, and whether it begins it."""
    number, read, is_start = 0, 0, True
    with _open(file.path) as source:
        while text := source.readline(piece):
            begins, is_start = is_start, text.endswith("\n")
            number += begins
            if "\0" in text:
                raise _LeftOutError("binary (holds NUL bytes)")
            read += len(text) if text.isascii() else len(text.encode())
            if read > most_bytes:
                raise _LeftOutError(_too_large(most_bytes))
            yield number, text, begins


def _lines(file: File, most_bytes: int) -> Iterator[Line]:
    """Yield the lines in one form, one Line for each piece of a long one."""
    for number, text, begins in _pieces(file, _PIECE, most_bytes):
        # What `normalise` takes off the end of a text is between words where a line goes on.
        end = "" if text.endswith("\n") else text[len(text.rstrip(" \t")) :]
        yield Line(number, normalise(text.rstrip(" \t\n")) + end, goes_on=not begins)


def _read_documents(file: File, longest: int, most_bytes: int) -> Iterator[Passage | Dropped]:
    """Read a .jsonl file: each line is a document, its text under ``text``, its heading under ``title``."""
    for number, line, _ in _pieces(file, most_bytes + 1, most_bytes):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Dropped(file.name, "line is not JSON", f"{file.name}:{number}", bytes=len(line), detail=str(error))
            continue
        text = values.get("text") if isinstance(values, dict) else None
        if not isinstance(text, str):
            yield Dropped(file.name, 'line has no "text"', f"{file.name}:{number}", bytes=len(line))
            continue
        title = values.get("title")
        for passage in cut_lines([Line(number, normalise(text))], longest):
            yield Passage(passage.text, number, number, title if isinstance(title, str) else "")
