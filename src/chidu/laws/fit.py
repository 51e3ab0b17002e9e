"""Fit a law to a table of runs: estimates, intervals, and all that later forecasts and plans need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from chidu.errors import FitError
from chidu.laws.calibration import Calibration, calibrate
from chidu.laws.catalogue import LAWS, find_law, is_loss
from chidu.laws.choose import choose, label, score, share
from chidu.laws.doubts import check_rows, doubts, one_ratio, one_ratio_text
from chidu.laws.law import Law
from chidu.laws.objective import Floats, Objective, find_objective
from chidu.laws.rows import Rows, read_rows
from chidu.laws.seen import Seen
from chidu.laws.settings import check_settings, check_weighting
from chidu.laws.solve import Solution, Status, solve
from chidu.laws.trials import RESAMPLINGS, Trial, cut_points, lost_freedom, noise_of, resample, run_trials
from chidu.runs.ladder import Ladder, Table
from chidu.units import count_of

if TYPE_CHECKING:
    from chidu.laws.plan import Plan

__all__ = ["Fit", "Rival", "candidates", "fit"]

MOST_RESAMPLED = 1_000
"""Rows that refits and trials look at: of a longer table every so-manieth. Intervals only get wider by it."""
TRIED = ("dear",)
"""Weightings that `auto` tries beside even rows: more to choose among is more luck (LOG.md)."""
_NO_INTERVAL = (float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class Rival:
    """Another law fitted to the same rows, and how much its disagreement counts (0 to 1)."""

    solution: Solution
    share: float


@dataclass(frozen=True, eq=False)
class Fit:
    """A law's estimates for some runs. Prints itself; `as_dict` and `from_dict` save it whole."""

    law: str
    """Name of the law."""
    formula: str
    """The law over the columns it was fitted on; type in the parameters."""
    inputs: tuple[str, ...]
    """The columns the law read."""
    parameters: Mapping[str, float]
    """In the units of the columns."""
    intervals: Mapping[str, tuple[float, float]]
    """Low and high of each parameter at `level`, over the refits; NaN with resamples=0."""
    level: float
    objective: float
    """Value of the objective that `objective_name` names."""
    status: Status
    warnings: tuple[str, ...]
    rows: int
    law_scores: Mapping[str, float]
    """Of each law tried: mean relative error on the dear runs forecast from the cheap ones; NaN if none could be. Laws
    fitted under a weighting that is not even have it in their names."""
    weighting: str
    """In WEIGHTINGS: how the rows were weighted beside their own weights."""
    resamples: int
    seed: int
    target: str
    """The column that the law speaks of."""
    objective_name: str
    """In OBJECTIVES."""
    solution: Solution = field(repr=False)
    refits: Floats = field(repr=False)
    """Vectors of the refits (resamples, P)."""
    rivals: tuple[Rival, ...] = field(repr=False)
    calibration: Calibration = field(repr=False)
    seen: Seen = field(repr=False)
    fallback: str = field(default="", repr=False)
    """Why `auto` read flops alone though the table has params and tokens; empty elsewhere."""

    @property
    def value_name(self) -> str:
        """What a forecast's column is called: `loss`, or the target of a law that speaks of something else."""
        return "loss" if is_loss(self.target) else self.target

    @property
    def score(self) -> float:
        """The chosen law's own of `law_scores`."""
        return self.law_scores[label(self.law, self.weighting)]

    def forecast(self, points: Ladder | Mapping[str, ArrayLike] | Any, level: float | None = None) -> Table:
        """Forecast the loss at points: columns `inputs` → those columns, loss, low, high, extrapolation.

        Of a law that does not speak of the loss, `value_name` stands in the place of loss.
        ``low`` and ``high`` hold a run's measured loss with probability ``level`` (the fit's own where not given).
        ``extrapolation`` is flops over the largest seen (6 · params · tokens where the fit's table had none), NaN for a
        law that does not read what flops follow from. Raises TableError for a missing column or a value that is not
        above 0, FitError for a level outside 0..1, no points, or params where the law reads params_matmul.
        """
        from chidu.laws.forecast import forecast

        return forecast(self, points, self.level if level is None else level)

    def trust(self, points: Ladder | Mapping[str, ArrayLike] | Any, level: float | None = None) -> tuple[str, str]:
        """Say whether to trust forecasts at these points: ('yes', 'with care' or 'no', the reason).

        ``level`` is that of the intervals (the fit's own where not given). Raises as `forecast` does.
        """
        from chidu.laws.forecast import trust

        return trust(self, points, level)

    def plan(
        self,
        flops: float | None = None,
        unique_tokens: float | None = None,
        level: float | None = None,
        *,
        money: float | None = None,
        hours: float | None = None,
        price: float | None = None,
        speed: float | None = None,
        peak: float | None = None,
        utilisation: float | None = None,
        devices: int | None = None,
        epochs: float = 1.0,
        max_params: float | None = None,
        memory: float | None = None,
        tokens_per_second: float | None = None,
        bandwidth: float | None = None,
        bytes_per_param: float | None = None,
        inference_tokens: float | None = None,
        lifetime: bool = False,
    ) -> Plan:
        """Return the params and tokens that make the most of a budget of flops, money or hours, within limits.

        See `chidu.laws.plan.plan`; the settings are those of `chidu.laws.spending.Spending` (flops to devices) and of
        `chidu.laws.limits.Limits`. Raises FitError where the law does not read params and tokens, a number is not above
        0, or settings are missing or contradict each other.
        """
        from chidu.laws.limits import Limits
        from chidu.laws.plan import plan
        from chidu.laws.spending import Spending

        spending = Spending(
            flops=flops,
            money=money,
            hours=hours,
            price=price,
            speed=speed,
            peak=peak,
            utilisation=utilisation,
            devices=devices,
        )
        limits = Limits(
            unique_tokens=unique_tokens,
            epochs=epochs,
            max_params=max_params,
            memory=memory,
            tokens_per_second=tokens_per_second,
            bandwidth=bandwidth,
            bytes_per_param=bytes_per_param,
            inference_tokens=inference_tokens,
            lifetime=lifetime,
        )
        return plan(self, spending, limits, self.level if level is None else level)

    def __str__(self) -> str:
        from chidu.laws.show import fit_text

        return fit_text(self)

    def __reduce__(self) -> tuple[Callable[[Mapping[str, Any]], Fit], tuple[dict[str, Any]]]:
        # Read-only mappings can't be pickled or copied; the saved form can.
        return Fit.from_dict, (self.as_dict(),)

    def summary(self) -> dict[str, Any]:
        """Return what a reader wants as JSON, without what only later forecasts need."""
        wanted = (
            *("law", "formula", "inputs", "parameters", "intervals", "level", "objective", "status", "rows"),
            *("law_scores", "weighting", "warnings", "resamples", "seed"),
        )
        whole = self.as_dict()
        return {name: whole[name] for name in wanted}

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form that `from_dict` reads."""
        from chidu.laws.saving import fit_to_dict

        return fit_to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fit:
        """Read what `as_dict` wrote. Raises FitError where it is something else."""
        from chidu.laws.saving import fit_from_dict

        return fit_from_dict(values)


@dataclass(frozen=True)
class _Asked:
    """What all candidates are fitted by."""

    goal: Objective
    judged: bool
    """True where dearer runs are to be forecast from cheaper ones."""
    seed: int
    resampling: str


@dataclass(frozen=True, eq=False)
class _Candidate:
    law: Law
    weighting: str
    rows: Rows
    """Under that weighting."""
    solution: Solution
    trials: list[Trial]
    untried: int
    """Cuts at which the law has no value below or above: they tell nothing of it."""
    noise: float

    @property
    def label(self) -> str:
        return label(self.law.name, self.weighting)


def fit(
    runs: Ladder | Mapping[str, ArrayLike] | Any,
    law: str = "auto",
    resamples: int = 1000,
    *,
    level: float = 0.9,
    seed: int = 0,
    weights: ArrayLike | None = None,
    inputs: Sequence[str] | None = None,
    objective: str = "huber",
    target: str | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    weighting: str = "auto",
    resampling: str = "auto",
) -> Fit:
    """Fit a law to runs.

    Parameters
    ----------
    runs: a Ladder, a mapping of columns or a data frame. Needed: ``loss`` and the law's inputs; optional ``flops``,
        ``group`` (runs that share a trajectory), ``weight``. ``params_matmul`` is used in place of ``params``.
    law: a name in LAWS; a formula over the columns, like ``E + A/params**alpha``, whose other names are parameters; or
        ``auto``: the law that best forecasts the dear runs from the cheap ones, the simpler one unless the richer is
        better by a tenth.
    resamples: refits behind the intervals; 0 fits once, without intervals.
    level: probability that an interval means to hold.
    weights: one number a row, 0 or more.
    inputs: columns to read in place of the law's own.
    objective: a name in OBJECTIVES; residuals are of logs unless it begins with ``raw_``.
    target: the column to forecast, in place of the law's own (``loss``).
    bounds: least and largest value of a formula's parameters; without, from 0 to infinity.
    weighting: a name in WEIGHTINGS: ``even``; ``dear``: rows count by the root of their cost; ``frontier``: by how near
        they are to the compute frontier. ``auto`` tries the first two and chooses as the law ``auto`` does; it is
        ``even`` for any other law.
    resampling: a name in RESAMPLINGS: what the refits draw.

    Raises TableError naming file, row and column of a value that can't be used, FitError where the rows can't fix the
    law, are too few, or a setting is out of range.
    """
    check_settings(resamples, level, seed)
    check_weighting(weighting)
    if resampling not in RESAMPLINGS:
        raise FitError(f"no resampling {resampling!r}: choose among {', '.join(RESAMPLINGS)}")
    ladder, goal = Ladder.of(runs), find_objective(objective)
    if not isinstance(law, str):
        raise FitError(f"law is {law!r}; it must be a name or a formula, as text")
    if bounds is not None and not isinstance(bounds, Mapping):
        raise FitError(f"bounds is {bounds!r}; it must be a mapping, like {{'alpha': (0.1, 1.0)}}")
    if law == "auto":
        if bounds:
            raise FitError("bounds are for a law that is named or written out: give the law too")
        laws, fallback = candidates(ladder, inputs, weights)
    else:
        laws, fallback = [find_law(law, ladder.columns, bounds)], ""
    laws = [each if target is None else replace(each, target=target) for each in laws]
    judged = len(laws) > 1 or resamples > 0
    read = [(each, read_rows(ladder, each, inputs, weights)) for each in laws]
    for each, rows in read:
        check_rows(rows, each, ladder.source)
    first = "even" if weighting == "auto" else weighting
    asked = _Asked(goal, judged, seed, resampling)
    tried = [_try(each, first, rows, asked) for each, rows in read]
    if law == "auto" and weighting == "auto":
        tried += [
            _try(each, name, rows, asked)
            for name in TRIED
            for (each, rows), even in zip(read, tried, strict=True)
            if rows.knows_cost and even.trials
        ]
    scores = {each.label: score(each.trials) for each in tried}
    name = choose(scores, {each.label: each.noise for each in tried})
    best = next(each for each in tried if each.label == name)
    others = [each for each in tried if each is not best]
    found = _result(best, others, scores, asked, resamples=resamples, level=level)
    return replace(found, fallback=fallback, warnings=(fallback, *found.warnings)) if fallback else found


def candidates(runs: Ladder, inputs: Sequence[str] | None, weights: ArrayLike | None) -> tuple[list[Law], str]:
    """The laws `auto` chooses among: those whose columns are there, vary apart, and have rows enough.

    Beside them stands why only flops are read though params and tokens are there; an empty text elsewhere.
    """
    if inputs is not None and len(inputs) == 1:
        return [LAWS["power"]], ""
    has_both = inputs is not None or ("tokens" in runs and ("params" in runs or "params_matmul" in runs))
    if not has_both:
        return [LAWS["power" if "flops" in runs else "additive"]], ""
    rows = read_rows(runs, LAWS["additive"], inputs, weights)
    why = _not_apart(rows)
    if inputs is None and ("flops" in runs or one_ratio(rows)) and why:
        return [LAWS["power"]], why
    points = len(np.unique(rows.inputs, axis=1).T)
    return [LAWS["additive"], *([LAWS["coupled"]] if points >= len(LAWS["coupled"].parameters) + 2 else [])], ""


def _not_apart(rows: Rows) -> str:
    """Say why params and tokens do not vary apart in these rows; an empty text where they do."""
    if one_ratio(rows):
        return one_ratio_text(rows.names)
    for name, x in zip(rows.names, rows.inputs, strict=True):
        if len(np.unique(x)) < 2:
            return f"every run has {name} = {x[0]:g}: what {name} does can't be told; trust only points with the same"
    return ""


def _try(law: Law, weighting: str, rows: Rows, asked: _Asked) -> _Candidate:
    rows = rows.weighted(weighting)
    solution = solve(rows, law, asked.goal)
    # Rival laws are judged at the same cuts, so the cuts leave room for the richest.
    few = rows.thinned(MOST_RESAMPLED)
    cuts = cut_points(few, max(len(law.parameters), 2 * len(rows.names) + 2)) if asked.judged else []
    trials = run_trials(few, law, cuts, asked.seed, asked.goal, asked.resampling)
    return _Candidate(law, weighting, rows, solution, trials, len(cuts) - len(trials), noise_of(rows, solution))


def _result(
    best: _Candidate,
    others: list[_Candidate],
    scores: Mapping[str, float],
    asked: _Asked,
    *,
    resamples: int,
    level: float,
) -> Fit:
    law, rows, solution = best.law, best.rows, best.solution
    random = np.random.default_rng([asked.seed, resamples])
    refits = np.empty((0, len(solution.theta)))
    # A law with as many parameters as runs passes through them all: its refits say nothing of what they miss.
    if resamples and len(rows) > len(law.parameters):
        few = rows.thinned(MOST_RESAMPLED)
        refits = resample(few, solution, resamples, random, asked.goal, asked.resampling)
    parts = [share(scores[each.label], scores[best.label]) for each in others]
    named = solution.named(solution.theta[None])
    spread = solution.named(refits)
    intervals = {name: _interval(values, level) for name, values in spread.items()}
    return Fit(
        law=law.name,
        formula=law.over(rows.names),
        inputs=rows.names,
        parameters=MappingProxyType({name: float(values[0]) for name, values in named.items()}),
        intervals=MappingProxyType(intervals),
        level=level,
        objective=solution.objective * rows.heaviest,
        status=solution.status,
        warnings=(*doubts(rows, solution, intervals.get("E", _NO_INTERVAL)), *_untried(best)),
        rows=len(rows),
        target=law.target,
        objective_name=asked.goal.name,
        law_scores=MappingProxyType(dict(scores)),
        weighting=best.weighting,
        resamples=resamples,
        seed=asked.seed,
        solution=solution,
        refits=refits,
        rivals=tuple(Rival(each.solution, part) for each, part in zip(others, parts, strict=True)),
        calibration=calibrate(
            best.noise,
            best.trials,
            [(part, each.trials) for part, each in zip(parts, others, strict=True)],
            along=rows.along,
        ),
        seen=Seen.of(rows, lost_freedom(rows, law)),
    )


def _untried(best: _Candidate) -> list[str]:
    if not best.untried:
        return []
    cuts = count_of(best.untried, "cut")
    return [f"at {cuts} the law, fitted to the cheaper runs, has no value for the dearer ones: it fails out there"]


def _interval(values: Floats, level: float) -> tuple[float, float]:
    if not len(values):
        return _NO_INTERVAL
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return (float(low), float(high))
