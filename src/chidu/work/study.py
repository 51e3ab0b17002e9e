"""The stage of a study: beside the list of an undertaking's stages, run on its own, on the work folder's tokens."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import SettingError, WorkFolderError
from chidu.parallel import Local, Place
from chidu.runs.folder import check_work_folder
from chidu.runs.ladder import Ladder
from chidu.runs.live import LiveRecord, LiveWarning, RunEvent
from chidu.runs.record import Record, fingerprint, read_json, write_atomic, write_json
from chidu.runs.run import Run
from chidu.runs.settings import Settings
from chidu.runs.stage import run_stage
from chidu.units import count_of, format_seconds
from chidu.work import run
from chidu.work.estimate import TYPICAL_SECONDS, expected_tokens
from chidu.work.results import LADDER_TABLE, rung_runs
from chidu.work.undertaking import Voice, Work, stage_settings

if TYPE_CHECKING:
    from chidu.runs.config import RunConfig
    from chidu.studies import Study
    from chidu.studies.energy import Power
    from chidu.studies.seeds import SeedsPlan
    from chidu.studies.study import Means, Models
    from chidu.training.rungs import Rung

__all__ = [
    "POOL",
    "RUNS_TABLE",
    "Sharing",
    "check_minutes",
    "cost",
    "cost_of",
    "preview_cost",
    "preview_study",
    "study",
    "undertake",
]

POOL = Path("studies") / "runs"
"""Where a work folder keeps the runs of all its studies: another study, or more minutes, finds them again."""
RUNS_TABLE = "runs.csv"
COST_SECONDS = 10.0
"""A fit with its refits, and where the machine counts energy a few seconds of training."""
PLANNING_SECONDS = 20.0
"""Wall time kept for timing the sizes, and for the verdict."""
MADE_FIRST = ("collect", "corpus", "tokens")


@dataclass(frozen=True)
class Sharing:
    """What a study is told that is made among others, one after another."""

    seconds: float
    """Wall time that is its own."""
    sizes: tuple[RunConfig, ...] = ()
    """Sizes and lengths that an earlier study has trained: taken, where it can, since their runs cost nothing."""
    keeps_weights: bool = False
    """True where a later study asks the models that this one trains."""
    planned: frozenset[str] = frozenset()
    """Names of runs that an earlier study will have trained: where only the cost is told, none is trained yet."""


def undertake(
    folder: Path, settings: Settings, voice: Voice, chosen: Study, minutes: float, seed: int, place: Place
) -> Record:
    """Make what a work folder lacks up to its tokens, then a study; whoever watches sees all of it."""
    with LiveRecord.open(folder, voice.say) as live:
        return study(run(folder, settings, voice, "tokens", place=place, live=live), chosen, minutes, seed)


def study(work: Work, chosen: Study, minutes: float, seed: int, sharing: Sharing | None = None) -> Record:
    """Make a study's runs, judge them, and leave table and verdict in `studies/NAME`."""
    work.live.stage(chosen.name)
    folder = work.folder / "studies" / chosen.name
    settings = study_settings(work.settings, chosen, minutes, seed)
    packed = work.records["tokens"].outputs
    inputs = {name: packed[f"{name}.bin"]["sha256"] for name in ("train", "held_out")}

    def make(folder: Path) -> dict[str, Any]:
        spent = sum(record.seconds for name, record in work.records.items() if name not in work.skipped)
        share = sharing or Sharing(60 * minutes - spent)
        table = make_table(work, folder, chosen, share, seed, inputs)
        table.write(folder / RUNS_TABLE)
        read = Ladder.read(folder / RUNS_TABLE)
        return judged(folder, chosen, Ladder(read.columns, read.source, notes=table.notes), seed)

    return run_stage(folder, settings, inputs, make, work.voice.say).record


def study_settings(settings: Settings, chosen: Study, minutes: float, seed: int) -> dict[str, Any]:
    """Return what a study is told: it is made again when this, or the text, changes."""
    lengths = {"context_length": settings.sequence_tokens, "batch_tokens": settings.batch_tokens}
    return {
        "minutes": minutes, "seed": seed, "held_out_tokens": settings.held_out_tokens,
        "threshold": chosen.threshold, "level": chosen.level, **lengths, "recipe": dict(settings.recipe),
    }  # fmt: skip


def cost(folder: Path, voice: Voice, price: float | None, power: Power | None, seed: int) -> Record:
    """Report what a finished ladder cost, in `studies/cost`. Raises WorkFolderError where there is none."""
    made = finished_ladder(folder)
    dearest = max(rung_runs(folder), key=lambda run: run.config.flops).config
    table = folder / "ladder" / LADDER_TABLE
    return cost_of(folder, voice, table, {"ladder": made.content}, dearest, price, power, seed)


def cost_of(
    folder: Path,
    voice: Voice,
    table: Path,
    inputs: dict[str, str],
    dearest: RunConfig,
    price: float | None,
    power: Power | None,
    seed: int,
) -> Record:
    """Report what the runs of a table cost, in `studies/cost`; `dearest` is run a little where energy can be read.

    Of a table with several batches those of most runs are looked at: the report's law knows of no batch.
    """
    from chidu.studies.batches import one_batch
    from chidu.studies.cost import Terms, cost_study
    from chidu.studies.energy import measured_power

    def make(own: Path) -> dict[str, Any]:
        terms = Terms(power or measured_power(dearest, Local()), price)
        return judged(own, cost_study(terms), one_batch(Ladder.read(table)), seed)

    settings = {"price": price, "watts": None if power is None else power.watts, "seed": seed}
    return run_stage(folder / "studies" / "cost", settings, inputs, make, voice.say).record


def finished_ladder(folder: Path) -> Record:
    """Return the record of a work folder's ladder. Raises WorkFolderError where it has none."""
    check_work_folder(folder)
    record = Record.read(folder / "ladder")
    if record is None:
        raise WorkFolderError(f"{folder} has no finished ladder: run chidu ladder --work {folder} first")
    return record


def preview_cost(folder: Path) -> tuple[dict[str, float], str]:
    """Return the seconds that `cost` takes, and what it looks at."""
    made = finished_ladder(folder)
    return {"cost": COST_SECONDS}, f"none; it looks at {count_of(made.result['rungs'], 'run')} of the ladder"


def judged(own: Path, chosen: Study, table: Ladder, seed: int) -> dict[str, Any]:
    """Judge a table of runs, and leave the verdict in a study's folder."""
    verdict = chosen.verdict(table, seed)
    write_atomic(own / "verdict.txt", f"{verdict}\n")
    write_json(own / "verdict.json", verdict.as_dict())
    return verdict.as_dict()


def make_table(work: Work, folder: Path, chosen: Study, share: Sharing, seed: int, inputs: Mapping[str, str]) -> Ladder:
    """Make a study's runs, and return the table that it judges."""
    if chosen.own_runs is not None:
        means = own_means(work.folder, work.settings, work.place, share.seconds, seed, inputs)
        means = replace(means, tell=lambda fraction, words: work.progress(chosen.name, fraction, words, None))
        path = folder / "plan.json"
        if not path.exists():
            means.tell(0.0, "timing a few steps")
            write_json(path, chosen.own_runs.plan(means))
        plan = read_json(path)
        work.voice.say(f"{chosen.name}: {plan['words']}, about {format_seconds(plan['seconds'])}")
        return chosen.own_runs.make(means, plan)
    chosen_plan = kept_plan(work, folder, chosen, share, seed, inputs)
    work.voice.say(f"{chosen.name}: {chosen_plan}, about {format_seconds(chosen_plan.seconds)}")
    runs = make_runs(work, chosen, chosen_plan, inputs, share.keeps_weights)
    return Ladder.from_runs(runs) if chosen.measure is None else chosen.measure(models(work, chosen, runs, seed))


def own_means(
    folder: Path, settings: Settings, place: Place, seconds: float, seed: int, inputs: Mapping[str, str]
) -> Means:
    """Return what a study that makes runs of its own has for it."""
    from chidu.studies.study import Means
    from chidu.training.rungs import Text

    tokens, made = folder.absolute() / "tokens", Record.read(folder / "tokens")
    return Means(
        folder=folder.absolute() / POOL,
        text=Text(tokens / "train.bin", tokens / "held_out.bin", settings.held_out_tokens),
        fingerprint=text_of(settings, inputs),
        vocabulary=settings.words,
        recipes=tuple(settings.recipes),
        train_tokens=expected_tokens(settings) if made is None else made.result["train"]["tokens"],
        corpus=folder.absolute() / "corpus",
        seconds=seconds - PLANNING_SECONDS,
        seed=seed,
        place=place,
        tell=lambda _fraction, _words: None,
    )


def models(work: Work, chosen: Study, runs: Sequence[Run], seed: int) -> Models:
    """Return trained models for a study to measure on."""
    from chidu.studies.study import Models
    from chidu.training.rungs import WEIGHTS

    return Models(
        runs=tuple(runs),
        weights=tuple(work.folder.absolute() / POOL / run.name / WEIGHTS for run in runs),
        tokens=work.folder.absolute() / "tokens",
        corpus=work.folder.absolute() / "corpus",
        place=work.place,
        tell=lambda fraction, words: work.progress(chosen.name, fraction, words, None),
        seed=seed,
    )


def kept_plan(
    work: Work, folder: Path, chosen: Study, share: Sharing, seed: int, inputs: Mapping[str, str]
) -> SeedsPlan:
    """Return the plan, made at the first call and kept: what was cut goes on with the same runs."""
    from chidu.studies.seeds import SeedsPlan

    path = folder / "plan.json"
    if not path.exists():
        work.progress(folder.name, 0.0, "timing a few steps of each size", None)
        tokens = work.records["tokens"].result
        held_out = min(work.settings.held_out_tokens, tokens["held_out"]["tokens"])
        amounts = (tokens["train"]["tokens"], held_out)
        made = plan(work.folder, work.settings, work.place, chosen, share, seed, amounts, inputs)
        write_json(path, made.as_dict())
    return SeedsPlan.from_dict(read_json(path))


def plan(
    folder: Path,
    settings: Settings,
    place: Place,
    chosen: Study,
    share: Sharing,
    seed: int,
    tokens: tuple[int, int],
    inputs: Mapping[str, str],
) -> SeedsPlan:
    """Time a few steps at the place, and choose the runs for these seconds of wall time; `tokens` to train on, and held
    out."""
    from chidu.studies.seeds import Purse, plan_seeds
    from chidu.training.probe import best_precision, measure_apart

    @cache
    def speed(configs: tuple[RunConfig, ...]) -> tuple[float, ...]:
        return measure_apart(configs, place, place.cores)

    assert chosen.seeds is not None
    found = [run for run in ladder_runs(folder, settings, inputs) if run.config.seed == seed]
    needs_weights = share.keeps_weights or (chosen.measure is not None and chosen.needs_weights)
    training = (share.seconds - PLANNING_SECONDS - chosen.measure_seconds) / (1 + chosen.measure_part)
    return plan_seeds(
        [replace(recipe, precision=best_precision()) for recipe in settings.recipes],
        Purse(training, place.cores, *tokens),
        seed,
        text_of(settings, inputs),
        lambda configs: speed(tuple(configs)),
        chosen.seeds,
        share.sizes or [run.config for run in found],
        lambda rung: (
            rung.name in share.planned or is_there(folder, rung, [] if needs_weights else found, needs_weights)
        ),
    )


def make_runs(
    work: Work, chosen: Study, plan: SeedsPlan, inputs: Mapping[str, str], keeps_weights: bool = False
) -> list[Run]:
    """Train what is not there yet, and return all runs of the plan in its order.

    Where this study, or a later one, measures on the models their weights are kept. Where all of them are needed, a run
    whose weights were not is trained again, to the same bits.
    """
    from chidu.training.rungs import TRUNK, run_path, train_ladder

    pool, planned = work.folder / POOL, plan.all_rungs
    needs_weights = keeps_weights or (chosen.measure is not None and chosen.needs_weights)
    if needs_weights:
        for rung in planned:
            if not is_there(work.folder, rung, [], True):
                run_path(pool, rung.name).unlink(missing_ok=True)
    else:
        adopt(planned, ladder_runs(work.folder, work.settings, inputs), pool)
    missing = {rung.group for rung in planned if not run_path(pool, rung.name).exists()}
    rungs = [rung for rung in planned if rung.group in missing]
    if len(rungs) < len(planned):
        work.voice.say(f"{chosen.name}: {len(planned) - len(rungs)} of {len(planned)} runs are there already")
    steps = StepCounter(work, chosen.name, rungs, plan.seconds)
    train_ladder(rungs, work.text, pool, steps, work.place, keeps_weights or chosen.measure is not None)
    for trunk in pool.glob(f"*{TRUNK}"):
        shutil.rmtree(trunk)
    work.progress(chosen.name, 1.0, "", None)
    return [Run.from_dict(read_json(run_path(pool, rung.name))) for rung in planned]


def ladder_runs(folder: Path, settings: Settings, inputs: Mapping[str, str]) -> list[Run]:
    """Return the runs of the work folder's ladder, where it is finished and read the same text; else none."""
    record = Record.read(folder / "ladder")
    if record is None or record.settings != stage_settings(settings)["ladder"]:
        return []
    return list(rung_runs(folder)) if all(record.inputs.get(name) == inputs[name] for name in inputs) else []


def adopt(rungs: tuple[Rung, ...], made: list[Run], pool: Path) -> None:
    """Put the ladder's runs into the pool, under the names that they have there."""
    from chidu.training.rungs import run_path

    by_config = {run.config: run for run in made}
    for rung in rungs:
        path = run_path(pool, rung.name)
        if rung.config in by_config and not path.exists():
            run = replace(by_config[rung.config], name=rung.name, group=rung.group)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, run.as_dict())


def is_there(folder: Path, rung: Rung, made: list[Run], needs_weights: bool) -> bool:
    """Tell whether a run is in the pool, with its weights where they are needed, or of the ladder."""
    from chidu.training.rungs import WEIGHTS, run_path

    path = run_path(folder / POOL, rung.name)
    if path.exists() and (not needs_weights or path.with_name(WEIGHTS).exists()):
        return True
    return any(run.config == rung.config for run in made)


def text_of(settings: Settings, inputs: Mapping[str, str]) -> str:
    """Return the fingerprint of all that a run reads."""
    return fingerprint({**inputs, "held_out_tokens": settings.held_out_tokens})


class StepCounter:
    """Turns the optimiser steps of many runs into one fraction, each step weighted by its flops."""

    def __init__(self, work: Work, name: str, rungs: list[Rung], seconds: float) -> None:
        self.work = work
        self.name = name
        self.seconds = seconds
        self.weight = {rung.group: rung.config.shape.flops_per_token() ** 0.75 for rung in rungs}
        longest: dict[str, RunConfig] = {}
        for rung in sorted(rungs, key=lambda rung: rung.config.steps):
            longest[rung.group] = rung.config
        self.total = sum(self.weight[rung.group] * rung.config.decay_steps for rung in rungs) + sum(
            self.weight[group] * config.trunk_steps for group, config in longest.items()
        )
        self.done = 0.0
        self._reached: dict[str, int] = {}

    def __call__(self, group: str, event: RunEvent) -> None:
        """Hear of steps, or of something that went amiss."""
        if isinstance(event, LiveWarning):
            self.work.voice.say(f"warning: {event.text}")
            return
        # A run that is taken back, or goes on with another worker, makes steps again.
        self.done += self.weight[group] * (event.step - self._reached.get(event.run, event.start))
        self._reached[event.run] = event.step
        self.work.progress(self.name, min(1.0, self.done / self.total), f"training {group}", self.seconds)


def preview_study(
    folder: Path, settings: Settings, chosen: Study, minutes: float, seed: int, place: Place | None = None
) -> tuple[dict[str, float], str]:
    """Return the stages that `chidu study` would run with the seconds each should take, and what it would train.

    Where the folder has no plan for these minutes yet, a few steps of each size are timed (some ten seconds). Nothing
    is written.
    """
    stages, inputs, amounts = preview_tokens(folder, settings)
    record = Record.read(folder / "studies" / chosen.name)
    if inputs and record is not None and record.settings["minutes"] == minutes and record.settings["seed"] == seed:
        return {**stages, chosen.name: 0.0}, "done already"
    left = 60 * minutes - sum(stages.values())
    if chosen.own_runs is not None:
        own = chosen.own_runs.plan(own_means(folder, settings, place or Local(), left, seed, inputs))
        return {**stages, chosen.name: own["seconds"] + PLANNING_SECONDS}, own["words"]
    found = plan(folder, settings, place or Local(), chosen, Sharing(left), seed, amounts, inputs)
    whole = (1 + chosen.measure_part) * found.seconds + PLANNING_SECONDS + chosen.measure_seconds
    return {**stages, chosen.name: whole}, str(found)


def preview_tokens(folder: Path, settings: Settings) -> tuple[dict[str, float], dict[str, str], tuple[int, int]]:
    """Return the seconds that each stage up to the tokens should take, the fingerprints of what runs read (none where
    they are not there yet), and the tokens to train on and held out."""
    told, done, stages = stage_settings(settings), True, {}
    for name in MADE_FIRST:
        if name == "collect" and settings.text:
            continue
        record = Record.read(folder / name)
        done = done and record is not None and record.settings == told[name]
        stages[name] = 0.0 if done else TYPICAL_SECONDS[name]
    tokens = Record.read(folder / "tokens") if done else None
    inputs, amounts = {}, (expected_tokens(settings), settings.held_out_tokens)
    if tokens is not None:
        inputs = {name: tokens.outputs[f"{name}.bin"]["sha256"] for name in ("train", "held_out")}
        amounts = (tokens.result["train"]["tokens"], min(amounts[1], tokens.result["held_out"]["tokens"]))
    return stages, inputs, amounts


def check_minutes(minutes: float) -> None:
    """Refuse a time that no plan fits."""
    if not 1 <= minutes <= 600:
        raise SettingError(f"minutes is {minutes:g}; it must be from 1 to 600")
