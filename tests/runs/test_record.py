"""Stages and their records: skipped, resumed, redone, and never half a record whatever fails in between."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chidu.errors import WorkFolderError
from chidu.runs import Outcome, Record, run_stage
from chidu.runs import record as record_module
from chidu.runs.record import file_digest, fingerprint, read_json, write_atomic, write_json

SETTINGS = {"vocabulary": 300, "names": ("a", "b")}
INPUTS = {"text": "digest-1"}


class Kill(BaseException):
    """As if the process were gone: nothing may catch it and go on."""


class Maker:
    """A stage that leaves two files and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.said: list[str] = []

    def __call__(self, folder: Path) -> dict[str, Any]:
        self.calls += 1
        write_atomic(folder / "first.txt", "one")
        write_json(folder / "deep" / "second.json", {"made": self.calls})
        return {"files": 2}

    def run(self, folder: Path, settings: dict[str, Any] = SETTINGS, inputs: dict[str, str] = INPUTS) -> Outcome:
        return run_stage(folder, settings, inputs, self, self.said.append)


def test_a_stage_is_made_once_and_then_skipped(tmp_path: Path) -> None:
    make, folder = Maker(), tmp_path / "tokens"
    first, second = make.run(folder), make.run(folder)
    assert (first.how, second.how, make.calls) == ("made", "skipped", 1)
    assert second.record == first.record
    assert make.said == ["tokens: started", "tokens: nothing to do"]
    assert set(first.record.outputs) == {"first.txt", "deep/second.json"}
    assert first.record.result == {"files": 2}
    assert not (folder / "begun.json").exists()


@pytest.mark.parametrize(
    ("settings", "inputs", "why"),
    [
        ({**SETTINGS, "vocabulary": 400}, INPUTS, "vocabulary changed from 300 to 400"),
        ({**SETTINGS, "seed": 1}, INPUTS, "seed is new"),
        (SETTINGS, {"text": "digest-2"}, "text is new"),
    ],
)
def test_a_changed_stage_is_redone_and_says_what_changed(
    settings: dict[str, Any], inputs: dict[str, str], why: str, tmp_path: Path
) -> None:
    make, folder = Maker(), tmp_path / "tokens"
    make.run(folder)
    (folder / "stray.txt").touch()
    outcome = make.run(folder, settings, inputs)
    assert (outcome.how, outcome.why, make.calls) == ("redone", why, 2)
    assert make.said[-1] == f"tokens: redone, because {why}"
    assert not (folder / "stray.txt").exists()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "first.txt").write_text("two"), "first.txt was changed by somebody else"),
        (lambda folder: (folder / "first.txt").write_text("longer"), "first.txt was changed by somebody else"),
        (lambda folder: (folder / "deep/second.json").unlink(), "deep/second.json is missing"),
    ],
)
def test_a_stage_whose_output_was_touched_is_redone(spoil: Callable[[Path], object], why: str, tmp_path: Path) -> None:
    make, folder = Maker(), tmp_path / "tokens"
    make.run(folder)
    spoil(folder)
    outcome = make.run(folder)
    assert (outcome.how, outcome.why) == ("redone", why)
    assert make.run(folder).how == "skipped"


def test_a_stage_that_was_cut_goes_on_from_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "ladder"

    def cut(path: Path) -> dict[str, Any]:
        (path / "part.txt").write_text("half")
        (path / "torn.txt.tmp-4711").write_text("ha")
        (path / "marks.scratch").mkdir()
        (path / "marks.scratch" / "big").touch()
        raise Kill

    def finish(path: Path) -> dict[str, Any]:
        assert (path / "part.txt").read_text() == "half"
        return {}

    said: list[str] = []
    with pytest.raises(Kill):
        run_stage(folder, SETTINGS, INPUTS, cut, said.append)
    assert Record.read(folder) is None
    outcome = run_stage(folder, SETTINGS, INPUTS, finish, said.append)
    assert outcome.how == "resumed"
    assert said[-1] == "ladder: resuming"
    # What a killed write left is no output, and neither is scratch.
    assert set(outcome.record.outputs) == {"part.txt"}


def test_what_other_settings_left_is_not_gone_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "ladder"

    def cut(path: Path) -> dict[str, Any]:
        (path / "part.txt").write_text("half")
        raise Kill

    with pytest.raises(Kill):
        run_stage(folder, SETTINGS, INPUTS, cut, print)
    make = Maker()
    assert make.run(folder, {"vocabulary": 1}).how == "made"
    assert not (folder / "part.txt").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"fingerprint": 3}'])
def test_a_damaged_note_of_a_beginning_starts_anew(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "ladder"
    folder.mkdir()
    (folder / "begun.json").write_text(content)
    assert Maker().run(folder).how == "made"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"stage": 1, "more": 2}'])
def test_a_damaged_record_is_named(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "ladder"
    folder.mkdir()
    (folder / "record.json").write_text(content)
    with pytest.raises(WorkFolderError, match=r"record\.json.*delete"):
        Maker().run(folder)


@contextmanager
def killed_at(operation: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the process be gone just before its n-th operation on files."""
    count = [0]

    def guard(real: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] >= operation:
                raise Kill
            return real(*arguments, **options)

        return guarded

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "mkdir", "open"):
            patch.setattr(Path, name, guard(getattr(Path, name)))
        patch.setattr(os, "fsync", guard(os.fsync))
        yield count


@pytest.mark.parametrize("before", ["nothing", "finished with other settings"])
def test_killed_between_any_two_operations_a_record_is_whole_or_not_there(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation, finished = 0, False
    while not finished:
        operation += 1
        folder, make = tmp_path / str(operation) / "tokens", Maker()
        if before != "nothing":
            make.run(folder, {"vocabulary": 1})
        with killed_at(operation, monkeypatch):
            try:
                make.run(folder)
                finished = True
            except Kill:
                pass
        record = Record.read(folder)
        if record is not None and record.settings["vocabulary"] == 300:
            for name, entry in record.outputs.items():
                assert file_digest(folder / name) == entry["sha256"]
        outcome = make.run(folder)
        assert set(outcome.record.outputs) == {"first.txt", "deep/second.json"}
        assert make.run(folder).how == "skipped"
    assert operation > 10


def test_a_full_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record_module.os, "fsync", full)
    monkeypatch.setattr("chidu.runs.storage.PAUSES", (0.0,))
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_is_whole_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    write_atomic(path, "尺度")
    assert path.read_text(encoding="utf-8") == "尺度"
    assert list(path.parent.iterdir()) == [path]


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file.json", {"loss": float("nan")})
    assert not (tmp_path / "file.json").exists()
    with pytest.raises(WorkFolderError, match=r"file\.json can't be read"):
        read_json(tmp_path / "file.json")


def test_a_fingerprint_is_of_the_content_not_of_its_order() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint(json.loads('{"b": [1, 2], "a": 1}'))
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_the_same_outputs_have_the_same_content(tmp_path: Path) -> None:
    def make(folder: Path) -> dict[str, Any]:
        write_atomic(folder / "out", "same")
        return {}

    one = run_stage(tmp_path / "one", {}, {}, make, print).record
    two = run_stage(tmp_path / "two", {"other": 1}, {}, make, print).record
    assert one.content == two.content
    assert one.fingerprint != two.fingerprint


def test_links_stay_links_and_pipes_are_written_into(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    write_atomic(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"
    (tmp_path / "loose.json").symlink_to("later.json")
    write_atomic(tmp_path / "loose.json", "made")
    assert (tmp_path / "later.json").read_text() == "made"

    os.mkfifo(tmp_path / "pipe")
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_atomic(tmp_path / "pipe", "told")
    reader.join(10)
    assert heard == ["told"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
