"""Runs handed to other trackers: what their own libraries and our readers find there is what the work folder holds."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chidu.errors import MissingPackageError, SettingError, WorkFolderError
from chidu.laws import fit
from chidu.runs import Ladder, Run
from chidu.runs.exports.wandb import _items, _records
from chidu.runs.forecast import WrittenForecast
from chidu.runs.outbound import writing
from chidu.runs.record import Record, fingerprint, write_json
from chidu.work.exporting import export_folder, export_gguf, export_work

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")
FORMULA = "E + A / params_matmul**alpha + B / tokens**beta"


@pytest.fixture(scope="module")
def folder(make_run: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder, made up, as far as it is exported: nine rungs, and a target that was scored."""
    made = tmp_path_factory.mktemp("exported")
    random = np.random.default_rng(0)

    def run(width: int, steps: int) -> Run:
        base = make_run().config
        config = dataclasses.replace(base, shape=dataclasses.replace(base.shape, width=width), steps=steps)
        loss = 1.3 + 60 / config.shape.params_matmul**0.4 + 20 / config.tokens**0.3 + random.normal(0, 0.001)
        curve = tuple((step, float(9 / step**0.1)) for step in range(6, steps + 1, 6))
        name = f"w{width:04d}-{steps}"
        norms = tuple((step, 1 + 2 / step, 3.0) for step in range(6, steps + 1, 6))
        return make_run(
            name=name, group=f"w{width:04d}", config=config, loss=float(loss), curve=curve, seconds=0.1,
            gradient_norms=norms,
        )  # fmt: skip

    runs = [run(width, steps) for width in (16, 24, 32) for steps in (12, 24, 48)]
    for each in runs:
        write_json(made / "ladder" / each.name / "run.json", each.as_dict())
    Ladder.from_runs(runs).write(made / "ladder" / "ladder.csv")
    write_json(made / "work.json", {"chidu_work_folder": 1})
    target = dataclasses.replace(run(64, 48), name="target", group="target")
    write_json(made / "target" / "run.json", target.as_dict())
    Record("target", {}, {}, {}, {}, "", 1.0, {}, {}).write(made / "target")
    point = {"tokens": float(target.config.tokens)}
    written = WrittenForecast(
        "2026-01-01T00:00:00+00:00", point, "additive", FORMULA, 2.5, 2.4, 2.6, 0.9, 8.0, "yes", "", "", 
        fingerprint(target.config.as_dict()),
    )  # fmt: skip
    written.write(made / "forecast" / "forecast.json")
    (made / "score").mkdir()
    written.score(target).write(made / "score" / "score.json")
    return made


@pytest.fixture(scope="module", params=TRACKERS)
def exported(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    output = tmp_path_factory.mktemp(request.param) / "out"
    return request.param, export_work(folder, request.param, output)


def by_name(table: Ladder) -> Ladder:
    return table.select(np.argsort(table.columns["run"]))


def test_a_law_sees_the_same_table(exported: Any, folder: Path) -> None:
    _, made = exported
    ours, theirs = by_name(Ladder.read(folder / "ladder" / "ladder.csv")), by_name(Ladder.read(made.ladder))
    assert len(ours) == len(theirs) == 9
    for name, column in ours.columns.items():
        assert theirs.columns[name].tolist() == column.tolist(), name
    assert fit(theirs, FORMULA, 0).parameters == fit(ours, FORMULA, 0).parameters
    assert made.runs == (*Ladder.read(folder / "ladder" / "ladder.csv").columns["run"].tolist(), "target")


def test_the_target_carries_its_forecast_and_score(exported: Any, folder: Path) -> None:
    _, made = exported
    assert made.target is not None
    columns = {name: column[0] for name, column in Ladder.read(made.target).columns.items()}
    score = json.loads((folder / "score" / "score.json").read_text())
    forecast = json.loads((folder / "forecast" / "forecast.json").read_text())
    assert columns["loss"] == score["measured"]
    assert columns["forecast_error_percent"] == score["error_percent"]
    assert columns["forecast_inside"] == float(score["inside"])
    for name in ("loss", "low", "high", "level"):
        assert float(columns[f"forecast.{name}"]) == forecast[name]
    assert columns["forecast.seal"] == forecast["seal"]


def test_the_curve_is_whole_as_the_trackers_own_library_reads_it(exported: Any, folder: Path) -> None:
    tracker, made = exported
    run = Run.from_dict(json.loads((folder / "ladder" / "w0024-48" / "run.json").read_text()))
    assert READERS[tracker](made.ladder, run.name, "train_loss") == list(run.curve)
    norms = READERS[tracker](made.ladder, run.name, "grad_norm")
    assert norms == [(step, mean) for step, mean, _ in run.gradient_norms]


def of_tensorboard(folder: Path, name: str, metric: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder / name))
    events.Reload()
    return [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(metric)]


def of_wandb(folder: Path, name: str, metric: str) -> list[tuple[int, float]]:
    # Its library has no reader of its own files; the messages in them are its.
    (file,) = folder.glob(f"wandb/offline-run-*{name}/run-*.wandb")
    history = [_items(file, record.history.item) for record in _records(file) if record.HasField("history")]
    return [(values["_step"], values[metric]) for values in history if metric in values]


def of_mlflow(folder: Path, name: str, metric: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ladder")
    (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    assert run.info.status == "FINISHED"
    return [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, metric)]


def of_trackio(folder: Path, name: str, metric: str) -> list[tuple[int, float]]:
    # Its library reads the place of its files once, as it loads: here the file itself.
    with sqlite3.connect(folder) as connection:
        rows = connection.execute("SELECT step, metrics FROM metrics WHERE run_name = ? ORDER BY step", [name])
        found = [(step, json.loads(metrics)) for step, metrics in rows]
    connection.close()
    return [(step, values[metric]) for step, values in found if metric in values]


READERS = {"tensorboard": of_tensorboard, "wandb": of_wandb, "mlflow": of_mlflow, "trackio": of_trackio}


def test_nothing_tells_whose_machine_it_was(exported: Any) -> None:
    _, made = exported
    names = {socket.gethostname(), os.environ.get("USER", ""), os.environ.get("LOGNAME", "")} - {"", "localhost"}
    for path in made.ladder.parent.rglob("*"):
        # TensorBoard's own file names end with the host's.
        if path.is_file() and "tfevents" not in path.name:
            content = path.read_bytes()
            assert [name for name in names if len(name) > 5 and name.encode() in content] == [], path


def test_an_export_is_made_once(folder: Path, tmp_path: Path) -> None:
    export_work(folder, "tensorboard", tmp_path / "out")
    with pytest.raises(SettingError, match="is there already: delete it, or name another"):
        export_work(folder, "tensorboard", tmp_path / "out")


def test_what_can_not_be_exported_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"no tracker 'mlfow' \(did you mean 'mlflow'\?\); use tensorboard, wandb"):
        export_work(folder, "mlfow", tmp_path / "out")
    with pytest.raises(WorkFolderError, match="no such folder"):
        export_work(tmp_path / "none", "mlflow", tmp_path / "out")
    write_json(tmp_path / "new" / "work.json", {"chidu_work_folder": 1})
    with pytest.raises(WorkFolderError, match="has no finished ladder: run chidu ladder"):
        export_work(tmp_path / "new", "mlflow", tmp_path / "out")
    monkeypatch.setattr(writing.importlib.util, "find_spec", lambda name: None)
    for tracker, package in (("tensorboard", "tensorboard"), ("mlflow", "mlflow")):
        with pytest.raises(MissingPackageError, match=rf"needs the package '{package}': .*chidu\[{tracker}\]"):
            export_work(folder, tracker, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def with_model(saved: Path, tmp_path: Path) -> Path:
    """A work folder with a finished model, as far as that is exported."""
    made = tmp_path / "work"
    shutil.copytree(saved, made / "model", ignore=lambda _, names: [name for name in names if name == "train.jsonl"])
    (made / "model" / "README.md").write_text("what it is")
    Record("model", {}, {}, {}, {}, "", 1.0, {}, {}).write(made / "model")
    (made / "corpus").mkdir()
    (made / "corpus" / "DATA_CARD.md").write_text("what was read")
    write_json(made / "work.json", {"chidu_work_folder": 1})
    return made


def test_a_model_is_exported_as_a_folder_that_opens(with_model: Path, tmp_path: Path) -> None:
    from chidu.inference import Sampling, open_engine

    export_folder(with_model, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert "record.json" not in names
    assert (tmp_path / "out" / "DATA_CARD.md").read_text() == "what was read"
    assert (tmp_path / "out" / "README.md").read_text() == "what it is"
    sampling = Sampling(max_tokens=5, temperature=0)
    texts = [
        "".join(piece.text for piece in open_engine(str(path)).write("the", sampling))
        for path in (with_model / "model", tmp_path / "out")
    ]
    assert texts[0] == texts[1]
    with pytest.raises(SettingError, match="is there already"):
        export_folder(with_model, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "work"]


def test_a_gguf_file_has_its_card_beside_it(with_model: Path, tmp_path: Path) -> None:
    card = export_gguf(with_model, tmp_path / "out" / "m.gguf", "f16")
    assert card.read_text() == "what it is"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["m.gguf", "m.md"]
    (tmp_path / "out" / "m.gguf").unlink()
    with pytest.raises(SettingError, match=r"m\.md is there already"):
        export_gguf(with_model, tmp_path / "out" / "m.gguf", "f16")
    (with_model / "model" / "record.json").unlink()
    with pytest.raises(WorkFolderError, match="has no finished model"):
        export_folder(with_model, tmp_path / "other")
