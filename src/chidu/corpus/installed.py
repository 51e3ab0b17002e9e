"""The default corpus: what the packages of this Python environment say about themselves.

It needs no download, every piece has a version and a licence, and it is real technical English. Each docstring is a
document of its own: joined by module, neighbours repeat each other so much that a model's loss comes to depend on when
it learns to copy from its context, and no law of params and tokens foresees that (LOG.md).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from chidu.corpus.docstrings import Docstring, FileDocstrings, read_files
from chidu.corpus.document import Document, Dropped
from chidu.parallel import map_processes

__all__ = ["SNAPSHOT", "installed_documentation"]

SNAPSHOT = "snapshot"
"""The fingerprint of this source: it is collected once and kept, whatever is installed later."""
SHORTEST = 50
"""Characters of a docstring: below, there is next to nothing to learn."""
_TESTS = frozenset(["tests", "test", "_tests", "conftest.py"])
_BATCH_BYTES = 2_000_000

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class _Package:
    name: str
    version: str
    licence: str
    readme: str
    files: tuple[tuple[str, str], ...]
    """(path inside site-packages, path on the disk) of each Python file."""

    def document(self, text: str, where: str) -> Document:
        return Document(text, self.name, self.licence, version=self.version, where=where)


def installed_documentation(
    folders: Sequence[Path] | None = None, workers: int = 2, progress: Progress | None = None
) -> Iterator[Document | Dropped]:
    """Yield the documentation of the packages installed in ``folders`` (default: where Python looks for packages).

    Packages come in the order of their names: first the readme, then the modules. Nothing is imported. Left out, and
    yielded as Dropped: packages installed in editable mode and Chidu itself (somebody is at work on them), folders
    named ``_vendor`` (copies under another licence), tests (no documentation, and a tenth of the time), files that
    don't parse, short docstrings and repeated ones. The docstrings of all packages are in memory at once (about 0.2 GB
    for 10,000 files).
    """
    packages, dropped = _packages(folders)
    yield from dropped
    texts = _read_all([file for package in packages for file in package.files], workers, progress)
    remaining = iter(texts)
    seen: set[bytes] = set()
    for package in packages:
        if package.readme.strip():
            yield package.document(package.readme, f"{package.name} readme")
        for (file, _), text in zip(package.files, islice(remaining, len(package.files)), strict=True):
            yield from _documents(package, file, text, seen)


def _packages(folders: Sequence[Path] | None) -> tuple[list[_Package], list[Dropped]]:
    where = sys.path if folders is None else [str(folder) for folder in folders]
    packages: dict[str, _Package] = {}
    dropped: list[Dropped] = []
    for distribution in importlib.metadata.distributions(path=where):
        try:
            package, left = _package(distribution)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            # What an interrupted installation leaves behind, or a very old installer wrote.
            dropped.append(
                Dropped("unknown package", "metadata can't be read", detail=f"{type(error).__name__}: {error}")
            )
            continue
        # A name seen twice is hidden by the first, as it is for `import`.
        if package.name not in packages:
            packages[package.name] = package
            dropped += left
    order = sorted(packages, key=str.lower)
    return [packages[name] for name in order], sorted(
        dropped, key=lambda one: (one.source.lower(), one.where, one.detail)
    )


def _reason_to_skip(name: str, distribution: importlib.metadata.Distribution) -> str:
    if name.lower() == "chidu":
        return "Chidu itself"
    origin = distribution.read_text("direct_url.json")
    if origin and json.loads(origin).get("dir_info", {}).get("editable"):
        return "package in editable mode"
    return "package without a list of files" if distribution.files is None else ""


def _package(distribution: importlib.metadata.Distribution) -> tuple[_Package, list[Dropped]]:
    """Return a package and what is left out of it: all of it, then the package has nothing to read."""
    metadata = distribution.metadata.json
    name = str(metadata["name"])
    reason = _reason_to_skip(name, distribution)
    if reason:
        return _Package(name, "", "", "", ()), [Dropped(name, reason)]
    files, dropped = _files(name, distribution)
    readme = str(metadata.get("description") or "")
    return _Package(name, distribution.version, licence(metadata), readme, files), dropped


def _files(
    name: str, distribution: importlib.metadata.Distribution
) -> tuple[tuple[tuple[str, str], ...], list[Dropped]]:
    files, dropped = [], []
    for path in sorted(distribution.files or [], key=str):
        if path.suffix != ".py":
            continue
        reason = _reason_to_leave(path.parts)
        if reason:
            dropped.append(Dropped(name, reason, path.as_posix()))
        else:
            files.append((path.as_posix(), str(Path(str(path.locate())).absolute())))
    return tuple(files), dropped


def _reason_to_leave(parts: tuple[str, ...]) -> str:
    if ".." in parts:
        return "script outside its package"
    if "_vendor" in parts:
        return "copy of another package"
    is_test = parts[-1].startswith("test_") or not _TESTS.isdisjoint(parts)
    return "test file" if is_test else ""


def licence(metadata: dict[str, str | list[str]]) -> str:
    """Return the licence that a package's metadata states, or ``unknown``.

    In this order: the SPDX expression, the first line of the licence field (some hold the whole text of the licence;
    at most 60 characters are taken), the licence classifiers.
    """
    if metadata.get("license_expression"):
        return str(metadata["license_expression"])
    stated = str(metadata.get("license") or "").strip()
    if stated and stated.lower() != "unknown":
        return stated.splitlines()[0].strip()[:60]
    classifiers = metadata.get("classifier") or []
    names = [one.rsplit("::", 1)[1].strip() for one in classifiers if one.startswith("License ::")]
    return " OR ".join(names) or "unknown"


def _read_all(files: list[tuple[str, str]], workers: int, progress: Progress | None) -> list[FileDocstrings]:
    """Read all files in several processes; return what they hold in the order given."""
    sizes = [_size(path) for _, path in files]
    total, done = sum(sizes) or 1, 0

    def on_event(_: int, size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(min(1.0, done / total), "reading docstrings")

    batches = _batches(sizes)
    items = [tuple((_module(files[index][0]), files[index][1]) for index in batch) for batch in batches]
    results: list[FileDocstrings] = [FileDocstrings()] * len(files)
    for batch, found in zip(batches, map_processes(read_files, items, workers, on_event), strict=True):
        for index, one in zip(batch, found, strict=True):
            results[index] = one
    return results


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _batches(sizes: list[int]) -> list[list[int]]:
    """Group files into batches of about 2 MB, those with the most bytes first, so that no worker ends late."""
    batches: list[list[int]] = []
    filled = _BATCH_BYTES
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        if filled >= _BATCH_BYTES:
            batches.append([])
            filled = 0
        batches[-1].append(index)
        # A file costs something however short it is.
        filled += sizes[index] + 1000
    return batches


def _module(path: str) -> str:
    """Turn ``numpy/linalg/__init__.py`` into ``numpy.linalg``."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _documents(package: _Package, file: str, found: FileDocstrings, seen: set[bytes]) -> Iterator[Document | Dropped]:
    """Yield a module's docstrings, leaving out what is short or was seen before."""
    if found.reason:
        yield Dropped(package.name, found.reason, file, detail=found.detail)
    for docstring in found.docstrings:
        where, reason = f"{file}:{docstring.line}", _reason_to_drop(docstring, seen)
        yield _dropped(package, where, docstring, reason) if reason else package.document(docstring.text, where)


def _reason_to_drop(docstring: Docstring, seen: set[bytes]) -> str:
    if len(docstring.text) < SHORTEST:
        return f"docstring shorter than {SHORTEST} characters"
    digest = hashlib.sha256(docstring.text.encode("utf-8", "replace")).digest()
    if digest in seen:
        return "docstring seen before"
    seen.add(digest)
    return ""


def _dropped(package: _Package, where: str, docstring: Docstring, reason: str) -> Dropped:
    document = package.document(docstring.text, where)
    return Dropped(package.name, reason, where, document.id, document.bytes)
