"""What stands beside a fit's numbers: reasons to doubt them, in words."""

from __future__ import annotations

import numpy as np

from chidu.errors import FitError
from chidu.laws.law import Law
from chidu.laws.rows import Rows
from chidu.laws.solve import Solution, Status
from chidu.units import count_of

__all__ = ["check_rows", "doubts", "floor_is_open", "one_ratio", "one_ratio_text"]


def one_ratio(rows: Rows) -> bool:
    """True where all runs keep one ratio of their two inputs, to 2%."""
    if len(rows.inputs) < 2:
        return False
    ratio = np.log(rows.inputs[1] / rows.inputs[0])
    return bool(np.ptp(ratio) < 0.02)


def one_ratio_text(names: tuple[str, ...]) -> str:
    """Say what runs of one ratio of their two inputs can't tell."""
    return (
        f"all runs keep one ratio of {names[1]} to {names[0]}: "
        "what each of the two does can't be told apart; trust only points with the same ratio"
    )


def floor_is_open(solution: Solution, floor: tuple[float, float], least_loss: float) -> bool:
    """True where the runs do not fix the floor E: it ended at 0, or its interval reaches down to 0."""
    return "E" in solution.at_bound or floor[0] <= 1e-6 * least_loss


def check_rows(rows: Rows, law: Law, source: str) -> None:
    """Raise FitError where these rows can't fix this law's parameters, in one line."""
    count = len(law.parameters)
    if len(rows) < count:
        raise FitError(
            f"{source}: {count_of(len(rows), 'row')} can't fix the {count} parameters of the {law.name} law: add runs"
        )
    for name, x in zip(rows.names, rows.inputs, strict=True):
        if len(np.unique(x)) < 2:
            raise FitError(
                f"{source}: every run has {name} = {x[0]:g}, so the {law.name} law can't tell what {name} does: "
                f"add runs with other {name}" + (", or use law='power'" if law.name != "power" else "")
            )
    if len(np.unique(np.round(np.log(rows.inputs), 9), axis=1).T) < count:
        raise FitError(
            f"{source}: only {len(np.unique(rows.inputs, axis=1).T)} different points of {' and '.join(rows.names)} "
            f"for the {count} parameters of the {law.name} law: add runs elsewhere"
        )


def doubts(rows: Rows, solution: Solution, interval_of_floor: tuple[float, float]) -> tuple[str, ...]:
    """Name what is doubtful about a fit."""
    return tuple(text for text in (*_of_rows(rows, solution), *_of_solution(rows, solution, interval_of_floor)) if text)


def _of_rows(rows: Rows, solution: Solution) -> list[str]:
    count, parameters = len(rows), len(solution.theta)
    found = []
    if count < parameters + 3:
        found.append(f"{count} rows for {parameters} parameters: the residuals say little about the error")
    if one_ratio(rows):
        found.append(one_ratio_text(rows.names))
    for name, x in zip(rows.names, rows.inputs, strict=True):
        if x.max() < 3 * x.min():
            found.append(f"{name} spans only {x.max() / x.min():.3g}×: its exponent is hardly fixed")
    found += [_of_groups(rows)]
    return found


def _of_groups(rows: Rows) -> str:
    groups = len(np.unique(rows.groups))
    if not groups or groups == len(rows):
        return ""
    if groups >= 5:
        return f"runs share {groups} groups (trajectories): refits draw whole groups"
    if groups == 1:
        return ""
    return f"runs share {groups} groups, too few to draw whole groups: refits draw single runs and may vary too little"


def _of_solution(rows: Rows, solution: Solution, floor: tuple[float, float]) -> list[str]:
    found = []
    if floor_is_open(solution, floor, float(rows.loss.min())):
        found.append("the data do not fix the floor E (it may be 0): far forecasts rest on the power terms alone")
    found += [f"{name} ended at the edge of its range" for name in solution.at_bound if name != "E"]
    if solution.status is Status.NOT_IDENTIFIED:
        found.append("other parameters fit as well: use the forecasts near the runs, not the parameters")
    if solution.status is Status.NOT_CONVERGED:
        found.append("the solver stopped early: the objective may not be at its least")
    return found
