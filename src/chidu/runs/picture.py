"""An undertaking at one moment: where it is, how far each run is, and where the target is heading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from chidu.runs.live import LiveEstimate, LiveWarning

__all__ = ["Picture", "RunPicture", "StudyPicture"]


@dataclass(frozen=True)
class RunPicture:
    """How far one run is."""

    name: str
    group: str
    params: int
    steps: int
    """Steps of the whole run."""
    batch_tokens: int
    step: int
    """Steps done, its trunk's counted."""
    training_loss: float | None
    """Mean over the newest steps, nats per token; None before the first."""
    loss: float | None
    """Held-out loss; None before the end."""
    steps_per_second: float | None
    """Of its newest steps; None where it does not train now."""
    curve: tuple[tuple[int, float], ...] = ()
    """Training loss so far: (step, mean since the last point); its trunk's left out."""

    @property
    def state(self) -> Literal["waiting", "begun", "done"]:
        """`begun` also where it waits for its turn after its trunk."""
        return "done" if self.loss is not None else "begun" if self.step else "waiting"

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens trained on in a second, now."""
        return None if self.steps_per_second is None else self.steps_per_second * self.batch_tokens

    @property
    def seconds_left(self) -> float | None:
        """At the present speed; None where it does not train now."""
        return (self.steps - self.step) / self.steps_per_second if self.steps_per_second else None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form, without the curve."""
        told = {name: value for name, value in asdict(self).items() if name != "curve"}
        more = ("state", "tokens_per_second", "seconds_left")
        return {**told, **{name: getattr(self, name) for name in more}}


@dataclass(frozen=True)
class StudyPicture:
    """How far a study is."""

    name: str
    runs: int | None
    """Runs of its plan; None before it is made, and for a study whose runs are of another kind."""
    done: int | None
    """Those of them that are finished."""
    words: str
    """What it does now."""
    number: int | None = None
    """Its place among the studies that are made one after another; None where it is made alone."""
    count: int | None = None
    """How many those are."""

    def __str__(self) -> str:
        place = "" if self.number is None else f" ({self.number} of {self.count})"
        told = "" if self.runs is None else f"{self.done} of {self.runs} runs done"
        return " · ".join(part for part in (f"study {self.name}{place}", told, self.words) if part)


@dataclass(frozen=True)
class Picture:
    """An undertaking at one moment."""

    folder: str
    state: Literal["at work", "finished", "stopped"]
    """`stopped` where stages are left to do and nobody is at work."""
    why: str
    """For `stopped`: what is known of why, in words."""
    go_on: str
    """For `stopped`: the command that does what is left."""
    stage: str
    """The stage at work, or the last one that was."""
    fraction: float
    """Part of that stage that is done."""
    seconds_left: float | None
    """Of that stage; None where that is not known, or nobody is at work."""
    seconds: Mapping[str, float]
    """Finished stage → seconds it took."""
    rungs: tuple[RunPicture, ...] = ()
    target: RunPicture | None = None
    forecast: Mapping[str, float] | None = None
    """`loss, low, high, level`, as written down before the target."""
    estimates: tuple[LiveEstimate, ...] = ()
    """Where the target should end, as it went."""
    warnings: tuple[LiveWarning, ...] = ()
    score: Mapping[str, Any] | None = None
    """`measured, error_percent, inside`, once the target is scored."""
    study: StudyPicture | None = None
    """The study at work, or the last one that was, where that was what was made last."""

    @property
    def estimate(self) -> LiveEstimate | None:
        """The newest estimate."""
        return self.estimates[-1] if self.estimates else None

    @property
    def verdict(self) -> Literal["inside", "at the edge", "outside"] | None:
        """Where the estimate lies in the forecast's interval; `outside` where the two have no value in common."""
        if self.estimate is None or self.forecast is None:
            return None
        if not self.estimate.inside:
            return "outside"
        return "inside" if self.forecast["low"] <= self.estimate.loss <= self.forecast["high"] else "at the edge"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **{name: getattr(self, name) for name in ("folder", "state", "why", "go_on", "stage", "fraction")},
            "seconds_left": self.seconds_left,
            "seconds": dict(self.seconds),
            "rungs": [run.as_dict() for run in self.rungs],
            "target": self.target and self.target.as_dict(),
            "forecast": self.forecast and dict(self.forecast),
            "estimate": self.estimate and asdict(self.estimate),
            "verdict": self.verdict,
            "warnings": [asdict(each) for each in self.warnings],
            "score": self.score and dict(self.score),
            "study": self.study and asdict(self.study),
        }
