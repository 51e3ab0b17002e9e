"""`chidu corpus`, `tokenize`, `ladder`, `train`: the undertaking up to one of its stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli.processes import in_processes
from chidu.cli.undertaking import DEFAULT_FOLDER, undertake

if TYPE_CHECKING:
    from chidu.training.ranks import Ranks
    from chidu.training.sharded import Crew

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
    on: Annotated[
        str,
        typer.Option(
            "--on",
            help="torchrun:N for N processes of this machine (FSDP2); or where the ladder trains: local, ray, "
            "ray:HOST:PORT or ray://HOST:PORT.",
        ),
    ] = "local",
    sequences_at_once: Annotated[
        int | None, typer.Option(help="With several processes: sequences each passes at once; all.", min=1)
    ] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="With several processes: activation checkpointing.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write the forecast down, train the run it speaks of, and save the model."""

    def work(ranks: Ranks | None) -> None:
        undertake(
            folder,
            "model",
            dry_run=dry_run,
            as_json=as_json,
            on=on,
            text=text,
            crew=crew_of(ranks, sequences_at_once, recompute),
            minutes=minutes,
            seed=seed,
        )

    in_processes(on, work)


def crew_of(ranks: Ranks | None, sequences_at_once: int | None, recompute: bool) -> Crew | None:
    """Return who trains together, and how they save memory. Raises SettingError where there is one process alone."""
    from chidu.errors import SettingError

    if ranks is not None:
        from chidu.training.sharded import Crew, Thrift

        return Crew(ranks, Thrift(sequences_at_once or 0, recompute))
    if sequences_at_once is not None or recompute:
        raise SettingError("--sequences-at-once and --recompute are for several processes: add --on torchrun:N")
    return None
