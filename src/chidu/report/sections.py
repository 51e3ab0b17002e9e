"""The page's parts in their order: a headline, and the sections whose content is there."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chidu.report.charts import (
    band_values,
    curves_chart,
    forecast_chart,
    interval,
    isoflop_chart,
    ladder_chart,
    target_ratio,
)
from chidu.report.content import ReportContent, StudyPart
from chidu.report.figures import Chart
from chidu.report.formula import formula_text, law_text
from chidu.report.judged import backtest_charts, profile_charts
from chidu.report.live import live_chart, live_grid, live_headline, live_lines, live_warnings
from chidu.report.plane import plane_chart
from chidu.report.residuals import residual_charts, residual_grid
from chidu.report.rungs import band_level, column_word, cost_title, law_axis, law_target, scale_of
from chidu.report.studied import (
    name_of,
    reasons,
    study_charts,
    study_key,
    study_lines,
    study_notes,
    verdict_grid,
)
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

__all__ = ["Headline", "Section", "headline", "sections", "study_section", "warnings"]

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
    charts: tuple[Chart, ...] = ()
    grids: tuple[Grid, ...] = ()
    points: tuple[str, ...] = ()
    quotes: tuple[tuple[str, str], ...] = ()
    formulas: tuple[str, ...] = ()


def headline(content: ReportContent, text: Texts) -> Headline:
    """Say what was forecast, what was measured, and whether it lies inside the interval."""
    said = content.forecast
    if content.picture is not None and (said is None or said.get("measured") is None):
        return Headline(*live_headline(content.picture, text), tuple(live_lines(content.picture, text)))
    if said is None:
        return _fit_headline(content, text)
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


def _fit_headline(content: ReportContent, text: Texts) -> Headline:
    """Say which law was fitted to how many runs, and whether to trust it beyond them."""
    fit = content.fit
    if fit is None:
        rows = 0 if content.ladder is None else len(content.ladder)
        return Headline(text["headline_runs"].format(rows=rows), "", ())
    # A formula's name is the formula, and no headline.
    key = "headline_formula" if fit.law == fit.solution.law.formula else "headline_fit"
    sentence = text[key].format(law=fit.law, rows=fit.rows, status=text[f"status_{fit.status.value}"])
    saved = () if content.ladder is not None else (text["saved_line"],)
    return Headline(sentence, "", (*_outlook_lines(content.outlook, text), *_score_lines(fit, text), *saved))


def _outlook_lines(outlook: Mapping[str, Any] | None, text: Texts) -> tuple[str, ...]:
    if outlook is None:
        return ()
    word, reasons = _trust_words(outlook, text)
    if outlook["times"] is None:
        return (text["trust_within"].format(word=word, why=reasons),)
    return (text["trust_at"].format(times=f"{outlook['times']:g}", word=word, why=reasons),)


def _score_lines(fit: Fit, text: Texts) -> tuple[str, ...]:
    """What is known of how well this law forecasts: nothing, where there were too few runs to try it."""
    error = fit.score
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
    if content.is_tour:
        yield text["tour_line"]
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
    if said.get("trust") is None:
        return ""
    word, reasons = _trust_words(said, text)
    return text["trust_line" if reasons else "trust_alone"].format(word=word, why=reasons)


def _trust_words(said: Mapping[str, Any], text: Texts) -> tuple[str, str]:
    """Return the verdict and its reasons in the page's language."""
    word = {True: "yes", False: "no"}.get(said["trust"], str(said["trust"]))
    reasons = text["between_reasons"].join(text.say(reason) for reason in _reasons(said.get("why")))
    return text.get(f"trust_{word.replace(' ', '_')}", word), reasons


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
        _live_section,
        _forecast_section,
        _law_section,
        _ladder_section,
        _residuals_section,
        _isoflop_section,
        _plane_section,
        _plan_section,
        _backtest_section,
        _profile_section,
        _curves_section,
        _card_section,
        _sample_section,
        _costs_section,
        _settings_section,
        _limits_section,
    )
    made = [section for maker in makers if (section := maker(content, text)) is not None]
    # Before what the page can't tell, which is last.
    return [*made[:-1], *_studies_sections(content, text), made[-1]]


def _studies_sections(content: ReportContent, text: Texts) -> list[Section]:
    """The verdicts in a table, and a section a study; nothing where none was made."""
    if not content.studies:
        return []
    grid = verdict_grid(content.studies, text)
    why = reasons(content.studies, text)
    table = Section("studies", text["s_studies"], (text["i_studies"],), grids=(grid,), points=why)
    return [table, *(study_section(part, text) for part in content.studies)]


def study_section(part: StudyPart, text: Texts) -> Section:
    """What a study claimed, how it was measured, what came of it, its charts, and what to know before believing it."""
    title = text["s_study"].format(name=name_of(part, text))
    charts, notes = study_charts(part, text), study_notes(part, text)
    return Section(f"study-{study_key(part)}", title, study_lines(part, text), charts, points=notes)


def _charted(
    name: str, charts: Iterable[Chart | None], content: ReportContent, text: Texts, *lines: str
) -> Section | None:
    """A section of charts; one that says why there are none, where something is known of that; else nothing."""
    drawn = tuple(chart for chart in charts if chart is not None)
    if drawn:
        return Section(name, text[f"s_{name}"], tuple(line for line in lines if line), drawn)
    why = content.absent.get(name)
    return None if why is None else Section(name, text[f"s_{name}"], (text.say(why),))


def _live_section(content: ReportContent, text: Texts) -> Section | None:
    picture = content.picture
    if picture is None or not picture.rungs:
        return None
    chart, again = live_chart(content, text), content.refresh
    lines = [text["i_live"] if chart is not None else "", text["live_again"].format(seconds=again) if again else ""]
    charts = (chart,) if chart is not None else ()
    points, grids = live_warnings(picture, text), (live_grid(picture, text),)
    return Section("live", text["s_live"], tuple(filter(None, lines)), charts, grids, points)


def _forecast_section(content: ReportContent, text: Texts) -> Section | None:
    line = text["i_forecast"].format(level=percent(band_level(content)))
    return _charted("forecast", [forecast_chart(content, text)], content, text, line)


def _ladder_section(content: ReportContent, text: Texts) -> Section | None:
    axis, scale = law_axis(content, text), scale_of(content)
    lines = [text["i_marks"] if content.ladder is not None else ""]
    if axis is not None and band_values(content, axis) is not None:
        many = scale is not None and not _reads_one(content)
        key = "i_band_along" if many else "i_band"
        lines.append(text["i_lines"] if many and content.ladder is not None else "")
        along = "along_ratio" if scale and target_ratio(content, scale) else "along_optimal"
        lines.append(text[key].format(level=percent(band_level(content)), along=text[along]))
    if axis is not None and axis.name == "flops" and scale is not None and not scale.counted:
        lines.append(text["approximate"])
    if scale is not None and scale.unique_tokens is None and _reads(content, "unique_tokens"):
        lines.append(text["fresh"])
    return _charted("ladder", [ladder_chart(content, text)], content, text, *lines)


def _reads(content: ReportContent, column: str) -> bool:
    return content.fit is not None and column in content.fit.inputs


def _reads_one(content: ReportContent) -> bool:
    return content.fit is not None and len(content.fit.inputs) == 1


def _residuals_section(content: ReportContent, text: Texts) -> Section | None:
    section = _charted("residuals", residual_charts(content, text), content, text, text["i_residuals"])
    grid = residual_grid(content, text)
    return section if section is None or grid is None else replace(section, grids=(grid,))


def _isoflop_section(content: ReportContent, text: Texts) -> Section | None:
    lines = [text["i_isoflop"], text["i_isoflop_runs"] if content.ladder is not None else ""]
    return _charted("isoflop", [isoflop_chart(content, text)], content, text, *lines)


def _plane_section(content: ReportContent, text: Texts) -> Section | None:
    line = text["i_plane"].format(level=percent(content.fit.level)) if content.fit else ""
    return _charted("plane", [plane_chart(content, text)], content, text, line)


def _backtest_section(content: ReportContent, text: Texts) -> Section | None:
    found, lines = content.backtest, [text["i_backtest"].format(cost=cost_title(content, text))]
    if found is not None:
        values = {"count": len(found.table["error"]), "cuts": found.cuts, "error": f"{100 * found.median_error:.2f}%"}
        if math.isfinite(found.inside):
            values |= {"inside": percent(round(found.inside, 3)), "level": percent(found.level)}
            lines.insert(0, text["backtest_line"].format(**values, width=f"{100 * found.width:.2g}%"))
        else:
            lines.insert(0, text["backtest_bare"].format(**values))
    return _charted("backtest", backtest_charts(content, text), content, text, *lines)


def _profile_section(content: ReportContent, text: Texts) -> Section | None:
    lines = [text["i_profile"].format(level=percent(band_level(content)))]
    lost, count = (
        (sum(values) for values in zip(*((each.lost, len(each.values)) for each in content.profiles), strict=True))
        if content.profiles
        else (0, 0)
    )
    lines.append(text["lost_refits"].format(lost=lost, count=count) if lost else "")
    return _charted("profile", profile_charts(content, text), content, text, *lines)


def _curves_section(content: ReportContent, text: Texts) -> Section | None:
    return _charted("curves", [curves_chart(content, text)], content, text, text["i_curves"])


def _law_section(content: ReportContent, text: Texts) -> Section | None:
    fit = content.fit
    if fit is None:
        return None
    facts = {
        text["law"]: fit.law,
        text["status"]: text[f"status_{fit.status.value}"],
        text["objective"]: f"{fit.objective:.8g}",
        text["minimised"]: text[f"objective_{fit.objective_name}"],
        text["rows"]: fit.rows,
        text["weighting"]: text[f"weighting_{fit.weighting}"],
        text["resamples"]: text["resamples_of"].format(count=f"{fit.resamples:,}", seed=fit.seed),
    }
    grids = [law_grid(fit, text), mapping_grid(text["s_law"], facts, text), score_grid(fit, text)]
    kept = tuple(grid for grid in grids if grid is not None)
    line = text["i_law"].format(level=percent(fit.level))
    formulas = (law_text(fit), formula_text(fit))
    return Section("law", text["s_law"], (line,), grids=kept, formulas=formulas)


def _plan_section(content: ReportContent, text: Texts) -> Section | None:
    rows = plan_rows(content.plan)
    if not rows:
        return None
    sentences = [
        text["between_sentences"].join(
            part for part in (_plan_line(row, content, text), _trust_line(row, text)) if part
        )
        for row in rows
    ]
    return Section("plan", text["s_plan"], points=tuple(sentences), grids=(plan_grid(rows, text),))


def _plan_line(row: Mapping[str, Any], content: ReportContent, text: Texts) -> str:
    """Say what a budget buys: params, tokens and loss; the loss alone where the law knows no params and tokens."""
    names = ("flops", "params", "tokens", "loss")
    values = {name: with_interval(row, name, text) for name in names if name in row}
    target = law_target(content)
    key = "expect_other" if target != "loss" else "expect_nats" if content.in_nats else "expect_table"
    values["expect"] = text[key].format(loss=values["loss"], name=column_word(target, text))
    if "params" not in row:
        return text["plan_alone"].format(**values)
    column = row.get("params_column", "params")
    return text["plan_line"].format(**values, column=text.get(f"plan_{column}", column))


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
