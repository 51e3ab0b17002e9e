"""Docstrings of a Python file, read from its syntax tree: nothing is ever imported or run."""

from __future__ import annotations

import ast
import gc
import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Docstring", "FileDocstrings", "read_docstrings", "read_files"]

_LARGEST = 8_000_000
"""Bytes; a longer file is a generated table, and parsing takes about a hundred times its size in memory."""

_Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Docstring:
    """One docstring: the dotted name it belongs to, the line it starts at, and its text with the indent removed."""

    name: str
    line: int
    text: str


@dataclass(frozen=True)
class FileDocstrings:
    """What one file held: its docstrings in the order of its lines, or the reason why it can't be read."""

    docstrings: list[Docstring] = field(default_factory=list)
    reason: str = ""
    detail: str = ""


def read_files(files: tuple[tuple[str, str], ...], emit: Callable[[Any], None]) -> list[FileDocstrings]:
    """Read several files, each given as (module name, path). Emits the bytes of each file as it is done."""
    # A syntax tree holds no cycles, and looking for some takes a third of the time.
    gc.disable()
    found = []
    try:
        for module, path in files:
            one, size = _read_file(module, Path(path))
            found.append(one)
            emit(size)
    finally:
        gc.enable()
    return found


def _read_file(module: str, path: Path) -> tuple[FileDocstrings, int]:
    try:
        source = path.read_bytes()
    except OSError as error:
        return FileDocstrings(reason="file can't be read", detail=str(error.strerror)), 0
    return read_docstrings(module, source), len(source)


def read_docstrings(module: str, source: bytes) -> FileDocstrings:
    """Return the docstrings of a Python file's bytes, in whatever encoding the file declares.

    A file without triple quotes is not parsed: what it may hold is a line of a few words.
    """
    if b'"""' not in source and b"'''" not in source:
        return FileDocstrings()
    if len(source) > _LARGEST:
        return FileDocstrings(reason="Python file too long", detail=f"{len(source)} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        return FileDocstrings(list(_walk(tree, module)))
    except (SyntaxError, ValueError, UnicodeError) as error:
        return FileDocstrings(reason="not Python of this version", detail=str(error))
    except (RecursionError, MemoryError) as error:
        return FileDocstrings(reason="Python nested too deeply", detail=type(error).__name__)


def _walk(node: ast.AST, name: str) -> Iterator[Docstring]:
    """Walk through module, classes and functions, also those under an ``if`` or a ``try``."""
    if isinstance(node, ast.Module | _Named):
        yield from _docstring(node, name)
    for child in getattr(node, "body", ()):
        if isinstance(child, _Named):
            yield from _walk(child, f"{name}.{child.name}")
        elif isinstance(child, ast.If | ast.Try | ast.With):
            yield from _walk(child, name)


def _docstring(node: ast.Module | _Named, name: str) -> Iterator[Docstring]:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        text = inspect.cleandoc(first.value.value)
        if text:
            yield Docstring(name, first.lineno, text)
