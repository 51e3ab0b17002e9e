"""From an interval and a threshold to a verdict, and to what it would take."""

from __future__ import annotations

import pytest

from chidu.studies.verdict import Decision, decide, more_compute


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.3, 0.9, "holds"),
        (0.25, 0.9, "undecided"),
        (-0.4, 0.1, "fails"),
        (-0.4, 0.25, "undecided"),
        (0, 1, "undecided"),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, verdict: str) -> None:
    assert decide(low, high, 0.25) is Decision(verdict)


def test_what_it_would_take_is_by_the_side_towards_the_threshold() -> None:
    assert more_compute(0.65, 0.05, 1.0, 0.25) == pytest.approx((0.6 / 0.4) ** 2)
    assert more_compute(0.05, -1.0, 0.45, 0.25) == pytest.approx((0.4 / 0.2) ** 2)
    assert more_compute(0.65, 0.3, 1.0, 0.25) == 1.0
    assert more_compute(0.25, 0.0, 1.0, 0.25) is None
    assert more_compute(0.251, 0.0, 1.0, 0.25) is None
