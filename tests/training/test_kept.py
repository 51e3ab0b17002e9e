"""Finished runs that a ladder takes as they are, and what makes a run another one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from chidu.runs import Run, RunConfig
from chidu.runs.record import read_json, write_json
from chidu.training import Rung
from chidu.training.kept import KeptRuns
from chidu.training.rungs import run_path

TEXT = {"train": "a" * 64, "held_out": "b" * 64}


def finished(config: RunConfig, name: str = "w16-24") -> Run:
    return Run(name, "w16", config, 3.5, 0.01, 2.5, 10_000, 1.0, config.flops, ((10, 4.0), (20, 3.7)))


@pytest.fixture
def kept(tiny_config: RunConfig, tmp_path: Path) -> KeptRuns:
    """The runs of a text, of which one is there."""
    made = KeptRuns.of(tmp_path / "runs", TEXT, 640)
    write_json(run_path(tmp_path / "old", "w16-24"), finished(tiny_config).as_dict())
    made.keep(tmp_path / "old", [Rung("w16-24", "w16", tiny_config), Rung("w16-48", "w16", tiny_config.with_steps(48))])
    return made


def test_a_run_is_handed_over_under_the_name_it_has_now(kept: KeptRuns, tiny_config: RunConfig, tmp_path: Path) -> None:
    rungs = [Rung("a", "size a", tiny_config), Rung("b", "size a", tiny_config.with_steps(48))]
    assert kept.hand_over(tmp_path / "new", rungs) == ["a"]
    expected = dataclasses.replace(finished(tiny_config), name="a", group="size a")
    assert Run.from_dict(read_json(run_path(tmp_path / "new", "a"))) == expected
    assert not run_path(tmp_path / "new", "b").exists()
    assert kept.configs() == [tiny_config]


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 0.02}, {"precision": "bf16"}], ids=str)
def test_another_config_is_another_run(
    change: dict[str, Any], kept: KeptRuns, tiny_config: RunConfig, tmp_path: Path
) -> None:
    other = dataclasses.replace(tiny_config, **change)
    assert kept.hand_over(tmp_path / "new", [Rung("a", "a", other)]) == []


def test_other_text_or_held_out_tokens_are_other_runs(kept: KeptRuns, tiny_config: RunConfig, tmp_path: Path) -> None:
    for text, held_out in (({**TEXT, "train": "c" * 64}, 640), ({**TEXT, "held_out": "c" * 64}, 640), (TEXT, 320)):
        others = KeptRuns.of(tmp_path / "runs", text, held_out)
        assert others.hand_over(tmp_path / "new", [Rung("a", "a", tiny_config)]) == []
    assert KeptRuns.of(tmp_path / "runs", dict(reversed(TEXT.items())), 640) == kept
