"""`chidu summarize`: the sentences of a text that say most of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from chidu.cli.plain import plain

__all__ = ["command"]


def command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Texts or Markdown in UTF-8; none: what is piped in.")
    ] = None,
    sentences: Annotated[
        int | None, typer.Option(help="Sentences to keep of each text; 5 where none is named.", min=1)
    ] = None,
    percent: Annotated[float | None, typer.Option(help="Keep so many sentences in a hundred instead.")] = None,
    embedder: Annotated[
        str,
        typer.Option(help="What tells what is alike: none (words), e5, minilm, a folder, an address."),
    ] = "none",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Keep the sentences that say most of a text, as they stand; nothing is written anew."""
    from chidu.apps import summarize
    from chidu.cli.own_files import open_named
    from chidu.cli.voice import open_voice
    from chidu.errors import TextError

    texts = [(str(path), read_text(path)) for path in files or []] or [("stdin", read_stdin())]
    model = open_named(embedder)
    found = []
    with open_voice() as voice:
        for name, text in texts:
            try:
                summary = summarize(
                    text, sentences, percent, model, lambda done, words: voice.progress("sentences", done, words, None)
                )
            except TextError as error:
                raise TextError(f"{name}: {error}") from error
            found.append((name, summary))
    if as_json:
        documents = [_document(name, summary) for name, summary in found]
        typer.echo(json.dumps({"embedder": embedder, "summaries": documents}, ensure_ascii=False))
        return
    for number, (name, summary) in enumerate(found):
        if len(found) > 1:
            typer.echo(plain(f"{'' if not number else chr(10)}{name}:\n"))
        typer.echo(plain(summary.text))
        sys.stderr.write(plain(f"{name}: {len(summary.kept)} of {summary.sentences:,} sentences\n"))


def _document(name: str, summary: Any) -> dict[str, Any]:
    return {
        "source": name,
        "summary": summary.text,
        "of": summary.sentences,
        "sentences": [
            {
                "text": each.sentence.text,
                "first_line": each.sentence.first_line,
                "last_line": each.sentence.last_line,
                "headings": [heading.lstrip("# ") for heading in each.sentence.headings],
                "score": round(each.score, 4),
            }
            for each in summary.kept
        ],
    }


def read_text(path: Path) -> str:
    """Read a file of text, normalised. Raises TextError where it is none, or above 20 MB."""
    return _normalised(decoded(str(path), read_bytes(path)))


def read_stdin() -> str:
    """Read what is piped in, normalised. Raises TextError where nothing is."""
    return _normalised(decoded("stdin", read_stdin_bytes("summarize")))


def read_bytes(path: Path) -> bytes:
    """Read a file. Raises TextError where it is none."""
    from chidu.errors import TextError

    if not path.is_file():
        raise TextError(f"{path} is no file: name a file of text; for a folder see chidu search")
    return path.read_bytes()


def read_stdin_bytes(verb: str) -> bytes:
    """Read what is piped in. Raises TextError where nothing is."""
    from chidu.errors import TextError

    if sys.stdin.isatty():
        raise TextError(f"no text: name a file, or pipe one in (chidu {verb} < FILE)")
    return sys.stdin.buffer.read()


def decoded(name: str, content: bytes) -> str:
    """Return bytes as text with its lines as they are. Raises TextError where it is none, or above 20 MB."""
    from chidu.errors import TextError
    from chidu.index import MOST_BYTES
    from chidu.units import format_bytes

    if len(content) > MOST_BYTES:
        size, most = format_bytes(len(content)), format_bytes(MOST_BYTES)
        raise TextError(f"{name} has {size}, more than {most}: cut it")
    if b"\0" in content:
        raise TextError(f"{name} is binary (holds NUL bytes): name a file of text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"{name} is not UTF-8 ({error.reason} at byte {error.start}): convert it") from error


def _normalised(text: str) -> str:
    from chidu.corpus import normalise

    # Line by line, so that lines keep their numbers.
    return "\n".join(normalise(line) for line in text.splitlines())
