"""Choosing among laws by how well each forecasts the dear runs from the cheap ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chidu.laws.trials import Trial

__all__ = ["choose", "label", "score", "share"]

MARGIN = 0.9
"""A law with more parameters must bring the score below this part of the simpler one's: less may be luck."""


def label(law: str, weighting: str) -> str:
    """Name a law fitted under a weighting of the rows."""
    return law if weighting == "even" else f"{law} ({weighting} rows first)"


def score(trials: Sequence[Trial]) -> float:
    """Mean over the cuts of the mean absolute relative error on the runs above; NaN without cuts."""
    return float(np.mean([np.abs(np.expm1(trial.error)).mean() for trial in trials])) if trials else float("nan")


def choose(scores: Mapping[str, float], noises: Mapping[str, float]) -> str:
    """Return the law to use, of names given from the simplest to the richest.

    Without scores (too few rows to leave any out) the residuals decide, with a wider margin: a richer law always has
    smaller ones, which is why they come second.
    """
    names = list(scores)
    chosen = names[0]
    for name in names[1:]:
        if np.isfinite(scores[name]) and np.isfinite(scores[chosen]):
            better = scores[name] < MARGIN * scores[chosen]
        else:
            better = noises[name] < 0.5 * noises[chosen]
        chosen = name if better else chosen
    return chosen


def share(rival: float, best: float) -> float:
    """How much a rival's disagreement counts (0 to 1): all where it forecast as well, little where far worse."""
    if not (np.isfinite(rival) and np.isfinite(best)):
        return 0.25
    return float(min(1.0, (best / max(rival, 1e-12)) ** 4))
