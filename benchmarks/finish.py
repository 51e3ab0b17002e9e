"""The end of a run, told while it trains, against the law's forecast from before: on finished work folders.

    python benchmarks/finish.py --work FOLDER [FOLDER ...] [--json]

At each part of the run: the root mean square error (%) of the estimate from the curve so far, and of the written
forecast. Notes say how many intervals hold the measured loss, and how wide they are in the median; then the same for
every rung, told from the other rungs of its length. The last rows count false alarms: targets whose measured loss lies
inside the forecast's interval, but whose estimate left it at one look of a hundred or more.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from results import tell

from chidu.laws.finish import FinalLoss, estimate_final
from chidu.runs.forecast import WrittenForecast
from chidu.runs.run import Run
from chidu.work.judging import LOOKS, peers
from chidu.work.results import read_run, rung_runs

PARTS = (0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Undertaking:
    """A finished work folder."""

    name: str
    rungs: tuple[Run, ...]
    target: Run
    written: WrittenForecast


def read(folder: Path) -> Undertaking:
    """Read what is judged."""
    written = WrittenForecast.read(folder / "forecast" / "forecast.json")
    return Undertaking(str(folder), tuple(rung_runs(folder)), read_run(folder), written)


def estimate(run: Run, others: Sequence[Run], part: float) -> FinalLoss | None:
    """Judge a run by what was seen of it when so much of it was done."""
    steps = run.config.steps
    curve = [point for point in run.curve if point[0] <= part * steps + 1e-9]
    return estimate_final(peers(others, run.config), run.config.shape.params_matmul, curve, steps)


def row(what: str, run_and_others: Sequence[tuple[Run, Sequence[Run]]], part: float) -> dict[str, Any]:
    """Errors, coverage and width over some runs."""
    found = [(run, estimate(run, others, part)) for run, others in run_and_others]
    judged = [(run, end) for run, end in found if end is not None]
    errors = [100 * math.log(end.loss / run.loss) for run, end in judged]
    inside = sum(end.low <= run.loss <= end.high for run, end in judged)
    width = float(np.median([100 * (end.high - end.low) / end.loss for _, end in judged]))
    return {
        "what": f"{what} at {part:.0%} of the run",
        "ours": rms(errors),
        "unit": "% error",
        "note": f"{inside} of {len(judged)} inside, median width {width:.1f}%, mean error {np.mean(errors):+.2f}%",
    }


def rms(values: Sequence[float]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def alarms(one: Undertaking) -> list[float]:
    """Parts of the run at which the estimate has no value in common with the forecast's interval."""
    parts = [look / LOOKS for look in range(1, LOOKS + 1)]
    found = ((part, estimate(one.target, one.rungs, part)) for part in parts)
    return [part for part, end in found if end is not None and not end.meets(one.written.low, one.written.high)]


def rows(works: Sequence[Undertaking]) -> Iterator[dict[str, Any]]:
    """All rows."""
    forecast = rms([100 * math.log(one.written.loss / one.target.loss) for one in works])
    targets = [(one.target, one.rungs) for one in works]
    for part in PARTS:
        found = row("target", targets, part)
        yield {**found, "rival": "written forecast", "theirs": forecast, "ratio": round(forecast / found["ours"], 2)}
    rungs = [(run, [other for other in one.rungs if other is not run]) for one in works for run in one.rungs]
    constant = [(run, [other for other in others if other.config.steps == run.config.steps]) for run, others in rungs]
    for part in PARTS:
        found = row("rung left out", rungs, part)
        theirs = rms([nearest_error(run, others, part) for run, others in constant])
        yield {**found, "rival": "nearest rung's way", "theirs": theirs, "ratio": round(theirs / found["ours"], 2)}
    for one in works:
        inside = one.written.low <= one.target.loss <= one.written.high
        at = alarms(one)
        yield {
            "what": f"alarms, {one.name}"[-50:],
            "ours": len(at),
            "theirs": 0 if inside else 1,
            "unit": "looks",
            "ratio": "-",
            "rival": "measured " + ("inside" if inside else "OUTSIDE"),
            "note": f"first at {at[0]:.0%}, last at {at[-1]:.0%}" if at else "none",
        }


def nearest_error(run: Run, others: Sequence[Run], part: float) -> float:
    """Error of the simplest way: the run will fall as the rung of the nearest size did from there on."""
    size = math.log(run.config.shape.params_matmul)
    nearest = min(others, key=lambda other: abs(math.log(other.config.shape.params_matmul) - size))
    step = part * run.config.steps
    now, then = (float(np.interp(step, *zip(*each.curve, strict=True))) for each in (run, nearest))
    return 100 * math.log(now * nearest.loss / then / run.loss)


def main() -> None:
    """Judge the folders given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, nargs="+", required=True)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    missing = [str(folder) for folder in told.work if not (folder / "target" / "run.json").exists()]
    if missing:
        sys.exit(f"no finished target in {', '.join(missing)}")
    tell(rows([read(folder) for folder in told.work]), as_json=told.json)


if __name__ == "__main__":
    main()
