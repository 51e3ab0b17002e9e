"""The applications judged: metrics against their libraries and by hand, verdicts, laws, what is kept, and bad pairs."""

from __future__ import annotations

import csv
import io
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chidu.apps.judging import APPS, asking, judge_apps, read_pairs
from chidu.apps.judging import judged as judging
from chidu.apps.judging.asking import Subject
from chidu.apps.judging.judged import AppsJudged, Score
from chidu.apps.judging.metrics import bleu, character_tokens, chrf, exact_and_f1, ranking_scores, rouge_l
from chidu.apps.judging.size_law import size_law
from chidu.errors import InputError, TextError, WorkFolderError
from chidu.runs import Ladder


def test_rouge_of_english_is_the_librarys_own() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    own = RougeScorer(["rougeL"], use_stemmer=True)
    texts = [one.text for one in read_pairs("summarize").texts if one.text.isascii()]
    for one, other in pairwise(texts):
        assert rouge_l(one, other) == pytest.approx(own.score(one, other)["rougeL"].fmeasure)


def test_rouge_of_chinese_goes_by_characters() -> None:
    assert character_tokens("用 Python3 读文件，2.5版") == ["用", "python3", "读", "文", "件", "2", "5", "版"]
    assert rouge_l("面包店周一关门", "面包店周一关门") == 1
    assert rouge_l("面包店周一关门", "面包店关门") == pytest.approx(2 * 5 / (7 + 5))
    assert rouge_l("面包店", "天气好") == 0


def test_translation_metrics_know_chinese() -> None:
    assert chrf(["走之前请关上窗户。"], ["走之前请关上窗户。"]) == pytest.approx(1)
    assert bleu(["走之前请关上窗户。"], ["走之前请关上窗户。"], "zh") == pytest.approx(1)
    assert bleu(["走之前请关上窗户。"], ["走之前请关上那扇窗户。"], "zh") > 0.3
    assert chrf(["a b"], ["zzz"]) == 0


def test_answers_are_scored_as_in_squad() -> None:
    assert exact_and_f1(["three days", "3 days"], "The three days.") == (1, 1)
    exact, f1 = exact_and_f1(["three days"], "in three days")
    assert (exact, f1) == (0, pytest.approx(0.8))
    assert exact_and_f1(["两天内"], "两天") == (0, pytest.approx(0.8))
    assert exact_and_f1([], "") == (1, 1)
    assert exact_and_f1([], "three") == exact_and_f1(["three"], "") == (0, 0)


def test_ranks_are_scored() -> None:
    found = ranking_scores(["b", "a", "c"], ["a"])
    assert found == {
        "mrr": 0.5, "hit_1": 0, "hit_5": 1, "ndcg_10": pytest.approx(1 / math.log2(3)),
    }  # fmt: skip
    assert set(ranking_scores(["b", "c"], ["a"]).values()) == {0}
    assert set(ranking_scores([], ["a"]).values()) == {0}


def test_the_packages_pairs_are_whole() -> None:
    for app in APPS:
        pairs = read_pairs(app)
        assert len(pairs) >= 20
    answers = read_pairs("answer")
    whole = "\n".join(one.text.casefold() for one in answers.documents)
    assert sum(not one.answers for one in answers.questions) == 20
    assert all(each.casefold() in whole for one in answers.questions for each in one.answers[:1])


LINES = {
    "summarize": {"text": "a b.", "summary": "a"},
    "translate": {"source": "a", "target": "b", "from": "en", "to": "zh"},
}


@pytest.mark.parametrize(
    ("app", "lines", "why"),
    [
        ("summarize", ["{"], "line 1 is no JSON"),
        ("summarize", ["[]"], "line 1 is no JSON object"),
        ("summarize", ["[" * 100_000], "line 1 is no JSON"),
        ("summarize", [LINES["summarize"]], "1 item; summarize needs 4"),
        ("summarize", [], "0 items"),
        ("summarize", [{"text": "a"}], "line 1: 'summary' must be a text"),
        ("summarize", [{"text": " ", "summary": "b"}], "line 1: 'text' must be a text"),
        ("translate", [{**LINES["translate"], "to": "klingon"}], "line 1: .*klingon"),
        ("translate", [{**LINES["translate"], "to": "en"}], "'from' and 'to' are both 'en'"),
        ("answer", [{"question": "who?", "answers": []}], "no line has a document"),
        ("answer", [{"who": 1}], "neither 'document' nor 'question'"),
        ("answer", [{"document": "a", "text": "b"}, {"document": "a", "text": "b"}], "line 2: there is a document 'a'"),
        ("answer", [{"document": "a", "text": "b"}, {"question": "c", "answers": "d"}], "line 2: 'answers' must be a"),
        ("search", [{"document": "a", "text": "b"}, {"question": "c", "documents": ["d"]}], "no document 'd'"),
        ("search", [{"document": "a", "text": "b"}, {"question": "c", "documents": []}], "'documents' is empty"),
    ],
)
def test_bad_pairs_are_named(app: str, lines: list[Any], why: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines), "utf-8")
    with pytest.raises(TextError, match=why):
        read_pairs(app, path)
    with pytest.raises(TextError, match="no file"):
        read_pairs(app, tmp_path)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Models by name: `right` says what is right, `wrong` nothing of it, `other` can't."""
    opened: dict[str, int] = {}

    def ask(pairs: Any, subject: Subject, _progress: Any, _kept: Any) -> list[dict[str, Any]]:
        if subject.name == "other":
            raise InputError("other can't do\nthat")
        is_right = subject.name == "right"
        return [{"said": one.summary if is_right else "zzz"} for one in pairs.texts]

    def open_it(name: str) -> Subject:
        opened[name] = opened.get(name, 0) + 1
        return Subject(name, 1_000)

    monkeypatch.setattr(judging, "asked", ask)
    monkeypatch.setattr(judging, "open_subject", open_it)
    return opened


def test_the_table_says_who_is_worse_than_the_baseline(planted: dict[str, int], tmp_path: Path) -> None:
    found = judge_apps(["right", "wrong", "other"], [read_pairs("summarize")], tmp_path)
    right, wrong = found.scores
    assert (right.score, wrong.score) == (1, 0)
    assert right.verdict == "better than the baseline"
    assert wrong.verdict == "worse than the baseline"
    assert 0.2 < (right.baseline or 0) < 0.5
    assert (right.low, right.high) == (1, 1)
    assert "other: not judged: other can't do that" in str(found)
    assert "worse than the baseline" in str(found)
    assert "cannot tell: 1 sizes of models" in str(found)
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    assert [row["model"] for row in rows] == ["right", "wrong"]
    json.dumps(found.as_dict(), allow_nan=False)


def test_what_was_asked_is_not_asked_again(planted: dict[str, int], tmp_path: Path) -> None:
    pairs = [read_pairs("summarize")]
    first = judge_apps(["right", "other"], pairs, tmp_path)
    again = judge_apps(["right", "other", "wrong"], pairs, tmp_path)
    assert again.scores[0] == first.scores[0]
    assert planted == {"right": 1, "other": 1, "wrong": 1}
    judge_apps(["right"], pairs, None)
    assert planted["right"] == 2
    for path in tmp_path.iterdir():
        path.write_text("{", "utf-8")
    with pytest.raises(WorkFolderError, match="delete it"):
        judge_apps(["right"], pairs, tmp_path)


def test_items_made_before_a_stop_are_not_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pairs = read_pairs("summarize")
    whole = judge_apps(["none"], [pairs], None)
    made: list[str] = []
    plain = asking.summarize

    def stopped_at_four(text: str, *given: Any, **named: Any) -> Any:
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(text)
        return plain(text, *given, **named)

    monkeypatch.setattr(asking, "summarize", stopped_at_four)
    with pytest.raises(KeyboardInterrupt):
        judge_apps(["none"], [pairs], tmp_path)
    (left,) = tmp_path.iterdir()
    # What a crash tears is made anew.
    left.write_bytes(left.read_bytes()[:-5])
    later: list[str] = []

    def counted(text: str, *given: Any, **named: Any) -> Any:
        later.append(text)
        return plain(text, *given, **named)

    monkeypatch.setattr(asking, "summarize", counted)
    assert judge_apps(["none"], [pairs], tmp_path) == whole
    assert later == [one.text for one in pairs.texts[3:]]
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def made_up(errors: dict[int, float], wide: float = 0.01, measure: str = "bits_per_byte") -> list[Score]:
    source = np.random.default_rng(1)
    return [
        Score(
            f"m{size}", size, "answer", measure, error, error - wide, error + wide, None, None, None, 60,
            tuple((error + source.normal(0, wide / 1.6, 100)).tolist()),
        )
        for size, error in errors.items()
    ]  # fmt: skip


SIZES = [30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000]


def test_a_planted_law_is_found_again() -> None:
    source = np.random.default_rng(0)
    errors = {size: (1 + 40 / size**0.4) * math.exp(source.normal(0, 0.003)) for size in SIZES}
    law = size_law("answer", "bits_per_byte", made_up(errors))
    assert law.told
    assert law.parameters["alpha"] == pytest.approx(0.4, abs=0.1)
    assert law.params == 1e8
    assert law.low <= 1 + 40 / 1e8**0.4 <= law.high
    assert "error = " in str(law)
    json.dumps(law.as_dict(), allow_nan=False)


def test_where_no_law_can_be_told_it_says_so() -> None:
    flat = {size: 0.8 + 0.01 * (number % 2) for number, size in enumerate(SIZES)}
    assert "the error falls by" in size_law("answer", "f1", made_up(flat, 0.05)).why
    few = dict.fromkeys(SIZES[:3], 0.5)
    assert "3 sizes of models" in size_law("answer", "f1", made_up(few)).why
    perfect = size_law("answer", "f1", made_up(dict.fromkeys(SIZES, 1.0), measure="f1"))
    assert "an error is 0" in perfect.why
    rising = {size: 0.5 + 0.01 * number for number, size in enumerate(SIZES)}
    assert not size_law("answer", "f1", made_up(rising)).told
    unknown = [Score("x", None, "answer", "f1", 0.5, 0.4, 0.6, None, None, None, 60, (0.5,))] * 5
    law = size_law("answer", "f1", unknown)
    assert not law.told
    json.dumps(law.as_dict(), allow_nan=False)


def test_the_table_is_one_that_fit_reads(tmp_path: Path) -> None:
    import chidu

    errors = {size: 1 + 40 / size**0.4 for size in SIZES}
    path = tmp_path / "scores.csv"
    path.write_text(AppsJudged(tuple(made_up(errors)), (), (), {}).csv(), "utf-8")
    fit = chidu.fit(Ladder.read(path, columns={"loss": "error"}), law="E + A / params**alpha", resamples=50)
    assert fit.parameters["alpha"] == pytest.approx(0.4, abs=0.05)


def test_a_model_of_ours_is_judged_at_all_four(saved: Path, tmp_path: Path) -> None:
    """A model that knows nothing, through every application, on pairs of its size."""
    held = list(enumerate(["tea", "ink", "oil", "salt"]))
    documents = [{"document": f"d{n}", "text": f"Box {n} holds {word}."} for n, word in held]
    questions = [
        {"question": f"What does box {n} hold?", "answers": [word], "documents": [f"d{n}"]} for n, word in held
    ]
    lines = {
        "summarize": [{"text": f"Box {n} is red. It is old.", "summary": f"Box {n} is red."} for n in range(4)],
        "translate": [{"source": f"box {n}", "target": f"箱{n}", "from": "en", "to": "zh"} for n in range(4)],
        "answer": [*documents, *questions],
        "search": [*documents, *questions],
    }
    pairs = []
    for app, rows in lines.items():
        path = tmp_path / f"{app}.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
        pairs.append(read_pairs(app, path))
    found = judge_apps([str(saved), "none"], pairs, tmp_path / "kept")
    assert {one.app for one in found.scores if one.model != "none"} == {"summarize", "answer", "search"}
    assert [(one.app, one.model) for one in found.refused] == [("translate", found.scores[0].model)]
    bits = [one for one in found.scores if one.measure == "bits_per_byte"]
    assert {one.app for one in bits} == {"summarize", "answer", "search"}
    assert all(one.score > 0 and one.params for one in bits)
    plain = [one for one in found.scores if one.model == "none" and one.app != "summarize"]
    assert {one.verdict for one in plain} == {"the same as the baseline"}
