"""`chidu ladder`: train the ladder of an undertaking; `chidu ladder design`: which ladder to train for a target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chidu.cli import stages
from chidu.cli.plain import json_text
from chidu.cli.undertaking import DEFAULT_FOLDER

__all__ = ["app", "design", "train"]

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, add_completion=False)


@app.callback()
def train(
    context: typer.Context,
    text: stages.Text = None,
    folder: stages.Folder = DEFAULT_FOLDER,
    minutes: stages.Minutes = None,
    seed: stages.Seed = None,
    on: stages.On = "local",
    dry_run: stages.DryRun = False,
    as_json: stages.AsJson = False,
) -> None:
    """Train the ladder; leave the table of runs (ladder/ladder.csv). Or `ladder design`: which one to train."""
    if context.invoked_subcommand is None:
        stages.ladder(text, folder, minutes, seed, on, dry_run, as_json)


@app.command()
def design(
    target_params: Annotated[str, typer.Option(help="Params of the run to forecast, like 7B.")],
    target_tokens: Annotated[str, typer.Option(help="Tokens of the run to forecast, like 2T.")],
    width: Annotated[
        str | None, typer.Option(help="Wanted width of the interval, like 3%: the cheapest ladder.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Flops of the ladder at the most, like 1e21.")] = None,
    prior: Annotated[Path | None, typer.Option(help="An earlier fit (fit.json); published laws without.")] = None,
    noise: Annotated[str | None, typer.Option(help="Of losses, like 0.3%; the prior fit's, else 0.3%.")] = None,
    level: Annotated[float, typer.Option(help="Level of the interval.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of the simulated runs.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write the rungs as a table, like ladder_plan.csv.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Design the cheapest ladder that forecasts a target closely enough, by simulation: a minute or so."""

    from chidu.laws.ladder_design import design_ladder
    from chidu.laws.reading import check_output, load_fit
    from chidu.runs.ladder import Ladder
    from chidu.units import parse_count

    if output is not None:
        check_output(output, prior)
    found = design_ladder(
        parse_count(target_params),
        parse_count(target_tokens),
        width=None if width is None else part_of(width, "--width"),
        budget=None if budget is None else parse_count(budget),
        prior=None if prior is None else load_fit(prior, {}),
        noise=None if noise is None else part_of(noise, "--noise"),
        level=level,
        seed=seed,
    )
    if output is not None:
        Ladder(found.table).write(output)
    typer.echo(json_text(found.as_dict(), indent=2) if as_json else str(found))


def part_of(text: str, flag: str) -> float:
    """Read ``3%`` or ``0.03``. Raises SettingError where it is neither, or not between 0 and 1."""
    from chidu.errors import SettingError

    try:
        found = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        found = float("nan")
    if not 0 < found < 1:
        raise SettingError(f"{flag}: {text!r} is no part between 0 and 1: write it like 3% or 0.03")
    return found
