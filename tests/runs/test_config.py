"""Shapes, configs, recipes, runs and settings: there and back, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.errors import SettingError, WorkFolderError
from chidu.runs import Recipe, Run, RunConfig, Shape
from chidu.runs.config import from_mapping
from chidu.runs.settings import Settings, read_settings, write_settings

small = st.integers(1, 8)
shapes = st.builds(
    lambda kv, group, half, **sizes: Shape(heads=kv * group, kv_heads=kv, head_width=2 * half, **sizes),
    kv=small, group=small, half=small, vocabulary=st.integers(1, 999), context_length=small, width=small,
    layers=small, mlp_width=small, tied=st.booleans(),
)  # fmt: skip


@given(shape=shapes, steps=st.integers(1, 999), rows=small, decay=st.floats(0, 1), rate=st.floats(1e-9, 1))
def test_a_config_comes_back_from_json(shape: Shape, steps: int, rows: int, decay: float, rate: float) -> None:
    config = RunConfig(shape, steps, rows * shape.context_length, rate, rate, rate, min(steps, 3), decay)
    assert RunConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    assert config.trunk_steps + config.decay_steps == steps
    assert config.tokens == steps * config.sequences * shape.context_length


def test_a_run_comes_back_from_json(make_run: Callable[..., Run]) -> None:
    for run in (make_run(), make_run(gradient_norms=((6, 1.5, 4.0), (12, 0.9, 1.0)))):
        assert Run.from_dict(json.loads(json.dumps(run.as_dict()))) == run


def test_a_run_of_before_norms_were_kept_has_none(make_run: Callable[..., Run]) -> None:
    values = make_run(gradient_norms=((6, 1.5, 4.0),)).as_dict()
    del values["gradient_norms"]
    assert Run.from_dict(values) == make_run()
    with pytest.raises(WorkFolderError, match=r"run\.json is damaged"):
        Run.from_dict({**values, "gradient_norms": [[6, 1.5]]})


def test_an_unknown_key_names_the_nearest(tiny_config: RunConfig) -> None:
    values = tiny_config.as_dict()
    with pytest.raises(SettingError, match=r"unknown key 'learning_rat' \(did you mean 'learning_rate'\?\)"):
        RunConfig.from_dict({**values, "learning_rat": 1})
    with pytest.raises(SettingError, match=r"shape: unknown key 'head' \(did you mean 'heads'\?\)"):
        RunConfig.from_dict({**values, "shape": {**values["shape"], "head": 1}})
    with pytest.raises(SettingError, match="steps"):
        RunConfig.from_dict({name: value for name, value in values.items() if name != "steps"})
    with pytest.raises(SettingError, match="width"):
        RunConfig.from_dict({**values, "shape": {}})


@pytest.mark.parametrize(
    "change",
    [{"steps": 0}, {"warmup_steps": 13}, {"warmup_steps": -1}, {"decay_fraction": 1.5}, {"precision": "int4"},
     {"batch_tokens": 33}, {"batch_tokens": 0}],
)  # fmt: skip
def test_a_config_out_of_range_is_refused(change: dict[str, Any], tiny_config: RunConfig) -> None:
    with pytest.raises(SettingError, match=next(iter(change))):
        dataclasses.replace(tiny_config, **change)


@pytest.mark.parametrize(
    "change",
    [{"layers": 0}, {"width": -1}, {"kv_heads": 3}, {"head_width": 7}, {"width": 64.0}, {"vocabulary": "many"},
     {"layers": True}],
)  # fmt: skip
def test_a_shape_out_of_range_is_refused(change: dict[str, Any], tiny_shape: Shape) -> None:
    with pytest.raises(SettingError, match=next(iter(change))):
        dataclasses.replace(tiny_shape, **change)


@pytest.mark.parametrize("width", [16, 24, 32, 64, 96, 128, 512, 1024])
def test_a_recipe_gives_a_shape_of_the_width_asked_for(width: int) -> None:
    shape = Recipe().shape(width)
    assert shape.heads * shape.head_width == shape.width == width


@pytest.mark.parametrize("width", [1, 8, 17, 33, 101])
def test_a_recipe_says_which_widths_do(width: int) -> None:
    with pytest.raises(SettingError, match=f"width {width} does not split"):
        Recipe().shape(width)


def test_one_dial_makes_larger_models_with_no_higher_rates() -> None:
    configs = [Recipe().config(width, 600, 0) for width in (16, 24, 32, 48, 64, 96, 128, 256)]
    params = [config.shape.params for config in configs]
    assert params == sorted(set(params))
    for name in ("learning_rate", "embedding_learning_rate", "head_learning_rate"):
        rates = [getattr(config, name) for config in configs]
        assert rates == sorted(rates, reverse=True)


# Settings


@given(
    minutes=st.floats(3, 600),
    seed=st.integers(0, 2**31),
    text=st.lists(st.text(min_size=1, max_size=20), max_size=3),
    level=st.floats(0.5, 0.99),
    rows=st.integers(1, 64),
    language=st.sampled_from(["en", "zh"]),
)
def test_settings_come_back_from_toml(tmp_path_factory: Any, rows: int, text: list[str], **values: Any) -> None:
    folder = tmp_path_factory.mktemp("settings")
    settings = Settings(text=tuple(text), batch_tokens=256 * rows, context_length=256, **values)
    write_settings(folder, settings)
    assert read_settings(folder) == settings


def test_flags_stand_before_the_file_and_none_does_not(tmp_path: Path) -> None:
    write_settings(tmp_path, Settings(minutes=30, seed=5))
    assert read_settings(tmp_path, minutes=7, seed=None) == Settings(minutes=7, seed=5)
    assert read_settings(tmp_path / "nowhere") == Settings()


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("minuts = 4", ["chidu.toml", "'minuts'", "did you mean 'minutes'"]),
        ("minutes = 2", ["minutes", "3 to 600"]),
        ("minutes = nan", ["minutes"]),
        ("minutes = true", ["minutes"]),
        ("seed = 1.5", ["seed", "whole number"]),
        ("seed = -1", ["seed"]),
        ("vocabulary = 100", ["vocabulary", "512 to 65,536"]),
        ("vocabulary = 2048.5", ["vocabulary", "whole"]),
        ('vocabulary = "many"', ["vocabulary"]),
        ("context_length = 16", ["context_length"]),
        ("batch_tokens = 300", ["batch_tokens", "multiple"]),
        ("batch_tokens = 64", ["batch_tokens", "128"]),
        ("level = 90", ["level"]),
        ('language = "fr"', ["language", "'zh'"]),
        ('law = "cubic"', ["law", "coupled"]),
        ('text = "notes.txt"', ["text", "list"]),
        ("text = [1]", ["text", "list"]),
        ("text = 1", ["text", "list"]),
        ("seed = ", ["chidu.toml", "TOML"]),
    ],
)
def test_a_bad_setting_is_refused_in_words(toml: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "chidu.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(SettingError) as caught:
        read_settings(tmp_path)
    for word in words:
        assert word in str(caught.value)


def test_a_path_that_can_not_be_written_down_is_refused() -> None:
    with pytest.raises(SettingError, match="not UTF-8"):
        Settings(text=("bad\udcff.txt",))


def test_settings_that_are_not_utf8_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "chidu.toml").write_bytes('text = ["文"]'.encode("gb18030"))
    with pytest.raises(SettingError, match=r"chidu\.toml"):
        read_settings(tmp_path)


def test_a_whole_number_of_minutes_is_the_same_setting() -> None:
    assert repr(Settings(minutes=10)) == repr(Settings(minutes=10.0))


def test_few_minutes_are_a_tour_with_a_shorter_leap() -> None:
    assert Settings(minutes=3).is_tour
    assert not Settings(minutes=6).is_tour
    assert Settings(minutes=3).leap < Settings().leap


def test_any_dataclass_is_read_from_a_mapping() -> None:
    assert from_mapping(Settings, {"seed": 3}, "here").seed == 3
