"""One question put to scale: what is claimed, how it is measured, and from where on it counts, said before any run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chidu.parallel import Place
from chidu.runs.ladder import Ladder
from chidu.runs.recipe import Recipe
from chidu.runs.run import Run
from chidu.studies.verdict import Verdict, decide, more_compute
from chidu.training.rungs import Text

__all__ = ["Means", "Models", "OwnRuns", "Seeds", "Study"]


@dataclass(frozen=True)
class Seeds:
    """How many seeds of each size a study trains."""

    least: int
    """With fewer it refuses."""
    wanted: int
    """Before more minutes buy larger sizes."""
    most: int
    rates: tuple[float, ...] = ()
    """Factors on the recipe's learning rates at which the longest run of the first seed is trained too."""
    batches: tuple[float, ...] = ()
    """Factors on the batch at which the longest runs of some sizes are trained too, where the time allows."""


@dataclass(frozen=True)
class Models:
    """Trained models and what they read: what a study measures on."""

    runs: tuple[Run, ...]
    weights: tuple[Path, ...]
    """Where those of each run lie, in their order; they are there but for a study that needs none."""
    tokens: Path
    """The folder of tokenizer and packed text."""
    corpus: Path
    """The folder of train.jsonl and held_out.jsonl."""
    place: Place
    tell: Callable[[float, str], None]
    """Told how far it is (0 to 1), in words."""
    seed: int

    @property
    def longest(self) -> list[tuple[Run, Path]]:
        """The models that saw the most tokens, with their weights: of each size and seed one."""
        most = max(run.config.tokens for run in self.runs)
        return [each for each in zip(self.runs, self.weights, strict=True) if each[0].config.tokens == most]


@dataclass(frozen=True)
class Means:
    """What a study that makes runs of its own has for it."""

    folder: Path
    """Where they lie, for this study and later ones."""
    text: Text
    fingerprint: str
    """Of all that a run reads."""
    vocabulary: int
    """Tokens in the vocabulary."""
    recipes: tuple[Recipe, ...]
    """The work folder's, the one to prefer first; they differ in batch."""
    train_tokens: int
    """Tokens of text; no run sees one twice."""
    corpus: Path
    """The folder of train.jsonl and held_out.jsonl."""
    seconds: float
    """Wall time of all."""
    seed: int
    place: Place
    tell: Callable[[float, str], None]
    """Told how far it is (0 to 1), in words."""


@dataclass(frozen=True)
class OwnRuns:
    """How a study makes runs that no ladder has."""

    plan: Callable[[Means], dict[str, Any]]
    """Time what is to be timed, and choose; `seconds` is the wall time that this takes, `words` say it. Writes nothing.
    Raises TextError where time or text are too short."""
    make: Callable[[Means, dict[str, Any]], Ladder]
    """Make the runs of a plan that are not there yet, and return the table that is judged."""


@dataclass(frozen=True)
class Study:
    """A question, its measure, and the code that answers it from a table of runs."""

    name: str
    """What `chidu study` calls it."""
    claim: str
    """One line: what is put to the test."""
    statistic: str
    """One line: the number that the runs are asked for."""
    threshold: float
    """The claim holds where the whole interval of the statistic lies above, fails where it lies below."""
    why: str
    """One line: why just there."""
    level: float
    """Of the interval: (1 - level) / 2 is how often a verdict may be wrong, at the most."""
    judge: Callable[[Study, Ladder, int], Verdict]
    """Study, runs and the seed of what is drawn → verdict. Raises TableError where the runs can't answer."""
    seeds: Seeds | None = None
    """How many seeds `chidu study` trains; None where it makes no runs, and judges tables alone."""
    measure: Callable[[Models], Ladder] | None = None
    """Trained models → the table that is judged; None where that is the table of the runs themselves."""
    needs_weights: bool = True
    """False where `measure` asks only those runs whose weights are there, and no run is trained again for them."""
    measure_seconds: float = 0.0
    """Wall time that this is given of the minutes."""
    measure_part: float = 0.0
    """Wall time that it is given beside, as a part of that of the training."""
    own_runs: OwnRuns | None = None
    """For a study whose runs are of another kind than a ladder's."""
    is_report: bool = False
    """True where nothing is put to the test: there is an effect and its interval, but neither threshold nor verdict."""

    def verdict(self, runs: Ladder, seed: int = 0) -> Verdict:
        """Judge a table of runs."""
        return self.judge(self, runs, seed)

    def concluded(self, effect: float, low: float, high: float, **told: Any) -> Verdict:
        """Return the verdict by an effect and its interval; `told` are the further fields of it."""
        return Verdict(
            study=self.name,
            claim=self.claim,
            statistic=self.statistic,
            threshold=self.threshold,
            verdict=decide(low, high, self.threshold),
            effect=effect,
            low=low,
            high=high,
            level=self.level,
            more=more_compute(effect, low, high, self.threshold),
            **told,
        )

    def stated(self) -> str:
        """Return the lines that are said before it runs."""
        told = f"claim      {self.claim}\nstatistic  {self.statistic}\n"
        if self.is_report:
            return f"{told}threshold  none: {self.why}\nverdict    none: a report"
        return (
            f"{told}threshold  {self.threshold:g}: {self.why}\n"
            f"verdict    holds where the whole {self.level:.0%} interval lies above, fails where it lies below"
        )
