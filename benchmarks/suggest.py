"""`chidu.suggest` against random choice and cheapest-first: how well does a tenth of the budget forecast the dear runs?

After ScaleBench (Li et al., 2604.22753): nothing has been run; runs are bought from split=train, look by look, until
a tenth of what all of them cost is spent; a law is fitted to them; R² of its forecasts on split=test. Costs are
6·params·tokens, and params·num_experts for the mixtures of experts, as there. ScaleBench averages R² over ten laws a
file and clips it at -1; here one law a file is fitted by all three choosers, and random choice is the mean over seeds.

    python benchmarks/suggest.py --data FOLDER [--json] [--only farseer,moe]

FOLDER (or CHIDU_LAWS_DATA) holds farseer.csv, data_constrained.csv and moe.csv.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from results import tell

from chidu.errors import FitError
from chidu.laws import fit
from chidu.laws.suggest import suggest
from chidu.runs.ladder import Ladder

Array = np.ndarray[Any, np.dtype[np.float64]]
Index = np.ndarray[Any, np.dtype[np.int_]]

SHARE = 0.1
LOOKS = 8
"""How often the results are looked at: each buys an even part of what is left, or one run."""
SEEDS = 5


@dataclass(frozen=True)
class Task:
    """One file: the law that is fitted, and the R² to reach (ScaleBench's table 2, 10% of the budget)."""

    file: str
    law: str
    reach: float


TASKS = (
    Task("farseer", "coupled", 0.93),
    Task("data_constrained", "data_constrained", 0.86),
    Task("moe", "E + A / params**alpha / num_experts**beta", 0.83),
)


def read(task: Task, folder: Path) -> tuple[Ladder, Ladder]:
    """Return the runs that can be bought, with their cost, and those to forecast."""
    whole = Ladder.read(folder / f"{task.file}.csv")
    other = "tokens" if "tokens" in whole else "num_experts"
    cost = whole.numbers("params") * whole.numbers(other) * (6 if other == "tokens" else 1)
    columns = {name: values for name, values in whole.columns.items() if name not in ("group", "source")}
    runs = Ladder({**columns, "cost": cost}, whole.source)
    train = runs.columns["split"] == "train"
    return runs.select(train), runs.select(~train)


def score(task: Task, bought: Ladder, test: Ladder) -> float:
    """R² on the test split; -1 at the least, and where no law can be fitted."""
    try:
        forecast = fit(bought, task.law, resamples=0).forecast(test)["loss"]
    except FitError:
        return -1.0
    measured = test.numbers("loss")
    found = 1 - ((forecast - measured) ** 2).sum() / ((measured - measured.mean()) ** 2).sum()
    return max(float(found), -1.0) if np.isfinite(found) else -1.0


def ours(task: Task, train: Ladder, test: Ladder) -> Index:
    """Buy what `suggest` says, look, and ask again."""
    cost = train.numbers("cost")
    budget = SHARE * float(cost.sum())
    bought: list[int] = []
    for look in range(LOOKS):
        left = budget - float(cost[bought].sum())
        rest = np.setdiff1d(np.arange(len(train)), bought)
        offered = Ladder({name: values[rest] for name, values in train.columns.items()}, row_numbers=rest.tolist())
        try:
            found = suggest(
                train.select(bought) if bought else None, offered, left, test, task.law, resamples=50, repeats=True
            )
        except FitError:
            break
        part = np.inf if found.stage == "start" else left / (LOOKS - look)
        keep = np.concatenate([[True], found.table["cumulative"][1:] <= part])
        bought += found.table["row"][keep].tolist()
    return np.array(bought)


def in_order(order: Index, cost: Array, budget: float) -> Index:
    """Buy in this order whatever still fits the budget."""
    taken, left = [], budget
    for j in order:
        if cost[j] <= left:
            taken.append(j)
            left -= cost[j]
    return np.array(taken)


def compare(task: Task, folder: Path) -> dict[str, Any]:
    """R² by all choosers on one file."""
    train, test = read(task, folder)
    cost = train.numbers("cost")
    budget = SHARE * float(cost.sum())
    chosen = ours(task, train, test)
    assert cost[chosen].sum() <= budget * (1 + 1e-9)
    orders = [np.random.default_rng(seed).permutation(len(train)) for seed in range(SEEDS)]
    return {
        "ours": score(task, train.select(chosen), test),
        "runs": len(chosen),
        "random": float(np.mean([score(task, train.select(in_order(order, cost, budget)), test) for order in orders])),
        "cheapest first": score(task, train.select(in_order(np.argsort(cost, kind="stable"), cost, budget)), test),
        "all runs": score(task, train, test),
    }


def rows(task: Task, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Lines of the result. The ratio is of what is left unexplained, 1 - R²: above 1 is better than the rival."""
    return [
        {
            "what": f"{task.file}: R² of the test split at {SHARE:.0%} of the budget",
            "ours": round(result["ours"], 4),
            "rival": rival,
            "theirs": round(result[rival], 4),
            "ratio": round((1 - result[rival]) / max(1 - result["ours"], 1e-9), 3),
            "reach": f"{task.reach}; {result['runs']} runs bought, law {task.law}",
            "unit": "R²",
        }
        for rival in ("random", "cheapest first", "all runs")
    ]


def main() -> int:
    """Run the comparison; print it, and with --json end with one document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("CHIDU_LAWS_DATA"), help="folder of CSV files")
    parser.add_argument("--only", default="", help="names of files, with commas")
    parser.add_argument("--json", action="store_true", help="end with one JSON document")
    flags = parser.parse_args()
    wanted = [task for task in TASKS if not flags.only or task.file in flags.only.split(",")]
    absent = [
        task.file for task in wanted if flags.data is None or not (Path(flags.data) / f"{task.file}.csv").is_file()
    ]
    if absent or not wanted:
        print(f"suggest: no {', '.join(absent) or flags.only}.csv: name the folder with --data", file=sys.stderr)
        return 1
    tell((each for task in wanted for each in rows(task, compare(task, Path(flags.data)))), as_json=flags.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
