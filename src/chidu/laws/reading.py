"""Fits and points as people name them: files, `--columns` and counts with units."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from chidu.errors import FitError, InputError, SettingError, nearest
from chidu.laws.fit import Fit, fit
from chidu.laws.law import LAWS
from chidu.runs.ladder import Ladder
from chidu.runs.record import write_json
from chidu.units import parse_count

__all__ = ["check_output", "column_names", "forecast_points", "load_fit", "save_fit"]


KNOWN_COLUMNS = tuple(
    dict.fromkeys(
        [
            *("loss", "params", "params_matmul", "tokens", "flops", "seed", "group", "weight", "unique_tokens"),
            *(name for law in LAWS.values() for name in law.inputs),
        ]
    )
)
"""Our names that `--columns` can map to."""


def check_output(output: Path, source: Path | None) -> None:
    """Raise SettingError where writing ``output`` would overwrite what is read, or where it is a folder."""
    if output.is_dir():
        raise SettingError(f"--output: {output} is a folder: name a file in it")
    if source is not None and output.resolve() == source.resolve():
        raise SettingError(f"--output: {output} is the table that is read, and would be lost: name another file")


def column_names(texts: str | Sequence[str] | None) -> dict[str, str]:
    """Read ``loss=val/loss,params=n_params``, in one text or several.

    Raises SettingError for a part without ``=``, a name that is none of ours, and one that is mapped twice.
    """
    found: dict[str, str] = {}
    whole = texts if isinstance(texts, str) else ",".join(texts or ())
    for part in filter(None, (part.strip() for part in whole.split(","))):
        ours, sign, theirs = part.partition("=")
        if not (ours.strip() and sign and theirs.strip()):
            raise SettingError(f"--columns: {part!r} is not OURS=THEIRS, as in loss=val/loss,params=n_params")
        ours, theirs = ours.strip(), theirs.strip()
        if ours not in KNOWN_COLUMNS:
            known = ", ".join(KNOWN_COLUMNS)
            raise SettingError(
                f"--columns: no column of ours is {ours!r}{nearest(ours, KNOWN_COLUMNS)}: it has {known}"
            )
        if found.get(ours, theirs) != theirs:
            raise SettingError(f"--columns: {ours} is mapped to both {found[ours]!r} and {theirs!r}")
        found[ours] = theirs
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
    counts = {
        name: _count(name, text)
        for name, text in (("params", params), ("tokens", tokens), ("flops", flops))
        if text is not None
    }
    if table is not None and counts:
        flags = " ".join(f"--{name}" for name in counts)
        raise SettingError(f"forecast: --points brings its own columns: leave out {flags}, or --points")
    if table is not None:
        return _points_table(found, table, columns or {})
    if flops is not None and params is None and tokens is None and found.inputs != ("flops",):
        best = found.plan(counts["flops"])
        return Ladder({best.params_column: [best.params], "tokens": [best.tokens], "flops": [best.flops]})
    if flops is not None and found.inputs != ("flops",):
        raise SettingError("forecast: --flops stands alone (the compute-optimal run of that budget), or leave it out")
    given = {found.inputs[0]: counts.get("params")} | {name: counts.get(name) for name in ("tokens", "flops")}
    missing = [name for name in found.inputs if given.get(name) is None]
    if missing:
        flags = " ".join(f"--{'params' if name.startswith('params') else name}" for name in found.inputs)
        raise SettingError(
            f"forecast: the {found.law} law needs {flags} (or --flops alone, or --points FILE with those columns)"
        )
    return Ladder({name: [count] for name, count in given.items() if count is not None}, "command line")


def _count(flag: str, text: str) -> float:
    try:
        count = parse_count(text)
    except InputError as error:
        raise SettingError(f"--{flag}: {error}") from error
    if not (math.isfinite(count) and count > 0):
        raise SettingError(f"--{flag} is {text}; it must be a finite number above 0")
    return count


def _points_table(found: Fit, table: Path, columns: Mapping[str, str]) -> Ladder:
    # The mapping was made for the runs' table: of a table of points, only the columns it needs are renamed.
    return Ladder.read(table, {ours: theirs for ours, theirs in columns.items() if ours in found.inputs})
