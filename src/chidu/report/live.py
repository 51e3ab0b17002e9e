"""The page while the undertaking is at work: how far it is, and where the target is heading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from chidu.report.content import ReportContent
from chidu.report.figures import BAND, LINE, MEASURED, Chart, colour, figure, label, log_axis, scatter
from chidu.report.rungs import loss_title
from chidu.report.tables import Grid, loss_text, number_text, percent
from chidu.report.texts import Texts
from chidu.runs.picture import Picture, RunPicture
from chidu.units import format_count, format_seconds

__all__ = ["live_chart", "live_grid", "live_headline", "live_lines", "live_warnings"]

END = colour(0)
END_BAND = "rgba(47,127,193,0.22)"
SHOWN_FROM = 0.04
"""Part of the run left out at the start, where the loss falls from that of chance."""


def live_headline(picture: Picture, text: Texts) -> tuple[str, str]:
    """Return the page's first sentence, and its mood."""
    end, run = picture.estimate, picture.target
    if end is None or run is None or picture.verdict is None or picture.study is not None:
        return _stage(picture, text), ""
    sentence = text["live_headline"].format(
        part=percent(round(run.step / run.steps, 2)), loss=loss_text(end.loss), verdict=_verdict(picture, text)
    )
    return sentence, {"inside": "inside", "outside": "outside"}.get(picture.verdict, "")


def live_lines(picture: Picture, text: Texts) -> Iterator[str]:
    """Say how far the undertaking and the target are, where the target should end, and against what."""
    run, end, said = picture.target, picture.estimate, picture.forecast
    if end is not None and picture.study is None:
        yield _stage(picture, text)
    yield from _study(picture, text)
    if run is not None and run.step:
        facts = {"part": percent(round(run.step / run.steps, 2)), "step": f"{run.step:,}", "steps": f"{run.steps:,}"}
        yield text["live_target"].format(**facts, loss=_loss(run.training_loss))
    if said is not None:
        yield text["live_forecast"].format(**_with_interval(said))
    if end is not None:
        yield text["live_end"].format(**_with_interval(asdict(end)), verdict=_verdict(picture, text))


def _study(picture: Picture, text: Texts) -> Iterator[str]:
    study = picture.study
    if study is None:
        return
    name = text.get(f"study_{study.name}", study.name)
    if study.runs is not None:
        yield text["live_study"].format(name=name, done=study.done, runs=study.runs)
    if study.number is not None:
        yield text["live_study_of"].format(number=study.number, count=study.count)


def _stage(picture: Picture, text: Texts) -> str:
    stage = text.get(f"stage_{picture.stage}", picture.stage)
    if picture.state != "at work":
        return text["live_stopped"].format(stage=stage)
    part, left = percent(round(picture.fraction, 2)), picture.seconds_left
    if left is None:
        return text["live_stage"].format(stage=stage, part=part)
    return text["live_stage_left"].format(stage=stage, part=part, left=format_seconds(max(1.0, left)))


def _verdict(picture: Picture, text: Texts) -> str:
    return text[f"live_{str(picture.verdict).replace(' ', '_')}"]


def _with_interval(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: loss_text(values[name]) for name in ("loss", "low", "high")} | {"level": percent(values["level"])}


def live_warnings(picture: Picture, text: Texts) -> tuple[str, ...]:
    """Return what was said of the target, in the page's language."""
    return tuple(text.say(each.text) for each in picture.warnings)


def live_chart(content: ReportContent, text: Texts) -> Chart | None:
    """The target's loss so far against its tokens, the forecast's band, and the estimates of its end as they went."""
    picture = content.picture
    run, said = (None, None) if picture is None else (picture.target, picture.forecast)
    if picture is None or run is None or said is None:
        return None
    end = run.steps * run.batch_tokens
    curve = [(step, loss) for step, loss in run.curve if step > SHOWN_FROM * run.steps]
    traces = [*_forecast_band(said, end, text), *_estimates(picture, run, text)]
    if curve:
        steps, losses = np.asarray(curve).T
        line = {"color": MEASURED, "width": 2.2}
        traces.append(scatter(steps * run.batch_tokens, losses, text["training_loss"], mode="lines", line=line))
    heights = [said["low"], said["high"], *(loss for _, loss in curve)]
    heights += [value for each in picture.estimates for value in (each.low, each.high)]
    x: dict[str, Any] = {"title": {"text": label(text["tokens"])}, "range": [0, 1.03 * end], "nticks": 7}
    y = log_axis(loss_title(content, text), min(heights), max(heights))
    columns = (text["tokens"], text["live_estimate"], text["low"], text["high"])
    rows = [
        (format_count(each.step * run.batch_tokens), *map(loss_text, (each.loss, each.low, each.high)))
        for each in picture.estimates
    ]
    return Chart("live", text["a_live"], figure(traces, x, y), Grid.of(text["s_live"], columns, rows[::-1]))


def _forecast_band(said: Any, end: float, text: Texts) -> list[Any]:
    """The written forecast, over the whole run: it speaks of the end alone, and is drawn to be seen from afar."""
    style = {"line": {"width": 0}, "fill": "toself", "fillcolor": BAND, "hoverinfo": "skip"}
    across, up = [0, end, end, 0], [said["low"], said["low"], said["high"], said["high"]]
    name = text["live_band"].format(level=percent(said["level"]))
    line = {"color": LINE, "width": 1.6, "dash": "dash"}
    return [
        scatter(across, up, name, mode="lines", **style),
        scatter([0, end], [said["loss"], said["loss"]], text["forecast"], mode="lines", line=line),
    ]


def _estimates(picture: Picture, run: RunPicture, text: Texts) -> list[Any]:
    """Each estimate stands where it was made; the newest again at the end, with its interval."""
    if not picture.estimates:
        return []
    x = [each.step * run.batch_tokens for each in picture.estimates]
    low, high = ([getattr(each, name) for each in picture.estimates] for name in ("low", "high"))
    edge = {"line": {"width": 0}, "fill": "toself", "fillcolor": END_BAND, "hoverinfo": "skip"}
    newest = picture.estimates[-1]
    bars = {"type": "data", "symmetric": False, "color": END, "thickness": 2.5, "width": 7}
    bars |= {"array": [newest.high - newest.loss], "arrayminus": [newest.loss - newest.low]}
    mark = {"mode": "markers", "marker": {"size": 11, "color": END, "symbol": "square"}, "error_y": bars}
    band = text["live_estimates"].format(level=percent(newest.level))
    line = {"color": END, "width": 1.6}
    return [
        scatter([*x, *x[::-1]], [*high, *low[::-1]], band, mode="lines", **edge),
        scatter(x, [each.loss for each in picture.estimates], "", mode="lines", line=line, showlegend=False),
        scatter([run.steps * run.batch_tokens], [newest.loss], text["live_estimate"], **mark),
    ]


def live_grid(picture: Picture, text: Texts) -> Grid:
    """A row a run: how far it is."""
    runs = [*picture.rungs, *([picture.target] if picture.target else [])]
    columns = (text["run"], text["params"], text["live_done"], text["live_speed"], text["training_loss"], text["loss"])
    rows = [
        (
            run.name,
            format_count(run.params),
            f"{run.step:,} / {run.steps:,}",
            "" if run.tokens_per_second is None else number_text(float(f"{run.tokens_per_second:.3g}")),
            _loss(run.training_loss),
            _loss(run.loss),
        )
        for run in runs
    ]
    return Grid.of(text["live_runs"], columns, rows)


def _loss(value: float | None) -> str:
    return "" if value is None else loss_text(value)
