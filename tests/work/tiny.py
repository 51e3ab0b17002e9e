"""A whole undertaking in seconds: three sizes, three lengths of 20 to 80 steps. Also a program, to be killed.

Everything is real but the lengths, and the probe, which would measure a machine that is busy with tests.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chidu.parallel import Place
from chidu.runs import settings
from chidu.runs.folder import open_work_folder
from chidu.runs.recipe import Recipe
from chidu.runs.settings import Settings, write_settings
from chidu.training import design, probe
from chidu.training.probe import Speed
from chidu.work import Work, run

SETTINGS: dict[str, Any] = {
    "minutes": 5.0,
    "vocabulary": 512,
    "context_length": 32,
    "batch_tokens": 64,
    "held_out_tokens": 1024,
    "law": "additive",
}


class Lines:
    """A voice that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, stage: str, fraction: float, words: str, seconds: float | None) -> None:
        pass


class Printer(Lines):
    """A voice that prints all, so that somebody who counts lines can choose a moment."""

    def say(self, text: str) -> None:
        print(text.replace("\n", " "), flush=True)

    def progress(self, stage: str, fraction: float, words: str, seconds: float | None) -> None:
        print(f"{stage} {fraction:.3f}", flush=True)


def shrink(change: Callable[[Any, str, Any], None] = setattr) -> None:
    """Make every length tiny."""
    change(design, "LADDERS", ((16, 24, 32),))
    change(design, "LEAST_STEPS", 20)
    # What the clock says of the stages before must not decide a length here.
    change(design, "_steps_by_time", lambda *_: 20)
    change(probe, "measure_speed", lambda apart, together, place: Speed((1e-4,) * len(apart), 1e-4, 1))
    change(settings, "Recipe", functools.partial(Recipe, warmup_steps=5))


def tiny_settings(text: Path, **changes: Any) -> Settings:
    return Settings(text=(str(text),), **{**SETTINGS, **changes})


def undertake(
    folder: Path, text: Path, last: str = "report", place: Place | None = None, **changes: Any
) -> tuple[Work, list[str]]:
    voice = Lines()
    return whole(folder, tiny_settings(text, **changes), voice, last, place), voice.said


def whole(folder: Path, chosen: Settings, voice: Lines, last: str = "report", place: Place | None = None) -> Work:
    """Run as the command line does: holding the folder, its settings written down."""
    with open_work_folder(folder):
        write_settings(folder, chosen)
        return run(folder, chosen, voice, last, place=place)


if __name__ == "__main__":
    shrink()
    print("ready", flush=True)
    whole(Path(sys.argv[1]), tiny_settings(Path(sys.argv[2])), Printer())
    print("done", flush=True)
