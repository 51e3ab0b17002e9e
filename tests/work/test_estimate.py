"""A slow machine gets the smallest ladder and is told what it costs; one that is far too slow is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chidu.errors import TextError
from chidu.parallel import Local
from chidu.runs.config import RunConfig
from chidu.runs.settings import Settings
from chidu.training import probe
from chidu.training.design import Budget
from chidu.work.estimate import choose_design, describe_design


def machine(flops_a_second: float, monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Let every step take as long as a machine of this speed would need; return a list that grows with each probe."""
    probes: list[RunConfig] = []

    def measure(apart: Sequence[RunConfig], together: RunConfig, cores: int) -> probe.Speed:
        probes.append(together)
        seconds = [config.flops / config.steps / flops_a_second for config in (*apart, together)]
        return probe.Speed(tuple(seconds[:-1]), seconds[-1], 1)

    monkeypatch.setattr(probe, "measure_speed", measure)
    return probes


def test_a_slow_machine_takes_longer_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, budget = Settings(), Budget(500.0, 2, 10**9, 8.0)
    probes = machine(1.4e10, monkeypatch)
    chosen = choose_design(settings, budget, Local())
    seconds = chosen.ladder_seconds + chosen.target_seconds
    assert budget.seconds < seconds <= 2 * budget.seconds
    assert len(probes) == len(set(probes))  # nothing is timed twice, however often the time is stretched
    said: list[str] = []
    describe_design(chosen, settings, said.append)
    assert "longer than the 10 minutes asked for" in said[-1]


def test_a_fast_machine_keeps_its_time_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(2e11, monkeypatch)
    chosen = choose_design(Settings(), Budget(500.0, 2, 10**9, 8.0), Local())
    assert chosen.ladder_seconds + chosen.target_seconds <= 500
    said: list[str] = []
    describe_design(chosen, Settings(), said.append)
    assert not any("longer than" in line for line in said)


def test_a_machine_far_too_slow_is_refused_with_the_minutes_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(1e9, monkeypatch)
    with pytest.raises(TextError, match=r"8\.3 minutes of training are too few .*, which needs about (\d+): give more"):
        choose_design(Settings(), Budget(500.0, 2, 10**9, 8.0), Local())
