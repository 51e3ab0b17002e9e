"""Published findings beside planted ladders, whose exponents, head and causes are known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from chidu.errors import TableError
from chidu.runs.ladder import Ladder
from chidu.studies import published
from chidu.studies.published import (
    HEAD,
    Finding,
    Shown,
    chi_square,
    compare_published,
    exponent_moved,
    frontier,
    repeated,
    shown,
)
from chidu.studies.published import Points as RunPoints

ALPHA, BETA = 0.34, 0.28


@pytest.fixture(autouse=True)
def _few_refits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "RESAMPLES", 60)


def planted(
    noise: float = 0.0005, head: float = 0.0, floor: float = 1.69, beta: float = BETA, **columns: float
) -> Ladder:
    """A grid whose law is in params without their head; `head` times the root of params stands in all of them."""
    size, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 3e8, 7), np.geomspace(2e8, 2e10, 5)))
    luck = np.random.default_rng(0).normal(0, noise, len(size))
    loss = (floor + 406 / size**ALPHA + 410 / tokens**beta) * np.exp(luck)
    more = {HEAD: head * np.sqrt(size)} if head else {}
    params = size + head * np.sqrt(size)
    table = {"params": params, "tokens": tokens, "loss": loss, **more}
    return Ladder({**table, **{name: np.full(len(size), value) for name, value in columns.items()}}, "planted")


def by_name(table: Ladder, structure: dict[str, object] | None = None) -> dict[str, Finding]:
    found = compare_published(table, 0, structure)
    json.dumps(found.as_dict(), allow_nan=False)
    return {each.name: each for each in found.findings}


@pytest.mark.parametrize(
    ("low", "high", "what"),
    [(1.1, 1.9, "shown"), (0.5, 1.5, "cannot tell"), (0.1, 0.9, "not shown"), (2.1, 3.0, "not shown")],
)
def test_the_rule(low: float, high: float, what: str) -> None:
    assert shown(low, high, (1.0, 2.0)) == what
    assert shown(math.nan, high, (1.0, 2.0)) == "cannot tell"


def test_hoffmanns_law_is_shown_where_it_is_planted() -> None:
    found = by_name(planted())
    for name, truth in (("alpha", ALPHA), ("beta", BETA), ("size", BETA / (ALPHA + BETA))):
        each = found[name]
        assert each.shown is Shown.SHOWN
        assert each.value == pytest.approx(truth, rel=0.05)
    assert found["floor"].shown is Shown.SHOWN
    assert found["size_bare"].value is None
    assert found["size_bare"].read == "the head's params are not known"


def test_another_law_is_not_shown_and_a_reason_is_offered() -> None:
    found = by_name(planted(beta=0.5, floor=1e-3))
    assert found["beta"].shown is Shown.NOT_SHOWN
    assert found["size"].shown is Shown.NOT_SHOWN
    assert found["size"].why
    assert found["floor"].shown is not Shown.SHOWN
    assert by_name(planted())["beta"].why == ""


def test_leaving_the_head_out_raises_the_exponent_where_the_law_is_of_all_params() -> None:
    """The law is in all params; recounted without a head that shrinks in share, the best size seems to grow faster."""
    table = planted()
    params = table.numbers("params")
    recounted = Ladder({**table.columns, HEAD: 600 * np.sqrt(params)}, "planted")
    found = by_name(recounted)["head"]
    assert found.shown is Shown.SHOWN
    assert found.value is not None
    assert found.value > 0.02
    assert "from 0.45" in found.read
    assert by_name(table)["head"].shown is Shown.NOT_RUN


def test_a_warm_up_too_long_for_small_models_is_found_in_runs_that_have_both() -> None:
    good, bad = planted(warmup_steps=10.0), planted(warmup_steps=3000.0)
    harm = 0.08 * np.sqrt(1e6 / bad.numbers("params"))
    worse = bad.numbers("loss") * (1 + harm * (bad.numbers("tokens") / 2e8) ** -0.3)
    columns = {
        name: np.concatenate([good.columns[name], bad.columns[name]]) for name in ("params", "tokens", "warmup_steps")
    }
    both = Ladder({**columns, "loss": np.concatenate([good.columns["loss"], worse])}, "both")
    rows = repeated(both, RunPoints.of(both), ("warmup_steps",))
    assert rows is not None
    assert set(both.columns["warmup_steps"][rows[0]].tolist()) == {3000.0}  # of two in all cells, the longer
    assert set(both.columns["warmup_steps"][rows[1]].tolist()) == {10.0}  # the better everywhere
    found = by_name(both)["warmup"]
    assert found.value is not None
    assert found.read.startswith("35 sizes and lengths: one value for all, against the best of each; from ")
    assert by_name(good)["warmup"].shown is Shown.NOT_RUN


def joined(*tables: Ladder) -> Ladder:
    return Ladder({name: np.concatenate([each.columns[name] for each in tables]) for name in tables[0].columns}, "all")


def tuned_or_not(harm: float, seed: int, **rates: float) -> tuple[Ladder, Ladder]:
    """A ladder of one setting, which suits the largest size and costs small ones `harm`; and one tuned by size."""
    one = planted(learning_rate=0.005, batch_tokens=256.0, warmup_steps=120.0, seed=float(seed), **rates)
    # Rates that differ from size to size; batches too, so that the same warm-up has other steps.
    small = one.numbers("params") < 2e8
    columns = {
        **one.columns,
        "learning_rate": np.where(small, 1e4 / one.numbers("params"), 0.005),
        "batch_tokens": np.where(small, 1024.0, 256.0),
        "warmup_steps": np.where(small, 30.0, 120.0),
    }
    worse = one.numbers("loss") * (1 + harm * np.log(3e8 / one.numbers("params")))
    return Ladder({**one.columns, "loss": worse}, "one"), Ladder(columns, "tuned")


def test_one_rate_and_batch_for_all_sizes_is_found_to_raise_the_exponent_where_small_sizes_suffer() -> None:
    pairs = [tuned_or_not(0.1, seed) for seed in (1, 2)]
    found = by_name(joined(*(table for pair in pairs for table in pair)))
    tuned = found["tuned"]
    assert tuned.shown is not Shown.NOT_SHOWN
    assert tuned.value is not None
    assert tuned.value > 0.02
    # The largest size was run with one setting alone: it says nothing of tuning.
    assert tuned.read.startswith("30 sizes and lengths, 60 runs: one value for all, against the best of each; from 0.4")
    assert found["warmup"].shown is Shown.NOT_RUN
    # All else is read from the best setting of each size and length.
    assert found["beta"].value == pytest.approx(BETA, rel=0.05)
    assert found["beta"].read.startswith("the additive law of 80 runs")


def test_one_rate_that_harms_all_sizes_alike_raises_nothing() -> None:
    one, tuned = tuned_or_not(0.0, 1)
    luck = np.random.default_rng(1).normal(0, 0.0005, len(one))
    worse = Ladder({**one.columns, "loss": one.numbers("loss") * 1.01 * np.exp(luck)}, "one")
    moved = exponent_moved(worse, tuned)
    assert moved.shown is not Shown.SHOWN
    assert abs(moved.value) < 0.02
    assert moved.low < 0 < moved.high
    assert by_name(joined(worse, tuned))["tuned"].shown is not Shown.SHOWN


def test_of_settings_common_to_all_the_one_that_suits_the_largest_size_is_the_one_for_all() -> None:
    rates = [planted(learning_rate=rate, batch_tokens=256.0) for rate in (0.001, 0.01)]
    loss = rates[0].numbers("loss") * np.where(rates[0].numbers("params") < 1e8, 1.02, 0.98)
    both = joined(Ladder({**rates[0].columns, "loss": loss}, "low"), rates[1])
    rows = repeated(both, RunPoints.of(both), ("learning_rate", "batch_tokens"))
    assert rows is not None
    assert set(both.columns["learning_rate"][rows[0]].tolist()) == {0.001}
    assert set(both.columns["learning_rate"][rows[1]].tolist()) == {0.001, 0.01}


def test_shapes_are_read_from_the_study_of_structure() -> None:
    row = {"params": 1e6, "shapes": 9, "spread_percent": 0.6, "luck_percent": 0.1}
    assert by_name(planted(), {"rows": [row]})["shape"].shown is Shown.SHOWN
    assert by_name(planted(), {"rows": [{**row, "spread_percent": 9.0}]})["shape"].shown is Shown.NOT_SHOWN
    assert by_name(planted(), {"rows": [{"hostile": 1}]})["shape"].shown is Shown.NOT_RUN
    assert by_name(planted())["shape"].shown is Shown.NOT_RUN


def test_chi_square_quantiles() -> None:
    # R: qchisq(c(.05, .95), 8); qchisq(.5, 3)
    assert chi_square(0.05, 8) == pytest.approx(2.733, rel=0.02)
    assert chi_square(0.95, 8) == pytest.approx(15.507, rel=0.01)
    assert chi_square(0.5, 3) == pytest.approx(2.366, rel=0.01)


def test_the_frontier_is_what_no_cheaper_run_beats() -> None:
    assert frontier(np.array([3.0, 1.0, 2.0, 4.0]), np.array([2.0, 3.0, 3.5, 2.0])).tolist() == [1, 0]


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(TableError, match="exponents need 8 runs of 4 sizes and 2 numbers of tokens"):
        compare_published(planted().select(np.arange(6)))
    with pytest.raises(TableError, match="no column 'tokens'"):
        compare_published(Ladder({"loss": [1.0] * 9, "params": range(1, 10)}, "bare"))


def test_it_prints_every_finding_on_a_line() -> None:
    found = compare_published(planted())
    lines = str(found).splitlines()
    assert lines[0] == "35 runs against what was published, intervals at 90%"
    assert len(lines) == 2 + len(found.findings)
