"""Findings that others published, beside what the same reading of these runs gives.

A row says what was published, how much of a departure still counts as the same (`allowed`, stated beforehand), what
these runs give with an interval, and by one rule whether the finding is shown: the whole interval lies in what is
allowed; not shown: it lies wholly outside; else nobody can tell.

Sources: Kaplan et al. (2001.08361): loss as powers of params, tokens and flops, params growing as flops^0.73, weak
dependence on shape. Hoffmann et al. (2203.15556): L = E + A/N^α + B/D^β with α = 0.34, β = 0.28, params growing as
flops^0.46 to flops^0.50, about 20 tokens a param. Porian et al. (2406.19146): three causes that make the first exponent
larger than the second: the head's flops were not counted, the warm-up was too long for small models, and optimiser and
batch were not tuned for each size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import ChiduError, TableError
from chidu.laws import fit
from chidu.laws.calibration import student
from chidu.runs.ladder import Ladder

__all__ = ["HEAD", "Finding", "Moved", "Published", "Shown", "compare_published", "exponent_moved", "shown"]

Floats = NDArray[np.float64]

LEVEL = 0.9
RESAMPLES = 200
HEAD = "params_head"
"""Column of the params of a model's head, where they are known."""
LOSS_EXPONENT, SPENDING_EXPONENT, RATIO = 0.25, 0.1, 2.0
"""Allowed: an exponent of the loss a quarter off, that of the best size a tenth, tokens per param a factor of two."""
SHAPE_PERCENT = 3.0
LEAST_CELLS, LEAST_FRONTIER = 8, 4
WARMUP_STEPS, BATCH = "warmup_steps", "batch_tokens"
RATES = ("learning_rate", "embedding_learning_rate", "head_learning_rate", BATCH)
"""Columns that are tuned together: one setting for all sizes has one value in each that a table has."""
KAPLAN, HOFFMANN = "Kaplan et al. 2020, 2001.08361", "Hoffmann et al. 2022, 2203.15556"
PORIAN = "Porian et al. 2024, 2406.19146"


_FLOOR = "Far above its floor a loss falls faster than near it, and each text has a floor of its own"
_SMALL = "These sizes are small: the head is a large part of them, and the law of larger ones may be another"
REASONS = {
    "loss_params": _FLOOR,
    "loss_tokens": _FLOOR,
    "loss_flops": _FLOOR,
    "alpha": _SMALL,
    "beta": _SMALL,
    "floor": "Runs far above a floor do not show it",
    "size": "The head counts in full here, and is a large part of small models",
    "size_bare": "Where the head is small, or warm-up and rates suit every size, Kaplan's exponent is not expected",
    "tokens_per_param": "The ratio is that of these flops alone: it moves with them wherever the exponent is not 0.5",
    "shape": "Odd shapes cost a small model more",
    "head": "Where the head is a small part of every size, it moves nothing",
    "warmup": "The warm-up may have been short for every size",
    "tuned": "One setting may have suited every size",
}
"""What may be the reason, where a finding is not shown."""


class Shown(StrEnum):
    """What these runs say of a published finding."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    CANNOT_TELL = "cannot tell"
    NOT_RUN = "not run here"


def shown(low: float, high: float, allowed: tuple[float, float]) -> Shown:
    """Return `shown` where the whole interval lies in what is allowed, `not shown` where none of it does."""
    if math.isnan(low) or math.isnan(high):
        return Shown.CANNOT_TELL
    if allowed[0] <= low and high <= allowed[1]:
        return Shown.SHOWN
    return Shown.NOT_SHOWN if high < allowed[0] or low > allowed[1] else Shown.CANNOT_TELL


@dataclass(frozen=True)
class Finding:
    """One published finding, and what these runs give for it."""

    name: str
    source: str
    said: str
    """What was found, in one line."""
    published: str
    """The published value, as a reader writes it."""
    allowed: tuple[float, float] | None
    """What still counts as the same; None where nothing was run."""
    value: float | None
    low: float | None
    high: float | None
    shown: Shown
    read: str
    """What it was read from, or why there is nothing."""

    @property
    def why(self) -> str:
        """What may be the reason, where a finding is not shown: reasoned, not measured. Empty elsewhere."""
        return REASONS.get(self.name, "") if self.shown is Shown.NOT_SHOWN else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; null stands for a bound that is infinite."""
        found = asdict(self)
        allowed = None if self.allowed is None else [each if math.isfinite(each) else None for each in self.allowed]
        return {**found, "allowed": allowed, "shown": self.shown.value, "why": self.why}


@dataclass(frozen=True)
class Published:
    """All findings, compared on one table of runs. Prints itself."""

    source: str
    runs: int
    level: float
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        rows = [each.as_dict() for each in self.findings]
        return {"source": self.source, "runs": self.runs, "level": self.level, "findings": rows}

    def __str__(self) -> str:
        lines = [f"{self.runs} runs against what was published, intervals at {self.level:.0%}", ""]
        for each in self.findings:
            ours = "" if each.value is None else f" ours {each.value:.3g} ({each.low:.3g} to {each.high:.3g});"
            why = f". {each.why}" if each.why else ""
            lines.append(f"{each.shown.value:12}  {each.said}: published {each.published};{ours} {each.read}{why}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Points:
    """Runs as the laws read them."""

    params: Floats
    tokens: Floats
    loss: Floats
    flops: Floats
    head: Floats | None
    """Params of the head; None where they are not known."""
    group: Sequence[Any] | None

    @classmethod
    def of(cls, runs: Ladder) -> Points:
        """Read them. Raises TableError where a column is missing or too few sizes and lengths are there."""
        name = "params_matmul" if "params_matmul" in runs else "params"
        params, tokens, loss = (runs.numbers(each) for each in (name, "tokens", "loss"))
        if len(params) < LEAST_CELLS or len(np.unique(params)) < 4 or len(np.unique(tokens)) < 2:
            raise TableError(
                f"{runs.source}: {len(params)} runs of {len(np.unique(params))} sizes; exponents need "
                f"{LEAST_CELLS} runs of 4 sizes and 2 numbers of tokens"
            )
        flops = runs.numbers("flops") if "flops" in runs else 6 * params * tokens
        group = runs.columns["group"].tolist() if "group" in runs else None
        return cls(params, tokens, loss, flops, head_of(runs), group)

    def chosen(self, rows: NDArray[np.int64]) -> Points:
        """Return some of the runs."""
        group = None if self.group is None else [self.group[row] for row in rows.tolist()]
        head = None if self.head is None else self.head[rows]
        return Points(self.params[rows], self.tokens[rows], self.loss[rows], self.flops[rows], head, group)

    def without_head(self) -> Points | None:
        """Count params without the head; None where its params are not known, or are all there is."""
        if self.head is None or (self.head >= self.params).any():
            return None
        return Points(self.params - self.head, self.tokens, self.loss, self.flops, None, self.group)


def head_of(runs: Ladder) -> Floats | None:
    """Return the head's params: of its own column, or what params hold beyond the non-embedding ones, or, of a ladder
    of ours, beyond those that are multiplied (an embedding as large as the head, and the norms)."""
    if HEAD in runs:
        return runs.numbers(HEAD)
    if "params_matmul" in runs and "params" in runs:
        return np.maximum(0.0, runs.numbers("params") - runs.numbers("params_matmul"))
    if "params_non_embedding" in runs and "params" in runs:
        return np.maximum(0.0, runs.numbers("params") - runs.numbers("params_non_embedding"))
    return None


@dataclass(frozen=True)
class Additive:
    """The additive law of some runs; each value first by the fit, then by its refits (1 + R,)."""

    named: Mapping[str, Floats]
    level: float

    @classmethod
    def of(cls, points: Points, seed: int) -> Additive:
        """Fit it. Raises FitError."""
        columns = {"params": points.params, "tokens": points.tokens, "loss": points.loss}
        more = {} if points.group is None else {"group": points.group}
        law = fit(Ladder({**columns, **more}, "runs"), "additive", RESAMPLES, level=LEVEL, seed=seed)
        return cls(law.solution.named(np.vstack([law.solution.theta[None], law.refits])), LEVEL)

    @property
    def spending(self) -> Floats:
        """The exponent a in: best params ∝ flops^a."""
        alpha, beta = self.named["alpha"], self.named["beta"]
        return np.asarray(beta / (alpha + beta))

    def tokens_per_param(self, flops: float) -> Floats:
        """At the best size for a budget of 6 · params · tokens."""
        alpha, beta = self.named["alpha"], self.named["beta"]
        size = (alpha * self.named["A"] / (beta * self.named["B"])) ** (1 / (alpha + beta))
        best = size * (flops / 6) ** self.spending
        return np.asarray(flops / 6 / best**2)


def compare_published(runs: Ladder, seed: int = 0, structure: Mapping[str, Any] | None = None) -> Published:
    """Compare what was published with a table of runs with `loss`, `params` and `tokens`.

    `structure` is the JSON form of that study's verdict. Raises TableError where the runs are too few for any exponent.
    """
    points = Points.of(runs.select(settled_rows(runs, Points.of(runs))))
    findings = [*slopes(points), *spending(points, seed), shapes(structure), *causes(runs, points, seed)]
    return Published(runs.source, len(runs), LEVEL, tuple(findings))


def slopes(points: Points) -> list[Finding]:
    """Compare Kaplan's exponents of the loss: a plane through all log losses, and a line through the frontier's."""
    logs = np.log(np.column_stack([points.params, points.tokens]))
    names = ("params", "tokens")
    found = regression(logs, np.log(points.loss))
    read = f"a plane through {len(points.loss)} log losses over log params and log tokens"
    made = [
        finding(
            f"loss_{name}", KAPLAN, f"loss falls as {name} to the power {value:g}", f"{value:g}",
            around(value, LOSS_EXPONENT), -slope, error, freedom, read,
        )
        for name, value, (slope, error, freedom) in zip(names, (0.076, 0.095), found, strict=True)
    ]  # fmt: skip
    rows = frontier(points.flops, points.loss)
    said, allowed = "on the frontier loss falls as flops to the power 0.050", around(0.05, LOSS_EXPONENT)
    if len(rows) < LEAST_FRONTIER:
        why = f"{len(rows)} runs are beaten by no cheaper one; a line needs {LEAST_FRONTIER}"
        return [*made, cannot("loss_flops", KAPLAN, said, "0.050", allowed, why)]
    ((slope, error, freedom),) = regression(np.log(points.flops[rows])[:, None], np.log(points.loss[rows]))
    why = f"a line through the {len(rows)} runs that no cheaper one beats"
    return [*made, finding("loss_flops", KAPLAN, said, "0.050", allowed, -slope, error, freedom, why)]


def around(value: float, part: float) -> tuple[float, float]:
    """Return what is allowed about a value."""
    return value * (1 - part), value * (1 + part)


def frontier(flops: Floats, loss: Floats) -> NDArray[np.int64]:
    """Return the rows of runs that no cheaper one beats."""
    order = np.lexsort((loss, flops))
    best = np.minimum.accumulate(loss[order])
    kept = np.concatenate([[True], best[1:] < best[:-1]])
    found: NDArray[np.int64] = order[kept]
    return found


def regression(inputs: Floats, values: Floats) -> list[tuple[float, float, int]]:
    """Return slope, its standard error and the degrees of freedom of each input (rows, inputs)."""
    design = np.column_stack([np.ones(len(values)), inputs - inputs.mean(axis=0)])
    freedom = len(values) - design.shape[1]
    inverse = np.linalg.pinv(design.T @ design)
    found = inverse @ design.T @ values
    variance = float(((values - design @ found) ** 2).sum()) / freedom
    errors = np.sqrt(np.diag(inverse) * variance)
    return [(float(found[k]), float(errors[k]), freedom) for k in range(1, design.shape[1])]


def finding(
    name: str,
    source: str,
    said: str,
    published: str,
    allowed: tuple[float, float],
    value: float,
    error: float,
    freedom: int,
    read: str,
) -> Finding:
    """Return a row from a value with a standard error."""
    half = student(0.5 + LEVEL / 2, freedom) * error
    low, high = value - half, value + half
    return Finding(name, source, said, published, allowed, value, low, high, shown(low, high, allowed), read)


def cannot(
    name: str, source: str, said: str, published: str, allowed: tuple[float, float] | None, read: str
) -> Finding:
    """Return a row that has no value."""
    return Finding(name, source, said, published, allowed, None, None, None, Shown.CANNOT_TELL, read)


def drawn(
    name: str, source: str, said: str, published: str, allowed: tuple[float, float], values: Floats, read: str
) -> Finding:
    """Return a row from a value and its refits (1 + R,)."""
    kept = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(kept):
        return cannot(name, source, said, published, allowed, "the law's parameters are not fixed by these runs")
    low, high = np.quantile(kept, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    low, high = min(float(low), float(values[0])), max(float(high), float(values[0]))
    return Finding(name, source, said, published, allowed, float(values[0]), low, high, shown(low, high, allowed), read)


SPENDING = (
    ("alpha", HOFFMANN, "the loss's term of params falls with the exponent α = 0.34", "0.34", LOSS_EXPONENT),
    ("beta", HOFFMANN, "the loss's term of tokens falls with the exponent β = 0.28", "0.28", LOSS_EXPONENT),
)
KAPLAN_SIZE = "the best size grows as flops to the power 0.73, the head not counted"
HOFFMANN_SIZE = "the best size grows as flops to the power 0.46 to 0.50, the head counted"
FLOOR = "the loss has a floor above 0"
PER_PARAM = "the best run has about 20 tokens per param"


def spending(points: Points, seed: int) -> list[Finding]:
    """Compare the additive law's exponents and floor, and how the best size grows with flops."""
    read = f"the additive law of {len(points.loss)} runs, {RESAMPLES} refits"
    most = float((6 * points.params * points.tokens).max())
    low, high = around(0.46, SPENDING_EXPONENT)[0], around(0.50, SPENDING_EXPONENT)[1]
    try:
        law = Additive.of(points, seed)
    except ChiduError as error:
        rows = [(name, source, said, value) for name, source, said, value, _ in SPENDING]
        rows += [("floor", HOFFMANN, FLOOR, "above 0"), ("size", HOFFMANN, HOFFMANN_SIZE, "0.46 to 0.50")]
        rows += [("tokens_per_param", HOFFMANN, PER_PARAM, "20")]
        return [cannot(*each, None, str(error)) for each in rows]
    found = [
        drawn(name, source, said, value, around(float(value), part), law.named[name], read)
        for name, source, said, value, part in SPENDING
    ]
    # A floor of 0 is the edge of its range: an interval that begins there says nothing against none.
    floor = law.named["E"] / float(points.loss.min())
    least = f"{read}; as part of the least loss, and a hundredth of that counts as none"
    found.append(drawn("floor", HOFFMANN, FLOOR, "above 0", (0.01, 1.0), floor, least))
    found.append(drawn("size", HOFFMANN, HOFFMANN_SIZE, "0.46 to 0.50", (low, high), law.spending, read))
    found.append(kaplan_size(points, seed))
    at = f"{read}, at the dearest run's flops (6 · params · tokens)"
    ratio = law.tokens_per_param(most)
    return [*found, drawn("tokens_per_param", HOFFMANN, PER_PARAM, "20", (20 / RATIO, 20 * RATIO), ratio, at)]


def kaplan_size(points: Points, seed: int) -> Finding:
    """Compare Kaplan's growth of the best size, which counts params without head and embedding."""
    allowed, bare = around(0.73, SPENDING_EXPONENT), points.without_head()
    if bare is None:
        return cannot("size_bare", KAPLAN, KAPLAN_SIZE, "0.73", allowed, "the head's params are not known")
    try:
        values = Additive.of(bare, seed).spending
    except ChiduError as error:
        return cannot("size_bare", KAPLAN, KAPLAN_SIZE, "0.73", allowed, str(error))
    why = f"the additive law of {len(points.loss)} runs, {RESAMPLES} refits, params without the head"
    return drawn("size_bare", KAPLAN, KAPLAN_SIZE, "0.73", allowed, values, why)


def shapes(structure: Mapping[str, Any] | None) -> Finding:
    """Compare how far shapes spread at the largest size of the study of structure."""
    said, allowed = "at equal params the loss depends on the shape by a few percent at the most", (0.0, SHAPE_PERCENT)
    last = (structure or {}).get("rows") or ()
    if not last or not {"shapes", "spread_percent"} <= set(last[-1]):
        why = "no study of structure was made on these runs"
        return Finding("shape", KAPLAN, said, "3% at the most", None, None, None, None, Shown.NOT_RUN, why)
    freedom, value = int(last[-1]["shapes"]) - 1, float(last[-1]["spread_percent"])
    low, high = (value / math.sqrt(chi_square(side, freedom) / freedom) for side in (0.5 + LEVEL / 2, 0.5 - LEVEL / 2))
    why = f"percent, one standard deviation over {freedom + 1} shapes at the largest size of the study of structure"
    return Finding("shape", KAPLAN, said, "3% at the most", allowed, value, low, high, shown(low, high, allowed), why)


def chi_square(part: float, freedom: int) -> float:
    """Return the quantile of χ² (Wilson and Hilferty 1931; within 2% from two degrees of freedom on)."""
    spread = 2 / (9 * freedom)
    return float(freedom * max(0.05, 1 - spread + student(part, 10**6) * math.sqrt(spread)) ** 3)


COUNTED = "leaving the head's flops out raises the exponent of the best size"
WARMUP = "a warm-up too long for small models raises it"
TUNED = "one learning rate and batch for all sizes raises it"
RAISES = "above 0"


def causes(runs: Ladder, points: Points, seed: int) -> list[Finding]:
    """Compare Porian's three causes, each as what it adds to the exponent a in: best params ∝ flops^a."""
    bare, found = points.without_head(), []
    if bare is None:
        found.append(not_run("head", COUNTED, "the head's params are not known"))
    else:
        found.append(moved("head", COUNTED, bare, points, seed, "recounted on the same runs and refits"))
    every = Points.of(runs)
    for name, said, columns, held in (
        ("warmup", WARMUP, (WARMUP_STEPS,), RATES),
        ("tuned", TUNED, RATES, (WARMUP_STEPS,)),
    ):
        rows = repeated(runs, every, columns, held)
        if rows is None:
            why = f"no size and length was run with several values of {TOLD[name]}"
            found.append(not_run(name, said, why))
            continue
        one, best = (every.chosen(each) for each in rows)
        cells = len(np.unique(np.column_stack([one.params, one.tokens]), axis=0))
        many = "" if len(one.loss) == cells else f", {len(one.loss)} runs"
        why = f"{cells} sizes and lengths{many}: one value for all, against the best of each"
        # What is drawn together is a size's runs of one seed, in both alike.
        found.append(moved(name, said, one, replace(best, group=one.group), seed, why))
    return found


TOLD = {"warmup": WARMUP_STEPS, "tuned": f"{RATES[0]} or {BATCH}"}


def not_run(name: str, said: str, why: str) -> Finding:
    """Return a cause that these runs say nothing of."""
    return Finding(name, PORIAN, said, RAISES, None, None, None, None, Shown.NOT_RUN, why)


def moved(name: str, said: str, at_fault: Points, mended: Points, seed: int, why: str) -> Finding:
    """Return by how much the exponent is larger with the fault; refits of both draw the same runs."""
    allowed = (0.0, math.inf)
    try:
        first, second = (Additive.of(each, seed).spending for each in (at_fault, mended))
    except ChiduError as error:
        return cannot(name, PORIAN, said, RAISES, allowed, str(error))
    told = f"{why}; from {second[0]:.3f} to {first[0]:.3f}"
    return drawn(name, PORIAN, said, RAISES, allowed, first - second, told)


Told = tuple[float, ...]
"""A setting: its values in some columns."""
Cells = dict[tuple[Any, ...], dict[Told, dict[Any, int]]]
"""Size, length and what is held fixed → setting → seed → row."""


def repeated(
    runs: Ladder, points: Points, columns: Sequence[str], held: Sequence[str] = ()
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return rows of each size and length, first with one setting for all, then the best; of both the same seeds.

    `columns` are what is set, those of them that the table has; what is `held` is alike within a size and length. A
    warm-up is so in steps or, where batches differ, in tokens. None where no setting is common to LEAST_CELLS sizes and
    lengths that have several. The common setting is that of the most; of warm-ups then the longest, of rates and
    batches the one that suits the largest size.
    """
    names = [name for name in columns if name in runs]
    if not names:
        return None
    settings = np.column_stack([runs.numbers(name, False) for name in names])
    found = [several(runs, points, settings, fixed) for fixed in held_fixed(runs, held)]
    cells = max(found, key=lambda each: sum(len(settings) for settings in each))
    counts: dict[Told, int] = {}
    for told in (told for each in cells for told in each):
        counts[told] = counts.get(told, 0) + 1
    if not counts:
        return None
    of_most = [told for told, count in counts.items() if count == max(counts.values())]
    if WARMUP_STEPS in columns:
        common = max(of_most)
    else:
        common = min(of_most, key=lambda told: loss_of_largest(told, cells, points))
    of_common = [each for each in cells if common in each]
    places = {(points.params[row], points.tokens[row]) for each in of_common for row in each[common].values()}
    if len(places) < LEAST_CELLS or len({params for params, _ in places}) < 4:
        return None
    pairs = []
    for each in of_common:
        best = each[min(each, key=lambda told: mean_loss(each[told], points))]
        pairs += [(row, best[seed]) for seed, row in each[common].items() if seed in best]
    one, mended = np.array(pairs).T
    return one, mended


def held_fixed(runs: Ladder, held: Sequence[str]) -> list[list[tuple[Any, ...]]]:
    """Return the ways to hold columns, a tuple a row: a warm-up in steps, and in tokens where batches are known."""
    values = cells_of(runs, [name for name in held if name in runs])
    if WARMUP_STEPS not in held or WARMUP_STEPS not in runs or BATCH not in runs:
        return [values]
    tokens = runs.numbers(WARMUP_STEPS, False) * runs.numbers(BATCH)
    return [values, [(each,) for each in tokens.tolist()]]


def cells_of(runs: Ladder, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the values of some columns, a tuple a row; None stands for an empty cell, so that two are alike."""
    columns = [[None if is_empty(each) else each for each in runs.columns[name].tolist()] for name in names]
    return list(zip(*columns, strict=True)) if columns else [()] * len(runs)


def is_empty(value: Any) -> bool:
    """Return whether a cell holds nothing."""
    return isinstance(value, float) and math.isnan(value)


def several(
    runs: Ladder, points: Points, settings: Floats, fixed: Sequence[tuple[Any, ...]]
) -> list[dict[Told, dict[Any, int]]]:
    """Return the rows of each size and length that was run with several settings: setting → seed → row, the best."""
    seeds = cells_of(runs, ["seed"] if "seed" in runs else [])
    cells: Cells = {}
    for row, (params, tokens) in enumerate(zip(points.params.tolist(), points.tokens.tolist(), strict=True)):
        cell = cells.setdefault((params, tokens, *fixed[row]), {})
        kept = cell.setdefault(tuple(settings[row].tolist()), {})
        if seeds[row] not in kept or points.loss[row] < points.loss[kept[seeds[row]]]:
            kept[seeds[row]] = row
    return [each for each in cells.values() if len(each) > 1]


def mean_loss(rows: Mapping[Any, int], points: Points) -> float:
    """Return the mean log loss of a setting's runs."""
    return float(np.log(points.loss[list(rows.values())]).mean())


def loss_of_largest(told: Told, cells: Sequence[Mapping[Told, Mapping[Any, int]]], points: Points) -> float:
    """Return the mean log loss of a setting at the largest size that has it."""
    rows = np.array([row for each in cells for row in each.get(told, {}).values()])
    return float(np.log(points.loss[rows[points.params[rows] == points.params[rows].max()]]).mean())


def settled_rows(runs: Ladder, points: Points) -> NDArray[np.int64]:
    """Return the rows that laws are read from: where a size and length was run with several rates, batches or
    warm-ups, those of the setting that is best on average."""
    settings = cells_of(runs, [name for name in (*RATES, WARMUP_STEPS) if name in runs])
    cells: dict[tuple[float, float], dict[tuple[Any, ...], dict[int, int]]] = {}
    for row, place in enumerate(zip(points.params.tolist(), points.tokens.tolist(), strict=True)):
        cells.setdefault(place, {}).setdefault(settings[row], {})[row] = row
    best = [min(each.values(), key=lambda rows: mean_loss(rows, points)) for each in cells.values()]
    return np.array(sorted(row for rows in best for row in rows), dtype=np.int64)


@dataclass(frozen=True)
class Moved:
    """How far the exponent of the best size lies higher in one ladder than in another of the same sizes and seeds."""

    at_fault: float
    mended: float
    value: float
    low: float
    high: float
    shown: Shown


def exponent_moved(at_fault: Ladder, mended: Ladder, seed: int = 0) -> Moved:
    """Compare two ladders whose rows have one order of sizes, lengths and seeds, by common refits. Raises FitError."""
    one, other = Points.of(at_fault), Points.of(mended)
    first, second = (Additive.of(each, seed).spending for each in (one, replace(other, group=one.group)))
    found = drawn("moved", "", "", RAISES, (0.0, math.inf), first - second, "")
    low, high = (math.nan if each is None else each for each in (found.low, found.high))
    return Moved(float(first[0]), float(second[0]), float(first[0] - second[0]), low, high, found.shown)
