"""`chidu export`: a work folder's runs for other people's trackers, on this disk."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from chidu.cli.undertaking import DEFAULT_FOLDER

__all__ = ["command"]


def command(
    to: Annotated[str, typer.Option(help="The tracker: tensorboard, wandb, mlflow or trackio.")],
    work: Annotated[Path, typer.Option(help="The work folder.")] = DEFAULT_FOLDER,
    output: Annotated[Path | None, typer.Option(help="A new folder; export/TRACKER in the work folder, else.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write the finished runs for a tracker, through its own library, without an account. Nothing is sent anywhere."""
    from chidu.units import count_of
    from chidu.work.exporting import export_work

    made = export_work(work, to, output or work / "export" / to)
    if as_json:
        told = {"ladder": str(made.ladder), "target": made.target and str(made.target), "runs": made.runs}
        typer.echo(json.dumps({"to": to, **told, "show": made.show}, ensure_ascii=False, indent=1))
        return
    typer.echo(f"wrote {count_of(len(made.runs), 'run')} for {to} into {made.ladder.parent}")
    typer.echo(f"see them:      {made.show}")
    typer.echo(f"fit them:      chidu fit {shlex.quote(str(made.ladder))}")
