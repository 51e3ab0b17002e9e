"""Text to tokens: one flat file of integers that can be mapped into memory, and what it holds in a JSON beside it."""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from chidu.corpus import read_lines
from chidu.errors import TextError, WorkFolderError
from chidu.parallel import map_processes
from chidu.runs.record import file_digest, open_whole, write_json
from chidu.tokens.encode import Encoder

__all__ = ["beside", "pack"]

Progress = Callable[[float, str], None]
Chunk = tuple[str, str, int, int, str]
"""Tokenizer, text file, first byte, one past the last, part to write."""

_CHUNK_BYTES = 1_000_000


def pack(tokenizer: Path, text: Path, path: Path, workers: int = 2, progress: Progress | None = None) -> dict[str, Any]:
    """Encode every document of a .jsonl file, each followed by the end of text, into the flat file ``path``.

    Tokens are uint16, or uint32 where the vocabulary is above 65,536, little-endian, in the order of the documents,
    however many workers there are. The JSON beside it (``train.bin`` → ``train.bin.json``) is written last and
    returned: dtype, tokens, documents, bytes (of text, UTF-8), bytes_per_token, vocabulary, sha256. Needs twice the
    file's disk while at work.

    Raises TextError where there are no documents, WorkFolderError where a file is missing; an OSError (a full disk)
    leaves no file that looks whole.
    """
    encoder = Encoder(tokenizer)
    if not text.is_file():
        raise WorkFolderError(f"{text} is missing: delete its folder to have it made again")
    scratch = path.with_name(f"{path.name}.scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    beside(path).unlink(missing_ok=True)
    try:
        chunks = _chunks(tokenizer, text, scratch)
        counts = map_processes(_encode_chunk, chunks, workers, _teller(text, progress))
        documents, size = (sum(one[column] for one in counts) for column in (0, 1))
        if not documents:
            raise TextError(f"{text} holds no documents: bring more text")
        _join(path, [Path(chunk[4]) for chunk in chunks])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _describe(path, encoder, documents, size)


def beside(path: Path) -> Path:
    """Return the JSON file that stands beside a token file."""
    return path.with_name(f"{path.name}.json")


def _chunks(tokenizer: Path, text: Path, scratch: Path) -> list[Chunk]:
    """Cut the file at about every megabyte; a chunk has the lines that begin in it. Independent of the workers."""
    edges = _edges(text)
    return [
        (str(tokenizer.absolute()), str(text.absolute()), start, end, str(scratch.absolute() / f"{number:06d}"))
        for number, (start, end) in enumerate(itertools.pairwise(edges))
    ]


def _edges(text: Path) -> list[int]:
    """Return the bytes at which chunks begin, each at the start of a line, and the file's length."""
    size = text.stat().st_size
    edges = [0]
    with text.open("rb") as file:
        while edges[-1] + _CHUNK_BYTES < size:
            file.seek(edges[-1] + _CHUNK_BYTES)
            file.readline()
            edges.append(file.tell())
    return edges if edges[-1] == size else [*edges, size]


def _teller(text: Path, progress: Progress | None) -> Callable[[int, Any], None]:
    total, done = text.stat().st_size or 1, 0

    def tell(_: int, size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(min(1.0, done / total), f"packing {text.name}")

    return tell


def _encode_chunk(chunk: Chunk, emit: Callable[[Any], None]) -> tuple[int, int]:
    """Write the tokens of one chunk; return its documents and the bytes of their text. Runs in a worker."""
    tokenizer, text, start, end, part = chunk
    encoder = _encoder(tokenizer)
    documents = size = 0
    with Path(part).open("wb") as file:
        for line in read_lines(Path(text), start, end):
            file.write(encoder.encode(line["text"]) + encoder.end_of_text)
            documents += 1
            size += len(line["text"].encode())
    emit(end - start)
    return documents, size


@functools.cache
def _encoder(tokenizer: str) -> Encoder:
    """Return one encoder for all chunks of a worker, which keeps the words it knows. A worker lives for one `pack`."""
    return Encoder(Path(tokenizer))


def _join(path: Path, parts: list[Path]) -> None:
    with open_whole(path) as whole:
        for part in parts:
            _append(whole, part)


def _append(whole: IO[bytes], part: Path) -> None:
    with part.open("rb") as file:
        shutil.copyfileobj(file, whole, 1 << 20)
    part.unlink()


def _describe(path: Path, encoder: Encoder, documents: int, size: int) -> dict[str, Any]:
    tokens = path.stat().st_size // encoder.dtype.itemsize
    values = {
        "dtype": encoder.dtype.name,
        "tokens": tokens,
        "documents": documents,
        "bytes": size,
        "bytes_per_token": size / tokens,
        "vocabulary": encoder.tokenizer.get_vocab_size(),
        "sha256": file_digest(path),
    }
    write_json(beside(path), values)
    return values
