"""The command line as people call it: words in; exit code, stdout and stderr out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from chidu import cli


class Told(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of an expected error, after whatever was told on the way."""
        assert self.code == 1
        assert "Traceback" not in self.err
        last = self.err.strip().splitlines()[-1]
        assert last.startswith("chidu: ")
        assert self.err.count("chidu: ") == 1
        return last


Call = Callable[..., Told]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Call `chidu` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    # Models that were fetched on this machine are none of a test's business.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run(*words: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["chidu", *map(str, words)])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Told(code, *capfd.readouterr())

    return run
