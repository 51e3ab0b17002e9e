"""Columns under other people's names, and quantities that follow: taken only where sure, and always said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.errors import TableError
from chidu.runs import Ladder

RUNS = {"params": [1e6, 2e6], "tokens": [2e7, 4e7], "flops": [1.2e14, 4.8e14], "loss": [4.0, 3.0]}


def with_name(ours: str, theirs: str) -> dict[str, Any]:
    return {theirs if name == ours else name: values for name, values in RUNS.items()}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("loss", "val_loss"), ("loss", "val/loss"), ("loss", "eval_loss"), ("loss", "eval/loss"), ("loss", "L"),
        ("loss", "Loss"), ("loss", "validation.loss"), ("loss", "summary.val/loss"), ("loss", "metrics.val_loss"),
        ("params", "N"), ("params", "n_params"), ("params", "num_params"), ("params", "num_parameters"),
        ("params", "config.n_params"), ("params", "model/num_parameters"), ("params", "#params"),
        ("params", "model.n_params"), ("tokens", "config.data.train_tokens"),
        ("tokens", "D"), ("tokens", "train_tokens"), ("tokens", "num_tokens"), ("tokens", "params.train_tokens"),
        ("tokens", "train/num_input_tokens_seen"), ("tokens", "tokens_seen"),
        ("flops", "C"), ("flops", "total_flos"), ("flops", "FLOPs"), ("flops", "compute"),
        ("flops", "train/total_flos"),
    ],
)  # fmt: skip
def test_well_known_names_are_recognised_and_said(ours: str, theirs: str) -> None:
    ladder = Ladder.of(with_name(ours, theirs))
    assert ladder.numbers(ours).tolist() == RUNS[ours]
    assert ladder.notes == (f"{ours} {'is' if ours == 'loss' else 'are'} read from {theirs}",)
    assert ladder.columns[theirs].tolist() == RUNS[ours]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("params", "n"), ("tokens", "d"), ("loss", "train_loss"), ("loss", "val_loss.min"), ("params", "params (M)"),
     ("tokens", "_tokens"), ("loss", "val_loss_ratio"), ("loss", "notes"),
     ("loss", "train.loss"), ("loss", "train/val_loss"), ("params", "teacher.n_params"), ("tokens", "eval.tokens")],
)  # fmt: skip
def test_other_names_are_not(ours: str, theirs: str) -> None:
    ladder = Ladder.of({name: values for name, values in with_name(ours, theirs).items() if name != "flops"})
    assert ours not in ladder
    assert ladder.notes == ()


def test_a_column_of_ours_is_never_touched() -> None:
    ladder = Ladder.of({**RUNS, "val_loss": [9.0, 9.0], "N": [9, 9], "steps": [1, 1], "batch_tokens": [1, 1]})
    assert {name: column.tolist() for name, column in ladder.columns.items() if name in RUNS} == RUNS
    assert ladder.notes == ()


def test_two_candidates_are_none_unless_they_are_equal() -> None:
    ladder = Ladder.of({**with_name("loss", "val_loss"), "eval_loss": [9.0, 9.0]})
    assert "loss" not in ladder
    assert ladder.notes == (
        "loss is read from none of val_loss, eval_loss, which differ: name one with --columns loss=val_loss",
    )
    with pytest.raises(TableError, match=r"no column 'loss' \(it may be 'val_loss' or 'eval_loss'\).*loss=val_loss"):
        ladder.numbers("loss")
    equal = Ladder.of({**with_name("loss", "val_loss"), "eval_loss": RUNS["loss"]})
    assert equal.notes == ("loss is read from val_loss",)


def test_a_name_without_numbers_is_no_candidate() -> None:
    ladder = Ladder.of({**RUNS, "unique_tokens": [1, 2], "model_size": ["small", "large"]})
    assert ladder.notes == ()
    sizes = {**with_name("params", "model_size"), "model_size": ["1M", "small"]}
    with pytest.raises(TableError, match=r"row 2, column 'params' \(model_size\): 'small' is not a number"):
        Ladder.of(sizes).numbers("params")


def test_flops_of_another_unit_are_not_taken_unasked() -> None:
    days = {**with_name("flops", "compute"), "compute": [c / 8.64e19 for c in RUNS["flops"]]}
    ladder = Ladder.of(days)
    assert "flops" not in ladder
    assert "of another unit" in ladder.notes[0]
    assert "--columns flops=compute" in ladder.notes[0]


def test_tokens_follow_from_steps_and_the_batch() -> None:
    runs = {"params": [1e6, 2e6], "loss": [4.0, 3.0], "max_steps": ["1k", "2k"], "tokens_per_step": ["20k", "20k"]}
    ladder = Ladder.of(runs)
    assert ladder.numbers("tokens").tolist() == [2e7, 4e7]
    assert ladder.notes == (
        "steps are read from max_steps",
        "batch_tokens are read from tokens_per_step",
        "tokens are inferred: steps × batch_tokens",
    )


def test_tokens_and_params_follow_from_flops() -> None:
    without = {name: values for name, values in RUNS.items() if name != "tokens"}
    ladder = Ladder.of({**without, "steps": [1, 2]})
    assert ladder.numbers("tokens").tolist() == RUNS["tokens"]
    assert ladder.notes == ("tokens are inferred: flops / (6 · params)",)
    ladder = Ladder.of({name: values for name, values in RUNS.items() if name != "params"})
    assert ladder.numbers("params").tolist() == RUNS["params"]
    assert ladder.notes == ("params are inferred: flops / (6 · tokens)",)
    matmul = Ladder.of({**without, "params_matmul": [5e5, 1e6]})
    assert matmul.numbers("tokens").tolist() == [4e7, 8e7]


def test_nothing_is_inferred_from_flops_of_another_unit() -> None:
    ladder = Ladder.of({"params": [1e9, 2e9], "loss": [3.0, 2.0], "compute": [1.4, 5.6]})
    assert "tokens" not in ladder
    assert "flops are of another unit" in ladder.notes[-1]


def test_nothing_is_inferred_for_points_or_over_a_doubtful_name() -> None:
    assert "tokens" not in Ladder.of({"params": [1e6], "flops": [1e14]})
    doubtful = {**with_name("tokens", "train_tokens"), "tokens_seen": [1, 2]}
    assert "tokens" not in Ladder.of(doubtful)


def test_a_bad_cell_of_what_is_multiplied_is_refused_by_its_row() -> None:
    runs = {"loss": [4.0, 3.0], "params": [1, 2], "steps": [10, "many"], "batch_tokens": [5, 5]}
    with pytest.raises(TableError, match=r"row 2, column 'tokens' \(steps × batch_tokens\) is nan"):
        Ladder.of(runs).numbers("tokens")


@given(
    names=st.permutations(["val_loss", "N", "D", "C", "lr", "notes"]),
    values=st.lists(st.floats(1e-3, 1e20), min_size=2, max_size=4),
)
def test_completing_is_the_same_in_any_order_and_only_adds(names: list[str], values: list[float]) -> None:
    runs = {name: np.asarray(values) * (k + 1) for k, name in enumerate(sorted(names))}
    ladder = Ladder.of({name: runs[name] for name in names})
    assert ladder.numbers("loss").tolist() == runs["val_loss"].tolist()
    assert {name: column.tolist() for name, column in ladder.columns.items() if name in runs} == {
        name: column.tolist() for name, column in runs.items()
    }
    again = Ladder.of(ladder.columns)
    assert set(again.columns) == set(ladder.columns)
