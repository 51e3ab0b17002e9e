"""`chidu tune`: look for a better recipe on small models of the work folder's text."""

from __future__ import annotations

from typing import Annotated

import typer

from chidu.cli import stages
from chidu.cli.plain import json_text
from chidu.cli.undertaking import DEFAULT_FOLDER, check_other_text, check_text

__all__ = ["command"]


def command(
    text: stages.Text = None,
    folder: stages.Folder = DEFAULT_FOLDER,
    minutes: Annotated[float, typer.Option(help="Wall time of the tuning alone, 1 to 600.")] = 10.0,
    seed: Annotated[int | None, typer.Option(help="Seeds search and runs; else the folder's.")] = None,
    dry_run: stages.DryRun = False,
    as_json: stages.AsJson = False,
) -> None:
    """Search rates, batch, schedule and depth on small models; keep what fresh seeds confirm for later stages."""
    from chidu.cli.voice import open_voice
    from chidu.errors import MissingPackageError
    from chidu.runs.folder import check_work_folder, open_work_folder
    from chidu.runs.settings import read_settings, write_settings
    from chidu.units import format_seconds
    from chidu.work import check_lab, run
    from chidu.work.tune import check_minutes, preview_tuning, tune

    check_lab("ladder")
    if not is_installed("optuna"):
        raise MissingPackageError("optuna", "tune", "searching a recipe")
    check_minutes(minutes)
    check_work_folder(folder)
    paths = tuple(str(path.resolve()) for path in text) if text else None
    settings = read_settings(folder, text=paths)
    check_text(settings.text)
    check_other_text(folder, settings)
    if dry_run:
        expected = preview_tuning(folder, settings, minutes)
        if as_json:
            typer.echo(json_text({"stages": expected, "minutes": sum(expected.values()) / 60}, indent=1))
            return
        for name, seconds in expected.items():
            typer.echo(f"{name:10} {'done already' if not seconds else 'about ' + format_seconds(seconds)}")
        return
    with open_voice() as voice, open_work_folder(folder):
        write_settings(folder, settings)
        work = run(folder, settings, voice, "tokens")
        record = tune(work, minutes, settings.seed if seed is None else seed)
    if as_json:
        typer.echo(json_text(record.result, indent=1))
    elif record.result["recipe"]:
        typer.echo(
            f"a better recipe: {', '.join(f'{name} = {value:g}' for name, value in record.result['recipe'].items())}"
        )
    else:
        typer.echo("the built-in recipe stays")


def is_installed(package: str) -> bool:
    """Tell whether a package is there, without importing it."""
    from importlib.util import find_spec

    return find_spec(package) is not None
