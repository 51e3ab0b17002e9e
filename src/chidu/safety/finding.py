"""A finding, the protocols of those who find, and the redaction of what was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["BEHIND", "Finding", "Judge", "StreamJudge", "label", "redact"]

BEHIND = 160
"""Characters before its start that a finding of a `StreamJudge` may depend on, at the most."""


@dataclass(frozen=True, order=True)
class Finding:
    """One stretch of a text that a judge has something to say about."""

    start: int
    """First character of the stretch, counted in characters from 0."""
    end: int
    """One past its last character."""
    category: str
    """What was found, in one lower-case word, such as ``email``."""
    rule: str
    """Which rule found it, so that a verdict can be traced and contested."""


class Judge(Protocol):
    """Anything that reads a text and tells what it found."""

    def judge(self, text: str) -> list[Finding]:
        """Return the findings in the order in which they start; none is an empty list."""
        ...


@runtime_checkable
class StreamJudge(Judge, Protocol):
    """A judge that can be asked while a text still grows.

    Whether it finds something at a place depends on the text from `BEHIND` characters before that place to where the
    finding ends for good, on nothing else; so no finding may hide another.
    """

    def open_from(self, text: str, since: int = 0) -> int:
        """Return the position from which on more text could still change what is found; what starts before is final.

        What starts before `since` is known to be final.
        """
        ...


def label(finding: Finding) -> str:
    """Return what stands in the place of what was found, such as ``<EMAIL>``."""
    return f"<{finding.category.upper()}>"


def redact(text: str, findings: Iterable[Finding]) -> str:
    """Replace every finding by its category in capitals, such as ``<EMAIL>``.

    Where findings overlap, the one that starts first (then the shorter) names the stretch, and all of both is removed.
    """
    parts: list[str] = []
    position = 0
    for finding in sorted(findings):
        if finding.start >= position:
            parts += [text[position : finding.start], label(finding)]
        position = max(position, finding.end)
    return "".join([*parts, text[position:]])
