"""`chidu fit`: a law and its intervals from a table of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chidu.cli.plain import json_text

__all__ = ["command"]


def command(
    runs: Annotated[
        Path | None, typer.Argument(help="Table of runs: CSV, JSONL, Parquet, or a tracker's folder.")
    ] = None,
    *,
    law: Annotated[
        str, typer.Option(help="auto, a law's name (chidu fit --laws), or a formula: 'E + A/params**alpha'.")
    ] = "auto",
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only the rows with these values: group=wiki,seed=0")] = None,
    resamples: Annotated[int, typer.Option(help="Refits behind the intervals.")] = 1000,
    resampling: Annotated[str, typer.Option(help="What they draw: pairs, group, residual, or auto.")] = "auto",
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    weighting: Annotated[str, typer.Option(help="even, dear, frontier, or auto.")] = "auto",
    objective: Annotated[
        str, typer.Option(help="huber, wide_huber, squares, absolute (of log residuals), raw_huber or raw_squares.")
    ] = "huber",
    target: Annotated[str | None, typer.Option(help="Column to forecast, where it is not the law's own.")] = None,
    bounds: Annotated[list[str] | None, typer.Option(help="Of a formula's parameters: alpha=0.1:1,b=-5:5")] = None,
    laws: Annotated[bool, typer.Option("--laws", help="List the laws and stop.", is_eager=True)] = False,
    beside: Annotated[
        bool, typer.Option("--views", help="Also the envelope and isoFLOP, and where they differ.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="Save the whole fit as JSON, for forecast and plan.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Fit a law to finished runs."""

    from chidu.cli.notes import tell
    from chidu.laws import fit
    from chidu.laws.reading import bounds_of, check_output, column_names, rows_where, save_fit
    from chidu.laws.show import laws_document, laws_text
    from chidu.runs.ladder import Ladder

    if laws:
        typer.echo(json_text(laws_document(), indent=2) if as_json else laws_text())
        return
    if runs is None:
        raise typer.BadParameter("name a table of runs, as in chidu fit runs.csv, or --laws to list the laws")
    if output is not None:
        check_output(output, runs)
    table = rows_where(Ladder.read(runs, column_names(columns)), where)
    for note in table.notes:
        tell(note)
    found = fit(
        table,
        law,
        resamples,
        level=level,
        seed=seed,
        objective=objective,
        target=target,
        bounds=bounds_of(bounds),
        weighting=weighting,
        resampling=resampling,
    )
    if output is not None:
        save_fit(found, output)
    document, text = found.summary(), str(found)
    if beside:
        from chidu.laws.classical import views

        seen = views(found, table)
        document, text = document | {"views": seen.as_dict()}, f"{text}\n\n{seen}"
    if output is not None:
        text += f"\nwritten    {output}"
    typer.echo(json_text(document, indent=2) if as_json else text)
