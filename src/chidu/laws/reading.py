"""Fits and points as people name them: files, `--columns` and counts with units."""

from __future__ import annotations

import contextlib
import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chidu.errors import FitError, InputError, SettingError, TableError, nearest
from chidu.laws.catalogue import COLUMNS, LAWS
from chidu.laws.fit import Fit, fit
from chidu.runs.ladder import LARGEST, Ladder
from chidu.runs.record import parse_json, write_json
from chidu.units import parse_count

__all__ = [
    "bounds_of",
    "check_output",
    "column_names",
    "count_of_flag",
    "forecast_points",
    "is_saved_fit",
    "load_fit",
    "point_of",
    "rows_where",
    "save_fit",
]


KNOWN_COLUMNS = tuple(
    dict.fromkeys([*COLUMNS, *(law.target for law in LAWS.values()), "group", "weight", "seed", "run"])
)
"""Our names; `--columns` may map to any other that a formula reads, unless it is nearly one of these."""
TYPO = 0.8
"""Likeness (0 to 1) from which a name is taken for a known one, mistyped."""


def check_output(output: Path, source: Path | None) -> None:
    """Raise SettingError where writing ``output`` would overwrite what is read, or where it is a folder."""
    if output.is_dir():
        raise SettingError(f"--output: {output} is a folder: name a file in it")
    if source is not None and output.resolve() == source.resolve():
        raise SettingError(f"--output: {output} is the table that is read, and would be lost: name another file")


def column_names(texts: str | Sequence[str] | None) -> dict[str, str]:
    """Read ``loss=val/loss,params=n_params``, in one text or several.

    Any name may stand on the left: a formula may read it. Raises SettingError for a part without ``=``, a name that is
    nearly one of ours or that no formula can read, and one that is mapped twice.
    """
    found: dict[str, str] = {}
    whole = texts if isinstance(texts, str) else ",".join(texts or ())
    for part in filter(None, (part.strip() for part in whole.split(","))):
        ours, sign, theirs = part.partition("=")
        if not (ours.strip() and sign and theirs.strip()):
            raise SettingError(f"--columns: {part!r} is not OURS=THEIRS, as in loss=val/loss,params=n_params")
        if "，" in theirs and "=" in theirs:
            raise SettingError("--columns: between the parts stand commas (,), not full-width ones (，)")
        ours, theirs = ours.strip(), theirs.strip()
        _check_name(ours)
        if found.get(ours, theirs) != theirs:
            raise SettingError(f"--columns: {ours} is mapped to both {found[ours]!r} and {theirs!r}")
        found[ours] = theirs
    return found


def _check_name(ours: str) -> None:
    """Refuse what can only be a slip on the left of ``=``."""
    if ours in KNOWN_COLUMNS:
        return
    likely = difflib.get_close_matches(ours.lower(), KNOWN_COLUMNS, n=1, cutoff=TYPO)
    if likely:
        raise SettingError(
            f"--columns: {ours!r} is no column of ours (did you mean {likely[0]!r}?); "
            "if a formula is to read it, choose a name less like ours"
        )
    if not ours.isidentifier():
        raise SettingError(f"--columns: {ours!r} is no name that a formula can read: ours is left, as in loss=val/loss")


def bounds_of(texts: Sequence[str] | None) -> dict[str, tuple[float, float]]:
    """Read ``alpha=0.1:1,b=-5:5``, in one text or several. Raises SettingError for a part that is not NAME=LOW:HIGH."""
    found: dict[str, tuple[float, float]] = {}
    for part in filter(None, (part.strip() for text in texts or () for part in text.split(","))):
        name, _, edges = part.partition("=")
        low, _, high = edges.partition(":")
        try:
            found[name.strip()] = (float(low), float(high))
        except ValueError:
            raise SettingError(f"--bounds: {part!r} is not NAME=LOW:HIGH, as in alpha=0.1:1") from None
    return found


def point_of(texts: Sequence[str] | None) -> dict[str, float]:
    """Read ``unique_tokens=5B,bits=4``, in one text or several.

    Raises SettingError for a part that is not NAME=NUMBER, a number that is not above 0, a name that stands twice.
    """
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for text in texts or () for part in text.split(","))):
        name, sign, number = (each.strip() for each in part.partition("="))
        if not (name and sign and number):
            raise SettingError(f"--at: {part!r} is not NAME=NUMBER, as in unique_tokens=5B")
        if name in found:
            raise SettingError(f"--at: {name} stands twice: give it once")
        found[name] = count_of_flag(f"at {name}", number)
    return found


def rows_where(table: Ladder, texts: Sequence[str] | None) -> Ladder:
    """Return the rows whose columns have the values of ``group=wiki,seed=0``, in one text or several.

    Raises SettingError for a part that is not COLUMN=VALUE, and where no row has that value; TableError for a column
    that is not there.
    """
    for part in filter(None, (part.strip() for text in texts or () for part in text.split(","))):
        name, sign, value = (each.strip() for each in part.partition("="))
        if not (name and sign):
            raise SettingError(f"--where: {part!r} is not COLUMN=VALUE, as in group=wiki")
        if name not in table:
            columns = ", ".join(table.columns)
            raise TableError(f"{table.source}: no column {name!r}{nearest(name, table.columns)}; it has {columns}")
        values = [str(each) for each in table.columns[name].tolist()]
        kept = [_is_same(each, value) for each in values]
        if not any(kept):
            known = list(dict.fromkeys(values))
            some = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
            raise SettingError(f"--where: no row has {name}={value}; it has {some}")
        table = table.select(kept)
    return table


def _is_same(cell: str, value: str) -> bool:
    """True where a cell has this value, as text or as a number."""
    if cell == value:
        return True
    with contextlib.suppress(InputError):
        return parse_count(cell) == parse_count(value)
    return False


def save_fit(found: Fit, path: Path) -> None:
    """Write a fit as JSON, atomically."""
    write_json(path, found.as_dict())


def load_fit(
    path: Path,
    columns: Mapping[str, str],
    law: str = "auto",
    resamples: int | None = None,
    *,
    seed: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> Fit:
    """Read a saved fit, known by its beginning, or fit a table; ``tell`` is told the table's notes.

    Either may come through a pipe. Raises FitError or TableError naming the file.
    """
    # A pipe can be read once only: what it gave goes on to whoever reads it.
    content = _content(path) if path.exists() and not (path.is_file() or path.is_dir()) else None
    if not is_saved_fit(path, content):
        runs = Ladder.read(path, columns, content=content)
        if tell is not None:
            for note in runs.notes:
                tell(note)
        return fit(runs, law, 1000 if resamples is None else resamples, seed=seed or 0)
    for flag, given in (("--law", law != "auto"), ("--resamples", resamples is not None), ("--seed", seed is not None)):
        if given:
            raise SettingError(f"{flag}: {path} is a saved fit and has its own: leave {flag} out, or name the table")
    try:
        values = parse_json(_content(path) if content is None else content)
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}): name a fit saved by chidu fit --output, or a table") from error
    if not isinstance(values, dict):
        raise FitError(f"{path}: no saved fit: make one with chidu fit --output")
    try:
        return Fit.from_dict(values)
    except FitError as error:
        raise FitError(f"{path}: {error}") from error


def is_saved_fit(path: Path, content: bytes | None = None) -> bool:
    """True where a file, or the ``content`` of a pipe, is a fit that was saved: it says so at its beginning.

    What ends in .json can be nothing else, whatever tool wrote its keys in another order.
    """
    if path.suffix.lower() == ".json":
        return True
    if content is None and path.is_file():
        with contextlib.suppress(OSError), path.open("rb") as file:
            content = file.read(200)
    return content is not None and _SAVED.match(content) is not None


_SAVED = re.compile(rb'\s*\{\s*"chidu_fit"\s*:')


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a fit saved by chidu fit --output, or a table") from error


def forecast_points(
    found: Fit,
    *,
    params: str | None = None,
    tokens: str | None = None,
    flops: str | None = None,
    at: Mapping[str, float] | None = None,
    table: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> Ladder:
    """Return the points asked for: a table's, one by its inputs, or the compute-optimal one of some flops.

    ``params`` is read as the column of the fit that counts params, which may be ``params_matmul``; ``at`` has inputs by
    their names. Raises SettingError where they are not those that the law reads.
    """
    named = {
        name: count_of_flag(name, text)
        for name, text in (("params", params), ("tokens", tokens), ("flops", flops))
        if text is not None
    }
    at = at or {}
    if table is not None and (named or at):
        flags = " ".join([*(f"--{name}" for name in named), *(["--at"] if at else [])])
        raise SettingError(f"forecast: --points brings its own columns: leave out {flags}, or --points")
    if table is not None:
        return _points_table(found, table, columns or {})
    if "flops" in named and "flops" not in found.inputs:
        if len(named) > 1 or at:
            raise SettingError(
                "forecast: --flops stands alone (the compute-optimal run of that budget), or leave it out"
            )
        return _optimal(found, named["flops"])
    counted = next((name for name in found.inputs if name.startswith("params")), "params")
    given = {counted if name == "params" else name: count for name, count in named.items()}
    for name in at:
        if name in given:
            raise SettingError(f"forecast: {name} is given twice: leave out --at {name}, or its own flag")
        if name not in (*found.inputs, "flops"):
            known = ", ".join(found.inputs)
            raise SettingError(
                f"--at: the {found.law} law reads no {name}{nearest(name, found.inputs)}: it reads {known}"
            )
    for name in given:
        if name not in (*found.inputs, "flops") and (flag := "params" if name == counted else name) in named:
            raise SettingError(f"forecast: the {found.law} law reads no {name}: leave out --{flag}")
    given |= at
    missing = [name for name in found.inputs if name not in given]
    if missing:
        flags = " ".join(_flag(name, counted) for name in found.inputs)
        alone = "--flops alone, or " if found.seen.params_tokens is not None else ""
        raise SettingError(f"forecast: the {found.law} law needs {flags} (or {alone}--points FILE with those columns)")
    return Ladder({name: [count] for name, count in given.items()}, "command line")


def _flag(name: str, counted: str) -> str:
    if name == counted:
        return "--params"
    return f"--{name}" if name in ("tokens", "flops") else f"--at {name}=…"


def _optimal(found: Fit, flops: float) -> Ladder:
    """Return the run that makes the most of a budget, each token of its text seen once."""
    best = found.plan(flops)
    point = {best.params_column: [best.params], "tokens": [best.tokens], "flops": [best.flops]}
    return Ladder(point | ({"unique_tokens": [best.tokens]} if "unique_tokens" in found.inputs else {}))


def count_of_flag(flag: str, text: str) -> float:
    """Read a flag's number. Raises SettingError naming the flag where it is none, not above 0, or beyond LARGEST."""
    try:
        count = parse_count(text)
    except InputError as error:
        raise SettingError(f"--{flag}: {error}") from error
    if not (math.isfinite(count) and count > 0):
        raise SettingError(f"--{flag} is {text}; it must be a finite number above 0")
    if not 1 / LARGEST <= count <= LARGEST:
        raise SettingError(f"--{flag} is {text}; no number of a training run lies beyond {LARGEST:g}")
    return count


def _points_table(found: Fit, table: Path, columns: Mapping[str, str]) -> Ladder:
    # The mapping was made for the runs' table: of a table of points, only the columns it needs are renamed.
    return Ladder.read(table, {ours: theirs for ours, theirs in columns.items() if ours in found.inputs})
