"""`chidu plan`: the best params and tokens for a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    source: Annotated[Path, typer.Argument(help="A fit saved by `chidu fit --output`, or a table of runs to fit.")],
    *,
    flops: Annotated[str, typer.Option(help="The budget, like 1e21.")],
    unique_tokens: Annotated[str | None, typer.Option(help="Tokens there are; none is seen twice.")] = None,
    level: Annotated[float | None, typer.Option(help="Level of the intervals; the fit's where not given.")] = None,
    law: Annotated[str, typer.Option(help="For a table: auto, additive or coupled.")] = "auto",
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    seed: Annotated[int, typer.Option(help="For a table: seed of the resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Plan a run: params, tokens and loss for a budget of flops."""
    import json

    from chidu.laws.reading import column_names, load_fit
    from chidu.units import parse_count

    fit = load_fit(source, column_names(columns), law, seed=seed)
    unique = None if unique_tokens is None else parse_count(unique_tokens)
    plan = fit.plan(parse_count(flops), unique_tokens=unique, level=level)
    typer.echo(json.dumps(plan.as_dict(), indent=2, ensure_ascii=False) if as_json else str(plan))
