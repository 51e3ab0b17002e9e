"""`chidu report`: the page of charts and numbers, for a table of runs, a saved fit, or a work folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli.plain import json_text

if TYPE_CHECKING:
    from chidu.report import ReportContent

__all__ = ["command"]


def command(
    source: Annotated[
        Path | None, typer.Argument(help="A table of runs to fit, or a fit saved by `chidu fit --output`.")
    ] = None,
    *,
    work: Annotated[Path | None, typer.Option(help="The work folder to report on, instead.")] = None,
    law: Annotated[str, typer.Option(help="For a table: auto, or a law as `chidu fit` takes it.")] = "auto",
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    resamples: Annotated[int, typer.Option(help="For a table: refits behind the intervals.")] = 1000,
    level: Annotated[float, typer.Option(help="For a table: level of the intervals.")] = 0.9,
    seed: Annotated[int, typer.Option(help="For a table: seed of the resamples.")] = 0,
    output: Annotated[Path | None, typer.Option(help="The page to write; report.html here, or in the folder.")] = None,
    language: Annotated[
        str | None, typer.Option(help="The page's language: en or zh; the work folder's, else en.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Write one HTML page that opens without a network: law, forecast, charts, and what they can't tell."""
    if (source is None) == (work is None):
        raise typer.BadParameter("name a table of runs, a saved fit, or a work folder (--work DIR): one of them")
    from chidu.laws.reading import check_output

    page = output or (work or Path()) / "report.html"
    check_output(page, source)
    if work is not None:
        from chidu.work import write_work_report

        write_work_report(work, page, language)
    elif source is not None:
        from chidu.laws.reading import is_saved_fit
        from chidu.report import write_report

        content = (
            _saved(source, language or "en")
            if is_saved_fit(source)
            else _fitted(source, columns, law, resamples, level, seed, language or "en")
        )
        write_report(page, content)
    written = {"report": str(page.resolve()), "bytes": page.stat().st_size}
    typer.echo(json_text(written) if as_json else f"wrote {written['report']}")


def _saved(path: Path, language: str) -> ReportContent:
    """A saved fit has the law and all its refits, but no rows."""
    from chidu.laws.reading import load_fit
    from chidu.report.lawpage import law_content
    from chidu.report.texts import check_language

    known = check_language(language)
    found = load_fit(path, {})
    return law_content(found, None, path.name, found.law, known)


def _fitted(
    table: Path, columns: list[str] | None, law: str, resamples: int, level: float, seed: int, language: str
) -> ReportContent:
    from chidu.cli.notes import tell
    from chidu.laws import fit
    from chidu.laws.reading import column_names
    from chidu.report.lawpage import law_content
    from chidu.report.texts import check_language
    from chidu.runs.ladder import Ladder

    known = check_language(language)
    runs = Ladder.read(table, column_names(columns))
    for note in runs.notes:
        tell(note)
    tell("fitting the law, then again below several cuts and along its profiles: a law of its own may take a minute")
    return law_content(fit(runs, law, resamples, level=level, seed=seed), runs, table.name, law, known)
