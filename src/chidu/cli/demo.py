"""`chidu demo`: the whole undertaking on text that this machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chidu.cli import stages
from chidu.cli.undertaking import DEFAULT_FOLDER, undertake

__all__ = ["command"]


def command(
    work: Annotated[Path, typer.Option(help="The work folder.")] = DEFAULT_FOLDER,
    minutes: Annotated[float | None, typer.Option(help="Wall time of all, 3 to 600; 10 where not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds split, data order, weights and resampling.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the page: en or zh.")] = None,
    recollect: Annotated[bool, typer.Option(help="Collect the text anew, not from the folder's snapshot.")] = False,
    on: stages.On = "local",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and how long; do nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON document on stdout.")] = False,
) -> None:
    """Collect text, train a ladder, forecast a larger run, train it, score the forecast: in ten minutes."""
    undertake(
        work, "report", dry_run=dry_run, as_json=as_json, on=on, recollect=recollect,
        minutes=minutes, seed=seed, language=language,
    )  # fmt: skip
