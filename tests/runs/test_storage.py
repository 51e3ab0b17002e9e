"""Storage that fails for a moment, for good, or in a way that does not pass."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from chidu.errors import ChiduError, StorageError, WorkFolderError
from chidu.runs.record import read_json, write_json
from chidu.runs.storage import steadily


class Failing:
    """Fails so many times, then returns."""

    def __init__(self, times: int, number: int) -> None:
        self.left, self.number, self.calls = times, number, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise OSError(self.number, os.strerror(self.number))
        return "done"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chidu.runs.storage.PAUSES", (0.0, 0.0, 0.0, 0.0))


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("times", [0, 1, 4])
def test_what_passes_is_tried_again_with_a_word(
    number: int, times: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert steadily(Failing(times, number), tmp_path) == "done"
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: {os.strerror(number)}; trying again in 0 s"
    ] * times


def test_what_does_not_pass_is_named_after_so_many_tries(tmp_path: Path) -> None:
    action = Failing(5, errno.ESTALE)
    with pytest.raises(StorageError, match=r"Stale file handle \(5 tries .*run the same command again"):
        steadily(action, tmp_path)
    assert action.calls == 5
    assert issubclass(StorageError, ChiduError)
    assert issubclass(StorageError, OSError)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT])
def test_what_never_passes_is_raised_at_once(number: int, tmp_path: Path) -> None:
    action = Failing(1, number)
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        steadily(action, tmp_path)
    assert action.calls == 1
    assert not isinstance(raised.value, StorageError)


def test_a_file_is_written_and_read_in_spite_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sync, read = tmp_path / "a.json", Failing(2, errno.EIO), Failing(2, errno.ESTALE)
    monkeypatch.setattr(os, "fsync", lambda descriptor: sync())
    write_json(path, [1])
    assert list(tmp_path.iterdir()) == [path]
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **named: (read(), real(self, **named))[1])
    assert read_json(path) == [1]
    assert (sync.calls > 2, read.calls) == (True, 3)


def test_storage_that_is_gone_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can't be read just now must not be deleted, which damage asks for."""
    write_json(tmp_path / "a.json", [1])
    gone = Failing(99, errno.EIO)
    monkeypatch.setattr(Path, "read_text", lambda self, **named: gone())
    with pytest.raises(StorageError) as raised:
        read_json(tmp_path / "a.json")
    assert not isinstance(raised.value, WorkFolderError)
