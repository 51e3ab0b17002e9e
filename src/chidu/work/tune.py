"""The stage `tune`: beside the list of an undertaking's stages, run on its own, its recipe taken up by `design`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from chidu.errors import SettingError
from chidu.parallel import Local, cores
from chidu.runs.recipe import Recipe
from chidu.runs.record import Record, read_json, write_json
from chidu.runs.settings import SETTINGS_FILE, Settings, write_settings
from chidu.runs.stage import run_stage
from chidu.units import count_of, format_count, format_seconds
from chidu.work.undertaking import Work, stage_settings

__all__ = ["check_minutes", "preview_tuning", "tune"]

FIRST_SEED = 1_000_000
"""Tuning's seeds begin here, far from those of ladders: a recipe chosen on a ladder's own seed would flatter it."""
SEEDS_APART = 1000


def tune(work: Work, minutes: float, seed: int) -> Record:
    """Tune on the work folder's tokens, say what came of it, and hand the recipe on.

    The built-in recipe is where it begins, whatever `[recipe]` in `chidu.toml` says, so a second call finds nothing to
    do. Of that table it takes the place: with what was found, or with nothing, where the default stays.
    """
    base = replace(work.settings, recipe={}).recipes[0]
    lengths = {"context_length": base.context_length, "batch_tokens": base.batch_tokens}
    settings = {"minutes": minutes, "seed": seed, **lengths}
    packed = work.records["tokens"].outputs

    def make(folder: Path) -> dict[str, Any]:
        from chidu.training.tune import tune as tune_recipe

        plan, recipe = plan_of(work, base, folder, minutes, seed)
        done, runs = 0, plan.runs

        def count() -> None:
            nonlocal done
            done += 1
            work.voice.progress("tune", min(1.0, done / runs), f"{done} of some {runs} runs", plan.seconds)

        return tune_recipe(plan, recipe, work.folder / "tokens" / "train.bin", folder, count).as_dict()

    outcome = run_stage(work.folder / "tune", settings, {"train": packed["train.bin"]["sha256"]}, make, work.voice.say)
    work.records["tune"] = outcome.record
    if outcome.how == "skipped":
        work.skipped.append("tune")
    else:
        work.voice.progress("tune", 1.0, "", None)
        work.voice.say(f"tune: done in {format_seconds(outcome.record.seconds)}")
    for line in told(outcome.record.result):
        work.voice.say(f"tune: {line}")
    hand_on(work, outcome.record.result["recipe"])
    return outcome.record


def plan_of(work: Work, base: Recipe, folder: Path, minutes: float, seed: int) -> Any:
    """Return the plan and the recipe in this machine's precision, made at the first call and kept."""
    from chidu.training import tuning_plan
    from chidu.training.probe import best_precision, measure_apart

    path = folder / "plan.json"
    if not path.exists():
        work.teller("tune")(0.0, "timing a few steps of each size")
        recipe = replace(base, precision=best_precision())
        configs = [recipe.config(width, 100, seed) for width in tuning_plan.WIDTHS]
        tokens = work.records["tokens"].result["train"]["tokens"]
        first = FIRST_SEED + SEEDS_APART * seed
        speed = measure_apart(configs, Local(), cores())
        plan = tuning_plan.plan_tuning(recipe, minutes * 60, cores(), first, tokens, speed)
        write_json(path, {"plan": asdict(plan), "precision": recipe.precision})
    found = read_json(path)
    return tuning_plan.TuningPlan(**found["plan"]), replace(base, precision=found["precision"])


def hand_on(work: Work, recipe: dict[str, Any]) -> None:
    """Write what was found where `design` takes it from, and say what that changes."""
    before = dict(work.settings.recipe)
    work.settings = replace(work.settings, recipe=recipe)
    write_settings(work.folder, work.settings)
    if before == dict(work.settings.recipe):
        return
    changed = ", ".join(f"{name} = {value:g}" for name, value in recipe.items())
    news = f"[recipe] now has {changed}" if recipe else "[recipe] is taken out"
    work.voice.say(f"tune: {work.folder / SETTINGS_FILE}: {news}")
    if (work.folder / "design" / "record.json").exists():
        work.voice.say(
            "tune: the design here is of another recipe: the next chidu build, demo, ladder or train does it again, "
            "with ladder, law, forecast, target and all that follows"
        )


def told(result: dict[str, Any]) -> list[str]:
    """Say in a few lines what came of it."""
    return [search_line(result), confirmation_line(result), *law_lines(result["law"]), *noise_lines(result)]


def search_line(result: dict[str, Any]) -> str:
    """Say what the search tried, and the best it saw."""
    best, default = result["best"]["loss"], result["default_loss"]
    early = result["ended_early"]
    return (
        f"{count_of(result['attempts'], 'recipe')} tried ({early} ended early); "
        f"the best ended at {best:.4f}, the default at {default:.4f} ({100 * (best / default - 1):+.2f}%, "
        "luck of the best of many included)"
    )


def confirmation_line(result: dict[str, Any]) -> str:
    """Say whether the best is better with fresh seeds, wider and longer."""
    found = result["confirmation"]
    if found is None:
        return "nothing was better than the default, which stays"
    shown = ", ".join(f"{name} {value:g}" for name, value in result["best"]["changes"].items())
    numbers = (
        f"with {len(found['differences'])} fresh seeds at width {found['width']} and twice the length: "
        f"{100 * found['mean']:+.2f}% of the loss, {found['level']:.0%} interval "
        f"{100 * found['low']:+.2f} to {100 * found['high']:+.2f}%, for {found['time']:.2f} × the processor time"
    )
    if found["better"]:
        return f"better: {shown}; {numbers}"
    return f"not better beyond the seeds' luck, so the default stays; {numbers} ({shown})"


def law_lines(law: dict[str, Any]) -> list[str]:
    """Say where the matrices' best rate lies, and how it goes with size."""
    rates = [
        f"{each['width']}: {each['value']:.2g} ({each['low']:.2g} to {each['high']:.2g})"
        if each["deviation"] is not None and each["inside"]
        else f"{each['width']}: not bounded"
        for each in law["optima"]
    ]
    lines = [f"best rate of the matrices by width: {', '.join(rates)}"]
    if law["why_not"]:
        return [*lines, f"no law of the best rate: {law['why_not']}"]
    keeps = law["low"] <= 0 <= law["high"]
    said = (
        "one rate for all widths, the recipe's rule, agrees"
        if keeps
        else "the recipe's rule, one rate for all widths, disagrees: at ten times these params this law asks for "
        f"{law['at'] * 10 ** law['slope']:.2g}"
    )
    return [
        *lines,
        f"best rate = {law['at']:.2g} × (params_matmul / {format_count(law['params'])})^{law['slope']:.2f}, "
        f"exponent {law['low']:.2f} to {law['high']:.2f} at {law['level']:.0%}: {said}",
    ]


def noise_lines(result: dict[str, Any]) -> list[str]:
    """Say how large a batch the gradient's noise pays for."""
    return [
        f"gradient noise scale after {each['step']} steps: {_tokens(each['tokens'])} tokens ({_tokens(each['low'])} to "
        f"{_tokens(each['high'])} at {each['level']:.0%}); the recipe's batch has {result['batch_tokens']:,}. "
        "Under Muon a hint of the order of magnitude, no more"
        for each in result["noise_scale"][-1:]
    ]


def _tokens(value: float | None) -> str:
    return "no bound" if value is None else format_count(float(f"{value:.2g}"))


def preview_tuning(folder: Path, settings: Settings, minutes: float) -> dict[str, float]:
    """Return the stages that `chidu tune` would run and the seconds each should take, 0 where it is made already."""
    from chidu.work.estimate import TYPICAL_SECONDS

    told_stages, done, stages = stage_settings(settings), True, {}
    for name in ("collect", "corpus", "tokens"):
        if name == "collect" and settings.text:
            continue
        record = Record.read(folder / name)
        done = done and record is not None and record.settings == told_stages[name]
        stages[name] = 0.0 if done else TYPICAL_SECONDS[name]
    record = Record.read(folder / "tune")
    whole = done and record is not None and record.settings["minutes"] == minutes
    return {**stages, "tune": 0.0 if whole else 60 * minutes}


def check_minutes(minutes: float) -> None:
    """Refuse a time that no plan fits."""
    if not 1 <= minutes <= 600:
        raise SettingError(f"minutes is {minutes:g}; it must be from 1 to 600")
