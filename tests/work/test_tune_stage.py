"""`chidu tune` over a work folder: what it leaves, that it is done once, and that later stages take its recipe up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from chidu.errors import SettingError
from chidu.runs import Record
from chidu.runs.folder import open_work_folder
from chidu.runs.record import read_json
from chidu.runs.settings import Settings, read_settings, write_settings
from chidu.training import probe, search, sweep, tuning_plan
from chidu.training import tune as tune_module
from chidu.training.search import Tried
from chidu.training.tune import Confirmation
from chidu.training.tuning_plan import TuningPlan
from chidu.work import Work, run
from chidu.work.tune import hand_on, preview_tuning, tune
from chidu.work.undertaking import stage_settings
from in_process import map_here

WIDTHS = (16, 24, 32)


def small_plan(recipe: Any, seconds: float, workers: int, seed: int, *_: Any) -> TuningPlan:
    return TuningPlan(seed, 2, steps=10, rounds=2, at_once=2, seeds=2, judged_tokens=512, seconds=1.0)


@pytest.fixture(scope="module", autouse=True)
def _shrunk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny.shrink(patch.setattr)
        patch.setattr(tuning_plan, "WIDTHS", WIDTHS)
        for module in (search, sweep, tune_module):
            patch.setattr(module, "map_processes", map_here)
        patch.setattr(tuning_plan, "plan_tuning", small_plan)
        patch.setattr(probe, "measure_apart", lambda configs, place, at_once: (1e-3,) * len(configs))
        yield


def tuned(folder: Path, settings: Settings) -> tuple[Work, list[str]]:
    voice = tiny.Lines()
    with open_work_folder(folder):
        write_settings(folder, settings)
        work = run(folder, settings, voice, "tokens")
        tune(work, 5.0, 0)
    return work, voice.said


@pytest.fixture(scope="module")
def folder(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder, tuned, with its design made before that."""
    made = tmp_path_factory.mktemp("tuning")
    tiny.undertake(made, text_folder, "design")
    tuned(made, read_settings(made))
    return made


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "work")
    return tmp_path / "work"


def test_it_leaves_a_whole_stage(folder: Path) -> None:
    record = Record.read(folder / "tune")
    assert record is not None
    found = json.loads(json.dumps(record.result, allow_nan=False))
    assert read_json(folder / "tune" / "tune.json") == found
    assert found["attempts"] == 4
    assert [each["width"] for each in found["law"]["optima"]] == list(WIDTHS)
    assert len(list((folder / "tune" / "rates").glob("*.json"))) == 5 * 2 * len(WIDTHS)
    assert len(found["noise_scale"]) == 2
    assert found["noise_scale"][0]["step"] < found["noise_scale"][1]["step"]
    assert "study.db" in record.outputs
    if found["confirmation"] is not None:
        assert len(found["confirmation"]["differences"]) == 2
    assert bool(found["recipe"]) == bool(found["confirmation"] and found["confirmation"]["better"])


def test_a_second_call_finds_nothing_to_do(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "tune").rglob("*")}
    work, said = tuned(folder, read_settings(folder))
    assert "tune: nothing to do" in said
    assert "tune" in work.skipped
    assert {path: path.stat().st_mtime_ns for path in (folder / "tune").rglob("*")} == before


def test_what_it_keeps_is_what_later_stages_train(
    copied: Path, text_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the default's loss raised and every best of a search confirmed; then with none."""
    own = read_settings(copied)

    def worse_default(*given: Any) -> list[Tried]:
        default, *others = search.search(*given)
        return [replace(default, loss=99.0), *others]

    monkeypatch.setattr(tune_module, "search", worse_default)
    monkeypatch.setattr(Confirmation, "better", True)
    (copied / "tune" / "record.json").unlink()
    work, said = tuned(copied, own)
    kept = read_settings(copied).recipe
    assert kept == work.records["tune"].result["recipe"]
    assert kept
    assert any(line.startswith("tune: the design here is of another recipe") for line in said)
    work, said = tiny.undertake(copied, text_folder, "design", recipe=kept)
    assert any(line.startswith("design: redone, because recipe is new") for line in said)
    assert work.skipped == ["corpus", "tokens"]
    made = work.design.target.config
    for name, value in kept.items():
        wanted = made.shape.layers if name == "least_layers" else getattr(made, name, None)
        if name != "head_learning_rate":
            assert wanted == value
    # A second call begins from the built-in recipe again, so it is the same question.
    assert "tune: nothing to do" in tuned(copied, read_settings(copied))[1]
    hand_on(work, {})
    assert not read_settings(copied).recipe
    assert "[recipe]" not in (copied / "chidu.toml").read_text("utf-8")


def test_it_says_beforehand_what_it_would_do(folder: Path, tmp_path: Path) -> None:
    settings = read_settings(folder)
    assert preview_tuning(folder, settings, 5.0) == {"corpus": 0.0, "tokens": 0.0, "tune": 0.0}
    assert preview_tuning(folder, settings, 7.0)["tune"] == 420.0
    assert all(seconds > 0 for seconds in preview_tuning(tmp_path, settings, 5.0).values())


# The table [recipe]


def test_a_recipe_is_written_and_read_back(tmp_path: Path) -> None:
    settings = Settings(recipe={"learning_rate": 0.02, "batch_tokens": 512, "least_layers": 4})
    write_settings(tmp_path, settings)
    assert read_settings(tmp_path) == settings
    recipe = settings.recipes[0]
    assert (recipe.learning_rate, recipe.batch_tokens, recipe.least_layers) == (0.02, 512, 4)
    assert len(settings.recipes) == 1


def test_without_one_nothing_is_written_and_no_record_changes(tmp_path: Path) -> None:
    write_settings(tmp_path, Settings())
    assert "[recipe]" not in (tmp_path / "chidu.toml").read_text("utf-8")
    assert "recipe" not in stage_settings(Settings())["design"]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"learnin_rate": 0.1}, "did you mean 'learning_rate'"),
        ({"learning_rate": "fast"}, "recipe.learning_rate is 'fast'; it must be a number"),
        ({"least_layers": 2.5}, "recipe.least_layers is 2.5; it must be a whole number"),
        ({"batch_tokens": 100}, r"batch_tokens \(100\) must be a multiple of context_length"),
        ([0.1], "it must be a table"),
    ],
)
def test_a_table_that_can_not_be_is_refused(table: Any, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        Settings(recipe=table)


# The command line


def test_the_verb_ends_with_one_document(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chidu import cli

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["chidu", "tune", "--work", str(folder), *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capfd.readouterr().out

    record = Record.read(folder / "tune")
    assert record is not None
    assert json.loads(call("--minutes", "5", "--json")) == record.result
    assert "recipe" in call("--minutes", "5")
    assert "about 9 min" in call("--minutes", "9", "--dry-run")
    assert json.loads(call("--minutes", "5", "--dry-run", "--json"))["minutes"] == 0


# A kill


KILLED = """
import sys
from pathlib import Path
import tiny, test_tune_stage
from chidu.runs.settings import read_settings
from chidu.training import probe, tuning_plan
if __name__ == "__main__":
    tiny.shrink()
    tuning_plan.WIDTHS, tuning_plan.plan_tuning = test_tune_stage.WIDTHS, test_tune_stage.small_plan
    probe.measure_apart = lambda configs, place, at_once: (1e-3,) * len(configs)
    print("ready", flush=True)
    test_tune_stage.tuned(Path(sys.argv[1]), read_settings(Path(sys.argv[1])))
"""


@pytest.mark.verify
def test_any_kill_ends_in_the_same_numbers(folder: Path, copied: Path, tmp_path: Path) -> None:
    """With processes as they are; killed (-9) once a few runs are done, again and again, until it comes to its end."""
    program, work = tmp_path / "tuning.py", copied
    program.write_text(KILLED, "utf-8")
    shutil.rmtree(work / "tune")
    paths = os.pathsep.join(
        [str(Path(__file__).parent), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    )
    kills = 0
    while not (work / "tune" / "record.json").exists():
        before = len(list((work / "tune").rglob("*.json")))
        process = subprocess.Popen([sys.executable, str(program), str(work)], env={**os.environ, "PYTHONPATH": paths})
        while process.poll() is None:
            time.sleep(0.02)
            if kills < 6 and len(list((work / "tune").rglob("*.json"))) > before + 3 + kills:
                process.send_signal(signal.SIGKILL)
                kills += 1
                process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
    assert kills >= 3
    both = [read_json(each / "tune" / "tune.json") for each in (work, folder)]
    for found in both:
        if found["confirmation"] is not None:
            del found["confirmation"]["time"]
    assert both[0] == both[1]
