"""The cheapest ladder that forecasts a target closely enough: simulated from laws that others published, or from a fit.

A ladder is a grid of sizes × token counts, both in even ratios. A prior law and noise make a table of its losses; the
table is fitted as any other, and the interval at the target is what a user of that ladder would be told. Grids are
ranked by the variance that the linearised priors expect, and only promising ones are simulated: a bounded number, so
that the same seed gives the same ladder on any machine.

A simulation knows nothing of recipes that change with scale: its runs obey the law, real ones may not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from chidu.errors import FitError
from chidu.laws.calibration import DRIFT, PRIOR_CUTS, PRIOR_FACTOR, student
from chidu.laws.catalogue import LAWS
from chidu.laws.fit import Fit, fit
from chidu.laws.objective import Floats
from chidu.laws.settings import check_settings
from chidu.laws.sharpen import prior_scale, slopes
from chidu.laws.solve import Frame, Solution, Status
from chidu.runs.ladder import Table
from chidu.units import format_count

__all__ = ["PUBLISHED", "LadderDesign", "Prior", "design_ladder"]

NOISE = 0.003
"""Of log loss, where neither the caller nor a fit says: seed noise of small runs is 0.1 to 0.5%."""
SIZES, LENGTHS = (3, 4, 5, 6, 8), (2, 3, 4, 5)
SIZE_SPANS, LENGTH_SPANS = (4.0, 8.0, 16.0, 32.0), (4.0, 8.0, 16.0)
REACHES = (2.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Flops of the target over those of the dearest rung."""
LEAST_RUNS = 8
SCREENED, FEW, MANY = 6, 3, 15
"""Ladders simulated at most, tables of each, and tables of the one that is chosen."""
REFITS = 40


@dataclass(frozen=True)
class Prior:
    """A law that losses may follow, with where it comes from."""

    source: str
    solution: Solution
    vectors: Floats
    """Plausible vectors (R, P); each simulated table draws one."""


def _published(source: str, E: float, A: float, alpha: float, B: float, beta: float) -> Prior:
    centre = np.log([1e9, 2e10])
    theta = np.array([E, np.log(A) - alpha * centre[0], alpha, np.log(B) - beta * centre[1], beta])
    solution = Solution(LAWS["additive"], theta, Frame(centre, 0.0), 0.0, Status.CONVERGED)
    return Prior(source, solution, theta[None])


PUBLISHED: tuple[Prior, ...] = (
    _published("Hoffmann et al., 2203.15556, approach 3", 1.69, 406.4, 0.34, 410.7, 0.28),
    _published("Besiroglu et al., 2404.10102, the same runs fitted anew", 1.8172, 482.01, 0.3478, 2085.43, 0.3658),
    _published("Muennighoff et al., 2305.16264, runs on C4", 1.87, 521.0, 0.353, 1488.0, 0.353),
)
"""What stands for a prior where there is no earlier fit: a mixture in even parts."""


@dataclass(frozen=True, eq=False)
class LadderDesign:
    """A ladder to train, and what to expect of it. Prints itself."""

    table: Table
    """A row for each rung: `params`, `tokens`, `flops` (6 · params · tokens), the cheapest first."""
    flops: float
    """What all rungs cost."""
    share: float
    """The same, as a part of the target's flops."""
    params: float
    """Of the target."""
    tokens: float
    """Of the target."""
    width: float
    """Median relative width of the interval at the target over the simulated tables."""
    inside: float
    """Part of the simulated tables whose interval held the target's loss."""
    simulated: int
    """Tables behind the two."""
    level: float
    noise: float
    """Standard deviation of log loss, between runs of one point."""
    priors: tuple[str, ...]
    """Laws that the tables were simulated from."""
    seed: int

    def __str__(self) -> str:
        from chidu.laws.show import table_text

        names = ("params", "tokens", "flops")
        rows = [[format_count(row[name]) for name in names] for row in self.table.rows()]
        target = f"{format_count(self.params)} params on {format_count(self.tokens)} tokens"
        return "\n".join(
            [
                f"{len(rows)} rungs for {format_count(self.flops)} flops, {100 * self.share:.2g}% of the target's "
                f"({target})",
                "",
                table_text(names, rows),
                "",
                f"Expect an interval {100 * self.width:.2g}% wide at {self.level:.0%} (median of {self.simulated} "
                f"simulated tables, noise {100 * self.noise:.2g}%); it held the target in {self.inside:.0%} of them.",
                *(f"prior: {source}" for source in self.priors),
                "Simulated runs obey the prior law; real ones may not: leave room.",
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        whole = {name: value for name, value in vars(self).items() if name != "table"}
        return {**whole, "priors": list(self.priors), "rows": self.table.rows()}


@dataclass(frozen=True, eq=False)
class _Grid:
    """Runs of one ladder, the target's point, and what the linearised priors expect of them."""

    params: Floats
    tokens: Floats
    expected: float

    @property
    def flops(self) -> float:
        return float((6 * self.params * self.tokens).sum())


@dataclass(frozen=True)
class _Wish:
    params: float
    tokens: float
    level: float
    noise: float
    priors: tuple[Prior, ...]
    seed: int

    @property
    def flops(self) -> float:
        return 6 * self.params * self.tokens


@dataclass(frozen=True)
class _Seen:
    """What simulated tables of a grid came to."""

    width: float
    inside: float


def design_ladder(
    params: float,
    tokens: float,
    *,
    width: float | None = None,
    budget: float | None = None,
    prior: Fit | None = None,
    noise: float | None = None,
    level: float = 0.9,
    seed: int = 0,
) -> LadderDesign:
    """Return the cheapest ladder whose interval at the target is expected to be `width` wide, or the best for a budget.

    Parameters
    ----------
    params, tokens: the target's.
    width: wanted relative width of the interval, like 0.03; the cheapest ladder that reaches it is returned.
    budget: flops of the whole ladder at the most; without ``width`` the ladder of least width is returned.
    prior: a fit of earlier runs over params and tokens; the published laws (`PUBLISHED`) where not given.
    noise: standard deviation of log losses; the prior fit's own, else 0.3%.

    Raises FitError where neither width nor budget is given, a number is out of range, the prior reads other columns, or
    no ladder reaches the width.
    """
    check_settings(1, level, seed)
    for name, value in (("params", params), ("tokens", tokens), ("width", width), ("budget", budget), ("noise", noise)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise FitError(f"{name} is {value}; it must be a finite number above 0")
    if width is None and budget is None:
        raise FitError("a ladder needs a width to reach (like 3%) or a budget of flops: give one, or both")
    if noise is None:
        noise = NOISE if prior is None else max(prior.calibration.noise, 1e-4)
    wish = _Wish(params, tokens, level, noise, PUBLISHED if prior is None else (_of_fit(prior),), seed)
    grids = [grid for grid in _grids(wish) if budget is None or grid.flops <= budget * (1 + 1e-12)]
    if not grids:
        raise FitError(
            f"no ladder costs {format_count(budget or 0)} flops or less here: give more, or a smaller target"
        )
    best = _narrowest(grids, wish) if width is None else _cheapest(grids, wish, width)
    return _design(best, wish)


def _of_fit(prior: Fit) -> Prior:
    """Return a fit as a prior. Raises FitError where it reads other columns than params and tokens."""
    if len(prior.inputs) != 2 or not prior.inputs[0].startswith("params") or prior.inputs[1] != "tokens":
        raise FitError(
            f"the prior is fitted on {', '.join(prior.inputs)}; a ladder of sizes and token counts needs params, tokens"
        )
    vectors = prior.refits if len(prior.refits) else prior.solution.theta[None]
    return Prior(f"a {prior.law} law fitted to {prior.rows} earlier runs", prior.solution, vectors)


def _grids(wish: _Wish) -> list[_Grid]:
    """All grids, the cheapest first."""
    found = []
    for sizes, lengths, wide, long, reach in product(SIZES, LENGTHS, SIZE_SPANS, LENGTH_SPANS, REACHES):
        top = (wish.params / math.sqrt(reach), wish.tokens / math.sqrt(reach))
        if sizes * lengths < LEAST_RUNS or top[0] / wide < 1 or top[1] / long < 1:
            continue
        N, D = np.meshgrid(np.geomspace(top[0] / wide, top[0], sizes), np.geomspace(top[1] / long, top[1], lengths))
        N, D = (_three_digits(axis.ravel()) for axis in (N, D))
        found.append(_Grid(N, D, _expected(N, D, wish)))
    return sorted(found, key=lambda grid: (grid.flops, grid.expected))


def _three_digits(values: Floats) -> Floats:
    return np.array([float(f"{value:.3g}") for value in values])


def _expected(params: Floats, tokens: Floats, wish: _Wish) -> float:
    """Width at the target, by the priors linearised and what calibration adds without any trial."""
    inputs, aim = np.vstack([params, tokens]), np.array([[wish.params], [wish.tokens]])
    variances = []
    for prior in wish.priors:
        scale = prior_scale(prior.solution)
        seen = slopes(prior.solution, prior.solution.theta, inputs) * scale
        aimed = (slopes(prior.solution, prior.solution.theta, aim) * scale)[0]
        variances.append(aimed @ np.linalg.solve(seen.T @ seen / wish.noise**2 + np.eye(len(aimed)), aimed))
    gap = math.log(wish.flops / float((6 * params * tokens).max()))
    deviation = PRIOR_FACTOR * math.sqrt(float(np.mean(variances)) + wish.noise**2 * (1 + (DRIFT * gap) ** 2))
    return 2 * math.sinh(student(0.5 + wish.level / 2, PRIOR_CUTS) * deviation)


def _simulate(grid: _Grid, wish: _Wish, tables: int) -> _Seen:
    """Fit simulated tables of a grid; priors take turns."""
    widths, inside = [], []
    inputs = np.hstack([np.vstack([grid.params, grid.tokens]), [[wish.params], [wish.tokens]]])
    for number in range(tables):
        random = np.random.default_rng([wish.seed, number])
        prior = wish.priors[number % len(wish.priors)]
        vector = prior.vectors[int(random.integers(len(prior.vectors)))]
        losses = np.exp(
            prior.solution.log_loss(inputs, vector[None])[0] + random.normal(0, wish.noise, inputs.shape[1])
        )
        runs = {"params": grid.params, "tokens": grid.tokens, "loss": losses[:-1]}
        point = {"params": [wish.params], "tokens": [wish.tokens]}
        table = fit(runs, prior.solution.law.name, resamples=REFITS, level=wish.level, seed=wish.seed).forecast(point)
        widths.append(float((table["high"] - table["low"])[0] / table["loss"][0]))
        inside.append(bool(table["low"][0] <= losses[-1] <= table["high"][0]))
    return _Seen(float(np.median(widths)), float(np.mean(inside)))


def _narrowest(grids: Sequence[_Grid], wish: _Wish) -> _Grid:
    """Of the grids that are expected to be best, the one whose simulated interval is narrowest."""
    promising = sorted(grids, key=lambda grid: grid.expected)[: SCREENED // 2]
    return min(promising, key=lambda grid: _simulate(grid, wish, FEW).width)


def _cheapest(grids: Sequence[_Grid], wish: _Wish, width: float) -> _Grid:
    """The cheapest grid whose simulated interval is as narrow as wanted, among a bounded number that are simulated.

    How far simulated widths lie from expected ones is learnt on the way, and says which grid to try next.
    """
    ratios: list[float] = []
    reached: _Grid | None = None
    least = math.inf
    open_ = list(grids)
    for _ in range(SCREENED):
        bias = float(np.median(ratios)) if ratios else 1.0
        hopeful = [grid for grid in open_ if grid.expected * bias <= width]
        if not hopeful and reached is None and not ratios:
            hopeful = [min(open_, key=lambda grid: grid.expected)]
        if not hopeful or (reached is not None and hopeful[0].flops >= reached.flops):
            break
        grid = hopeful[0]
        open_.remove(grid)
        seen = _simulate(grid, wish, FEW)
        ratios.append(seen.width / grid.expected)
        least = min(least, seen.width)
        if seen.width <= width:
            reached = grid
            open_ = [other for other in open_ if other.flops < grid.flops]
    if reached is None:
        raise FitError(
            f"no ladder here is expected to reach a width of {100 * width:.2g}% (the narrowest simulated: "
            f"{100 * least:.2g}%): ask for a wider one, give a larger budget, or lower the noise (several seeds a rung)"
        )
    return reached


def _design(grid: _Grid, wish: _Wish) -> LadderDesign:
    seen = _simulate(grid, wish, MANY)
    order = np.lexsort([grid.params, grid.params * grid.tokens])
    N, D = grid.params[order], grid.tokens[order]
    return LadderDesign(
        table=Table({"params": N, "tokens": D, "flops": 6 * N * D}),
        flops=grid.flops,
        share=grid.flops / wish.flops,
        params=wish.params,
        tokens=wish.tokens,
        width=seen.width,
        inside=seen.inside,
        simulated=MANY,
        level=wish.level,
        noise=wish.noise,
        priors=tuple(prior.source for prior in wish.priors),
        seed=wish.seed,
    )
