"""A ladder of which some rungs are not trained, since the law of the others foretells their losses closely enough.

Sizes spread over the whole ladder are trained first, the smallest and the largest among them: left out are only rungs
between sizes that are there. A law may be sure of itself and wrong, so it is also asked for sizes that it could be
judged by: each size between others, foretold without its own rungs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from chidu.runs.config import RunConfig
from chidu.runs.ladder import Ladder
from chidu.runs.run import Run
from chidu.training.rungs import Rung

if TYPE_CHECKING:
    from chidu.laws import Fit

__all__ = ["Foretold", "train_unknown"]

FIRST_SIZES = 4
"""Sizes that are trained in any case."""

Train = Callable[[Sequence[Rung]], list[Run]]
FitLaw = Callable[[Ladder, bool], "Fit"]
"""Fits a law to a table of runs; the second argument is whether it needs intervals."""


@dataclass(frozen=True)
class Foretold:
    """A rung that was not trained."""

    name: str
    loss: float
    """What the law says of it, nats per token."""
    low: float
    high: float
    flops: float
    """Of the whole run, by itself."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def train_unknown(
    rungs: Sequence[Rung], within: float, train: Train, fit_law: FitLaw, made: Sequence[Run] = ()
) -> tuple[list[Run], list[Foretold]]:
    """Train the rungs that the law of the others can't foretell `within` a part of their loss; return both kinds.

    Runs that are `made` already count from the first. Which rungs are left out follows from the losses alone, so a
    ladder that was cut leaves the same ones out.
    """
    sizes = _sizes(rungs)
    named = {run.name: run for run in made}

    def make(wanted: Sequence[Rung]) -> None:
        missing = [rung for rung in wanted if rung.name not in named]
        named.update({run.name: run for run in train(missing)} if missing else {})

    first = _spread(len(sizes), FIRST_SIZES)
    make([rung for place in first for rung in sizes[place]])
    foretold: list[Foretold] = []
    for place in sorted(set(range(len(sizes))) - set(first)):
        missing = [rung for rung in sizes[place] if rung.name not in named]
        known = _foretell(missing, list(named.values()), within, fit_law) if missing else []
        foretold += known
        left_out = {each.name for each in known}
        make([rung for rung in missing if rung.name not in left_out])
    return [named[rung.name] for rung in rungs if rung.name in named], foretold


def _sizes(rungs: Sequence[Rung]) -> list[list[Rung]]:
    """Return the rungs of each size, the smallest first."""
    sizes: dict[int, list[Rung]] = {}
    for rung in sorted(rungs, key=lambda rung: rung.config.flops):
        sizes.setdefault(rung.config.shape.params_matmul, []).append(rung)
    return [sizes[size] for size in sorted(sizes)]


def _spread(count: int, wanted: int) -> list[int]:
    """Return places from the first to the last of so many, evenly."""
    if count <= wanted:
        return list(range(count))
    return [round(turn * (count - 1) / (wanted - 1)) for turn in range(wanted)]


def _foretell(rungs: Sequence[Rung], runs: Sequence[Run], within: float, fit_law: FitLaw) -> list[Foretold]:
    """Return the rungs whose whole interval lies within that part of the loss, by a law that passes its test."""
    if _worst_miss(runs, fit_law) > within:
        return []
    table = fit_law(Ladder.from_runs(runs), True).forecast(_points([rung.config for rung in rungs]))
    values = zip(rungs, *(table[name].tolist() for name in ("loss", "low", "high")), strict=True)
    return [
        Foretold(rung.name, loss, low, high, rung.config.flops)
        for rung, loss, low, high in values
        if high <= loss * (1 + within) and low >= loss * (1 - within)
    ]


def _worst_miss(runs: Sequence[Run], fit_law: FitLaw) -> float:
    """Return by what part of a loss the law misses at the worst, for sizes between others, each left out in turn."""
    sizes = sorted({run.config.shape.params_matmul for run in runs})
    worst = 0.0
    for size in sizes[1:-1]:
        own = [run for run in runs if run.config.shape.params_matmul == size]
        others = [run for run in runs if run.config.shape.params_matmul != size]
        losses = fit_law(Ladder.from_runs(others), False).forecast(_points([run.config for run in own]))["loss"]
        worst = max(worst, *(abs(run.loss / loss - 1) for run, loss in zip(own, losses.tolist(), strict=True)))
    return worst


def _points(configs: Sequence[RunConfig]) -> dict[str, list[float]]:
    return {
        "params": [float(config.shape.params) for config in configs],
        "params_matmul": [float(config.shape.params_matmul) for config in configs],
        "tokens": [float(config.tokens) for config in configs],
        "flops": [config.flops for config in configs],
    }
