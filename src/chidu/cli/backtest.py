"""`chidu backtest`: how well would these runs' cheaper ones have forecast the dearer?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chidu.cli.plain import json_text

__all__ = ["command"]


def command(
    runs: Annotated[Path, typer.Argument(help="Table of runs: CSV, JSONL, Parquet, or a tracker's folder.")],
    *,
    law: Annotated[str, typer.Option(help="auto, power, additive or coupled.")] = "auto",
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only the rows with these values: group=wiki,seed=0")] = None,
    resamples: Annotated[int, typer.Option(help="Refits behind the intervals, at each cut.")] = 200,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    weighting: Annotated[str, typer.Option(help="even, dear, frontier, or auto.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Fit below several cuts of cost, forecast the dearer runs, compare."""

    from chidu.cli.notes import tell
    from chidu.laws import backtest
    from chidu.laws.reading import column_names, rows_where
    from chidu.runs.ladder import Ladder

    table = rows_where(Ladder.read(runs, column_names(columns)), where)
    for note in table.notes:
        tell(note)
    score = backtest(table, law, resamples, level=level, seed=seed, weighting=weighting)
    typer.echo(json_text(score.as_dict(), indent=2) if as_json else str(score))
