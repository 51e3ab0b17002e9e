"""What trackers leave: read without their packages where that is possible, else with them."""

from __future__ import annotations

import json
import math
import sqlite3
import struct
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from chidu.errors import ChiduError, MissingPackageError, TableError
from chidu.runs import Ladder

SIZES = [(10**6, 2 * 10**7), (2 * 10**6, 4 * 10**7), (4 * 10**6, 8 * 10**7)]
CURVE = [4.0, 3.0, 3.25]
"""Losses of a run's three steps: the last is not the least."""
CONFIG = [{"n_params": n, "train_tokens": d, "model": {"layers": 4 + i}} for i, (n, d) in enumerate(SIZES)]


def check(ladder: Ladder, runs: int = 3) -> None:
    """A row a run: its config, nested keys joined; the last loss, and beside it the least."""
    assert ladder.columns["run"].tolist() == [f"size-{i}" for i in range(runs)]
    assert ladder.numbers("params").tolist() == [n for n, _ in SIZES[:runs]]
    assert ladder.numbers("tokens").tolist() == [d for _, d in SIZES[:runs]]
    assert ladder.numbers("model.layers").tolist() == [4, 5, 6][:runs]
    assert ladder.numbers("loss").tolist() == [3.25] * runs
    assert ladder.numbers("val/loss.min").tolist() == [3.0] * runs
    assert ladder.notes[0].startswith(f"{runs} runs of ")
    assert {"loss is read from val/loss", "params are read from n_params"} <= set(ladder.notes)


def trackio_file(path: Path, *, ids: bool = True) -> Path:
    """A project as trackio writes it; files of older versions had no run ids."""
    column, slot = ("run_id TEXT NOT NULL, ", "?, ") if ids else ("", "")
    with sqlite3.connect(path) as connection:
        connection.execute(
            f"CREATE TABLE metrics (id INTEGER PRIMARY KEY, {column}timestamp TEXT, run_name TEXT, step INTEGER,"
            " metrics TEXT)"
        )
        connection.execute(
            f"CREATE TABLE configs (id INTEGER PRIMARY KEY, {column}run_name TEXT, config TEXT, created_at TEXT)"
        )
        for i, config in enumerate(CONFIG):
            key = [f"id-{i}"] if ids else []
            for step in (0, 2, 1):
                values = json.dumps({"val/loss": CURVE[step], "odd": "NaN"})
                connection.execute(
                    f"INSERT INTO metrics VALUES (NULL, {slot}'', ?, ?, ?)", [*key, f"size-{i}", step, values]
                )
            text = json.dumps({**config, "_Username": "somebody"})
            connection.execute(f"INSERT INTO configs VALUES (NULL, {slot}?, ?, '')", [*key, f"size-{i}", text])
    connection.close()
    return path


@pytest.mark.parametrize("ids", [True, False])
def test_trackio(ids: bool, tmp_path: Path) -> None:
    path = trackio_file(tmp_path / "ladder.db", ids=ids)
    before = path.read_bytes()
    for place in (path, tmp_path):
        check(Ladder.read(place))
    assert not any("Username" in name for name in Ladder.read(path).columns)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["ladder.db"]


def test_a_damaged_trackio_run_is_named(tmp_path: Path) -> None:
    path = trackio_file(tmp_path / "ladder.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE configs SET config = '{' WHERE run_name = 'size-1'")
    connection.close()
    with pytest.raises(TableError, match=r"ladder\.db: the config of run 'size-1' are not JSON"):
        Ladder.read(path)


def mlflow_file(path: Path) -> Path:
    """The tables of MLflow's that are read, with a failed run and a deleted one."""
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE experiments (experiment_id INTEGER, name TEXT);"
            "CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, experiment_id INTEGER, lifecycle_stage TEXT,"
            " start_time INTEGER);"
            "CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);"
            "CREATE TABLE metrics (key TEXT, value REAL, timestamp INTEGER, run_uuid TEXT, step INTEGER,"
            " is_nan BOOLEAN);"
            "CREATE TABLE latest_metrics (key TEXT, value REAL, timestamp INTEGER, step INTEGER, is_nan BOOLEAN,"
            " run_uuid TEXT);"
            "INSERT INTO experiments VALUES (1, 'ladder')"
        )
        for i, (n, d) in enumerate([*SIZES, (1, 1), (2, 2)]):
            status, stage = ("FAILED" if i == 3 else "FINISHED"), ("deleted" if i == 4 else "active")
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, 1, ?, ?)", [f"u{i}", f"size-{i}", status, stage, i])
            for key, value in (("n_params", n), ("train_tokens", d), ("model.layers", 4 + i), ("loss", "ce")):
                connection.execute("INSERT INTO params VALUES (?, ?, ?)", [key, str(value), f"u{i}"])
            for step, loss in enumerate(CURVE):
                connection.execute("INSERT INTO metrics VALUES ('val/loss', ?, 0, ?, ?, 0)", [loss, f"u{i}", step])
            connection.execute("INSERT INTO latest_metrics VALUES ('val/loss', ?, 0, 2, 0, ?)", [CURVE[-1], f"u{i}"])
            connection.execute("INSERT INTO latest_metrics VALUES ('odd', 0, 0, 2, 1, ?)", [f"u{i}"])
    connection.close()
    return path


def test_mlflow_database(tmp_path: Path) -> None:
    path = mlflow_file(tmp_path / "mlflow.db")
    for place in (path, tmp_path):
        ladder = Ladder.read(place)
        check(ladder)
        assert "1 of 4 runs left out, not finished: size-3 (failed)" in ladder.notes
        assert math.isnan(ladder.columns["odd"][0])
        assert ladder.columns["config.loss"].tolist() == ["ce"] * 3


def mlflow_folder(root: Path) -> Path:
    project = root / "mlruns" / "813"
    project.mkdir(parents=True)
    (project / "meta.yaml").write_text("experiment_id: '813'\nname: ladder\n", encoding="utf-8")
    for i, (n, d) in enumerate([*SIZES, (1, 1), (2, 2)]):
        run = project / f"u{i}"
        (run / "params").mkdir(parents=True)
        (run / "metrics" / "val").mkdir(parents=True)
        stage = "deleted" if i == 4 else "active"
        (run / "meta.yaml").write_text(
            f"lifecycle_stage: {stage}\nrun_id: u{i}\nrun_name: size-{i}\nstatus: {4 if i == 3 else 3}\n",
            encoding="utf-8",
        )
        for key, value in (("n_params", n), ("train_tokens", d), ("model.layers", 4 + i)):
            (run / "params" / key).write_text(str(value), encoding="utf-8")
        lines = [f"{1000 + step} {CURVE[step]} {step}\n" for step in (0, 2, 1)]
        (run / "metrics" / "val" / "loss").write_text("".join(lines), encoding="utf-8")
    return root


def test_mlflow_folder(tmp_path: Path) -> None:
    mlflow_folder(tmp_path)
    for place in (tmp_path, tmp_path / "mlruns", tmp_path / "mlruns" / "813"):
        ladder = Ladder.read(place)
        check(ladder)
        assert "1 of 4 runs left out, not finished: size-3 (failed)" in ladder.notes


def test_a_bad_line_of_mlflow_is_named(tmp_path: Path) -> None:
    file = mlflow_folder(tmp_path) / "mlruns" / "813" / "u1" / "metrics" / "val" / "loss"
    file.write_text("1000 4.0 0\n1001 four 1\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"val/loss: line 2 is not TIME VALUE STEP: '1001 four 1'"):
        Ladder.read(tmp_path)


def test_a_run_without_a_loss_is_refused_by_its_name(tmp_path: Path) -> None:
    (mlflow_folder(tmp_path) / "mlruns" / "813" / "u1" / "metrics" / "val" / "loss").unlink()
    with pytest.raises(TableError, match=r"row 2 \(run 'size-1'\), column 'loss' \(val/loss\) is empty"):
        Ladder.read(tmp_path).numbers("loss")


def wandb_log(path: Path, contents: Iterable[bytes]) -> None:
    """Write records as W&B does: blocks of 32 kB, parts with a checksum, a length and a kind."""
    raw = bytearray(b":W&B" + struct.pack("<HB", 0xBEE1, 0))
    for content in contents:
        rest, first = content, True
        while True:
            left = 32768 - len(raw) % 32768
            if left < 7:
                raw += bytes(left)
                left = 32768
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = {(True, False): 1, (True, True): 2, (False, True): 3, (False, False): 4}[first, bool(rest)]
            raw += struct.pack("<IHB", zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part
            first = False
            if not rest:
                break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(raw))


def wandb_folder(root: Path) -> Path:
    protocol = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="`.wandb` files need wandb")

    def fill(items: Any, values: dict[str, Any]) -> None:
        for name, value in values.items():
            item = items.add()
            item.key, item.value_json = name, json.dumps(value)

    for i, config in enumerate([*CONFIG, CONFIG[0]]):
        start = protocol.Record()
        start.run.run_id, start.run.display_name, start.run.project = f"u{i}", f"size-{i}", "ladder"
        fill(start.run.config.update, {**config, "_wandb": {"cli": "1"}, "notes": "x" * 70_000, "loss": "ce"})
        records = [start]
        for step, loss in enumerate(CURVE):
            records.append(protocol.Record())
            fill(records[-1].history.item, {"_step": step, "val/loss": loss})
        records.append(protocol.Record())
        fill(records[-1].summary.update, {"val/loss": CURVE[-1], "_runtime": 3})
        if i < 3:
            records.append(protocol.Record())
            records[-1].exit.exit_code = 0
        folder = root / "wandb" / f"offline-run-2026010{i}_000000-u{i}"
        wandb_log(folder / f"run-u{i}.wandb", [record.SerializeToString() for record in records])
    return root


def test_wandb(tmp_path: Path) -> None:
    wandb_folder(tmp_path)
    (tmp_path / "wandb" / "latest-run").symlink_to(tmp_path / "wandb" / "offline-run-20260102_000000-u2")
    for place in (tmp_path, tmp_path / "wandb"):
        ladder = Ladder.read(place)
        check(ladder)
        assert "1 of 4 runs left out, not finished: size-3 (crashed or running)" in ladder.notes
        assert not [name for name in ladder.columns if name.startswith("_")]
    assert len(Ladder.read(tmp_path / "wandb" / "latest-run")) == 1


def test_a_torn_wandb_file_is_unfinished_and_a_damaged_one_refused(tmp_path: Path) -> None:
    wandb_folder(tmp_path)
    file = tmp_path / "wandb" / "offline-run-20260101_000000-u1" / "run-u1.wandb"
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert Ladder.read(tmp_path).columns["run"].tolist() == ["size-0", "size-2"]
    file.write_bytes(whole[:100] + b"\0" + whole[101:])
    with pytest.raises(TableError, match=r"run-u1\.wandb: damaged at byte 7"):
        Ladder.read(tmp_path)
    file.write_bytes(b"text")
    with pytest.raises(TableError, match=r"run-u1\.wandb: not a file of W&B's"):
        Ladder.read(file)


def tensorboard_folder(root: Path) -> Path:
    writers = pytest.importorskip("tensorboard.summary.writer.event_file_writer", reason="event files need tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2
    from tensorboard.util.tensor_util import make_tensor_proto

    def value(tag: str, plugin: Any, content: Any) -> Any:
        return Summary(value=[Summary.Value(tag=tag, metadata=plugin, tensor=make_tensor_proto(content))])

    def plugin(name: str) -> Any:
        return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name))

    for i, (n, d) in enumerate(SIZES):
        started = plugin_data_pb2.SessionStartInfo()
        started.hparams["n_params"].number_value = n
        started.hparams["train_tokens"].number_value = d
        hparams = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_start_info=started))
        # PyTorch writes the config of a run into a folder of its own below the run's.
        writer = writers.EventFileWriter(str(root / f"size-{i}" / "1700000000.0"))
        writer.add_event(Event(wall_time=1.0, summary=value("_hparams_/session_start_info", hparams, 0.0)))
        writer.close()
        writer = writers.EventFileWriter(str(root / f"size-{i}"))
        text = json.dumps({"model": {"layers": 4 + i}}).encode()
        writer.add_event(Event(wall_time=1.0, summary=value("config/text_summary", plugin("text"), [text])))
        for step, loss in enumerate(CURVE):
            scalar = Summary(value=[Summary.Value(tag="val/loss", simple_value=loss)])
            writer.add_event(Event(wall_time=1.0 + step, step=step, summary=scalar))
            newer = value("newer", plugin("scalars"), loss)
            writer.add_event(Event(wall_time=1.0 + step, step=step, summary=newer))
        writer.close()
    return root


def test_tensorboard(tmp_path: Path) -> None:
    ladder = Ladder.read(tensorboard_folder(tmp_path / "runs"))
    check(ladder)
    assert ladder.numbers("newer").tolist() == [3.25] * 3


@pytest.mark.parametrize(("package", "name"), [("wandb", "run-a.wandb"), ("tensorboard", "events.out.tfevents.1.a")])
def test_a_missing_package_is_named(package: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [each for each in sys.modules if each.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(b":W&B\0\0\0")
    for place in (tmp_path, tmp_path / name):
        with pytest.raises(
            MissingPackageError, match=rf"needs the package '{package}': run pip install 'chidu\[{package}\]'"
        ):
            Ladder.read(place)


def test_wandbs_table_of_runs(tmp_path: Path) -> None:
    path = tmp_path / "wandb_export.csv"
    path.write_text(
        '"Name","State","Created","Runtime","n_params","train_tokens","val/loss"\n'
        '"a","finished","2026-01-01","60","1000000","20000000","4"\n'
        '"b","crashed","2026-01-01","60","2000000","40000000","5"\n'
        '"c","finished","2026-01-01","60","4000000","80000000",""\n',
        encoding="utf-8",
    )
    ladder = Ladder.read(path)
    assert ladder.numbers("params").tolist() == [1e6, 4e6]
    assert "1 of 3 runs left out, not finished: row 3 (crashed)" in ladder.notes
    with pytest.raises(TableError, match=r"row 4, column 'loss' \(val/loss\) is empty"):
        ladder.numbers("loss")
    path.write_text(path.read_text(encoding="utf-8").replace("finished", "failed"), encoding="utf-8")
    with pytest.raises(TableError, match=r"'State': no run has finished \(2 failed, 1 crashed\)"):
        Ladder.read(path)


def test_wandbs_api_gives_configs_as_python_prints_them(tmp_path: Path) -> None:
    path = tmp_path / "project.csv"
    summary = "{'val/loss': 3.25, '_step': 10, 'gradient': nan, 'path': 'a nan b'}"
    config = "{'n_params': 1000000, 'train_tokens': 20000000, 'model': {'layers': 4}}"
    path.write_text(f',summary,config,name\n0,"{summary}","{config}",a\n', encoding="utf-8")
    ladder = Ladder.read(path)
    assert (ladder.numbers("loss")[0], ladder.numbers("params")[0], ladder.numbers("tokens")[0]) == (3.25, 1e6, 2e7)
    assert ladder.numbers("config.model.layers")[0] == 4
    assert ladder.columns["summary.path"].tolist() == ["a nan b"]
    path.write_text(f',summary,config,name\n0,"{{not a mapping}}","{config}",a\n', encoding="utf-8")
    with pytest.raises(TableError, match=r"project\.csv: row 2, column 'summary': neither JSON nor"):
        Ladder.read(path)


def test_nested_jsonl_is_written_flat(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    row = {"name": "a", "config": {"n_params": "1M", "model": {"layers": 4}}, "summary": {"val/loss": 3.25}}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    ladder = Ladder.read(path)
    assert ladder.numbers("params").tolist() == [1e6]
    assert ladder.notes == ("loss is read from summary.val/loss", "params are read from config.n_params")


def test_mlflows_table_of_runs(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(
        "run_id,experiment_id,status,params.n_params,params.train_tokens,metrics.val_loss\n"
        "a,1,FINISHED,1000000,20000000,4\nb,1,FAILED,2000000,40000000,5\n",
        encoding="utf-8",
    )
    ladder = Ladder.read(path)
    assert ladder.numbers("loss").tolist() == [4]
    assert "1 of 2 runs left out, not finished: row 3 (failed)" in ladder.notes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('"Step","a - val/loss","a - val/loss__MIN","a - val/loss__MAX"\n1,2,2,2\n', "a chart of W&B"),
        ("Wall time,Step,Value\n1,2,3\n", "the steps of one run in TensorBoard"),
    ],
)
def test_charts_are_no_tables_of_runs(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "chart.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TableError, match=words):
        Ladder.read(path)


def test_other_sqlite_files_and_folders_of_several_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE a (b)")
    connection.close()
    with pytest.raises(TableError, match="holds no runs of MLflow or trackio"):
        Ladder.read(other)
    with pytest.raises(TableError, match="this is a folder"):
        Ladder.read(tmp_path)
    trackio_file(tmp_path / "ladder.db")
    check(Ladder.read(tmp_path))
    mlflow_file(tmp_path / "mlflow.db")
    with pytest.raises(TableError, match=r"several trackers .* name one \(trackio: .*ladder\.db; MLflow: .*mlflow\.db"):
        Ladder.read(tmp_path)
    (tmp_path / "torn.db").write_bytes(other.read_bytes()[:100] + b"\xff" * 4000)
    with pytest.raises(ChiduError, match=r"torn\.db: this SQLite file can't be read"):
        Ladder.read(tmp_path / "torn.db")
