"""`chidu corpus`, `tokenize`, `ladder`, `train`: the undertaking up to one of its stages; or a translation model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli.plain import json_text
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
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            help="Teach a translation model instead, from pairs of sentences: .jsonl, .tsv, .po, .mo, or a folder."
        ),
    ] = None,
    params: Annotated[
        str | None, typer.Option(help="With --pairs: params of the model, such as 3M; else by the minutes.")
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(help="With --pairs: tokens in the vocabulary; else up to 8192, by the pairs.")
    ] = None,
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
    """Write the forecast down, train the run it speaks of, and save the model. With --pairs: a translation model."""
    from chidu.errors import SettingError

    if pairs:
        if text or on != "local" or sequences_at_once is not None or recompute or dry_run:
            raise SettingError(
                "--text, --on, --sequences-at-once, --recompute and --dry-run do not go with --pairs: leave them out"
            )
        train_on_pairs(folder, pairs, minutes, params, vocabulary, seed, as_json)
        return
    if params is not None or vocabulary is not None:
        raise SettingError("--params and --vocabulary are for translation models: add --pairs")

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


def train_on_pairs(
    folder: Path,
    pairs: list[Path],
    minutes: float | None,
    params: str | None,
    vocabulary: int | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Teach a translation model in a work folder, and say what came of it."""
    from chidu.cli.voice import open_voice
    from chidu.runs.folder import check_work_folder, open_work_folder
    from chidu.units import parse_count
    from chidu.work import check_lab
    from chidu.work.translation import PairSettings, train_translation

    check_lab("model")
    check_work_folder(folder)
    settings = PairSettings(
        tuple(str(path.resolve()) for path in pairs),
        10.0 if minutes is None else minutes,
        None if params is None else int(parse_count(params)),
        vocabulary,
        seed or 0,
    )
    with open_voice() as voice, open_work_folder(folder):
        found = train_translation(folder, settings, voice)
    if as_json:
        typer.echo(json_text(found, indent=1))
        return
    languages = " and ".join(found["languages"])
    typer.echo(
        f"translates between {languages}: {found['params']:,} params, {found['pairs']:,} pairs, held-out loss "
        f"{found['loss']:.4f}\nmodel: {found['model']}\nuse it: chidu translate --work {folder} --to "
        f"{found['languages'][-1]} FILE"
    )


def crew_of(ranks: Ranks | None, sequences_at_once: int | None, recompute: bool) -> Crew | None:
    """Return who trains together, and how they save memory. Raises SettingError where there is one process alone."""
    from chidu.errors import SettingError

    if ranks is not None:
        from chidu.training.sharded import Crew, Thrift

        return Crew(ranks, Thrift(sequences_at_once or 0, recompute))
    if sequences_at_once is not None or recompute:
        raise SettingError("--sequences-at-once and --recompute are for several processes: add --on torchrun:N")
    return None
