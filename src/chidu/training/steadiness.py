"""What a run's losses say of it: fit to be learned from, a batch to pass over, or a run gone astray.

A batch whose loss is no number, or lies six standard deviations above the losses before it, moves no weight: the rule
of OLMo-core's `SkipStepOptimizer`, which holds the gradient's norm to it too; here that is clipped. A run that keeps on
losing is taken back to before its trouble, and goes on with batches that it has not seen, as PaLM's did (Chowdhery et
al., 2204.02311, section 5.1). All of it is a function of the losses alone, so that a run ends in the same bits however
often it was cut.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["BACK", "MOST_ROLLBACKS", "Course", "Steadiness", "Step"]

WINDOW = 128
"""Losses that a new one is held against; before there are so many, only what is no number is passed over."""
SIGMAS = 6.0
RECENT = 32
"""Losses whose mean tells how well the run stands."""
RISE, LEAST_RISE = 1.2, 0.25
"""How many times its lowest such mean a run comes to, and by how many nats it rises, when it is astray."""
MOST_PASSED_OVER = 16
"""Batches of the last WINDOW steps; one more, and the trouble lies with the run, not with the batches."""
BACK = 128
"""Steps that a run astray is taken back."""
MOST_ROLLBACKS = 3


class Step(enum.Enum):
    """What to do with a step's gradient."""

    TAKE = "take"
    PASS_OVER = "pass over"
    ASTRAY = "astray"


class Steadiness:
    """Told of each step's loss, in order."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        """The last WINDOW that were taken."""
        self.lowest = math.inf
        """The lowest mean of RECENT of them, one after another."""
        self.passed_over: list[int] = []
        """Steps that moved no weight, since the run began."""

    def judge(self, step: int, loss: float) -> Step:
        """Say what to do with the gradient of step 0, 1, …"""
        if not math.isfinite(loss) or self._is_spike(loss):
            return self.pass_over(step)
        self.losses = [*self.losses, loss][-WINDOW:]
        if len(self.losses) >= RECENT:
            recent = float(np.mean(self.losses[-RECENT:]))
            self.lowest = min(self.lowest, recent)
            if recent > max(RISE * self.lowest, self.lowest + LEAST_RISE):
                return Step.ASTRAY
        return Step.TAKE

    def pass_over(self, step: int) -> Step:
        """Note a step that moves no weight."""
        self.passed_over.append(step)
        lately = sum(1 for each in self.passed_over[-MOST_PASSED_OVER - 1 :] if each > step - WINDOW)
        return Step.ASTRAY if lately > MOST_PASSED_OVER else Step.PASS_OVER

    def _is_spike(self, loss: float) -> bool:
        if len(self.losses) < WINDOW:
            return False
        return loss > float(np.mean(self.losses) + SIGMAS * np.std(self.losses))

    def state(self) -> dict[str, Any]:
        """Return a JSON form for a checkpoint."""
        lowest = self.lowest if math.isfinite(self.lowest) else None
        return {"losses": self.losses, "lowest": lowest, "passed_over": self.passed_over}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self.losses = [float(loss) for loss in state["losses"]]
        self.lowest = math.inf if state["lowest"] is None else float(state["lowest"])
        self.passed_over = [int(step) for step in state["passed_over"]]


@dataclass(frozen=True)
class Course:
    """Which batch each step reads: the one of its own number, until the run was taken back."""

    rollbacks: tuple[tuple[int, int], ...] = ()
    """Steps at which the run was astray, and those it was taken back to."""
    detours: tuple[tuple[int, int], ...] = ()
    """Steps from which on other batches are read, and the place of the first of these in the order of batches."""

    def place(self, step: int) -> int:
        """Return the place in the order of batches that a step reads."""
        start, place = next((each for each in reversed(self.detours) if each[0] <= step), (0, 0))
        return place + step - start

    def back(self, astray: int, to: int) -> Course:
        """Return the course of a run that was astray at one step and goes on from another, with unread batches."""
        kept = tuple(each for each in self.detours if each[0] < to)
        return Course((*self.rollbacks, (astray, to)), (*kept, (to, self.place(astray) + 1)))

    def steps_lost(self, since: int = 0) -> int:
        """Return the steps that were made and taken back, of those from `since` on."""
        return sum(astray - to for astray, to in self.rollbacks if to >= since)

    def state(self) -> dict[str, Any]:
        """Return a JSON form for a checkpoint."""
        return {"rollbacks": self.rollbacks, "detours": self.detours}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Course:
        """Read what `state` returned."""
        rollbacks, detours = (tuple((int(a), int(b)) for a, b in state[name]) for name in ("rollbacks", "detours"))
        return cls(rollbacks, detours)
