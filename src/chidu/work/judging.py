"""The target, judged while it trains: where its curve says it will end, against the forecast that was written down."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from chidu.laws.finish import WINDOW, FinalLoss, FinishedRun, estimate_final
from chidu.runs.config import RunConfig
from chidu.runs.forecast import WrittenForecast
from chidu.runs.live import Live, LiveEstimate, LiveRecord, LiveWarning, Steps
from chidu.runs.run import Run
from chidu.work.undertaking import Voice

__all__ = ["TargetJudge", "peers"]

LOOKS = 100
"""How often a whole run is looked at: each look is another chance of a false alarm, and costs a millisecond."""


def peers(runs: Iterable[Run], config: RunConfig) -> list[FinishedRun]:
    """Return the finished runs that a run can be judged by: as many steps, of the same recipe."""
    return [
        FinishedRun(run.config.shape.params_matmul, run.curve, run.loss)
        for run in runs
        if run.config.steps == config.steps
        and run.config.batch_tokens == config.batch_tokens
        and run.config.decay_fraction == config.decay_fraction
    ]


class TargetJudge:
    """Told of the target's steps: keeps an estimate of its end, and says when that leaves the forecast's interval."""

    def __init__(
        self,
        finished: list[FinishedRun],
        config: RunConfig,
        written: WrittenForecast,
        folder: Path,
        live: LiveRecord,
        voice: Voice,
    ) -> None:
        self.finished, self.config, self.written = finished, config, written
        self.folder, self.live, self.voice = folder, live, voice
        self.points: list[Steps] = []
        self.is_outside = False
        self.changes = 0
        self._looked = 0

    def __call__(self, steps: Steps) -> None:
        """Take steps; at each hundredth of the run, look where it will end."""
        if steps.loss is None:
            self._recall(steps)
            return
        if self.points and self.points[-1].step > steps.start:
            # The run was taken back.
            self.points = [point for point in self.points if point.step <= steps.start]
            self._looked = steps.start * LOOKS // self.config.steps
        self.points.append(steps)
        look = steps.step * LOOKS // self.config.steps
        if look > self._looked:
            self._looked = look
            self._look(steps)

    def _recall(self, steps: Steps) -> None:
        """Take up what an earlier process saw and said of the steps that are not made again."""
        seen = Live.read(self.folder)
        if seen is None:
            return
        self.points = [point for point in seen.points.get(steps.run, ()) if point.step <= steps.step]
        inside = [each.inside for each in seen.estimates if each.run == steps.run and each.step <= steps.step]
        self.changes = sum(one != other for one, other in itertools.pairwise([True, *inside]))
        self.is_outside = self.changes % 2 == 1

    def _look(self, steps: Steps) -> None:
        if self.points[0].start > steps.step - WINDOW * self.config.steps:
            return
        curve = [(point.step, point.loss) for point in self.points if point.loss is not None]
        size = self.config.shape.params_matmul
        found = estimate_final(self.finished, size, curve, self.config.steps, self.written.level)
        if found is None:
            return
        inside = found.meets(self.written.low, self.written.high)
        self.live.estimate(LiveEstimate(steps.run, steps.step, found.loss, found.low, found.high, found.level, inside))
        if inside == self.is_outside:
            self.is_outside = not inside
            self.changes += 1
            self._warn(steps, found)

    def _warn(self, steps: Steps, found: FinalLoss) -> None:
        """Say that the estimate left the forecast's interval, and that it came back, once each; write down all."""
        forecast = f"the forecast's interval, {self.written.low:.4f} to {self.written.high:.4f}"
        text = (
            f"the target {found}: that is off {forecast}"
            if self.is_outside
            else f"the target {found}: that meets {forecast}, again"
        )
        self.live.warn(LiveWarning(steps.run, steps.step, text))
        if self.changes <= 2:
            self.voice.say(f"warning: {text}" if self.is_outside else text)
