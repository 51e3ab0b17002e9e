"""How far the law is from its own runs: against flops, against each column it reads, and by size."""

from __future__ import annotations

import numpy as np

from chidu.report.content import ReportContent
from chidu.report.figures import Chart, figure, label, log_axis
from chidu.report.rungs import (
    column_word,
    count_text,
    fitted_losses,
    flops_title,
    hover_words,
    law_target,
    marks,
    measured_losses,
    run_flops,
    scale_of,
)
from chidu.report.scale import Floats, size_groups
from chidu.report.tables import Grid, flops_text, loss_text
from chidu.report.texts import Texts

__all__ = ["residual_charts", "residual_grid", "residuals"]


def residuals(content: ReportContent) -> Floats | None:
    """Return the law less the measured for each run, in percent of the measured; None where there is no law or run."""
    fitted, measured = fitted_losses(content), measured_losses(content)
    return None if fitted is None or measured is None else np.asarray(100 * (fitted / measured - 1))


def residual_charts(content: ReportContent, text: Texts) -> tuple[Chart, ...]:
    """Residuals against flops first, then against each column that the law or the rungs have."""
    found = residuals(content)
    if found is None:
        return ()
    return tuple(_chart(content, text, found, number, *axis) for number, axis in enumerate(_axes(content, text)))


def _axes(content: ReportContent, text: Texts) -> list[tuple[str, str, Floats]]:
    """Name, title and values of what residuals are drawn against; the number of the run where there is nothing."""
    ladder, fit, scale = content.ladder, content.fit, scale_of(content)
    if ladder is None or fit is None:
        return []
    flops = run_flops(content, scale)
    axes = [] if flops is None else [("flops", flops_title(content, text), flops)]
    names = dict.fromkeys([*fit.inputs, *((scale.axis, "tokens") if scale else ())])
    columns = [name for name in names if name in ladder and name != "flops"]
    # A column of one value alone has no direction to look along.
    varied = [name for name in columns if np.ptp(ladder.numbers(name, positive=False)) > 0]
    axes += [(name, column_word(name, text), ladder.numbers(name, positive=False)) for name in varied]
    return axes or [("run", text["run"], np.arange(1.0, len(ladder) + 1))]


def _chart(
    content: ReportContent, text: Texts, residual: Floats, number: int, name: str, title: str, x: Floats
) -> Chart:
    scale, words = scale_of(content), hover_words(content, text)
    groups = [] if scale is None or content.ladder is None else size_groups(content.ladder, scale.axis)
    traces = [
        marks(i, group.label, x[group.rows], residual[group.rows], [words[row] for row in group.rows], len(words))
        for i, group in enumerate(groups)
    ] or [marks(0, text["rungs"], x, residual, words)]
    across = log_axis(title, x.min(), x.max()) if x.min() > 0 else {"title": {"text": label(title)}}
    # The same height for all of them, so that they can be compared, and 0 in the middle.
    most = 1.12 * max(float(np.abs(residual).max()), 0.01)
    up = {"title": {"text": label(text["residual"])}, "zeroline": True, "range": [-most, most]}
    drawn = figure(traces, across, up, legend=len(traces) > 1 and not number)
    grid = _grid(content, text, residual, title, x, flops=name == "flops")
    # Columns may have any name: charts after the first are numbered.
    chart = f"residuals_{number}" if number else "residuals"
    return Chart(chart, text["a_residuals"].format(axis=title), drawn, grid, height="middle" if number else "tall")


def _grid(content: ReportContent, text: Texts, residual: Floats, title: str, x: Floats, *, flops: bool) -> Grid:
    measured, fitted, target = measured_losses(content), fitted_losses(content), law_target(content)
    if measured is None or fitted is None:
        return Grid.of(text["s_residuals"], (), ())
    write = flops_text if flops else count_text
    cells = [
        (write(x[i]), loss_text(measured[i]), loss_text(fitted[i]), f"{residual[i]:+.2f}%")
        for i in np.argsort(x, kind="stable")
    ]
    columns = (title, column_word(target, text), text["law"], text["residual"])
    return Grid.of(text["with_part"].format(word=text["s_residuals"], part=title), columns, cells)


def residual_grid(content: ReportContent, text: Texts) -> Grid | None:
    """Residuals by size: their mean shows a law that bends away, their size how far it is in all."""
    found, scale = residuals(content), scale_of(content)
    if found is None or scale is None or content.ladder is None:
        return None
    rows = [
        (
            group.label,
            str(len(group.rows)),
            f"{found[group.rows].mean():+.2f}%",
            f"{np.median(np.abs(found[group.rows])):.2f}%",
            f"{np.abs(found[group.rows]).max():.2f}%",
        )
        for group in size_groups(content.ladder, scale.axis)
    ]
    columns = (text[scale.axis], text["rungs"], text["mean"], text["median_size"], text["largest"])
    return Grid.of(text["by_size"], columns, rows)
