"""The command line: exit codes, one line for each expected error, one JSON document where asked for."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chidu.cli import VERBS, doctor
from chidu.errors import InputError, MissingPackageError
from chidu.inference import Piece
from chidu.runs import open_work_folder
from chidu.training.probe import Speed

Call = Any
GOOD = "params,tokens,loss\n" + "".join(
    f"{n}e6,{d}e6,{1.7 + 400 / (n * 1e6) ** 0.34 + 2000 / (d * 1e6) ** 0.37}\n"
    for n in (10, 20, 40, 80)
    for d in (200, 400, 800)
)


def chidu(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "chidu", *map(str, words)], cwd=cwd, capture_output=True, text=True)


# As a program


def test_help_lists_every_verb(tmp_path: Path) -> None:
    result = chidu("--help", cwd=tmp_path)
    assert result.returncode == 0
    for verb in VERBS:
        assert f"  {verb} " in result.stdout


def test_an_unknown_verb_is_a_usage_error(tmp_path: Path) -> None:
    result = chidu("forcast", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "forcast" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_of_the_caller_is_one_line(tmp_path: Path) -> None:
    result = chidu("fit", "none.csv", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "chidu: none.csv: no such file\n"


# In this process


def test_the_version_is_the_packages(call: Call) -> None:
    from chidu import __version__

    assert call("--version").out == f"chidu {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, call: Call) -> None:
    told = call(verb, "--help")
    assert told.code == 0
    assert told.err == ""
    assert "Usage:" in told.out


@pytest.mark.parametrize(
    "words", [["fit"], ["fit", "a.csv", "--levle", "0.9"], ["demo", "--minutes", "many"], ["report"]]
)
def test_wrong_usage_ends_with_two(words: list[str], call: Call) -> None:
    told = call(*words)
    assert told.code == 2
    assert told.out == ""
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD.replace("loss", "train_loss"), ["runs.csv", "'loss'", "did you mean 'train_loss'"]),
        ("", ["runs.csv", "empty"]),
        ("params,tokens,loss\n", ["runs.csv", "no rows"]),
        (GOOD.replace("20e6", "twenty", 1), ["runs.csv", "row", "'twenty'"]),
        (GOOD + "1e6,2e6,nan\n", ["runs.csv", "row 14", "'loss'"]),
        (GOOD + "1e6\n", ["runs.csv", "row 14"]),
        (GOOD.replace("loss", "result"), ["runs.csv", "'loss'", "it has params, tokens, result"]),
    ],
)
def test_a_bad_table_is_one_line(content: str, words: list[str], call: Call, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(content)
    for verb in (["fit"], ["backtest"], ["plan", "--flops", "1e20"]):
        complaint = call(verb[0], "runs.csv", *verb[1:]).complaint
        for word in words:
            assert word in complaint


def test_json_is_one_document_on_stdout(call: Call, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(GOOD)
    told = call("fit", "runs.csv", "--json", "--resamples", "20")
    assert told.code == 0
    assert json.loads(told.out)["rows"] == 12


def test_doctor_describes_this_machine(call: Call) -> None:
    found = json.loads(call("doctor", "--json").out)
    assert found["cores"] >= 1
    assert all(state["status"] == "ready" for state in found["verbs"].values())
    assert "cores" in call("doctor").out


def test_doctor_names_every_verb_but_itself() -> None:
    named = [verb for verbs in doctor.PURPOSES for verb in verbs.split(", ")]
    missing = ({*VERBS, "audit"} - {"doctor"}) - {verb.split(" --")[0] for verb in named}
    assert missing == set()
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["build"], "--text"),
        (["build", "--text", "nowhere"], "nowhere"),
        (["demo", "--minutes", "2"], "minutes is 2.0; it must be a number from 3 to 600"),
        (["demo", "--minutes", "1000"], "3 to 600"),
        (["demo", "--minutes", "nan"], "3 to 600"),
        (["demo", "--language", "fr"], "'zh'"),
        (["demo", "--seed", "-1"], "seed"),
        (["tokenize", "--vocabulary", "10"], "vocabulary"),
        (["generate", "hello"], "there is no model: train one with chidu demo"),
        (["generate", "hello", "--model", "."], "no config.json"),
        (["report", "--work", "nowhere"], "nowhere has no finished ladder"),
        (["fit", "."], "this is a folder"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_written(
    words: list[str], expected: str, call: Call, tmp_path: Path
) -> None:
    assert expected in call(*words).complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["dropped", "bring other text"]),
        (b"one line\nand two\nand three of them, just enough to be kept at all\n", ["vocabulary", "more text"]),
        ("一行中文。".encode("gb18030") * 50, ["UTF-8", "notes.txt"]),
        (b"\x00\x01binary" * 50, ["notes.txt"]),
    ],
    ids=["empty", "three lines", "not UTF-8", "binary"],
)
def test_text_that_is_no_use_is_one_line(content: bytes, words: list[str], call: Call, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(content)
    complaint = call("build", "--text", "notes.txt", "--work", "work").complaint
    for word in words:
        assert word in complaint
    assert len(complaint) < 400


def test_files_in_another_encoding_are_told_at_once(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "good.txt").write_text(
        "\n\n".join(f"Sentence number {i} of a good file." * 8 for i in range(40))
    )
    (tmp_path / "text" / "old.txt").write_bytes("一行中文。".encode("gb18030") * 50)
    told = call("corpus", "--text", "text", "--work", "work")
    assert told.code == 0, told.err
    assert "1 file left out as not UTF-8, the first" in told.err
    assert "old.txt" in told.err


def test_advice_on_the_vocabulary_can_be_followed(call: Call, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("one line\nand two\nand three of them, just enough to be kept at all\n")
    assert "or less" not in call("build", "--text", "notes.txt", "--work", "work").complaint


def write(prompt: str, _: Any) -> Iterator[Piece]:
    """Stand for a model: a generator, as the real one is."""
    if len(prompt) > 100:
        raise InputError("the prompt is 200 tokens long: shorten it")
    yield Piece(" 天下大势")
    yield Piece("😀", "length")


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = types.SimpleNamespace(name="stands for a model", write=write)
    monkeypatch.setattr("chidu.inference.open_engine", lambda _: engine)


@pytest.mark.usefixtures("no_model")
def test_a_prompt_that_is_refused_is_not_printed(call: Call) -> None:
    assert call("generate", "话说", "--model", ".").out == "话说 天下大势😀\n"
    told = call("generate", "话说" * 100, "--model", ".")
    assert told.out == ""
    assert "shorten it" in told.complaint


PRINT = """
import sys
import typer
import chidu.cli
chidu.cli.app = lambda **_: (typer.echo("尺度 😀"), print("尺度 😀", file=sys.stderr))
chidu.cli.main()
"""


@pytest.mark.parametrize(("encoding", "expected"), [("gbk", "尺度 ?"), ("latin-1", "?? ?"), ("utf-8", "尺度 😀")])
def test_a_terminal_that_lacks_a_character_shows_a_question_mark(encoding: str, expected: str, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    result = subprocess.run([sys.executable, "-c", PRINT], cwd=tmp_path, env=env, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode(encoding).strip() == expected


def test_an_output_that_is_no_terminal_is_left_as_it_is(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", written := io.StringIO())
    assert call("--version").code == 0
    assert written.getvalue().startswith("chidu ")


def test_an_unknown_setting_is_one_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "chidu.toml").write_text("minuts = 10\n")
    assert "did you mean 'minutes'" in call("demo", "--work", "work").complaint


def test_a_folder_of_something_else_is_one_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    assert "holds other files" in call("demo", "--work", ".").complaint


def test_a_second_process_in_a_folder_is_one_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("some text " * 100)
    with open_work_folder(tmp_path / "work"):
        result = chidu("corpus", "--text", "notes.txt", "--work", "work", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("chidu: work is in use by another chidu process")
    assert result.stderr.count("\n") == 1


def test_corpus_and_tokenize_end_with_one_document(call: Call, text_folder: Path) -> None:
    told = call("corpus", "--text", text_folder, "--work", "work", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["corpus"]["documents_kept"] > 0
    assert "corpus: started" in told.err
    told = call("tokenize", "--work", "work", "--vocabulary", "512", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["tokens"]["train"]["tokens"] > 0
    assert "nothing left to do" in call("tokenize", "--work", "work").out


def test_a_dry_run_writes_nothing(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "chidu.training.probe.measure_speed", lambda apart, one, place: Speed((0.005,) * len(apart), 0.01, 1)
    )
    told = call("demo", "--dry-run", "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert 0 < found["minutes"] <= 10.5
    assert next(iter(found["stages"])) == "collect"
    assert "plan: " in told.err
    assert list(tmp_path.iterdir()) == []
    assert "together" in call("demo", "--dry-run", "--minutes", "5").out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["demo", "ladder", "train"])
@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("rays", "--on 'rays' is no place: write local, ray, ray:HOST:PORT"),
        ("ray:head", "--on 'ray:head' is no place"),
        (
            "ray:127.0.0.1:1",
            "no head of a Ray cluster answers at 127.0.0.1:1 (",
        ),
    ],
)
def test_a_place_that_is_none_is_said_before_anything_is_made(
    verb: str, on: str, expected: str, call: Call, tmp_path: Path
) -> None:
    assert expected in call(verb, "--work", "work", "--on", on).complaint
    assert not any(path.is_dir() for path in tmp_path.glob("work/*"))


def test_ray_takes_the_cluster_that_the_environment_names(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    assert "answers at 127.0.0.1:2" in call("demo", "--work", "work", "--on", "ray").complaint
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert "name the head" in call("demo", "--work", "work", "--on", "ray").complaint


def test_a_missing_ray_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ray" else real(name))
    assert "pip install 'chidu[ray]'" in call("demo", "--work", "work", "--on", "ray").complaint


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "work/x"), "the disk is full (writing work/x)"),
        (OSError(errno.EACCES, "Permission denied", "work/x"), "work/x: Permission denied"),
        (MissingPackageError("torch", "lab", "training"), "pip install 'chidu[lab]'"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    error: Exception, expected: str, call: Call, text_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("chidu.corpus.build_corpus", refuse)
    assert expected in call("corpus", "--text", text_folder, "--work", "work").complaint


def test_a_bug_is_not_hidden(call: Call, text_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("chidu.corpus.build_corpus", fail)
    with pytest.raises(ZeroDivisionError):
        call("corpus", "--text", text_folder, "--work", "work")


# Interrupted

SLOW = """
import sys
import parallel_work
import chidu.corpus
from chidu.cli import main
from chidu.parallel import map_processes, open_place
from chidu.inference import Piece

def work(*_, **__):
    if on == "local":
        return map_processes(parallel_work.wait_long, [seen] * 2, 2)
    with open_place(on) as place:
        return place.map(parallel_work.wait_long, [seen] * 2)

if __name__ == "__main__":
    on, seen = sys.argv.pop(), sys.argv.pop()
    chidu.corpus.build_corpus = work
    main()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("on", ["local", pytest.param("ray", marks=pytest.mark.verify)])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_stage_says_how_to_go_on_and_leaves_nobody(
    number: signal.Signals, code: int, on: str, text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cluster import descendants
    from test_parallel import alive, wait_for

    (tmp_path / "slow.py").write_text(SLOW)
    seen = tmp_path / "seen"
    seen.mkdir()
    words = ["corpus", "--text", str(text_folder), "--work", str(tmp_path / "work"), str(seen), on]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "slow.py"), *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: len(list(seen.iterdir())) == 2)
    started = descendants(process.pid)
    if number == signal.SIGINT:
        # As a terminal does: to all processes of the group.
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code, err
    assert err.strip().splitlines()[-1] == "chidu: interrupted; run the same command again to go on from here"
    assert "Traceback" not in err
    assert out == ""
    if on == "local":
        assert not any(alive(int(path.name)) for path in seen.iterdir())
    wait_for(lambda: not any(alive(pid) for pid in started))
    begun = json.loads((tmp_path / "work" / "corpus" / "begun.json").read_text())
    assert begun["seconds"] > 0
    with open_work_folder(tmp_path / "work"):
        pass


@pytest.mark.parametrize("words", [["generate", "hi"], ["report"]], ids=" ".join)
def test_a_folder_of_a_newer_version_is_read_by_no_verb(words: list[str], call: Call, tmp_path: Path) -> None:
    (tmp_path / "work.json").write_text('{"chidu_work_folder": 99}')
    assert "newer Chidu" in call(*words, "--work", tmp_path).complaint


def test_a_seed_out_of_range_is_one_line(call: Call) -> None:
    (Path("m")).mkdir()
    assert "seed" in call("generate", "hi", "--model", "m", "--seed", "99999999999999999999999").complaint


def test_several_texts_and_their_ends_are_told(call: Call, no_model: None) -> None:
    told = call("generate", "话说", "--model", ".", "--sequences", "2", "--json")
    document = json.loads(told.out)
    assert [each["seed"] for each in document["texts"]] == [0, 1]
    assert document["texts"][1] == {"text": " 天下大势😀", "seed": 1, "finish": "length"}


def test_models_are_listed(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "work" / "model").mkdir(parents=True)
    (tmp_path / "work" / "model" / "model.safetensors").write_bytes(b"0" * 2000)
    told = call("models", "--work", "work")
    assert "work/model  2.0 kB, trained here: here" in told.out
    assert "chidu models get smollm2" in told.out
    assert "e5  91.0 MB" in told.out
    found = json.loads(call("models", "--work", "work", "--json").out)["models"]
    assert found[0]["bytes"] == 2000
    assert "did you mean 'smollm2'" in call("models", "get", "smolm2").complaint


def test_a_gguf_file_is_refused_where_it_can_not_be_written(call: Call, tmp_path: Path) -> None:
    for form in ("gguf", "huggingface"):
        assert "nowhere has no finished model" in call("export", "--to", form, "--work", "nowhere").complaint


def test_generate_takes_the_model_that_is_there(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_engine(name: str) -> Any:
        opened.append(name)
        return types.SimpleNamespace(name=name, write=write)

    monkeypatch.setattr("chidu.inference.open_engine", open_engine)
    told = call("generate", "话说")
    assert all(way in told.complaint for way in ("chidu demo", "chidu models get smollm2", "--model"))
    kept = tmp_path / "data" / "chidu" / "models" / "SmolLM2-135M-Instruct.Q8_0.gguf"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert call("generate", "话说").code == 0
    (tmp_path / "chidu-work" / "model").mkdir(parents=True)
    (tmp_path / "chidu-work" / "work.json").write_text('{"chidu_work_folder": 1}')
    assert call("generate", "话说").code == 0
    assert "no such folder: train one with chidu build" in call("generate", "话说", "--work", "mine").complaint
    assert opened == ["smollm2", "chidu-work/model"]
    assert "--schema: nowhere.json can't be read" in call("generate", "话说", "--schema", "nowhere.json").complaint
