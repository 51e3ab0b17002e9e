"""The small tasks: that their answers are right, and that scores are a model's own log-probabilities."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from chidu.evaluation.contamination import found_in_text
from chidu.evaluation.pairs import CHINESE, ENGLISH, article, chinese_pairs, english_pairs
from chidu.evaluation.scoring import Asked, ask, score_items
from chidu.evaluation.tasks import TASKS, Item, make_items
from chidu.inference.own import OwnEngine
from in_process import Here

LINES = [
    f"The {noun} stood behind the old {place} for many years before {who} came and opened a small {last}. And more."
    for noun, place, who, last in zip(
        ("house", "tower", "garden", "school", "office", "station"),
        ("river", "bridge", "market", "castle", "forest", "harbour"),
        ("somebody", "a farmer", "the king", "a teacher", "the mayor", "a singer"),
        ("window", "bakery", "museum", "letter", "engine", "theatre"),
        strict=True,
    )
]


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    path = tmp_path_factory.mktemp("text") / "held_out.jsonl"
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in LINES), "utf-8")
    return make_items(30, 1, path)


def of(items: list[Item], task: str) -> list[Item]:
    return [item for item in items if item.task == task]


def test_each_task_has_its_items_and_the_seed_fixes_them(items: list[Item], tmp_path: Path) -> None:
    counts = Counter(item.task for item in items)
    assert set(counts) == set(TASKS)
    assert counts.pop("cloze") == len(LINES)
    assert set(counts.values()) == {30}
    for item in items:
        assert len(set(item.choices)) == len(item.choices) >= 2
    path = tmp_path / "held_out.jsonl"
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in LINES), "utf-8")
    assert make_items(30, 1, path) == items
    assert make_items(30, 2, path) != items


def test_the_answers_are_right(items: list[Item]) -> None:
    for item in of(items, "copying"):
        first, second = (line.split() for line in item.prompt.split("\n"))
        assert [*second, item.choices[0].strip()] == first[: len(second) + 1]
    for item in of(items, "induction"):
        words = item.prompt.split()
        assert words.count(words[-1]) == 2
        assert words[words.index(words[-1]) + 1] == item.choices[0].strip()
        assert all(choice.strip() in words for choice in item.choices)
    closing = {"(": ")", "[": "]", "{": "}"}
    for item in of(items, "brackets"):
        still: list[str] = []
        for sign in item.prompt.split():
            if sign in closing:
                still.append(closing[sign])
            elif sign in closing.values():
                assert still.pop() == sign
        assert still[-1] == item.choices[0].strip()
    for item in of(items, "cloze"):
        assert any(item.prompt + item.choices[0] in line for line in LINES)


def test_sums_carry_only_where_they_are_asked(items: list[Item]) -> None:
    for item in of(items, "carries"):
        *shown, asked = item.prompt.split("\n")
        for line in shown:
            first, second = (int(number) for number in line.split("=")[0].split("+"))
            assert first + second == int(line.split("=")[1])
            assert first % 10 + second % 10 < 10
        first, second = (int(number) for number in asked.rstrip("=").split("+"))
        assert first % 10 + second % 10 >= 10
        assert int(item.choices[0]) == first + second < 100


def test_pairs_differ_in_one_place_and_every_kind_is_there() -> None:
    for kinds, pairs in ((ENGLISH, english_pairs), (CHINESE, chinese_pairs)):
        found = pairs(48, random.Random(0))
        assert len(set(found)) == 48
        for right, wrong in found:
            assert right != wrong
            assert abs(len(right) - len(wrong)) <= 5
        for kind in kinds:
            assert kind(random.Random(1)) == kind(random.Random(1))
    articles = {article(random.Random(seed)) for seed in range(300)}
    assert {
        ("This is an old list.", "This is a old list."),
        ("This is a new list.", "This is an new list."),
    } <= articles


def test_scores_are_what_the_engine_says(saved: Path, items: list[Item]) -> None:
    """Against the engine's own log-probabilities of prompt and answer, one sequence at a time."""
    engine = OwnEngine(saved)
    chosen = [item for task in TASKS for item in of(items, task)[:3]]
    asked = ask(chosen, engine.tokenizer, engine.context_length)
    found = score_items(engine.model, asked)
    for item, told, ways in zip(chosen, asked, found.tolist(), strict=True):
        whole = [likelihood(engine, tokens, own) for tokens, own in told.answers]
        if item.prompt:
            others = [
                [likelihood(engine, (*before, *tokens[-own:]), own) for tokens, own in told.answers]
                for before in told.premises
            ]
            assert len(others) == 2
            weighed = [one - sum(each) / 2 for one, each in zip(whole, zip(*others, strict=True), strict=True)]
        else:
            weighed = [one / own for one, (_, own) in zip(whole, told.answers, strict=True)]
        for (score, right), sums in zip(ways, (weighed, whole), strict=True):
            assert score == pytest.approx(sums[0] - math.log(sum(math.exp(each) for each in sums)), abs=1e-4)
            best, second = sorted(sums, reverse=True)[:2]
            assert right == float(sums[0] == best) or best - second < 1e-4


def test_premises_are_other_prompts_of_the_task(saved: Path, items: list[Item]) -> None:
    tokenizer = OwnEngine(saved).tokenizer
    chosen = of(items, "copying")[:3]
    asked = ask(chosen, tokenizer, 200)
    whole = [(0, *tokenizer.encode(item.prompt).ids) for item in chosen]
    assert [each.premises for each in asked] == [(whole[1], whole[2]), (whole[2], whole[0]), (whole[0], whole[1])]
    assert ask(chosen[:1], tokenizer, 200)[0].premises == ((0,),)
    assert ask(of(items, "english")[:3], tokenizer, 200)[0].premises == ()


def likelihood(engine: OwnEngine, tokens: Sequence[int], own: int) -> float:
    """Of the last tokens, one sequence at a time."""
    logits = engine.model(torch.tensor([tokens[:-1]]))[0].detach().double().log_softmax(dim=-1)
    return sum(float(logits[i - 1, tokens[i]]) for i in range(len(tokens) - own, len(tokens)))


def test_an_answers_own_likelihood_is_taken_off(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a word is likely of itself, whatever stands before it, moves the whole comparison alone."""
    engine = OwnEngine(saved)
    item = Asked((((0, 30, 40, 50), 1), ((0, 30, 40, 60), 1)), ((0, 70, 80),))
    before = score_items(engine.model, [item])[0]
    plain, likely = engine.model.head.forward, 0.1 * (torch.arange(engine.model.shape.vocabulary) == 50)
    monkeypatch.setattr(engine.model.head, "forward", lambda x: plain(x) + likely)
    after = score_items(engine.model, [item])[0]
    assert after[1, 0] > before[1, 0] + 0.01
    assert after[0, 0] == pytest.approx(before[0, 0], abs=0.002)


def test_what_stands_before_all_items_is_read_once(saved: Path, items: list[Item]) -> None:
    engine = OwnEngine(saved)
    before = [5, 9, 3, 7, 7]
    asked = ask([of(items, task)[0] for task in TASKS], engine.tokenizer, engine.context_length - 5)
    found = score_items(engine.model, asked, before)
    for item, ways in zip(asked, found.tolist(), strict=True):
        whole = [likelihood(engine, (*before, *tokens), own) for tokens, own in item.answers]
        assert ways[1][0] == pytest.approx(whole[0] - math.log(sum(math.exp(each) for each in whole)), abs=1e-4)


def test_a_model_that_knows_nothing_scores_by_chance(saved: Path, items: list[Item]) -> None:
    engine = OwnEngine(saved)
    with torch.no_grad():
        engine.model.head.weight.zero_()
    asked = ask([Item("", "the", ("a", "b", "c", "d"))], engine.tokenizer, 48)
    scores = score_items(engine.model, asked)
    np.testing.assert_allclose(scores[0, 0, 0], math.log(1 / 4), atol=1e-6)
    # Compared as they are, answers of more tokens lose.
    assert len({own for _, own in asked[0].answers}) > 1 or scores[0, 1, 0] == scores[0, 0, 0]


def test_long_prompts_lose_their_beginning(saved: Path) -> None:
    tokenizer = OwnEngine(saved).tokenizer
    item = Item("", "word " * 200 + "end", (" of", " if"))
    for tokens, own in ask([item], tokenizer, 48)[0].answers:
        assert len(tokens) == 49
        assert list(tokens[-own:]) in (tokenizer.encode(" of").ids, tokenizer.encode(" if").ids)


@pytest.mark.parametrize("chunk", [8_000_000, 64])
def test_what_the_text_holds_is_found(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from chidu.evaluation import contamination

    monkeypatch.setattr(contamination, "CHUNK_BYTES", chunk)
    path = tmp_path / "train.jsonl"
    texts = ['a house\nwith two "doors"', "我把书看完了。", *LINES]
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), "utf-8")
    asked = ['house\nwith two "d', "我把书看完了。", LINES[3][20:68], "我把看完了书。", "not there"]
    assert found_in_text(asked, path, Here(1)) == set(asked[:3])  # type: ignore[arg-type]
