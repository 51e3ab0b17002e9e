"""The two classical views of compute-optimal params, which no law of two inputs stands behind.

`envelope` (Hoffmann et al. 2203.15556, section 3.1, approach 1): at each budget the size with the lowest loss, then a
power law through these. `isoflop` (3.2, approach 2): runs of nearly equal flops, a parabola of the loss over log
params, its minimum, then a power law through the minima. `views` sets both beside a fit and says where they disagree.

All columns are read as the additive law reads them: `params_matmul` in place of `params` where the table has it, and
6 · params · tokens where it has no flops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chidu.errors import FitError, TableError
from chidu.laws.catalogue import LAWS
from chidu.laws.fit import Fit
from chidu.laws.objective import Floats
from chidu.laws.rows import Rows, read_rows
from chidu.laws.settings import check_settings
from chidu.laws.show import table_text
from chidu.laws.valley import Path, Surface, least
from chidu.runs.ladder import Ladder
from chidu.units import count_of, format_count

__all__ = ["Envelope", "Isoflop", "Lead", "Scaling", "Sweep", "Views", "disagreement", "envelope", "isoflop", "views"]

NEARLY_EQUAL = 1.1
"""Dearest over cheapest run of one sweep, at the most."""
LEAST_SIZES = 4
"""Of a sweep: a parabola through three passes through each, and no residual is left."""
LEAST_SPREAD = 0.02
"""Of a minimum's log params, where minima are weighed: a parabola's own bias does not shrink with the noise."""
MOST_SHOWN = 16
"""Of budgets, in text."""
BUDGETS = 200
"""Budgets at which the envelope looks for the best size, even in log flops."""
LEAST_USABLE = 0.8
"""Share of the redrawn envelopes that must still have two sizes to lead, for an interval to be given."""


@dataclass(frozen=True)
class Scaling:
    """A power law of the budget: coefficient · flops^exponent, with intervals; NaN where there are none."""

    quantity: str
    """`params` column, or `tokens`."""
    coefficient: float
    coefficient_low: float
    coefficient_high: float
    exponent: float
    exponent_low: float
    exponent_high: float
    level: float
    centre: float = field(repr=False)
    """Log flops about which `best` and `draws` are written: there offset and slope are nearly independent."""
    best: Floats = field(repr=False)
    """Log quantity at the centre, and the exponent (2,)."""
    draws: Floats = field(repr=False)
    """The same of each redrawn table (R, 2); empty where there is no interval."""

    def at(self, flops: float) -> tuple[float, float, float]:
        """Return the quantity at a budget, and its interval."""
        logs = np.vstack([self.best, self.draws]) @ np.array([1.0, np.log(flops) - self.centre])
        low, high = _around(np.exp(logs), self.level)
        return float(np.exp(logs[0])), low, high

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        names = ("coefficient", "exponent")
        edges = {f"{name}{end}": _plain(getattr(self, name + end)) for name in names for end in ("", "_low", "_high")}
        return {"quantity": self.quantity, **edges, "level": self.level}

    def __str__(self) -> str:
        exponent = f"{self.exponent:.4f}"
        if np.isfinite(self.exponent_low):
            exponent += f" ({self.level:.0%}: {self.exponent_low:.4f} to {self.exponent_high:.4f})"
        return f"{self.quantity} = {self.coefficient:.4g} · flops^{exponent}"


@dataclass(frozen=True)
class Sweep:
    """Runs of nearly equal flops, and the least of the parabola through their loss over log params."""

    flops: float
    """Their geometric mean."""
    rows: int
    sizes: int
    half_width: float
    """The farther end of the sweep over the best params: 4 where it goes from a quarter to four times them, or less far
    to one side. The root of largest over least params where there is no minimum."""
    params: float
    params_low: float
    params_high: float
    """NaN where the minimum is not bracketed; an interval that the runs leave open ends at 0 or infinity."""
    tokens: float
    loss: float
    """At the minimum."""
    bias_percent: float
    """By how much a sweep as wide misses the best params on noise-free runs, see `expected_bias`."""
    left_out: str
    """Why this budget does not count; empty where it does."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; NaN and infinity become None."""
        return {name: _plain(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Isoflop:
    """The parabolas' minima over budgets. Prints itself."""

    sweeps: tuple[Sweep, ...]
    """By budget, those that do not count among them."""
    scalings: tuple[Scaling, ...]
    """Of params and of tokens; none where fewer than two minima are bracketed."""
    rows: int
    rows_outside: int
    """Rows that no sweep of enough sizes took in."""
    params_column: str
    flops_name: str
    """`flops`, or what stands in for them."""
    level: float

    name: ClassVar[str] = "isoFLOP"

    def optima(self) -> list[tuple[float, float, float, float]]:
        """Return flops, params, low and high of each minimum that counts, the bias within low and high."""
        return [
            (each.flops, each.params, each.params_low / (1 + part), each.params_high * (1 + part))
            for each in self.sweeps
            if not each.left_out
            for part in [each.bias_percent / 100]
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        plain = {"rows": self.rows, "rows_outside": self.rows_outside, "params_column": self.params_column}
        return {
            "view": "isoflop",
            "scalings": [each.as_dict() for each in self.scalings],
            "sweeps": [each.as_dict() for each in self.sweeps],
            **plain,
            "flops_name": self.flops_name,
            "level": self.level,
        }

    def __str__(self) -> str:
        level = f"{self.level:.0%}"
        shown = [self.sweeps[k] for k in sorted({*np.linspace(0, len(self.sweeps) - 1, MOST_SHOWN).astype(int)})]
        header = ["budget", "rows", "sizes", "half-width", "best params", f"{level} low", f"{level} high", "bias"]
        cells = [
            [
                f"{each.flops:.3g}",
                str(each.rows),
                str(each.sizes),
                f"×{each.half_width:.3g}",
                *(_count(value) for value in (each.params, each.params_low, each.params_high)),
                "–" if each.left_out else f"±{each.bias_percent:.1f}%",
            ]
            for each in shown
        ]
        found = f"isoFLOP (approach 2): {count_of(len(self.sweeps), 'budget')} of nearly equal {self.flops_name}"
        outside = f", {count_of(self.rows_outside, 'row')} in none" if self.rows_outside else ""
        lines = [f"{found}, {self.rows} rows{outside}", "", table_text(header, cells), ""]
        if len(shown) < len(self.sweeps):
            lines += [f"{len(shown)} of {len(self.sweeps)} budgets are shown, evenly chosen; the JSON form has all", ""]
        lines += [str(each) for each in self.scalings]
        if not self.scalings:
            lines.append("no power law: fewer than two budgets have a bracketed minimum")
        lines.append(
            "bias       of a parabola this wide on noise-free runs, beside the interval; it spares the exponent"
        )
        for why in dict.fromkeys(each.left_out for each in self.sweeps if each.left_out):
            budgets = [f"{each.flops:.3g}" for each in self.sweeps if each.left_out == why]
            more = f" and {len(budgets) - 5} more" if len(budgets) > 5 else ""
            lines.append(f"left out   {', '.join(budgets[:5])}{more} flops: {why}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Lead:
    """Budgets over which one size has the lowest loss."""

    params: float
    flops_from: float
    flops_to: float
    left_out: str
    """Why these budgets do not count; empty where they do."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dict(vars(self))


@dataclass(frozen=True)
class Envelope:
    """The sizes that lead as the budget grows. Prints itself."""

    leads: tuple[Lead, ...]
    scalings: tuple[Scaling, ...]
    """Of params and of tokens; none where fewer than two sizes lead between smaller and larger ones."""
    curves: int
    """Sizes (or runs, where a column `group` tells them apart) with a loss at two budgets or more."""
    usable: float
    """Share of the redrawn tables that still had two sizes to lead."""
    params_column: str
    flops_name: str
    level: float

    name: ClassVar[str] = "envelope"

    def optima(self) -> list[tuple[float, float, float, float]]:
        """Return flops, params, low and high at five budgets over what counts; none without an interval."""
        counted = [each for each in self.leads if not each.left_out]
        if not self.scalings or not len(self.scalings[0].draws):
            return []
        budgets = np.geomspace(counted[0].flops_from, counted[-1].flops_to, 5)
        return [(float(flops), *self.scalings[0].at(float(flops))) for flops in budgets]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        plain = {name: getattr(self, name) for name in ("curves", "usable", "params_column", "flops_name", "level")}
        return {
            "view": "envelope",
            "scalings": [each.as_dict() for each in self.scalings],
            "leads": [each.as_dict() for each in self.leads],
            **plain,
        }

    def __str__(self) -> str:
        cells = [
            [format_count(each.params), f"{each.flops_from:.3g}", f"{each.flops_to:.3g}", "no" if each.left_out else ""]
            for each in self.leads
        ]
        lines = [f"envelope (approach 1): the best of {count_of(self.curves, 'curve')} at each budget", ""]
        lines += [table_text(["params", f"best from {self.flops_name}", "to", "counts"], cells), ""]
        lines += [str(each) for each in self.scalings]
        if not self.scalings:
            lines.append("no power law: fewer than two sizes lead between smaller and larger ones: add sizes")
        elif not len(self.scalings[0].draws):
            lines.append(f"no interval: only {self.usable:.0%} of redrawn tables keep two sizes that lead: add sizes")
        if self.scalings:
            lines.append("bias       on runs of known laws the exponent of params came out 0.01 to 0.02 too high")
        lines += [f"left out   budgets where {why}" for why in sorted({each.left_out for each in self.leads} - {""})]
        return "\n".join(lines)


@dataclass(frozen=True)
class Views:
    """What stands beside a fit: the views that the table allows, and a line on each. Prints itself."""

    found: tuple[Envelope | Isoflop, ...]
    said: Mapping[str, str]
    """Name of a view → whether it agrees with the law, or why it can't be had."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"views": [each.as_dict() for each in self.found], "said": dict(self.said)}

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self.found), "\n".join(f"{name:<10} {text}" for name, text in self.said.items())])


def isoflop(
    runs: Ladder | Mapping[str, ArrayLike] | Any,
    *,
    params: str | None = None,
    target: str = "loss",
    resamples: int = 1000,
    level: float = 0.9,
    seed: int = 0,
) -> Isoflop:
    """Fit a parabola of the loss over log params to the runs of each budget, and a power law to the minima.

    Runs belong to one budget where their flops differ by NEARLY_EQUAL at the most; what that leaves of differences is
    taken out with the slope of the budgets' least losses. Intervals come from ``resamples`` redraws of the residuals of
    all parabolas together, widened for the three numbers that each parabola spends (of planted sweeps of half-width
    ×5, nominal 90% intervals, with the bias added, held 94 to 98% of the best params, and 88 to 98% of the exponents).
    A parabola is symmetric and the loss is not: on noise-free runs the exponent is right, and the best params are off
    by `expected_bias`.

    ``params`` is the column that counts them, ``target`` that of the loss. Raises TableError for columns or values that
    can't be used, FitError where no budget has LEAST_SIZES sizes.
    """
    check_settings(resamples, level, seed)
    rows = _read(runs, params, target)
    budgets = [index for index in _clusters(rows.cost) if _sizes(rows, index) >= LEAST_SIZES]
    if not budgets:
        raise FitError(
            f"no budget has {LEAST_SIZES} sizes: isoFLOP needs runs of several sizes at nearly equal flops "
            f"(within ×{NEARLY_EQUAL:g}): add such runs, or use the law or the envelope"
        )
    parabolas = [_parabola(rows, *each) for each in zip(budgets, _slopes(rows, budgets), strict=True)]
    pool = np.concatenate([each.residuals for each in parabolas])
    random = np.random.default_rng([seed, resamples])
    minima = [each.minima(random.choice(pool, (resamples, len(each.x))) if resamples else None) for each in parabolas]
    sweeps = tuple(_sweep(rows, each, drawn, level) for each, drawn in zip(parabolas, minima, strict=True))
    kept = [k for k, each in enumerate(sweeps) if not each.left_out]
    return Isoflop(
        sweeps=sweeps,
        scalings=_through_minima(rows, [sweeps[k] for k in kept], [minima[k] for k in kept], level),
        rows=len(rows),
        rows_outside=len(rows) - sum(each.rows for each in sweeps),
        params_column=rows.names[0],
        flops_name=rows.cost_name,
        level=level,
    )


def expected_bias(half_width: float) -> float:
    """By how many per cent a parabola's minimum misses the best params on noise-free runs of a sweep this wide.

    Measured on additive laws: 0.3, 1.3, 3.0 and 5.3% at half-widths of ×2, ×4, ×8 and ×16, which is 0.33% times the
    square of their binary log.
    """
    return float(0.33 * np.log2(max(half_width, 1.0)) ** 2)


def _read(runs: Ladder | Mapping[str, ArrayLike] | Any, params: str | None, target: str) -> Rows:
    law = replace(LAWS["additive"], target=target)
    return read_rows(Ladder.of(runs), law, None if params is None else (params, "tokens"), None)


def _clusters(flops: Floats) -> list[NDArray[np.int_]]:
    """Indices of the runs of each budget, of sorted flops (rows,): runs without a gap of NEARLY_EQUAL between them;
    where these span more than that, as where flops vary smoothly, they are cut into windows of equal width."""
    logs, most = np.log(flops), np.log(NEARLY_EQUAL)
    found = []
    for part in np.split(np.arange(len(logs)), np.flatnonzero(np.diff(logs) > most) + 1):
        span = logs[part[-1]] - logs[part[0]]
        windows = max(int(np.ceil(span / most)), 1)
        inner = logs[part[0]] + span * np.arange(1, windows) / windows
        found += [each for each in np.split(part, np.searchsorted(logs[part], inner)) if len(each) >= LEAST_SIZES]
    return found


def _sizes(rows: Rows, index: NDArray[np.int_]) -> int:
    return len(np.unique(np.round(np.log(rows.inputs[0, index]), 3)))


def _slopes(rows: Rows, budgets: list[NDArray[np.int_]]) -> Floats:
    """Slope of log loss over log flops at each budget (budgets,), of a parabola through their least losses; of a line
    where there are two budgets, and 0 where there is one."""
    best = np.array([index[np.argmin(rows.loss[index])] for index in budgets])
    logs = np.log(rows.cost[best])
    centred = logs - logs.mean()
    return np.polyval(np.polyder(np.polyfit(centred, np.log(rows.loss[best]), min(2, len(budgets) - 1))), centred)


@dataclass(frozen=True)
class _Parabola:
    """loss = c0 + c1 x + c2 x² over x, the centred log params (rows,)."""

    index: NDArray[np.int_]
    flops: float
    centre: float
    x: Floats
    solver: Floats
    """From losses to coefficients (3, rows)."""
    fitted: Floats
    residuals: Floats
    """Widened for the numbers spent."""

    @property
    def coefficients(self) -> Floats:
        return np.asarray(self.solver @ self.fitted)

    def minima(self, errors: Floats | None) -> Floats:
        """Return log params of the minimum under errors (R, rows); infinite, downhill, where there is none, or none
        within a sweep's width of the sweep."""
        errors = np.empty((0, len(self.x))) if errors is None else errors
        found = _vertex((self.fitted + errors) @ self.solver.T)
        low, high, width = self.x.min(), self.x.max(), np.ptp(self.x)
        far = np.where(found < low - width, -np.inf, np.where(found > high + width, np.inf, found))
        return np.asarray(self.centre + far)


def _parabola(rows: Rows, index: NDArray[np.int_], slope: float) -> _Parabola:
    logs, costs = np.log(rows.inputs[0, index]), np.log(rows.cost[index])
    loss = rows.loss[index] * np.exp(-slope * (costs - costs.mean()))
    x = logs - logs.mean()
    columns = np.stack([np.ones_like(x), x, x * x], axis=1)
    root = np.sqrt(rows.weights[index] / rows.weights[index].mean())
    solver = np.linalg.pinv(columns * root[:, None]) * root
    fitted = columns @ (solver @ loss)
    wider = np.sqrt(len(x) / max(len(x) - 3, 1))
    return _Parabola(index, float(np.exp(costs.mean())), float(logs.mean()), x, solver, fitted, (loss - fitted) * wider)


def _vertex(coefficients: Floats) -> Floats:
    """Least point of parabolas (R, 3); where one does not bend up, infinitely far downhill."""
    _, tilt, bend = coefficients.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(bend > 0, -tilt / (2 * bend), np.where(tilt > 0, -np.inf, np.inf)))


def _sweep(rows: Rows, parabola: _Parabola, drawn: Floats, level: float) -> Sweep:
    params = rows.inputs[0, parabola.index]
    best = float(np.exp(parabola.centre + _vertex(parabola.coefficients[None])[0]))
    left_out = _why_left_out(best, params, float(parabola.coefficients[2]))
    ends = (float(params.min()), float(params.max()))
    half_width = float(np.sqrt(ends[1] / ends[0])) if left_out else max(best / ends[0], ends[1] / best)
    low, high = (np.nan, np.nan) if left_out else _interval(drawn, level)
    factor = float(np.exp(np.mean(np.log(rows.cost / (rows.inputs[0] * rows.inputs[1]))[parabola.index])))
    depth = float(np.polyval(parabola.coefficients[::-1], np.log(best) - parabola.centre)) if not left_out else np.nan
    return Sweep(
        flops=parabola.flops,
        rows=len(params),
        sizes=_sizes(rows, parabola.index),
        half_width=half_width,
        params=np.nan if left_out else best,
        params_low=float(np.exp(low)),
        params_high=float(np.exp(high)),
        tokens=np.nan if left_out else parabola.flops / factor / best,
        loss=depth,
        bias_percent=np.nan if left_out else expected_bias(half_width),
        left_out=left_out,
    )


def _why_left_out(best: float, params: Floats, bend: float) -> str:
    if bend <= 0:
        return "the parabola does not bend up, so it has no minimum: add smaller and larger sizes"
    if params.min() < best < params.max():
        return ""
    side, more = ("below", "smaller") if best <= params.min() else ("above", "larger")
    return f"the minimum is not bracketed, it lies {side} all sizes of the sweep: add {more} ones"


def _through_minima(rows: Rows, sweeps: list[Sweep], drawn: list[Floats], level: float) -> tuple[Scaling, ...]:
    """Power laws of params and tokens through the minima, each weighed by how sure it is."""
    if len(sweeps) < 2:
        return ()
    logs = np.log([each.flops for each in sweeps])
    tenths = [np.quantile(each, [0.1, 0.9], method="inverted_cdf") if len(each) else np.zeros(2) for each in drawn]
    spread = np.array([(high - low) / 2.56 if np.isfinite(high - low) else np.inf for low, high in tenths])
    weights = 1 / (spread**2 + LEAST_SPREAD**2)
    if np.count_nonzero(weights) < 2:
        weights = np.ones(len(sweeps))
    # A redraw without a minimum says only that it lies far off: it stays at the end of what was swept.
    ends = np.log([(each.params / each.half_width**2, each.params * each.half_width**2) for each in sweeps])
    draws = np.clip(np.stack(drawn, axis=1), ends[:, 0], ends[:, 1])
    params = np.log([each.params for each in sweeps])
    tokens = np.log([each.tokens for each in sweeps])
    return tuple(
        _scaling(name, logs, best, other, weights, level)
        for name, best, other in (
            (rows.names[0], params, draws),
            ("tokens", tokens, tokens + params - draws),
        )
    )


def _scaling(name: str, logs: Floats, best: Floats, draws: Floats, weights: Floats, level: float) -> Scaling:
    """Weighted least squares of log quantity (budgets,), and of redraws (R, budgets), over log flops."""
    centre = float(np.average(logs, weights=weights))
    root = np.sqrt(weights)
    solver = np.linalg.pinv(np.stack([root, root * (logs - centre)], axis=1)) * root
    return _scaling_of(name, centre, solver @ best, draws @ solver.T, level)


def _scaling_of(name: str, centre: float, best: Floats, draws: Floats, level: float) -> Scaling:
    vectors = np.vstack([best, draws])
    coefficients = np.exp(np.clip(vectors[:, 0] - vectors[:, 1] * centre, -700, 700))
    return Scaling(
        name,
        float(coefficients[0]),
        *_around(coefficients, level),
        float(best[1]),
        *_around(vectors[:, 1], level),
        level,
        centre,
        best,
        draws,
    )


def envelope(
    runs: Ladder | Mapping[str, ArrayLike] | Any,
    *,
    params: str | None = None,
    target: str = "loss",
    resamples: int = 1000,
    level: float = 0.9,
    seed: int = 0,
) -> Envelope:
    """Find the size with the lowest loss at each budget, and fit a power law through those.

    A curve is what one size (of one group, where the table has groups) lost at several budgets: checkpoints of a
    training, or trainings of several lengths. Between its points the curve is a line in log loss over log flops; beyond
    them it is not continued. A size that leads because none smaller, or none larger, was run at that budget does not
    count. Intervals come from ``resamples`` redraws of whole curves. They are wide: on planted grids of 8 × 8 to 16 ×
    20 runs all of 160 nominal 90% intervals held the exponent. The estimate was 0.01 to 0.02 too high of 0.45, since a
    grid has few sizes to either side at its first and last budgets; with 40 × 40 runs that lean outgrew the interval,
    which held 65%.

    Arguments and errors as of `isoflop`; FitError where fewer than three curves reach one budget.
    """
    check_settings(resamples, level, seed)
    rows = _read(runs, params, target)
    curves = list(_curves(rows))
    if len(curves) < 3:
        raise FitError(
            f"{count_of(len(curves), 'size')} with runs at two budgets or more: an envelope needs at least three "
            "(training curves, or several token counts a size): add runs"
        )
    logs = np.linspace(min(each.cost[0] for each in curves), max(each.cost[-1] for each in curves), BUDGETS)
    losses, tokens = (np.stack([each.over(logs, part) for each in curves]) for part in ("loss", "tokens"))
    sizes = np.array([each.size for each in curves])
    best, counts = _leaders(losses, sizes)
    if not (np.isfinite(losses).sum(axis=0) >= 3).any():
        raise FitError("no budget is reached by three sizes: an envelope needs sizes that overlap in flops: add runs")
    random = np.random.default_rng([seed, resamples])
    law = _step_law(logs, sizes, tokens, best, counts)
    drawn = [_redrawn(logs, losses, sizes, tokens, random) for _ in range(resamples if law is not None else 0)]
    kept = [each for each in drawn if each is not None]
    usable = len(kept) / len(drawn) if drawn else 0.0
    draws = np.array(kept) if usable >= LEAST_USABLE else np.empty((0, 2, 2))
    scalings: tuple[Scaling, ...] = ()
    if law is not None:
        centre = float(logs[counts].mean())
        scalings = tuple(
            _scaling_of(name, centre, _moved(law[k], centre), _moved(draws[:, k], centre), level)
            for k, name in enumerate((rows.names[0], "tokens"))
        )
    return Envelope(
        leads=_leads(logs, sizes, best, counts),
        scalings=scalings,
        curves=len(curves),
        usable=usable,
        params_column=rows.names[0],
        flops_name=rows.cost_name,
        level=level,
    )


@dataclass(frozen=True)
class _Curve:
    """What one size lost as its budget grew: logs of cost, loss and tokens (points,), and of its params."""

    size: float
    cost: Floats
    loss: Floats
    tokens: Floats

    def over(self, logs: Floats, name: str) -> Floats:
        """Return log loss or log tokens at log budgets; NaN where the curve does not reach."""
        # A curve's own ends are among the budgets up to rounding.
        inside = (logs >= self.cost[0] - 1e-9) & (logs <= self.cost[-1] + 1e-9)
        return np.where(inside, np.interp(logs, self.cost, getattr(self, name)), np.nan)


def _curves(rows: Rows) -> Iterator[_Curve]:
    """Curves of two points or more; of points at one cost the mean log loss counts."""
    groups = rows.groups if len(rows.groups) else np.zeros(len(rows), dtype=int)
    size, tokens, cost, loss = *np.log(rows.inputs), np.log(rows.cost), np.log(rows.loss)
    order = np.lexsort([cost, size, groups])
    breaks = np.flatnonzero((np.diff(size[order]) > 1e-9) | (np.diff(groups[order]) != 0)) + 1
    for index in np.split(order, breaks):
        places, back, times = np.unique(cost[index].round(9), return_inverse=True, return_counts=True)
        if len(places) > 1:
            mean: list[Floats] = [np.bincount(back.reshape(-1), each[index]) / times for each in (loss, tokens)]
            yield _Curve(float(size[index[0]]), places, *mean)


def _leaders(losses: Floats, sizes: Floats) -> tuple[NDArray[np.int_], NDArray[np.bool_]]:
    """Return the best curve at each budget (budgets,), -1 where there is none, and whether it counts: a smaller and a
    larger size reach that budget too. Losses (curves, budgets) are NaN where a curve does not reach."""
    there = np.isfinite(losses)
    best = np.where(there.any(axis=0), np.where(there, losses, np.inf).argmin(axis=0), -1)
    least = np.where(there, sizes[:, None], np.inf).min(axis=0)
    most = np.where(there, sizes[:, None], -np.inf).max(axis=0)
    return best, np.asarray((best >= 0) & (sizes[best] > least) & (sizes[best] < most))


def _step_law(
    logs: Floats, sizes: Floats, tokens: Floats, best: NDArray[np.int_], counts: NDArray[np.bool_]
) -> Floats | None:
    """Return offset and slope of log params and log tokens (2, 2) over log flops; None where one size leads or none."""
    leaders = best[counts]
    if len(np.unique(sizes[leaders])) < 2:
        return None
    x = logs[counts]
    pair = np.stack([sizes[leaders], tokens[leaders, np.flatnonzero(counts)]], axis=1)
    slopes, offsets = np.polyfit(x, pair, 1)
    return np.stack([offsets, slopes], axis=1)


def _moved(law: Floats, centre: float) -> Floats:
    """Write offset and slope (…, 2) about another centre than 0."""
    return np.stack([law[..., 0] + law[..., 1] * centre, law[..., 1]], axis=-1)


def _redrawn(logs: Floats, losses: Floats, sizes: Floats, tokens: Floats, random: np.random.Generator) -> Floats | None:
    drawn = np.unique(random.integers(0, len(sizes), len(sizes)))
    best, counts = _leaders(losses[drawn], sizes[drawn])
    return _step_law(logs, sizes[drawn], tokens[drawn], best, counts)


def _leads(logs: Floats, sizes: Floats, best: NDArray[np.int_], counts: NDArray[np.bool_]) -> tuple[Lead, ...]:
    """Neighbouring budgets of one leader become one lead."""
    size = np.where(best >= 0, sizes[best], np.nan)
    breaks = np.flatnonzero((np.diff(size) != 0) | (np.diff(counts.astype(int)) != 0)) + 1
    found = []
    for index in np.split(np.arange(len(logs)), breaks):
        if best[index[0]] < 0:
            continue
        why = "" if counts[index[0]] else "no smaller or no larger size was run"
        params, ends = float(np.exp(size[index[0]])), np.exp(logs[index[[0, -1]]])
        found.append(Lead(params, float(ends[0]), float(ends[1]), why))
    return tuple(found)


def disagreement(fit: Fit, view: Envelope | Isoflop) -> str:
    """Say in one line at which budgets a view's best params and the fitted law's lie apart beyond both intervals.

    The law's best params are those of least loss among runs that cost the budget; their interval comes from the fit's
    refits, at the view's level. An isoFLOP's interval is widened by its expected bias.
    """
    places = fit.seen.params_tokens
    if places is None:
        return f"not compared: the law reads {' and '.join(fit.inputs)}, so it has no best params at a budget"
    column = fit.inputs[places[0]]
    if column != view.params_column:
        return f"not compared: the law counts {column}, the {view.name} {view.params_column}: count alike"
    if not len(fit.refits):
        return "not compared: fitted without refits, so the law's best params have no interval: give resamples"
    optima = view.optima()
    if not optima:
        return f"not compared: the {view.name} has no best params with an interval"
    law = [_law_optimum(fit, column, flops, view.level) for flops, *_ in optima]
    apart = [(seen, said) for seen, said in zip(optima, law, strict=True) if seen[2] > said[2] or seen[3] < said[1]]
    if not apart:
        return f"agrees with the law on the best params at all {count_of(len(optima), 'budget')}, within the intervals"
    (flops, params, low, high), (law_params, law_low, law_high) = max(
        apart, key=lambda pair: abs(np.log(pair[0][1] / pair[1][0]))
    )
    budgets = ", ".join(f"{seen[0]:.3g}" for seen, _ in apart)
    return (
        f"disagrees with the law on the best params at {len(apart)} of {count_of(len(optima), 'budget')} ({budgets}): "
        f"at {flops:.3g} flops {format_count(params)} ({format_count(low)} to {format_count(high)}), "
        f"the law {format_count(law_params)} ({format_count(law_low)} to {format_count(law_high)})"
    )


def _law_optimum(fit: Fit, column: str, flops: float, level: float) -> tuple[float, float, float]:
    """The law's best params at a budget, with the interval of its refits."""
    surface, path = Surface(fit, column, np.inf), Path(flops / fit.seen.flops_factor)
    best = least(surface, path, fit.solution.theta[None])[0]
    return float(best[0]), *_around(np.concatenate([best, least(surface, path, fit.refits)[0]]), level)


def views(fit: Fit, runs: Ladder | Mapping[str, ArrayLike] | Any) -> Views:
    """Set both views beside a fit of the same runs, at its level, its seed and as many redraws."""
    places = fit.seen.params_tokens
    column = None if places is None else fit.inputs[places[0]]
    found: list[Envelope | Isoflop] = []
    said = {}
    for name, look in (("envelope", envelope), ("isoFLOP", isoflop)):
        try:
            view = look(runs, params=column, target=fit.target, resamples=fit.resamples, level=fit.level, seed=fit.seed)
        except (FitError, TableError) as why:
            said[name] = f"not to be had: {why}"
            continue
        found.append(view)
        said[name] = disagreement(fit, view)
    return Views(tuple(found), said)


def _interval(values: Floats, level: float) -> tuple[float, float]:
    """Quantiles that are among the values, some of which may be infinite; NaN where there are none."""
    if not len(values):
        return (float("nan"), float("nan"))
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], method="inverted_cdf")
    return (float(low), float(high))


def _around(values: Floats, level: float) -> tuple[float, float]:
    """Interval of redraws, the values after the first, that holds the first, the estimate."""
    low, high = _interval(values[1:], level)
    return min(low, float(values[0])), max(high, float(values[0]))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _count(value: float) -> str:
    if np.isnan(value):
        return "–"
    return "open" if not np.isfinite(value) or value == 0 else format_count(value)
