"""`chidu search`: passages of one's own files that a question asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from chidu.apps import Answer
    from chidu.index import Hit, Updated

__all__ = ["command"]

_LOG = "vectors.log"
"""What the process that makes vectors behind tells, in the index's folder."""


def command(
    query: Annotated[str, typer.Argument(help="What is asked, in words, in any language the embedder reads.")],
    folders: Annotated[list[Path], typer.Argument(help="Folders and files of text.")],
    top: Annotated[int, typer.Option(help="Passages to print.", min=1, max=100)] = 5,
    embedder: Annotated[
        str,
        typer.Option(
            help="What makes vectors: e5 (many languages), minilm (English), a folder, one of the hub, an address; "
            "none: words alone."
        ),
    ] = "e5",
    index: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the index, made where it is not there. Else a folder of $XDG_CACHE_HOME/chidu/indexes (or "
            "~/.cache/chidu/indexes) that is named after the full paths of FOLDER…."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Make the vectors that lack first, then answer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Find passages of your files: by their words at once, and by their meaning as soon as vectors are made."""
    from chidu.apps import default_index, make_vectors, search
    from chidu.errors import TextError
    from chidu.inference import open_embedder

    if not query.strip():
        raise TextError("the query is empty: say what to find")
    place = index or default_index(folders)
    model = None if embedder == "none" else open_embedder(embedder)
    updated = _update(place, folders)
    if wait and model is not None:
        from chidu.cli.voice import open_voice

        with open_voice() as voice:
            make_vectors(place, model, lambda done, words: voice.progress("vectors", done, words, None))
    answer = search(place, query, model, top)
    if as_json:
        typer.echo(json.dumps(_document(query, embedder, place, answer, updated), ensure_ascii=False))
    else:
        for number, hit in enumerate(answer.found.hits, 1):
            _show(number, hit)
        if not answer.found.hits:
            typer.echo("nothing found")
    _tell(updated)
    if model is not None and answer.found.without_vectors:
        _go_on(place, [query, *map(str, folders), "--embedder", embedder, "--index", str(place)], answer)


def _update(place: Path, folders: list[Path]) -> Updated | None:
    """Read what changed; None where another process is at that for long, and the former state is searched."""
    from chidu.apps import update
    from chidu.cli.voice import open_voice
    from chidu.errors import IndexBusyError

    with open_voice() as voice:
        try:
            return update(place, folders, lambda done, words: voice.progress("index", done, words, None))
        except IndexBusyError:
            voice.say("another process reads changed files now: this is how the index was before")
            return None


def _document(query: str, embedder: str, place: Path, answer: Answer, updated: Updated | None) -> dict[str, Any]:
    found = answer.found
    return {
        "query": query,
        "by": "words and vectors" if answer.by_meaning else "words",
        "embedder": embedder,
        "index": str(place),
        "passages": found.passages,
        "without_vectors": found.without_vectors,
        "left_out": updated.left_out if updated else None,
        "results": [asdict(hit) for hit in found.hits],
    }


def _show(number: int, hit: Hit) -> None:
    """Print a passage under its place: `file:first-last` and its headings."""
    from chidu.corpus import normalise

    lines = f"{hit.first_line}" if hit.first_line == hit.last_line else f"{hit.first_line}-{hit.last_line}"
    place = normalise(f"{hit.file}:{lines}  {hit.heading}".rstrip()).replace("\n", " ")
    typer.echo(f"{number}  {place}")
    for line in hit.text.splitlines():
        typer.echo(f"   {line}".rstrip())
    typer.echo()


def _tell(updated: Updated | None) -> None:
    if updated is not None:
        sys.stderr.write(f"{updated}\n")


def _go_on(place: Path, words: list[str], answer: Answer) -> None:
    """Have the vectors made behind, by a process of its own, and say so."""
    from chidu.apps import are_vectors_made

    found, log = answer.found, place / _LOG
    made = found.passages - found.without_vectors
    how = "by words and meaning" if answer.by_meaning else "by words alone"
    if not are_vectors_made(place):
        failed = _why_failed(log)
        with log.open("w", encoding="utf-8") as told:
            behind = subprocess.Popen(
                [sys.executable, "-m", "chidu", "search", "--wait", *words],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told, start_new_session=True,
            )  # fmt: skip
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, behind.pid, 10)
        if failed:
            sys.stderr.write(f"vectors could not be made before ({failed}): they are tried again\n")
    sys.stderr.write(
        f"answered {how}: {made:,} of {found.passages:,} passages have vectors. The others are being made by a process "
        f"behind, told in {log}: ask again later, or with --wait\n"
    )


def _why_failed(log: Path) -> str:
    """Return what ended the process that made vectors before, where that was an error."""
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("chidu: ") for line in reversed(lines) if line.startswith("chidu: ")), "")
