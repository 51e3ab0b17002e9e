"""`chidu suggest`: which runs to make next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chidu.cli.plain import json_text

__all__ = ["command"]


def command(
    runs: Annotated[Path, typer.Argument(help="Table of finished runs: CSV, JSONL or Parquet.")],
    candidates: Annotated[Path, typer.Argument(help="Table of possible runs: the law's inputs, and cost or flops.")],
    *,
    budget: Annotated[str, typer.Option(help="What they may cost in all, like 1e21, as cost or flops.")],
    target_params: Annotated[str | None, typer.Option(help="Params of the run to forecast, like 7B.")] = None,
    target_tokens: Annotated[str | None, typer.Option(help="Tokens of the run to forecast, like 2T.")] = None,
    target_flops: Annotated[str | None, typer.Option(help="Alone: the best run of this budget.")] = None,
    targets: Annotated[Path | None, typer.Option(help="A table of points to forecast.")] = None,
    law: Annotated[str, typer.Option(help="auto, a law's name, or a formula over the columns.")] = "auto",
    repeats: Annotated[bool, typer.Option("--repeats", help="Points already run may be run again.")] = False,
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    level: Annotated[float, typer.Option(help="Level of the intervals whose width is expected.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write the suggested runs as a table.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Choose the next runs: those that most sharpen the forecast at a target, within a budget."""

    from chidu.cli.notes import tell
    from chidu.errors import SettingError
    from chidu.laws.reading import check_output, column_names
    from chidu.laws.suggest import suggest
    from chidu.runs.ladder import Ladder
    from chidu.units import parse_count

    names = column_names(columns)
    table = Ladder.read(runs, names)
    for note in table.notes:
        tell(note)
    if output is not None:
        for source in (runs, candidates):
            check_output(output, source)
    if (target_params is None) != (target_tokens is None):
        raise SettingError("--target-params and --target-tokens go together: give both, or --target-flops")
    if sum(each is not None for each in (target_params, target_flops, targets)) > 1:
        raise SettingError("one target: give --target-params and --target-tokens, or --target-flops, or --targets")
    target: object = None
    if target_params is not None and target_tokens is not None:
        counted = "params_matmul" if "params_matmul" in table else "params"
        target = {counted: [parse_count(target_params)], "tokens": [parse_count(target_tokens)]}
    elif target_flops is not None:
        target = parse_count(target_flops)
    elif targets is not None:
        target = Ladder.read(targets)
    found = suggest(
        table, Ladder.read(candidates), parse_count(budget), target, law, level=level, seed=seed, repeats=repeats
    )
    if output is not None:
        Ladder(found.table).write(output)
    typer.echo(json_text(found.as_dict(), indent=2) if as_json else str(found))
