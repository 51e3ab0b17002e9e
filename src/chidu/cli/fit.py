"""`chidu fit`: a law and its intervals from a table of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    runs: Annotated[Path, typer.Argument(help="Table of runs: CSV, JSONL or Parquet.")],
    *,
    law: Annotated[str, typer.Option(help="auto, power, additive or coupled.")] = "auto",
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    resamples: Annotated[int, typer.Option(help="Refits behind the intervals.")] = 1000,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Save the whole fit as JSON, for forecast and plan.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Fit a law to finished runs."""
    import json

    from chidu.laws import fit
    from chidu.laws.reading import check_output, column_names, save_fit
    from chidu.runs.ladder import Ladder

    if output is not None:
        check_output(output, runs)
    found = fit(Ladder.read(runs, column_names(columns)), law, resamples, level=level, seed=seed)
    if output is not None:
        save_fit(found, output)
    typer.echo(json.dumps(found.summary(), indent=2, ensure_ascii=False) if as_json else str(found))
