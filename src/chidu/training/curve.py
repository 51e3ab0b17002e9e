"""The training curve of a run: its mean loss, and the norm of its gradient, over every stretch of steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["Curve"]

CURVE_POINTS = 100
"""Points kept for a run."""


class Curve(list[tuple[int, float]]):
    """Points (step, mean loss since the last point, nats per token) of a run of so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.norms: list[tuple[int, float, float]] = []
        """Of the gradient before it is clipped: step, mean and largest norm since the last point"""
        self._losses: list[float] = []
        self._norms: list[float] = []

    def note(self, step: int, loss: float, norm: float = math.nan) -> None:
        """Count the loss of the step that ended as the run reached `step`, and its gradient's norm, where they are
        numbers."""
        if math.isfinite(loss):
            self._losses.append(loss)
        if math.isfinite(norm):
            self._norms.append(norm)
        is_point = step % max(1, self.steps // CURVE_POINTS) == 0 or step == self.steps
        if is_point and self._losses:
            self.append((step, sum(self._losses) / len(self._losses)))
            self._losses = []
        if is_point and self._norms:
            self.norms.append((step, sum(self._norms) / len(self._norms), max(self._norms)))
            self._norms = []

    def as_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"curve": list(self), "losses": self._losses, "norms": self.norms, "last_norms": self._norms}

    def take(self, state: Mapping[str, Any]) -> None:
        """Go on from what `as_dict` returned, or returned before norms were kept."""
        self[:] = [(int(step), float(loss)) for step, loss in state["curve"]]
        self._losses = [float(loss) for loss in state["losses"]]
        self.norms = [(int(step), float(mean), float(most)) for step, mean, most in state.get("norms", ())]
        self._norms = [float(norm) for norm in state.get("last_norms", ())]
