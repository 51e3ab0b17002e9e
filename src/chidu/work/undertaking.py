"""One undertaking: a work folder, its settings, the records of its stages, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from chidu.parallel import Local, Place
from chidu.runs.live import LiveRecord, LiveWarning, RunEvent, Steps
from chidu.runs.record import Record, read_json
from chidu.runs.settings import Settings
from chidu.runs.stage import run_stage
from chidu.units import format_seconds

if TYPE_CHECKING:
    from chidu.training.design import Design
    from chidu.training.kept import KeptRuns
    from chidu.training.rungs import Text
    from chidu.training.sharded import Crew

__all__ = ["OBJECTIVE", "RESAMPLES", "StepTeller", "Voice", "Work", "kept_runs", "stage_settings"]


RESAMPLES = 1000
"""Refits behind the interval of the forecast."""
OBJECTIVE = "wide_huber"
"""In `chidu.laws.objective.OBJECTIVES`: rungs are small models."""


def stage_settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what each stage is told: a stage is made again when this, or what it is made from, changes."""
    seed, held_out = {"seed": settings.seed}, {"held_out_tokens": settings.held_out_tokens}
    lengths = {"context_length": settings.sequence_tokens, "batch_tokens": settings.batch_tokens}
    # Named only where it is another than the built-in one, so that older records stay what they were.
    recipe = {"recipe": dict(settings.recipe)} if settings.recipe else {}
    return {
        "collect": {"source": "installed packages"},
        "corpus": seed,
        "tokens": {"vocabulary": settings.words},
        "design": {"minutes": settings.minutes, "leap": settings.leap, **lengths, **seed, **recipe},
        "ladder": held_out | ({"skip_within": settings.skip_within} if settings.skip_within else {}),
        "law": {
            "law": settings.law,
            "objective": OBJECTIVE,
            "resamples": RESAMPLES,
            "level": settings.level,
            **seed,
        },
        "forecast": {"level": settings.level},
        "target": held_out,
        "score": {},
        "model": seed,
        "report": {"language": settings.language},
    }


def kept_runs(folder: Path, tokens: Record, settings: Settings) -> KeptRuns:
    """Return the finished runs of a work folder that read these tokens, and were measured as these settings say."""
    from chidu.training.kept import KeptRuns

    text = {name: tokens.outputs[f"{name}.bin"]["sha256"] for name in ("train", "held_out")}
    return KeptRuns.of(folder / "runs", text, settings.held_out_tokens)


class Voice(Protocol):
    """How a stage tells what it does."""

    def say(self, text: str) -> None:
        """Tell one line."""
        ...

    def progress(self, stage: str, fraction: float, words: str, seconds: float | None) -> None:
        """Tell how far a stage is (0 to 1), and how long it should take in all, where that is known."""
        ...


class Work:
    """One undertaking: a folder, its settings, who is told, and where its ladder trains."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        voice: Voice,
        live: LiveRecord,
        recollect: bool = False,
        place: Place | None = None,
        crew: Crew | None = None,
    ) -> None:
        self.folder = folder
        self.place = place or Local()
        self.settings = settings
        self.voice = voice
        self.live = live
        self.recollect = recollect
        self.crew = crew
        self.records: dict[str, Record] = {}
        self.skipped: list[str] = []

    def stage(self, name: str, inputs: dict[str, str], make: Callable[[Path], Mapping[str, Any]]) -> Record:
        """Run one stage and keep its record."""
        self.live.stage(name)
        outcome = run_stage(self.folder / name, stage_settings(self.settings)[name], inputs, make, self.voice.say)
        self.records[name] = outcome.record
        if outcome.how == "skipped":
            self.skipped.append(name)
        else:
            self.progress(name, 1.0, "", None)
            self.voice.say(f"{name}: done in {format_seconds(outcome.record.seconds)}")
        return outcome.record

    def teller(self, stage: str) -> Callable[[float, str], None]:
        """Return a `progress(fraction, words)` for a stage of unknown length."""
        return lambda fraction, words: self.progress(stage, fraction, words, None)

    def progress(self, stage: str, fraction: float, words: str, seconds: float | None) -> None:
        """Tell how far a stage is: whoever began it, and whoever watches."""
        self.voice.progress(stage, fraction, words, seconds)
        self.live.stage(stage, fraction, words, seconds)

    @property
    def text(self) -> Text:
        """Where runs find their tokens."""
        from chidu.training.rungs import Text

        tokens = self.folder / "tokens"
        return Text(tokens / "train.bin", tokens / "held_out.bin", self.settings.held_out_tokens)

    @property
    def kept_runs(self) -> KeptRuns:
        """Finished runs of this text, whatever ladder they were made for."""
        return kept_runs(self.folder, self.records["tokens"], self.settings)

    @property
    def design(self) -> Design:
        """The ladder and target that were chosen."""
        from chidu.training.design import Design

        return Design.from_dict(read_json(self.folder / "design" / "design.json"))


class StepTeller:
    """Turns optimiser steps of many sizes into one fraction, each weighted by the seconds it was probed to take."""

    def __init__(self, work: Work, stage: str, chosen: Design) -> None:
        self.work = work
        self.stage = stage
        trains = [chosen.target] if stage == "target" else list(chosen.rungs)
        self.weight = {rung.group: rung.config.shape.flops_per_token() ** 0.75 for rung in trains}
        longest = {rung.group: rung.config for rung in sorted(trains, key=lambda rung: rung.config.steps)}
        trunk = {} if stage == "target" else longest
        self.total = sum(
            self.weight[rung.group] * (rung.config.decay_steps if trunk else rung.config.steps) for rung in trains
        ) + sum(self.weight[group] * config.trunk_steps for group, config in trunk.items())
        self.seconds = chosen.target_seconds if stage == "target" else chosen.ladder_seconds
        self.done = 0.0
        self._reached: dict[str, int] = {}
        """Run → steps it has done."""

    def __call__(self, group: str, event: RunEvent) -> None:
        """Hear of steps, or of something that went amiss."""
        if isinstance(event, LiveWarning):
            self.work.live.warn(event)
            self.work.voice.say(f"warning: {event.text}")
        else:
            self._count(group, event)

    def _count(self, group: str, steps: Steps) -> None:
        # A run that is taken back, or goes on with another worker, makes steps again.
        self.done += self.weight[group] * (steps.step - self._reached.get(steps.run, steps.start))
        self._reached[steps.run] = steps.step
        self.work.live.steps(steps)
        self.work.progress(self.stage, min(1.0, self.done / self.total), f"training {group}", self.seconds)
