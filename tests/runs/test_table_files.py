"""Files that are taken for tables of runs: compressed, in other encodings, nested without end, unreadable."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from chidu.errors import TableError
from chidu.runs.ladder import Ladder
from chidu.runs.record import parse_json
from chidu.runs.table_files import read_sheet

CSV = "params,tokens,loss\n1e8,2e9,3.1\n2e8,4e9,2.9\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [("runs.csv.gz", CSV), ("runs.csv", CSV), ("runs.jsonl.gz", '{"params": 1e8, "tokens": 2e9, "loss": 3.1}\n')],
)
def test_a_compressed_table_is_read(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    assert Ladder.read(tmp_path / name).numbers("loss")[0] == 3.1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(CSV.encode(), mtime=0)[:-9], "a damaged gzip file"),
        (CSV.encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff" + CSV.encode("utf-16-be"), "iconv -f UTF-16 -t UTF-8"),
        (b"PK\x03\x04....", "a zip archive or a workbook"),
        (b"PAR1....", "name it so that it ends in .parquet"),
        (CSV.encode() + "损失\n".encode("gb18030"), r"at byte .* \(line 4\): .* iconv -f GB18030"),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_first_bytes(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes(content)
    with pytest.raises(TableError, match=words):
        Ladder.read(tmp_path / "runs.csv")


@pytest.mark.parametrize("line", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_json_nested_without_end_is_refused_by_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text('{"loss": 3}\n' + line, encoding="utf-8")
    with pytest.raises(TableError, match=r"line 2 is not JSON \(nested too deeply\)"):
        Ladder.read(tmp_path / "runs.jsonl")
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(line)


def test_what_json_can_hold_but_no_column_name_is_refused_by_line(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text('{"a":' * 300 + "1" + "}" * 300, encoding="utf-8")
    with pytest.raises(TableError, match=r"line 1: .*nested more than 100 deep"):
        Ladder.read(tmp_path / "runs.jsonl")
    row = json.loads('{"loss": 3, "a":' + '{"b":' * 300 + "1" + "}" * 301)
    with pytest.raises(TableError, match="nested more than 100 deep"):
        Ladder.of([row])


def test_a_file_that_cannot_be_read_is_named() -> None:
    # Reading a process's memory from its beginning fails, as a bad disk does.
    with pytest.raises(TableError, match=r"/proc/self/mem: can't be read \(Input/output error\)"):
        Ladder.read("/proc/self/mem")


def test_the_content_of_a_pipe_is_read_in_place_of_the_file(tmp_path: Path) -> None:
    assert read_sheet(tmp_path / "gone", CSV.encode()).columns["loss"] == ["3.1", "2.9"]


def test_true_among_numbers_is_no_1(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text('{"loss": 3.5}\n{"loss": true}\n', encoding="utf-8")
    with pytest.raises(TableError, match="row 2, column 'loss': 'True' is not a number"):
        Ladder.read(tmp_path / "runs.jsonl").numbers("loss")
    assert Ladder({"flag": [True, False], "loss": [1, 2]}).numbers("flag", positive=False).tolist() == [1, 0]


def test_an_empty_cell_of_flops_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("params,tokens,flops,loss\n50M,1B,,3.9\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"column 'flops' is empty.*or leave the column out: 6·params·tokens"):
        Ladder.read(tmp_path / "runs.csv").numbers("flops")
