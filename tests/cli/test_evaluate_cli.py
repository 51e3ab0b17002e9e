"""`chidu evaluate` and `chidu summarize --model`: what is printed, kept, and refused in one line."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chidu.inference
from chidu.cli import summarize as verb
from chidu.evaluation import bias
from chidu.inference import Piece

Call = Any

LINES = [
    {"document": "a", "text": "The boat leaves at nine."},
    {"document": "b", "text": "Bread is baked at noon."},
    *({"question": one, "documents": [right]} for one, right in (
        ("When does the boat leave?", "a"), ("When is bread baked?", "b"), ("What leaves at nine?", "a"),
        ("What is baked?", "b"),
    )),
]  # fmt: skip


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES), "utf-8")
    return path


def test_applications_are_judged_with_a_model_of_ones_own(call: Call, pairs: Path, saved: Path, tmp_path: Path) -> None:
    words = ("--apps", "--app", "search", "--pairs", pairs, "--models", "none", saved, "--output", "scores.csv")
    told = call("evaluate", *words)
    assert told.code == 0
    assert told.out.startswith("search: 4 items of ")
    assert "the same as the baseline" in told.out
    with (tmp_path / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["measure"] for row in rows} == {"mrr", "hit_1", "hit_5", "ndcg_10", "bits_per_byte"}
    assert len(list((tmp_path / "chidu-work" / "evaluation").iterdir())) == 2
    again = call("evaluate", *words, "--json")
    document = json.loads(again.out)
    assert len(document["scores"]) == len(rows)
    assert document["laws"][0]["told"] is False


def test_a_model_is_measured(call: Call, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = tuple(one for one in bias.templates() if one.kind in (bias.CONTROL, "age"))[::2]
    monkeypatch.setattr(bias, "templates", lambda: few)
    (tmp_path / "own.txt").write_text("the first of them went away and came back.\n" * 5, "utf-8")
    shutil.copytree(saved, tmp_path / "mine")
    told = call("evaluate", "mine", "--text", "own.txt", "--items", "8")
    assert told.code == 0
    for words in ("mine: ", "own.txt", "copying", "control", "What the leans cannot tell:"):
        assert words in told.out
    document = json.loads(call("evaluate", "mine", "--text", "own.txt", "--items", "8", "--json").out)
    assert [one["name"] for one in document["texts"]] == ["own.txt"]
    assert len(document["bias"]) == 4


def test_wrong_input_is_one_line(call: Call, pairs: Path, saved: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": 1}\n', "utf-8")
    for words, why in (
        (["--apps", "--models", "none", "--app", "talk"], "--app talk: no such application"),
        (["--apps", "--models", "none", "--pairs", pairs], "name it with --app"),
        (["--apps", "--models", "none", "--app", "search", "--output", "."], "--output: . is a folder"),
        (
            ["--apps", "--models", "none", "--app", "answer", "--pairs", bad, "--output", bad],
            f"--output is the text itself, {bad}: name another file",
        ),
        (
            ["--apps", "--models", "none", "--app", "answer", "--pairs", bad],
            "bad.jsonl, line 1: 'answers' must be",
        ),
        (["--apps", "--models", "./nothing", "--app", "search"], "./nothing: no such model"),
        (["--apps", "--text", bad, "--models", "none"], "--text is for the evaluation of one model"),
        (["a", "b"], "2 models are named"),
        (["none", "--output", "x.csv"], "--output is for the applications"),
        ([saved, "--text", tmp_path / "none.txt"], "none.txt is no file"),
    ):
        assert why in call("evaluate", *words).complaint
    assert bad.read_text("utf-8") == '{"question": 1}\n'
    assert call("evaluate", saved, "--items", "2").code == 2
    assert not (tmp_path / "chidu-work").exists()


def test_a_written_summary_is_kept_until_its_output_is_there(
    call: Call, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "long.md").write_text("# One\n\n" + "The boat is red. It is old.\n\n" * 6, "utf-8")
    words = ("summarize", "long.md", "--model", saved, "--output", "short.md", "--sentences", 3)
    with monkeypatch.context() as patch:
        patch.setattr(verb, "_document", None)
        # Killed before the output is there: what was written is beside it.
        with pytest.raises(TypeError):
            call(*words, "--json")
    assert (tmp_path / "short.md.part").read_bytes().count(b"\n") > 0
    told = call(*words)
    assert told.code == 0
    assert "1 part in short.md.part: going on behind them" in told.err
    assert "kept from before" in told.err
    assert not (tmp_path / "short.md.part").exists()
    assert (tmp_path / "short.md").read_text("utf-8").startswith("# One\n")
    document = json.loads(call("summarize", "long.md", "--model", saved, "--json").out)
    assert document["model"] == str(saved)
    assert set(document["summaries"][0]["sentences"][0]) == {"text", "first_line", "last_line", "headings", "borne_out"}
    assert "give it or --model" in call("summarize", "long.md", "--model", saved, "--embedder", "e5").complaint
    assert "no such model" in call("summarize", "long.md", "--model", "./nothing").complaint


def test_without_a_model_the_flag_is_named_as_it_is(call: Call) -> None:
    assert "or name one with --models (see chidu models)" in call("evaluate").complaint
    Path("empty").mkdir()
    for words in (["evaluate", "--work", "empty"], ["evaluate", "--apps", "--work", "empty"]):
        assert "--model " not in call(*words).complaint


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("flags", "is_kept"), [(["--output", "short.md"], True), (["--output=short.md"], True), ([], False)]
)
def test_who_stops_a_written_summary_is_told_whether_it_goes_on(
    call: Call, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int, flags: list[str], is_kept: bool
) -> None:
    class Stopped:
        name, context_length, asked = "stopped", 64, 0

        def write(self, *_: object) -> Iterator[Piece]:
            self.asked += 1
            if self.asked == 2:
                signal.raise_signal(number)
            return iter([Piece("The boat is red.", "stop")])

    monkeypatch.setattr(chidu.inference, "open_engine", lambda _name: Stopped())
    Path("long.md").write_text("".join(f"The boat {number} is red.\n\n" for number in range(20)), "utf-8")
    before = signal.getsignal(signal.SIGINT)
    try:
        told = call("summarize", "long.md", "--model=m", *flags)
    finally:
        # Once stopped, the program heeds Ctrl-C no more.
        signal.signal(signal.SIGINT, before)
    hint = "; run the same command again to go on from here" if is_kept else ""
    assert (told.code, told.err.splitlines()[-1]) == (code, f"chidu: interrupted{hint}")
    assert Path("short.md.part").exists() == is_kept
