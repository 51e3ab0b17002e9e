"""`chidu forecast`: the loss of runs not made yet, and whether to trust it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    source: Annotated[Path, typer.Argument(help="A fit saved by `chidu fit --output`, or a table of runs to fit.")],
    *,
    params: Annotated[str | None, typer.Option(help="Params of the run, like 1B, in the column the fit reads.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens of the run, like 20B.")] = None,
    flops: Annotated[str | None, typer.Option(help="Alone: the compute-optimal run of this budget.")] = None,
    points: Annotated[Path | None, typer.Option(help="A table of points with the fit's columns.")] = None,
    level: Annotated[float | None, typer.Option(help="Level of the interval; the fit's where not given.")] = None,
    law: Annotated[str, typer.Option(help="For a table: auto, power, additive or coupled.")] = "auto",
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    seed: Annotated[int, typer.Option(help="For a table: seed of the resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Forecast the loss of a run, with an interval."""
    import json

    from chidu.laws.reading import column_names, forecast_points, load_fit
    from chidu.laws.show import forecast_document, forecast_text

    names = column_names(columns)
    fit = load_fit(source, names, law, seed=seed)
    where = forecast_points(fit, params=params, tokens=tokens, flops=flops, table=points, columns=names)
    document = forecast_document(fit, where, level)
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False) if as_json else forecast_text(document))
