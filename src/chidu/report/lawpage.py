"""The content of a law's own page: a fit, and what its table, where there is one, lets it be judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import ChiduError
from chidu.report.content import Language, ReportContent
from chidu.runs.ladder import Ladder
from chidu.runs.record import machine, versions

if TYPE_CHECKING:
    from chidu.laws import Fit

__all__ = ["law_content"]

FACTORS = (1, 10, 100)
"""Budgets that are planned, times the dearest run's flops."""
MOST_REFITS = 200
"""Of the backtest, at each cut; as many as the fit's where those are fewer."""
OUTLOOK = 10.0
"""The headline says whether to trust forecasts this many times beyond the dearest run."""
NO_ROWS = "A saved fit holds no runs, so this is not drawn: make the page from the table itself to see it."
"""Said in place of what needs the rows."""
OTHER_TARGET = "Only laws of the loss are tried on dearer runs."


def law_content(
    fit: Fit, runs: Ladder | None, title: str, law: str = "auto", language: Language = "en"
) -> ReportContent:
    """Return what a page shows of a fit: plans, an outlook, and with the runs a backtest and profiles.

    ``law`` is what the fit was asked for: the backtest asks for the same, below each of its cuts. What can't be shown
    is named with its reason.
    """
    plans = _plans(fit)
    content: dict[str, Any] = {"absent": dict.fromkeys(("residuals", "backtest", "profile"), NO_ROWS)}
    if runs is not None:
        content = _judged(fit, runs, law)
    return ReportContent(
        title=title,
        ladder=runs,
        fit=fit,
        plan=plans,
        outlook=_outlook(fit, plans),
        settings=_settings(fit, runs, law),
        versions=versions(),
        machine=machine(),
        in_nats=False,
        language=language,
        **content,
    )


def _settings(fit: Fit, runs: Ladder | None, law: str) -> dict[str, Any]:
    """Return what was asked for, and what was inferred in reading the table."""
    asked = {
        "law": law,
        "weighting": fit.weighting,
        "objective": fit.objective_name,
        "resamples": fit.resamples,
        "level": fit.level,
    }
    return {**asked, "seed": fit.seed, **({"notes": runs.notes} if runs is not None and runs.notes else {})}


def _judged(fit: Fit, runs: Ladder, law: str) -> dict[str, Any]:
    """Return backtest and profiles, or why there are none."""
    from chidu.laws import backtest
    from chidu.laws.profile import profile

    found: dict[str, Any] = {"absent": {}}
    if fit.target != "loss":
        found["absent"]["backtest"] = OTHER_TARGET
    else:
        try:
            found["backtest"] = backtest(runs, law, min(MOST_REFITS, fit.resamples), level=fit.level, seed=fit.seed)
        except ChiduError as error:
            found["absent"]["backtest"] = str(error)
    try:
        found["profiles"] = profile(fit, runs)
    except ChiduError as error:
        found["absent"]["profile"] = str(error)
    return found


def _plans(fit: Fit) -> list[dict[str, Any]]:
    """Return what each budget buys; of a law over flops alone, its forecasts; nothing of other laws."""
    dearest = fit.seen.cost
    try:
        return [fit.plan(flops=dearest * factor).as_dict() for factor in FACTORS]
    except ChiduError:
        # Only a law over params and tokens can say how to share a budget out between them.
        return [_alone(fit, dearest * factor) for factor in FACTORS] if fit.inputs == ("flops",) else []


def _alone(fit: Fit, flops: float) -> dict[str, Any]:
    point = {"flops": np.array([flops])}
    row, (trust, why) = fit.forecast(point).rows()[0], fit.trust(point)
    values = {"flops": flops, "loss": row[fit.value_name], "trust": trust, "why": why}
    return values if row["low"] is None else values | {"loss_low": row["low"], "loss_high": row["high"]}


def _outlook(fit: Fit, plans: list[dict[str, Any]]) -> dict[str, Any]:
    """Return whether to trust forecasts: at ten times the dearest run, or at the largest values seen."""
    for factor, planned in zip(FACTORS, plans, strict=False):
        if factor == OUTLOOK:
            return {"times": OUTLOOK, "trust": planned["trust"], "why": planned["why"]}
    trust, why = fit.trust({name: np.array([value]) for name, value in zip(fit.inputs, fit.seen.highest, strict=True)})
    return {"times": None, "trust": trust, "why": why}
