"""`chidu build`: the whole undertaking on the user's own text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chidu.cli import stages
from chidu.cli.undertaking import DEFAULT_FOLDER, undertake

__all__ = ["command"]


def command(
    text: Annotated[list[Path] | None, typer.Option(help="A .txt, .md or .jsonl file (.gz too) or a folder.")] = None,
    work: Annotated[Path, typer.Option(help="The work folder.")] = DEFAULT_FOLDER,
    minutes: Annotated[float | None, typer.Option(help="Wall time of all, 3 to 600; 10 where not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds split, data order, weights and resampling.")] = None,
    vocabulary: Annotated[
        int | None, typer.Option(help="Tokens in the vocabulary; else 1024 or more, by minutes.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Language of the page: en or zh.")] = None,
    on: stages.On = "local",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and how long; do nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON document on stdout.")] = False,
) -> None:
    """Do all that `demo` does, on your text: corpus, ladder, law, forecast, model, page."""
    from chidu.errors import SettingError
    from chidu.runs.settings import read_settings

    if not text and not read_settings(work).text:
        raise SettingError("build needs text: name files or folders with --text, or try `chidu demo` first")
    undertake(
        work, "report", dry_run=dry_run, as_json=as_json, on=on, text=text,
        minutes=minutes, seed=seed, vocabulary=vocabulary, language=language,
    )  # fmt: skip
