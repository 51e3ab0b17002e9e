"""One question put to scale: what is claimed, how it is measured, and from where on it counts, said before any run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chidu.runs.ladder import Ladder
from chidu.studies.verdict import Verdict

__all__ = ["Study"]


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
    makes_runs: bool = False
    """True where `chidu study` makes the runs; else it judges tables alone."""
    is_report: bool = False
    """True where nothing is put to the test: there is an effect and its interval, but neither threshold nor verdict."""

    def verdict(self, runs: Ladder, seed: int = 0) -> Verdict:
        """Judge a table of runs."""
        return self.judge(self, runs, seed)

    def stated(self) -> str:
        """Return the lines that are said before it runs."""
        told = f"claim      {self.claim}\nstatistic  {self.statistic}\n"
        if self.is_report:
            return f"{told}threshold  none: {self.why}\nverdict    none: a report"
        return (
            f"{told}threshold  {self.threshold:g}: {self.why}\n"
            f"verdict    holds where the whole {self.level:.0%} interval lies above, fails where it lies below"
        )
