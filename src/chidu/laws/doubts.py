"""What stands beside a fit's numbers: reasons to doubt them, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chidu.errors import FitError
from chidu.laws.calibration import student
from chidu.laws.catalogue import is_loss
from chidu.laws.law import Law
from chidu.laws.objective import Floats
from chidu.laws.rows import Rows
from chidu.laws.solve import Solution, Status
from chidu.units import count_of, percent

__all__ = ["NO_TREND", "check_rows", "doubts", "floor_is_open", "one_ratio", "one_ratio_text"]


BEYOND_CHANCE = 0.001
"""Probability, to either side, at which a bend of the residuals is called more than chance."""
LEAST_BEND = 1e-3
"""Of log loss at the table's end: a smaller bend matters to nobody, and may be how the table was rounded."""
END = 4
"""One in so many rows, and LEAST_END at the least, are the end of a table at which a bend is looked for."""
LEAST_END = 4
MANY_LENGTHS = 8
"""Token counts of one size from which its rows may be checkpoints of one run."""
ALIKE = 3.0
"""Standard errors by which neighbouring residuals along tokens must be more alike than those of separate runs."""
FEW_CHECKPOINTS = 4
"""Rows of a group with constant params from which they are checkpoints."""
FLOPS_OFF = (0.1, 10.0)
"""Flops over 6·params·tokens beyond which they are in another unit, or of something else."""
STRAY = 12.0
"""Deviations, by the median residual, from which a run is no chance."""
LEAST_STRAY = 0.05
"""And what it lies off the law by, at the least, in log loss."""
FEW_SHARED = 3
"""Points that several groups have, from which they are compared."""
POOLED = 0.05
"""By what groups differ at equal points, in the median, from which they are different experiments: seeds, by 1%."""
NO_TREND = "the dearer half of the runs is no better than the cheaper half: there is no law of scale in these numbers"

_OTHERS = "what the others lead to expect, more than chance"


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
    if len(np.unique(rows.loss)) < 2:
        raise FitError(f"{source}: every run has {law.target} = {rows.loss[0]:g}: there is nothing to learn from them")
    for name, x in zip(rows.names, rows.inputs, strict=True):
        if len(np.unique(x)) < 2:
            raise FitError(
                f"{source}: every run has {name} = {x[0]:g}, so the {law.name} law can't tell what {name} does: "
                f"add runs with other {name}" + (", or fit the power law" if law.name != "power" else "")
            )
    if len(np.unique(np.round(np.log(np.maximum(rows.inputs, 1e-300)), 9), axis=1).T) < count:
        raise FitError(
            f"{source}: only {len(np.unique(rows.inputs, axis=1).T)} different points of {' and '.join(rows.names)} "
            f"for the {count} parameters of the {law.name} law: add runs elsewhere"
        )


def doubts(rows: Rows, solution: Solution, interval_of_floor: tuple[float, float]) -> tuple[str, ...]:
    """Name what is doubtful about a fit."""
    found = (
        *_of_rows(rows, solution),
        *_of_solution(rows, solution, interval_of_floor),
        *_of_checkpoints(rows, solution),
        *_of_residuals(rows, solution),
        _of_optimum(rows, solution),
    )
    return tuple(text for text in found if text)


def _of_rows(rows: Rows, solution: Solution) -> list[str]:
    count, parameters = len(rows), len(solution.theta)
    found = []
    if count < parameters + 3:
        found.append(f"{count} rows for {parameters} parameters: the residuals say little about the error")
    if one_ratio(rows):
        found.append(one_ratio_text(rows.names))
    for name, x in zip(rows.names, rows.inputs, strict=True):
        # A loss that is read spans little by its nature, and stands under no exponent.
        if x.max() < 3 * x.min() and name != "loss":
            found.append(f"{name} spans only {x.max() / x.min():.3g}×: its exponent is hardly fixed")
    found += [
        _of_copies(rows),
        _of_flops(rows),
        _of_trend(rows, solution),
        _of_strays(rows, solution),
        _of_groups(rows),
        _of_pooled(rows),
    ]
    return found


def _of_copies(rows: Rows) -> str:
    copies = len(rows) - len(np.unique(np.vstack([rows.inputs, rows.loss]), axis=1).T)
    if not copies:
        return ""
    repeat = "repeats" if copies == 1 else "repeat"
    return f"{count_of(copies, 'row')} {repeat} another's inputs and result: copies make intervals too narrow"


def _of_flops(rows: Rows) -> str:
    """Warn of flops that can't be those of these params and tokens."""
    columns = _params_tokens(rows)
    if columns is None or rows.cost_name != "flops":
        return ""
    times = float(np.exp(np.median(np.log(rows.cost / columns[0] / columns[1] / 6))))
    if FLOPS_OFF[0] < times < FLOPS_OFF[1]:
        return ""
    return f"flops are {times:.2g} × 6·params·tokens: check their unit, or leave the column out"


def _of_trend(rows: Rows, solution: Solution) -> str:
    cheap = rows.cost <= np.median(rows.cost)
    if solution.law.target != "loss" or not rows.knows_cost or cheap.all():
        return ""
    return NO_TREND if np.median(rows.loss[~cheap]) >= np.median(rows.loss[cheap]) else ""


def _of_strays(rows: Rows, solution: Solution) -> str:
    """Name the run that lies so far off the law that it is a slip or failed."""
    residual = _residual(rows, solution)
    if residual is None or len(rows) < 8:
        return ""
    size = np.abs(residual)
    far = size > max(STRAY * 1.4826 * float(np.median(size)), LEAST_STRAY)
    if not far.any() or far.sum() > len(rows) / 10:
        return ""
    worst = int(np.argmax(size))
    where = ", ".join(f"{name} {x:.3g}" for name, x in zip(rows.names, rows.inputs[:, worst], strict=True))
    return (
        f"{count_of(int(far.sum()), 'run')} {'lies' if far.sum() == 1 else 'lie'} far off the law, the farthest by "
        f"{100 * np.expm1(size[worst]):.3g}% ({where}, loss {rows.loss[worst]:.4g}): a slip, or a run that failed"
    )


def _of_groups(rows: Rows) -> str:
    groups = len(np.unique(rows.groups))
    if not groups or groups == len(rows):
        return ""
    if groups >= 5:
        return f"runs share {groups} groups (trajectories): refits draw whole groups"
    if groups == 1:
        return ""
    return f"runs share {groups} groups, too few to draw whole groups: refits draw single runs and may vary too little"


def _of_pooled(rows: Rows) -> str:
    """Warn of groups that are experiments of their own: at equal points their results lie far apart."""
    if len(np.unique(rows.groups)) < 2:
        return ""
    points = _parts(np.unique(np.round(rows.inputs, 9), axis=1, return_inverse=True)[1].reshape(-1))
    shared = [index for index in points if len(np.unique(rows.groups[index])) > 1]
    if len(shared) < FEW_SHARED:
        return ""
    apart = float(np.median([rows.loss[index].max() / rows.loss[index].min() - 1 for index in shared]))
    if apart < POOLED:
        return ""
    groups = count_of(len(np.unique(rows.groups)), "group")
    return (
        f"{groups} differ by {percent(apart)} at equal points: where they are experiments of their own "
        "(other texts, other recipes), fit one at a time"
    )


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


def _of_checkpoints(rows: Rows, solution: Solution) -> list[str]:
    """Warn of rows that are points of one run: they are not independent, and the early ones are not final losses."""
    if _are_trajectories(rows):
        return [
            "groups look like checkpoints of single runs (constant params): losses before a learning rate has decayed "
            "are not final losses; keep each run's last row, unless the rate was constant"
        ]
    if len(np.unique(rows.groups)) < 2 and _alike_along_tokens(rows, solution):
        return [
            "rows of one size look like checkpoints of one run, not separate runs (neighbouring residuals are alike): "
            "if so name the runs in a column `group`, or the intervals are too narrow"
        ]
    return []


def _are_trajectories(rows: Rows) -> bool:
    """True where at least half of the groups are of FEW_CHECKPOINTS rows or more with constant params and different
    tokens."""
    columns = _params_tokens(rows)
    if columns is None or len(np.unique(rows.groups)) < 2:
        return False
    params, tokens = columns
    long = [
        len(index) >= FEW_CHECKPOINTS
        and np.ptp(np.log(params[index])) < 1e-9
        and len(np.unique(tokens[index])) >= FEW_CHECKPOINTS
        for index in _parts(rows.groups)
    ]
    return bool(sum(long) * 2 >= len(long))


def _alike_along_tokens(rows: Rows, solution: Solution) -> bool:
    """True where sizes have many token counts at even steps, as checkpoints do (lengths of separate runs are chosen by
    factors), and residuals of neighbours along tokens are more alike than chance.

    From each size's residuals a line over log tokens is taken, so that a law that misses smoothly hardly counts. Their
    products of neighbours over their squares are compared with what independent rows have after the same line. Of six
    runs of 20 checkpoints whose errors correlate by 0.5, 95% are seen, of 12 checkpoints at 0.8 65%, of 8 hardly any;
    of 280 clean tables of even steps none was.
    """
    columns = _params_tokens(rows)
    residual = _residual(rows, solution)
    if columns is None or residual is None:
        return False
    params, tokens = columns
    products = squares = expected = pairs = 0.0
    for size in _parts(np.unique(np.round(np.log(params), 9), return_inverse=True)[1].reshape(-1)):
        index = size[np.argsort(tokens[size], kind="stable")]
        if len(index) < MANY_LENGTHS or not _in_even_steps(tokens[index]):
            continue
        basis = np.linalg.qr(np.vander(np.log(tokens[index]) - np.log(tokens[index]).mean(), 2))[0]
        rest = residual[index] - basis @ (basis.T @ residual[index])
        products += float(rest[1:] @ rest[:-1])
        squares += float(rest @ rest)
        # Of independent rows: minus the products of neighbours that the line takes away.
        expected -= float((basis[1:] * basis[:-1]).sum())
        pairs += len(index) - 2
    if squares <= pairs * (LEAST_BEND / 100) ** 2:
        return False
    return bool((products / squares - expected / pairs) * np.sqrt(pairs) > ALIKE)


def _in_even_steps(tokens: Floats) -> bool:
    """True where sorted tokens (rows,) all differ, and their differences are more even than their ratios."""
    steps, ratios = np.diff(tokens), np.diff(np.log(tokens))
    return bool(ratios.min() > 1e-9 and steps.std() / steps.mean() < ratios.std() / ratios.mean())


def _of_residuals(rows: Rows, solution: Solution) -> list[str]:
    """Warn of ends of the table where the law fails systematically."""
    independent = _independent(rows, solution)
    if independent is None:
        return []
    top = _bend(independent, solution, np.log(independent.cost))
    return [_of_top(top), _of_small(independent, solution)]


def _of_top(bend: _Bend | None) -> str:
    if bend is None:
        return ""
    side, whose = (
        ("above", "the recipe, such as a learning rate not tuned for long runs")
        if bend.log_loss > 0
        else ("below", "the recipe of the cheaper runs")
    )
    return (
        f"the dearest runs bend away, to {bend.percent} {side} {_OTHERS}: {whose}, or the law may be at fault; "
        "find out before trusting dearer forecasts"
    )


def _of_small(rows: Rows, solution: Solution) -> str:
    columns = _params_tokens(rows)
    bend = None if columns is None or len(np.unique(columns[0])) < 4 else _bend(rows, solution, -np.log(columns[0]))
    if bend is None:
        return ""
    if bend.log_loss < 0:
        return f"the smallest sizes bend away, to {bend.percent} below {_OTHERS}: leave them out, or try another law"
    counted = "params may count embeddings: fit params_matmul or params_non_embedding, or "
    return (
        f"the smallest sizes bend away, to {bend.percent} above {_OTHERS}: "
        f"{counted if 'params' in rows.names else ''}leave them out"
    )


@dataclass(frozen=True)
class _Bend:
    """By how much log losses at an end of the table lie off what the other rows lead to expect, at the very end."""

    log_loss: float

    @property
    def percent(self) -> str:
        return f"{100 * abs(self.log_loss):.2g}%"


def _bend(rows: Rows, solution: Solution, along: Floats) -> _Bend | None:
    """Return how log losses bend at the far end of ``along`` (rows,) where it is more than chance and LEAST_BEND.

    A ramp over the last quarter of the rows is added to the law in a linearised least-squares fit; its coefficient has
    Student's t (an added-variable test), so the law's own bending towards these rows is allowed for. A step in place of
    the ramp saw a third as much of planted bends, since the exponents take most of a step up. Four in five of the rows
    of the ramp's upper half must lie on the ramp's side, so that one stray run does not speak for many.

    Of 1,000 clean tables (grids, ladders, isoFLOP sweeps, scattered and dense runs, 14 to 200 rows, noise 0.1 to 1%) 6
    raised a bend, at the top or at the small end. With 0.2% noise a planted bend of 2% over the dearest fifth was seen
    in 100% of grids of 36 runs and in 70% of ladders of 20, one of 1% in 43% and 7%.
    """
    free = len(rows) - len(solution.theta) - 1
    residual, slopes = _residual(rows, solution), _slopes(rows, solution)
    if residual is None or slopes is None or free < 3:
        return None
    if np.ptp(along) < 1e-9:
        return None
    # Of many rows at the very end the ramp begins at the next value below.
    inner = along[along < along.max() - 1e-9].max()
    ramp = np.maximum(along - min(inner, np.sort(along)[-max(len(rows) // END, LEAST_END) - 1]), 0.0)
    root = np.sqrt(rows.weights / rows.weights.mean())
    basis, sizes, _ = np.linalg.svd(slopes * root[:, None], full_matrices=False)
    basis = basis[:, sizes > 1e-8 * sizes[0]]
    own, rest = (root * column - basis @ (basis.T @ (root * column)) for column in (ramp, residual))
    length = float(own @ own)
    if length <= 1e-6 * float(ramp @ ramp):
        return None
    steep = float(own @ rest) / length
    error = rest - steep * own
    upper = 2 * ramp >= ramp.max()
    one_side = float(np.mean(np.sign(error / root + steep * ramp)[upper] == np.sign(steep)))
    sure = abs(steep) * np.sqrt(length) > student(1 - BEYOND_CHANCE, free) * np.sqrt(error @ error / free)
    bend = steep * float(ramp.max())
    return _Bend(bend) if sure and one_side >= 0.8 and abs(bend) >= LEAST_BEND else None


def _residual(rows: Rows, solution: Solution) -> Floats | None:
    """Log measured less log law (rows,); None where one of them has no log."""
    with np.errstate(all="ignore"):
        found = np.log(rows.loss) - solution.log_loss(rows.inputs)[0]
    return found if np.isfinite(found).all() else None


def _slopes(rows: Rows, solution: Solution) -> Floats | None:
    """Derivatives (rows, P) of the log loss by the law's vector; None where there are none."""
    steps = 1e-5 * np.diag(1 + np.abs(solution.theta))
    with np.errstate(all="ignore"):
        ends = [solution.log_loss(rows.inputs, solution.theta + sign * steps) for sign in (1, -1)]
        found = np.asarray(((ends[0] - ends[1]) / (2 * np.diag(steps))[:, None]).T)
    return found if np.isfinite(found).all() else None


def _independent(rows: Rows, solution: Solution) -> Rows | None:
    """The rows that may be compared as chance would have them: the dearest of each trajectory; None where it can't be
    told which they are, or what they cost."""
    if not rows.knows_cost:
        return None
    if _are_trajectories(rows):
        return rows.select(np.sort([index[np.argmax(rows.cost[index])] for index in _parts(rows.groups)]))
    return None if _alike_along_tokens(rows, solution) else rows


def _of_optimum(rows: Rows, solution: Solution) -> str:
    """Warn where all runs lie to one side of the ratio of tokens to params that the law finds best at their budgets."""
    columns = _params_tokens(rows)
    if columns is None or one_ratio(rows) or solution.status is Status.NOT_IDENTIFIED:
        return ""
    if not is_loss(solution.law.target):
        return ""
    step, away = 1e-4, np.zeros(len(rows.names))
    away[[next(k for k, name in enumerate(rows.names) if name.startswith("params")), rows.names.index("tokens")]] = (
        1,
        -1,
    )
    move = np.exp(step * away)[:, None]
    with np.errstate(all="ignore"):
        slope = (solution.log_loss(rows.inputs * move) - solution.log_loss(rows.inputs / move))[0] / (2 * step)
    if not np.isfinite(slope).all() or ((slope > 1e-9).any() and (slope < -1e-9).any()):
        return ""
    if not (np.abs(slope) > 1e-9).all():
        return ""
    params, tokens = columns
    ratios = f"{(tokens / params).min():.3g} to {(tokens / params).max():.3g}"
    side, other = ("below", "more") if slope[0] > 0 else ("above", "fewer")
    return (
        f"the optimum is not bracketed: all runs ({ratios} tokens per param) lie {side} the law's best ratio at their "
        f"budgets: add runs with {other} tokens per param before planning"
    )


def _params_tokens(rows: Rows) -> tuple[Floats, Floats] | None:
    """Params and tokens (rows,), where the law reads both and they are counts."""
    params = next((k for k, name in enumerate(rows.names) if name.startswith("params")), None)
    if params is None or "tokens" not in rows.names:
        return None
    tokens = rows.names.index("tokens")
    return (rows.inputs[params], rows.inputs[tokens]) if (rows.inputs[[params, tokens]] > 0).all() else None


def _parts(labels: NDArray[np.int_]) -> list[NDArray[np.int_]]:
    """Indices of the rows of each label (rows,)."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
