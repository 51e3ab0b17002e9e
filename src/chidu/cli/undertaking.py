"""What `demo`, `build` and the single stages share: open the folder, run up to a stage, say what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chidu.cli.plain import json_text
from chidu.units import format_bytes, format_level, format_seconds

if TYPE_CHECKING:
    from chidu.runs.settings import Settings
    from chidu.training.sharded import Crew

__all__ = ["DEFAULT_FOLDER", "undertake"]

DEFAULT_FOLDER = Path("chidu-work")


def undertake(
    folder: Path,
    last: str,
    *,
    dry_run: bool = False,
    as_json: bool = False,
    recollect: bool = False,
    on: str = "local",
    text: list[Path] | None = None,
    crew: Crew | None = None,
    **flags: Any,
) -> None:
    """Run the stages up to `last` in a work folder, or with `dry_run` say what that would do.

    `on` is where the ladder trains. It is no setting: nothing that is made depends on it. A `crew` of several processes
    trains the target.
    """
    from chidu.cli.voice import open_voice
    from chidu.parallel import open_place
    from chidu.runs.folder import check_work_folder, open_work_folder
    from chidu.runs.settings import read_settings, write_settings
    from chidu.work import check_lab, preview, run, summary

    check_lab(last)
    check_work_folder(folder)
    if text:
        flags["text"] = tuple(str(path.resolve()) for path in text)
    settings = read_settings(folder, **flags)
    check_text(settings.text)
    check_other_text(folder, settings)
    with open_voice() as voice, open_place(on) as place:
        if dry_run:
            tell_preview(preview(folder, settings, voice.say, place), last, as_json)
            return
        with open_work_folder(folder):
            if last == "report" and not (folder / "corpus").exists():
                voice.say(
                    f"{settings.minutes:g} minutes: clean text, train a ladder of small models, write down a forecast, "
                    "train the larger model, score the forecast. Ctrl-C is safe: the same command goes on"
                )
            write_settings(folder, settings)
            work = run(folder, settings, voice, last, recollect, place, crew)
    if as_json:
        typer.echo(json_text(summary(folder) if last == "report" else stage_results(work), indent=1))
    else:
        tell_end(work, last)


def check_text(paths: tuple[str, ...]) -> None:
    """Refuse paths that are not there before anything is written."""
    from chidu.errors import TextError

    for path in paths:
        if not Path(path).exists():
            raise TextError(f"{path}: no such file or folder: name a .txt, .md or .jsonl file, or a folder of them")


def check_other_text(folder: Path, settings: Settings) -> None:
    """Refuse to put a new undertaking of other text over a finished one, which may have taken hours."""
    from chidu.errors import SettingError
    from chidu.runs.settings import read_settings
    from chidu.work.results import read_records, settings_title

    before = read_settings(folder)
    if before.text != settings.text and "score" in read_records(folder):
        raise SettingError(
            f"{folder} holds a finished undertaking of other text ({settings_title(before)}): "
            "name another folder with --work, or delete this one"
        )


def stage_results(work: Any) -> dict[str, Any]:
    """Return each stage's own summary."""
    return {name: record.result for name, record in work.records.items()}


def tell_end(work: Any, last: str) -> None:
    """Say in a few lines what is there now."""
    from chidu.work import summary

    if len(work.skipped) == len(work.records):
        typer.echo(f"nothing left to do in {work.folder}")
    if last == "report":
        found = summary(work.folder)
        forecast = found["forecast"]
        typer.echo(
            f"forecast {forecast['loss']:.4f} "
            f"({format_level(forecast['level'])} interval: {forecast['low']:.4f} to {forecast['high']:.4f}), "
            f"measured {found['measured']:.4f}, error {found['error_percent']:+.2f}%, "
            f"{'inside' if found['inside'] else 'OUTSIDE'} the interval"
        )
        typer.echo(f"page:  {found['report']}\nmodel: {found['model']}")


def tell_preview(found: Any, last: str, as_json: bool) -> None:
    """Print a dry run's answer."""
    from chidu.work import STAGES

    wanted = list(STAGES)[: list(STAGES).index(last) + 1]
    stages = {name: seconds for name, seconds in found.stages.items() if name in wanted}
    if as_json:
        typer.echo(json_text({**found.as_dict(), "stages": stages, "minutes": sum(stages.values()) / 60}, indent=1))
        return
    for name, seconds in stages.items():
        typer.echo(f"{name:10} {'done already' if not seconds else 'about ' + format_seconds(seconds)}")
    typer.echo(f"{'together':10} about {format_seconds(sum(stages.values()))}")
    typer.echo(f"{'disk':10} about {format_bytes(found.disk_bytes)} of {format_bytes(found.free_bytes)} free")
    if found.disk_bytes > found.free_bytes:
        sys.stderr.write("chidu: the disk has too little room for this\n")
