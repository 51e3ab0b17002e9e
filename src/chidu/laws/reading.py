"""Fits and points as people name them: files, `--columns` and counts with units."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from chidu.errors import FitError, InputError, SettingError
from chidu.laws.fit import Fit, fit
from chidu.runs.ladder import Ladder
from chidu.runs.record import write_json
from chidu.units import parse_count

__all__ = ["column_names", "forecast_points", "load_fit", "save_fit"]


def column_names(text: str) -> dict[str, str]:
    """Read ``loss=val/loss,params=n_params``. Raises SettingError for a part without ``=``."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        ours, sign, theirs = part.partition("=")
        if not (ours.strip() and sign and theirs.strip()):
            raise SettingError(f"--columns: {part!r} is not OURS=THEIRS, as in loss=val/loss,params=n_params")
        found[ours.strip()] = theirs.strip()
    return found


def save_fit(found: Fit, path: Path) -> None:
    """Write a fit as JSON, atomically."""
    write_json(path, found.as_dict())


def load_fit(path: Path, columns: Mapping[str, str], law: str = "auto", seed: int = 0) -> Fit:
    """Read a saved fit (a file ending in .json), or fit a table. Raises FitError or TableError naming the file."""
    if path.suffix.lower() != ".json":
        return fit(Ladder.read(path, columns), law, seed=seed)
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a fit saved by chidu fit --output, or a table") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}): name a fit saved by chidu fit --output, or a table") from error
    if not isinstance(values, dict):
        raise FitError(f"{path}: no saved fit: make one with chidu fit --output")
    try:
        return Fit.from_dict(values)
    except FitError as error:
        raise FitError(f"{path}: {error}") from error


def forecast_points(
    found: Fit,
    *,
    params: str | None = None,
    tokens: str | None = None,
    flops: str | None = None,
    table: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> Ladder:
    """Return the points asked for: a table's, one of params and tokens, or the compute-optimal one of some flops.

    ``params`` is read as the column of the fit that counts params, which may be ``params_matmul``.
    """
    if table is not None:
        return _points_table(found, table, columns or {})
    if flops is not None and params is None and tokens is None and found.inputs != ("flops",):
        best = found.plan(parse_count(flops))
        return Ladder({best.params_column: [best.params], "tokens": [best.tokens], "flops": [best.flops]})
    if flops is not None and found.inputs != ("flops",):
        raise SettingError("forecast: --flops stands alone (the compute-optimal run of that budget), or leave it out")
    given = {found.inputs[0]: params, "tokens": tokens, "flops": flops}
    missing = [name for name in found.inputs if given.get(name) is None]
    if missing:
        flags = " ".join(f"--{'params' if name.startswith('params') else name}" for name in found.inputs)
        raise SettingError(
            f"forecast: the {found.law} law needs {flags} (or --flops alone, or --points FILE with those columns)"
        )
    return Ladder({name: [parse_count(text)] for name, text in given.items() if text is not None}, "command line")


def _points_table(found: Fit, table: Path, columns: Mapping[str, str]) -> Ladder:
    # The mapping was made for the runs' table: of a table of points, only the columns it needs are renamed.
    return Ladder.read(table, {ours: theirs for ours, theirs in columns.items() if ours in found.inputs})
