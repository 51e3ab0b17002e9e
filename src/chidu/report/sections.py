"""The page's parts in their order: a headline, and the sections whose content is there."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chidu.report.charts import (
    band_level,
    curves_chart,
    forecast_chart,
    interval,
    isoflop_chart,
    ladder_chart,
    residuals_chart,
    target_ratio,
)
from chidu.report.content import ReportContent
from chidu.report.figures import Chart
from chidu.report.formula import formula_text
from chidu.report.scale import Scale
from chidu.report.tables import (
    Grid,
    card_grids,
    cost_grid,
    flops_text,
    law_grid,
    loss_text,
    mapping_grid,
    number_text,
    percent,
    plan_grid,
    plan_rows,
    score_grid,
    with_interval,
)
from chidu.report.texts import Texts
from chidu.units import bits_per_byte, format_count

if TYPE_CHECKING:
    from chidu.laws import Fit

__all__ = ["Headline", "Section", "headline", "sections", "warnings"]

LIMITS = ("loss", "corpus", "recipe", "duplicates", "seed", "interval", "epochs")


@dataclass(frozen=True)
class Headline:
    """The page's answer in one sentence, and what stands below it."""

    sentence: str
    mood: str
    """`inside`, `outside`, or empty where nothing is scored."""
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One part of the page: sentences, then a chart, then tables."""

    name: str
    title: str
    lines: tuple[str, ...] = ()
    chart: Chart | None = None
    grids: tuple[Grid, ...] = ()
    points: tuple[str, ...] = ()
    quotes: tuple[tuple[str, str], ...] = ()
    formula: str = ""
    warnings: tuple[str, ...] = ()


def headline(content: ReportContent, text: Texts) -> Headline:
    """Say what was forecast, what was measured, and whether it lies inside the interval."""
    said = content.forecast
    if said is None:
        values: dict[str, Any] = {"rows": len(content.ladder)}
        if content.fit is None:
            return Headline(text["headline_runs"].format(**values), "", ())
        values |= {"law": content.fit.law, "status": text[f"status_{content.fit.status.value}"]}
        return Headline(text["headline_fit"].format(**values), "", _score_lines(content.fit, text))
    lines = tuple(line for line in _forecast_lines(content, said, text) if line)
    if said.get("measured") is None:
        return Headline(text["headline_open"].format(loss=loss_text(said["loss"])), "", lines)
    mood = "inside" if said.get("inside") else "outside"
    sentence = text["headline_scored"].format(
        loss=loss_text(said["loss"]),
        measured=loss_text(said["measured"]),
        verdict=text[mood],
        level=percent(band_level(content)),
    )
    return Headline(sentence, mood, lines)


def _score_lines(fit: Fit, text: Texts) -> tuple[str, ...]:
    """What is known of how well this law forecasts: nothing, where there were too few runs to try it."""
    error = fit.law_scores.get(fit.law, math.nan)
    return (text["score_line"].format(error=f"{100 * error:.2f}%") if math.isfinite(error) else text["score_none"],)


def _forecast_lines(content: ReportContent, said: Mapping[str, Any], text: Texts) -> Iterable[str]:
    level = percent(band_level(content))
    low, high = interval(said)
    if low < high:
        yield text["forecast_line"].format(level=level, low=loss_text(low), high=loss_text(high))
    error = said.get("error_percent")
    if said.get("measured") is not None and error is not None:
        side = text["above" if error >= 0 else "below"]
        yield text["scored_line"].format(error=f"{abs(error):.2f}%", side=side)
    yield _bits_line(content.bytes_per_token, said, text)
    yield _target_line(said.get("point") or {}, text)
    if said.get("extrapolation") is not None and math.isfinite(said["extrapolation"]):
        yield text["beyond_line"].format(times=number_text(float(f"{said['extrapolation']:.3g}")))
    if said.get("written"):
        line = text["written_line" if said.get("scored") else "written_open"]
        yield line.format(written=_moment(said["written"]), scored=_moment(said.get("scored")))
    yield _trust_line(said, text)


def _moment(iso: Any) -> str:
    """Write an ISO time in UTC as people read it; anything else as it is."""
    try:
        return datetime.datetime.fromisoformat(str(iso)).astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return str(iso)


def _bits_line(bytes_per_token: float | None, said: Mapping[str, Any], text: Texts) -> str:
    if not bytes_per_token:
        return ""
    values = {name: said[name] for name in ("loss", "measured") if said.get(name) is not None}
    bits = {name: f"{bits_per_byte(value, bytes_per_token):.4f}" for name, value in values.items()}
    return text["bits_measured" if "measured" in bits else "bits_line"].format(**bits)


def _target_line(point: Mapping[str, Any], text: Texts) -> str:
    params = point.get("params") or point.get("params_matmul")
    if not (params and point.get("tokens") and point.get("flops")):
        return ""
    counts = {"params": format_count(float(params)), "tokens": format_count(float(point["tokens"]))}
    return text["target_line"].format(**counts, flops=flops_text(float(point["flops"])))


def _trust_line(said: Mapping[str, Any], text: Texts) -> str:
    trust, why = said.get("trust"), said.get("why")
    if trust is None:
        return ""
    word = {True: "yes", False: "no"}.get(trust, str(trust))
    word = text.get(f"trust_{word.replace(' ', '_')}", word)
    reasons = text["between_reasons"].join(text.say(reason) for reason in _reasons(why))
    return text["trust_line" if reasons else "trust_alone"].format(word=word, why=reasons)


def _reasons(why: Any) -> list[str]:
    if why is None:
        return []
    return why.split("; ") if isinstance(why, str) else [str(reason) for reason in why]


def warnings(fit: Fit | None, text: Texts) -> tuple[str, ...]:
    """Return a fit's warnings in the page's language."""
    return () if fit is None else tuple(text.say(str(warning)) for warning in fit.warnings)


def sections(content: ReportContent, text: Texts) -> list[Section]:
    """Return the sections that have content, in reading order."""
    makers: tuple[Callable[[ReportContent, Texts], Section | None], ...] = (
        _forecast_section,
        _ladder_section,
        _isoflop_section,
        _residuals_section,
        _curves_section,
        _law_section,
        _plan_section,
        _card_section,
        _sample_section,
        _costs_section,
        _settings_section,
        _limits_section,
    )
    made = (maker(content, text) for maker in makers)
    return [section for section in made if section is not None]


def _charted(name: str, chart: Chart | None, text: Texts, *lines: str) -> Section | None:
    return None if chart is None else Section(name, text[f"s_{name}"], tuple(line for line in lines if line), chart)


def _forecast_section(content: ReportContent, text: Texts) -> Section | None:
    line = text["i_forecast"].format(level=percent(band_level(content)))
    return _charted("forecast", forecast_chart(content, text), text, line)


def _ladder_section(content: ReportContent, text: Texts) -> Section | None:
    scale = Scale.of(content.ladder)
    along = "along_ratio" if scale and target_ratio(content, scale) else "along_optimal"
    line = text["i_ladder"].format(level=percent(band_level(content)), along=text[along]) if content.fit else ""
    approximate = "" if scale is None or scale.counted else text["approximate"]
    return _charted("ladder", ladder_chart(content, text), text, line, approximate)


def _isoflop_section(content: ReportContent, text: Texts) -> Section | None:
    return _charted("isoflop", isoflop_chart(content, text), text, text["i_isoflop"])


def _residuals_section(content: ReportContent, text: Texts) -> Section | None:
    return _charted("residuals", residuals_chart(content, text), text, text["i_residuals"])


def _curves_section(content: ReportContent, text: Texts) -> Section | None:
    return _charted("curves", curves_chart(content, text), text, text["i_curves"])


def _law_section(content: ReportContent, text: Texts) -> Section | None:
    fit = content.fit
    if fit is None:
        return None
    facts = {
        text["law"]: fit.law,
        text["status"]: text[f"status_{fit.status.value}"],
        text["objective"]: fit.objective,
        text["rows"]: fit.rows,
    }
    grids = [law_grid(fit, text), mapping_grid(text["s_law"], facts, text), score_grid(fit, text)]
    kept = tuple(grid for grid in grids if grid is not None)
    line = text["i_law"].format(level=percent(fit.level))
    return Section("law", text["s_law"], (line,), grids=kept, warnings=warnings(fit, text), formula=formula_text(fit))


def _plan_section(content: ReportContent, text: Texts) -> Section | None:
    rows = plan_rows(content.plan)
    if not rows:
        return None
    names = ("flops", "params", "tokens", "loss")
    sentences = []
    for row in rows:
        values = {name: with_interval(row, name, text) for name in names}
        column = row.get("params_column", "params")
        sentence = text["plan_line"].format(**values, column=text.get(f"plan_{column}", column))
        sentences.append(text["between_sentences"].join(part for part in (sentence, _trust_line(row, text)) if part))
    return Section("plan", text["s_plan"], points=tuple(sentences), grids=(plan_grid(rows, text),))


def _card_section(content: ReportContent, text: Texts) -> Section | None:
    if not content.data_card:
        return None
    grids, notes = card_grids(content.data_card, text)
    return Section("card", text["s_card"], grids=tuple(grids), points=tuple(notes))


def _sample_section(content: ReportContent, text: Texts) -> Section | None:
    if not content.sample:
        return None
    parts = (("prompt", text["prompt"]), ("text", text["continuation"]))
    quotes = tuple((title, str(content.sample[name])) for name, title in parts if content.sample.get(name))
    return Section("sample", text["s_sample"], (text["i_sample"],), quotes=quotes)


def _costs_section(content: ReportContent, text: Texts) -> Section | None:
    return Section("costs", text["s_costs"], grids=(cost_grid(content.costs, text),)) if content.costs else None


def _settings_section(content: ReportContent, text: Texts) -> Section | None:
    machine = {text.get(f"machine_{name}", name): value for name, value in content.machine.items()}
    parts = {"settings": content.settings, "versions": content.versions, "machine": machine}
    grids = tuple(mapping_grid(text[name], values, text) for name, values in parts.items() if values)
    return Section("settings", text["s_settings"], grids=grids) if grids else None


def _limits_section(content: ReportContent, text: Texts) -> Section:
    names = LIMITS if content.forecast is None else (*LIMITS, "witness")
    return Section("limits", text["s_limits"], points=tuple(text[f"limit_{name}"] for name in names))
