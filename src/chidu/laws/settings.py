"""Settings of a fit, a forecast and a plan, as they come from a caller: checked in one place."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from chidu.errors import FitError
from chidu.laws.rows import WEIGHTINGS

__all__ = ["above_zero", "check_level", "check_settings", "check_weighting"]

MOST_RESAMPLES = 100_000
MOST_SEED = 2**63 - 1


def above_zero(name: str, value: Any) -> None:
    """Raise FitError naming a number that is given and is not finite and above 0."""
    if value is None:
        return
    if not _is_number(value):
        raise FitError(f"{name} is {value!r}; it must be a number")
    if not 0 < float(value) < float("inf"):
        raise FitError(f"{name} is {value}; it must be a finite number above 0")


def check_level(level: Any) -> None:
    """Raise FitError where a level of intervals is not between 0 and 1."""
    if not _is_number(level):
        raise FitError(f"level is {level!r}; it must be a number between 0 and 1")
    if not 0 < level < 1:
        raise FitError(f"level is {level}; it must lie between 0 and 1")


def check_settings(resamples: Any, level: Any, seed: Any) -> None:
    """Raise FitError, in one line, where a setting of a fit is out of range."""
    check_level(level)
    if not isinstance(resamples, Integral):
        raise FitError(f"resamples is {resamples!r}; it must be a whole number")
    if not 0 <= int(resamples) <= MOST_RESAMPLES:
        raise FitError(f"resamples is {resamples}; it must be 0 or more, at most {MOST_RESAMPLES:,}")
    if not isinstance(seed, Integral) or not 0 <= int(seed) <= MOST_SEED:
        raise FitError(f"seed is {seed!r}; it must be a whole number from 0 to {MOST_SEED}")


def check_weighting(weighting: Any) -> None:
    """Raise FitError where there is no such weighting."""
    if weighting not in (*WEIGHTINGS, "auto"):
        raise FitError(f"no weighting {weighting!r}: choose among auto, {', '.join(WEIGHTINGS)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
