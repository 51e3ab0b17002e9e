"""The law of an application's error against the size of the model: a power of params with a floor, or that it can't be
told.

The error is 1 - score, or bits per byte. A law is told where four models of different params were judged, the error of
the largest lies below the smallest's on drawn items too, and the fit stands; an interval is the fit's
own. Models of other makes, texts and recipes share one curve here: what it says of size it says of this row of models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import ChiduError
from chidu.evaluation.resampling import interval, known
from chidu.laws import fit
from chidu.units import format_count

if TYPE_CHECKING:
    from chidu.apps.judging.judged import Score

__all__ = ["FORMULA", "LEAST_MODELS", "SizeLaw", "size_law"]

FORMULA = "E + A / params**alpha"
LEAST_MODELS = 4
_FURTHER = 10.0
"""Times the largest model, for which an error is forecast."""


@dataclass(frozen=True)
class SizeLaw:
    """How an error falls with params, or why that can't be told."""

    app: str
    measure: str
    models: int
    told: bool
    why: str
    """Why it can't be told; what to mind where it can."""
    formula: str = ""
    parameters: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """At 90%."""
    params: float = math.nan
    """Ten times the largest model's."""
    error: float = math.nan
    low: float = math.nan
    high: float = math.nan
    """The error forecast there, with its 90% interval."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON; what is not told is null."""
        return known(asdict(self))

    def __str__(self) -> str:
        what = f"law of {self.measure} against params"
        if not self.told:
            return f"{what}: cannot tell: {self.why}"
        low, high = self.intervals["alpha"]
        return (
            f"{what}: error = {self.parameters['E']:.3g} + {self.parameters['A']:.3g} / "
            f"params^{self.parameters['alpha']:.3g} (alpha 90%: {low:.3g} to {high:.3g}); at "
            f"{format_count(self.params)} params {self.error:.3f} ({self.low:.3f} to {self.high:.3f}); {self.why}"
        )


def size_law(app: str, measure: str, scores: Sequence[Score]) -> SizeLaw:
    """Fit the law to the scores of models whose params are known."""
    sized = sorted((one for one in scores if one.params), key=lambda one: one.params or 0)
    sizes = {one.params for one in sized}
    if len(sizes) < LEAST_MODELS:
        return SizeLaw(
            app, measure, len(sized), False, f"{len(sizes)} sizes of models; {LEAST_MODELS} are needed at the least"
        )
    if any(not one.error > 0 for one in sized):
        return SizeLaw(app, measure, len(sized), False, "an error is 0: its logarithm is none")
    first, last = sized[0], sized[-1]
    low, high = interval(np.array(first.drawn_errors) - np.array(last.drawn_errors))
    if not low > 0:
        return SizeLaw(
            app, measure, len(sized), False,
            f"from {format_count(first.params or 0)} to {format_count(last.params or 0)} params the error falls by "
            f"{first.error - last.error:.3f} (90%: {low:.3f} to {high:.3f})",
        )  # fmt: skip
    table = {"params": [float(one.params or 0) for one in sized], "loss": [one.error for one in sized]}
    further = _FURTHER * float(last.params or 0)
    try:
        found = fit(table, law=FORMULA)
        forecast = found.forecast({"params": [further]})
        trust, reason = found.trust({"params": [further]})
    except ChiduError as error:
        return SizeLaw(app, measure, len(sized), False, " ".join(str(error).split()))
    low, high = found.intervals["alpha"]
    if not (math.isfinite(low) and low > 0.005):
        return SizeLaw(
            app, measure, len(sized), False, f"the exponent may be 0 (90%: {low:.3g} to {high:.3g}): the curve is flat"
        )
    return SizeLaw(
        app, measure, len(sized), True, f"trust: {trust}: {reason}", found.formula, dict(found.parameters),
        dict(found.intervals), further, float(forecast["loss"][0]), float(forecast["low"][0]),
        float(forecast["high"][0]),
    )  # fmt: skip
