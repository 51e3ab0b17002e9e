"""Quantities as people write them: ``"30M"``, ``"2e15"``, nats and bits, seconds and bytes."""

from __future__ import annotations

import math
import re

from chidu.errors import InputError

__all__ = [
    "bits_per_byte",
    "count_of",
    "format_bytes",
    "format_count",
    "format_level",
    "format_seconds",
    "parse_count",
    "percent",
    "time_left",
    "times",
]

_LETTERS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}
_WORDS = {"thousand": 1e3, "million": 1e6, "bn": 1e9, "billion": 1e9, "trillion": 1e12}
_SUFFIX = {**_LETTERS, **_WORDS}
_COUNT = re.compile(
    r"([+-]?\d[\d_]*\.?\d*(?:[eE][+-]?\d+)?|[+-]?\.\d+(?:[eE][+-]?\d+)?)"
    rf"\s*([kKmMbBgGtTpPeEzZ]?|(?i:{'|'.join(_WORDS)}))"
)

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
"""Commas between groups of three digits only: any other comma may be a decimal one, and the number 1000 times less."""


def parse_count(text: str | float) -> float:
    """Read a count such as ``1.3B``, ``30M``, ``2e15``, ``1_000``, ``1,000``, ``7 billion`` or a plain number.

    Raises InputError where the text is no number.
    """
    if isinstance(text, (int, float)):
        return float(text)
    if _THOUSANDS.fullmatch(text.strip()):
        return float(text.replace(",", ""))
    match = _COUNT.fullmatch(text.strip())
    if match is None and "," in text and _COUNT.fullmatch(text.strip().replace(",", "")):
        raise InputError(f"{text!r} is not a number: decimal commas are not read, write it like 1.3B or 1,300,000")
    if match is None:
        raise InputError(f"{text!r} is not a number: write it like 30M, 1.3B or 2e15")
    return float(match[1].replace("_", "")) * _SUFFIX[match[2].lower()]


def count_of(number: int, noun: str) -> str:
    """Write ``1 row`` or ``2,000 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def format_count(value: float) -> str:
    """Write a count with three significant digits and a suffix: ``1.30B``, ``640k``, ``2.10e+16``."""
    if not math.isfinite(value):
        return str(value)
    for limit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if limit <= abs(value) < 1e15:
            return f"{_three(value / limit)}{suffix}"
    return f"{value:.2e}" if abs(value) >= 1e15 else _three(value)


def _three(value: float) -> str:
    """Three significant digits without an exponent."""
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{digits}f}"


def format_seconds(seconds: float) -> str:
    """Write a length of time: ``850 ms``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def percent(part: float) -> str:
    """Write a part of 1 in percent, with two digits at least: ``0.41%``, ``12%``, ``1,630%``."""
    value = 100 * part
    return f"{value:,.0f}%" if abs(value) >= 99.5 else f"{value:.2g}%"


def times(factor: float) -> str:
    """Write a factor: ``1.56×``, ``3,120×``, ``4.8e+05×``."""
    return f"{factor:,.0f}×" if 999.5 <= factor < 99_999.5 else f"{factor:.3g}×"


def format_level(level: float) -> str:
    """Write an interval's level in percent, with all its digits: ``90%``, ``99.9%``."""
    return f"{100 * level:.6g}%"


def time_left(elapsed: float, first: float, fraction: float, planned: float | None) -> float | None:
    """Return the seconds left of something: what was planned for it at first, then more and more what was seen.

    It stood at `first` (0 to 1) when the clock began, and stands at `fraction` now; `planned` seconds were meant for
    all of it. None where nothing is known yet.
    """
    done = fraction - first
    seen = elapsed * (1 - fraction) / done if done > 0.02 else None
    if planned is None:
        return seen
    expected = planned * (1 - fraction)
    return expected if seen is None else done * seen + (1 - done) * expected


def format_bytes(count: float) -> str:
    """Write a number of bytes in decimal units: ``34.1 MB``."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count:.0f} B"


def bits_per_byte(loss: float, bytes_per_token: float) -> float:
    """Turn a loss in nats per token into bits per byte of text."""
    return loss / math.log(2) / bytes_per_token
