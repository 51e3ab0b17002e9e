"""All that a page can show, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from chidu.runs.ladder import Ladder
from chidu.runs.picture import Picture
from chidu.runs.run import Run

if TYPE_CHECKING:
    from chidu.laws import Backtest, Fit
    from chidu.laws.profile import Profile

__all__ = ["NEEDED", "Language", "ReportContent", "StudyPart"]

Language = Literal["en", "zh"]
NEEDED = ("study", "claim", "statistic", "threshold", "level", "runs", "meaning", "verdict", "effect", "low", "high")
"""What a verdict must have to be shown."""


@dataclass(frozen=True)
class StudyPart:
    """One study: what it stated before, and its verdict or why there is none."""

    name: str
    claim: str
    statistic: str
    threshold: float | None
    """None for a report, which puts nothing to the test."""
    why: str
    """Why the threshold lies there."""
    level: float
    verdict: Mapping[str, Any] | None = None
    """The JSON form of the verdict, with NEEDED in it; None where there is none."""
    reason: str = ""
    """Why there is no verdict."""
    minutes: float | None = None
    """Wall time that it took."""


@dataclass(frozen=True)
class ReportContent:
    """What one page shows. A section whose part is missing is left out."""

    title: str
    ladder: Ladder | None
    """The runs the law was fitted to; None where only a saved fit is at hand."""
    runs: tuple[Run, ...] = ()
    """The rungs with their training curves; empty where the user brought only a table."""
    fit: Fit | None = None
    forecast: Mapping[str, Any] | None = None
    """The written forecast, `written, point, loss, low, high, level, extrapolation, trust, why`, and, once the target
    is trained, its score: `measured, measured_standard_error, error_percent, inside, scored`."""
    backtest: Backtest | None = None
    """How the cheap runs forecast the dear ones."""
    profiles: Sequence[Profile] = ()
    """Per parameter, the objective around its estimate."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Section (`residuals`, `backtest`, `profile`) → why it is not drawn; a section that nothing is said of is left
    out."""
    outlook: Mapping[str, Any] | None = None
    """Whether to trust forecasts: `times` (the dearest run's flops; None: at the largest values seen), `trust, why`."""
    target: Run | None = None
    """The run that the forecast speaks of."""
    data_card: Mapping[str, Any] | None = None
    """What the corpus holds, and what was left out and why."""
    plan: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None
    """Per budget: `flops, params, tokens, loss`, with `_low` and `_high` where there is an interval."""
    sample: Mapping[str, str] | None = None
    """`prompt` and the `text` that the model wrote after it."""
    studies: Sequence[StudyPart] = ()
    """Studies of the work folder that came to an end."""
    costs: Sequence[Mapping[str, Any]] = ()
    """Per stage: `stage, seconds, flops`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    bytes_per_token: float | None = None
    """Bytes of held-out text a token stands for; with it, losses are also shown in bits per byte."""
    picture: Picture | None = None
    """The undertaking as it was when the page was written, while it is at work."""
    refresh: int | None = None
    """Seconds after which the browser loads the page again; None for a page that stays."""
    is_tour: bool = False
    """True where the undertaking was too short for a good forecast."""
    in_nats: bool = True
    """True where losses are nats per token, as of our own runs; a table's may be anything."""
    language: Language = "en"
