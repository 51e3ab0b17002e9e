"""`chidu study all` over a work folder: minutes divided, runs shared, refusals named; a cut changes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from test_study_stage import shrink

import chidu.studies
from chidu.errors import StoppedError, TextError
from chidu.runs import Ladder
from chidu.runs.folder import open_work_folder
from chidu.runs.live import LiveRecord
from chidu.runs.record import read_json
from chidu.runs.settings import read_settings, write_settings
from chidu.studies import STUDIES, Study, cost, limits, published, seeds
from chidu.studies.seeds import SeedsPlan
from chidu.studies.study import Means, OwnRuns, Seeds
from chidu.work.paper import Outcome, Paper, divide, judge_table, preview_all, study_all, write_page
from chidu.work.results import study_parts, write_live_page
from chidu.work.study import POOL
from chidu.work.watching import read_picture
from in_process import Here

MINUTES = 6.0


class Cut(BaseException):
    """As Ctrl-C ends it."""


def small(**more: OwnRuns) -> dict[str, Study]:
    """Four of the studies, small; `context` makes runs of its own as it is told. `structure` does the like, and
    `stability` asks models as `limits` does: their own tests make their runs."""
    return {
        "self-averaging": replace(STUDIES["self-averaging"], seeds=Seeds(5, 5, 5)),
        "limits": replace(STUDIES["limits"], seeds=Seeds(2, 2, 2), measure_seconds=0.0),
        "context": replace(STUDIES["context"], **more),
        "cost": STUDIES["cost"],
    }


def make_small(change: Any) -> None:
    """Make every length, and every number of refits, tiny."""
    shrink(change)
    change(seeds, "LENGTHS", (1, 2))
    change(limits, "ITEMS", 8)
    change(published, "RESAMPLES", 20)
    change(cost, "RESAMPLES", 20)


def plan(_: Means) -> dict[str, Any]:
    return {"seconds": 1.0, "words": "a few runs"}


def refuse(*_: Any) -> Any:
    raise TextError("0.1 minutes are too few for 80 steps of every model")


def cut(*_: Any) -> Any:
    raise Cut


@pytest.fixture(autouse=True)
def _shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch.setattr)
    monkeypatch.setattr(chidu.studies, "STUDIES", small(own_runs=OwnRuns(refuse, refuse)))


def all_of(folder: Path, minutes: float = MINUTES) -> tuple[Paper, list[str]]:
    voice, settings = tiny.Lines(), read_settings(folder)
    with open_work_folder(folder):
        write_settings(folder, settings)
        return study_all(folder, settings, voice, minutes, settings.seed, Here()), voice.said


@pytest.fixture(scope="module")
def made(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Paper, list[str], list[str]]:
    """A work folder with all studies, the first time cut where `context` would begin; and what was said both times."""
    folder = tmp_path_factory.mktemp("all") / "work"
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch.setattr)
        tiny.undertake(folder, text_folder, "tokens")
        patch.setattr(chidu.studies, "STUDIES", small(own_runs=OwnRuns(plan, cut)))
        said: list[str] = []
        patch.setattr(tiny.Lines, "say", lambda _, text: said.append(text))
        with pytest.raises(Cut):
            all_of(folder)
        first = list(said)
        said.clear()
        patch.setattr(chidu.studies, "STUDIES", small(own_runs=OwnRuns(refuse, refuse)))
        paper, _ = all_of(folder)
    return folder, paper, first, said


def outcome(paper: Paper, name: str) -> Outcome:
    return next(each for each in paper.outcomes if each.name == name)


def test_the_division_is_said_before_any_run(made: tuple[Path, Paper, list[str], list[str]]) -> None:
    folder, _, first, second = made
    shares = read_json(folder / "studies/all/division.json")["shares"]
    line = next(line for line in first if line.startswith("minutes"))
    assert first.index(line) < first.index("self-averaging: started")
    assert line == next(other for other in second if other.startswith("minutes"))
    assert sum(shares.values()) == pytest.approx(MINUTES, abs=0.6)
    assert any(said.startswith("limits: claim      the larger the model") for said in second)


def test_a_cut_goes_on_and_repeats_nothing(made: tuple[Path, Paper, list[str], list[str]]) -> None:
    _, _, first, second = made
    assert "self-averaging: started" in first
    assert "all: going on; what is finished is not made again" in second
    assert "self-averaging: nothing to do" in second
    assert "limits: started" in second


def test_limits_asks_the_models_that_were_trained_before(made: tuple[Path, Paper, list[str], list[str]]) -> None:
    folder, paper, _, second = made
    runs = len(list((folder / POOL).glob("*/run.json")))
    assert paper.runs == runs == len(read_json(folder / "studies/self-averaging/plan.json")["rungs"])
    assert len(list((folder / POOL).glob("*/weights.safetensors"))) == runs
    assert "limits: 20 of 20 runs are there already" in second
    assert outcome(paper, "limits").verdict is not None


def test_a_study_that_can_not_run_is_listed_with_its_reason(made: tuple[Path, Paper, list[str], list[str]]) -> None:
    folder, paper, _, second = made
    refused = outcome(paper, "context")
    assert refused.verdict is None
    assert refused.reason == "0.1 minutes are too few for 80 steps of every model"
    assert f"context: {refused.reason}" in second
    assert [each.name for each in paper.outcomes] == ["self-averaging", "context", "limits", "cost"]
    assert outcome(paper, "cost").verdict is not None  # of the runs of self-averaging: there is no ladder
    assert read_json(folder / "studies/all/published.json")["runs"] == paper.runs
    write_page(paper, folder / "page.html", "zh")
    html = (folder / "page.html").read_text(encoding="utf-8")
    assert refused.reason in html
    assert "<title>规模对这份文本做了什么</title>" in html


def test_a_study_made_before_in_more_minutes_is_kept(
    made: tuple[Path, Paper, list[str], list[str]], tmp_path: Path
) -> None:
    shutil.copytree(made[0], tmp_path / "work")
    shutil.rmtree(tmp_path / "work/studies/all")
    paper, said = all_of(tmp_path / "work", 3.0)
    assert any(line.startswith("self-averaging: kept; it was made before, in ") for line in said)
    assert outcome(paper, "self-averaging").verdict == outcome(made[1], "self-averaging").verdict


def test_what_it_would_cost(made: tuple[Path, Paper, list[str], list[str]]) -> None:
    folder = made[0]
    before = sorted(folder.rglob("*"))
    stages, words = preview_all(folder, read_settings(folder), MINUTES, 0, Here())
    assert words["self-averaging"] == words["cost"] == "done already"
    assert words["context"] == "none: 0.1 minutes are too few for 80 steps of every model"
    assert stages["self-averaging"] == 0
    assert stages["context"] > 0
    assert sorted(folder.rglob("*")) == before


def test_an_interrupt_is_no_refusal(
    made: tuple[Path, Paper, list[str], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stopped(*_: Any) -> Any:
        raise StoppedError("asked to stop")

    shutil.copytree(made[0], tmp_path / "work")
    monkeypatch.setattr(
        chidu.studies, "STUDIES", {"context": replace(STUDIES["context"], own_runs=OwnRuns(plan, stopped))}
    )
    with pytest.raises(StoppedError):
        all_of(tmp_path / "work")


def test_the_folders_report_finds_them(made: tuple[Path, Paper, list[str], list[str]]) -> None:
    parts = study_parts(made[0])
    assert [part.name for part in parts] == ["self-averaging", "limits", "cost"]
    assert all(part.verdict is not None and part.minutes is not None for part in parts)


def test_watching_sees_which_study_and_how_far(made: tuple[Path, Paper, list[str], list[str]], tmp_path: Path) -> None:
    shutil.copytree(made[0], tmp_path / "work")
    folder = tmp_path / "work"
    rungs = read_json(folder / "studies/self-averaging/plan.json")["rungs"]
    shutil.rmtree(folder / POOL / rungs[0]["name"])
    division = read_json(folder / "studies/all/division.json")
    (folder / "studies/all/division.json").write_text(json.dumps({**division, "finished": False}), "utf-8")
    with LiveRecord.open(folder, print) as live:
        live.stage("self-averaging", 0.5, "training w0012", 100.0)
        live._write()
        picture = read_picture(folder)
        write_live_page(folder, picture, tmp_path / "live.html", 10, "zh")
    assert picture.state == "at work"
    assert picture.study is not None
    assert (
        str(picture.study)
        == f"study self-averaging (1 of 4) · {len(rungs) - 1} of {len(rungs)} runs done · training w0012"
    )
    assert picture.seconds_left is not None
    assert picture.as_dict()["study"]["done"] == len(rungs) - 1
    html = (tmp_path / "live.html").read_text(encoding="utf-8")
    assert f"“自平均”研究：{len(rungs)} 次训练已完成 {len(rungs) - 1} 次。" in html
    assert "这是 4 项研究中的第 1 项。" in html
    after = read_picture(folder)
    assert (after.state, after.go_on) == ("finished", "")


def test_the_verb_ends_with_verdicts_and_page(
    made: tuple[Path, Paper, list[str], list[str]], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chidu import cli

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["chidu", "study", "all", "--work", str(made[0]), *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capfd.readouterr().out

    found = json.loads(call("--minutes", f"{MINUTES:g}", "--json"))
    assert list(found)[-2:] == ["verdicts", "page"]
    assert found["page"] == str((made[0] / "studies/all/page.html").resolve())
    assert Path(found["page"]).exists()
    told = {each["study"]: each for each in found["verdicts"]}
    assert told["limits"]["verdict"] in ("holds", "fails", "undecided")
    assert told["context"]["verdict"] is None
    assert told["context"]["reason"]


def test_before_any_run_the_plan_is_told_that_will_be_made(
    made: tuple[Path, Paper, list[str], list[str]], tmp_path: Path
) -> None:
    plans = {
        name: str(SeedsPlan.from_dict(read_json(made[0] / "studies" / name / "plan.json")))
        for name in ("self-averaging", "limits")
    }
    shutil.copytree(made[0], tmp_path / "work")
    shutil.rmtree(tmp_path / "work" / "studies")
    _, words = preview_all(tmp_path / "work", read_settings(tmp_path / "work"), MINUTES, 0, Here())
    assert {name: words[name] for name in plans} == plans


@pytest.mark.parametrize("minutes", [1.0, 3.0, 60.0, 600.0])
def test_minutes_are_shared_out_whole(minutes: float) -> None:
    shares = divide(minutes, {})
    assert list(shares) == ["self-averaging", "context", "limits"]
    assert all(share > 0 for share in shares.values())
    if minutes > 3:
        assert sum(shares.values()) == pytest.approx(minutes - 1 / 6, abs=0.05)
        assert shares["self-averaging"] > minutes / 2
    kept = divide(minutes, {"self-averaging": 30.0})
    assert kept["self-averaging"] == 30.0
    assert sum(kept.values()) - 30 == pytest.approx(sum(shares.values()), abs=0.8)


def test_a_table_is_judged_by_what_its_columns_allow() -> None:
    paper = judge_table(Ladder.read(Path(__file__).parents[2] / "docs" / "examples" / "seeds.csv"), 0)
    assert {each.name for each in paper.outcomes if each.verdict is not None} == {"self-averaging"}
    assert outcome(paper, "limits").reason.startswith("seeds.csv: no column '")
    assert all(each.reason for each in paper.outcomes if each.verdict is None)
    assert paper.published is not None
