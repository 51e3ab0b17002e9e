"""A minute under twice the load it can take (`benchmarks/soak.py`): right answers, proper refusals, steady memory."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.verify
def test_a_minute_at_twice_the_load(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from soak import soak  # type: ignore[import-not-found]

    found = soak(str(saved), 60)
    assert found["failures"] == []
    assert found["different"] == 0
    assert found["same"] > 20
    assert {"whole 200", "whole 429", "huge 413", "slow 408", "wrong 400"} <= set(found["statuses"])
