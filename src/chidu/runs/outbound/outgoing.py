"""A finished run as a tracker takes it: a flat config, a curve, and what was measured at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from chidu.runs.cells import flatten
from chidu.runs.forecast import Score, WrittenForecast
from chidu.runs.run import Run

__all__ = ["CURVE", "NORM", "Outgoing", "outgoing_run"]

CURVE = "train_loss"
"""Metric of the curve. The held-out loss at the end is `loss`, as in our own tables."""
NORM = "grad_norm"
"""Metric of the gradient's norm before it is clipped."""
MEASURED = ("loss", "loss_standard_error", "bits_per_byte", "seconds", "flops_spent")
"""Columns of a run's row that came of it; all others are its config."""


@dataclass(frozen=True)
class Outgoing:
    """One run. Keys are flat, values numbers, texts or truths; None is left out."""

    name: str
    group: str
    config: Mapping[str, Any]
    curve: tuple[tuple[int, float], ...]
    """(step, mean training loss since the last point)"""
    steps: int
    final: Mapping[str, float]
    """What was measured at the last step."""
    norms: tuple[tuple[int, float], ...] = ()
    """(step, mean norm of the gradient since the last point); empty where it was not kept"""

    @property
    def history(self) -> dict[int, dict[str, float]]:
        """Return step → metrics, in order."""
        found: dict[int, dict[str, float]] = {step: {CURVE: loss} for step, loss in self.curve}
        for step, norm in self.norms:
            found.setdefault(step, {})[NORM] = norm
        return dict(sorted(found.items()))


def outgoing_run(run: Run, forecast: WrittenForecast | None = None, score: Score | None = None) -> Outgoing:
    """Return a run as trackers take it; with the forecast that speaks of it, and what came of that."""
    row = run.row()
    config = {name: value for name, value in row.items() if name not in ("run", *MEASURED)}
    more = {name: value for name, value in run.config.as_dict().items() if name not in config}
    final = {name: float(row[name]) for name in MEASURED}
    if forecast is not None:
        more["forecast"] = {**asdict(forecast), "seal": forecast.seal}
    if score is not None:
        final |= {"forecast_error_percent": score.error_percent, "forecast_inside": float(score.inside)}
    flat = {name: value for name, value in flatten({**config, **more}).items() if value is not None}
    norms = tuple((step, mean) for step, mean, _ in run.gradient_norms)
    return Outgoing(run.name, run.group, flat, run.curve, run.config.steps, final, norms)
