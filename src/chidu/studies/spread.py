"""The law of a spread: how the variance of the loss over replicates goes with params and tokens.

A cell is one training told in full but for its seed; its runs are replicates. In each cell the variance of log loss (so
of the loss relative to its mean) is estimated; the law is log variance = a - γ log params - δ log tokens, and, where
runs at several batches are asked how it goes with the batch, - β log batch.

**Estimate.** A sample variance of ν degrees of freedom is σ² χ²/ν. The law is fitted by that likelihood, the gamma's
with known shape ν/2, rather than by a line through log variances: it wastes nothing (at ν = 4 a line has 1.3 times its
variance), and needs no correction for the bias of a logarithm.

**Interval.** Shift and scale of the true law move the estimates alike: what is left, estimate minus truth, has one
distribution for all true laws, given the cells and their counts. It is drawn, not approximated: thousands of ladders
are simulated on the same cells, and the quantiles of their errors give the interval. It is exact for normal losses, for
five seeds as for fifty. Cells that share replicates (lengths of one trunk, which stray together) share draws, with the
correlation that the residuals show. Resamples of five seeds, by contrast, would be far too sure of themselves.

**Heavy tails and other misfits.** Where replicates have heavier tails than the normal's (Fisher's unbiased fourth
cumulant over all cells), or variances lie farther off the law than 95 of 100 simulated ladders show, the interval is
widened for it. With t-distributed seeds of six degrees of freedom an interval of 90% then misses on either side in some
8% of studies instead of 12%, with four degrees in 10% instead of 15% (LOG.md): very wild luck is still underrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from chidu.errors import TableError
from chidu.runs.ladder import Ladder

__all__ = ["Spread", "SpreadLaw", "fit_spread", "likeliest", "spread_over_seeds"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

TOLD = (
    "params", "params_matmul", "tokens", "unique_tokens", "context_length", "batch_tokens", "learning_rate",
    "warmup_steps", "decay_fraction",
)  # fmt: skip
"""Columns that tell trainings apart; rows that agree in all that a table has are replicates."""
DRAWS = 2000
STEPS = 40
"""Newton steps at the most; some eight are enough."""
APART = 0.2
"""Least part of the spread of log tokens that log params must leave unexplained for the two to be told apart."""
TIGHT = 1e-6
"""Relative spread below which replicates are copies: a float32 loss has no more digits."""


@dataclass(frozen=True)
class Spread:
    """Losses of replicates, cell by cell."""

    params: Floats
    """(cells,)"""
    tokens: Floats
    """(cells,)"""
    loss: Floats
    """(cells,) mean over replicates"""
    variance: Floats
    """(cells,) sample variance of log loss"""
    batch: Floats
    """(cells,) tokens in a step; 1 where the table does not tell"""
    count: Whole
    """(cells,) replicates"""
    family: Whole
    """(cells,) cells of one family share trajectories: a replicate of one has its fellow in the others"""
    log_losses: tuple[dict[str, float], ...]
    """(cells,) replicate → log loss"""

    @property
    def freedom(self) -> Floats:
        """Degrees of freedom of each variance."""
        return (self.count - 1).astype(np.float64)

    def select(self, chosen: NDArray[np.bool_]) -> Spread:
        """Return some of the cells."""
        arrays = {each.name: getattr(self, each.name)[chosen] for each in fields(self) if each.name != "log_losses"}
        return Spread(**arrays, log_losses=tuple(compress(self.log_losses, chosen)))


@dataclass(frozen=True)
class SpreadLaw:
    """Variance of log loss = scale × (params / centre)^-γ × (tokens / centre)^-δ × (batch / centre)^-β, with
    intervals."""

    names: tuple[str, ...]
    """`params`, and `tokens` and `batch_tokens` where they are asked for and the cells can tell them apart."""
    exponents: Floats
    """(names,) γ, δ, β: positive where the spread shrinks"""
    low: Floats
    high: Floats
    level: float
    centre: Floats
    """(names,) geometric mean over the cells"""
    scale: float
    """Variance of log loss at the centre."""
    correlation: float
    """Of the losses of one trajectory at two lengths, between cells of a family."""
    misfit: float
    """Pearson's misfit of the variances over the largest that 95 of 100 ladders of such a law show; above 1 the
    intervals are widened by its root."""
    tails: float
    """Excess kurtosis of log loss over replicates, of all cells together; above 0 the intervals are widened for it."""

    def deviation(self, point: Sequence[float]) -> float:
        """Return the standard deviation of log loss over replicates at `point`, in the order of `names`."""
        apart = np.log(np.asarray(point, dtype=np.float64) / self.centre)
        return float(np.sqrt(self.scale * np.exp(-(self.exponents * apart).sum())))


def spread_over_seeds(table: Ladder, least_seeds: int, least_sizes: int) -> Spread:
    """Gather the cells of a table that have at least so many seeds.

    Raises TableError where a column is missing, a seed stands twice in one cell, or fewer than `least_sizes` sizes are
    left.
    """
    loss, params, tokens = (table.numbers(name) for name in ("loss", "params", "tokens"))
    batch = table.numbers("batch_tokens") if "batch_tokens" in table else np.ones(len(table))
    seeds = replicates(table)
    told = np.column_stack([table.numbers(name, positive=False) for name in TOLD if name in table])
    _, cell = np.unique(told, axis=0, return_inverse=True)
    cell = cell.ravel()
    # Beside its tokens all of one family is told the same: its runs may be branches of common trunks.
    without = np.column_stack([table.numbers(n, positive=False) for n in TOLD if n in table and n != "tokens"])
    _, family = np.unique(without, axis=0, return_inverse=True)
    family = family.ravel()
    rows = [np.flatnonzero(cell == each) for each in range(cell.max() + 1)]
    for each in rows:
        names, times = np.unique(seeds[each], return_counts=True)
        if (times > 1).any():
            raise TableError(
                f"{table.source}: seed {names[times.argmax()]} stands {times.max()} times among runs that are told the "
                "same: name what tells them apart in a column, or take the copies out"
            )
    rows = [each for each in rows if len(each) >= least_seeds]
    sizes = len({params[each[0]] for each in rows})
    if sizes < least_sizes:
        raise TableError(
            f"{table.source}: {sizes} sizes have {least_seeds} seeds or more; the study needs {least_sizes} sizes of "
            "params with as many runs that differ in nothing but their seed"
        )
    logs = np.log(loss)
    variance = np.array([logs[each].var(ddof=1) for each in rows])
    if (variance <= TIGHT**2).any():
        at = rows[int(np.argmin(variance))][0]
        raise TableError(
            f"{table.source}: all seeds at {params[at]:g} params and {tokens[at]:g} tokens have one loss "
            f"({loss[at]:g}): copies of one run, or rounded too far"
        )
    return Spread(
        params=np.array([params[each[0]] for each in rows]),
        tokens=np.array([tokens[each[0]] for each in rows]),
        loss=np.array([loss[each].mean() for each in rows]),
        variance=variance,
        batch=np.array([batch[each[0]] for each in rows]),
        count=np.array([len(each) for each in rows]),
        family=np.array([family[each[0]] for each in rows]),
        log_losses=tuple(dict(zip(seeds[each].tolist(), logs[each].tolist(), strict=True)) for each in rows),
    )


def replicates(table: Ladder) -> NDArray[np.str_]:
    """Return each row's seed, as text."""
    if "seed" not in table:
        raise TableError(f"{table.source}: no column 'seed': which runs differ in nothing but luck, it must say")
    return table.columns["seed"].astype(str)


def fit_spread(
    spread: Spread, level: float = 0.9, seed: int = 0, draws: int = DRAWS, with_batch: bool = False
) -> SpreadLaw:
    """Fit the law of a spread, with intervals of this level from so many simulated ladders; `with_batch` the batch has
    an exponent too, where the cells can tell it."""
    names, design, centre = _design(spread, with_batch)
    freedom = spread.freedom
    found = likeliest(spread.variance, freedom, design)
    fitted = np.exp(design @ found)
    correlation = _correlation(spread, np.sqrt(fitted))
    simulated = _unit_variances(spread, correlation, draws, np.random.default_rng(seed))
    errors = likeliest(simulated, freedom, design)  # the truth is 0
    usual = np.quantile(_misfit(simulated, np.exp(errors @ design.T), freedom), 0.95)
    misfit = float(_misfit(spread.variance, fitted, freedom) / usual)
    tails = _excess_kurtosis(spread, fitted)
    # The variance of a sample variance is σ⁴ (2/ν + κ/n).
    widening = max(1.0, misfit, 1 + tails * float((freedom / spread.count).mean()) / 2) ** 0.5
    below, above = np.quantile(errors[:, 1:], [0.5 - level / 2, 0.5 + level / 2], axis=0)
    # An exponent is the slope with its sign turned, so the sides change places.
    return SpreadLaw(
        names=names,
        exponents=-found[1:],
        low=-found[1:] + widening * below,
        high=-found[1:] + widening * above,
        level=level,
        centre=centre,
        scale=float(np.exp(found[0])),
        correlation=correlation,
        misfit=misfit,
        tails=tails,
    )


def likeliest(variance: Floats, freedom: Floats, design: Floats) -> Floats:
    """Return the coefficients (…, p) of log variance under which variances (…, cells) are likeliest.

    `design` is (cells, p), its first column 1. Newton on a concave likelihood, each step shortened where it is long.
    """
    weights = freedom / 2
    projection = np.linalg.solve(design.T @ (weights[:, None] * design), (weights[:, None] * design).T)
    coefficients = np.log(np.maximum(variance, 1e-300)) @ projection.T
    for _ in range(STEPS):
        ratio = variance * np.exp(np.minimum(-(coefficients @ design.T), 600.0))
        slope = (weights * (ratio - 1)) @ design
        curvature = np.einsum("...c,ci,cj->...ij", weights * ratio, design, design)
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        longest = np.abs(step @ design.T).max(axis=-1, keepdims=True)
        coefficients = coefficients + step / np.maximum(1.0, longest)
        if longest.max() < 1e-9:
            break
    return np.asarray(coefficients)


def _design(spread: Spread, with_batch: bool) -> tuple[tuple[str, ...], Floats, Floats]:
    """Return the names of what the law reads, its columns centred with a 1 before them, and their centres."""
    names, columns, centres = ["params"], [np.ones(len(spread.params)), _centred(spread.params)], [spread.params]
    more = {"tokens": spread.tokens, **({"batch_tokens": spread.batch} if with_batch else {})}
    for name, values in more.items():
        own, known = _centred(values), np.column_stack(columns)
        left = own - known @ np.linalg.lstsq(known, own, rcond=None)[0]
        if left @ left > APART * (own @ own) > 0:
            names, columns, centres = [*names, name], [*columns, own], [*centres, values]
    return tuple(names), np.column_stack(columns), np.exp([np.log(each).mean() for each in centres])


def _centred(values: Floats) -> Floats:
    logs = np.log(values)
    return np.asarray(logs - logs.mean())


def _misfit(variance: Floats, fitted: Floats, freedom: Floats) -> Floats:
    """Return Pearson's misfit (…,): about the number of cells less that of coefficients."""
    return np.asarray((freedom / 2 * (variance / fitted - 1) ** 2).sum(axis=-1))


def _excess_kurtosis(spread: Spread, fitted: Floats) -> float:
    """Return the excess kurtosis of replicates, all cells together, by Fisher's unbiased fourth cumulant."""
    cumulants, counted = 0.0, 0
    for cell, variance in zip(spread.log_losses, fitted, strict=True):
        values = np.array(list(cell.values()))
        n = len(values)
        if n < 4:
            continue
        apart = values - values.mean()
        second, fourth = float((apart**2).mean() / variance), float((apart**4).mean() / variance**2)
        cumulant = n**2 * ((n + 1) * fourth - 3 * (n - 1) * second**2) / ((n - 1) * (n - 2) * (n - 3))
        cumulants, counted = cumulants + n * cumulant, counted + n
    return cumulants / counted if counted else 0.0


def _correlation(spread: Spread, deviation: Floats) -> float:
    """Return the mean correlation of replicates' residuals between cells of a family; 0 where none has two."""
    residuals = []
    for cell, scale in zip(spread.log_losses, deviation, strict=True):
        mean = np.mean(list(cell.values()))
        residuals.append({seed: (value - mean) / scale for seed, value in cell.items()})
    products, freedom = 0.0, 0
    for i, first in enumerate(residuals):
        for j in range(i):
            common = first.keys() & residuals[j].keys()
            if spread.family[i] == spread.family[j] and len(common) > 1:
                products += sum(first[seed] * residuals[j][seed] for seed in sorted(common))
                freedom += len(common) - 1
    return float(np.clip(products / freedom, 0.0, 0.999)) if freedom else 0.0


def _unit_variances(spread: Spread, correlation: float, draws: int, source: np.random.Generator) -> Floats:
    """Draw sample variances (draws, cells) of replicates whose true variance is 1."""
    found = np.empty((draws, len(spread.count)))
    for family in np.unique(spread.family):
        cells = np.flatnonzero(spread.family == family)
        most = int(spread.count[cells].max())
        common = source.standard_normal((draws, most))
        for cell in cells:
            own = source.standard_normal((draws, most))
            mixed = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
            found[:, cell] = mixed[:, : spread.count[cell]].var(axis=1, ddof=1)
    return found
