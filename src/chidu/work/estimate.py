"""What an undertaking would do, and how long it should take: said before it begins."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import TextError
from chidu.parallel import Local, Place
from chidu.runs.config import RunConfig
from chidu.runs.folder import check_work_folder
from chidu.runs.record import Record, read_json
from chidu.runs.settings import Settings
from chidu.units import format_count, format_seconds
from chidu.work.results import ORDER
from chidu.work.undertaking import kept_runs, stage_settings

if TYPE_CHECKING:
    from chidu.training.design import Budget, Design

__all__ = [
    "AFTER_SECONDS",
    "TYPICAL_SECONDS",
    "Preview",
    "choose_design",
    "describe_design",
    "expected_tokens",
    "preview",
]

AFTER_SECONDS = 20.0
"""Wall time kept for what follows the target: saving and checking the model, a sample, the page."""
TYPICAL_SECONDS = {"collect": 20.0, "corpus": 5.0, "tokens": 10.0, "design": 25.0, "law": 5.0}
"""What stages without a training cost on an ordinary machine, for the estimate made before anything is measured."""
OVERRUNS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
"""What the time for ladder and target is multiplied with, in turn, until something fits."""
OVERTIME = 1.1
"""Part of the minutes asked for that an estimate may reach before it is said."""
INSTALLED_TOKENS = 9_000_000
"""Tokens of the default corpus, about, before it was collected."""


def choose_design(settings: Settings, budget: Budget, place: Place, known: Sequence[RunConfig] = ()) -> Design:
    """Probe a place, and choose the ladder and target that fit the budget, of the first recipe that has any.

    Runs that are `known`, since they were trained before, cost nothing.

    A machine too slow for the smallest ladder takes up to four times the time; `describe_design` says so beforehand.
    Raises TextError where the text is too short, or that is not enough either.
    """
    from chidu.training.design import design_ladder
    from chidu.training.probe import best_precision, measure_speed

    recipes = [replace(recipe, precision=best_precision()) for recipe in settings.recipes]
    speed = cache(lambda apart, one: measure_speed(apart, one, place))
    refusals = []
    for overrun in OVERRUNS:
        longer = replace(budget, seconds=overrun * budget.seconds)
        for recipe in recipes:
            try:
                return design_ladder(recipe, longer, settings.seed, lambda apart, one: speed(tuple(apart), one), known)
            except TextError as error:
                refusals.append(error)
    raise refusals[len(recipes) - 1]


def describe_design(chosen: Design, settings: Settings, say: Callable[[str], None]) -> None:
    """Tell beforehand what will be trained, and how long it should take."""
    widths = sorted({rung.config.shape.width for rung in chosen.rungs})
    steps = sorted({rung.config.steps for rung in chosen.rungs})
    dearest = max(rung.config.flops for rung in chosen.rungs)
    target = chosen.target.config
    tour = (
        " (a tour: fewer minutes than 6 leave room for a look around, not for a good forecast)"
        if settings.is_tour
        else ""
    )
    say(
        f"plan{tour}: {len(chosen.rungs)} rungs, widths {', '.join(map(str, widths))}, "
        f"{', '.join(map(str, steps))} steps of {target.batch_tokens} tokens, "
        f"about {format_seconds(chosen.ladder_seconds)}"
    )
    say(
        f"plan: then a forecast, then the target: width {target.shape.width}, "
        f"{format_count(target.shape.params)} params, {format_count(target.tokens)} tokens, "
        f"{target.flops / dearest:.1f} × the flops of the dearest rung, about {format_seconds(chosen.target_seconds)}"
    )
    seconds = chosen.ladder_seconds + chosen.target_seconds + sum(TYPICAL_SECONDS.values()) + AFTER_SECONDS
    if seconds > OVERTIME * 60 * settings.minutes:
        say(
            f"plan: no smaller ladder is worth fitting, so on this machine all takes about {format_seconds(seconds)}, "
            f"longer than the {settings.minutes:g} minutes asked for"
        )


@dataclass(frozen=True)
class Preview:
    """What an undertaking would do, before it does anything."""

    stages: dict[str, float]
    """Stage → seconds it should take; 0 where it is made already."""
    disk_bytes: float
    free_bytes: float

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "minutes": sum(self.stages.values()) / 60}


def preview(folder: Path, settings: Settings, say: Callable[[str], None], place: Place | None = None) -> Preview:
    """Say what `Work.run` would do and how long each stage should take; write nothing.

    What the folder holds is taken from its records. The place where the ladder would train is probed (some ten seconds)
    where the folder has no design yet.
    """
    check_work_folder(folder)
    from chidu.training.design import Budget, Design

    done = _still_valid(folder, settings)
    expected = {name: TYPICAL_SECONDS.get(name, 1.0) for name in ORDER if not (name == "collect" and settings.text)}
    if "design" in done:
        chosen = Design.from_dict(read_json(folder / "design" / "design.json"))
    else:
        place = place or Local()
        left = settings.minutes * 60 - sum(expected.values()) - AFTER_SECONDS
        _tell_scarce(settings, say)
        say("design: timing a few steps of each size, up to a minute")
        chosen = choose_design(
            settings,
            Budget(left, place.cores, expected_tokens(settings), settings.leap, settings.held_out_tokens),
            place,
            _known(folder, done, settings),
        )
    describe_design(chosen, settings, say)
    expected |= {
        "ladder": chosen.ladder_seconds,
        "target": chosen.target_seconds,
        "model": 0.6 * AFTER_SECONDS,
        "report": 0.3 * AFTER_SECONDS,
    }
    stages = {name: 0.0 if name in done else seconds for name, seconds in expected.items()}
    where = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    checkpoints = 16.0 * chosen.target.config.shape.params + 40.0 * max(
        rung.config.shape.params for rung in chosen.rungs
    )
    return Preview(stages, 4 * 3.0 * expected_tokens(settings) + 3 * checkpoints, shutil.disk_usage(where).free)


def _known(folder: Path, done: Collection[str], settings: Settings) -> list[RunConfig]:
    """Return the runs that were trained before on these tokens."""
    tokens = Record.read(folder / "tokens") if "tokens" in done else None
    return kept_runs(folder, tokens, settings).configs() if tokens is not None else []


def _tell_scarce(settings: Settings, say: Callable[[str], None]) -> None:
    """Say where the text may turn out too short, which only cleaning can tell."""
    from chidu.training.design import least_tokens

    least = min(least_tokens(recipe) for recipe in settings.recipes)
    tokens = expected_tokens(settings)
    if least <= tokens < 1.5 * least:
        say(
            f"text: about {format_count(tokens)} tokens by its size; the least is {format_count(least)}, and cleaning "
            "and the held-out part may leave fewer"
        )


def _still_valid(folder: Path, settings: Settings) -> set[str]:
    """Name the finished stages that these settings leave as they are: all before the first to be made again."""
    told, valid = stage_settings(settings), set()
    for name in ORDER:
        if name == "collect" and settings.text:
            continue
        record = Record.read(folder / name)
        if record is None or record.settings != told[name]:
            break
        if name == "corpus" and _text_changed(record, settings):
            break
        valid.add(name)
    return valid


def _text_changed(record: Record, settings: Settings) -> bool:
    from chidu.corpus import fingerprint_paths

    return bool(settings.text) and record.inputs["text"] != fingerprint_paths(settings.text)


def expected_tokens(settings: Settings) -> int:
    """Guess the tokens of the text: three bytes each, and gzip to a third."""
    if not settings.text:
        return INSTALLED_TOKENS
    from chidu.corpus import text_bytes

    return text_bytes(settings.text) // 3
