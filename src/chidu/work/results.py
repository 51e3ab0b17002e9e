"""What a work folder holds, read back: for the page, for `--json`, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import WorkFolderError
from chidu.runs.folder import check_work_folder
from chidu.runs.forecast import Score, WrittenForecast
from chidu.runs.ladder import Ladder
from chidu.runs.record import Record, machine, read_json, versions
from chidu.runs.run import Run
from chidu.runs.settings import Settings, read_settings

if TYPE_CHECKING:
    from chidu.laws import Fit
    from chidu.report import ReportContent
    from chidu.report.content import StudyPart
    from chidu.runs.picture import Picture
    from chidu.studies import Study

__all__ = [
    "LADDER_TABLE",
    "ORDER",
    "ordered_studies",
    "read_fit",
    "read_records",
    "read_run",
    "rung_runs",
    "settings_title",
    "settings_used",
    "study_part",
    "study_parts",
    "summary",
    "write_live_page",
    "write_work_report",
]

LADDER_TABLE = "ladder.csv"
DAMAGED = "its verdict.json is damaged, or of another version: make the study again"
ORDER = ("collect", "corpus", "tokens", "design", "ladder", "law", "forecast", "target", "score", "model", "report")
"""The stages' folders, in order."""
STUDY_ORDER = ("self-averaging", "structure", "context", "limits", "stability", "cost")


def read_fit(folder: Path) -> Fit:
    """Read the law of a work folder."""
    from chidu.laws import Fit

    return Fit.from_dict(read_json(folder / "law" / "fit.json"))


def read_run(folder: Path) -> Run:
    """Read the target's run of a work folder."""
    return Run.from_dict(read_json(folder / "target" / "run.json"))


def read_records(folder: Path) -> dict[str, Record]:
    """Read the records of all finished stages, in order."""
    return {name: record for name in ORDER if (record := Record.read(folder / name)) is not None}


def write_work_report(folder: Path, page: Path, language: str | None = None) -> None:
    """Draw a work folder's page from what is there so far, in the folder's language where none is given.

    A missing part is left out. Raises WorkFolderError where there is not even a ladder yet.
    """
    from chidu.report import write_report

    check_work_folder(folder)
    if not (folder / "ladder" / LADDER_TABLE).exists():
        raise WorkFolderError(f"{folder} has no finished ladder: run chidu demo or chidu build --work {folder} first")
    write_report(page, _content(folder, language))


def write_live_page(
    folder: Path, picture: Picture, page: Path, refresh: int | None, language: str | None = None
) -> None:
    """Draw the page of an undertaking at work, with its picture; the browser loads it again after `refresh` seconds.

    Once the undertaking is finished, this is the page of `write_work_report`.
    """
    from chidu.report import write_report

    content = _content(folder, language)
    if picture.state != "finished":
        content = replace(content, picture=picture, refresh=refresh)
    write_report(page, content)


def _content(folder: Path, language: str | None) -> ReportContent:
    """Gather what a work folder holds so far."""
    from chidu.report import ReportContent
    from chidu.report.texts import check_language

    table = folder / "ladder" / LADDER_TABLE
    records = read_records(folder)
    fitted = read_fit(folder) if "law" in records else None
    measured = read_run(folder) if "target" in records else None
    settings = read_settings(folder)
    return ReportContent(
        title=settings_title(settings),
        ladder=Ladder.read(table) if table.exists() else None,
        runs=tuple(rung_runs(folder)) if table.exists() else (),
        fit=fitted,
        forecast=forecast_and_score(folder),
        target=measured,
        data_card=records["corpus"].result if "corpus" in records else None,
        plan=[fitted.plan(flops=flops).as_dict() for flops in budgets(measured)] if fitted and measured else None,
        sample=read_json(folder / "model" / "sample.json") if "model" in records else None,
        studies=study_parts(folder),
        costs=[
            {"stage": name, "seconds": record.seconds, "flops": record.result.get("flops")}
            for name, record in records.items()
        ],
        settings=settings_used(settings, measured),
        versions=versions(),
        machine=machine(),
        bytes_per_token=measured.bytes_per_token if measured else None,
        language=check_language(language or settings.language),
        is_tour=settings.is_tour,
    )


def ordered_studies() -> dict[str, Study]:
    """Return every study in the order of a page: the ones that train, then those that ask, then the report."""
    from chidu.studies import STUDIES

    places = {name: place for place, name in enumerate(STUDY_ORDER)}
    names = sorted(STUDIES, key=lambda name: places.get(name, len(places)))
    return {name: STUDIES[name] for name in names}


def study_parts(folder: Path) -> tuple[StudyPart, ...]:
    """Return the studies of a work folder that came to a verdict, in their order."""
    found = {path.parent.name: path for path in (folder / "studies").glob("*/verdict.json")}
    known = ordered_studies()
    names = [*(name for name in known if name in found), *sorted(set(found) - set(known))]
    parts = []
    for name in names:
        record = Record.read(found[name].parent)
        minutes = None if record is None else record.seconds / 60
        parts.append(replace(study_part(name, read_json(found[name])), minutes=minutes))
    return tuple(parts)


def study_part(name: str, verdict: Any) -> StudyPart:
    """Return what a page shows of a study: what it states, and its verdict where that is whole."""
    from chidu.report.content import NEEDED, StudyPart
    from chidu.studies import STUDIES

    whole = verdict if isinstance(verdict, dict) and set(NEEDED) <= set(verdict) else None
    reason = "" if whole is not None or verdict is None else DAMAGED
    known = STUDIES.get(name)
    if known is None:
        told = whole or {"claim": "", "statistic": "", "threshold": None, "level": 0.9}
        claim, statistic, why = str(told["claim"]), str(told["statistic"]), ""
        return StudyPart(name, claim, statistic, told["threshold"], why, told["level"], whole, reason)
    threshold = None if known.is_report else known.threshold
    return StudyPart(name, known.claim, known.statistic, threshold, known.why, known.level, whole, reason)


def settings_used(settings: Settings, target: Run | None) -> dict[str, Any]:
    """Return the settings with what was chosen in place of what they leave open."""
    chosen = {"vocabulary": settings.words, "context_length": settings.sequence_tokens}
    if target is not None:
        chosen["batch_tokens"] = target.config.batch_tokens
    recipe = {f"recipe.{name}": value for name, value in settings.recipe.items()}
    shown = {name: value for name, value in asdict(settings).items() if name != "recipe"}
    return shown | chosen | {"text": settings_title(settings)} | recipe


def settings_title(settings: Settings) -> str:
    """Name the undertaking by its text."""
    return ", ".join(Path(path).name for path in settings.text) or "Documentation of the installed Python packages"


def rung_runs(folder: Path) -> Iterator[Run]:
    """Yield the ladder's runs, with their curves, in the table's order."""
    from chidu.training.rungs import run_path

    for name in Ladder.read(folder / "ladder" / LADDER_TABLE).columns["run"].tolist():
        yield Run.from_dict(read_json(run_path(folder / "ladder", name)))


def forecast_and_score(folder: Path) -> dict[str, Any] | None:
    """Return the written forecast, with its score where there is one."""
    written, scored = folder / "forecast" / "forecast.json", folder / "score" / "score.json"
    if not written.exists():
        return None
    return asdict(WrittenForecast.read(written)) | (read_json(scored) if scored.exists() else {})


def budgets(run: Run) -> list[float]:
    """Return the flops that the page plans for: the target's, ten times and a hundred times that."""
    return [run.config.flops * factor for factor in (1, 10, 100)]


def summary(folder: Path) -> dict[str, Any]:
    """Return what `chidu demo --json` ends with."""
    written = WrittenForecast.read(folder / "forecast" / "forecast.json")
    scored = Score.from_dict(read_json(folder / "score" / "score.json"))
    table = Ladder.read(folder / "ladder" / LADDER_TABLE)
    records = read_records(folder)
    return {
        "forecast": {name: getattr(written, name) for name in ("loss", "low", "high", "level")},
        "measured": scored.measured,
        "error_percent": scored.error_percent,
        "inside": scored.inside,
        "law": written.law,
        "rungs": len(table),
        "dearest_flops": float(table.numbers("flops").max()),
        "target": {name: written.point[name] for name in ("params", "tokens", "flops")},
        "seconds": {name: record.seconds for name, record in records.items()},
        "report": str((folder / "report" / "report.html").resolve()),
        "model": str((folder / "model").resolve()),
    }
