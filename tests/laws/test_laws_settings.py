"""Settings from a caller: whatever cannot be is refused as ours, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import CHINCHILLA, grid

from chidu.errors import ChiduError
from chidu.laws import backtest, compare, fit, suggest
from chidu.runs.ladder import Ladder

TABLE = CHINCHILLA.table(*grid(4, 4), noise=0.002)
POINT = {"params": [1e9], "tokens": [2e10]}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit(TABLE, level="0.9"), "level is '0.9'"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, level=None), "level is None"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, seed=None), "seed is None"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, seed=0.5), "seed is 0.5"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, resamples="5"), "resamples is '5'"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, "kaplan", bounds={"alpha": 5}), "of alpha, 5 is no pair"),  # type: ignore[dict-item]
        (lambda: fit(TABLE, "kaplan", bounds=[1]), r"bounds is \[1\]"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, ""), "no law ''"),
        (lambda: fit(TABLE, resamples=0).forecast(POINT, level="x"), "level is 'x'"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, resamples=0).trust(POINT, level="x"), "level is 'x'"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, resamples=0).plan(1e21, level="x"), "level is 'x'"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, resamples=0).plan("1e21"), "flops is '1e21'"),  # type: ignore[arg-type]
        (lambda: fit(TABLE, resamples=0).plan(1e300), r"flops is 1e\+300; a budget is at most 1e\+59"),
        (lambda: backtest(TABLE, level="x"), "level is 'x'"),  # type: ignore[arg-type]
        (lambda: compare(TABLE, TABLE, level="x"), "level is 'x'"),  # type: ignore[arg-type]
        (lambda: suggest(TABLE, TABLE, budget="1e20"), "budget is '1e20'"),  # type: ignore[arg-type]
        (lambda: suggest(TABLE, TABLE, budget=-1.0), "budget is -1.0"),
        (lambda: fit([]), "the list is empty"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ChiduError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("columns", ["loss=loss", {"loss": 5}, [1]])
def test_columns_are_a_mapping_of_names(columns: Any, tmp_path: Path) -> None:
    Ladder.of(TABLE).write(tmp_path / "runs.csv")
    with pytest.raises(ChiduError, match=r"columns is .* it must map our names"):
        Ladder.read(tmp_path / "runs.csv", columns=columns)


def test_numbers_of_numpy_will_do() -> None:
    numbers: Any = {"resamples": np.int64(2), "level": np.float64(0.8), "seed": np.int64(3)}
    assert fit(TABLE, **numbers).as_dict() == fit(TABLE, resamples=2, level=0.8, seed=3).as_dict()


@pytest.mark.parametrize("unit", [1e-9, 1e-30, 7.0, 1e12])
@pytest.mark.parametrize("law", ["additive", "kaplan"])
def test_the_unit_of_the_weights_changes_nothing_but_the_objective(unit: float, law: str) -> None:
    point = {"params": [1e11], "tokens": [1e12]}
    plain, weighted = (fit(TABLE, law, 20, weights=np.full(16, weight)) for weight in (1.0, unit))
    assert weighted.forecast(point, 0.9).rows() == plain.forecast(point, 0.9).rows()
    assert weighted.parameters == plain.parameters
    assert weighted.objective == pytest.approx(unit * plain.objective)
