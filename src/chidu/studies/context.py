"""`context`: with more words in its context, does the log-linear model sharpen, or average out?

P(k | context) ∝ exp(Σ θ_{k,j}) over the last |N| words. With the sum as written an exponent may grow with |N|, and with
it the distance of P from the average distribution (its mean over contexts); with the mean over |N| words that agree
ever better, P may come to that average. The effect is κ in: distance ∝ |N|^κ, of models trained at each |N| with the
sum and a full θ; the distance is the Jensen–Shannon one. Beside it stand the same of the mean, of a θ of low rank, of
models that read more words than they were trained on, the laws of loss and entropy; Transformers read with their
context cut to |N| words, with the same laws; and what small tasks score by what stands before them (`crossed.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import TableError
from chidu.runs.ladder import Ladder
from chidu.studies.bags import OWN_RUNS
from chidu.studies.crossed import Crossed, crossed_of
from chidu.studies.slopes import Line, bend_chance, student
from chidu.studies.study import Study
from chidu.studies.verdict import Verdict
from chidu.units import format_count

__all__ = ["CONTEXT", "Trend", "trend"]

Floats = NDArray[np.float64]

LEAST_WINDOWS, LEAST_MODELS = 4, 6
FORMS = ("sum", "mean")
MEASURES = ("loss", "entropy", "distance")


@dataclass(frozen=True)
class Trend:
    """A slope over log10 of the words read, with its interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return the JSON form."""
        return {"value": self.value, "low": self.low, "high": self.high}


def trend(decades: Floats, values: Floats, level: float) -> Trend:
    """Return the slope of values [M] over decades [M]; what they scatter about the line makes the interval."""
    line, freedom = Line.of(decades, values), len(values) - 2
    error = (line.scatter / ((decades - line.centre) ** 2).sum()) ** 0.5
    half = student(0.5 + level / 2, freedom) * float(error)
    return Trend(line.slope, line.slope - half, line.slope + half)


def judge(study: Study, table: Ladder, seed: int) -> Verdict:
    """Return the verdict on a table with `model, theta, trained, read, seed, loss, entropy, distance`.

    Raises TableError where a column is missing, or the sums with a full θ are too few.
    """
    for name in ("model", "theta"):
        if name not in table:
            raise TableError(f"{table.source}: no column {name!r}: which rows are of what model, it must say")
    bags = table.select(np.isin(table.columns["model"].astype(str), FORMS))
    own = bags.select(bags.numbers("read") == bags.numbers("trained")) if len(bags) else bags
    main = part(own, "sum", "full")
    read = main.numbers("read") if len(main) else np.empty(0)
    if len(np.unique(read)) < LEAST_WINDOWS or len(read) < LEAST_MODELS:
        raise TableError(
            f"{table.source}: {len(read)} models of the sum with a full θ, of {len(np.unique(read))} windows, read as "
            f"many words as they were trained on; the study needs {LEAST_MODELS} of {LEAST_WINDOWS}"
        )
    decades = np.log10(read)
    found = trend(decades, np.log10(main.numbers("distance")), study.level)
    laws, wider = laws_of(own, study.level), widened(bags)
    bend = bend_chance(decades, np.log10(main.numbers("distance")), seed)
    others, crossed = transformer_laws(table, study.level), crossed_of(table, study.level)
    return study.concluded(
        found.value,
        found.low,
        found.high,
        meaning=meaning(own, laws, wider, beside(table)) + _law_words(others) + _crossed_words(crossed),
        runs=len(own),
        rows=rows(own, beside(table)),
        findings={
            "laws": laws,
            "points": points(own),
            "lines": lines_of(own),
            "widened": wider,
            "transformer": beside(table),
            "transformer_laws": others,
            "tasks": None if crossed is None else crossed.as_dict(),
            "bend_chance": bend,
        },
        notes=notes(bend),
    )


def part(table: Ladder, form: str, theta: str) -> Ladder:
    """Return the rows of one form of exponent and one kind of θ."""
    return table.select((table.columns["model"].astype(str) == form) & (table.columns["theta"].astype(str) == theta))


def laws_of(own: Ladder, level: float) -> dict[str, dict[str, Any]]:
    """Return of each kind of model how loss, entropy (nats) and log distance go per tenfold words."""
    found: dict[str, dict[str, Any]] = {}
    for form in FORMS:
        for theta in ("full", "low"):
            chosen = part(own, form, theta)
            if len(chosen) < 3 or len(np.unique(chosen.numbers("read"))) < 3:
                continue
            decades = np.log10(chosen.numbers("read"))
            values = {name: chosen.numbers(name) for name in MEASURES}
            values["distance"] = np.log10(values["distance"])
            found[f"{form} {theta}"] = {name: trend(decades, values[name], level).as_dict() for name in MEASURES}
    return found


def widened(bags: Ladder) -> dict[str, list[dict[str, float]]]:
    """Return how a full θ trained on one word does as it reads more of them, of each form, means over seeds."""
    found = {}
    for form in FORMS:
        chosen = part(bags, form, "full")
        if not len(chosen):
            continue
        first = chosen.numbers("trained") == chosen.numbers("trained").min()
        found[form] = means(chosen.select(first))
    return found


def means(chosen: Ladder) -> list[dict[str, float]]:
    """Return the means over seeds for each number of words read."""
    read = chosen.numbers("read")
    return [
        {"read": float(each), **{name: float(chosen.numbers(name)[read == each].mean()) for name in MEASURES}}
        for each in np.unique(read)
    ]


def points(own: Ladder) -> dict[str, list[dict[str, float]]]:
    """Return of each kind of model what it comes to at each number of words it was trained on and reads."""
    kinds = [(form, theta) for form in FORMS for theta in ("full", "low")]
    return {f"{form} {theta}": means(part(own, form, theta)) for form, theta in kinds if len(part(own, form, theta))}


def lines_of(own: Ladder) -> dict[str, list[dict[str, float]]]:
    """Return the fitted law of each kind's distance, a point a number of words."""
    found = {}
    for kind in points(own):
        chosen = part(own, *kind.split())
        decades = np.log10(chosen.numbers("read"))
        if len(np.unique(decades)) >= 3:
            line = Line.of(decades, np.log10(chosen.numbers("distance")))
            found[kind] = [{"read": 10**x, "distance": 10 ** line.at(x)} for x in np.unique(decades).tolist()]
    return found


def transformers(table: Ladder) -> list[tuple[float, Ladder]]:
    """Return the Transformers' rows by size; those that do not tell one are of one size."""
    chosen = table.select(table.columns["model"].astype(str) == "transformer")
    if not len(chosen):
        return []
    sizes = column(chosen, "params")
    return [(float(size), chosen.select(sizes == size)) for size in np.unique(sizes[np.isfinite(sizes)])]


def column(table: Ladder, name: str) -> Floats:
    """Return a column of numbers, NaN where it is empty or not there."""
    if name not in table:
        return np.full(len(table), np.nan)
    return np.array([np.nan if each in (None, "") else float(each) for each in table.columns[name].tolist()])


def beside(table: Ladder) -> list[dict[str, float]]:
    """Return what the Transformers come to at each number of words that they are given, means over seeds."""
    found = []
    for size, chosen in transformers(table):
        read = chosen.numbers("read")
        for each in np.unique(read):
            told = {name: float(column(chosen, name)[read == each].mean()) for name in MEASURES}
            found.append({"params": size, "read": float(each), **told})
    return found


def transformer_laws(table: Ladder, level: float) -> list[dict[str, Any]]:
    """Return of each size how loss, entropy and log distance go per tenfold words, as `laws_of` does."""
    found: list[dict[str, Any]] = []
    for size, chosen in transformers(table):
        decades = np.log10(chosen.numbers("read"))
        values = {name: column(chosen, name) for name in MEASURES}
        values["distance"] = np.log10(values["distance"])
        if len(np.unique(decades)) >= 3 and all(np.isfinite(each).all() for each in values.values()):
            found.append({"params": size, **{name: trend(decades, values[name], level).as_dict() for name in MEASURES}})
    return found


def rows(own: Ladder, transformer: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """Return a row a kind of model and window, and the Transformer's."""
    found: list[dict[str, Any]] = []
    for form in FORMS:
        for theta in ("full", "low"):
            chosen = part(own, form, theta)
            if len(chosen):
                found += [{"model": f"{form} {theta}", **each} for each in means(chosen)]
    told = ("read", *MEASURES)
    return found + [
        {"model": f"transformer {format_count(each['params'])}", **{name: each[name] for name in told}}
        for each in transformer
    ]


def notes(bend: float | None) -> tuple[str, ...]:
    """Say what a reader should know before believing the verdict."""
    if bend is not None and bend < 0.05:
        return ("the distances are no power of |N| (lack of fit beyond what seeds explain): κ is a mean slope",)
    return ()


def meaning(
    own: Ladder,
    laws: dict[str, dict[str, Any]],
    wider: dict[str, list[dict[str, float]]],
    transformer: Sequence[dict[str, float]],
) -> str:
    """Return the paragraph for people."""
    said = ""
    for form in FORMS:
        told = means(part(own, form, "full"))
        if not told:
            continue
        best = min(told, key=lambda each: each["loss"])
        said += (
            f"Trained with the {form} over 1 word the model ends at {told[0]['loss']:.3f} nats with entropy "
            f"{told[0]['entropy']:.2f} and distance {told[0]['distance']:.3f} from the average distribution; over "
            f"{told[-1]['read']:.0f} words at {told[-1]['loss']:.3f}, {told[-1]['entropy']:.2f} and "
            f"{told[-1]['distance']:.3f}; its loss is least at {best['read']:.0f}. "
        )
    said += _widened_words(wider)
    if transformer:
        largest = [each for each in transformer if each["params"] == transformer[-1]["params"]]
        first, last = largest[0], largest[-1]
        said += (
            f"The Transformer of {format_count(last['params'])} params and the same training, its context cut to "
            f"{first['read']:.0f} word, ends at {first['loss']:.3f} nats with entropy {first['entropy']:.2f} and "
            f"distance {first['distance']:.3f}; given {last['read']:.0f} words at {last['loss']:.3f}, "
            f"{last['entropy']:.2f} and {last['distance']:.3f}. "
        )
    kappa = laws.get("mean full", {}).get("distance")
    return said.rstrip() + (
        "" if kappa is None else
        f" With the mean κ is {kappa['value']:+.2f} ({kappa['low']:+.2f} to {kappa['high']:+.2f})."
    )  # fmt: skip


def _widened_words(wider: dict[str, list[dict[str, float]]]) -> str:
    said = ""
    for form, told in wider.items():
        first, last = told[0], told[-1]
        # A sum that says one word whatever the context has a distance of 0 too: the entropy tells the two apart.
        moves = "sharpens" if last["entropy"] < first["entropy"] else "averages out"
        said += (
            f"With θ as it was learned on {first['read']:.0f} word, read over {last['read']:.0f} words, the {form} "
            f"{moves}: entropy {first['entropy']:.2f} becomes {last['entropy']:.2f}, distance {first['distance']:.3f} "
            f"{last['distance']:.3f}, loss {first['loss']:.2f} "
            f"becomes {last['loss']:.2f}. "
        )
        crossed = [each["read"] for each in told[1:] if each["entropy"] < first["entropy"] / 2]
        if form == "sum" and crossed:
            said += f"Its entropy is halved from {crossed[0]:.0f} words on. "
    return said


def _law_words(laws: Sequence[dict[str, Any]]) -> str:
    """Say whether the Transformers sharpen or average out."""
    if not laws:
        return ""
    told = [
        f"{each['distance']['value']:+.3f} ({each['distance']['low']:+.3f} to {each['distance']['high']:+.3f}) at "
        f"{format_count(each['params'])}"
        for each in laws
    ]
    return f" Of the Transformers, read with more and more words, κ is {', '.join(told)} params."


def _crossed_words(crossed: Crossed | None) -> str:
    """Say whether a wider context hurts small tasks."""
    if crossed is None:
        return ""
    told = [
        f"{each.slope.value:+.3f} ({each.slope.low:+.3f} to {each.slope.high:+.3f}) at {format_count(each.params)}"
        for each in crossed.sizes
    ]
    whole = crossed.whole
    said = "hurts" if whole.high < 0 else "helps" if whole.low > 0 else "is not told to hurt or to help"
    return (
        f" A wider context {said} small tasks: each tenfold of what stands before the answer, another text first, adds "
        f"{whole.value:+.3f} nats ({whole.low:+.3f} to {whole.high:+.3f}) to the right answer's log-probability, "
        f"tasks weighted alike; by size {', '.join(told)} params."
    )


CONTEXT = Study(
    name="context",
    claim="the wider its context, the farther the log-linear model's sums move from the average distribution",
    statistic="κ in: Jensen–Shannon distance of P(· | context) from its average ∝ |N|^κ (sum, full θ, trained at |N|)",
    threshold=0.0,
    why="above, sums sharpen; below, they average out",
    level=0.9,
    judge=judge,
    own_runs=OWN_RUNS,
)
