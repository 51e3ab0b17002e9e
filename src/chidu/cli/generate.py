"""`chidu generate`: text from a model that Chidu trained."""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from chidu.cli.undertaking import DEFAULT_FOLDER

__all__ = ["command"]


def command(
    prompt: Annotated[str, typer.Argument(help="The text to go on from.")],
    model: Annotated[
        Path | None, typer.Option(help="A model's folder; the work folder's model where not given.")
    ] = None,
    work: Annotated[Path, typer.Option(help="The work folder.")] = DEFAULT_FOLDER,
    max_tokens: Annotated[int, typer.Option(help="Tokens to write at the most.")] = 100,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token each time.")] = 0.8,
    top_p: Annotated[float, typer.Option(help="Draw from the most likely tokens of this much probability.")] = 0.95,
    seed: Annotated[int, typer.Option(help="The same seed writes the same text.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Write text with a model that Chidu trained."""
    from chidu.errors import InputError, MissingPackageError
    from chidu.runs.folder import check_work_folder

    if model is None:
        check_work_folder(work)
    folder = model or work / "model"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: train one with chidu demo, or name one with --model")
    try:
        from chidu.inference import Sampling, TextModel
    except ImportError as error:
        raise MissingPackageError("torch", "lab", "writing text") from error
    sampling = Sampling(max_tokens, temperature, top_p, seed)
    pieces = TextModel(folder).write(prompt, sampling)
    if as_json:
        typer.echo(json.dumps({"prompt": prompt, "text": "".join(pieces)}, ensure_ascii=False))
        return
    # The first piece comes before the prompt is shown: a prompt that is refused is not printed in full.
    first = next(pieces, "")
    sys.stdout.write(prompt)
    for piece in chain([first], pieces):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
