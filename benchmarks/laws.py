"""Chidu's laws against the usual practice, on real runs: leave the future out, forecast it, compare.

The rival is what most papers do: the additive law, Huber (δ = 1e-3) on log residuals, fitted with SciPy, intervals from
a bootstrap of the rows. Both see the same runs: those below a tenth of the largest flops (the cheaper half where fewer
than ten remain; the ladder where targets are marked; the given split where there is one).

    python benchmarks/laws.py --data FOLDER [--json] [--only gadre,farseer]

FOLDER (or CHIDU_LAWS_DATA) holds CSV files with the columns group, params, tokens, flops, loss.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from autograd import grad
from autograd import numpy as differentiable
from results import tell
from scipy.optimize import least_squares, minimize

from chidu.laws import fit
from chidu.laws.catalogue import LAWS
from chidu.laws.rows import read_rows
from chidu.laws.solve import refit, solve
from chidu.laws.trials import draw_weights
from chidu.runs.ladder import Ladder

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Case:
    """One experiment: the runs to fit, and the dearer ones to forecast."""

    file: str
    below: Ladder
    above: Ladder
    inputs: tuple[str, str]


def cases(folder: Path, only: list[str]) -> Iterator[Case]:
    """Split every experiment of every file by the rule."""
    for path in sorted(folder.glob("*.csv")):
        if only and path.stem not in only:
            continue
        table = Ladder.read(path)
        inputs = ("params", "tokens" if "tokens" in table else "num_experts")
        if "unique_tokens" in table:
            # The laws here know nothing of repeated text.
            table = table.select(table.numbers("tokens") <= table.numbers("unique_tokens"))
        for group in dict.fromkeys(table.columns["group"].tolist()):
            runs = table.select(table.columns["group"] == group)
            seen = training_rows(runs)
            runs = trajectories(runs)
            yield Case(path.stem, runs.select(seen), runs.select(~seen), inputs)


def trajectories(runs: Ladder) -> Ladder:
    """Let ``group`` name the trajectory, where one is named, instead of the experiment."""
    columns = {name: values for name, values in runs.columns.items() if name != "group"}
    if "run" in columns and len(np.unique(columns["run"])) < len(runs):
        columns["group"] = columns["run"]
    return Ladder(columns, runs.source, runs.row_numbers.tolist())


def training_rows(runs: Ladder) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True for the rows to fit."""
    if "target" in runs:
        return np.asarray(runs.columns["target"] == 0)
    if "split" in runs:
        return np.asarray(runs.columns["split"] == "train")
    flops = runs.numbers("flops")
    cheap = flops < flops.max() / 10
    if cheap.sum() < 10:
        cheap = np.argsort(np.argsort(flops, kind="stable"), kind="stable") < len(flops) / 2
    return np.asarray(cheap)


class Rival:
    """The additive law by SciPy's robust least squares from a grid of starts, and a bootstrap of the rows."""

    def __init__(self, runs: Ladder, inputs: tuple[str, str], resamples: int = 100) -> None:
        self.inputs = inputs
        x = np.log(np.vstack([runs.numbers(name) for name in inputs]))
        y = np.log(runs.numbers("loss"))
        grid = [
            (a, g, b, h, e) for a in (0, 10) for b in (0, 10) for g in (0.2, 0.6) for h in (0.2, 0.6) for e in (-1, 1)
        ]
        ends = [self._solve(np.array(start, dtype=float), x, y) for start in grid]
        self.best = min(ends, key=lambda end: end.cost).x
        self.x, self.y = x, y
        self.refits = self.bootstrap(resamples)

    def bootstrap(self, resamples: int) -> list[Array]:
        """Refit to rows drawn with replacement, from the best fit."""
        random = np.random.default_rng(0)
        draws = [random.integers(0, len(self.y), len(self.y)) for _ in range(resamples)]
        return [self._solve(self.best, self.x[:, rows], self.y[rows]).x for rows in draws]

    @staticmethod
    def value(theta: Array, x: Array) -> Array:
        """Log loss at log inputs."""
        a, g, b, h, e = theta
        return np.asarray(np.logaddexp(np.logaddexp(a - g * x[0], b - h * x[1]), e))

    def by_bfgs(self, resamples: int, *, automatic: bool) -> list[Array]:
        """The same refits by BFGS, from the best fit: what papers run once for each resample.

        ``automatic``: with gradients by the package autograd, as the published refits of Hoffmann et al.'s law were
        made; else with gradients written out by hand.
        """
        random = np.random.default_rng(0)
        draws = [random.integers(0, len(self.y), len(self.y)) for _ in range(resamples)]
        objective, slope = (self._sum, grad(self._sum)) if automatic else (self._huber, True)
        return [minimize(objective, self.best, (self.x[:, k], self.y[k]), "BFGS", jac=slope).x for k in draws]

    @staticmethod
    def _sum(theta: Array, x: Array, y: Array, delta: float = 1e-3) -> Any:
        """Sum of Huber losses at theta, in operations that autograd can differentiate."""
        terms = differentiable.array([theta[0] - theta[1] * x[0], theta[2] - theta[3] * x[1], theta[4] + 0 * y])
        top = differentiable.max(terms, axis=0)
        rest = top + differentiable.log(differentiable.sum(differentiable.exp(terms - top), axis=0)) - y
        far = differentiable.abs(rest)
        return differentiable.sum(differentiable.where(far <= delta, rest**2 / 2, delta * (far - delta / 2)))

    @staticmethod
    def _huber(theta: Array, x: Array, y: Array, delta: float = 1e-3) -> tuple[float, Array]:
        """Sum of Huber losses at theta, and its gradient."""
        a, g, b, h, e = theta
        terms = np.vstack([a - g * x[0], b - h * x[1], np.full(len(y), e)])
        whole = np.logaddexp.reduce(terms, axis=0)
        rest, shares = whole - y, np.exp(terms - whole)
        clipped = np.clip(rest, -delta, delta)
        by_term = shares * clipped
        slopes = [by_term[0], -x[0] * by_term[0], by_term[1], -x[1] * by_term[1], by_term[2]]
        return float((clipped * (rest - clipped / 2)).sum()), np.array([slope.sum() for slope in slopes])

    def _solve(self, start: Array, x: Array, y: Array) -> Any:
        return least_squares(lambda theta: self.value(theta, x) - y, start, loss="huber", f_scale=1e-3, max_nfev=300)

    def forecast(self, points: Ladder) -> tuple[Array, Array, Array]:
        """Loss, and the 90% interval of the bootstrap."""
        x = np.log(np.vstack([points.numbers(name) for name in self.inputs]))
        spread = np.exp([self.value(theta, x) for theta in self.refits])
        low, high = np.quantile(spread, [0.05, 0.95], axis=0)
        return np.exp(self.value(self.best, x)), low, high


def judge(loss: Array, low: Array, high: Array, measured: Array) -> dict[str, float]:
    """Median error and width, share of runs inside and mean interval score, all in per cent.

    The score is the width, and 2 / 10% times what a run lies outside (Gneiting and Raftery, 2007): less is better.
    """
    outside = np.maximum(low - measured, 0) + np.maximum(measured - high, 0)
    return {
        "error": float(np.median(np.abs(loss / measured - 1)) * 100),
        "inside": float(np.mean((low <= measured) & (measured <= high)) * 100),
        "width": float(np.median((high - low) / loss) * 100),
        "score": float(np.mean((high - low + 20 * outside) / measured) * 100),
    }


def compare(case: Case) -> dict[str, Any]:
    """Forecast one experiment's dear runs both ways."""
    measured = case.above.numbers("loss")
    found = fit(case.below, inputs=case.inputs if case.inputs[1] != "tokens" else None)
    table = found.forecast(case.above)
    ours = judge(table["loss"], table["low"], table["high"], measured)
    theirs = judge(*Rival(case.below, case.inputs).forecast(case.above), measured)
    return {"file": case.file, "law": found.law, "runs": len(case.above), "ours": ours, "theirs": theirs}


USUAL = "additive Huber + bootstrap (SciPy)"


def row(
    what: str, ours: float, theirs: float, reach: str, unit: str, *, more: bool = False, rival: str = USUAL
) -> dict[str, Any]:
    """One line of the result; ratio > 1 is better than the rival."""
    ratio = (ours / theirs if theirs else float("inf")) if more else theirs / ours
    return {
        "what": what,
        "ours": round(ours, 4),
        "rival": rival,
        "theirs": round(theirs, 4),
        "ratio": round(ratio, 3) if np.isfinite(ratio) else None,
        "reach": reach,
        "unit": unit,
    }


MEANS = ("inside", "score")
"""What is averaged over experiments and files; of the rest the median is taken."""


def file_rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians (or means) over each file's experiments, then over files."""
    found, medians = [], []
    for name in dict.fromkeys(result["file"] for result in results):
        mine = [result for result in results if result["file"] == name]
        reach = f"{len(mine)} experiments, {sum(result['runs'] for result in mine)} dearer runs"
        both = {
            side: {key: [result[side][key] for result in mine] for key in mine[0][side]} for side in ("ours", "theirs")
        }
        summary = {
            side: {key: float(np.mean(v) if key in MEANS else np.median(v)) for key, v in both[side].items()}
            for side in both
        }
        medians.append(summary)
        found += _summary_rows(name, summary, reach)
    joint = {
        side: {
            key: float((np.mean if key in MEANS else np.median)([each[side][key] for each in medians]))
            for key in medians[0][side]
        }
        for side in ("ours", "theirs")
    }
    mean = {side: float(np.mean([each[side]["error"] for each in medians])) for side in joint}
    reach = f"{len(medians)} files"
    return [
        *found,
        *_summary_rows("all files", joint, reach),
        row("all files: mean of median errors", mean["ours"], mean["theirs"], reach, "%"),
    ]


def _summary_rows(name: str, summary: dict[str, dict[str, float]], reach: str) -> list[dict[str, Any]]:
    ours, theirs = summary["ours"], summary["theirs"]
    return [
        row(f"{name}: median error of dearer runs", ours["error"], theirs["error"], reach, "%"),
        row(f"{name}: held by the 90% interval", ours["inside"], theirs["inside"], reach, "%", more=True),
        row(f"{name}: median width of the interval", ours["width"], theirs["width"], reach, "%"),
        row(f"{name}: mean interval score", ours["score"], theirs["score"], reach, "%"),
    ]


def planted(random: np.random.Generator, rows: int) -> Ladder:
    """A table of an additive law with 0.5% noise."""
    params, tokens = 10 ** random.uniform(7.5, 10.2, rows), 10 ** random.uniform(9, 11.5, rows)
    loss = (1.8 + 480 / params**0.35 + 2100 / tokens**0.37) * np.exp(random.normal(0, 0.005, rows))
    return Ladder({"params": params, "tokens": tokens, "loss": loss})


def speed_rows() -> list[dict[str, Any]]:
    """One additive fit of 240 rows, and refits of it, both in seconds."""
    random = np.random.default_rng(0)
    runs = planted(random, 240)
    law = LAWS["additive"]
    rows = read_rows(runs, law, None, None)
    solution = solve(rows, law)
    weights = draw_weights(rows, 4000, random)
    once = timed(lambda: solve(rows, law), 5)
    many = timed(lambda: refit(rows, solution, weights), 2)
    rival = Rival(runs, ("params", "tokens"), 0)
    rival_once = timed(lambda: Rival(runs, ("params", "tokens"), 0), 1)
    rival_many = timed(lambda: rival.bootstrap(100), 1) * 40
    bfgs_many = {way: timed(lambda way=way: rival.by_bfgs(20, automatic=way), 1) * 200 for way in (True, False)}
    tracemalloc.start()
    refit(rows, solution, weights)
    memory = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    long = planted(random, 100_000)
    fit_long = timed(lambda: fit(long, law="additive"), 1)
    x, y = np.log(np.vstack([long.numbers(name) for name in ("params", "tokens")])), np.log(long.numbers("loss"))
    rival_long = timed(lambda: rival._solve(rival.best, x, y), 1)
    return [
        row("one additive fit of 240 rows", once, rival_once, "planted law, 32 starts of the rival", "s"),
        row(
            "4,000 refits of 240 rows",
            many,
            max(rival_many, 1e-9),
            "planted law, the rival's time is 40 × that of 100",
            "s",
        ),
        *(
            row(
                f"4,000 refits of 240 rows, a BFGS for each, {how}",
                many,
                max(bfgs_many[way], 1e-9),
                "from the best fit; the rival's time is 200 × that of 20",
                "s",
                rival=f"BFGS (SciPy), {how}",
            )
            for way, how in ((True, "gradients by autograd"), (False, "gradients by hand"))
        ),
        row("memory of 4,000 refits", memory, 500.0, "largest at once", "MB", rival="what is allowed"),
        row(
            "a table of 100,000 rows",
            fit_long,
            rival_long,
            "ours with trials and 1,000 refits, the rival from one good start and without",
            "s",
            rival="one robust fit (SciPy)",
        ),
    ]


def timed(work: Any, times: int) -> float:
    """Least seconds of several calls."""
    spent = []
    for _ in range(times):
        clock = time.perf_counter()
        work()
        spent.append(time.perf_counter() - clock)
    return min(spent)


def main() -> int:
    """Run the comparison; print it, and with --json end with one document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("CHIDU_LAWS_DATA"), help="folder of CSV files")
    parser.add_argument("--only", default="", help="names of files, with commas")
    parser.add_argument("--json", action="store_true", help="end with one JSON document")
    flags = parser.parse_args()
    if flags.data is None or not list(Path(flags.data).glob("*.csv")):
        print("laws: no CSV files: name their folder with --data or CHIDU_LAWS_DATA", file=sys.stderr)
        return 1
    results = []
    for case in cases(Path(flags.data), [name for name in flags.only.split(",") if name]):
        result = compare(case)
        results.append(result)
        print(
            f"{result['file']:18} {result['law']:9} "
            + "  ".join(
                f"{side} {v['error']:.2f}% {v['inside']:.0f}% in {v['width']:.1f}%"
                for side, v in (("ours", result["ours"]), ("theirs", result["theirs"]))
            ),
            file=sys.stderr,
        )
    tell([*file_rows(results), *speed_rows()], as_json=flags.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
