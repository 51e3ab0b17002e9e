"""The training curve of a run: its mean loss over every stretch of steps."""

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
        self._losses: list[float] = []

    def note(self, step: int, loss: float) -> None:
        """Count the loss of the step that ended as the run reached `step`, where it is a number."""
        if math.isfinite(loss):
            self._losses.append(loss)
        is_point = step % max(1, self.steps // CURVE_POINTS) == 0 or step == self.steps
        if is_point and self._losses:
            self.append((step, sum(self._losses) / len(self._losses)))
            self._losses = []

    def as_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"curve": list(self), "losses": self._losses}

    def take(self, state: Mapping[str, Any]) -> None:
        """Go on from what `as_dict` returned."""
        self[:] = [(int(step), float(loss)) for step, loss in state["curve"]]
        self._losses = [float(loss) for loss in state["losses"]]
