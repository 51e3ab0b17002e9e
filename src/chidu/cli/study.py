"""`chidu study`: put a claim about scale to the test, on runs made for it or on a table of others'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli import stages
from chidu.cli.undertaking import DEFAULT_FOLDER, check_other_text, check_text

if TYPE_CHECKING:
    from chidu.runs.record import Record
    from chidu.studies import Study

__all__ = ["command"]


def command(
    name: Annotated[str, typer.Argument(help="self-averaging, structure, limits, context, cost")],
    text: stages.Text = None,
    folder: stages.Folder = DEFAULT_FOLDER,
    minutes: Annotated[float, typer.Option(help="Wall time, 1 to 600; text that is not there yet included.")] = 10.0,
    seed: Annotated[int | None, typer.Option(help="Seeds runs and intervals; else the folder's.")] = None,
    on: stages.On = "local",
    runs: Annotated[Path | None, typer.Option(help="Judge this table of runs, and train nothing.")] = None,
    columns: Annotated[list[str] | None, typer.Option(help="With --runs: loss=val/loss,params=n_params")] = None,
    price: Annotated[float | None, typer.Option(help="cost: of one device (a core) for an hour.")] = None,
    watts: Annotated[float | None, typer.Option(help="cost: of one device at work; else measured, or assumed.")] = None,
    dry_run: stages.DryRun = False,
    as_json: stages.AsJson = False,
) -> None:
    """Test a claim about scale: runs, the law, and whether the claim holds, fails, or is undecided."""
    from chidu.errors import SettingError
    from chidu.studies import study_of

    chosen = study_of(name)
    if runs is None and columns:
        raise SettingError("--columns: it names the columns of a table: give that with --runs TABLE")
    if name == "cost":
        _cost(folder, runs, columns, price, watts, 0 if seed is None else seed, dry_run, as_json)
        return
    if price is not None or watts is not None:
        raise SettingError(f"--price and --watts are for the study of cost, not for {name}")
    if runs is not None:
        _judge(chosen, runs, columns, 0 if seed is None else seed, as_json)
        return
    _undertake(chosen, text, folder, minutes, seed, on, dry_run, as_json)


def _cost(
    folder: Path,
    runs: Path | None,
    columns: list[str] | None,
    price: float | None,
    watts: float | None,
    seed: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Report what a table's runs cost, or those of a work folder's ladder; nothing is trained."""
    from chidu.cli.voice import open_voice
    from chidu.studies.cost import Terms, cost_study
    from chidu.studies.energy import Power

    given = None if watts is None else Power.given(watts)
    # Checked before a folder is touched: what stands there is of other terms, and would be lost.
    terms = Terms(given or Power.estimated(), price)
    if runs is not None:
        _judge(cost_study(terms), runs, columns, seed, as_json)
        return
    from chidu.runs.folder import open_work_folder
    from chidu.work.study import cost, preview_cost

    expected, words = preview_cost(folder)
    if dry_run:
        _tell_cost(cost_study(terms), expected, words, as_json)
        return
    with open_voice() as voice, open_work_folder(folder):
        record = cost(folder, voice, price, given, seed)
    _tell_record(folder, "cost", record, as_json)


def _tell_record(folder: Path, name: str, record: Record, as_json: bool) -> None:
    """Print what a study of a work folder came to."""
    if as_json:
        typer.echo(json.dumps({**record.result, "minutes": record.seconds / 60}, ensure_ascii=False, indent=1))
    else:
        typer.echo((folder / "studies" / name / "verdict.txt").read_text(encoding="utf-8").rstrip())


def _judge(chosen: Study, path: Path, columns: list[str] | None, seed: int, as_json: bool) -> None:
    """Judge a table of others' runs."""
    from chidu.cli.notes import tell
    from chidu.laws.reading import column_names
    from chidu.runs.ladder import Ladder

    table = Ladder.read(path, column_names(columns))
    for note in table.notes:
        tell(note)
    verdict = chosen.verdict(table, seed)
    if as_json:
        found = verdict.as_dict()
        typer.echo(json.dumps({**found, "minutes": 0.0}, ensure_ascii=False, indent=1))
    else:
        typer.echo(str(verdict))


def _undertake(
    chosen: Study,
    text: list[Path] | None,
    folder: Path,
    minutes: float,
    seed: int | None,
    on: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the runs in a work folder, and judge them; or say what that would cost."""
    from chidu.cli.voice import open_voice
    from chidu.parallel import open_place
    from chidu.runs.folder import check_work_folder, open_work_folder
    from chidu.runs.settings import read_settings, write_settings
    from chidu.work import check_lab, run
    from chidu.work.study import check_minutes, preview_study, study

    check_lab("ladder")
    check_minutes(minutes)
    check_work_folder(folder)
    paths = tuple(str(path.resolve()) for path in text) if text else None
    settings = read_settings(folder, text=paths)
    check_text(settings.text)
    check_other_text(folder, settings)
    own = settings.seed if seed is None else seed
    with open_voice() as voice, open_place(on) as place:
        if dry_run:
            expected, words = preview_study(folder, settings, chosen, minutes, own, place)
            _tell_cost(chosen, expected, words, as_json)
            return
        for line in chosen.stated().splitlines():
            voice.say(line)
        with open_work_folder(folder):
            write_settings(folder, settings)
            place.check(folder)
            record = study(run(folder, settings, voice, "tokens", place=place), chosen, minutes, own)
    _tell_record(folder, chosen.name, record, as_json)


def _tell_cost(chosen: Study, expected: dict[str, float], words: str, as_json: bool) -> None:
    """Print a dry run's answer."""
    from chidu.units import format_seconds

    if as_json:
        typer.echo(json.dumps({"runs": words, "stages": expected, "minutes": sum(expected.values()) / 60}, indent=1))
        return
    typer.echo(chosen.stated())
    typer.echo(f"runs       {words}")
    for name, seconds in expected.items():
        typer.echo(f"{name:10} {'done already' if not seconds else 'about ' + format_seconds(seconds)}")
