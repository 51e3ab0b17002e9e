"""The table of runs: what it reads, what it refuses and how it says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.errors import TableError
from chidu.runs import Ladder, Run, Table

FORMATS = [".csv", ".jsonl", ".parquet"]
GOOD = "params,tokens,loss\n1M,20M,4.5\n2M,40M,4.0\n4M,80M,3.5\n"

finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(-(2**53) + 1, 2**53 - 1)
names = st.text("abcdefgh_/ é数", min_size=1, max_size=8).map(str.strip).filter(bool)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    rows = draw(st.integers(1, 6))
    table: dict[str, list[Any]] = {
        name: draw(st.lists(kind, min_size=rows, max_size=rows))
        for name, kind in draw(
            st.lists(
                st.tuples(names, st.sampled_from([finite, counts])), min_size=1, max_size=4, unique_by=lambda x: x[0]
            )
        )
    }
    table["run"] = draw(st.lists(st.text("abc-_12 ,\"'数", max_size=9).map(str.strip), min_size=rows, max_size=rows))
    return table


@pytest.mark.parametrize("ending", FORMATS)
@given(table=tables())
def test_a_table_reads_back_equal(table: dict[str, list[Any]], ending: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("round") / f"runs{ending}"
    ladder = Ladder.of(table)
    ladder.write(path)
    back = Ladder.read(path)
    assert list(back.columns) == list(ladder.columns)
    for name, column in ladder.columns.items():
        assert back.columns[name].tolist() == column.tolist()
        if name not in ("run", "name"):
            assert back.columns[name].dtype.kind == column.dtype.kind


@pytest.mark.parametrize("ending", FORMATS)
def test_an_empty_cell_reads_back_empty(ending: str, tmp_path: Path) -> None:
    ladder = Ladder.of({"loss": [1.5, float("nan")], "run": ["a", ""]})
    ladder.write(tmp_path / f"runs{ending}")
    back = Ladder.read(tmp_path / f"runs{ending}")
    assert back.columns["loss"][0] == 1.5
    assert np.isnan(back.columns["loss"][1])


def test_runs_become_rows(make_run: Callable[..., Run]) -> None:
    run = make_run()
    ladder = Ladder.from_runs([run, make_run(name="other", loss=3.0)])
    assert ladder.columns["run"].tolist() == ["w0016-12", "other"]
    assert ladder.numbers("flops").tolist() == [run.config.flops] * 2
    assert ladder.numbers("params_matmul")[0] == run.config.shape.params_matmul
    with pytest.raises(TableError, match="at least one run"):
        Ladder.from_runs([])


def test_counts_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n1.3B,26e9,2.5\n70M, 1_000 ,3\n", encoding="utf-8")
    ladder = Ladder.read(path)
    assert ladder.numbers("params").tolist() == [1.3e9, 70e6]
    assert ladder.numbers("tokens").tolist() == [26e9, 1000]


@pytest.mark.parametrize(
    ("content", "column", "words"),
    [
        (GOOD.replace("4.0", "nan"), "loss", ["runs.csv", "row 3", "'loss'", "nan"]),
        (GOOD.replace("4.0", ""), "loss", ["runs.csv", "row 3", "'loss'"]),
        (GOOD.replace("4.0", "0"), "loss", ["runs.csv", "row 3", "'loss'", "above 0"]),
        (GOOD.replace("4.0", "-1"), "loss", ["runs.csv", "row 3", "'loss'", "-1"]),
        (GOOD.replace("4.0", "inf"), "loss", ["runs.csv", "row 3", "'loss'", "inf"]),
        (GOOD.replace("4.0", "four"), "loss", ["runs.csv", "row 3", "'loss'", "'four'"]),
        (GOOD.replace("loss", "train_loss"), "loss", ["runs.csv", "'loss'", "'train_loss'", "--columns"]),
        ("params,loss\na,1\nb,2\n", "params", ["runs.csv", "row 2", "'params'", "'a'"]),
        (GOOD.replace("2M,40M", "\n2M,x"), "tokens", ["runs.csv", "row 4", "'x'"]),
    ],
)
def test_a_bad_value_is_refused_by_file_row_and_column(
    content: str, column: str, words: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TableError) as caught:
        Ladder.read(path).numbers(column)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["runs.csv", "empty"]),
        (b"\n \n", ["runs.csv", "empty"]),
        (b"params,loss\n", ["runs.csv", "no rows"]),
        (b"params,loss\n1,2\n1,2,3\n", ["runs.csv", "row 3", "3 cells"]),
        (b"params,loss\n1\n", ["runs.csv", "row 2"]),
        (b"loss,params,loss\n1,2,3\n", ["runs.csv", "twice", "loss"]),
        ("params,损失\n1,2\n".encode("gb18030"), ["runs.csv", "not UTF-8"]),
        ("params,loss\n1,2\n".encode("utf-16"), ["runs.csv", "not UTF-8"]),
        (b'params,loss\n"1,2\n', ["runs.csv", "not a CSV"]),
    ],
)
def test_a_bad_file_is_refused_by_name(content: bytes, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(TableError) as caught:
        Ladder.read(path)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("runs.jsonl", b'{"loss": 1}\n{"loss": \n', ["line 2", "not JSON"]),
        ("runs.jsonl", b'{"loss": 1}\n[1]\n', ["line 2", "not a JSON object"]),
        ("runs.jsonl", b'{"loss": "\xff"}\n', ["line 1"]),
        ("runs.jsonl", b"", ["no rows"]),
        ("runs.parquet", b"PAR1", ["not a Parquet file"]),
        ("runs.parquet", b"", ["not a Parquet file"]),
        ("runs.xlsx", b"PK", ["not a workbook", "export the sheet as CSV"]),
    ],
)
def test_other_formats_are_refused_by_name(name: str, content: bytes, words: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError) as caught:
        Ladder.read(tmp_path / name)
    assert all(word in str(caught.value) for word in [name, *words])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        Ladder.read(tmp_path / "none.csv")


def test_a_folder_and_json_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="this is a folder"):
        Ladder.read(tmp_path)
    (tmp_path / "fit.json").write_text("{}", encoding="utf-8")
    with pytest.raises(TableError, match=r"CSV, JSONL .* not JSON"):
        Ladder.read(tmp_path / "fit.json")


@pytest.mark.parametrize(("delimiter", "said"), [(";", "';'"), ("\t", "tabs")])
def test_another_delimiter_is_named(delimiter: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(GOOD.replace(",", delimiter).replace("4.5", "4,5"), encoding="utf-8")
    with pytest.raises(TableError, match=f"looks separated by {said}: save it with commas"):
        Ladder.read(path)


def test_an_empty_cell_is_called_empty_also_in_a_selection(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(GOOD.replace("4.0", ""), encoding="utf-8")
    for ladder in (Ladder.read(path), Ladder.read(path).select([1, 2])):
        with pytest.raises(TableError, match=r"row 3, column 'loss' is empty; .* \(1 such row\): mend or delete it$"):
            ladder.numbers("loss")


@pytest.mark.parametrize(
    "content",
    [
        'params,tokens,loss\n1.3B,26e9,2.5\n70M,1_000,3\n2 billion,"1,000",3\n',
        '{"params": "1.3B", "tokens": 26e9, "loss": 2.5}\n{"params": 70000000, "tokens": "1_000", "loss": 3}\n'
        '{"params": "2 billion", "tokens": "1,000", "loss": 3}\n',
    ],
    ids=["csv", "jsonl"],
)
def test_counts_mean_the_same_in_both_formats(content: str, tmp_path: Path) -> None:
    path = tmp_path / ("runs.jsonl" if content[0] == "{" else "runs.csv")
    path.write_text(content, encoding="utf-8")
    assert Ladder.read(path).numbers("params").tolist() == [1.3e9, 70e6, 2e9]
    assert Ladder.read(path).numbers("tokens").tolist() == [26e9, 1000, 1000]


@pytest.mark.parametrize("column", ["params", "tokens", "flops", "unique_tokens", "batch_tokens", "steps"])
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_count_that_is_none_is_refused_by_row_and_column(column: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"runs{ending}"
    csv_text = f"loss,{column}\n3,1.3B\n2,1.3Q\n"
    lines = f'{{"loss": 3, "{column}": "1.3B"}}\n{{"loss": 2, "{column}": "1.3Q"}}\n'
    path.write_text(csv_text if ending == ".csv" else lines, encoding="utf-8")
    row = 3 if ending == ".csv" else 2
    with pytest.raises(TableError, match=rf"runs\{ending}: row {row}, column '{column}': '1.3Q' is not a number"):
        Ladder.read(path).numbers(column)


def test_a_refusal_names_the_run_and_the_column_as_the_file_has_them(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("run,val/loss\nbig,\nsmall,3\n", encoding="utf-8")
    for columns in ({"loss": "val/loss"}, None):
        with pytest.raises(TableError, match=r"row 2 \(run 'big'\), column 'loss' \(val/loss\) is empty"):
            Ladder.read(path, columns).select([0]).numbers("loss")


def test_a_decimal_comma_is_refused_by_row(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text('params,loss\n1M,"4,169179978918776"\n', encoding="utf-8")
    with pytest.raises(TableError, match=r"row 2, column 'loss': .*decimal commas are not read"):
        Ladder.read(path).numbers("loss")


def test_a_column_mapped_to_another_name_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(GOOD, encoding="utf-8")
    ladder = Ladder.read(path, {"loss": "params"})
    assert ladder.numbers("loss").tolist() == ladder.numbers("params").tolist() == [1e6, 2e6, 4e6]


def test_a_spreadsheets_mark_and_line_ends_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert Ladder.read(path).numbers("params").tolist() == [1e6, 2e6, 4e6]


def test_columns_map_other_names(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("n,d,val/loss,loss\n1M,2M,3.5,9\n", encoding="utf-8")
    ladder = Ladder.read(path, {"params": "n", "params_matmul": "n", "tokens": "d", "loss": "val/loss"})
    assert ladder.numbers("params") == ladder.numbers("params_matmul") == [1e6]
    assert ladder.numbers("loss") == [3.5]
    with pytest.raises(TableError, match=r"no column 'val_loss' \(did you mean 'val/loss'\?\)"):
        Ladder.read(path, {"loss": "val_loss"})


def test_columns_may_change_places(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    swapped = Ladder.read(path, {"a": "b", "b": "a"})
    assert (swapped.numbers("a")[0], swapped.numbers("b")[0]) == (2, 1)


def test_a_column_that_nobody_asks_for_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("loss,notes\n1,12\n2,adam\n3,\n", encoding="utf-8")
    ladder = Ladder.read(path)
    assert ladder.numbers("loss").tolist() == [1, 2, 3]
    with pytest.raises(TableError, match=r"row 3, column 'notes': 'adam' is not a number"):
        ladder.numbers("notes")


def test_a_trackers_nested_values_are_text(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    rows = [{"loss": 1, "betas": [0.9, 0.95], "tags": ["a"]}, {"loss": 2, "betas": [0.9, 0.98], "tags": ["a", "b"]}]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    ladder = Ladder.read(path)
    assert ladder.numbers("loss").tolist() == [1, 2]
    assert {column.shape for column in ladder.columns.values()} == {(2,)}
    with pytest.raises(TableError, match="'betas'"):
        ladder.numbers("betas")


def test_rows_of_jsonl_may_lack_keys(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"loss": 1}\n\n{"loss": 2, "flops": "1e15"}\n', encoding="utf-8")
    with pytest.raises(TableError, match=r"row 1, column 'flops' is empty"):
        Ladder.read(path).numbers("flops")


COLUMNS = {"loss": [1.0, 2.0], "params": ["1M", "2M"], "run": ["a", "b"]}
ROWS = [{"loss": 1.0, "params": "1M", "run": "a"}, {"loss": 2.0, "params": "2M", "run": "b"}]


def polars_frame(lazy: bool = False) -> Any:
    frame = pytest.importorskip("polars", reason="a polars frame needs polars").DataFrame(COLUMNS)
    return frame.lazy() if lazy else frame


def arrow_table() -> Any:
    return pytest.importorskip("pyarrow", reason="an Arrow table needs pyarrow").table(COLUMNS)


class FrameLikePolars:
    """What `Ladder.of` asks of a data frame, and no more."""

    columns: ClassVar[list[str]] = list(COLUMNS)

    def __getitem__(self, name: str) -> Any:
        return np.asarray(COLUMNS[name])


@pytest.mark.parametrize(
    "make",
    [
        lambda: COLUMNS,
        lambda: ROWS,
        lambda: tuple(ROWS),
        lambda: pd.DataFrame(COLUMNS),
        lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
        FrameLikePolars,
        polars_frame,
        lambda: polars_frame(lazy=True),
        arrow_table,
    ],
)
def test_whatever_holds_a_table_is_one(make: Callable[[], Any]) -> None:
    ladder = Ladder.of(make())
    assert ladder.numbers("params").tolist() == [1e6, 2e6]
    assert ladder.numbers("loss").tolist() == [1.0, 2.0]
    assert ladder.columns["run"].tolist() == ["a", "b"]
    assert ladder.notes == ()


def test_what_holds_no_table_is_refused() -> None:
    ladder = Ladder.of({"loss": [1.0, 2.0]})
    assert Ladder.of(ladder) is ladder
    for other, said in (
        ([1, 2], "not list"),
        ([], "the list is empty"),
        ("runs.csv", "not str"),
        (None, "not NoneType"),
    ):
        with pytest.raises(TableError, match=said):
            Ladder.of(other)
    with pytest.raises(TableError, match="differ in length"):
        Ladder.of({"loss": [1.0], "params": [1, 2]})
    with pytest.raises(TableError, match="'loss' stands twice"):
        Ladder.of(pd.DataFrame([[1.0, 2.0]], columns=["loss", "loss"]))


def test_missing_cells_of_a_frame_are_refused_by_row() -> None:
    frame = pd.DataFrame({"loss": pd.array([1.0, None], dtype="Float64"), "params": pd.array([None, 2], dtype="Int64")})
    with pytest.raises(TableError, match="row 2, column 'loss' is nan"):
        Ladder.of(frame).numbers("loss")
    with pytest.raises(TableError, match="row 1, column 'params' is nan"):
        Ladder.of(frame).numbers("params")


def test_lists_of_mappings_may_be_nested_and_lack_keys() -> None:
    ladder = Ladder.of([{"loss": 1.0, "model": {"layers": 4}}, {"loss": 2.0}])
    assert ladder.columns["model.layers"][0] == 4
    with pytest.raises(TableError, match=r"row 2, column 'model\.layers' is empty"):
        ladder.numbers("model.layers")


def test_headers_of_two_levels_are_joined() -> None:
    frame = pd.DataFrame([[1.0, 2.0]], columns=pd.MultiIndex.from_tuples([("val", "loss"), ("params", "")]))
    assert set(Ladder.of(frame).columns) == {"val.loss", "params", "loss"}


def test_selected_rows_keep_their_numbers() -> None:
    ladder = Ladder({"loss": [1.0, -1.0, 2.0]}, "here", [2, 5, 9])
    assert len(ladder.select([0, 2])) == 2
    assert ladder.select(np.array([True, False, True])).numbers("loss").tolist() == [1, 2]
    with pytest.raises(TableError, match="here: row 5"):
        ladder.select([2, 1]).numbers("loss")
    assert ladder.select([1]).numbers("loss", positive=False).tolist() == [-1]


def test_a_table_is_a_data_frame_and_json() -> None:
    table = Table({"loss": np.array([1.5, np.nan]), "run": np.array(["a", "b"])})
    assert pd.DataFrame(table)["loss"][0] == 1.5
    assert table.rows() == [{"loss": 1.5, "run": "a"}, {"loss": None, "run": "b"}]
    assert Table().rows() == []
