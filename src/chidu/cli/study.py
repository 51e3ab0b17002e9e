"""`chidu study`: put a claim about scale to the test, on runs made for it or on a table of others'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli import stages
from chidu.cli.output import check_page
from chidu.cli.plain import json_text
from chidu.cli.undertaking import DEFAULT_FOLDER, check_other_text, check_text

if TYPE_CHECKING:
    from chidu.runs.ladder import Ladder
    from chidu.runs.record import Record
    from chidu.runs.settings import Settings
    from chidu.studies import Study
    from chidu.work.paper import Paper

__all__ = ["command"]

TIMING = "timing a few steps of each size: what fits the minutes is told when that is done"


def command(
    name: Annotated[str, typer.Argument(help="self-averaging, structure, limits, stability, context, cost; or all")],
    text: stages.Text = None,
    folder: stages.Folder = DEFAULT_FOLDER,
    minutes: Annotated[float, typer.Option(help="Wall time, 1 to 600; text that is not there yet included.")] = 10.0,
    seed: Annotated[int | None, typer.Option(help="Seeds runs and intervals; else the folder's.")] = None,
    on: stages.On = "local",
    runs: Annotated[Path | None, typer.Option(help="Judge this table of runs, and train nothing.")] = None,
    columns: Annotated[list[str] | None, typer.Option(help="With --runs: loss=val/loss,params=n_params")] = None,
    price: Annotated[float | None, typer.Option(help="cost: of one device (a core) for an hour.")] = None,
    watts: Annotated[float | None, typer.Option(help="cost: of one device at work; else measured, or assumed.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="all: the page to write; else studies/all/page.html in the folder.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="all: the page's language, en or zh; else the folder's.")] = None,
    dry_run: stages.DryRun = False,
    as_json: stages.AsJson = False,
) -> None:
    """Test a claim about scale: runs, the law, and whether the claim holds, fails, or is undecided."""
    from chidu.errors import SettingError
    from chidu.studies import study_of

    if runs is None and columns:
        raise SettingError("--columns: it names the columns of a table: give that with --runs TABLE")
    if name == "all":
        if price is not None or watts is not None:
            raise SettingError("--price and --watts: run chidu study cost first; all keeps what it reported")
        _all(text, folder, minutes, seed, on, runs, columns, page, language, dry_run, as_json)
        return
    chosen = study_of(name)
    if page is not None or language is not None:
        raise SettingError(f"--page and --language are for all studies: chidu study all, not {name}")
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
        typer.echo(json_text({**record.result, "minutes": record.seconds / 60}, indent=1))
    else:
        typer.echo((folder / "studies" / name / "verdict.txt").read_text(encoding="utf-8").rstrip())


def _judge(chosen: Study, path: Path, columns: list[str] | None, seed: int, as_json: bool) -> None:
    """Judge a table of others' runs."""
    table = _read(path, columns)
    verdict = chosen.verdict(table, seed)
    if as_json:
        found = verdict.as_dict()
        typer.echo(json_text({**found, "minutes": 0.0}, indent=1))
    else:
        typer.echo(str(verdict))


def _read(path: Path, columns: list[str] | None) -> Ladder:
    """Read a table of others' runs, and tell what was recognised."""
    from chidu.cli.notes import tell
    from chidu.laws.reading import column_names
    from chidu.runs.ladder import Ladder

    table = Ladder.read(path, column_names(columns))
    for note in table.notes:
        tell(note)
    return table


def _all(
    text: list[Path] | None,
    folder: Path,
    minutes: float,
    seed: int | None,
    on: str,
    runs: Path | None,
    columns: list[str] | None,
    page: Path | None,
    language: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make all studies in a work folder, or judge a table by all of them; then write the page."""
    from chidu.report.texts import check_language
    from chidu.work.paper import ALL, PAGE, judge_table, write_page

    known = None if language is None else check_language(language)
    if runs is not None:
        place = page or Path("studies.html")
        _check_page(place, runs)
        paper = judge_table(_read(runs, columns), 0 if seed is None else seed)
        write_page(paper, place, known or "en")
        _tell_all(paper, place, as_json)
        return
    place = page or folder / ALL / PAGE
    _check_page(place, None)
    settings = _settings(folder, text, minutes, "report")
    paper_or_none = _make_all(folder, settings, minutes, seed, on, dry_run, as_json)
    if paper_or_none is not None:
        write_page(paper_or_none, place, known or settings.language)
        _tell_all(paper_or_none, place, as_json)


def _check_page(page: Path, source: Path | None) -> None:
    """Refuse a page that is a folder, somebody's own file, or the table itself."""
    from chidu.errors import SettingError

    check_page(page)
    if source is not None and page.resolve() == source.resolve():
        raise SettingError(f"--page: {page} is the table that is read, and would be lost: name another file")


def _make_all(
    folder: Path, settings: Settings, minutes: float, seed: int | None, on: str, dry_run: bool, as_json: bool
) -> Paper | None:
    """Make all studies; None where it was only to be said what that would cost."""
    from chidu.cli.voice import open_voice
    from chidu.parallel import open_place
    from chidu.runs.folder import open_work_folder
    from chidu.runs.settings import write_settings
    from chidu.work.paper import preview_all, study_all

    own = settings.seed if seed is None else seed
    with open_voice() as voice, open_place(on) as place:
        if dry_run:
            voice.say(TIMING)
            _tell_division(*preview_all(folder, settings, minutes, own, place), as_json)
            return None
        with open_work_folder(folder):
            write_settings(folder, settings)
            place.check(folder)
            return study_all(folder, settings, voice, minutes, own, place)


def _tell_division(expected: dict[str, float], words: dict[str, str], as_json: bool) -> None:
    """Print how the minutes would be shared out."""
    from chidu.units import format_seconds

    if as_json:
        typer.echo(json_text({"runs": words, "stages": expected, "minutes": sum(expected.values()) / 60}, indent=1))
        return
    for name, seconds in expected.items():
        # A stage without words is one of the text's: 0 seconds say that it is there.
        done = not seconds and words.get(name, "done already") == "done already"
        told = f"; {words[name]}" if name in words and not done else ""
        typer.echo(f"{name:15} {'done already' if done else 'about ' + format_seconds(seconds)}{told}")


def _tell_all(paper: Paper, page: Path, as_json: bool) -> None:
    """Print every verdict, and where the page is."""
    where = str(page.resolve())
    if as_json:
        told = {
            "minutes": paper.seconds / 60,
            "published": None if paper.published is None else paper.published.as_dict(),
            "verdicts": [each.as_dict() for each in paper.outcomes],
            "page": where,
        }
        typer.echo(json_text(told, indent=1))
        return
    for each in paper.outcomes:
        if each.verdict is None:
            typer.echo(f"{each.name:15} not run: {each.reason}")
            continue
        found = each.verdict
        word = found["verdict"] or "report"
        effect = ", ".join(f"{name} {found[name]:.3g}" for name in ("effect", "low", "high"))
        typer.echo(f"{each.name:15} {word}: {effect} at {found['level']:.0%}")
    typer.echo(f"wrote {where}")


def _settings(folder: Path, text: list[Path] | None, minutes: float, last: str) -> Settings:
    """Read a work folder's settings, with the text that was named; check all that can be before it is touched."""
    from chidu.runs.folder import check_work_folder
    from chidu.runs.settings import read_settings
    from chidu.work import check_lab
    from chidu.work.study import check_minutes

    check_lab(last)
    check_minutes(minutes)
    check_work_folder(folder)
    paths = tuple(str(path.resolve()) for path in text) if text else None
    settings = read_settings(folder, text=paths)
    check_text(settings.text)
    check_other_text(folder, settings)
    return settings


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
    from chidu.runs.folder import open_work_folder
    from chidu.runs.settings import write_settings
    from chidu.work.study import preview_study, undertake

    settings = _settings(folder, text, minutes, "ladder")
    own = settings.seed if seed is None else seed
    with open_voice() as voice, open_place(on) as place:
        if dry_run:
            voice.say(TIMING)
            expected, words = preview_study(folder, settings, chosen, minutes, own, place)
            _tell_cost(chosen, expected, words, as_json)
            return
        for line in chosen.stated().splitlines():
            voice.say(line)
        with open_work_folder(folder):
            write_settings(folder, settings)
            place.check(folder)
            record = undertake(folder, settings, voice, chosen, minutes, own, place)
    _tell_record(folder, chosen.name, record, as_json)


def _tell_cost(chosen: Study, expected: dict[str, float], words: str, as_json: bool) -> None:
    """Print a dry run's answer."""
    from chidu.units import format_seconds

    if as_json:
        typer.echo(json_text({"runs": words, "stages": expected, "minutes": sum(expected.values()) / 60}, indent=1))
        return
    typer.echo(chosen.stated())
    typer.echo(f"runs       {words}")
    for name, seconds in expected.items():
        typer.echo(f"{name:10} {'done already' if not seconds else 'about ' + format_seconds(seconds)}")
