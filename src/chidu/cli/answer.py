"""`chidu answer`: a question answered from one's own files, with its places, or that they do not answer it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chidu.cli.own_files import EmbedderOption, IndexOption, WaitOption
from chidu.cli.plain import json_text, plain

if TYPE_CHECKING:
    from chidu.apps import Answer
    from chidu.index import Updated

__all__ = ["command"]


def command(
    question: Annotated[str, typer.Argument(help="What is asked, in any language the embedder reads.")],
    paths: Annotated[list[Path], typer.Argument(help="Folders and files of text.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Have a model write the answer from the passages: a folder, a .gguf file, one of the hub, an address. "
            "Else it is quoted word for word."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Probability from which on an answer is given, 0 to 1; else the one that was judged."),
    ] = None,
    embedder: EmbedderOption = "e5",
    index: IndexOption = None,
    wait: WaitOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Answer a question from your files, with the places; or say that they do not answer it."""
    from chidu.apps import answer_from, default_index
    from chidu.cli.own_files import check_asked, go_on, open_named, read_files, tell, wait_for_vectors
    from chidu.inference import open_engine

    check_asked(question, "question")
    place = index or default_index(paths)
    embeds = open_named(embedder)
    writes = None if model is None else open_engine(model)
    updated = read_files(place, paths)
    if wait and embeds is not None:
        wait_for_vectors(place, embeds)
    found = answer_from(place, question, embedder=embeds, engine=writes, threshold=threshold)
    if as_json:
        typer.echo(json_text(_document(question, model, embedder, place, found, updated)))
    else:
        _show(found)
    tell(updated)
    if embeds is not None:
        go_on(place, question, paths, embedder, found)


def _document(
    question: str, model: str | None, embedder: str, place: Path, found: Answer, updated: Updated | None
) -> dict[str, Any]:
    return {
        "question": question,
        **asdict(found),
        "model": model,
        "embedder": embedder,
        "index": str(place),
        "left_out": updated.left_out if updated else None,
    }


def _show(found: Answer) -> None:
    """Print the answer, and under it where it stands."""
    from chidu.cli.own_files import place_of

    typer.echo(plain(found.answer))
    for number, one in enumerate(found.citations, 1):
        typer.echo(f"{'' if number > 1 else chr(10)}[{number}] {place_of(one)}")
    for aside in found.set_aside:
        sys.stderr.write(
            plain(f"{aside.file}:{aside.first_line}-{aside.last_line} is not used: it gives orders or is not allowed ")
            + f"({', '.join(aside.rules)})\n"
        )
    if found.confidence is None:
        sys.stderr.write("by words alone, in passages without headings: how sure this is can't be told\n")
    else:
        sys.stderr.write(f"{found.confidence:.0%} probable that the documents answer this, ranked by {found.by}\n")
