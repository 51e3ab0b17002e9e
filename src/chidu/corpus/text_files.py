"""The user's own text: .txt, .md and .jsonl files, plain or gzipped, in any language, in UTF-8."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from chidu.corpus.document import NOT_UTF8, Document, Dropped
from chidu.errors import TextError
from chidu.runs.record import file_digest, fingerprint

__all__ = ["fingerprint_paths", "text_bytes", "text_files"]

Progress = Callable[[float, str], None]

_KINDS = (".txt", ".md", ".jsonl")
_UTF16 = "byte 0, it looks like UTF-16"


def text_files(
    paths: Sequence[str | Path], licence: str = "unknown", progress: Progress | None = None
) -> Iterator[Document | Dropped]:
    """Yield the documents of files, and of all files in folders and theirs, in the order of their names.

    A .txt or .md file is one document; each line of a .jsonl file is one, its text under ``text``, its licence under
    ``licence`` or ``license``, its language under ``language``; ``.gz`` of each is read too. What can't be used is
    yielded as Dropped. A .txt or .md file is held in memory whole, a .jsonl file line by line.

    Raises TextError where a path does not exist, and at the end where not one document could be read.
    """
    files, skipped = _find([Path(path) for path in paths])
    yield from skipped
    total, done, documents = sum(size for _, size in files) or 1, 0, 0
    first: Dropped | None = None
    for path, size in files:
        for item in _read(path, licence):
            documents += isinstance(item, Document)
            if first is None and isinstance(item, Dropped):
                first = item
            yield item
        done += size
        if progress is not None:
            progress(done / total, f"reading {_name(path)}")
    if not documents:
        # A text that can't be read says more than a picture beside it.
        raise TextError(_nothing_read(paths, first or next(iter(skipped), None)))


def fingerprint_paths(paths: Sequence[str | Path]) -> str:
    """Return a fingerprint of the names, sizes and contents of all files that `text_files` would read.

    Raises TextError where a path does not exist.
    """
    files, _ = _find([Path(path) for path in paths])
    return fingerprint([[_name(path), size, _digest(path)] for path, size in files])


def _digest(path: Path) -> str:
    """Digest a file; one that can't be read counts as such, and `text_files` lists it as dropped."""
    try:
        return file_digest(path)
    except OSError:
        return "unreadable"


def text_bytes(paths: Sequence[str | Path]) -> int:
    """Return about how many bytes of text `text_files` would read; gzip is taken to pack to a third."""
    files, _ = _find([Path(path) for path in paths])
    return sum(size * (3 if path.suffix == ".gz" else 1) for path, size in files)


def _nothing_read(paths: Sequence[str | Path], first: Dropped | None) -> str:
    names = ", ".join(map(str, paths)) or "(no path given)"
    if first is None:
        return f"{names}: no .txt, .md or .jsonl file here: name a file or folder that holds text"
    advice = "give .txt, .md or .jsonl files in UTF-8"
    if first.reason == NOT_UTF8:
        advice = f"convert to UTF-8, such as {_conversion(first)}"
    detail = f" ({first.detail})" if first.detail else ""
    where = "" if names == str(first.where) else f"{first.where}: "
    return f"{names}: no usable text; {where}{first.reason}{detail}: {advice}"


def _conversion(dropped: Dropped) -> str:
    if dropped.detail == _UTF16:
        return "iconv -f UTF-16 -t UTF-8 old.txt > new.txt"
    return (
        "iconv -f GB18030 -t UTF-8 old.txt > new.txt (traditional Chinese: -f BIG5); where only a few bytes are "
        "damaged, iconv -c -f UTF-8 -t UTF-8"
    )


def _find(paths: list[Path]) -> tuple[list[tuple[Path, int]], list[Dropped]]:
    """Return all readable kinds of files with their bytes, and what was passed over."""
    found: dict[Path, int] = {}
    skipped: list[Dropped] = []
    for path in paths:
        if not path.exists():
            raise TextError(f"{path} does not exist: name a file or folder that holds text")
        for file, reason in [(path, "")] if path.is_file() else _walk(path):
            if reason or _kind(file) not in _KINDS:
                skipped.append(Dropped(_name(file), reason or "not a .txt, .md or .jsonl file", _name(file)))
            else:
                found[file] = file.stat().st_size
    return list(found.items()), skipped


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file under a folder, and hidden files and folders with the reason to pass over them."""
    for name, folders, files in os.walk(folder):
        hidden = sorted(one for one in folders if one.startswith("."))
        folders[:] = sorted(set(folders) - set(hidden))
        yield from ((Path(name, one), "hidden folder") for one in hidden)
        yield from ((Path(name, one), "hidden file" if one.startswith(".") else "") for one in sorted(files))


def _name(path: Path) -> str:
    """Return a path as text that can be written: a name's bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _kind(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _read(path: Path, licence: str) -> Iterator[Document | Dropped]:
    read = _read_lines if _kind(path) == ".jsonl" else _read_whole
    try:
        yield from read(path, licence)
    except PermissionError as error:
        yield Dropped(_name(path), "file can't be read", _name(path), detail=str(error.strerror))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield Dropped(_name(path), "damaged gzip file", _name(path), detail=str(error))


def _open(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _read_whole(path: Path, licence: str) -> Iterator[Document | Dropped]:
    with _open(path) as file:
        content: bytes = file.read()
    name = _name(path)
    yield _utf16(name, len(content)) if _is_utf16(content) else _decode(content, name, name, licence)


def _is_utf16(start: bytes) -> bool:
    return start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _utf16(name: str, size: int) -> Dropped:
    return Dropped(name, NOT_UTF8, name, bytes=size, detail=_UTF16)


def _decode(content: bytes, source: str, where: str, licence: str) -> Document | Dropped:
    if b"\0" in content:
        return Dropped(source, "binary (holds NUL bytes)", where, bytes=len(content))
    try:
        return Document(content.decode("utf-8-sig"), source, licence, where=where)
    except UnicodeDecodeError as error:
        return Dropped(source, NOT_UTF8, where, bytes=len(content), detail=f"byte {error.start}")


def _read_lines(path: Path, licence: str) -> Iterator[Document | Dropped]:
    name = _name(path)
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if number == 1 and _is_utf16(line):
                # Its lines end in the middle of a character: the file is one row, not one for each half line.
                yield _utf16(name, len(line) + sum(map(len, file)))
            elif line.strip():
                yield _read_line(line, name, f"{name}:{number}", licence)


def _read_line(line: bytes, source: str, where: str, licence: str) -> Document | Dropped:
    whole = _decode(line, source, where, licence)
    if isinstance(whole, Dropped):
        return whole
    try:
        values = json.loads(whole.text)
    except (ValueError, RecursionError) as error:
        return Dropped(source, "line is not JSON", where, bytes=len(line), detail=str(error))
    if not isinstance(values, dict) or not isinstance(values.get("text"), str):
        return Dropped(source, 'line has no "text"', where, bytes=len(line))
    stated = values.get("licence") or values.get("license") or licence
    language = values.get("language")
    return Document(
        values["text"],
        source,
        stated if isinstance(stated, str) else licence,
        language if isinstance(language, str) else None,
        where=where,
    )
