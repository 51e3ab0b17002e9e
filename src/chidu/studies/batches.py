"""How the luck of a seed goes with the batch: a finding beside the verdict of `self-averaging`, never part of it.

The law is variance of log loss ∝ params^-γ · tokens^-δ · batch^-β, fitted as `spread` fits it to the cells of all
batches; a cell is of one batch, so that runs of other batches are no replicates of one another. Seeds of other batches
are taken for independent, also where a table gives them one number: what they share would make β surer than is told.

The verdict is of one batch: of those with enough sizes that of most runs. Where none has enough sizes all batches are
judged together, by a law that has β in it wherever the cells can tell β from the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.runs.ladder import Ladder
from chidu.studies.spread import Spread, SpreadLaw, fit_spread
from chidu.units import format_count

__all__ = ["batch_notes", "batch_words", "of_batches", "of_one_batch", "one_batch"]

Cells = NDArray[np.bool_]
NAME = "batch_tokens"


def of_one_batch(spread: Spread, least_sizes: int) -> Spread:
    """Return the cells of the batch of most runs, of those batches that have so many sizes; all where none has."""
    runs = {
        float(batch): int(spread.count[spread.batch == batch].sum())
        for batch in np.unique(spread.batch)
        if len(np.unique(spread.params[spread.batch == batch])) >= least_sizes
    }
    return spread.select(spread.batch == max(runs, key=runs.__getitem__)) if runs else spread


def one_batch(table: Ladder) -> Ladder:
    """Return the rows of the batch of most rows: what a law that knows of no batch may be fitted to."""
    if NAME not in table:
        return table
    batches, of_row = np.unique(table.numbers(NAME, positive=False), return_inverse=True)
    return table.select(of_row.ravel() == np.bincount(of_row.ravel()).argmax()) if len(batches) > 1 else table


def of_batches(table: Ladder, spread: Spread, level: float, seed: int) -> dict[str, Any] | None:
    """Return the exponents of the law of all batches, and the points where a size has more than one; None where there
    is one batch alone, or the cells can't tell its exponent from the others."""
    if len(np.unique(spread.batch)) < 2:
        return None
    law = fit_spread(spread, level, seed, with_batch=True)
    if NAME not in law.names:
        return None
    exponents = {
        name: {"value": float(value), "low": float(low), "high": float(high)}
        for name, value, low, high in zip(law.names, law.exponents, law.low, law.high, strict=True)
    }
    chosen = crossed(spread)
    return {
        "exponents": exponents,
        "batches": [float(each) for each in np.unique(spread.batch)],
        "runs": int(spread.count.sum()),
        "rates": rates_of(table),
        "misfit": law.misfit,
        "points": points(spread.select(chosen), law) if chosen.any() else [],
    }


def crossed(spread: Spread) -> Cells:
    """Return which cells have another of the same params and tokens at another batch."""
    where = np.column_stack([spread.params, spread.tokens])
    _, place = np.unique(where, axis=0, return_inverse=True)
    place = place.ravel()
    return np.array([len(np.unique(spread.batch[place == each])) > 1 for each in place])


def rates_of(table: Ladder) -> str:
    """Tell whether the learning rates are `equal` at all batches of a size, `differ`, or are `unknown`."""
    if "learning_rate" not in table:
        return "unknown"
    params, rate = table.numbers("params"), table.numbers("learning_rate", positive=False)
    batch = table.numbers(NAME)
    for size in np.unique(params):
        own = params == size
        sets = {tuple(np.unique(rate[own & (batch == each)]).tolist()) for each in np.unique(batch[own])}
        if len(sets) > 1:
            return "differ"
    return "equal"


def points(spread: Spread, law: SpreadLaw) -> list[dict[str, float]]:
    """Return a row a cell, smallest model and batch first."""
    order = np.lexsort([spread.batch, spread.tokens, spread.params])
    place = {"params": spread.params, "tokens": spread.tokens, NAME: spread.batch}
    return [
        {
            **{name: float(values[cell]) for name, values in place.items()},
            "seeds": int(spread.count[cell]),
            "loss": float(spread.loss[cell]),
            "spread_percent": 100 * float(spread.variance[cell]) ** 0.5,
            "law_percent": 100 * law.deviation([float(place[name][cell]) for name in law.names]),
        }
        for cell in order
    ]


def batch_words(found: dict[str, Any] | None) -> str:
    """Return the sentences for people; none where no other batch was run."""
    if found is None:
        return ""
    beta, batches = found["exponents"][NAME], found["batches"]
    equal = "tokens and rates" if found["rates"] == "equal" else "tokens"
    if beta["low"] > 0:
        told = "the larger the batch, the less the seed matters"
    elif beta["high"] < 0:
        told = "the larger the batch, the more the seed matters"
    else:
        told = "whether it shrinks or grows with the batch is not told from luck"
    said = (
        f"With the batch, {equal} being equal, the variance goes as its power {-beta['value']:+.2f} "
        f"({-beta['high']:+.2f} to {-beta['low']:+.2f}), from {format_count(batches[0])} to "
        f"{format_count(batches[-1])} tokens a step: {told}."
    )
    for size in dict.fromkeys(each["params"] for each in found["points"]):
        own = [each for each in found["points"] if each["params"] == size]
        most = max(each["tokens"] for each in own)
        first, *_, last = (each for each in own if each["tokens"] == most)
        said += (
            f" At {format_count(size)} params and {format_count(most)} tokens the seeds spread by "
            f"{first['spread_percent']:.2f}% at batches of {format_count(first[NAME])} (mean loss "
            f"{first['loss']:.3f}) and by {last['spread_percent']:.2f}% at {format_count(last[NAME])} "
            f"({last['loss']:.3f})."
        )
    return said


def batch_notes(whole: Spread, judged: Spread, found: dict[str, Any] | None) -> tuple[str, ...]:
    """Say what a reader should know of the batches before believing the verdict."""
    said = []
    if judged is not whole:
        batch, others = judged.batch[0], int(whole.count.sum() - judged.count.sum())
        if others:
            said.append(
                f"the verdict is of batches of {batch:g} tokens; {others} runs at other batches are no part of it"
            )
    elif len(np.unique(whole.batch)) > 1:
        said.append(
            "no batch has sizes enough by itself: the exponent is of runs at several batches"
            + ("" if found else ", which these runs can't tell from params and tokens")
        )
    if found is not None and found["rates"] == "differ":
        said.append("learning rates differ with the batch in these runs: its exponent is of both")
    if found is not None and found["misfit"] > 1:
        said.append("with the batches the spreads lie off any power law: the interval of its exponent is wider for it")
    return tuple(said)
