"""Studies on the page: what each put to the test, what came of it, one chart of it and one of its effect."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chidu.report.content import StudyPart
from chidu.report.figures import BAND, FORECAST, LINE, Chart, colour, figure, label, log_axis, rule, scatter, symbol
from chidu.report.tables import Grid, number_text, percent
from chidu.report.texts import Texts
from chidu.units import format_count

__all__ = [
    "claim_text",
    "decided",
    "effect_text",
    "name_of",
    "overview_chart",
    "reasons",
    "study_charts",
    "study_key",
    "study_lines",
    "study_notes",
    "threshold_text",
    "verdict_grid",
    "verdict_word",
]

VERDICTS = ("holds", "fails", "undecided")
Values = Mapping[str, Any]


def decided(part: StudyPart) -> str:
    """Return `holds`, `fails`, `undecided`, `report`, or `none` where it did not come to a verdict."""
    if part.verdict is None:
        return "none"
    found = part.verdict["verdict"]
    return found if found in VERDICTS else "report"


def verdict_word(part: StudyPart, text: Texts) -> str:
    """Return the verdict in a word."""
    return text[f"v_{decided(part)}"]


def short(value: Any) -> str:
    """Write a number with three digits."""
    known = number(value)
    return "–" if known is None else f"{known:.3g}"


def number(value: Any) -> float | None:
    """Return a number that can be drawn, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def effect_text(part: StudyPart, text: Texts) -> str:
    """Write the effect with its interval and level."""
    found = part.verdict or {}
    values = {name: short(found.get(name)) for name in ("effect", "low", "high")}
    return text["v_effect"].format(**values, level=percent(part.level))


def threshold_text(part: StudyPart) -> str:
    """Write the threshold; a dash for a report."""
    return "–" if part.threshold is None else f"{part.threshold:g}"


def caption(part: StudyPart, text: Texts) -> str:
    """Say claim, verdict, effect, threshold and runs: what stands beside every chart of a study."""
    key = "v_caption_report" if part.threshold is None else "v_caption"
    return text[key].format(
        claim=claim_text(part, text),
        verdict=verdict_word(part, text),
        effect=effect_text(part, text),
        threshold=threshold_text(part),
        runs=number_text((part.verdict or {}).get("runs")),
    )


def claim_text(part: StudyPart, text: Texts) -> str:
    """Return the claim; of a report, what it tells of."""
    return text.say(part.claim.removeprefix("none: "))


def study_lines(part: StudyPart, text: Texts) -> tuple[str, ...]:
    """Say what was claimed and how it was measured, what came of it, and what would decide it."""
    key = "v_claim_report" if part.threshold is None else "v_claim"
    lines = [*([text[key].format(claim=claim_text(part, text))] if part.claim else []), method(part, text)]
    if part.verdict is None:
        return (*lines, text["v_not_run"].format(reason=text.say(part.reason)))
    lines.append(paragraph(part, text))
    if decided(part) == "undecided":
        lines.append(deciding(part.verdict.get("more"), text))
    return tuple(lines)


def method(part: StudyPart, text: Texts) -> str:
    """Say in two sentences how it was measured, and from where on it counts."""
    how = text.get(f"m_{part.name}") or text["m_other"].format(statistic=text.say(part.statistic))
    if part.threshold is None:
        return how
    stated = text["m_threshold"].format(
        threshold=threshold_text(part), why=text.say(part.why), level=percent(part.level)
    )
    return text["between_sentences"].join((how, stated))


def paragraph(part: StudyPart, text: Texts) -> str:
    """Return the result: the verdict with its interval, then what the study says of it, sentence by sentence."""
    found = part.verdict or {}
    key = "v_result_report" if part.threshold is None else f"v_result_{decided(part)}"
    first = text[key].format(effect=effect_text(part, text), threshold=threshold_text(part), name=part.name)
    said = [text.say(sentence) for sentence in sentences(str(found.get("meaning", "")))]
    return text["between_sentences"].join([first, *said])


def sentences(said: str) -> list[str]:
    """Split a paragraph: where a full stop is followed by a blank and a capital."""
    return [each for each in re.split(r"(?<=[.!?]) (?=[A-Z])", said.strip()) if each]


def deciding(more: Any, text: Texts) -> str:
    """Say what would decide an undecided study."""
    times = number(more)
    return text["v_more_none"] if times is None else text["v_more"].format(times=f"{times:.1f}")


def study_notes(part: StudyPart, text: Texts) -> tuple[str, ...]:
    """Return what a reader should know before believing a verdict."""
    notes = (part.verdict or {}).get("notes")
    return tuple(text.say(str(note)) for note in notes) if isinstance(notes, (list, tuple)) else ()


def verdict_grid(parts: Sequence[StudyPart], text: Texts) -> Grid:
    """A row a study: verdict, effect with its interval, threshold, runs, minutes."""
    columns = [text[f"c_{name}"] for name in ("study", "verdict", "effect", "threshold", "runs", "minutes")]
    rows = []
    for part in parts:
        minutes = "–" if part.minutes is None else f"{part.minutes:.1f}"
        if part.verdict is None:
            rows.append((name_of(part, text), verdict_word(part, text), *"–––", minutes))
        else:
            told = (effect_text(part, text), threshold_text(part), number_text(part.verdict["runs"]))
            rows.append((name_of(part, text), verdict_word(part, text), *told, minutes))
    return Grid.of(text["c_verdicts"], columns, rows)


def reasons(parts: Sequence[StudyPart], text: Texts) -> tuple[str, ...]:
    """Say of each study without a verdict why there is none."""
    return tuple(
        text["v_why_not"].format(name=name_of(part, text), reason=text.say(part.reason))
        for part in parts
        if part.verdict is None
    )


def name_of(part: StudyPart, text: Texts) -> str:
    """Return the study's name in the page's language."""
    return text.get(f"study_{part.name}", part.name)


def study_charts(part: StudyPart, text: Texts) -> tuple[Chart, ...]:
    """Return the chart of what was measured, where it can be drawn, and that of the effect against its threshold."""
    if part.verdict is None:
        return ()
    draw = DRAWERS.get(part.name)
    main = None if draw is None else draw(part, text)
    more = batch_chart(part, text) if part.name == "self-averaging" else None
    return tuple(chart for chart in (main, more, effect_chart(part, text)) if chart is not None)


def effect_chart(part: StudyPart, text: Texts) -> Chart | None:
    """The effect as a point with its interval, and the threshold as a line."""
    found = part.verdict or {}
    value, low, high = (number(found.get(name)) for name in ("effect", "low", "high"))
    if value is None or low is None or high is None:
        return None
    bars = {"type": "data", "symmetric": False, "thickness": 3, "color": FORECAST, "width": 9}
    bars |= {"array": [max(0.0, high - value)], "arrayminus": [max(0.0, value - low)]}
    marker = {"size": 14, "color": FORECAST, "symbol": symbol(2)}
    row = label(text["c_effect"])
    traces = [scatter([value], [row], text["c_effect"], mode="markers", marker=marker, error_x=bars)]
    known = [low, high, value, *([] if part.threshold is None else [part.threshold])]
    spare = 0.08 * (max(known) - min(known)) or 0.1
    title, shapes = text["c_effect"], []
    if part.threshold is not None:
        title = text["d_effect"].format(threshold=threshold_text(part))
        shapes = [upright(part.threshold, colour(1))]
    x = {"title": {"text": label(title)}, "range": [min(known) - spare, max(known) + spare], "nticks": 7}
    y = {"type": "category", "range": [-0.6, 0.6], "showticklabels": False}
    drawn = figure(traces, x, y, legend=False, shapes=shapes)
    columns = [text[f"c_{name}"] for name in ("study", "effect", "low", "high", "threshold")]
    cells = [(name_of(part, text), short(value), short(low), short(high), threshold_text(part))]
    said = caption(part, text)
    name = text["a_effect"].format(name=name_of(part, text))
    return Chart(f"effect-{study_key(part)}", f"{name} {said}", drawn, Grid.of(name, columns, cells), "low", said)


def upright(x: float, ink: str) -> dict[str, Any]:
    """Return a dashed line up the whole chart."""
    ends = {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1}
    return {**ends, "line": {"color": ink, "width": 2, "dash": "dash"}}


def study_key(part: StudyPart) -> str:
    """Return the study's name as it may stand in an element's id."""
    return re.sub(r"[^a-z0-9-]", "-", part.name.lower())


@dataclass(frozen=True)
class Series:
    """One set of points of a chart: joined by a line where it is a law, else marks."""

    name: str
    points: tuple[tuple[float, float], ...]
    number: int
    is_line: bool = False
    is_dashed: bool = True


def drawn_series(
    part: StudyPart,
    text: Texts,
    series: Iterable[Series],
    axes: tuple[str, str],
    scales: tuple[str, str],
    kind: str = "study",
) -> Chart | None:
    """Return a chart of series, named by kind and study; None where no series has two points."""
    kept = [each for each in series if len(each.points) > 1]
    if not kept:
        return None
    traces = []
    for each in kept:
        x, y = zip(*each.points, strict=True)
        if each.is_line:
            dash = "dash" if each.is_dashed else "solid"
            style = {"mode": "lines", "line": {"color": colour(each.number), "width": 1.8, "dash": dash}}
            traces.append(scatter(x, y, each.name, showlegend=bool(each.name), hoverinfo="skip", **style))
        else:
            marker = {"color": colour(each.number), "symbol": symbol(each.number), "size": 9}
            traces.append(scatter(x, y, each.name, mode="markers", marker=marker))
    sets = [each.points for each in kept]
    x_axis, y_axis = (axis(axes[place], sets, place, scales[place]) for place in (0, 1))
    rows = [
        (each.name or "–", format_value(x, axes[0], text), short(y))
        for each in kept
        if not each.is_line
        for x, y in each.points
    ]
    said = caption(part, text)
    shown = text["a_study"].format(name=name_of(part, text), x=axes[0], y=axes[1])
    grid = Grid.of(shown, (text["c_series"], *axes), rows)
    return Chart(f"{kind}-{study_key(part)}", f"{shown} {said}", figure(traces, x_axis, y_axis), grid, caption=said)


def axis(title: str, sets: Sequence[tuple[tuple[float, float], ...]], place: int, scale: str) -> dict[str, Any]:
    """Return a chart's axis over all points."""
    values = [point[place] for points in sets for point in points]
    if scale == "log":
        return log_axis(title, min(values), max(values), 0.08)
    return {"title": {"text": label(title)}, "nticks": 6}


def format_value(value: float, name: str, text: Texts) -> str:
    """Write a count as people do, any other value with three digits."""
    return format_count(value) if name in (text["params"], text["tokens"]) else short(value)


def rows_of(values: Any) -> list[Values]:
    """Return a list's mappings; none where it is no list."""
    return [each for each in values if isinstance(each, Mapping)] if isinstance(values, (list, tuple)) else []


def points(rows: Iterable[Values], x: str, y: str, positive: bool = True) -> tuple[tuple[float, float], ...]:
    """Return the points whose values can be drawn, in the order of x."""
    found = []
    for row in rows:
        pair = number(row.get(x)), number(row.get(y))
        if pair[0] is not None and pair[1] is not None and pair[0] > 0 and (pair[1] > 0 or not positive):
            found.append((pair[0], pair[1]))
    return tuple(sorted(found))


def self_averaging_chart(part: StudyPart, text: Texts) -> Chart | None:
    """The spread over seeds against params, a colour a number of tokens, and the fitted law."""
    rows = rows_of((part.verdict or {}).get("rows"))
    lengths = sorted({tokens for row in rows if (tokens := number(row.get("tokens"))) is not None})
    series = []
    for place, tokens in enumerate(lengths[:8]):
        own = [row for row in rows if number(row.get("tokens")) == tokens]
        name = text["d_tokens"].format(tokens=format_count(tokens))
        series.append(Series(name, points(own, "params", "spread_percent"), place))
        series.append(Series("", points(own, "params", "law_percent"), place, is_line=True))
    if len(lengths) > 8 or not lengths:
        series = [Series(text["measured"], points(rows, "params", "spread_percent"), 0)]
    return drawn_series(part, text, series, (text["params"], text["d_spread"]), ("log", "log"))


def batch_chart(part: StudyPart, text: Texts) -> Chart | None:
    """The spread over seeds against the batch, a colour a size, and the fitted law; None where there is one batch."""
    found = ((part.verdict or {}).get("findings") or {}).get("batch")
    rows = rows_of(found.get("points")) if isinstance(found, Mapping) else []
    series = []
    sizes = sorted({params for row in rows if (params := number(row.get("params"))) is not None})
    for place, size in enumerate(sizes[:8]):
        own = [row for row in rows if number(row.get("params")) == size]
        most = max(number(row.get("tokens")) or 0.0 for row in own)
        own = [row for row in own if number(row.get("tokens")) == most]
        name = text["d_size"].format(params=format_count(size))
        series.append(Series(name, points(own, "batch_tokens", "spread_percent"), place))
        series.append(Series("", points(own, "batch_tokens", "law_percent"), place, is_line=True))
    return drawn_series(part, text, series, (text["d_batch"], text["d_spread"]), ("log", "log"), "batch")


def structure_chart(part: StudyPart, text: Texts) -> Chart | None:
    """The spread over shapes against params, and what the seeds' luck would make alone."""
    rows = rows_of((part.verdict or {}).get("rows"))
    series = (
        Series(text["d_shapes"], points(rows, "params", "spread_percent"), 0),
        Series(text["d_luck"], points(rows, "params", "luck_percent"), 1),
    )
    return drawn_series(part, text, series, (text["params"], text["d_spread"]), ("log", "log"))


def context_chart(part: StudyPart, text: Texts) -> Chart | None:
    """The distance from the average distribution against the words read, a colour a model."""
    rows = rows_of((part.verdict or {}).get("rows"))
    series = []
    for place, name in enumerate(dict.fromkeys(str(row.get("model", "")) for row in rows)):
        own = points([row for row in rows if str(row.get("model", "")) == name], "read", "distance")
        series += [Series(text.say(name), own, place), Series("", own, place, is_line=True, is_dashed=False)]
    return drawn_series(part, text, series, (text["d_read"], text["d_distance"]), ("log", "log"))


def limits_chart(part: StudyPart, text: Texts) -> Chart | None:
    """The score of each task against params, and its line."""
    curves = ((part.verdict or {}).get("findings") or {}).get("curves")
    series = []
    for place, (task, curve) in enumerate(curves.items() if isinstance(curves, Mapping) else ()):
        series.append(
            Series(text.get(f"task_{task}", str(task)), points(rows_of(curve), "params", "score", False), place)
        )
        series.append(Series("", points(rows_of(curve), "params", "line", False), place, is_line=True))
    return drawn_series(part, text, series, (text["params"], text["d_score"]), ("log", "linear"))


def stability_chart(part: StudyPart, text: Texts) -> Chart | None:
    """How far each kind of change moves the output against params, and the law of each."""
    kinds = ((part.verdict or {}).get("findings") or {}).get("kinds")
    series = []
    for place, (kind, told) in enumerate(kinds.items() if isinstance(kinds, Mapping) else ()):
        own = rows_of(told.get("points")) if isinstance(told, Mapping) else []
        series.append(Series(text.get(f"kind_{kind}", str(kind)), points(own, "params", "relative"), place))
        series.append(Series("", points(own, "params", "law"), place, is_line=True))
    return drawn_series(part, text, series, (text["params"], text["d_moved"]), ("log", "log"))


def cost_chart(part: StudyPart, text: Texts) -> Chart | None:
    """The loss of the runs that no cheaper run beats, against their device hours."""
    own = points(rows_of((part.verdict or {}).get("rows")), "device_hours", "loss")
    series = (Series(text["d_frontier"], own, 0), Series("", own, 0, is_line=True, is_dashed=False))
    return drawn_series(part, text, series, (text["d_hours"], text["loss"]), ("log", "log"))


DRAWERS: dict[str, Callable[[StudyPart, Texts], Chart | None]] = {
    "self-averaging": self_averaging_chart,
    "structure": structure_chart,
    "context": context_chart,
    "limits": limits_chart,
    "stability": stability_chart,
    "cost": cost_chart,
}


def placed(part: StudyPart) -> tuple[float, float, float] | None:
    """Return effect, low and high less the threshold, in half-widths of the interval; None where one is no number."""
    found = part.verdict or {}
    value, low, high = (number(found.get(name)) for name in ("effect", "low", "high"))
    if part.threshold is None or value is None or low is None or high is None or high <= low:
        return None
    half = (high - low) / 2
    return (value - part.threshold) / half, (low - part.threshold) / half, (high - part.threshold) / half


def overview_chart(parts: Sequence[StudyPart], text: Texts) -> Chart | None:
    """All effects against their thresholds, in half-widths of their intervals: beside 0 is decided, across it not."""
    rows = [(part, place) for part in parts if (place := placed(part)) is not None]
    if not rows:
        return None
    traces = []
    for count, (part, (value, low, high)) in enumerate(rows[::-1]):
        ink = colour({"holds": 2, "fails": 1}.get(decided(part), 0))
        bars = {"type": "data", "symmetric": False, "thickness": 3, "color": ink, "width": 9}
        bars |= {"array": [max(0.0, high - value)], "arrayminus": [max(0.0, value - low)]}
        name = f"{name_of(part, text)}: {verdict_word(part, text)}"
        marker = {"size": 12, "color": ink, "symbol": symbol(count)}
        traces.append(scatter([value], [label(name_of(part, text))], name, mode="markers", error_x=bars, marker=marker))
    known = [0.0, *(each for _, place in rows for each in place)]
    x = {"title": {"text": label(text["d_overview"])}, "range": [min(known) - 0.4, max(known) + 0.4], "nticks": 7}
    shapes = [rule(0, max(known) + 0.4, BAND), upright(0, LINE)]
    drawn = figure(traces, x, {"type": "category", "range": [-0.6, len(rows) - 0.4]}, legend=False, shapes=shapes)
    columns = [text[f"c_{name}"] for name in ("study", "verdict", "effect", "threshold", "runs")]
    cells = [
        (name_of(part, text), verdict_word(part, text), effect_text(part, text), threshold_text(part),
         number_text((part.verdict or {})["runs"]))
        for part, *_ in rows
    ]  # fmt: skip
    return Chart(
        "overview", text["a_overview"], drawn, Grid.of(text["c_verdicts"], columns, cells), "middle", text["i_overview"]
    )
