"""How params, tokens and flops go together on one ladder: where to put the points of a law's curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import ChiduError
from chidu.runs.ladder import Ladder, Table
from chidu.units import format_count

if TYPE_CHECKING:
    from chidu.laws import Fit
    from chidu.laws.seen import Seen

__all__ = ["Floats", "Scale", "SizeGroup", "Span", "compute_optimal", "law_values", "size_groups"]

Floats = NDArray[np.float64]
MOST_GROUPS = 6


@dataclass(frozen=True)
class Scale:
    """The ladder's rule from size and tokens to flops, carried on between and beyond its sizes.

    Flops per token and param hardly change with size, so their ratio is interpolated, and kept beyond the ends.
    """

    axis: str
    """The column that stands for size: `params_matmul`, or `params` where the ladder has no other."""
    sizes: Floats
    flops_ratio: Floats
    """Flops per token and param, one for each size."""
    other_ratio: Floats
    """params / params_matmul, one for each size; ones where the ladder has one of the two."""
    counted: bool
    """False where the table has no flops and `6ND` stands in for them."""
    unique_tokens: float | None
    """The same for all runs; None where it is not known or varies: then points see each token once."""

    @classmethod
    def of(cls, ladder: Ladder, point: Mapping[str, Any] | None = None) -> Scale | None:
        """Read the rule off a ladder, and a target's point if there is one; None where it has no params or tokens."""
        axis = next((name for name in ("params_matmul", "params") if name in ladder), None)
        if axis is None or "tokens" not in ladder:
            return None
        columns = {name: _numbers(ladder, name) for name in (axis, "tokens", "params", "flops") if name in ladder}
        if point and all(point.get(name) for name in columns):
            columns = {name: np.append(values, float(point[name])) for name, values in columns.items()}
        size = columns[axis]
        flops = columns.get("flops", 6.0 * size * columns["tokens"])
        sizes, index = np.unique(size, return_inverse=True)
        return cls(
            axis=axis,
            sizes=sizes,
            flops_ratio=_means(flops / (size * columns["tokens"]), index),
            other_ratio=_means(columns.get("params", size) / size, index),
            counted="flops" in ladder,
            unique_tokens=_constant(ladder, "unique_tokens"),
        )

    @classmethod
    def of_seen(cls, seen: Seen) -> Scale | None:
        """Read the rule off what a fit remembers of its runs; None where it did not read params and tokens."""
        if seen.params_tokens is None:
            return None
        params = seen.params_tokens[0]
        sizes = np.unique([seen.lowest[params], seen.highest[params]])
        ones = np.ones(len(sizes))
        return cls(seen.names[params], sizes, seen.flops_factor * ones, ones, seen.has_flops, None)

    def flops_per_token(self, size: Floats) -> Floats:
        """Flops of training on one token, for models of these sizes."""
        ratio: Floats = np.interp(np.log(size), np.log(self.sizes), self.flops_ratio)
        return size * ratio

    def points(self, size: Floats, tokens: Floats) -> dict[str, Floats]:
        """Return the columns that a law may ask for, at these sizes and tokens."""
        other = np.interp(np.log(size), np.log(self.sizes), self.other_ratio)
        found = {self.axis: size, "tokens": tokens, "flops": tokens * self.flops_per_token(size)}
        found["params"] = size * other
        unique = np.full_like(size, self.unique_tokens) if self.unique_tokens else tokens
        return {**found, "unique_tokens": unique, "epochs": tokens / unique}

    def along_ratio(self, flops: Floats, ratio: float) -> dict[str, Floats]:
        """Return points at these flops whose tokens are ``ratio`` times their size."""
        size = np.sqrt(flops / (6.0 * ratio))
        for _ in range(20):
            # Flops per token depend on size only weakly, so this settles in a few rounds.
            size = np.sqrt(size * flops / (self.flops_per_token(size) * ratio))
        return self.points(size, ratio * size)


@dataclass(frozen=True)
class Span:
    """What the runs reach from and to, least and largest, for charts that show no run."""

    size: tuple[float, float]
    tokens: tuple[float, float]
    ratio: tuple[float, float]
    """Tokens per param."""
    flops: tuple[float, float]

    @classmethod
    def of(cls, ladder: Ladder, scale: Scale) -> Span:
        """Measure a table's runs."""
        size, tokens = ladder.numbers(scale.axis), ladder.numbers("tokens")
        flops = ladder.numbers("flops") if "flops" in ladder else tokens * scale.flops_per_token(size)
        return cls(_ends(size), _ends(tokens), _ends(tokens / size), _ends(flops))

    @classmethod
    def of_seen(cls, seen: Seen) -> Span:
        """Take what a fit remembers. The cheapest run's flops are not among it: those of its least sizes stand in."""
        params, tokens = seen.params_tokens or (0, 0)
        size, length = ((seen.lowest[k], seen.highest[k]) for k in (params, tokens))
        ratio = seen.tokens_per_param or (length[0] / size[1], length[1] / size[0])
        return cls(size, length, ratio, (seen.flops_factor * size[0] * length[0], seen.cost))


def _ends(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max())


@dataclass(frozen=True)
class SizeGroup:
    """Rungs of one size, or of sizes close together where a ladder has many."""

    label: str
    size: float
    rows: NDArray[np.int_]


def size_groups(ladder: Ladder, axis: str) -> list[SizeGroup]:
    """Split a ladder by size, smallest first, into few enough groups to tell apart in a chart."""
    size = _numbers(ladder, axis)
    distinct = np.unique(size)
    if len(distinct) <= MOST_GROUPS + 2:
        return [SizeGroup(format_count(value), float(value), np.flatnonzero(size == value)) for value in distinct]
    edges = np.geomspace(distinct[0], distinct[-1], MOST_GROUPS + 1)
    bins = np.clip(np.searchsorted(edges, size, side="right") - 1, 0, MOST_GROUPS - 1)
    groups = []
    for number in np.unique(bins):
        rows = np.flatnonzero(bins == number)
        label = "–".join(dict.fromkeys(format_count(end(size[rows])) for end in (np.min, np.max)))
        groups.append(SizeGroup(label, float(np.exp(np.log(size[rows]).mean())), rows))
    return groups


def law_values(fit: Fit | None, points: Mapping[str, Floats], level: float | None = None) -> Table | None:
    """Return the law's forecast at these points, or None where there is no fit or it needs other columns."""
    if fit is None:
        return None
    try:
        found = fit.forecast(dict(points), level=level)
        return Table({**found, "loss": found[fit.value_name]})
    except ChiduError:
        # A law over columns of the user's own (a dropout, a mixture) has no value at points that lack them:
        # the page then shows the rungs without a curve.
        return None


def compute_optimal(fit: Fit, scale: Scale, flops: Floats) -> dict[str, Floats] | None:
    """Return, for each budget, the point of least loss among sizes up to 10 × beyond the ladder's."""
    sizes = np.geomspace(scale.sizes[0] / 4, scale.sizes[-1] * max(10.0, math.sqrt(flops.max() / flops.min())), 48)
    size = np.tile(sizes, len(flops))
    tokens = np.repeat(flops, len(sizes)) / scale.flops_per_token(size)
    values = law_values(fit, scale.points(size, tokens))
    if values is None:
        return None
    best = np.argmin(values["loss"].reshape(len(flops), len(sizes)), axis=1) + np.arange(len(flops)) * len(sizes)
    return scale.points(size[best], tokens[best])


def _means(values: Floats, index: NDArray[Any]) -> Floats:
    means: Floats = np.bincount(index, weights=values) / np.bincount(index)
    return means


def _numbers(ladder: Ladder, name: str) -> Floats:
    return ladder.numbers(name)


def _constant(ladder: Ladder, name: str) -> float | None:
    if name not in ladder or ladder.columns[name].dtype.kind not in "fiu":
        return None
    values = np.unique(ladder.columns[name])
    return float(values[0]) if len(values) == 1 else None
