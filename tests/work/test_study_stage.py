"""`chidu study` over a work folder: its runs, what it takes over from a ladder, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from chidu.errors import TextError, WorkFolderError
from chidu.runs import Ladder, Record, Run
from chidu.runs.folder import open_work_folder
from chidu.runs.record import read_json, write_json
from chidu.runs.settings import read_settings, write_settings
from chidu.studies import STUDIES, Study, beneath, limits, moves, seeds
from chidu.studies.energy import Power
from chidu.studies.study import Seeds
from chidu.training import probe
from chidu.work import run
from chidu.work.study import POOL, RUNS_TABLE, cost, preview_cost, preview_study, study
from chidu.work.undertaking import stage_settings
from in_process import Here

SELF_AVERAGING = STUDIES["self-averaging"]
STEP = 0.1
"""Seconds that a step is said to take."""


def shrink(change: Callable[[Any, str, Any], None] = setattr) -> None:
    tiny.shrink(change)
    change(seeds, "SIZES", ((12, 16, 20, 24, 28),))
    change(seeds, "LEAST_STEPS", 6)
    change(seeds, "TOKENS_PER_PARAM", 0.0)
    change(beneath, "TOKENS", 512)
    change(beneath, "GRADIENTS", 16)
    change(probe, "measure_apart", lambda configs, place, at_once: (STEP,) * len(configs))


@pytest.fixture(scope="module", autouse=True)
def _shrunk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch.setattr)
        yield


def studied(
    folder: Path, minutes: float, place: Any = None, chosen: Study = SELF_AVERAGING
) -> tuple[Record, list[str]]:
    voice, settings = tiny.Lines(), read_settings(folder)
    with open_work_folder(folder):
        write_settings(folder, settings)
        work = run(folder, settings, voice, "tokens", place=place)
        return study(work, chosen, minutes, settings.seed), voice.said


@pytest.fixture(scope="module")
def with_tokens(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    tiny.undertake(folder, text_folder, "tokens")
    return folder


@pytest.fixture(scope="module")
def folder(with_tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a study."""
    made = tmp_path_factory.mktemp("studied") / "work"
    shutil.copytree(with_tokens, made)
    studied(made, 1.75, Here())
    return made


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "work")
    return tmp_path / "work"


def test_it_leaves_runs_and_a_verdict(folder: Path) -> None:
    record = Record.read(folder / "studies" / "self-averaging")
    assert record is not None
    assert list(record.result)[-4:] == ["verdict", "effect", "low", "high"]
    assert json.loads(json.dumps(record.result, allow_nan=False)) == record.result
    table = Ladder.read(folder / "studies" / "self-averaging" / RUNS_TABLE)
    assert record.result["runs"] == len(table) == 5 * 5 * 3
    assert len(set(table.columns["params"].tolist())) == 5
    again = SELF_AVERAGING.verdict(table).as_dict()
    assert again == record.result
    assert not list((folder / POOL).glob("*.scratch"))


def test_sizes_share_no_seed_but_the_first(folder: Path) -> None:
    table = Ladder.read(folder / "studies" / "self-averaging" / RUNS_TABLE)
    of_size: dict[int, set[int]] = {}
    for params, seed in zip(table.columns["params"].tolist(), table.columns["seed"].tolist(), strict=True):
        of_size.setdefault(params, set()).add(seed)
    assert set.intersection(*of_size.values()) == {0}
    assert sum(len(each - {0}) for each in of_size.values()) == len(set.union(*of_size.values()) - {0})


def test_a_second_call_finds_nothing_to_do(copied: Path) -> None:
    before = read_json(copied / "studies/self-averaging/verdict.json")
    record, said = studied(copied, 1.75, Here())
    assert "self-averaging: nothing to do" in said
    assert record.result == before


def test_more_minutes_keep_the_runs_that_are_there(copied: Path) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (copied / POOL).glob("*/run.json")}
    record, said = studied(copied, 0.7, Here())
    assert record.result["runs"] == 90
    assert "self-averaging: 75 of 90 runs are there already" in said
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())


def test_a_ladders_runs_are_the_first_seed(copied: Path) -> None:
    """The first seed's runs, moved to where a ladder would have left them, are found there and not made again."""
    records = {name: Record.read(copied / name) for name in ("tokens", "studies/self-averaging")}
    tokens, before = records["tokens"], records["studies/self-averaging"]
    assert tokens is not None
    assert before is not None
    runs = [Run.from_dict(read_json(path)) for path in (copied / POOL).glob("*/run.json")]
    first = [replace(each, name=f"mine-{i}") for i, each in enumerate(runs) if each.config.seed == 0]
    assert len(first) == 15
    for each in runs:
        if each.config.seed == 0:
            shutil.rmtree(copied / POOL / each.name)
    for each in first:
        write_json(copied / "ladder" / each.name / "run.json", each.as_dict())
    Ladder.from_runs(first).write(copied / "ladder" / "ladder.csv")
    inputs = {name: tokens.outputs[f"{name}.bin"]["sha256"] for name in ("train", "held_out")}
    ladder = stage_settings(read_settings(copied))["ladder"]
    Record("ladder", ladder, inputs, {}, {}, "2026-01-01T00:00:00+00:00", 1.0, {}, {}).write(copied / "ladder")
    shutil.rmtree(copied / "studies" / "self-averaging")
    record, said = studied(copied, 0.4, Here())
    assert "self-averaging: 75 of 75 runs are there already" in said
    for name in ("rows", "effect", "low", "high"):
        assert record.result[name] == before.result[name]
    # A ladder keeps no weights: what lies beneath is told by the other seeds.
    told = [read["findings"]["single_tokens"]["points"][0]["spread"] for read in (record.result, before.result)]
    assert told[0] != told[1]
    assert told[0] == pytest.approx(told[1], rel=0.5)


def test_what_lies_beneath_is_of_the_saved_models(folder: Path) -> None:
    from chidu.tokens import TokenFile
    from chidu.training.held_out import token_losses
    from chidu.training.loop import trained_model

    paths = sorted((folder / POOL).glob("w0028*-24/weights.safetensors"))
    runs = [Run.from_dict(read_json(path.with_name("run.json"))) for path in paths]
    windows = next(TokenFile.open(folder / "tokens" / "held_out.bin").held_out_batches(32, 512, 32))
    losses = np.stack(
        [token_losses(trained_model(r.config, p), windows).numpy() for r, p in zip(runs, paths, strict=True)]
    )
    record = Record.read(folder / "studies" / "self-averaging")
    assert record is not None
    points = record.result["findings"]["single_tokens"]["points"]
    own = max(points, key=lambda each: (each["params"], each["tokens"]))
    assert own["spread"] == pytest.approx(losses.var(axis=0, ddof=1).mean() ** 0.5, rel=1e-4)
    gradient = record.result["findings"]["gradient"]
    assert 0 < gradient["batch_exponent"]["value"] < 2
    assert len(gradient["points"]) == 5 * 4
    assert "A single token's loss differs between seeds by" in record.result["meaning"]


def test_too_little_time_says_how_much_is_needed(copied: Path) -> None:
    shutil.rmtree(copied / POOL)
    with pytest.raises(TextError, match=r"too few for 5 seeds .* need about 2: give more --minutes"):
        studied(copied, 1.0, Here())


def test_the_cost_is_said_beforehand(folder: Path, with_tokens: Path) -> None:
    settings = read_settings(folder)
    stages, words = preview_study(folder, settings, SELF_AVERAGING, 1.75, 0, Here())
    assert stages["self-averaging"] == 0
    assert words == "done already"
    stages, words = preview_study(with_tokens, settings, SELF_AVERAGING, 1.75, 0, Here())
    assert words.startswith("75 runs: 5 seeds of widths 12, 16, 20, 24, 28, each 6, 12, 24 steps of 64 tokens")
    assert 60 < sum(stages.values()) <= 105
    assert not (with_tokens / "studies").exists()


@pytest.fixture(scope="module")
def asked(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record, list[str]]:
    """The work folder with the study of limits too: two seeds, which are there already, but without weights."""
    made = tmp_path_factory.mktemp("asked") / "work"
    shutil.copytree(folder, made)
    for path in (made / POOL).glob("*/weights.safetensors"):
        path.unlink()
    chosen = replace(STUDIES["limits"], seeds=Seeds(2, 2, 2), measure_seconds=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "ITEMS", 8)
        record, said = studied(made, 1.75, Here(), chosen)
    return made, record, said


def test_limits_asks_the_models_of_the_same_runs(asked: tuple[Path, Record, list[str]], folder: Path) -> None:
    made, record, _ = asked
    assert record.result["runs"] == 5 * 2  # the longest of each size and seed
    table = Ladder.read(made / "studies" / "limits" / RUNS_TABLE)
    assert {"copying", "induction", "brackets", "carries", "english", "chinese"} == set(table.columns["task"].tolist())
    assert any("tasks left out for want of items: cloze" in note for note in record.result["notes"])
    assert len(list((made / POOL).glob("*/weights.safetensors"))) == 30
    for path in (made / POOL).glob("*/weights.safetensors"):
        # Trained again for its weights, a run comes to the same bits.
        again, before = (read_json(each / POOL / path.parent.name / "run.json") for each in (made, folder))
        assert again["loss"] == before["loss"]


def test_limits_scores_are_the_saved_models_own(asked: tuple[Path, Record, list[str]]) -> None:
    from chidu.evaluation.scoring import ask, score_items
    from chidu.evaluation.tasks import make_items
    from chidu.tokens.bpe import load_tokenizer
    from chidu.training.loop import trained_model

    made = asked[0]
    table = Ladder.read(made / "studies" / "limits" / RUNS_TABLE)
    path = sorted((made / POOL).glob("w0028*-24/weights.safetensors"))[0]
    run = Run.from_dict(read_json(path.with_name("run.json")))
    items = [each for each in make_items(8, 0, made / "corpus" / "held_out.jsonl") if each.task == "copying"]
    item, told = items[0], ask(items, load_tokenizer(made / "tokens" / "tokenizer.json"), 32)[0]
    (score, _), (whole, _) = score_items(trained_model(run.config, path), [told])[0]
    own = (table.numbers("seed", False) == run.config.seed) & (table.numbers("params") == run.config.shape.params)
    own &= table.numbers("tokens") == run.config.tokens
    chosen = table.select(own & (table.columns["task"].astype(str) == item.task))
    assert float(chosen.numbers("score", False)[0]) == pytest.approx(float(score), abs=1e-5)
    assert float(chosen.numbers("score_whole", False)[0]) == pytest.approx(float(whole), abs=1e-5)
    reach = read_json(made / "studies" / "limits" / "verdict.json")["findings"]["reach"]
    assert [each["task"] for each in reach] == sorted(set(table.columns["task"].tolist()))
    assert all(len(each["points"]) == 5 * 3 for each in reach)


def studied_moves(
    folder: Path, place: Any = None, change: Callable[[Any, str, Any], None] = setattr
) -> tuple[Record, list[str]]:
    """The study of stability, of two seeds and few texts."""
    change(moves, "TEXTS", 12)
    chosen = replace(STUDIES["stability"], seeds=Seeds(2, 2, 2, (0.5, 2.0)), measure_seconds=0.0, measure_part=0.0)
    return studied(folder, 1.75, place, chosen)


@pytest.fixture(scope="module")
def moved(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record, list[str]]:
    """The work folder with the study of stability too."""
    made = tmp_path_factory.mktemp("moved") / "work"
    shutil.copytree(folder, made)
    with pytest.MonkeyPatch.context() as patch:
        return made, *studied_moves(made, Here(), patch.setattr)


def test_stability_trains_only_the_twins_of_another_rate(moved: tuple[Path, Record, list[str]]) -> None:
    made, record, said = moved
    assert "stability: 30 of 40 runs are there already" in said
    assert any("; one of each at 0.5 and 2 times the rates" in line for line in said)
    table = Ladder.read(made / "studies" / "stability" / RUNS_TABLE)
    assert set(table.columns["kind"].tolist()) == {"edit", "noise", "rate", "reorder", "seed"}
    assert set(table.select(table.columns["kind"] == "rate").columns["by"].tolist()) == {0.5, 2.0}
    assert record.result["runs"] == 10
    assert json.loads(json.dumps(record.result, allow_nan=False)) == record.result
    assert STUDIES["stability"].verdict(table).as_dict() == record.result


def test_stabilitys_distances_are_the_saved_models_own(moved: tuple[Path, Record, list[str]]) -> None:
    """Two seeds, by the definition of the Jensen–Shannon distance."""
    import torch

    from chidu.tokens import TokenFile
    from chidu.training.loop import trained_model

    made = moved[0]
    table = Ladder.read(made / "studies" / "stability" / RUNS_TABLE)
    chosen = table.select(
        (table.columns["kind"] == "seed") & (table.numbers("params") == table.numbers("params").max())
    )
    seeds_of = set(chosen.columns["seed"].tolist())
    paths = [path for path in (made / POOL).glob("w0028*-24/weights.safetensors")
             if (run := Run.from_dict(read_json(path.with_name("run.json")))).config.seed in seeds_of
             and run.config.learning_rate == 0.01]  # fmt: skip
    assert len(paths) == 2
    config = Run.from_dict(read_json(paths[0].with_name("run.json"))).config
    ends = moves.clause_ends(made / "tokens" / "tokenizer.json")
    windows = np.concatenate(list(TokenFile.open(made / "tokens" / "held_out.bin").held_out_batches(32, 8 * 12 * 32)))[
        :, :-1
    ]
    first = next(each for each in windows if moves.swapped(each, ends) is not None)
    with torch.inference_mode():
        p, q = (
            trained_model(config, path)(torch.from_numpy(first[None]))[0, -1].double().softmax(0).numpy()
            for path in paths
        )
    middle = (p + q) / 2
    divergence = ((p * np.log(p / middle)).sum() + (q * np.log(q / middle)).sum()) / 2
    told = chosen.select(chosen.numbers("item", False) == 0).numbers("distance")
    np.testing.assert_allclose(told, divergence**0.5, rtol=1e-4)


def test_cost_reads_the_ladder_of_the_folder(copied: Path) -> None:
    with pytest.raises(WorkFolderError, match="has no finished ladder: run chidu ladder --work"):
        cost(copied, tiny.Lines(), 0.04, Power.given(8.0), 0)
    runs = [Run.from_dict(read_json(path)) for path in (copied / POOL).glob("*/run.json")]
    first = [each for each in runs if each.config.seed == 0]
    for each in first:
        write_json(copied / "ladder" / each.name / "run.json", each.as_dict())
    Ladder.from_runs(first).write(copied / "ladder" / "ladder.csv")
    result = {"rungs": len(first)}
    Record("ladder", {}, {}, {}, result, "2026-01-01T00:00:00+00:00", 1.0, {}, {}).write(copied / "ladder")
    assert preview_cost(copied)[1] == "none; it looks at 15 runs of the ladder"
    record = cost(copied, tiny.Lines(), 0.04, Power.given(8.0), 0)
    assert record.result["verdict"] is None
    assert record.result["findings"]["hours"] > 0
    assert list(record.result)[-4:] == ["verdict", "effect", "low", "high"]


def test_the_verb_ends_with_one_document(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chidu import cli

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["chidu", "study", "self-averaging", "--work", str(folder), *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capfd.readouterr().out

    found = json.loads(call("--minutes", "1.75", "--json"))
    assert list(found)[-5:] == ["verdict", "effect", "low", "high", "minutes"]
    assert found["verdict"] in ("holds", "fails", "undecided")
    assert call("--minutes", "1.75").startswith(f"self-averaging: {found['verdict']}: ")
    assert json.loads(call("--minutes", "1.75", "--dry-run", "--json"))["minutes"] == 0


KILLED = """
import sys
from pathlib import Path
import test_study_stage
if __name__ == "__main__":
    test_study_stage.shrink()
    test_study_stage.{call}
"""
AS_IT_IS = os.pathsep.join(
    [str(Path(__file__).parent), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
)
"""Where the programs that are killed find their modules."""


def started(program: Path, work: Path, call: str) -> subprocess.Popen[bytes]:
    """A study as a program of its own, with processes as they are."""
    program.write_text(KILLED.format(call=call), "utf-8")
    return subprocess.Popen([sys.executable, str(program), str(work)], env={**os.environ, "PYTHONPATH": AS_IT_IS})


def killed_once(process: subprocess.Popen[bytes], is_time: Callable[[], bool]) -> bool:
    """Kill (-9) a program once the time has come; False where it came to its end before."""
    while process.poll() is None:
        if is_time():
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.01)
    assert process.returncode == 0
    return False


@pytest.mark.verify
def test_a_killed_stability_ends_in_the_same_verdict(
    folder: Path, moved: tuple[Path, Record, list[str]], tmp_path: Path
) -> None:
    """Killed (-9) among its twins' training, and as the last of them is there: while it asks the models."""
    work, call = tmp_path / "work", "studied_moves(Path(sys.argv[1]))"
    shutil.copytree(folder, work)
    own = work / "studies/stability"

    def runs() -> int:
        return len(list((work / POOL).glob("*/run.json")))

    before = runs()
    assert killed_once(started(tmp_path / "studying.py", work, call), lambda: runs() >= before + 3)
    kept = {path: path.stat().st_mtime_ns for path in (work / POOL).glob("*/run.json")}
    plan = (own / "plan.json").read_bytes()
    assert len(kept) < before + 10
    assert killed_once(started(tmp_path / "studying.py", work, call), lambda: runs() == before + 10)
    assert not (own / "record.json").exists()
    assert not killed_once(started(tmp_path / "studying.py", work, call), lambda: False)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert (own / "plan.json").read_bytes() == plan
    other = moved[0] / "studies/stability"
    for name in ("verdict.json", RUNS_TABLE):
        assert (own / name).read_bytes() == (other / name).read_bytes()
    assert not list((work / POOL).glob("*.scratch"))


@pytest.mark.verify
def test_any_kill_ends_in_the_same_verdict(folder: Path, with_tokens: Path, tmp_path: Path) -> None:
    """With processes as they are; killed (-9) once a few runs are done, again and again, until it comes to its end."""
    work, kills = tmp_path / "work", 0
    shutil.copytree(with_tokens, work)

    def told() -> int:
        return len(list((work / POOL).rglob("*.json")))

    while not (work / "studies/self-averaging/record.json").exists():
        enough = told() + 3 + kills if kills < 4 else sys.maxsize
        process = started(tmp_path / "studying.py", work, "studied(Path(sys.argv[1]), 1.75)")
        kills += killed_once(process, partial(lambda most: told() > most, enough))
    assert kills >= 3
    assert read_json(work / "studies/self-averaging/verdict.json") == read_json(
        folder / "studies/self-averaging/verdict.json"
    )
