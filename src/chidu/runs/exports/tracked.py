"""One run as a tracker knows it, and the table that many make."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chidu.errors import TableError
from chidu.runs.cells import Sheet, flatten
from chidu.units import count_of

__all__ = ["FINISHED", "TrackedRun", "left_out", "sheet_of"]

FINISHED = "finished"


@dataclass
class TrackedRun:
    """A run while it is read: values are added in the order in which they were logged."""

    name: str
    project: str = ""
    state: str = FINISHED
    """`finished`, or what else the tracker says of it."""
    config: dict[str, Any] = field(default_factory=dict)
    """Key (nested ones joined with dots) → value."""
    last: dict[str, Any] = field(default_factory=dict)
    """Metric → its last value."""
    least: dict[str, float] = field(default_factory=dict)
    """Metric → its least value; NaN left out."""

    def configure(self, values: Mapping[str, Any]) -> None:
        """Take config values, nested or flat; later ones stand."""
        self.config.update(flatten(values))

    def log(self, values: Mapping[str, Any]) -> None:
        """Take the metrics of one step; what is no number is left alone."""
        for name, value in flatten(values).items():
            number = _number(value)
            if number is not None:
                self.last[name] = number
                if not math.isnan(number):
                    self.least[name] = min(number, self.least.get(name, number))


def sheet_of(path: Path, tracker: str, runs: Iterable[TrackedRun]) -> Sheet:
    """Return the table of the finished runs: a row a run, with its config and the last value of each metric.

    Beside each metric whose name has `loss` in it stands `NAME.min`, its least value. Raises TableError where no run
    has finished.
    """
    every = list(runs)
    kept = [run for run in every if run.state == FINISHED]
    if not every:
        raise TableError(f"{path}: no runs in {tracker}'s export")
    if not kept:
        raise TableError(f"{path}: no run of {tracker}'s has finished ({left_out([run.state for run in every])})")
    rows = [_row(run, several=len({each.project for each in kept}) > 1) for run in kept]
    names = list(dict.fromkeys(name for row in rows for name in row))
    notes = [
        f"{count_of(len(kept), 'run')} of {tracker}: a row each, with its config and the last value of each metric"
    ]
    if len(kept) < len(every):
        gone = [run for run in every if run.state != FINISHED]
        notes.append(
            f"{len(gone)} of {len(every)} runs left out, not finished: "
            + ", ".join(f"{run.name} ({run.state})" for run in gone[:5])
            + (" …" if len(gone) > 5 else "")
        )
    projects = sorted({run.project for run in kept})
    if len(projects) > 1:
        notes.append(f"they are of {len(projects)} projects ({', '.join(projects)}), and read as one ladder")
    return Sheet({name: [row.get(name) for row in rows] for name in names}, list(range(1, len(rows) + 1)), tuple(notes))


def left_out(states: Sequence[str]) -> str:
    """Write how many runs are in which state: ``3 crashed, 1 running``."""
    return ", ".join(f"{count} {state}" for state, count in Counter(states).most_common())


def _row(run: TrackedRun, *, several: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"run": run.name}
    if several:
        row["project"] = run.project
    metrics = dict(run.last)
    metrics.update({f"{name}.min": value for name, value in run.least.items() if "loss" in name.lower()})
    for name, value in run.config.items():
        # A metric's name is the metric's; a loss is measured, never configured (as `loss: cross_entropy` is).
        row[f"config.{name}" if name in metrics or name in row or name == "loss" else name] = value
    return {**row, **{f"metrics.{name}" if name in ("run", "project") else name: v for name, v in metrics.items()}}


def _number(value: Any) -> float | None:
    if isinstance(value, str) and value.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return float(value)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
