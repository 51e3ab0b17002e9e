"""Forecasts that were written down over time, what came of them, and how well their intervals held.

A forecast stands in a file of its own, `NAME.json`, as `WrittenForecast.write` leaves it; its score beside it in
`NAME.score.json`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chidu.errors import ChiduError, ForecastError
from chidu.runs.forecast import Score, WrittenForecast
from chidu.runs.ladder import Ladder
from chidu.runs.record import parse_json
from chidu.units import count_of, format_count

__all__ = [
    "Entry",
    "History",
    "check_forecast_path",
    "measured_in",
    "read_forecast",
    "read_history",
    "score_forecast",
    "score_path",
]

ENDING = ".score.json"
ENOUGH = 5
"""Fewer scores say nothing of the intervals."""
SURPRISE = 0.05
"""Intervals are called too narrow or too wide where so few or so many inside have less probability than this."""
SAME = 0.01
"""Counts that differ by less are one run's: people forecast 1B and train 1.003B."""
Z = 1.6449
"""Of a 90% interval of a share."""


def score_path(forecast: Path) -> Path:
    """Return where the score of a forecast stands."""
    return forecast.with_name(forecast.name.removesuffix(".json") + ENDING)


def check_forecast_path(path: Path) -> None:
    """Raise ForecastError where a forecast can't be written at this path: one is made once."""
    if path.is_dir():
        raise ForecastError(f"{path} is a folder: name a file in it, like {path / 'NAME.json'}")
    if path.suffix != ".json" or path.name.endswith(ENDING):
        raise ForecastError(f"{path}: give a written forecast a name that ends in .json, and not in {ENDING}")
    if path.exists():
        raise ForecastError(f"{path} is written already; a forecast is made once: take another name")
    if score_path(path).exists():
        raise ForecastError(f"{score_path(path)} holds the score of an earlier forecast: take another name")


def read_forecast(path: Path) -> WrittenForecast:
    """Read a forecast that waits for its score.

    Raises ForecastError where it was changed, is none, or was scored before.
    """
    if path.name.endswith(ENDING):
        raise ForecastError(f"{path} is a score: name its forecast, {path.name.removesuffix(ENDING)}.json")
    if path.is_dir():
        raise ForecastError(f"{path} is a folder: name the forecast in it")
    if not path.is_file():
        raise ForecastError(f"{path}: no such file: write a forecast with chidu forecast --record first")
    written = _read_forecast(path)
    if score_path(path).exists():
        score = _read_score(score_path(path), written)
        raise ForecastError(
            f"{path} is scored already (measured {score.measured:g}, {score.scored}); a forecast is scored once: "
            f"if that number was a slip, delete {score_path(path)} and score again"
        )
    return written


def score_forecast(path: Path, measured: float) -> Score:
    """Score a written forecast and write the score beside it. Raises as `read_forecast` does."""
    found = read_forecast(path).against(measured)
    found.write(score_path(path))
    return found


def measured_in(runs: Ladder, written: WrittenForecast) -> float:
    """Return the loss of the one run of a table that the forecast speaks of, by its counts.

    Flops decide only where the forecast has nothing else: they are counted in several ways. Raises TableError where
    the table lacks a column, ForecastError where no run, or more than one, lies within `SAME` of the point.
    """
    names = [name for name in written.point if name in runs and name != "flops"] or ["flops"]
    apart = [np.abs(runs.numbers(name) / written.point[name] - 1) for name in names if name in written.point]
    if not apart:
        raise ForecastError(f"{runs.source} has none of the forecast's columns: {', '.join(written.point)}")
    found = np.flatnonzero(np.max(apart, axis=0) <= SAME)
    point = ", ".join(f"{name} {format_count(written.point[name])}" for name in names)
    if len(found) != 1:
        rows = ", ".join(str(number) for number in runs.row_numbers[found][:5])
        many = f"{len(found)} rows ({rows}) are" if len(found) else "no row is"
        raise ForecastError(f"{runs.source}: {many} the run that was forecast ({point}): give its loss with --measured")
    return float(runs.numbers("loss")[found[0]])


def _read_forecast(path: Path) -> WrittenForecast:
    try:
        parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ForecastError(f"{path} can't be read ({error}): restore the original") from error
    found = WrittenForecast.read(path)
    if not all(isinstance(each, (int, float)) for each in (found.loss, found.low, found.high, found.level)):
        raise ForecastError(f"{path} is no written forecast (its loss, low, high or level is no number)")
    return found


def _read_score(path: Path, written: WrittenForecast) -> Score:
    """Read a score and see that it is of this forecast and follows from it."""
    try:
        score = Score.from_dict(parse_json(path.read_bytes()))
        same = written.against(score.measured, score.measured_standard_error)
    except (OSError, ValueError, TypeError) as error:
        raise ForecastError(f"{path} is no score ({error}): delete it and score again") from error
    if score.seal != written.seal:
        raise ForecastError(f"{path} scores another forecast: restore the original")
    if asdict(score) != asdict(same) | {"scored": score.scored}:
        raise ForecastError(
            f"{path} was changed after it was written: its error does not follow from what was measured"
        )
    return score


@dataclass(frozen=True)
class Entry:
    """One file of a history."""

    name: str
    forecast: WrittenForecast | None
    """None where the file can't be trusted: `trouble` says why."""
    score: Score | None
    trouble: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "forecast": None if self.forecast is None else asdict(self.forecast),
            "score": None if self.score is None else asdict(self.score),
            "trouble": self.trouble or None,
        }


@dataclass(frozen=True)
class History:
    """The forecasts of a folder, the earliest first, and one's own calibration. Prints itself."""

    folder: str
    entries: tuple[Entry, ...]
    others: int
    """JSON files that are no forecasts."""

    @property
    def scored(self) -> list[tuple[WrittenForecast, Score]]:
        """Forecasts that were measured."""
        return [(each.forecast, each.score) for each in self.entries if each.forecast and each.score]

    @property
    def mean_error(self) -> float:
        """Mean error in percent, with its sign: what is common to the forecasts. NaN without scores."""
        return statistics.fmean(score.error_percent for _, score in self.scored) if self.scored else math.nan

    @property
    def median_error(self) -> float:
        """Median of |error| in percent; NaN without scores."""
        return statistics.median(abs(score.error_percent) for _, score in self.scored) if self.scored else math.nan

    @property
    def inside(self) -> int:
        """How many intervals held what was measured."""
        return sum(score.inside for _, score in self.scored)

    @property
    def level(self) -> float:
        """Mean level of the scored forecasts: the share that should be inside; NaN without scores."""
        return statistics.fmean(forecast.level for forecast, _ in self.scored) if self.scored else math.nan

    @property
    def share_interval(self) -> tuple[float, float]:
        """90% interval of the share inside (Wilson's); NaN without scores."""
        count = len(self.scored)
        if not count:
            return (math.nan, math.nan)
        share, square = self.inside / count, Z * Z / count
        half = Z * math.sqrt(share * (1 - share) / count + square / (4 * count))
        edges = [(share + square / 2 + sign * half) / (1 + square) for sign in (-1, 1)]
        # Rounding may not push an edge past the share where all or none are inside.
        return (min(max(edges[0], 0.0), share), max(min(edges[1], 1.0), share))

    @property
    def judgement(self) -> str:
        """`too few to tell`, `too narrow`, `too wide` or `as they should be`."""
        levels = [forecast.level for forecast, _ in self.scored]
        if len(levels) < ENOUGH:
            return "too few to tell"
        chances = _counts(levels)
        if sum(chances[: self.inside + 1]) < SURPRISE:
            return "too narrow"
        if sum(chances[self.inside :]) < SURPRISE:
            return "too wide"
        return "as they should be"

    @property
    def summary(self) -> str:
        """One's own calibration in a line or two."""
        count = len(self.scored)
        waiting = sum(each.forecast is not None and each.score is None for each in self.entries)
        if not count:
            return f"{count_of(waiting, 'forecast')}, none scored yet"
        low, high = self.share_interval
        said = (
            f"{count} scored, {waiting} not yet; error {self.mean_error:+.2f}% on average, {self.median_error:.2f}% in "
            f"the median without its sign; {self.inside} of {count} inside ({self.inside / count:.0%}, 90% interval "
            f"{low:.0%} to {high:.0%}), where {self.level:.0%} was meant"
        )
        return f"{said}\n{_WORDS[self.judgement]}"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; what is not known is None."""
        low, high = self.share_interval
        numbers = {
            "mean_error": self.mean_error,
            "median_error": self.median_error,
            "level": self.level,
            "share": self.inside / len(self.scored) if self.scored else math.nan,
            "share_low": low,
            "share_high": high,
        }
        return {
            "folder": self.folder,
            "forecasts": [each.as_dict() for each in self.entries],
            "others": self.others,
            "scored": len(self.scored),
            "inside": self.inside,
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "judgement": self.judgement,
        }

    def __str__(self) -> str:
        rows = [_cells(each.name, each.forecast, each.score) for each in self.entries if each.forecast]
        header = ["name", "written", "forecast", "interval", "measured", "error", "inside"]
        lines = [*_columns([header, *rows]), "", self.summary] if rows else [self.summary]
        lines += [f"warning: {each.trouble}" for each in self.entries if each.trouble]
        if self.others:
            lines.append(f"note: {count_of(self.others, 'other JSON file')} in {self.folder} left out: no forecasts")
        return "\n".join(lines)


_WORDS = {
    "too few to tell": f"whether the intervals hold can't be told yet: that takes {ENOUGH} scores or more",
    "too narrow": "the intervals were too narrow: as few inside come by chance less than once in twenty times",
    "too wide": "the intervals were too wide: as many inside come by chance less than once in twenty times",
    "as they should be": "the intervals held about as often as they should",
}


def _counts(levels: Sequence[float]) -> list[float]:
    """Probability of 0, 1, 2, … inside, where each interval holds with its own level."""
    chances = [1.0]
    for level in levels:
        held = [0.0, *(chance * level for chance in chances)]
        missed = [*(chance * (1 - level) for chance in chances), 0.0]
        chances = [first + second for first, second in zip(held, missed, strict=True)]
    return chances


def _cells(name: str, forecast: WrittenForecast, score: Score | None) -> list[str]:
    said = [name, forecast.written, f"{forecast.loss:.4f}"]
    said.append(f"{forecast.low:.4f} to {forecast.high:.4f} ({forecast.level:.0%})")
    if score is None:
        return [*said, "-", "-", "-"]
    return [*said, f"{score.measured:.4f}", f"{score.error_percent:+.2f}%", "yes" if score.inside else "no"]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]]


def read_history(folder: Path) -> History:
    """Read all written forecasts of a folder; a file that was changed or torn is named, and counts for nothing.

    Raises ForecastError where the folder is not there, or holds no forecast.
    """
    if not folder.exists():
        raise ForecastError(f"{folder}: no such folder: write a forecast into it with chidu forecast --record")
    if not folder.is_dir():
        raise ForecastError(f"{folder} is a file: name the folder of written forecasts")
    paths = sorted(folder.glob("*.json"))
    forecasts = [path for path in paths if not path.name.endswith(ENDING)]
    found = [_entry(path) for path in forecasts]
    entries = [*(each for each in found if each is not None), *_orphans(paths)]
    if not entries:
        raise ForecastError(f"{folder} holds no written forecasts: make one with chidu forecast --record")
    entries.sort(key=lambda each: (each.forecast.written if each.forecast else "", each.name))
    return History(str(folder), tuple(entries), sum(each is None for each in found))


def _entry(path: Path) -> Entry | None:
    """Read one file; None where it is whole JSON of another kind."""
    name = path.name.removesuffix(".json")
    if _is_other(path):
        return None
    try:
        forecast = _read_forecast(path)
    except ChiduError as error:
        return Entry(name, None, None, str(error))
    if not score_path(path).exists():
        return Entry(name, forecast, None)
    try:
        return Entry(name, forecast, _read_score(score_path(path), forecast))
    except ChiduError as error:
        return Entry(name, forecast, None, str(error))


def _is_other(path: Path) -> bool:
    try:
        values = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return False
    return not (isinstance(values, dict) and {"loss", "low", "high", "written"} <= set(values))


def _orphans(paths: Sequence[Path]) -> Iterator[Entry]:
    """Scores whose forecast is gone."""
    for path in paths:
        if path.name.endswith(ENDING):
            name = path.name.removesuffix(ENDING)
            if not path.with_name(f"{name}.json").exists():
                yield Entry(name, None, None, f"{path} scores a forecast that is gone: restore {name}.json")
