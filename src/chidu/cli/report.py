"""`chidu report`: the page of charts and numbers, for a table of runs or for a work folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from chidu.laws import Fit
    from chidu.report import ReportContent
    from chidu.runs.ladder import Ladder

__all__ = ["command"]


def command(
    table: Annotated[Path | None, typer.Argument(help="A CSV, JSONL or Parquet file of runs.")] = None,
    *,
    work: Annotated[Path | None, typer.Option(help="The work folder to report on, instead of a table.")] = None,
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    output: Annotated[Path | None, typer.Option(help="The page to write; report.html here, or in the folder.")] = None,
    language: Annotated[str, typer.Option(help="The page's language: en or zh.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Write one HTML page that opens without a network: law, forecast, charts, and what they can't tell."""
    if (table is None) == (work is None):
        raise typer.BadParameter("name a table of runs or a work folder (--work DIR), one of the two")
    from chidu.laws.reading import check_output

    page = output or (work or Path()) / "report.html"
    check_output(page, table)
    if work is not None:
        from chidu.work import write_work_report

        write_work_report(work, page, language)
    elif table is not None:
        from chidu.report import write_report

        write_report(page, _table_content(table, columns, language))
    written = {"report": str(page.resolve()), "bytes": page.stat().st_size}
    typer.echo(json.dumps(written, ensure_ascii=False) if as_json else f"wrote {written['report']}")


def _table_content(table: Path, columns: list[str] | None, language: str) -> ReportContent:
    """Fit the table's law, and plan for 1, 10 and 100 times its dearest run."""
    from chidu.laws import fit
    from chidu.laws.reading import column_names
    from chidu.report import ReportContent
    from chidu.report.texts import check_language
    from chidu.runs.ladder import Ladder
    from chidu.runs.record import machine, versions

    known = check_language(language)
    ladder = Ladder.read(table, column_names(columns))
    fitted = fit(ladder)
    return ReportContent(
        title=table.name,
        ladder=ladder,
        fit=fitted,
        plan=_plans(fitted, ladder),
        settings={"table": str(table), "law": "auto", "resamples": fitted.resamples, "level": fitted.level},
        versions=versions(),
        machine=machine(),
        language=known,
    )


def _plans(fitted: Fit, ladder: Ladder) -> list[dict[str, Any]]:
    if len(fitted.inputs) != 2 or "tokens" not in fitted.inputs:
        # Only a law that tells params from tokens can say how to share a budget out between them.
        return []
    dearest = float(ladder.numbers("flops").max()) if "flops" in ladder else fitted.seen.cost
    return [fitted.plan(flops=dearest * factor).as_dict() for factor in (1, 10, 100)]
