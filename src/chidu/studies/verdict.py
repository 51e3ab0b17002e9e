"""What a study came to: a verdict by an interval against a threshold, and how much more it would take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chidu.units import format_count

__all__ = ["Decision", "Verdict", "decide", "more_compute"]

MOST = 1000.0
"""Times this study's compute beyond which more of the same is no way to decide."""


class Decision(StrEnum):
    """What the runs say of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"


def decide(low: float, high: float, threshold: float) -> Decision:
    """Return `holds` where the whole interval lies above the threshold, `fails` where it lies below, else `undecided`.

    An interval of level L misses the truth on either side in (1 - L) / 2 of all studies at the most, so a wrong
    `holds` is that rare, and so is a wrong `fails`: 5% each at 90%.
    """
    if low > threshold:
        return Decision.HOLDS
    return Decision.FAILS if high < threshold else Decision.UNDECIDED


def more_compute(effect: float, low: float, high: float, threshold: float) -> float | None:
    """Return how many times the compute would decide, if the effect stayed where it is; 1 where it is decided.

    The side of the interval towards the threshold shrinks with the root of the runs. None beyond MOST: the effect lies
    at the threshold, and another study would have to tell.
    """
    if decide(low, high, threshold) is not Decision.UNDECIDED:
        return 1.0
    side = effect - low if effect > threshold else high - effect
    gap = abs(effect - threshold)
    found = math.inf if gap == 0 else (side / gap) ** 2
    return found if found <= MOST else None


@dataclass(frozen=True)
class Verdict:
    """What came of a study. Prints itself; `as_dict` is its JSON form."""

    study: str
    """The study's name."""
    claim: str
    """What was put to the test, in one line."""
    statistic: str
    """What the effect is, in one line."""
    threshold: float | None
    """What the effect was to exceed, stated before; None for a report, which puts nothing to the test."""
    verdict: Decision | None
    effect: float
    low: float
    high: float
    level: float
    """Of the interval from low to high."""
    more: float | None
    """Times this study's compute that would decide; 1 where it is decided, None where no amount in reach would."""
    meaning: str
    """One paragraph for people."""
    runs: int
    """Rows behind it."""
    rows: Sequence[Mapping[str, Any]] = ()
    """What the law was fitted to, a row a point."""
    findings: Mapping[str, Any] = field(default_factory=dict)
    """Further numbers, by name."""
    notes: tuple[str, ...] = ()
    """What a reader should know before believing it, one line each."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; `verdict, effect, low, high` come last."""
        return {
            "study": self.study,
            "claim": self.claim,
            "statistic": self.statistic,
            "threshold": self.threshold,
            "level": self.level,
            "runs": self.runs,
            "rows": [dict(row) for row in self.rows],
            "findings": dict(self.findings),
            "notes": list(self.notes),
            "meaning": self.meaning,
            "more": self.more,
            "verdict": self.verdict.value if self.verdict else None,
            "effect": self.effect,
            "low": self.low,
            "high": self.high,
        }

    def __str__(self) -> str:
        lines = [
            f"{self.study}: {self._decided()}",
            "",
            f"claim      {self.claim}",
            f"statistic  {self.statistic}",
            f"runs       {self.runs}",
            *(f"note       {note}" for note in self.notes),
            "",
            *_table(self.rows),
            "",
            self.meaning,
        ]
        return "\n".join(lines)

    def _decided(self) -> str:
        if self.verdict is None or self.threshold is None:
            return f"{self.effect:.3g} ({self.low:.3g} to {self.high:.3g} at {self.level:.0%})"
        return (
            f"{self.verdict.value}: {self.effect:.2f} ({self.low:.2f} to {self.high:.2f} at {self.level:.0%}), "
            f"threshold {self.threshold:g}{self._more()}"
        )

    def _more(self) -> str:
        if self.verdict is not Decision.UNDECIDED:
            return ""
        if self.more is None:
            return "; the effect lies at the threshold, more runs of this kind would not decide"
        return f"; {self.more:.1f} × the compute would decide, if the effect stayed where it is"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Set rows out in columns."""
    if not rows:
        return []
    lines = [list(rows[0]), *([_cell(name, value) for name, value in row.items()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines]


def _cell(name: str, value: float | str) -> str:
    if isinstance(value, str):
        return value
    return format_count(value) if name in ("params", "tokens") else f"{value:.4g}"
