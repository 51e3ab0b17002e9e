"""The curve's points: the mean loss, and mean and largest norm, of every stretch."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from chidu.training.curve import CURVE_POINTS, Curve


def drawn(losses: list[float], norms: list[float]) -> Curve:
    curve = Curve(len(losses))
    for step, (loss, norm) in enumerate(zip(losses, norms, strict=True), 1):
        curve.note(step, loss, norm)
    return curve


def test_a_point_tells_its_stretch() -> None:
    steps = 3 * CURVE_POINTS
    curve = drawn([float(step) for step in range(steps)], [float(step % 3) for step in range(steps)])
    assert len(curve) == len(curve.norms) == CURVE_POINTS
    assert curve[1] == (6, 4.0)
    assert set(curve.norms) == {(step, 1.0, 2.0) for step in range(3, steps + 1, 3)}


def test_a_batch_that_was_passed_over_has_no_norm() -> None:
    """Of a gradient that was not asked for the norm is not known; a stretch of such steps alone has no point."""
    curve = drawn([5.0, math.nan, 4.0], [1.0, math.nan, math.inf])
    assert curve == [(1, 5.0), (3, 4.0)]
    assert curve.norms == [(1, 1.0, 1.0)]


@given(cut=st.integers(0, 250), odd=st.sets(st.integers(0, 249)))
def test_a_curve_that_was_cut_goes_on(cut: int, odd: set[int]) -> None:
    losses = [math.nan if step in odd else 5 / (1 + step) for step in range(250)]
    norms = [math.nan if step in odd else 1 + step % 7 for step in range(250)]
    whole, curve = drawn(losses, norms), Curve(250)
    for step in range(250):
        if step == cut:
            state = json.loads(json.dumps(curve.as_dict()))
            curve = Curve(250)
            curve.take(state)
        curve.note(step + 1, losses[step], norms[step])
    assert curve == whole
    assert curve.norms == whole.norms


def test_a_checkpoint_of_before_norms_were_kept_goes_on_without_those() -> None:
    curve = Curve(4)
    curve.take({"curve": [[1, 5.0], [2, 4.5]], "losses": []})
    curve.note(3, 4.2, 1.5)
    assert curve == [(1, 5.0), (2, 4.5), (3, 4.2)]
    assert curve.norms == [(3, 1.5, 1.5)]
