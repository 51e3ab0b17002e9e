"""How the log-linear model goes with its context: the verdict where the truth is planted, and one small study whole."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chidu.errors import TableError, TextError
from chidu.model.loglinear import LogLinear
from chidu.model.transformer import Transformer
from chidu.runs.ladder import Ladder
from chidu.runs.recipe import Recipe
from chidu.runs.record import read_json
from chidu.runs.shape import Shape
from chidu.studies import STUDIES, Decision, bags, beside
from chidu.studies.average import distances
from chidu.studies.bags import distribution
from chidu.studies.beside import contexts, read_at
from chidu.studies.context import trend
from chidu.studies.crossed import crossed_of
from chidu.studies.study import Means
from chidu.tokens import pack, train_tokenizer
from chidu.training import probe
from chidu.training.rungs import Text
from in_process import Here

STUDY = STUDIES["context"]
WINDOWS = np.array([1.0, 4, 16, 64, 256, 1024])


def planted(source: np.random.Generator, kappa: float, seeds: int = 2, luck: float = 0.03) -> Ladder:
    rows = []
    for form, own in (("sum", kappa), ("mean", -0.2)):
        for seed in range(seeds):
            for read in WINDOWS:
                distance = 0.3 * (read / 32) ** own * math.exp(luck * source.standard_normal())
                rows.append((form, "full", read, read, seed, 5 - 0.1 * math.log10(read), 4.0, distance))
                rows.append(
                    (form, "full", 1.0, read, seed, 5 + 0.1 * math.log10(read), 4 / read, distance)
                ) if read > 1 else None
    for seed in range(2):
        for read in WINDOWS:
            lost = luck * source.standard_normal()
            rows.append(("transformer", "", 1024.0, read, seed, 5 - 0.3 * math.log10(read), 4.5, 0.4 * math.exp(lost)))
    names = ("model", "theta", "trained", "read", "seed", "loss", "entropy", "distance")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return Ladder({**columns, "params": [1e5] * len(rows)}, "context.csv")


def parts(kappa: float, count: int, **how: Any) -> tuple[float, float]:
    """How many of the studies hold, and how many fail."""
    source = np.random.default_rng(2)
    decades = np.log10(np.repeat(WINDOWS, 2))
    luck = how.get("luck", 0.03) / math.log(10)
    found = [trend(decades, kappa * decades + luck * source.standard_normal(12), STUDY.level) for _ in range(count)]
    low, high = np.array([each.low for each in found]), np.array([each.high for each in found])
    return float((low > 0).mean()), float((high < 0).mean())


def at_most(chance: float, count: int) -> float:
    return chance + 2.33 * float(np.sqrt(chance * (1 - chance) / count))


def test_at_the_threshold_a_verdict_is_wrong_in_five_of_a_hundred() -> None:
    assert max(parts(0.0, 300)) <= at_most(0.05, 300)


def test_an_effect_is_found() -> None:
    assert parts(0.03, 100)[0] >= 0.95
    assert parts(-0.03, 100)[1] >= 0.95


def test_the_verdict_tells_what_was_planted() -> None:
    verdict = STUDY.verdict(planted(np.random.default_rng(0), 0.15))
    assert verdict.verdict is Decision.HOLDS
    assert verdict.effect == pytest.approx(0.15, abs=0.03)
    laws = verdict.findings["laws"]
    assert laws["mean full"]["distance"]["value"] == pytest.approx(-0.2, abs=0.03)
    assert laws["sum full"]["loss"]["value"] == pytest.approx(-0.1, abs=1e-9)
    assert [each["read"] for each in verdict.findings["widened"]["sum"]] == WINDOWS.tolist()
    (of_size,) = verdict.findings["transformer_laws"]
    assert of_size["params"] == 1e5
    assert of_size["distance"]["value"] == pytest.approx(0, abs=0.05)
    assert [each["read"] for each in verdict.findings["transformer"]] == WINDOWS.tolist()
    assert verdict.findings["tasks"] is None
    assert "Its entropy is halved from 4 words on" in verdict.meaning
    assert str(verdict).startswith("context: holds: ")
    assert STUDY.verdict(planted(np.random.default_rng(0), -0.15)).verdict is Decision.FAILS


def test_what_can_not_be_judged_is_refused_in_a_line() -> None:
    table = planted(np.random.default_rng(0), 0.1)
    with pytest.raises(TableError, match=r"context\.csv: no column 'theta'"):
        STUDY.verdict(Ladder({n: c for n, c in table.columns.items() if n != "theta"}, "context.csv"))
    few = table.select(table.columns["read"] <= 16)
    with pytest.raises(TableError, match="6 models of the sum with a full θ, of 3 windows"):
        STUDY.verdict(few)


def questioned(source: np.random.Generator, slope: float, seeds: int = 2) -> Ladder:
    """Rows of tasks asked with text before them: two sizes, two tasks of 24 items, four amounts."""
    rows = []
    for params in (3e4, 3e5):
        for seed in range(seeds):
            luck = 0.05 * source.standard_normal()
            for item in range(48):
                own, prompt = slope + luck + 0.2 * source.standard_normal(), float(source.integers(10, 60))
                for before in (0.0, 64.0, 256.0, 896.0):
                    score = -1.4 + own * math.log10((before + prompt) / 100) + 0.2 * source.standard_normal()
                    rows.append(("asked", params, seed, f"task {item % 2}", item, before, before + prompt, score, 1.0))
    names = ("model", "params", "seed", "task", "item", "before", "read", "score", "right")
    return Ladder(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)), "asked.csv")


def test_a_context_that_hurts_is_found_and_one_that_does_not_is_rarely() -> None:
    source = np.random.default_rng(1)
    found = {slope: [crossed_of(questioned(source, slope), STUDY.level) for _ in range(25)] for slope in (0.0, -0.3)}
    highs = {slope: np.array([each.whole.high for each in many if each]) for slope, many in found.items()}
    assert len(highs[0.0]) == 25
    assert (highs[0.0] < 0).mean() <= at_most(0.05, 25)
    assert (highs[-0.3] < 0).mean() >= 0.95
    one = found[-0.3][0]
    assert one is not None
    assert [each.params for each in one.sizes] == [3e4, 3e5]
    assert one.whole.value == pytest.approx(-0.3, abs=0.15)
    assert [task for task, _ in one.tasks] == ["task 0", "task 1"]


@pytest.mark.verify
@pytest.mark.parametrize("slope", [0.0, -0.3])
def test_the_error_rates_of_tasks_crossed_with_context(slope: float) -> None:
    source = np.random.default_rng(3)
    found = [crossed_of(questioned(source, slope), STUDY.level) for _ in range(300)]
    highs, lows = (np.array([getattr(each.whole, side) for each in found if each]) for side in ("high", "low"))
    assert (lows > slope).mean() <= at_most(0.05, 300)
    assert (highs < slope).mean() <= at_most(0.05, 300)
    if slope:
        assert (highs < 0).mean() >= 0.95


def test_every_model_is_asked_everything() -> None:
    table = questioned(np.random.default_rng(0), 0.0)
    with pytest.raises(TableError, match=r"asked\.csv: 4 models, 48 items and 4 amounts .* are 768 rows, not 767"):
        crossed_of(table.select(np.arange(len(table) - 1)), STUDY.level)


def test_distances_are_jensen_shannon() -> None:
    chances = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]], dtype=torch.float64)
    found = distances(chances, torch.tensor([0.0, 1.0], dtype=torch.float64))
    by_hand = 0.5 * (0.25 * math.log(0.25 / 0.125) + 0.75 * math.log(0.75 / 0.875)) + 0.5 * math.log(1 / 0.875)
    assert found[0].item() == pytest.approx(math.sqrt(math.log(2)))
    assert found[2].item() == pytest.approx(math.sqrt(by_hand))
    assert distances(chances[1:2], chances[1]).item() == 0


def test_what_is_measured_is_the_last_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the model's own probabilities, written out."""
    monkeypatch.setattr(bags, "CONTEXTS_APART", 1)
    model = LogLinear(7, 2)
    with torch.no_grad():
        model.embedding.weight.normal_(generator=torch.Generator().manual_seed(0))
    sequences = np.random.default_rng(0).integers(7, size=(3, 9))
    found = distribution(model, sequences, 4)
    assert model.window == 2
    model.window = 4
    tokens = torch.from_numpy(sequences)
    chances = model.probabilities(tokens[:, :-1])[:, 4:].detach().double().reshape(-1, 7)
    targets = tokens[:, 5:].reshape(-1)
    assert found["loss"] == pytest.approx(-float(chances[range(12), targets].log().mean()), abs=1e-5)
    assert found["entropy"] == pytest.approx(-float((chances * chances.log()).sum(dim=1).mean()), abs=1e-5)
    assert found["distance"] == pytest.approx(float(distances(chances, chances.mean(dim=0)).mean()), abs=1e-5)
    assert float(chances.sum(dim=1).sub(1).abs().max()) < 1e-5


def test_a_transformer_is_given_the_last_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the model itself, one context at a time; the widest reads all that stands before."""
    monkeypatch.setattr(beside, "CONTEXTS", 9)
    model = Transformer(Shape(7, 12, 8, 2, 2, 2, 4, 12))
    model.initialise(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    sequences = np.random.default_rng(0).integers(7, size=(3, 13))
    chosen = contexts(3, 12)
    assert len(chosen) == 9
    assert all(6 <= place < 12 for _, place in chosen)
    for window in (1, 4, 12):
        chances, losses = [], []
        for sequence, place in chosen:
            first = 0 if window == 12 else place + 1 - window
            with torch.no_grad():
                own = model(torch.from_numpy(sequences[None, sequence, first : place + 1]))[0, -1].double().softmax(-1)
            chances.append(own)
            losses.append(-math.log(own[sequences[sequence, place + 1]]))
        stacked = torch.stack(chances)
        found = read_at(model, sequences, window)
        assert found["loss"] == pytest.approx(np.mean(losses), abs=1e-5)
        assert found["entropy"] == pytest.approx(-float((stacked * stacked.log()).sum(dim=1).mean()), abs=1e-5)
        assert found["distance"] == pytest.approx(float(distances(stacked, stacked.mean(dim=0)).mean()), abs=1e-5)


@pytest.fixture(scope="module", autouse=True)
def _shrunk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bags, "WINDOWS", (1, 2, 4, 8))
        patch.setattr(bags, "LENGTH", 32)
        patch.setattr(bags, "RANK", 4)
        patch.setattr(bags, "LEAST_STEPS", 4)
        patch.setattr(bags, "_seconds_a_step", lambda runs, emit: [0.1, 0.05])
        patch.setattr(probe, "measure_apart", lambda configs, place, at_once: (0.01,) * len(configs))
        patch.setattr(bags, "WIDTHS", (12, 16))
        for name, value in {
            "CONTEXTS": 16,
            "LEAST_ITEMS": 2,
            "ITEMS": 4,
            "BEFORE": (0, 4, 8),
            "LONGEST": 24,
            "TEXTS": 2,
        }.items():
            patch.setattr(beside, name, value)
        yield


@pytest.fixture(scope="module")
def means(saved: Path, text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Means:
    folder = tmp_path_factory.mktemp("context")
    texts = [path.read_text("utf-8") for path in sorted(text_folder.iterdir())[:2]]
    for name, text in zip(("train", "held_out"), texts, strict=True):
        (folder / f"{name}.jsonl").write_text(json.dumps({"text": text}) + "\n", "utf-8")
    train_tokenizer(folder / "train.jsonl", folder / "tokenizer.json", 300)
    for name in ("train", "held_out"):
        pack(folder / "tokenizer.json", folder / f"{name}.jsonl", folder / f"{name}.bin", 1)
    text = Text(folder / "train.bin", folder / "held_out.bin", 128)
    return Means(
        folder / "runs", text, "text", 300, (Recipe(300, 32, 32),), 100_000, folder, 120.0, 0, Here(1),  # type: ignore[arg-type]
        lambda _fraction, _words: None,
    )  # fmt: skip


def test_a_small_study_from_plan_to_verdict(means: Means) -> None:
    own = STUDY.own_runs
    assert own is not None
    plan = own.plan(means)
    assert 0 < plan["seconds"] <= means.seconds
    assert plan["words"].startswith("32 log-linear models (2 seeds of windows 1, 2, 4, 8")
    plan["steps"] = 4
    table = own.make(means, plan)
    verdict = STUDY.verdict(table)
    assert verdict.runs == 32
    kinds = {row["model"] for row in verdict.rows}
    assert kinds >= {"sum full", "sum low", "mean full", "mean low"}
    assert len(kinds) == 4 + 2
    assert [len(each) for each in verdict.findings["points"].values()] == [4] * 4
    assert len(verdict.findings["transformer"]) == 2 * 4
    crossed = verdict.findings["tasks"]
    assert [each["before"] for each in crossed["sizes"][0]["points"]] == [0, 4, 8]
    assert {each["task"] for each in crossed["tasks"]} == {
        "copying",
        "induction",
        "brackets",
        "carries",
        "english",
        "chinese",
    }
    assert len(list(means.folder.glob("beside-*/beside.json"))) == 2 * 2
    at_one = [row for row in verdict.rows if row["read"] == 1 and row["model"] in ("sum full", "mean full")]
    assert at_one[0]["loss"] == pytest.approx(at_one[1]["loss"], abs=1e-6)  # one word: one model
    before = {path: path.stat().st_mtime_ns for path in means.folder.glob("*/bag.json")}
    assert len(before) == 32
    assert STUDY.verdict(own.make(means, plan)) == verdict
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(read_json(next(iter(before)))["curve"]) > 0


def test_too_little_time_says_how_much_is_needed(means: Means) -> None:
    own = STUDY.own_runs
    assert own is not None
    with pytest.raises(TextError, match=r"0\.1 minutes are too few for 4 steps of every model, which need about \d"):
        own.plan(replace(means, seconds=6.0))
