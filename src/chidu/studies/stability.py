"""`stability`: does a model's output move less under small changes, the larger it is?

The output is the distribution of the next token. Five kinds of change (`chidu.studies.moves`): noise in the prompt, its
clauses in another order, one token far back, another seed, another learning rate. How far the output moves is told as
part of how far it moves where all of the context is another (the control), so that a model which says less does not
count as the steadier one for that. The effect is ρ in: relative distance ∝ params^-ρ, the mean of the kinds.

**Interval.** Models of one size share seeds' luck, twins and texts, so a size is one point: what the sizes scatter
about the line, over two fewer degrees of freedom than there are sizes (a bend counts as scatter), and the choice of
texts, each with a slope of its own (`chidu.studies.slopes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import TableError
from chidu.runs.ladder import Ladder
from chidu.studies.moves import measure
from chidu.studies.slopes import Line, slope_of
from chidu.studies.stability_show import meaning, notes
from chidu.studies.study import Seeds, Study
from chidu.studies.verdict import Verdict
from chidu.units import count_of

__all__ = ["STABILITY", "Moved", "gather"]

Floats = NDArray[np.float64]

LEAST_SIZES, LEAST_ITEMS = 4, 8
FAR = 16
"""Tokens back from which on an edit counts as far back."""
LEAST_MOVE = 1e-6
"""Of a relative distance: below, a float32 output tells no difference."""
RATES = (0.5, 2.0)


@dataclass(frozen=True)
class Moved:
    """How far the outputs of every size move, under every change, at every text."""

    params: Floats
    """(sizes,)"""
    tokens: float
    models: int
    """Behind all sizes, twins of another rate not counted."""
    changes: tuple[tuple[str, float], ...]
    """Kind and `by` of each change."""
    distance: Floats
    """(sizes, changes, texts) nats, mean over the models of a size"""
    control: Floats
    """(sizes, changes, texts) the same, all of the context being another"""
    even: Floats | None
    """(sizes, changes, texts) log10 of the relative distance, all models brought to one entropy; None where untold"""

    @property
    def relative(self) -> Floats:
        """(sizes, changes, texts) log10 of distance over control"""
        found: Floats = np.log10(np.maximum(self.distance / self.control, LEAST_MOVE))
        return found

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of change, as they are weighted alike."""
        return tuple(dict.fromkeys(kind for kind, _ in self.changes))

    def counted(self, kind: str) -> list[int]:
        """Return the places of a kind's changes that count: noise in the widest context, edits far back, else all."""
        own = [place for place, (name, _) in enumerate(self.changes) if name == kind]
        widest = max(self.changes[place][1] for place in own)
        least = {"noise": widest, "edit": min(FAR, widest)}.get(kind, -np.inf)
        return [place for place in own if self.changes[place][1] >= least]

    def of_kind(self, kind: str, values: Floats) -> Floats:
        """Return a kind's mean [sizes, texts] of values [sizes, changes, texts], over the changes that count."""
        found: Floats = values[:, self.counted(kind)].mean(axis=1)
        return found

    def of_all(self, values: Floats) -> Floats:
        """Return the mean [sizes, texts] over the kinds, each weighted alike."""
        found: Floats = np.mean([self.of_kind(kind, values) for kind in self.kinds], axis=0)
        return found


def longest(table: Ladder) -> Ladder:
    """Return the rows at the most tokens. Raises TableError where a column that tells rows apart is missing."""
    for name in ("kind", "item", "seed"):
        if name not in table:
            raise TableError(f"{table.source}: no column {name!r}: which rows are of one {name}, it must say")
    tokens = table.numbers("tokens")
    return table.select(tokens == tokens.max())


def gather(table: Ladder) -> Moved:
    """Gather sizes, changes and texts of a table with `params, tokens, seed, kind, item, distance, control`, and, where
    they are there, `by`, `even_distance`, `even_control`; all of one number of tokens.

    Raises TableError where a size was not asked every text under every change, or there are too few of either.
    """
    sizes, of_size = np.unique(table.numbers("params"), return_inverse=True)
    items, of_item = np.unique(table.columns["item"].astype(str), return_inverse=True)
    by = table.numbers("by", positive=False) if "by" in table else np.zeros(len(table))
    named = list(zip(table.columns["kind"].astype(str).tolist(), by.tolist(), strict=True))
    changes = sorted(set(named))
    of_change = np.array([changes.index(each) for each in named])
    shaped = (len(sizes), len(changes), len(items))
    cells = np.ravel_multi_index((of_size.ravel(), of_change, of_item.ravel()), shaped)
    counts = np.bincount(cells, minlength=int(np.prod(shaped))).reshape(shaped)
    if not counts.all():
        size, change, item = (int(each[0]) for each in np.nonzero(counts == 0))
        raise TableError(
            f"{table.source}: no row of {sizes[size]:g} params, {changes[change][0]} {changes[change][1]:g}, item "
            f"{items[item]}: every size must be asked each item under each change"
        )
    if len(sizes) < LEAST_SIZES or len(items) < LEAST_ITEMS:
        raise TableError(
            f"{table.source}: {count_of(len(sizes), 'size')} and {count_of(len(items), 'item')}; the study needs "
            f"{LEAST_SIZES} sizes and {LEAST_ITEMS} items"
        )

    def mean(name: str, positive: bool = True) -> Floats:
        values = table.numbers(name, positive)
        if (values < 0).any():
            raise TableError(f"{table.source}: {name} is {values.min():g} in some row; a distance is 0 at the least")
        found: Floats = np.bincount(cells, values, minlength=counts.size).reshape(shaped) / counts
        return found

    even = None
    if "even_distance" in table and "even_control" in table:
        even = np.log10(np.maximum(mean("even_distance", False) / mean("even_control"), LEAST_MOVE))
    is_own = table.columns["kind"].astype(str) != "rate"
    models = {*zip(of_size.ravel()[is_own].tolist(), table.columns["seed"][is_own].tolist(), strict=True)}
    return Moved(
        params=sizes,
        tokens=float(table.numbers("tokens").max()),
        models=len(models),
        changes=tuple(changes),
        distance=mean("distance", False),
        control=mean("control"),
        even=even,
    )


def judge(study: Study, table: Ladder, _seed: int) -> Verdict:
    """Return the verdict on a table of distances."""
    table = longest(table)
    moved = gather(table)
    told = {kind: law(moved, moved.of_kind(kind, moved.relative), study.level) for kind in moved.kinds}
    whole = law(moved, moved.of_all(moved.relative), study.level)
    found = {
        "tokens": moved.tokens,
        "items": moved.distance.shape[2],
        "all": whole,
        "kinds": told,
        "absolute": law(moved, moved.of_all(np.log10(np.maximum(moved.distance, LEAST_MOVE))), study.level),
        "control": law(moved, moved.of_all(np.log10(moved.control)), study.level),
        "even": None if moved.even is None else law(moved, moved.of_all(moved.even), study.level),
        "rates": {f"{by:g}": law(moved, moved.relative[:, place], study.level)
                  for place, (kind, by) in enumerate(moved.changes) if kind == "rate"},
        "entropy": entropies(table),
        "back": along(moved, "edit", study.level),
        "contexts": along(moved, "noise", study.level),
        "spikes": spikes(table),
    }  # fmt: skip
    return study.concluded(
        whole["value"],
        whole["low"],
        whole["high"],
        meaning=meaning(found),
        runs=moved.models,
        rows=rows(told, whole),
        findings=found,
        notes=(*table.notes, *notes(found, moved.kinds)),
    )


def law(moved: Moved, logs: Floats, level: float) -> dict[str, Any]:
    """Return ρ of 10^logs ∝ params^-ρ, for logs [sizes, texts], its interval, its line, and a point a size.

    The line is relative = 10^(`log_level` - ρ (log10 params - `log_centre`)); a point's interval is of the texts.
    """
    decades = np.log10(moved.params)
    found = slope_of(decades, -logs, np.zeros(logs.shape[1], dtype=np.int64), level)
    line = Line.of(decades, logs.mean(axis=1))
    half = 1.645 * logs.std(axis=1, ddof=1) / logs.shape[1] ** 0.5
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "log_level": line.level,
        "log_centre": line.centre,
        "points": [
            {"params": float(params), "relative": float(10**mean), "low": float(10 ** (mean - off)),
             "high": float(10 ** (mean + off)), "law": float(10 ** line.at(decade))}
            for params, mean, off, decade in zip(moved.params, logs.mean(axis=1), half, decades, strict=True)
        ],
    }  # fmt: skip


def along(moved: Moved, kind: str, level: float) -> dict[str, Any] | None:
    """Return how a kind's relative distance goes as a power of `by`: of each size, and how the power goes with params.

    None where the kind has fewer than three.
    """
    places = [place for place, (name, _) in enumerate(moved.changes) if name == kind]
    if len(places) < 3:
        return None
    by = np.array([moved.changes[place][1] for place in places])
    logs = moved.relative[:, places].mean(axis=2)  # [sizes, by]
    powers = []
    for size in range(len(moved.params)):
        # Texts are drawn from many: their spread about each size's own power makes its interval.
        found = slope_of(np.log10(by), moved.relative[size, places], np.zeros(moved.distance.shape[2], np.int64), level)
        line = Line.of(np.log10(by), logs[size])
        powers.append(
            {"params": float(moved.params[size]), "power": found.value, "low": found.low, "high": found.high,
             "log_level": line.level, "log_centre": line.centre,
             "points": [{"by": float(x), "relative": float(10**y)} for x, y in zip(by, logs[size], strict=True)]}
        )  # fmt: skip
    per_text = np.log10(by) - np.log10(by).mean()
    own = np.einsum("b,sbi->si", per_text, moved.relative[:, places]) / float(per_text @ per_text)
    change = slope_of(np.log10(moved.params), own, np.zeros(own.shape[1], dtype=np.int64), level)
    return {
        "sizes": powers,
        "power_per_decade": {"value": change.value, "low": change.low, "high": change.high},
    }


def entropies(table: Ladder) -> list[dict[str, float]]:
    """Return each size's mean entropy, nats, where the table tells it."""
    if "entropy" not in table:
        return []
    own = table.select(table.columns["kind"].astype(str) != "rate")
    params, values = own.numbers("params"), own.numbers("entropy", positive=False)
    return [{"params": float(each), "entropy": float(values[params == each].mean())} for each in np.unique(params)]


def spikes(table: Ladder) -> list[dict[str, float | None]]:
    """Return how often batches were passed over in training, by size and rate, and the largest rise of its loss and of
    its gradient's norm (None where that was not kept)."""
    if not all(name in table for name in ("steps", "passed_over", "rollbacks", "rise", "by")):
        return []
    is_rate = table.columns["kind"].astype(str) == "rate"
    rate = np.where(is_rate, table.numbers("by", positive=False), 1.0)
    told = [
        table.numbers(name, positive=False) for name in ("params", "seed", "steps", "passed_over", "rollbacks", "rise")
    ]
    # Runs made before norms were kept have none, and a row of NaN is like no other: so they stand as -1.
    norms = table.columns["norm_rise"] if "norm_rise" in table else np.full(len(table), np.nan)
    if norms.dtype.kind not in "fiub":
        norms = table.numbers("norm_rise", positive=False)
    told.append(np.where(np.isfinite(norms), norms, -1.0))
    runs = np.unique(np.column_stack([told[0], rate, *told[1:]]), axis=0)
    found: list[dict[str, float | None]] = []
    for params, factor in np.unique(runs[:, :2], axis=0):
        chosen = runs[(runs[:, 0] == params) & (runs[:, 1] == factor)]
        found.append(
            {"params": float(params), "rate": float(factor), "runs": len(chosen), "steps": int(chosen[:, 3].sum()),
             "passed_over": int(chosen[:, 4].sum()), "rollbacks": int(chosen[:, 5].sum()),
             "largest_rise": float(chosen[:, 6].max()),
             "largest_norm_rise": float(chosen[:, 7].max()) if chosen[:, 7].max() >= 0 else None}
        )  # fmt: skip
    return found


def rows(told: dict[str, Any], whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row a kind: how far the smallest and the largest size move, percent of the control, and ρ."""
    return [
        {"change": kind, "smallest_percent": 100 * each["points"][0]["relative"],
         "largest_percent": 100 * each["points"][-1]["relative"], "rho": each["value"], "low": each["low"],
         "high": each["high"]}
        for kind, each in [*told.items(), ("all", whole)]
    ]  # fmt: skip


STABILITY = Study(
    name="stability",
    claim="the larger the model, the less its output moves under small changes, tokens being equal",
    statistic="ρ in: Jensen–Shannon distance of the output from itself, over that of another context ∝ params^-ρ",
    threshold=0.05,
    why="ten times the params take a tenth off the movement (× 0.89)",
    level=0.9,
    judge=judge,
    seeds=Seeds(least=2, wanted=3, most=8, rates=RATES),
    measure=measure,
    measure_seconds=40.0,
    measure_part=0.2,
)
