"""`chidu generate`: text from a model: one that Chidu trained, a folder, a GGUF file, or one of the hub's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli.plain import json_text, plain_on_terminal
from chidu.cli.undertaking import DEFAULT_FOLDER

if TYPE_CHECKING:
    from chidu.inference import Engine, Piece

__all__ = ["command", "default_model", "open_model"]


def command(
    prompt: Annotated[str, typer.Argument(help="The text to go on from.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A folder, a .gguf file, smollm2, one of the hub, an address; else the work folder's, or smollm2."
        ),
    ] = None,
    work: Annotated[Path, typer.Option(help="The work folder.")] = DEFAULT_FOLDER,
    max_tokens: Annotated[int, typer.Option(help="Tokens to write at the most.")] = 100,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token each time.")] = 0.8,
    top_p: Annotated[float, typer.Option(help="Draw from the most likely tokens of this much probability.")] = 0.95,
    top_k: Annotated[int, typer.Option(help="Draw from so many most likely tokens; 0: all.")] = 0,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be given several times.")] = None,
    sequences: Annotated[int, typer.Option(help="Texts to write, with the seeds that follow.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="The same seed writes the same text.")] = 0,
    schema: Annotated[Path | None, typer.Option(help="A file with a JSON schema, which the text is to fit.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Write text with a model."""
    from chidu.errors import SettingError
    from chidu.inference import Sampling

    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise SettingError("the prompt is not UTF-8: write it in that encoding") from error
    drawings = [
        Sampling(max_tokens, temperature, top_p, seed + each, top_k, tuple(stop or ()), schema=read_schema(schema))
        for each in range(sequences)
    ]
    engine = open_model(model, work)
    found = []
    for sampling in drawings:
        # The first piece comes before the prompt is shown: a prompt that is refused is not printed in full.
        pieces = engine.write(prompt, sampling)
        pieces = chain([next(pieces)], pieces)
        if as_json:
            heard = list(pieces)
            text = "".join(piece.text for piece in heard)
            found.append({"text": text, "seed": sampling.seed, "finish": heard[-1].finish})
        else:
            show(prompt, pieces)
    if as_json:
        document = {"model": engine.name, "prompt": prompt, "text": found[0]["text"], "texts": found}
        typer.echo(json_text(document))


def read_schema(path: Path | None) -> str | None:
    """Read a JSON schema. Raises SettingError where the file can't be read; whether it is one, the engine finds out."""
    from chidu.errors import SettingError

    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"--schema: {path} can't be read ({error}): name a file with a JSON schema") from error


def show(prompt: str, pieces: Iterator[Piece]) -> None:
    """Print a prompt and what follows it, as it comes."""
    sys.stdout.write(plain_on_terminal(prompt))
    try:
        for piece in pieces:
            sys.stdout.write(plain_on_terminal(piece.text))
            sys.stdout.flush()
    finally:
        sys.stdout.write("\n")
        sys.stdout.flush()


def open_model(model: str | None, work: Path) -> Engine:
    """Open the model that is named, else the work folder's own, else smollm2. Raises InputError where there is none."""
    from chidu.errors import MissingPackageError
    from chidu.inference import open_engine

    try:
        model = model or default_model(work)
        return open_engine(model)
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "torch", "lab", "writing text") from error


def default_model(work: Path, flag: str = "--model") -> str:
    """Name the model that is meant where none is named by a flag. Raises InputError where there is none."""
    from chidu.errors import InputError
    from chidu.inference.packaged import kept_at
    from chidu.runs.folder import check_work_folder

    if work != DEFAULT_FOLDER or (work / "model").is_dir():
        check_work_folder(work)
        if (work / "model").is_dir():
            return str(work / "model")
        raise InputError(f"{work / 'model'}: no such folder: train one with chidu build, or name one with {flag}")
    if not kept_at("smollm2").exists():
        raise InputError(
            f"there is no model: train one with chidu demo (it is kept in {work / 'model'}), fetch one with "
            f"chidu models get smollm2, or name one with {flag} (see chidu models)"
        )
    return "smollm2"
