"""`chidu study all`: every study in its share of the minutes, one after another, and the page that they end in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import ChiduError, FitError, InputError, StoppedError, TrainingError
from chidu.parallel import Local, Place
from chidu.runs.ladder import Ladder
from chidu.runs.live import LiveRecord
from chidu.runs.record import Record, fingerprint, machine, read_json, versions, write_json
from chidu.runs.run import Run
from chidu.runs.settings import Settings
from chidu.work import run
from chidu.work.results import LADDER_TABLE, ordered_studies, rung_runs, settings_title, settings_used, study_part
from chidu.work.study import (
    COST_SECONDS,
    PLANNING_SECONDS,
    POOL,
    RUNS_TABLE,
    Sharing,
    cost_of,
    own_means,
    plan,
    preview_tokens,
    study,
    study_settings,
)
from chidu.work.undertaking import Voice, Work

if TYPE_CHECKING:
    from chidu.report.content import StudyPart
    from chidu.runs.config import RunConfig
    from chidu.studies import Study
    from chidu.studies.published import Published

__all__ = ["Outcome", "Paper", "divide", "judge_table", "preview_all", "study_all", "write_page"]

ALL = Path("studies") / "all"
"""Where a work folder keeps how the minutes were divided, and the page."""
PAGE = "page.html"
WEIGHTS = {"self-averaging": 10.0, "structure": 5.0, "context": 5.0, "stability": 2.0, "limits": 1.0}
"""How the minutes are shared out among studies that make runs, beyond what each needs to plan and to measure. Those
that ask the models of `self-averaging` train little of their own."""
OTHER_WEIGHT = 2.0
FIRST = "self-averaging"
"""The study whose models later ones ask, and whose runs stand in for a ladder."""
NO_TABLE = "it needs a finished ladder, or the runs of self-averaging: neither is there"
NOTHING = "there are no runs to compare: neither a finished ladder nor those of self-averaging"


@dataclass(frozen=True)
class Outcome:
    """What one study came to: the JSON form of its verdict, or why there is none."""

    name: str
    verdict: Mapping[str, Any] | None
    reason: str = ""
    seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the short JSON form: what a list of verdicts holds."""
        found = self.verdict or {}
        told = {name: found.get(name) for name in ("verdict", "effect", "low", "high", "level", "threshold", "runs")}
        minutes = None if self.seconds is None else self.seconds / 60
        return {"study": self.name, **told, "minutes": minutes, "reason": self.reason}


@dataclass(frozen=True)
class Paper:
    """All that the page says."""

    outcomes: tuple[Outcome, ...]
    published: Published | None
    published_reason: str
    source: str
    seed: int
    minutes: float | None = None
    runs: int | None = None
    settings: Mapping[str, Any] | None = None
    """None where a table was judged."""

    @property
    def seconds(self) -> float:
        """Taken by all studies together."""
        return sum(each.seconds or 0.0 for each in self.outcomes)


def divide(minutes: float, kept: Mapping[str, float]) -> dict[str, float]:
    """Return the minutes of each study that makes runs: what those that are `kept` took, and a share for the others.

    A share is what a study needs to plan and to measure, and of the rest a part by WEIGHTS.
    """
    fixed = {
        name: (PLANNING_SECONDS + chosen.measure_seconds) / 60
        for name, chosen in ordered_studies().items()
        if not chosen.is_report and name not in kept
    }
    weights = {name: WEIGHTS.get(name, OTHER_WEIGHT) for name in fixed}
    rest = max(0.0, minutes - COST_SECONDS / 60 - sum(fixed.values()))
    shares = {name: round(fixed[name] + rest * weights[name] / sum(weights.values()), 2) for name in fixed}
    return {
        name: kept[name] if name in kept else shares[name]
        for name in ordered_studies()
        if name in kept or name in shares
    }


def study_all(folder: Path, settings: Settings, voice: Voice, minutes: float, seed: int, place: Place) -> Paper:
    """Make every study within the minutes; what an earlier call finished is not made again. A study that can't be made
    in its share is named with its reason, and the next one begins."""
    with LiveRecord.open(folder, voice.say) as live:
        work = run(folder, settings, voice, "tokens", place=place, live=live)
        shares = kept_division(work, minutes, seed)
        voice.say(f"minutes    {', '.join(f'{name} {share:.1f}' for name, share in shares.items())}")
        outcomes: dict[str, Outcome] = {}
        for name, chosen in ordered_studies().items():
            for line in chosen.stated().splitlines():
                voice.say(f"{name}: {line}")
            outcomes[name] = made(work, chosen, shares, seed)
            if outcomes[name].reason:
                voice.say(f"{name}: {outcomes[name].reason}")
        live.stage("all", 1.0)
        division = folder / ALL / "division.json"
        write_json(division, {**read_json(division), "finished": True})
    published, why = compared(work, seed, outcomes)
    if published is not None:
        write_json(folder / ALL / "published.json", published.as_dict())
    return Paper(
        outcomes=tuple(outcomes.values()),
        published=published,
        published_reason=why,
        source=settings_title(settings),
        seed=seed,
        minutes=minutes,
        runs=runs_behind(folder, outcomes),
        settings=settings_used(settings, None),
    )


def kept_division(work: Work, minutes: float, seed: int) -> dict[str, float]:
    """Return how the minutes are shared out, made at the first call and kept: what was cut goes on with the same."""
    tokens = work.records["tokens"]
    asked = {
        "minutes": minutes,
        "seed": seed,
        "text": tokens.content,
        "studies": list(ordered_studies()),
        "settings": fingerprint(settings_used(work.settings, None)),
    }
    path = work.folder / ALL / "division.json"
    if path.exists() and (before := read_json(path)).get("asked") == asked:
        work.voice.say("all: going on; what is finished is not made again")
        write_json(path, {**before, "finished": False})
        shares: dict[str, float] = before["shares"]
        return shares
    spent = sum(record.seconds for name, record in work.records.items() if name not in work.skipped) / 60
    own = divide(minutes - spent, {})
    kept = {}
    for name, share in own.items():
        record = finished(work, ordered_studies()[name], seed)
        if record is not None and record.settings["minutes"] >= share:
            kept[name] = float(record.settings["minutes"])
            work.voice.say(f"{name}: kept; it was made before, in {kept[name]:g} minutes")
    shares = divide(minutes - spent, kept)
    write_json(path, {"asked": asked, "shares": shares, "finished": False})
    return shares


def finished(work: Work, chosen: Study, seed: int) -> Record | None:
    """Return a study's record where it was made of the same text and told the same, but for its minutes."""
    record = Record.read(work.folder / "studies" / chosen.name)
    if record is None:
        return None
    wanted = study_settings(work.settings, chosen, record.settings.get("minutes", 0.0), seed)
    return record if record.settings == wanted and record.inputs == text_inputs(work) else None


def text_inputs(work: Work) -> dict[str, str]:
    """Return the fingerprints of what runs read."""
    packed = work.records["tokens"].outputs
    return {name: packed[f"{name}.bin"]["sha256"] for name in ("train", "held_out")}


def made(work: Work, chosen: Study, shares: Mapping[str, float], seed: int) -> Outcome:
    """Make one study, or say why it can't be made."""
    try:
        if chosen.is_report:
            record = report(work, seed)
        else:
            minutes = shares[chosen.name]
            sharing = Sharing(60 * minutes, first_sizes(work.folder, chosen, seed), keeps_weights(chosen))
            record = study(work, chosen, minutes, seed, sharing)
    except StoppedError:
        raise
    except (InputError, FitError, TrainingError) as error:
        return Outcome(chosen.name, None, " ".join(str(error).split()))
    if record is None:
        return Outcome(chosen.name, None, NO_TABLE)
    return Outcome(chosen.name, record.result, seconds=record.seconds)


def keeps_weights(chosen: Study) -> bool:
    """True for the study whose models later ones ask."""
    return chosen.name == FIRST and any(each.measure is not None for each in ordered_studies().values())


def first_sizes(folder: Path, chosen: Study, seed: int) -> tuple[RunConfig, ...]:
    """Return the sizes and lengths that the first study of seeds has trained, for one that asks its models."""
    from chidu.studies.seeds import SeedsPlan

    path = folder / "studies" / FIRST / "plan.json"
    if chosen.name == FIRST or chosen.seeds is None or chosen.measure is None or not path.exists():
        return ()
    return tuple(rung.config for rung in SeedsPlan.from_dict(read_json(path)).rungs if rung.config.seed == seed)


@dataclass(frozen=True)
class Table:
    """The runs that the report of cost and published findings are read from."""

    path: Path
    inputs: dict[str, str]
    runs: tuple[Run, ...]


def table_of(work: Work) -> Table | None:
    """Return the ladder's table, where it is finished and read the same text, else that of the first study of seeds."""
    from chidu.studies.seeds import SeedsPlan
    from chidu.training.rungs import run_path

    inputs, ladder = text_inputs(work), Record.read(work.folder / "ladder")
    if ladder is not None and all(ladder.inputs.get(name) == inputs[name] for name in inputs):
        path = work.folder / "ladder" / LADDER_TABLE
        return Table(path, {"ladder": ladder.content}, tuple(rung_runs(work.folder)))
    folder = work.folder / "studies" / FIRST
    record = Record.read(folder)
    if record is None or record.inputs != inputs:
        return None
    rungs = SeedsPlan.from_dict(read_json(folder / "plan.json")).rungs
    runs = (Run.from_dict(read_json(run_path(work.folder / POOL, rung.name))) for rung in rungs)
    return Table(folder / RUNS_TABLE, {"runs": record.content}, tuple(runs))


def report(work: Work, seed: int) -> Record | None:
    """Report what the runs cost; what was reported of the same runs before, at a price perhaps, is kept."""
    table = table_of(work)
    if table is None:
        return None
    before = Record.read(work.folder / "studies" / "cost")
    if before is not None and before.inputs == table.inputs:
        work.voice.say("cost: nothing to do")
        return before
    dearest = max(table.runs, key=lambda each: each.config.flops).config
    return cost_of(work.folder, work.voice, table.path, table.inputs, dearest, None, None, seed)


def compared(work: Work, seed: int, outcomes: Mapping[str, Outcome]) -> tuple[Published | None, str]:
    """Compare the runs with what was published; None with the reason where that can't be."""
    from chidu.studies.batches import one_batch
    from chidu.studies.published import HEAD, compare_published

    table = table_of(work)
    if table is None:
        return None, NOTHING
    heads = {each.name: each.config.shape.vocabulary * each.config.shape.width for each in table.runs}
    read = one_batch(Ladder.read(table.path))
    columns: dict[str, Any] = {**read.columns, HEAD: [heads[name] for name in read.columns["run"].tolist()]}
    structure = outcomes["structure"].verdict if "structure" in outcomes else None
    try:
        return compare_published(Ladder(columns, read.source), seed, structure), ""
    except (InputError, FitError) as error:
        return None, " ".join(str(error).split())


def runs_behind(folder: Path, outcomes: Mapping[str, Outcome]) -> int:
    """Count the runs of all studies, those that several share once."""
    names: set[str] = set()
    others = 0
    for name, outcome in outcomes.items():
        path = folder / "studies" / name / "plan.json"
        planned = read_json(path) if path.exists() and outcome.verdict is not None else {}
        if "rungs" in planned:
            names |= {each["name"] for each in (*planned["rungs"], *planned.get("others", ()))}
        elif planned and outcome.verdict is not None:
            others += int(outcome.verdict["runs"])
    return len(names) + others


def judge_table(table: Ladder, seed: int) -> Paper:
    """Judge a table of others' runs by every study that its columns allow."""
    from chidu.studies.published import compare_published

    # A page goes to others: it names the file, not where it lay.
    named = Path(table.source).name
    table = Ladder(table.columns, named, table.row_numbers.tolist(), notes=table.notes, origins=table.origins)
    outcomes = []
    for name, chosen in ordered_studies().items():
        try:
            outcomes.append(Outcome(name, chosen.verdict(table, seed).as_dict()))
        except (InputError, FitError) as error:
            outcomes.append(Outcome(name, None, " ".join(str(error).split())))
    structure = next((each.verdict for each in outcomes if each.name == "structure"), None)
    published, why = None, ""
    try:
        published = compare_published(table, seed, structure)
    except (InputError, FitError) as error:
        why = " ".join(str(error).split())
    return Paper(tuple(outcomes), published, why, named, seed, runs=len(table))


def part_of(outcome: Outcome) -> StudyPart:
    """Return what the page shows of a study."""
    minutes = None if outcome.seconds is None else outcome.seconds / 60
    return replace(study_part(outcome.name, outcome.verdict), reason=outcome.reason, minutes=minutes)


def write_page(paper: Paper, page: Path, language: str) -> None:
    """Write the page, whole or not at all."""
    from chidu.report.paper import PaperContent, write_paper
    from chidu.report.texts import check_language

    content = PaperContent(
        source=paper.source,
        parts=tuple(part_of(each) for each in paper.outcomes),
        published=None if paper.published is None else paper.published.as_dict(),
        published_reason=paper.published_reason,
        is_table=paper.settings is None,
        minutes=paper.minutes,
        seconds=paper.seconds or None,
        runs=paper.runs,
        seed=paper.seed,
        settings=paper.settings or {},
        versions=versions(),
        machine=machine(),
        language=check_language(language),
    )
    write_paper(page, content)


def preview_all(
    folder: Path, settings: Settings, minutes: float, seed: int, place: Place | None = None
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the stages and studies that `study_all` would make with the seconds of each, and what each would train.

    Where the text is there, a few steps of each size are timed. Nothing is written.
    """
    known = preview_tokens(folder, settings)
    stages, inputs, amounts = known
    shares = divide(minutes - sum(stages.values()) / 60, {})
    words: dict[str, str] = {}
    sizes: tuple[RunConfig, ...] = ()
    planned: frozenset[str] = frozenset()
    for name, chosen in ordered_studies().items():
        record = Record.read(folder / "studies" / name)
        if record is not None and (chosen.is_report or (
            record.inputs == inputs and record.settings["minutes"] >= shares.get(name, 0.0)
            and record.settings == study_settings(settings, chosen, record.settings["minutes"], seed)
        )):  # fmt: skip
            stages[name], words[name] = 0.0, "done already"
            continue
        stages[name] = COST_SECONDS if chosen.is_report else 60 * shares.get(name, 0.0)
        if chosen.is_report:
            words[name] = "none; it looks at runs that are there"
            continue
        taken = () if chosen.measure is None else first_sizes(folder, chosen, seed) or sizes
        share = Sharing(60 * shares[name], taken, keeps_weights(chosen), planned)
        try:
            if chosen.own_runs is not None:
                words[name] = chosen.own_runs.plan(
                    own_means(folder, settings, place or Local(), share.seconds, seed, inputs)
                )["words"]
            else:
                found = plan(folder, settings, place or Local(), chosen, share, seed, amounts, inputs)
                words[name] = str(found)
                if name == FIRST:
                    sizes = tuple(rung.config for rung in found.rungs if rung.config.seed == seed)
                    planned = frozenset(rung.name for rung in found.all_rungs)
        except ChiduError as error:
            words[name] = f"none: {' '.join(str(error).split())}"
    return stages, words
