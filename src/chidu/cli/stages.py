"""`chidu corpus`, `tokenize`, `ladder`, `train`: the undertaking up to one of its stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chidu.cli.undertaking import DEFAULT_FOLDER, undertake

__all__ = ["corpus", "ladder", "tokenize", "train"]

Text = Annotated[
    list[Path] | None,
    typer.Option(
        help="A .txt, .md or .jsonl file (.gz too) or a folder; none: documentation of the installed packages."
    ),
]
Folder = Annotated[Path, typer.Option("--work", help="The work folder.")]
Minutes = Annotated[float | None, typer.Option(help="Wall time of the whole undertaking, 3 to 600.")]
Seed = Annotated[int | None, typer.Option(help="Seeds split, data order, weights and resampling.")]
On = Annotated[str, typer.Option("--on", help="Where the ladder trains: local, ray, ray:HOST:PORT or ray://HOST:PORT.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and how long; do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON document on stdout.")]


def corpus(
    text: Text = None,
    folder: Folder = DEFAULT_FOLDER,
    seed: Seed = None,
    recollect: Annotated[bool, typer.Option(help="Collect the text anew, not from the folder's snapshot.")] = False,
    as_json: AsJson = False,
) -> None:
    """Collect, clean and split text; leave a data card."""
    undertake(folder, "corpus", as_json=as_json, recollect=recollect, text=text, seed=seed)


def tokenize(
    text: Text = None,
    folder: Folder = DEFAULT_FOLDER,
    seed: Seed = None,
    vocabulary: Annotated[
        int | None, typer.Option(help="Tokens in the vocabulary; else 1024 or more, by minutes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Learn a tokenizer from the corpus, and pack the text into token files."""
    undertake(folder, "tokens", as_json=as_json, text=text, seed=seed, vocabulary=vocabulary)


def ladder(
    text: Text = None,
    folder: Folder = DEFAULT_FOLDER,
    minutes: Minutes = None,
    seed: Seed = None,
    on: On = "local",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train the ladder; leave the table of runs (ladder/ladder.csv)."""
    undertake(folder, "ladder", dry_run=dry_run, as_json=as_json, on=on, text=text, minutes=minutes, seed=seed)


def train(
    text: Text = None,
    folder: Folder = DEFAULT_FOLDER,
    minutes: Minutes = None,
    seed: Seed = None,
    on: On = "local",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write the forecast down, train the run it speaks of, and save the model."""
    undertake(folder, "model", dry_run=dry_run, as_json=as_json, on=on, text=text, minutes=minutes, seed=seed)
