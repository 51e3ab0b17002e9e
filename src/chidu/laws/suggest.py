"""Which runs to make next: those that most sharpen the forecast at the targets, within a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chidu.errors import FitError, TableError
from chidu.laws.calibration import disagreement
from chidu.laws.catalogue import LAWS, find_law
from chidu.laws.fit import Fit, candidates, fit
from chidu.laws.law import Law
from chidu.laws.objective import Floats
from chidu.laws.rows import Rows, read_rows
from chidu.laws.settings import above_zero, check_settings
from chidu.laws.sharpen import Choice, Question, View, choose_runs, spread_out, view
from chidu.laws.trials import deviation
from chidu.runs.ladder import Ladder, Table
from chidu.units import count_of, format_count

__all__ = ["Suggestion", "suggest"]

REFITS = 8
"""Refits whose slopes are averaged with the best fit's, so that the design does not rest on one vector."""
SPARE = 2
"""Runs beyond the number of parameters from which a law is fitted at all."""
START_SHARE = 0.1
"""Where no law can be fitted yet, no run costs more than this part of the budget, if cheaper ones can be had."""
DEAREST = 2.0
"""Without a target, the candidates within this factor of the dearest are it."""


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Runs to make next, in order. Prints itself."""

    table: Table
    """A row for each run: `row` (of the candidates, as their table numbers them), the law's inputs, `cost`,
    `cumulative` cost, and `width`: the expected relative width of the interval at the targets once it is made."""
    budget: float
    spent: float
    """What all of them cost."""
    cost_name: str
    """What `cost` and `budget` are in: `cost`, `flops`, or `6·params·tokens`."""
    law: str
    """The law the runs were chosen for."""
    stage: str
    """`start` where there were too few runs to fit the law, else `sharpen`."""
    level: float
    targets: Table
    """The law's inputs at the points whose forecast is to be sharpened."""
    width_before: float
    """Relative width of the interval at the targets now (mean over them), as `forecast` gives it; NaN at the start."""
    width_after: float
    """The same, expected when all are made."""
    width_source: str
    """Where the widths come from."""
    already_run: int
    """Candidates left out because the table of runs has them."""
    seed: int
    fit: Fit | None = field(default=None, repr=False)
    """The fit they were chosen by; None at the start."""

    def __str__(self) -> str:
        return _text(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        widths = {"width_before": self.width_before, "width_after": self.width_after}
        return {
            "law": self.law,
            "stage": self.stage,
            "budget": self.budget,
            "spent": self.spent,
            "cost_name": self.cost_name,
            "level": self.level,
            **{name: value if math.isfinite(value) else None for name, value in widths.items()},
            "width_source": self.width_source,
            "already_run": self.already_run,
            "seed": self.seed,
            "targets": self.targets.rows(),
            "rows": self.table.rows(),
        }


@dataclass(frozen=True)
class _Offer:
    """Candidates in an order of their own (price, inputs), so that the table's order changes nothing."""

    numbers: NDArray[np.int_]
    inputs: Floats
    price: Floats
    price_name: str
    ladder: Ladder
    already_run: int


def suggest(
    runs: Ladder | Mapping[str, ArrayLike] | Any | None,
    candidates: Ladder | Mapping[str, ArrayLike] | Any,
    budget: float,
    target: Ladder | Mapping[str, ArrayLike] | float | Any | None = None,
    law: str = "auto",
    resamples: int = 200,
    *,
    level: float = 0.9,
    seed: int = 0,
    repeats: bool = False,
) -> Suggestion:
    """Choose among candidates the runs that most sharpen the forecast at the target, within a budget.

    Parameters
    ----------
    runs: what has been run, as `fit` takes it; None for nothing yet.
    candidates: what could be: a table with the law's inputs, and ``cost`` in any unit; without, ``flops``; without
        either, 6 · params · tokens counts.
    budget: in the same unit; the sum of the costs never exceeds it.
    target: points whose forecast matters (the law's inputs), or a number of flops, which means the best run of that
        budget; the candidates within a factor of two of the dearest where not given.
    law: as in `fit`.
    resamples: refits behind the widths, at least 1.
    level: of the intervals whose widths are expected.
    repeats: whether candidates at the point of a finished run stay in (another seed); else they are left out.

    The design is greedy and V-optimal over the best fit, some refits, and the rival law (see `chidu.laws.sharpen`).
    With too few runs to fit the law, the runs are chosen to lie far apart and cost little, and the suggestion says so:
    make them, and ask again. Raises TableError for a column or value that can't be used, FitError for a setting out of
    range or a budget that no candidate fits in.
    """
    check_settings(resamples, level, seed)
    if resamples < 1:
        raise FitError("resamples is 0; a suggestion needs refits: 50 or more")
    above_zero("budget", budget)
    offered = Ladder.of(candidates)
    if not len(offered):
        raise FitError(f"{offered.source}: no candidates")
    ladder = None if runs is None else Ladder.of(runs)
    if ladder is None or not len(ladder) or _too_few(ladder, law):
        return _start(ladder, offered, budget, target, law, level=level, seed=seed, repeats=repeats)
    found = fit(ladder, law, resamples, level=level, seed=seed, weighting="even")
    rows = read_rows(ladder, found.solution.law, found.inputs, None)
    offer = _offer(offered, found.inputs, rows.inputs[:, :0] if repeats else rows.inputs, budget)
    aims = _targets(offer, found.inputs, target, found)
    return _sharpen(found, rows, offer, aims, budget, level)


def _too_few(runs: Ladder, law: str) -> bool:
    """True where the law can't be fitted yet: too few different points, or an input that never varies."""
    shape, names = _shape(law, runs)
    inputs = read_rows(runs, shape, names, None).inputs
    if len(np.unique(np.round(inputs, 12), axis=1).T) < len(shape.parameters) + SPARE:
        return True
    return any(len(np.unique(x)) < 2 for x in inputs)


def _shape(law: str, table: Ladder) -> tuple[Law, tuple[str, ...]]:
    """Return the law, and the columns it reads of this table."""
    if law == "auto":
        counts = "tokens" in table and ("params" in table or "params_matmul" in table)
        law = "additive" if counts or "flops" not in table else "power"
        # A handful of runs may lie on one line by chance; a whole table that does was meant so.
        if law == "additive" and "loss" in table and len(table) >= len(LAWS["additive"].parameters) + SPARE:
            law = candidates(table, None, None)[0][0].name
    shape = find_law(law, table.columns)
    swap = {"params": "params_matmul"} if "params_matmul" in table and shape.name != shape.formula else {}
    return shape, tuple(swap.get(name, name) for name in shape.inputs)


def _inputs(table: Ladder, names: tuple[str, ...]) -> Floats:
    """Read the law's inputs (inputs, rows); flops are counted where only params and tokens are there."""
    if names == ("flops",) and "flops" not in table:
        return _counted(table)[None]
    return np.vstack([table.numbers(name) for name in names])


def _counted(table: Ladder) -> Floats:
    return np.asarray(6.0 * table.numbers(_params(table)) * table.numbers("tokens"))


def _params(table: Ladder) -> str:
    return "params_matmul" if "params_matmul" in table else "params"


def _offer(table: Ladder, names: tuple[str, ...], seen: Floats, budget: float) -> _Offer:
    inputs = _inputs(table, names)
    if "cost" in table:
        name, price = "cost", table.numbers("cost")
    elif "flops" in table:
        name, price = "flops", table.numbers("flops")
    elif "tokens" in table and _params(table) in table:
        name, price = f"6·{_params(table)}·tokens", _counted(table)
    else:
        raise TableError(f"{table.source}: candidates without cost: add a column cost, or flops, or params and tokens")
    known = {tuple(point) for point in np.round(np.log(np.maximum(seen, 1e-300)).T, 9).tolist()}
    new = np.array([tuple(p) not in known for p in np.round(np.log(np.maximum(inputs, 1e-300)).T, 9).tolist()])
    if not new.any():
        raise FitError(f"{table.source}: all {len(table)} candidates have been run already: bring others")
    if not (new & (price <= budget * (1 + 1e-12))).any():
        least = format_count(float(price[new].min()))
        raise FitError(f"a budget of {format_count(budget)} buys no candidate: the cheapest costs {least} ({name})")
    order = np.lexsort([table.row_numbers, *inputs[::-1], price])
    order = order[new[order]]
    left_out = len(table) - len(order)
    return _Offer(table.row_numbers[order], inputs[:, order], price[order], name, table.select(order), left_out)


def _targets(offer: _Offer, names: tuple[str, ...], target: Any, found: Fit | None) -> Table:
    """Return the target points as columns of the law."""
    if target is None:
        dear = offer.price >= offer.price.max() / DEAREST
        return Table(dict(zip(names, offer.inputs[:, dear], strict=True)))
    if isinstance(target, (int, float)):
        return _best_of(float(target), names, found)
    points = Ladder.of(target)
    return Table(dict(zip(names, _inputs(points, names), strict=True)))


def _best_of(flops: float, names: tuple[str, ...], found: Fit | None) -> Table:
    if not (math.isfinite(flops) and flops > 0):
        raise FitError(f"target is {flops}; as a number of flops it must be finite and above 0")
    if names == ("flops",):
        return Table({"flops": np.array([flops])})
    if found is None:
        return Table({name: np.empty(0) for name in names})
    plan = found.plan(flops=flops)
    return Table({plan.params_column: np.array([plan.params]), "tokens": np.array([plan.tokens])})


def _views(found: Fit, places: tuple[Floats, Floats, Floats]) -> list[View]:
    """The best fit and some refits, half of the weight each; and rivals by their share."""
    solution = found.solution
    refits = found.refits[:REFITS]
    views = [view(solution, solution.theta, places, weight=0.5, rival=0)]
    views += [view(solution, theta, places, weight=0.5 / len(refits), rival=0) for theta in refits]
    for number, other in enumerate(found.rivals, start=1):
        views.append(view(other.solution, other.solution.theta, places, weight=other.share, rival=number))
    return [each for each in views if each.weight > 1e-3]


def _sharpen(found: Fit, rows: Rows, offer: _Offer, aims: Table, budget: float, level: float) -> Suggestion:
    inputs = np.vstack([aims[name] for name in found.inputs])
    question = Question(
        price=offer.price,
        budget=budget,
        noise=found.calibration.noise,
        drift=found.calibration.drift,
        seen_cost=rows.cost,
        seen_weight=rows.weights / rows.weights.mean(),
        offered_cost=_law_cost(found, offer.ladder, offer.inputs),
        aimed_cost=_law_cost(found, Ladder(aims), inputs),
    )
    choice = choose_runs(question, _views(found, (rows.inputs, offer.inputs, inputs)))
    widths = _widths(found, inputs, question, choice, level)
    taken = np.array(choice.chosen, dtype=int)
    return Suggestion(
        table=_table(offer, found.inputs, taken, widths[1:]),
        budget=budget,
        spent=float(offer.price[taken].sum()),
        cost_name=offer.price_name,
        law=found.law,
        stage="sharpen",
        level=level,
        targets=aims,
        width_before=float(widths[0]),
        width_after=float(widths[-1]),
        width_source="the fit's calibrated interval, its refits' spread shrunk as the design's variance is",
        already_run=offer.already_run,
        seed=found.seed,
        fit=found,
    )


def _law_cost(found: Fit, table: Ladder, inputs: Floats) -> Floats:
    """What points cost in the unit of the fitted runs' cost; where that is unknown, as much as the dearest run."""
    cost = found.seen.costs(table, inputs)
    return np.asarray(np.where(np.isfinite(cost), cost, found.seen.cost))


def _widths(found: Fit, inputs: Floats, question: Question, choice: Choice, level: float) -> Floats:
    """Mean relative width of the interval at the targets, before the first run and after each (chosen + 1,)."""
    now = deviation(found.solution.log_loss(inputs, found.refits)) * found.seen.lost_freedom
    best = found.solution.log_loss(inputs)[0]
    apart = disagreement(best, [(rival.share, rival.solution.log_loss(inputs)[0]) for rival in found.rivals])
    shrunk = np.sqrt(choice.spread / np.maximum(choice.spread[0], 1e-300))
    gap = np.log(question.aimed_cost / choice.dearest[:, None])
    spread = found.calibration.deviation(now * shrunk, gap, apart * choice.apart[:, None])
    return np.asarray(2 * np.sinh(found.calibration.reach(level) * spread).mean(axis=1))


def _table(offer: _Offer, names: tuple[str, ...], taken: NDArray[np.int_], widths: Floats) -> Table:
    return Table(
        {
            "row": offer.numbers[taken],
            **dict(zip(names, offer.inputs[:, taken], strict=True)),
            "cost": offer.price[taken],
            "cumulative": np.cumsum(offer.price[taken]),
            "width": widths,
        }
    )


def _start(
    runs: Ladder | None,
    candidates: Ladder,
    budget: float,
    target: Any,
    law: str,
    *,
    level: float,
    seed: int,
    repeats: bool,
) -> Suggestion:
    """Choose runs far apart among the cheap ones, as many as the law's first fit lacks."""
    shape, names = _shape(law, candidates if runs is None or not len(runs) else runs)
    seen = np.empty((len(names), 0)) if runs is None or not len(runs) else _inputs(runs, names)
    offer = _offer(candidates, names, seen[:, :0] if repeats else seen, budget)
    wanted = len(shape.parameters) + SPARE
    # More than are lacking where all have been run on one line: each start brings at least the number of inputs.
    lacking = max(wanted - len(np.unique(seen, axis=1).T), len(names))
    taken = np.array(_cheap_and_apart(offer, seen, lacking, budget), dtype=int)
    return Suggestion(
        table=_table(offer, names, taken, np.full(len(taken), np.nan)),
        budget=budget,
        spent=float(offer.price[taken].sum()),
        cost_name=offer.price_name,
        law=shape.name,
        stage="start",
        level=level,
        targets=_targets(offer, names, target, None),
        width_before=float("nan"),
        width_after=float("nan"),
        width_source="none: too few runs to fit the law",
        already_run=offer.already_run,
        seed=seed,
    )


def _cheap_and_apart(offer: _Offer, seen: Floats, count: int, budget: float) -> list[int]:
    """Choose among candidates of a share of the budget; where they are too few, among more and more of them."""
    whole = np.hstack([offer.inputs, seen])
    before = np.arange(offer.inputs.shape[1], whole.shape[1])
    chosen: list[int] = []
    for part in (START_SHARE, 1 / count, 1.0):
        affordable = np.flatnonzero(offer.price <= min(part, 1 / count) * budget * (1 + 1e-12))
        chosen = spread_out(whole, before, affordable, count)
        if len(chosen) >= count:
            return sorted(chosen)
    # The cheapest, as many as the budget buys.
    return [int(j) for j in np.flatnonzero(np.cumsum(offer.price) <= budget * (1 + 1e-12))[:count]]


def _text(found: Suggestion) -> str:
    from chidu.laws.show import table_text

    names = [name for name in found.table if name not in ("row", "cost", "cumulative", "width")]
    rows = [
        [
            str(row["row"]),
            *(format_count(row[name]) for name in (*names, "cost", "cumulative")),
            "–" if row["width"] is None else f"{100 * row['width']:.2f}%",
        ]
        for row in found.table.rows()
    ]
    header = ["row", *names, "cost", "in all", "width after"]
    share = f"{100 * found.spent / found.budget:.0f}% of {format_count(found.budget)} ({found.cost_name})"
    first = f"{count_of(len(rows), 'run')} to make next, for {share}; {found.law} law"
    if found.stage == "start":
        last = "There are too few runs to fit this law, so these are cheap and far apart: make them, then ask again."
    else:
        targets = count_of(len(next(iter(found.targets.values()))), "target")
        last = (
            f"Width of the {found.level:.0%} interval at {targets}: "
            f"{100 * found.width_before:.2f}% now, {100 * found.width_after:.2f}% expected ({found.width_source})."
        )
    return "\n".join([first, "", table_text(header, rows) if rows else "none helps", "", last])
