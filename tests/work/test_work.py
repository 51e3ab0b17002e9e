"""A whole undertaking: what it leaves, what it does again and what not, and that no kill changes a number."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from chidu.cli.undertaking import check_other_text
from chidu.errors import ForecastError, SettingError
from chidu.parallel import open_place
from chidu.parallel.cluster import SHARED_FILE
from chidu.runs import Ladder, Record
from chidu.runs.forecast import WrittenForecast
from chidu.runs.live import Live
from chidu.runs.record import read_json, write_json
from chidu.runs.settings import Settings, write_settings
from chidu.training import foretold
from chidu.work import STAGES, preview, summary, write_work_report
from chidu.work.results import read_records, read_run, settings_used
from chidu.work.watching import read_picture

MADE = [name for name in STAGES if name != "collect"]


@pytest.fixture(scope="module", autouse=True)
def _shrunk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny.shrink(patch.setattr)
        yield


@pytest.fixture(scope="module")
def finished(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished undertaking that no test changes."""
    folder = tmp_path_factory.mktemp("undertaking")
    tiny.undertake(folder, text_folder)
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "work")
    return tmp_path / "work"


def measured(folder: Path) -> tuple[dict[str, list[Any]], float]:
    """The ladder's table and the target's loss, without what depends on the clock."""
    table = Ladder.read(folder / "ladder" / "ladder.csv")
    columns = {name: column.tolist() for name, column in table.columns.items() if name != "seconds"}
    return columns, read_run(folder).loss


def test_every_stage_leaves_its_record(finished: Path) -> None:
    records = read_records(finished)
    assert list(records) == MADE
    for name, record in records.items():
        assert record.stage == name
        assert not (finished / name / "begun.json").exists()
        assert all((finished / name / file).is_file() for file in record.outputs)
        assert not list((finished / name).rglob("*.scratch"))
        assert not list((finished / name).rglob("*.tmp-*"))


def test_what_runs_told_is_what_they_came_to(finished: Path) -> None:
    """The live record's losses, weighted by their steps, are those of the runs' own curves."""
    live, picture = Live.read(finished), read_picture(finished)
    assert live is not None
    assert live.state is not None
    assert (live.state.stage, live.state.ended) == ("report", "done")
    assert picture.state == "finished"
    assert picture.target is not None
    json.dumps(picture.as_dict(), allow_nan=False)
    for run in (*picture.rungs, picture.target):
        own = live.points[run.name]
        assert own[-1].step == run.steps
        assert 0 < own[-1].rate < 0.2
        assert own[-1].seconds > 0
    # The longest run of a size has its trunk whole.
    longest = [run for run in picture.rungs if run.steps == picture.target.steps]
    for run in (*longest, picture.target):
        trunk = () if run is picture.target else live.points[run.group]
        told = [*trunk, *live.points[run.name]]
        assert [each.start for each in told] == [0, *(each.step for each in told[:-1])]
        ends = [0, *(step for step, _ in run.curve)]
        mean = sum(loss * (step - before) for (step, loss), before in zip(run.curve, ends, strict=False)) / run.steps
        assert sum((each.loss or 0) * each.count for each in told) / run.steps == pytest.approx(mean, rel=1e-9)


def test_the_targets_record_names_the_forecast_it_came_after(finished: Path) -> None:
    records = read_records(finished)
    assert records["target"].inputs["forecast"] == records["forecast"].content
    assert records["score"].inputs["forecast"] == records["forecast"].content
    assert records["score"].inputs["target"] == records["target"].content
    written = WrittenForecast.read(finished / "forecast" / "forecast.json")
    assert written.written <= records["target"].started
    assert written.ladder == records["ladder"].outputs["ladder.csv"]["sha256"]


def test_the_summary_has_what_the_design_promises(finished: Path) -> None:
    found = summary(finished)
    json.dumps(found, allow_nan=False)
    assert {"forecast", "measured", "error_percent", "inside", "law", "rungs", "dearest_flops", "target", "seconds",
            "report", "model"} <= set(found)  # fmt: skip
    assert set(found["forecast"]) == {"loss", "low", "high", "level"}
    assert {"params", "tokens", "flops"} <= set(found["target"])
    assert found["rungs"] == 9
    assert list(found["seconds"]) == MADE
    assert found["inside"] == (found["forecast"]["low"] <= found["measured"] <= found["forecast"]["high"])
    for name in ("report", "model"):
        assert Path(found[name]).is_absolute()
        assert Path(found[name]).exists()


def test_a_second_call_does_nothing(finished: Path, text_folder: Path) -> None:
    before = times(finished)
    work, said = tiny.undertake(finished, text_folder)
    assert work.skipped == MADE
    assert [line for line in said if line.endswith("nothing to do")] == [f"{name}: nothing to do" for name in MADE]
    assert times(finished) == before


def times(folder: Path) -> dict[Path, int]:
    """When each file of the stages was changed last."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*/**/*")}


def test_a_second_call_starts_no_training_and_needs_no_torch(finished: Path, text_folder: Path) -> None:
    program = (
        "import sys, tiny\nfrom pathlib import Path\ntiny.shrink()\n"
        "work, _ = tiny.undertake(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print(len(work.skipped), 'torch' in sys.modules)"
    )
    here = Path(__file__).parent
    result = subprocess.run(
        [sys.executable, "-c", program, str(finished), str(text_folder)], cwd=here, capture_output=True, text=True
    )
    assert result.stdout.split() == [str(len(MADE)), "False"], result.stderr


@pytest.mark.verify
def test_on_a_cluster_of_its_own_everything_is_the_same(
    finished: Path, text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with open_place("ray") as place:
        tiny.undertake(tmp_path / "far", text_folder, "score", place)
    assert measured(tmp_path / "far") == measured(finished)
    ours, theirs = read_records(finished), read_records(tmp_path / "far")
    for name in ("corpus", "tokens", "design", "ladder"):
        assert ours[name].fingerprint == theirs[name].fingerprint, name
    # The same folder goes on where it is: nothing is made again elsewhere.
    work, _ = tiny.undertake(tmp_path / "far", text_folder, "score")
    assert work.skipped == list(theirs)
    assert not list((tmp_path / "far").glob(f"{SHARED_FILE}*"))


def test_another_language_draws_the_page_alone(copied: Path, text_folder: Path) -> None:
    work, said = tiny.undertake(copied, text_folder, language="zh")
    assert work.skipped == MADE[:-1]
    assert "report: redone, because language changed from 'en' to 'zh'" in said


def test_other_minutes_make_no_run_a_second_time(copied: Path, finished: Path, text_folder: Path) -> None:
    work, said = tiny.undertake(copied, text_folder, last="law", minutes=5.5)
    assert work.skipped == ["corpus", "tokens", "law"]
    assert "design: redone, because minutes changed from 5.0 to 5.5" in said
    result = work.records["ladder"].result
    assert (result["flops"], len(result["taken"])) == (0.0, 9)
    assert result["flops_taken"] == pytest.approx(read_records(finished)["ladder"].result["flops"])
    assert any("9 of 9 rungs were trained before" in line for line in said)
    for name in ("loss", "run", "flops"):
        ours, theirs = (Ladder.read(folder / "ladder/ladder.csv").columns[name] for folder in (copied, finished))
        assert ours.tolist() == theirs.tolist()


def test_a_recipe_tried_and_given_up_costs_its_own_runs_alone(copied: Path, finished: Path, text_folder: Path) -> None:
    _, said = tiny.undertake(copied, text_folder, last="ladder", recipe={"learning_rate": 0.02})
    assert not any("trained before" in line for line in said)
    assert Ladder.read(copied / "ladder/ladder.csv").columns["loss"].tolist() != measured(finished)[0]["loss"]
    tiny.undertake(copied, text_folder, last="ladder")
    assert measured(copied)[0] == measured(finished)[0]


def test_a_ladder_that_is_resumed_takes_what_it_took_at_first(copied: Path, text_folder: Path) -> None:
    """Cut after it had taken all; by then the kept runs are gone, or others are there: neither matters."""
    shutil.rmtree(copied / "runs")
    (copied / "ladder/record.json").unlink()
    tiny.undertake(copied, text_folder, last="ladder")
    assert len(list((copied / "runs").rglob("*.json"))) == 9
    record = Record.read(copied / "ladder")
    assert record is not None
    assert "taken" not in record.result
    assert read_json(copied / "ladder/taken.json") == []


def test_what_the_law_foretells_is_left_out_and_said(
    copied: Path, finished: Path, text_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three sizes the middle one lies between others; half of the loss is a margin that any law keeps to."""
    monkeypatch.setattr(foretold, "FIRST_SIZES", 2)
    shutil.rmtree(copied / "runs")
    work, said = tiny.undertake(copied, text_folder, last="forecast", skip_within=0.5)
    assert "ladder: redone, because skip_within is new" in said
    result, whole = work.records["ladder"].result, read_records(finished)["ladder"].result
    left_out = {each["name"] for each in result["left_out"]}
    runs = Ladder.read(copied / "ladder/ladder.csv").columns["run"].tolist()
    rungs = [rung.name for rung in work.design.rungs]
    assert left_out
    assert left_out < {name for name in rungs if name.startswith("w0024")} | {"none else"}
    assert runs == [name for name in rungs if name not in left_out]
    assert result["flops"] + result["flops_left_out"] == pytest.approx(whole["flops"])
    line = next(line for line in said if "not trained, since" in line)
    assert all(name in line for name in left_out)
    assert not left_out & {run.name for run in read_picture(copied).rungs}
    # A ladder that is cut when all but its table is there leaves out the same.
    (copied / "ladder/record.json").unlink()
    again, _ = tiny.undertake(copied, text_folder, last="ladder", skip_within=0.5)
    assert again.records["ladder"].result["left_out"] == result["left_out"]
    # And with the margin taken back, those alone are trained.
    full, _ = tiny.undertake(copied, text_folder, last="ladder")
    assert measured_ladder(copied) == measured_ladder(finished)
    assert set(full.records["ladder"].result["taken"]) == set(runs)


def measured_ladder(folder: Path) -> list[float]:
    """The losses of the ladder's table."""
    losses: list[float] = Ladder.read(folder / "ladder/ladder.csv").columns["loss"].tolist()
    return losses


def test_another_vocabulary_redoes_the_tokens_and_says_why(copied: Path, text_folder: Path) -> None:
    work, said = tiny.undertake(copied, text_folder, last="design", vocabulary=600)
    assert work.skipped == ["corpus"]
    assert "tokens: redone, because vocabulary changed from 512 to 600" in said
    redone = next(line for line in said if line.startswith("design: redone"))
    assert "train is new" in redone


def test_new_text_redoes_the_corpus(copied: Path, text_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(text_folder, other)
    (other / "more.txt").write_text("A document that was not there before, of enough words to be kept as it is.")
    work, said = tiny.undertake(copied, other, last="corpus")
    assert work.skipped == []
    assert "corpus: redone, because text is new" in said


def test_other_text_is_not_put_over_a_finished_undertaking(copied: Path, text_folder: Path, tmp_path: Path) -> None:
    check_other_text(copied, tiny.tiny_settings(text_folder, seed=3))
    other = tiny.tiny_settings(tmp_path / "other")
    with pytest.raises(SettingError, match=r"finished undertaking of other text .* name another folder with --work"):
        check_other_text(copied, other)
    shutil.rmtree(copied / "score")
    check_other_text(copied, other)


def test_the_page_takes_the_folders_language_and_says_what_a_tour_is(copied: Path, text_folder: Path) -> None:
    write_settings(copied, tiny.tiny_settings(text_folder, language="zh"))
    write_work_report(copied, copied / "page.html")
    page = (copied / "page.html").read_text(encoding="utf-8")
    assert '<html lang="zh' in page
    assert "这只是一次速览" in page
    write_work_report(copied, copied / "page.html", "en")
    assert "This was a tour" in (copied / "page.html").read_text(encoding="utf-8")


def test_the_page_shows_what_was_chosen_where_settings_leave_it_open() -> None:
    used = settings_used(Settings(minutes=10.0), None)
    assert (used["vocabulary"], used["context_length"], used["text"]) == (
        1024,
        128,
        "Documentation of the installed Python packages",
    )


@pytest.mark.parametrize("change", [{"loss": 1.0}, {"seal": "0" * 64}, {"high": 99.0}], ids=str)
def test_a_forecast_that_was_edited_is_refused(change: dict[str, Any], copied: Path, text_folder: Path) -> None:
    path = copied / "forecast" / "forecast.json"
    write_json(path, {**read_json(path), **change})
    with pytest.raises(ForecastError, match="was changed after it was written"):
        tiny.undertake(copied, text_folder)


def test_a_forecast_that_was_edited_and_sealed_again_is_refused(copied: Path, text_folder: Path) -> None:
    path = copied / "forecast" / "forecast.json"
    values = read_json(path)
    values.pop("seal")
    path.unlink()
    WrittenForecast(**{**values, "low": 0.1, "high": 99.0}).write(path)
    with pytest.raises(ForecastError, match="was changed after it was written"):
        tiny.undertake(copied, text_folder)


def test_a_preview_of_a_finished_folder_needs_no_time(finished: Path, text_folder: Path) -> None:
    found = preview(finished, tiny.tiny_settings(text_folder), print)
    assert sum(found.stages.values()) == 0
    assert list(found.stages) == MADE
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_preview_of_a_new_folder_writes_nothing(text_folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = preview(tmp_path / "new", tiny.tiny_settings(text_folder), said.append)
    assert not (tmp_path / "new").exists()
    assert found.disk_bytes > 0
    assert any("rungs" in line for line in said)


def kill_at(lines: Callable[[], int], folder: Path, text: Path) -> bool:
    """Start the undertaking and kill it after some lines; tell whether it ended before that."""
    process = subprocess.Popen(
        [sys.executable, tiny.__file__, str(folder), str(text)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    last = ""
    for _ in range(lines()):
        last = process.stdout.readline() or last
    process.kill()
    process.communicate()
    return last == "done\n"


def check_kills(count: int, most: int, seed: int, finished: Path, text: Path, folder: Path) -> None:
    source = random.Random(seed)
    for _ in range(count):
        kill_at(lambda: source.randint(2, most), folder, text)
    tiny.undertake(folder, text)
    assert measured(folder) == measured(finished)
    for name in ("corpus", "tokens", "design", "ladder"):
        ours, theirs = Record.read(folder / name), Record.read(finished / name)
        assert ours is not None
        assert theirs is not None
        assert ours.outputs.keys() == theirs.outputs.keys()


def test_kills_at_random_moments_change_no_number(finished: Path, text_folder: Path, tmp_path: Path) -> None:
    check_kills(3, 60, 0, finished, text_folder, tmp_path / "killed")


@pytest.mark.verify
def test_many_kills_at_random_moments_change_no_number(finished: Path, text_folder: Path, tmp_path: Path) -> None:
    check_kills(10, 90, 1, finished, text_folder, tmp_path / "killed")
