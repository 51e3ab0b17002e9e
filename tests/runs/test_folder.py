"""A work folder is used by one process at a time, and is never somebody else's folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chidu.errors import WorkFolderError
from chidu.runs import open_work_folder
from chidu.runs.folder import check_work_folder

HOLD = """
import sys
from pathlib import Path
from chidu.runs import open_work_folder
with open_work_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_folder_is_made_and_opened_again(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "work"
    for _ in range(2):
        with open_work_folder(folder):
            assert (folder / "work.json").exists()


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkFolderError, match="in use by another chidu process"), open_work_folder(folder):
            pass
    finally:
        holder.kill()
        holder.communicate()
    # A lock dies with the process that held it.
    with open_work_folder(folder):
        pass


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "work.json").write_text('{"chidu_work_folder": 99}')
    with pytest.raises(WorkFolderError, match=r"newer Chidu.*format 99"), open_work_folder(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"chidu_work_folder": "one"}'])
def test_a_damaged_marker_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "work.json").write_text(content)
    with pytest.raises(WorkFolderError, match=r"work\.json"):
        check_work_folder(tmp_path)


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(WorkFolderError, match="holds other files"), open_work_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkFolderError, match="is a file"), open_work_folder(tmp_path / "file"):
        pass


def test_settings_written_beforehand_make_no_other_folder_of_it(tmp_path: Path) -> None:
    (tmp_path / "chidu.toml").write_text("minutes = 5\n")
    with open_work_folder(tmp_path):
        pass
