"""`chidu search`: passages of one's own files that a question asks for."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chidu.cli.own_files import EmbedderOption, IndexOption, WaitOption
from chidu.cli.plain import json_text, plain

if TYPE_CHECKING:
    from chidu.apps import Searched
    from chidu.index import Hit, Updated

__all__ = ["command"]


def command(
    query: Annotated[str, typer.Argument(help="What is asked, in words, in any language the embedder reads.")],
    folders: Annotated[list[Path], typer.Argument(help="Folders and files of text.")],
    top: Annotated[int, typer.Option(help="Passages to print.", min=1, max=100)] = 5,
    embedder: EmbedderOption = "e5",
    index: IndexOption = None,
    wait: WaitOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Find passages of your files: by their words at once, and by their meaning as soon as vectors are made."""
    from chidu.apps import default_index, search
    from chidu.cli.own_files import check_asked, go_on, open_named, read_files, tell, wait_for_vectors

    check_asked(query, "query")
    place = index or default_index(folders)
    model = open_named(embedder)
    updated = read_files(place, folders)
    if wait and model is not None:
        wait_for_vectors(place, model)
    searched = search(place, query, model, top)
    if as_json:
        typer.echo(json_text(_document(query, embedder, place, searched, updated)))
    else:
        for number, hit in enumerate(searched.found.hits, 1):
            _show(number, hit)
        if not searched.found.hits:
            typer.echo("nothing found")
        if searched.glosses:
            meant = "; ".join(f"{one.word} {', '.join(one.phrases)}" for one in searched.glosses)
            sys.stderr.write(plain(f"no passage has most of the query's words; in English, by CC-CEDICT: {meant}\n"))
    tell(updated)
    if model is not None:
        go_on(place, query, folders, embedder, searched)


def _document(query: str, embedder: str, place: Path, searched: Searched, updated: Updated | None) -> dict[str, Any]:
    found = searched.found
    return {
        "query": query,
        "by": searched.by,
        "glosses": {one.word: one.phrases for one in searched.glosses},
        "embedder": embedder,
        "index": str(place),
        "passages": found.passages,
        "without_vectors": found.without_vectors,
        "left_out": updated.left_out if updated else None,
        "results": [asdict(hit) for hit in found.hits],
    }


def _show(number: int, hit: Hit) -> None:
    """Print a passage under its place."""
    from chidu.cli.own_files import place_of

    typer.echo(f"{number}  {place_of(hit)}")
    for line in hit.text.splitlines():
        typer.echo(plain(f"   {line}".rstrip()))
    typer.echo()
