"""The page of all studies: "What scale does to this text", as a paper is written, made from verdicts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chidu.report.content import Language, StudyPart
from chidu.report.page import write_page
from chidu.report.sections import Headline, Section, study_section
from chidu.report.studied import (
    claim_text,
    decided,
    effect_text,
    name_of,
    overview_chart,
    reasons,
    threshold_text,
    verdict_grid,
)
from chidu.report.tables import Grid, mapping_grid, number_text, percent
from chidu.report.texts import Texts, texts
from chidu.units import format_seconds

__all__ = ["PaperContent", "write_paper"]

EXPECTED = {
    "self-averaging": "holds",
    "structure": "holds",
    "context": "fails",
    "limits": "fails",
    "stability": "holds",
}
"""What the founding claim would have each study come to."""
LIMITS = ("small", "text", "recipe", "threshold", "many", "clock")
COUNTED = ("holds", "fails", "undecided", "report", "none")


@dataclass(frozen=True)
class PaperContent:
    """What the page shows."""

    source: str
    """The text, or the table of runs."""
    parts: tuple[StudyPart, ...]
    """Every study there is, in order."""
    published: Mapping[str, Any] | None = None
    """The JSON form of the comparison with published findings; None where there is none."""
    published_reason: str = ""
    """Why there is none."""
    is_table: bool = False
    """True where a table of runs was judged, and nothing was trained."""
    minutes: float | None = None
    """Asked for."""
    seconds: float | None = None
    """Taken, all studies together."""
    runs: int | None = None
    """Runs behind all studies, each counted once."""
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    language: Language = "en"


def write_paper(path: Path, content: PaperContent) -> None:
    """Write the page, whole or not at all.

    Raises MissingPackageError where plotly or Jinja2 is not installed, SettingError for a language without texts.
    """
    text = texts(content.language)
    write_page(path, text, text["paper_title"], headline(content, text), paper_sections(content, text))


def headline(content: PaperContent, text: Texts) -> Headline:
    """Say how many claims hold, fail or stay open."""
    counts = {name: sum(decided(part) == name for part in content.parts) for name in COUNTED}
    key = "paper_headline" if any(counts[name] for name in COUNTED[:3]) else "paper_headline_none"
    counted = {name: number_text(value) for name, value in counts.items()}
    return Headline(text[key].format(**counted), "", (text["paper_source"].format(source=text.say(content.source)),))


def paper_sections(content: PaperContent, text: Texts) -> list[Section]:
    """Return the sections in reading order."""
    made: list[Section | None] = [
        abstract_section(content, text),
        *(study_section(part, text) for part in content.parts),
        verdicts_section(content, text),
        surprises_section(content, text),
        published_section(content, text),
        Section("limits", text["s_limits"], points=tuple(text[f"paper_limit_{name}"] for name in LIMITS)),
        made_section(content, text),
    ]
    return [section for section in made if section is not None]


def abstract_section(content: PaperContent, text: Texts) -> Section:
    """A sentence of what was done, one a verdict, and all effects in one chart."""
    key = "paper_abstract_table" if content.is_table else "paper_abstract"
    minutes = "–" if content.minutes is None else f"{content.minutes:g}"
    first = text[key].format(count=len(content.parts), source=text.say(content.source), minutes=minutes)
    told = tuple(abstract_line(part, text) for part in content.parts)
    chart = overview_chart(content.parts, text)
    charts = () if chart is None else (chart,)
    return Section("abstract", text["s_abstract"], (first, text["paper_claim"]), charts, points=told)


def abstract_line(part: StudyPart, text: Texts) -> str:
    """Say in a sentence what one study came to."""
    key = decided(part)
    if not part.claim:
        # Of a study that this version does not know nothing but its name is left.
        return text["paper_says_unknown"].format(name=name_of(part, text))
    values = {"name": name_of(part, text), "effect": effect_text(part, text), "threshold": threshold_text(part)}
    return text[f"paper_says_{key}"].format(**values, claim=claim_text(part, text), statistic=text.say(part.statistic))


def verdicts_section(content: PaperContent, text: Texts) -> Section:
    """The table of all verdicts."""
    grid, why = verdict_grid(content.parts, text), reasons(content.parts, text)
    return Section("verdicts", text["s_verdicts"], (text["i_verdicts"],), grids=(grid,), points=why)


def surprises_section(content: PaperContent, text: Texts) -> Section:
    """Verdicts against the founding claim, with it, and those that leave it open; and published findings not shown."""
    points = []
    for part in content.parts:
        wanted, found = EXPECTED.get(part.name), decided(part)
        if wanted is None or found in ("report", "none"):
            continue
        key = "open" if found == "undecided" else "with" if found == wanted else "against"
        values = {"name": name_of(part, text), "verdict": text[f"v_{found}"], "effect": effect_text(part, text)}
        points.append((("against", "with", "open").index(key), text[f"paper_{key}"].format(**values)))
    rows = (content.published or {}).get("findings", ())
    odd = [text.say(str(row["said"])) for row in rows if row["shown"] == "not shown"]
    told = [each for _, each in sorted(points, key=lambda each: each[0])] or [text["paper_no_surprise"]]
    if odd:
        told.append(text["paper_odd"].format(said=text["between_reasons"].join(odd)))
    return Section("surprises", text["s_surprises"], (text["paper_founding"],), points=tuple(told))


def published_section(content: PaperContent, text: Texts) -> Section:
    """What others published beside what these runs give."""
    found = content.published
    if found is None:
        line = text["p_none"].format(reason=text.say(content.published_reason))
        return Section("published", text["s_published"], (line,))
    rows = found["findings"]
    cells = [
        (
            text.say(row["said"]), row["source"], text.say(row["published"]), ours(row, text),
            text[f"p_{row['shown'].replace(' ', '_')}"], why(row, text),
        )
        for row in rows
    ]  # fmt: skip
    columns = [text[f"p_{name}"] for name in ("finding", "source", "published", "ours", "verdict", "why")]
    lines = (
        text["i_published"].format(runs=number_text(found["runs"]), level=percent(found["level"])),
        text["i_published_rule"],
    )
    return Section("published", text["s_published"], lines, grids=groups(rows, cells, columns))


def groups(rows: Sequence[Mapping[str, Any]], cells: Sequence[tuple[str, ...]], columns: list[str]) -> tuple[Grid, ...]:
    """Return one table a source: a long one would be folded away."""
    sources = list(dict.fromkeys(row["source"] for row in rows))
    return tuple(
        Grid.of(source, [columns[0], *columns[2:]], [(cell[0], *cell[2:]) for cell in cells if cell[1] == source], True)
        for source in sources
    )


def ours(row: Mapping[str, Any], text: Texts) -> str:
    """Write our value with its interval."""
    if row["value"] is None:
        return "–"
    value, low, high = (f"{row[name]:.3g}" for name in ("value", "low", "high"))
    return text["plan_with"].format(value=value, low=low, high=high)


def why(row: Mapping[str, Any], text: Texts) -> str:
    """Say what a value was read from, and what may be the reason where a finding is not shown."""
    told = [text.say(str(row["read"])), *([text.say(str(row["why"]))] if row["why"] else [])]
    return text["between_reasons"].join(told)


def made_section(content: PaperContent, text: Texts) -> Section:
    """How it was made, so that a reader can check."""
    facts = {
        "paper_minutes": None if content.minutes is None else f"{content.minutes:g}",
        "paper_taken": None if content.seconds is None else format_seconds(content.seconds),
        "paper_runs": None if content.runs is None else number_text(content.runs),
        "card_seed": number_text(content.seed),
    }
    grids = [mapping_grid(text["paper_facts"], {text[name]: value for name, value in facts.items() if value}, text)]
    machine = {text.get(f"machine_{name}", name): value for name, value in content.machine.items()}
    parts = {"settings": content.settings, "versions": content.versions, "machine": machine}
    grids += [mapping_grid(text[name], values, text) for name, values in parts.items() if values]
    key = "paper_made_table" if content.is_table else "paper_made"
    return Section("made", text["s_made"], (text[key],), grids=tuple(grids))
