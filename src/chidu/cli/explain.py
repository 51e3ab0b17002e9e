"""`chidu explain`: why a model says what it says, and how far such reasons can be trusted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli.generate import default_model
from chidu.cli.plain import json_text
from chidu.cli.undertaking import DEFAULT_FOLDER

if TYPE_CHECKING:
    from chidu.cli.voice import BarVoice, LineVoice
    from chidu.evaluation.tracing import CorpusTrace

__all__ = ["command"]


def command(
    prompt: Annotated[str, typer.Argument(help="The text that is answered, or gone on from.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A folder, a .gguf file (made float32), smollm2, one of the hub; else the work folder's, or smollm2."
        ),
    ] = None,
    answer: Annotated[
        str | None, typer.Option(help="The text to explain, blanks as they are; else what the model finds most likely.")
    ] = None,
    work: Annotated[
        Path, typer.Option(help="The work folder, in whose training text the answer is looked for.")
    ] = DEFAULT_FOLDER,
    max_tokens: Annotated[int, typer.Option(help="Tokens to write at the most, where no answer is named.")] = 12,
    steps: Annotated[int, typer.Option(help="Places at which integrated gradients are taken.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the random choices of the deletion test.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Say which words of a prompt carried an answer, what each layer would have said, and where it may come from."""
    from chidu.cli.explain_show import shown
    from chidu.cli.voice import open_voice
    from chidu.errors import MissingPackageError, SettingError

    try:
        (prompt + (answer or "")).encode()
    except UnicodeEncodeError as error:
        raise SettingError("prompt or answer is not UTF-8: write them in that encoding") from error
    name = model or default_model(work)
    try:
        from chidu.evaluation.explanation import check_numbers, explain
        from chidu.evaluation.white_box import open_white_box

        check_numbers(max_tokens, steps)
        box = open_white_box(name)
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "torch", "lab", "giving reasons") from error
    with open_voice() as voice:
        trace, without = _trace(name, work, voice)
        found = explain(
            box, prompt, answer, max_tokens=max_tokens, steps=steps, seed=seed, trace=trace,
            progress=lambda done, words: voice.progress("explain", done, words, None),
        )  # fmt: skip
    if as_json:
        typer.echo(json_text({**found.as_dict(), "without_origin": without}))
        return
    from rich.console import Console

    # Where it is no terminal, nobody cuts the lines.
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False, markup=False, emoji=False).print(shown(found, without), soft_wrap=True)


def _trace(name: str, work: Path, voice: BarVoice | LineVoice) -> tuple[CorpusTrace | None, str]:
    """Open the training text's trace, or say why there is none; a work folder that was named must have one.

    Raises WorkFolderError, MissingPackageError or IndexFolderError for a folder that was named.
    """
    from chidu.errors import MissingPackageError
    from chidu.evaluation.tracing import CorpusTrace, is_trained_on

    if work == DEFAULT_FOLDER and not (work / "corpus" / "record.json").is_file():
        return None, "no training text was named (--work)"
    is_own = is_trained_on(name, work)
    try:
        return CorpusTrace(work, is_own, lambda done, words: voice.progress("trace", done, words, None)), ""
    except MissingPackageError as error:
        if work != DEFAULT_FOLDER:
            raise
        return None, str(error)
