"""`structure`: does the shape of a model matter less as it grows, params being equal?

At each size several shapes are trained (depth, heads, MLP, …), each with two seeds or more. Shapes are taken as drawn
from many that one might have chosen: the mean square between their means is V + σ²/n times χ², V the variance that is
the shapes' own, σ²/n what the seeds' luck adds, known from the runs of one shape. The law is V ∝ params^-γ. Where the
same shapes are taken at all sizes their effects go together, so the sizes differ by less chance than that: then the
interval is wider than it need be, and no verdict more often wrong.

γ is the likeliest, a and γ over a grid; its interval is that of the likelihood ratio, whose quantiles are drawn on
ladders simulated at the threshold, for there the verdict is decided.

Beside it each shape's own effect against the base (`details.py`). Params are `params_matmul` where a table has them:
what our own runs hold equal, and what their arithmetic follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import TableError
from chidu.runs.ladder import Ladder
from chidu.studies.details import Cells, Detail, details_of
from chidu.studies.shapes import BASE, OWN_SHAPES
from chidu.studies.slopes import chi_square
from chidu.studies.spread import likeliest
from chidu.studies.study import Study
from chidu.studies.verdict import Verdict
from chidu.units import format_count

__all__ = ["STRUCTURE", "Interval", "Sizes", "gather", "interval_of"]

Floats = NDArray[np.float64]

LEAST_SIZES, LEAST_SHAPES, LEAST_SEEDS = 4, 4, 2
ONE_SIZE = 1.1
"""Params of one size are within this factor; what they still differ by is taken out with the slope between sizes."""
DRAWS = 500
GAMMAS = np.arange(-60, 101) / 20  # by division, so that thresholds such as 0.25 are among them to the last bit
SCALES = np.arange(-6.0, 8.01, 0.15)
"""Log variance of shapes at the middle of the sizes, from the seeds' own on."""


@dataclass(frozen=True)
class Sizes:
    """What the runs of each size say, at one number of tokens."""

    params: Floats
    """(sizes,) geometric mean"""
    between: Floats
    """(sizes,) mean square between the shapes' mean log losses"""
    freedom: Floats
    """(sizes,) shapes less one"""
    within: Floats
    """(sizes,) variance of log loss over the seeds of one shape"""
    within_freedom: Floats
    seeds: Floats
    """(sizes,) harmonic mean over shapes"""
    effects: tuple[dict[str, float], ...]
    """(sizes,) shape → log loss against the size's mean"""
    counts: tuple[dict[str, int], ...]
    """(sizes,) shape → seeds"""
    params_are: str
    """`params`, or `params_matmul` where the table has them."""
    tokens: float
    runs: int


@dataclass(frozen=True)
class Interval:
    """γ, and how sure."""

    gamma: float
    low: float
    high: float
    scale: float
    """Variance of shapes at the middle of the sizes."""
    is_bounded: bool
    """False where an end of the interval is the grid's."""


def gather(table: Ladder) -> Sizes:
    """Gather sizes, shapes and seeds at the most tokens that LEAST_SIZES sizes have LEAST_SHAPES shapes at.

    Raises TableError where a column is missing or there are none.
    """
    params_are = "params_matmul" if "params_matmul" in table else "params"
    logs, params, tokens = (np.log(table.numbers(name)) for name in ("loss", params_are, "tokens"))
    for name in ("shape", "seed"):
        if name not in table:
            raise TableError(f"{table.source}: no column {name!r}: which runs differ in {name} alone, it must say")
    shapes, size = table.columns["shape"].astype(str), _sizes(params)
    for length in sorted(set(tokens.tolist()), reverse=True):
        rows = [np.flatnonzero((tokens == length) & (size == each)) for each in range(size.max() + 1)]
        rows = [each for each in rows if len(_repeated(shapes[each])) >= LEAST_SHAPES]
        if len(rows) >= LEAST_SIZES:
            return _sizes_of(rows, logs, params, shapes, float(np.exp(length)), params_are)
    raise TableError(
        f"{table.source}: no {LEAST_SIZES} sizes have {LEAST_SHAPES} shapes with {LEAST_SEEDS} seeds each at the same "
        f"tokens; params of one size must be within {ONE_SIZE:g} times each other"
    )


def _sizes(params: Floats) -> NDArray[np.int64]:
    """Number the sizes: a new one begins where params are beyond ONE_SIZE times the first of the last."""
    found = np.zeros(len(params), dtype=np.int64)
    first, number = -np.inf, -1
    for row in np.argsort(params, kind="stable"):
        if params[row] > first + np.log(ONE_SIZE):
            first, number = params[row], number + 1
        found[row] = number
    return found


def _repeated(shapes: NDArray[np.str_]) -> list[str]:
    names, counts = np.unique(shapes, return_counts=True)
    return [str(name) for name in names[counts >= LEAST_SEEDS]]


def _sizes_of(
    rows: list[NDArray[np.int64]],
    logs: Floats,
    params: Floats,
    shapes: NDArray[np.str_],
    tokens: float,
    params_are: str,
) -> Sizes:
    centre = np.array([params[each].mean() for each in rows])
    slope = np.polyfit(centre, [logs[each].mean() for each in rows], 1)[0]
    columns: list[tuple[float, ...]] = []
    effects, seeds_of = [], []
    for each, middle in zip(rows, centre, strict=True):
        level = logs[each] - slope * (params[each] - middle)
        cells = [level[shapes[each] == name] for name in _repeated(shapes[each])]
        means, counts = np.array([cell.mean() for cell in cells]), np.array([len(cell) for cell in cells])
        squares = sum(float(((cell - cell.mean()) ** 2).sum()) for cell in cells)
        freedom = int((counts - 1).sum())
        columns.append(
            (means.var(ddof=1), len(cells) - 1, squares / freedom, freedom, len(counts) / (1 / counts).sum())
        )
        effects.append(dict(zip(_repeated(shapes[each]), (means - means.mean()).tolist(), strict=True)))
        seeds_of.append(dict(zip(_repeated(shapes[each]), map(len, cells), strict=True)))
    between, freedom_between, within, freedom_within, seeds = np.array(columns).T
    return Sizes(
        np.exp(centre), between, freedom_between, within, freedom_within, seeds, tuple(effects), tuple(seeds_of),
        params_are, tokens, sum(len(each) for each in rows),
    )  # fmt: skip


def interval_of(sizes: Sizes, threshold: float, level: float, seed: int = 0, draws: int = DRAWS) -> Interval:
    """Return the likeliest γ and its interval."""
    apart = np.log(sizes.params) - np.log(sizes.params).mean()
    # The seeds' own noise follows a law too: of few seeds no size knows it well by itself.
    design = np.column_stack([np.ones(len(apart)), apart])
    noise = np.exp(design @ likeliest(sizes.within, sizes.within_freedom, design)) / sizes.seeds
    grid = np.exp(np.log(noise.mean()) + SCALES)
    mean_square = grid[None, :, None] * np.exp(-GAMMAS[:, None, None] * apart) + noise  # [γ, a, sizes]
    half = sizes.freedom / 2
    fixed = -(half * np.log(mean_square)).sum(axis=-1)
    pull = (half / mean_square).reshape(-1, len(apart))

    def profile(between: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """Log likelihood (…, γ) at the likeliest scale, and its place."""
        value = fixed - (between @ pull.T).reshape(*between.shape[:-1], *fixed.shape)
        return value.max(axis=-1), value.argmax(axis=-1)

    found, places = profile(sizes.between)
    at = int(np.abs(GAMMAS - threshold).argmin())
    truth = mean_square[at, places[at]]
    source = np.random.default_rng(seed)
    drawn, _ = profile(truth * source.chisquare(sizes.freedom, (draws, len(apart))) / sizes.freedom)
    best = drawn.argmax(axis=-1)
    roots = np.sign(best - at) * np.sqrt(2 * np.maximum(0.0, drawn.max(axis=-1) - drawn[:, at]))
    below, above = np.quantile(roots, [0.5 - level / 2, 0.5 + level / 2])
    here = int(found.argmax())
    drop = np.sqrt(2 * (found[here] - found))
    left = np.flatnonzero(drop[: here + 1] <= max(above, 0.0))
    right = here + np.flatnonzero(drop[here:] <= max(-below, 0.0))
    return Interval(
        gamma=float(GAMMAS[here]),
        low=float(GAMMAS[left.min()]),
        high=float(GAMMAS[right.max()]),
        scale=float(grid[places[here]]),
        is_bounded=bool(left.min() > 0 and right.max() < len(GAMMAS) - 1),
    )


def judge(study: Study, runs: Ladder, seed: int) -> Verdict:
    """Return the verdict on a table of runs with `loss`, `params`, `tokens`, `shape` and `seed`."""
    sizes = gather(runs)
    found = interval_of(sizes, study.threshold, study.level, seed)
    details = details_of(cells(sizes), study.level)
    return study.concluded(
        found.gamma,
        found.low,
        found.high,
        meaning=meaning(sizes, details),
        runs=sizes.runs,
        rows=rows(sizes),
        findings={
            "tokens": sizes.tokens,
            "params_are": sizes.params_are,
            "against": BASE if details and details[0].is_against_base else "the mean of the shapes",
            "spread": spread(sizes, study.level, seed),
            "law": law(sizes, found),
            "details": [detail.as_dict() for detail in details],
            "largest": dict(sizes.effects[-1]),
        },
        notes=() if found.is_bounded else ("the runs bound γ on one side at the most: it was looked for from -3 to 5",),
    )


def cells(sizes: Sizes) -> Cells:
    """Return what the effects of single shapes are judged by."""
    return Cells(sizes.params, sizes.effects, sizes.counts, sizes.within, sizes.within_freedom, BASE)


def spread(sizes: Sizes, level: float, seed: int) -> list[dict[str, float]]:
    """Return a point a size: the spread over shapes, the luck of the seeds taken off, in per cent, with interval."""
    found = []
    for params, between, freedom, within, seeds in zip(
        sizes.params, sizes.between, sizes.freedom, sizes.within, sizes.seeds, strict=True
    ):
        luck = within / seeds
        high, low = (between * freedom / each for each in chi_square(freedom, level, seed))
        own, least, most = (100 * float(np.sqrt(max(0.0, each - luck))) for each in (between, low, high))
        found.append({"params": float(params), "spread_percent": own, "low": least, "high": most,
                      "luck_percent": 100 * float(np.sqrt(luck))})  # fmt: skip
    return found


def law(sizes: Sizes, found: Interval) -> list[dict[str, float]]:
    """Return the fitted law at each size."""
    apart = np.log(sizes.params) - np.log(sizes.params).mean()
    heights = 100 * np.sqrt(found.scale * np.exp(-found.gamma * apart))
    return [
        {"params": float(params), "spread_percent": float(height)}
        for params, height in zip(sizes.params, heights, strict=True)
    ]


def rows(sizes: Sizes) -> list[dict[str, Any]]:
    """Return a row a size: how far shapes spread, and how much of that the seeds would make alone."""
    return [
        {
            "params": float(params),
            "shapes": int(freedom + 1),
            "spread_percent": 100 * float(np.sqrt(between)),
            "luck_percent": 100 * float(np.sqrt(within / seeds)),
        }
        for params, freedom, between, within, seeds in zip(
            sizes.params, sizes.freedom, sizes.between, sizes.within, sizes.seeds, strict=True
        )
    ]


def meaning(sizes: Sizes, details: Sequence[Detail]) -> str:
    """Return the paragraph for people."""
    own = np.sqrt(np.maximum(0.0, sizes.between - sizes.within / sizes.seeds))
    last = sizes.effects[-1]
    worst, best = max(last, key=lambda name: last[name]), min(last, key=lambda name: last[name])
    return (
        f"At {format_count(sizes.params[0])} params the loss differs from shape to shape by {100 * own[0]:.2f}% (one "
        f"standard deviation, the luck of the seeds taken off), at {format_count(sizes.params[-1])} by "
        f"{100 * own[-1]:.2f}%. There {best!r} does best ({100 * last[best]:+.2f}% against the mean of the shapes) and "
        f"{worst!r} worst ({100 * last[worst]:+.2f}%)." + _details_words(details)
    )


def _details_words(details: Sequence[Detail]) -> str:
    """Say which details keep mattering, and which fade."""
    if not details:
        return ""
    keep = [f"{each.shape} ({100 * each.points[-1].effect:+.2f}%)" for each in details if each.fate == "keeps"]
    fade = [each.shape for each in details if each.fate == "fades"]
    against = "the base" if details[0].is_against_base else "the mean of the shapes"
    return (
        f" Told from luck at the largest size, against {against}: {', '.join(keep) or 'none'}. At a smaller size "
        f"alone: {', '.join(fade) or 'none'}."
    )


STRUCTURE = Study(
    name="structure",
    claim="the larger the model, the less its loss depends on its shape, params and tokens being equal",
    statistic="γ in: variance over shapes of log loss, the seeds' luck taken off, ∝ params^-γ",
    threshold=0.25,
    why="ten times the params take a quarter off the spread (standard deviation × 0.75)",
    level=0.9,
    judge=judge,
    own_runs=OWN_SHAPES,
)
