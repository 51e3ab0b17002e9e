"""`chidu compare`: is one recipe better than another at scale, how surely, and where do they cross?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli.plain import json_text

if TYPE_CHECKING:
    from chidu.runs.ladder import Ladder

__all__ = ["command"]


def command(
    tables: Annotated[list[Path], typer.Argument(help="Two tables of runs; or one, with --by.")],
    *,
    params: Annotated[str | None, typer.Option(help="Params of the run, like 1B, in the column the law reads.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens of the run, like 20B.")] = None,
    flops: Annotated[
        str | None, typer.Option(help="Alone: each recipe's best run of this budget. Default: 10 × the dearest run.")
    ] = None,
    at: Annotated[list[str] | None, typer.Option(help="Further inputs of the law: unique_tokens=5B,bits=4")] = None,
    by: Annotated[str | None, typer.Option(help="Column of one table that names the recipe of each row.")] = None,
    between: Annotated[str | None, typer.Option(help="With --by, which two of its values: old,new")] = None,
    law: Annotated[
        str, typer.Option(help="auto, a law's name (chidu fit --laws), or a formula; both get it.")
    ] = "auto",
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    resamples: Annotated[int, typer.Option(help="Refits behind the intervals.")] = 1000,
    level: Annotated[float, typer.Option(help="Level of the intervals, and of what counts as decided.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare two recipes at a scale that neither has reached."""

    from chidu.laws import compare
    from chidu.laws.reading import column_names, count_of_flag, point_of

    given = {"params": params, "tokens": tokens, "flops": flops}
    point = {name: count_of_flag(name, text) for name, text in given.items() if text is not None} | point_of(at)
    (first, a), (second, b) = _recipes(tables, column_names(columns), by, between)
    found = compare(a, b, point or None, law, resamples, level=level, seed=seed, names=(first, second))
    typer.echo(json_text(found.as_dict(), indent=2) if as_json else str(found))


def _recipes(
    tables: list[Path], columns: dict[str, str], by: str | None, between: str | None
) -> list[tuple[str, Ladder]]:
    """Return the two recipes, each with its name and runs."""
    from chidu.errors import SettingError

    if between is not None and by is None:
        raise SettingError("--between: it chooses among the values of a column: name that with --by")
    if by is not None:
        if len(tables) != 1:
            raise SettingError(f"--by: it splits one table, and {len(tables)} are named: leave out --by, or the others")
        return _split(_read(tables[0], columns), by, between)
    if len(tables) != 2:
        raise SettingError(f"compare: name two tables, not {len(tables)}; or one whose column names the recipe: --by")
    if tables[0].resolve() == tables[1].resolve():
        raise SettingError(f"compare: {tables[0]} and {tables[1]} are one file: name the tables of two recipes")
    names = [path.name for path in tables]
    if names[0] == names[1]:
        names = [str(path) for path in tables]
    return [(name, _read(path, columns)) for name, path in zip(names, tables, strict=True)]


def _read(path: Path, columns: dict[str, str]) -> Ladder:
    from chidu.cli.notes import tell
    from chidu.runs.ladder import Ladder

    table = Ladder.read(path, columns)
    for note in table.notes:
        tell(note)
    return table


def _split(table: Ladder, by: str, between: str | None) -> list[tuple[str, Ladder]]:
    """Split a table by the values of a column, in the order asked for, else as they first stand in it."""
    import numpy as np

    from chidu.errors import SettingError, TableError, nearest

    if by not in table:
        raise TableError(
            f"{table.source}: no column {by!r}{nearest(by, table.columns)}; it has {', '.join(table.columns)}"
        )
    values = np.array([f"{each:g}" if isinstance(each, float) else str(each) for each in table.columns[by].tolist()])
    present = list(dict.fromkeys(values.tolist()))
    chosen = present if between is None else [part.strip() for part in between.split(",")]
    for name in chosen:
        if name not in present:
            raise SettingError(
                f"--between: no row has {by} = {name!r}{nearest(name, present)}; there are {_list(present)}"
            )
    if between is not None and len(set(chosen)) < len(chosen):
        raise SettingError(f"--between: {between} names one recipe twice: name two different ones")
    if len(chosen) != 2:
        hint = ": choose two with --between" if len(present) > 2 else ""
        raise SettingError(f"--by {by}: a comparison is between two recipes, and here are {_list(chosen)}{hint}")
    return [(name, table.select(values == name)) for name in chosen]


def _list(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:8])}{', …' if len(names) > 8 else ''})"
