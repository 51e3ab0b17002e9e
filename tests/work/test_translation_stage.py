"""`chidu train --pairs`, from pairs to a model that translates them back, both ways."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chidu.apps import translate
from chidu.errors import SettingError
from chidu.inference import open_engine
from chidu.training import pairs as training
from chidu.training.pairs import PairDesign
from chidu.work.translation import PairSettings, train_translation

THINGS = {"house": "房子", "book": "书", "car": "汽车", "tree": "树", "door": "门"}
COLOURS = {"red": "红", "blue": "蓝", "green": "绿", "old": "旧"}
SENTENCES = [
    (f"This is the {colour} {thing}.", f"这是那{other}色的{same}。")
    for colour, other in COLOURS.items()
    for thing, same in THINGS.items()
]


class Silent:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, stage: str, fraction: float, words: str, seconds: float | None) -> None:
        assert 0 <= fraction <= 1


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder in which twenty pairs were learned by heart."""
    folder = tmp_path_factory.mktemp("taught")
    lines = [json.dumps({"en": english, "zh": chinese}, ensure_ascii=False) for english, chinese in SENTENCES]
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "design_pairs", design)
        train_translation(folder / "work", settings(folder), Silent())
    return folder


def settings(folder: Path) -> PairSettings:
    return PairSettings((str(folder / "pairs.jsonl"),), minutes=1, params=70_000)


def design(recipe: Any, seconds: float, params: int, seed: int) -> PairDesign:
    """What a minute's timing would choose, whatever else is at work: 150 steps."""
    config = replace(recipe, batch_tokens=1024).config(32, 150, seed)
    return PairDesign(replace(config, warmup_steps=10), processes=1, threads=1, seconds=60.0)


def test_what_was_learned_by_heart_comes_back_both_ways(taught: Path) -> None:
    record = json.loads((taught / "work/translation/pairs/record.json").read_text())["result"]
    assert (record["languages"], record["pairs"], record["held_out"]) == (["en", "zh"], 19, 1)
    held_out = json.loads((taught / "work/translation/pairs/held_out.jsonl").read_text())
    learned = [pair for pair in SENTENCES if pair[0] != held_out["en"]]
    engine = open_engine(str(taught / "work/translation/model"))
    english, chinese = ("\n\n".join(sentences) for sentences in zip(*learned, strict=True))
    there = translate(english, source="en", target="zh", engine=engine)
    back = translate(chinese, target="en", engine=engine)
    assert [pair.translation for pair in there.pairs] == [other for _, other in learned]
    assert [pair.translation for pair in back.pairs] == [one for one, _ in learned]


def test_a_second_call_finds_all_there(taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "design_pairs", design)
    voice = Silent()
    found = train_translation(taught / "work", settings(taught), voice)
    stages = ("pairs", "tokens", "design", "target", "model")
    assert [line for line in voice.said if "nothing to do" in line] == [f"{stage}: nothing to do" for stage in stages]
    assert found["languages"] == ["en", "zh"]
    assert 0 < found["loss"] < 5


def test_transformers_opens_what_was_taught(taught: Path) -> None:
    model = taught / "work/translation/model"
    assert json.loads((model / "record.json").read_text())["result"]["logit_difference"] < 1e-2
    assert json.loads((model / "translation.json").read_text()) == {"languages": ["en", "zh"], "chidu_translation": 1}
    assert "does not record" not in (model / "README.md").read_text()


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"minutes": 0.01}, "minutes is 0.01"),
        ({"params": 0}, "params is 0"),
        ({"vocabulary": 0}, "vocabulary is 0"),
        ({"params": 10}, "params is 10"),
        ({"vocabulary": 5}, "vocabulary is 5"),
    ],
)
def test_settings_out_of_range_are_named(told: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingError, match=why):
        PairSettings(("a.jsonl",), **told)
