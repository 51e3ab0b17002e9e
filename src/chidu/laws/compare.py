"""Two recipes, each with a table of runs: which is better at scale, how surely, and where they cross."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chidu.errors import FitError, nearest
from chidu.laws.calibration import student
from chidu.laws.catalogue import find_law, is_loss
from chidu.laws.choose import choose, share
from chidu.laws.fit import Fit, candidates, fit
from chidu.laws.frontier import Crossing, Frontier, Multiplier, crossing, frontier, has_frontier, multiplier, optimum
from chidu.laws.objective import Floats, find_objective
from chidu.laws.pairs import LEAST_PAIRS, Pairs, draw_pairs, match, shared_noise
from chidu.laws.rows import Rows, read_rows
from chidu.laws.settings import check_settings
from chidu.laws.solve import refit
from chidu.laws.trials import deviation
from chidu.runs.ladder import Ladder, Table
from chidu.units import format_count

__all__ = ["Comparison", "Side", "compare"]

LEAST_RESAMPLES = 20
FRONTIER_REFITS = 200
"""Refits behind the intervals of the crossing and the multiplier: quantiles of places need no more."""
A_DECADE = 6
"""Budgets a decade at which the frontiers are worked out; between them they are nearly straight lines."""
FARTHEST = 1000.0
"""Crossings are looked for up to this many times the flops that both tables reach: beyond, nothing was tested."""
SCALE = 10.0
"""Without a point the question is asked at this many times the dearest run of both tables."""
_ORDER = ("yes", "with care", "no")


@dataclass(frozen=True)
class Side:
    """One recipe at the point and at the budget. Losses in the table's unit, with intervals of a measured run."""

    name: str
    rows: int
    point: Mapping[str, float]
    """The run that is compared: the law's inputs, and flops where they are known."""
    loss: float
    low: float
    high: float
    missed: float
    """Mean relative error of dear runs forecast from cheap ones by the law used; NaN where none could be left out."""
    optimum: Mapping[str, float] | None
    """The best run that the budget buys; None where flops can't be told from what the law reads."""
    optimum_loss: float
    optimum_low: float
    optimum_high: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Is the second recipe better than the first, and how surely? Prints itself."""

    first: Side
    second: Side
    better: str | None
    """Name of the recipe whose lower loss the interval makes sure of; None where it is undecided."""
    probability: float
    """That a run of the second recipe ends with a lower loss than one of the first."""
    difference: float
    """Natural log of the second's loss over the first's: below 0 where the second is better."""
    low: float
    high: float
    level: float
    freedom: float
    """Degrees of freedom of the Student's t behind interval and probability."""
    budget: float
    """Flops of the point (NaN where they are not known), at which frontiers and multiplier are given."""
    crossing: Crossing | None
    better_above: str | None
    """Which recipe is better beyond the crossing; of no crossing, everywhere that was searched."""
    multiplier: Multiplier | None
    """How many times the budget's flops the first needs for the second's loss."""
    curve: Table
    """The frontiers: flops, and the loss of each; empty where there are none."""
    law: str
    formula: str
    law_scores: Mapping[str, float]
    """Of each law tried: mean over both tables of the error on dear runs forecast from cheap ones."""
    pairs: int
    """Rows of one table that match one of the other (inputs and seed) and were resampled together."""
    correlation: float
    """Of matched rows' residuals, less a standard error; 0 without pairs."""
    resamples: int
    seed: int
    trust: str
    """`yes`, `with care` or `no`, the worse of both forecasts."""
    why: str
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        from chidu.laws.compare_show import comparison_text

        return comparison_text(self)

    @property
    def verdict(self) -> str:
        """One line: which is better where, how surely, and whether to trust that."""
        from chidu.laws.compare_show import verdict_text

        return verdict_text(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; NaN becomes None."""
        whole = {name: value for name, value in vars(self).items() if name != "curve"}
        whole |= {
            "verdict": self.verdict,
            **{name: asdict(getattr(self, name)) for name in ("first", "second")},
            "crossing": None if self.crossing is None else asdict(self.crossing),
            "multiplier": None if self.multiplier is None else asdict(self.multiplier),
            "frontier": self.curve.rows(),
        }
        return dict(_plain(whole))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class _Two:
    """Both recipes under one law."""

    rows: tuple[Rows, Rows]
    fits: tuple[Fit, Fit]
    refits: tuple[Floats, Floats]
    """(R, P) each; those of one place belong together where rows match."""
    pairs: Pairs
    correlation: float


def compare(
    runs_a: Ladder | Mapping[str, ArrayLike] | Any,
    runs_b: Ladder | Mapping[str, ArrayLike] | Any,
    point: Mapping[str, float] | None = None,
    law: str = "auto",
    resamples: int = 1000,
    *,
    level: float = 0.9,
    seed: int = 0,
    names: tuple[str, str] = ("A", "B"),
) -> Comparison:
    """Compare two recipes at a point beyond their runs.

    Parameters
    ----------
    runs_a, runs_b: tables as `fit` takes them, with the same columns.
    point: what the law reads, like ``{"params": 1e9, "tokens": 2e10}``: the same run of both; or ``{"flops": 1e21}``
        alone: the best run of each that those flops buy. Without, the latter at ten times the dearest run's flops.
    law: as `fit` takes it, the same for both; ``auto`` chooses by the errors on both tables together.
    resamples: refits behind the intervals, at least 20.
    level: probability that the intervals mean to hold, and from which on the question is called decided.
    names: of the recipes.

    Where rows of the tables match in inputs and ``seed``, they are resampled together, so that what their runs share
    (order of the text, initial weights) cancels. Raises as `fit` does, and FitError where both tables are one, or
    differ in the columns that the law reads, or the point lacks one.
    """
    check_settings(resamples, level, seed)
    if resamples < LEAST_RESAMPLES:
        raise FitError(f"resamples is {resamples}; a comparison needs at least {LEAST_RESAMPLES}")
    if names[0] == names[1]:
        raise FitError(f"both recipes are called {names[0]!r}: give each a name of its own")
    for column, value in (point or {}).items():
        if not (np.isfinite(value) and value > 0):
            raise FitError(f"{column} of the point is {value:g}; it must be a finite number above 0")
    runs = (_weighted(Ladder.of(runs_a)), _weighted(Ladder.of(runs_b)))
    tried, cautions = _fit_both(runs, law, resamples, level, seed, names)
    scores = {name: _mean([each.score for each in fits]) for name, fits in tried.items()}
    name = choose(scores, {name: _mean([each.calibration.noise for each in fits]) for name, fits in tried.items()})
    two = _resampled(runs, tried[name], resamples, seed)
    points, budget = _points(two.fits, point)
    rivals = [(share(scores[other], scores[name]), fits) for other, fits in tried.items() if other != name]
    gap, spread, freedom = _difference(two, points, rivals)
    half = student(0.5 + level / 2, freedom) * spread
    sides = [
        _side(label, each, where, budget, level) for label, each, where in zip(names, two.fits, points, strict=True)
    ]
    sure = abs(gap) > half
    trust, why = _trust(two.fits, points, names)
    cautions += _cautions(two, names)
    if cautions and trust == "yes":
        trust, why = "with care", "; ".join(cautions)
    met, above, times, curve = _frontiers(two, budget, level, names)
    return Comparison(
        first=sides[0],
        second=sides[1],
        better=names[int(gap < 0)] if sure else None,
        probability=_below(-gap / spread, freedom),
        difference=gap,
        low=gap - half,
        high=gap + half,
        level=level,
        freedom=freedom,
        budget=budget,
        crossing=met,
        better_above=above,
        multiplier=times,
        curve=curve,
        law=two.fits[0].law,
        formula=two.fits[0].formula,
        law_scores=scores,
        pairs=len(two.pairs),
        correlation=two.correlation,
        resamples=resamples,
        seed=seed,
        trust=trust,
        why=why,
        warnings=(*cautions, *_of_fits(two.fits, names)),
    )


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _weighted(runs: Ladder) -> Ladder:
    """Leave out rows of weight 0, as a fit does."""
    return runs.select(runs.numbers("weight", positive=False) > 0) if "weight" in runs else runs


def _fit_both(
    runs: tuple[Ladder, Ladder], law: str, resamples: int, level: float, seed: int, names: tuple[str, str]
) -> tuple[dict[str, tuple[Fit, Fit]], list[str]]:
    """Fit every law that both tables allow to both; beside them, why flops alone are read where they are."""
    wanted, cautions = [law], []
    if law == "auto":
        found = [candidates(each, None, None) for each in runs]
        second = {each.name for each in found[1][0]}
        wanted = [each.name for each in found[0][0] if each.name in second] or ["power"]
        reasons = [(name, why) for name, (_, why) in zip(names, found, strict=True) if why]
        cautions = [f"{name}: {why.partition(';')[0]}" for name, why in reasons]
    shapes = [find_law(wanted[0], each.columns) for each in runs]
    if not is_loss(shapes[0].target):
        raise FitError(f"a comparison needs a law of the loss, and the {wanted[0]} law speaks of {shapes[0].target}")
    first_rows, second_rows = (read_rows(each, shape, None, None) for each, shape in zip(runs, shapes, strict=True))
    _refuse_twins((first_rows, second_rows), names)
    tried = {}
    for each in wanted:
        first, second_fit = (fit(one, each, resamples, level=level, seed=seed) for one in runs)
        if first.inputs != second_fit.inputs:
            raise FitError(
                f"{names[0]} has {' and '.join(first.inputs)}, {names[1]} {' and '.join(second_fit.inputs)}: "
                "a law must read the same columns of both: give both tables the same"
            )
        tried[each] = (first, second_fit)
    return tried, cautions


def _refuse_twins(rows: tuple[Rows, Rows], names: tuple[str, str]) -> None:
    """Raise FitError where both tables hold the same runs: rows come in an order of their own, whatever the table's."""
    a, b = rows
    same = a.names == b.names and all(
        np.array_equal(one, other)
        for one, other in ((a.inputs, b.inputs), (a.loss, b.loss), (a.weights, b.weights), (a.cost, b.cost))
    )
    if same:
        raise FitError(f"{names[0]} and {names[1]} hold the same runs: name the tables of two recipes")


def _resampled(runs: tuple[Ladder, Ladder], fits: tuple[Fit, Fit], count: int, seed: int) -> _Two:
    law, objective = fits[0].solution.law, find_objective(fits[0].objective_name)
    rows = (read_rows(runs[0], law, None, None), read_rows(runs[1], law, None, None))
    pairs = match(runs[0], rows[0], runs[1], rows[1])
    none = np.empty(0, dtype=int)
    if len(pairs) < LEAST_PAIRS or any(_draws_groups(each) for each in rows):
        return _Two(rows, fits, (fits[0].refits, fits[1].refits), Pairs(none, none), 0.0)
    weights = draw_pairs(*rows, pairs, count, seed)
    refits = tuple(refit(r, f.solution, w, objective) for r, f, w in zip(rows, fits, weights, strict=True))
    common = shared_noise(rows[0], fits[0].solution, rows[1], fits[1].solution, pairs)
    return _Two(rows, fits, (refits[0], refits[1]), pairs, common)


def _draws_groups(rows: Rows) -> bool:
    """True where refits draw whole trajectories: their rows can't be drawn in pairs."""
    return 5 <= len(np.unique(rows.groups)) < len(rows)


def _points(fits: tuple[Fit, Fit], point: Mapping[str, float] | None) -> tuple[tuple[Ladder, Ladder], float]:
    """Return the point of each recipe, and its flops (NaN where they are not known)."""
    first, inputs = fits[0], fits[0].inputs
    frontiers = all(map(has_frontier, fits))
    if point is None:
        if not frontiers:
            raise FitError(f"name a point: the {first.law} law reads {', '.join(inputs)}")
        point = {"flops": SCALE * max(each.seen.cost for each in fits)}
    known = {*inputs, "flops", "params", "tokens"}
    for name in point:
        if name not in known:
            raise FitError(f"the point has {name!r}, which no law here reads{nearest(name, known)}")
    given = dict(point)
    if "params_matmul" in inputs and "params" in given and "params_matmul" not in given:
        given["params_matmul"] = given.pop("params")
    if inputs == ("flops",) and "flops" not in given and {"params", "tokens"} <= set(given):
        given = {"flops": 6.0 * given["params"] * given["tokens"]}
    if set(given) == {"flops"} and inputs != ("flops",) and frontiers:
        flops = given["flops"]
        found = [optimum(each, flops) for each in fits]
    else:
        missing = [name for name in inputs if name not in given]
        if missing:
            hint = ", or flops alone for the best run of a budget" if frontiers else ""
            raise FitError(f"the point lacks {' and '.join(missing)}, which the {first.law} law reads{hint}")
        found, flops = [given, given], float("nan")
    both = (_as_ladder(found[0]), _as_ladder(found[1]))
    if not np.isfinite(flops) and frontiers:
        costs = [each.seen.costs(where, _inputs(each, where))[0] for each, where in zip(fits, both, strict=True)]
        flops = float(np.sqrt(costs[0] * costs[1]))
    return both, flops


def _as_ladder(point: Mapping[str, float]) -> Ladder:
    return Ladder({name: [value] for name, value in point.items()}, "the point")


def _inputs(each: Fit, where: Ladder) -> Floats:
    return np.vstack([where.numbers(name) for name in each.inputs])


def _difference(
    two: _Two, points: tuple[Ladder, Ladder], rivals: list[tuple[float, tuple[Fit, Fit]]]
) -> tuple[float, float, float]:
    """Return the log of the second's loss over the first's, its standard deviation, and its degrees of freedom.

    Each forecast has the deviation that `Fit.forecast` gives it: factor × √(refits² + noise² + drift²). They are
    independent but for what matched rows share: the covariance of their refits, and of noise and drift the part
    `correlation`. Where other laws see another difference, that counts by their share, as in a forecast.
    """
    value, raw, spreads, noises, drifts, factors, freedoms = [], [], [], [], [], [], []
    for each, where, refits in zip(two.fits, points, two.refits, strict=True):
        inputs = _inputs(each, where)
        value.append(float(each.solution.log_loss(inputs)[0, 0]))
        raw.append(each.solution.log_loss(inputs, refits)[:, 0] * each.seen.lost_freedom)
        spreads.append(float(deviation(raw[-1][:, None])[0]))
        noises.append(each.calibration.noise)
        reach = max(float(np.log(each.seen.costs(where, inputs)[0] / each.seen.cost)), 0.0)
        drifts.append(each.calibration.drift * (reach if np.isfinite(reach) else 0.0))
        factors.append(each.calibration.factor)
        freedoms.append(each.calibration.freedom)
    parts = [
        factor**2 * (spread**2 + noise**2 + drift**2)
        for factor, spread, noise, drift in zip(factors, spreads, noises, drifts, strict=True)
    ]
    common = 0.0
    if len(two.pairs):
        apart = float(deviation((raw[1] - raw[0])[:, None])[0])
        most = spreads[0] * spreads[1]
        refitted = float(np.clip((spreads[0] ** 2 + spreads[1] ** 2 - apart**2) / 2, -most, most))
        common = (
            factors[0] * factors[1] * (refitted + two.correlation * (noises[0] * noises[1] + drifts[0] * drifts[1]))
        )
    gap = value[1] - value[0]
    other = sum(0.25 * part * (_gap(fits, points) - gap) ** 2 for part, fits in rivals)
    variance = max(parts[0] + parts[1] - 2 * common, 1e-24) + other
    # Welch and Satterthwaite: the freedom of a sum of variances that are known to their own freedoms. What matched
    # rows teach is in part the same of both.
    freedom = sum(parts) ** 2 / sum(part**2 / each for part, each in zip(parts, freedoms, strict=True))
    freedom = min(freedom, *freedoms) if len(two.pairs) else freedom
    return gap, float(np.sqrt(variance)), float(freedom)


def _gap(fits: tuple[Fit, Fit], points: tuple[Ladder, Ladder]) -> float:
    first, second = (
        float(each.solution.log_loss(_inputs(each, where))[0, 0]) for each, where in zip(fits, points, strict=True)
    )
    return second - first


def _below(t: float, freedom: float) -> float:
    """Student's distribution function, by quadrature over θ, t = √freedom · tan θ: the density is cos^(freedom-1)."""
    angle = math.atan(t / math.sqrt(freedom))
    nodes, weights = np.polynomial.legendre.leggauss(64)
    area = angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (freedom - 1))
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return min(max(0.5 + scale * area, 0.0), 1.0)


def _side(name: str, each: Fit, where: Ladder, budget: float, level: float) -> Side:
    row = each.forecast(where, level)
    best = optimum(each, budget) if np.isfinite(budget) else None
    at = None if best is None else each.forecast(_as_ladder(best), level)
    return Side(
        name=name,
        rows=each.rows,
        point={column: float(where.numbers(column)[0]) for column in where.columns},
        **{column: float(row[column][0]) for column in ("loss", "low", "high")},
        missed=float(each.score),
        optimum=best,
        **{
            f"optimum_{column}": float("nan") if at is None else float(at[column][0])
            for column in ("loss", "low", "high")
        },
    )


def _frontiers(
    two: _Two, budget: float, level: float, names: tuple[str, str]
) -> tuple[Crossing | None, str | None, Multiplier | None, Table]:
    if not np.isfinite(budget):
        return None, None, None, Table()
    # From where both have runs, to where nothing of either was ever tested.
    low = max(float(each.cost.min()) for each in two.rows)
    top = FARTHEST * min(each.seen.cost for each in two.fits)
    searched = (min(low, budget), max(top, budget))
    least, most = min(searched[0], budget / FARTHEST), max(searched[1], budget * FARTHEST)
    even = np.geomspace(least, most, int(A_DECADE * math.log10(most / least)) + 2)
    flops = np.unique([*even, *searched, budget])
    vectors = [each[:FRONTIER_REFITS] for each in two.refits]
    if not len(two.pairs):
        # Both fits drew from one seed: backwards, the second's draws have nothing to do with the first's.
        vectors[1] = vectors[1][::-1]
    first, second = (frontier(each, refits, flops) for each, refits in zip(two.fits, vectors, strict=True))
    met = crossing(first, second, searched, level)
    at_top = float(np.interp(math.log(searched[1]), np.log(flops), second.best - first.best))
    return met, names[int(at_top < 0)], multiplier(first, second, budget, level), _curve(first, second, searched)


def _curve(first: Frontier, second: Frontier, searched: tuple[float, float]) -> Table:
    shown = (first.flops >= searched[0]) & (first.flops <= searched[1])
    return Table(
        {"flops": first.flops[shown], "first": np.exp(first.best[shown]), "second": np.exp(second.best[shown])}
    )


def _trust(fits: tuple[Fit, Fit], points: tuple[Ladder, Ladder], names: tuple[str, str]) -> tuple[str, str]:
    """The worse of both forecasts' verdicts, with its reasons; said once where they are the same."""
    said = [each.trust(where) for each, where in zip(fits, points, strict=True)]
    worst = max((verdict for verdict, _ in said), key=_ORDER.index)
    reasons = [(name, why) for name, (verdict, why) in zip(names, said, strict=True) if verdict == worst]
    if len(reasons) == 2 and reasons[0][1] == reasons[1][1]:
        return worst, f"both: {reasons[0][1]}"
    return worst, "; ".join(f"{name}: {why}" for name, why in reasons)


def _cautions(two: _Two, names: tuple[str, str]) -> list[str]:
    found = []
    low, high = sorted(zip(names, two.rows, strict=True), key=lambda each: float(each[1].loss.min()))
    if low[1].loss.max() < high[1].loss.min():
        found.append(
            f"the losses of {low[0]} ({_range(low[1])}) all lie below those of {high[0]} ({_range(high[1])}): with "
            "different tokenizers or texts nats per token can't be compared; put bits per byte into both tables"
        )
    kinds = [each.seen.cost_name for each in two.fits]
    if kinds[0] != kinds[1]:
        found.append(
            f"flops of {names[0]} are {_kind(kinds[0])}, of {names[1]} {_kind(kinds[1])}: budgets are counted apart"
        )
    reach = [each.seen.cost for each in two.fits]
    if max(reach) > 10 * min(reach) and kinds[0] == kinds[1]:
        found.append(
            f"the runs of {names[0]} reach {format_count(reach[0])} {_unit(kinds[0])}, those of {names[1]} "
            f"{format_count(reach[1])}: the shorter ladder decides how sure this is"
        )
    return found


def _range(rows: Rows) -> str:
    return f"{rows.loss.min():.3g} to {rows.loss.max():.3g}"


def _kind(cost_name: str) -> str:
    return "the table's own" if cost_name == "flops" else cost_name


def _unit(cost_name: str) -> str:
    return "flops" if cost_name == "flops" else f"of {cost_name}"


def _of_fits(fits: tuple[Fit, Fit], names: tuple[str, str]) -> list[str]:
    """Warnings of both fits, a common one said once."""
    first, second = (each.warnings for each in fits)
    both = [f"both: {text}" for text in first if text in second]
    alone = [f"{names[0]}: {text}" for text in first if text not in second]
    return both + alone + [f"{names[1]}: {text}" for text in second if text not in first]
