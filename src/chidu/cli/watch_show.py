"""A picture of an undertaking, as text: clear without colour too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chidu.runs.picture import Picture, RunPicture
from chidu.units import format_count, format_level, format_seconds

__all__ = ["drawn", "line"]

BAR = 24
"""Characters of a bar."""
COLOURS = {"inside": "green", "at the edge": "yellow", "outside": "bold red"}
WORDS = {
    "inside": "inside the forecast's interval",
    "at the edge": "at the edge: beyond the forecast's interval, but the two meet",
    "outside": "OUTSIDE: it does not meet the forecast's interval",
}


def drawn(picture: Picture) -> RenderableType:
    """Return the whole picture, the most important first: what does not fit on the screen is cut at its end."""
    parts: list[RenderableType] = [Text(head(picture), style="bold")]
    if picture.study is not None:
        return Group(*parts, Text(str(picture.study)))
    if picture.target is not None and picture.target.step:
        parts.append(Text(run_line(picture.target)))
    parts += list(ends(picture))
    parts += [Text(f"warning: {each.text}", style="yellow") for each in picture.warnings]
    if picture.rungs:
        parts += [Text(), rungs_table(picture.rungs)]
    return Group(*parts)


def head(picture: Picture) -> str:
    """Say where the undertaking is."""
    state = {"at work": "", "finished": "finished", "stopped": "nobody is at work"}[picture.state]
    stage = f"{picture.stage} {bar(picture.fraction)} {picture.fraction:.0%}"
    left = None if picture.seconds_left is None else f"about {format_seconds(max(1.0, picture.seconds_left))} left"
    return " · ".join(part for part in (picture.folder, state, stage, left) if part)


def bar(fraction: float) -> str:
    """Draw how much is done."""
    full = round(BAR * min(1.0, max(0.0, fraction)))
    return "█" * full + "░" * (BAR - full)


def rungs_table(rungs: Sequence[RunPicture]) -> Table:
    """A row a size: what its runs have come to, each under its number of steps."""
    lengths = sorted({run.steps for run in rungs})
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("rungs", "params", *(f"{steps:,} steps" for steps in lengths), "training loss", "steps/s", "tokens/s"):
        table.add_column(name, justify="left" if name == "rungs" else "right", no_wrap=True)
    groups: dict[str, list[RunPicture]] = {}
    for run in rungs:
        groups.setdefault(run.group, []).append(run)
    for name, runs in groups.items():
        cells = {run.steps: cell(run) for run in runs}
        active = max(runs, key=lambda run: (run.steps_per_second is not None, run.step))
        table.add_row(
            name,
            format_count(active.params),
            *(cells.get(steps, "") for steps in lengths),
            "" if active.training_loss is None else f"{active.training_loss:.4f}",
            *speeds(active),
        )
    return table


def cell(run: RunPicture) -> str:
    """The held-out loss of a finished run, else how far it is."""
    if run.loss is not None:
        return f"{run.loss:.4f}"
    return f"{run.step / run.steps:.0%}" if run.step else "-"


def speeds(run: RunPicture) -> tuple[str, str]:
    """Steps and tokens in a second; empty for a run that waits."""
    if run.steps_per_second is None or run.tokens_per_second is None:
        return "", ""
    return f"{run.steps_per_second:.3g}", format_count(run.tokens_per_second)


def run_line(run: RunPicture) -> str:
    """Say how far one run is."""
    steps, tokens = speeds(run)
    left = run.seconds_left
    parts = [
        f"{run.name} {bar(run.step / run.steps)} {run.step / run.steps:.0%}",
        f"step {run.step:,} of {run.steps:,}" if run.step else "waiting",
        f"{steps} steps/s" if steps else "",
        f"{tokens} tokens/s" if tokens else "",
        "" if run.training_loss is None else f"training loss {run.training_loss:.4f}",
        "" if left is None else f"about {format_seconds(max(1.0, left))} left",
    ]
    return " · ".join(part for part in parts if part)


def ends(picture: Picture) -> Iterator[Text]:
    """The forecast, where the target should end, and what came of it."""
    said, end = picture.forecast, picture.estimate
    if said is not None:
        yield Text(
            f"forecast       {said['loss']:.4f}  {format_level(said['level'])} interval "
            f"{said['low']:.4f} to {said['high']:.4f}"
        )
    if end is not None and picture.verdict is not None:
        told = Text(
            f"should end at  {end.loss:.4f}  {format_level(end.level)} interval {end.low:.4f} to {end.high:.4f}  "
        )
        yield told.append(WORDS[picture.verdict], style=COLOURS[picture.verdict])
    if picture.score is not None:
        place = "inside" if picture.score["inside"] else "OUTSIDE"
        yield Text(f"measured       {picture.score['measured']:.4f}  {place} the forecast's interval")


def line(picture: Picture) -> str:
    """Say the most of it in one line."""
    left = "" if picture.seconds_left is None else f", about {format_seconds(max(1.0, picture.seconds_left))} left"
    told = [f"{picture.stage} {picture.fraction:.0%}{left}"]
    if picture.study is not None:
        return "; ".join([*told, str(picture.study)])
    run = picture.target
    if picture.stage == "target" and run is not None and run.step:
        told.append(run_line(run).replace(f"{bar(run.step / run.steps)} ", ""))
        told += [" ".join(str(text).split()) for text in ends(picture)]
    return "; ".join(told)
