"""The Chinese page: what other rooms write in English is shown in Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import chidu.corpus
from chidu.corpus.build import MOSTLY_SEEN
from chidu.corpus.card import Card
from chidu.corpus.document import Document, Dropped
from chidu.laws import Status, fit
from chidu.laws.doubts import CHECKPOINTS, NO_TREND, _Bend, _of_rows, _of_solution, _of_top
from chidu.laws.forecast import _cautions, _concerns, _how_far, _record
from chidu.report import ReportContent, write_report
from chidu.report.sections import headline, sections, warnings
from chidu.report.tables import card_grids
from chidu.report.texts import texts
from chidu.work.results import ORDER

CHINESE = texts("zh")
NAMES = re.compile(
    r"flops|params_matmul|params_non_embedding|group|params?|tokens|beta|\bE\b|sha256|Python|Chidu|gzip|JSON|UTF|NUL|text|txt|jsonl|md"
)
SOURCES = Path(chidu.corpus.__file__).parent
REASONS_TO_DROP = (
    *("shorter than {SHORTEST} bytes", "duplicate", "not UTF-8", "binary (holds NUL bytes)", "line is not JSON"),
    *("docstring shorter than {SHORTEST} characters", "docstring seen before", "Chidu itself", "test file"),
    *("package in editable mode", "package without a list of files", "metadata can't be read", "file can't be read"),
    *("script outside its package", "copy of another package", "Python file too long", "not Python of this version"),
    *("Python nested too deeply", "not a .txt, .md or .jsonl file", "hidden folder", "hidden file"),
    *("damaged gzip file", 'line has no "text"', MOSTLY_SEEN),
)


def is_chinese(sentence: str) -> bool:
    """True where no word but a program's name is English."""
    return bool(re.search("[一-鿿]", sentence)) and not re.search("[A-Za-z]{2,}", NAMES.sub("", sentence))


@dataclass
class MadeRows:
    """Rows as `doubts` reads them."""

    inputs: np.ndarray
    groups: np.ndarray
    names: tuple[str, ...] = ("params", "tokens")
    cost_name: str = "6·params·tokens"

    @property
    def cost(self) -> np.ndarray:
        return np.arange(1.0, 1 + len(self.groups))

    @property
    def knows_cost(self) -> bool:
        return False

    @property
    def loss(self) -> np.ndarray:
        return np.full(len(self.groups), 2.0)

    def __len__(self) -> int:
        return len(self.groups)


def solved(status: Status, *at_bound: str) -> Any:
    law = SimpleNamespace(target="loss")
    return SimpleNamespace(
        theta=np.zeros(5), status=status, at_bound=at_bound, law=law, log_loss=lambda _: np.full((1, 6), np.log(2.0))
    )


def all_warnings() -> Iterator[str]:
    size = np.array([1.0, 1.5, 2.0, 2.5, 2.6, 2.7])
    few: Any = MadeRows(np.vstack([size, 20 * size]), np.array([0, 0, 0, 1, 1, 1]))
    lost, stopped = solved(Status.NOT_IDENTIFIED, "E", "beta"), solved(Status.NOT_CONVERGED)
    for rows, solution in ((few, lost), (replace(few, groups=np.array([0, 0, 1, 2, 3, 4])), stopped)):
        yield from filter(None, (*_of_rows(rows, solution), *_of_solution(rows, solution, (0.0, 1.0))))
    yield from (_of_top(_Bend(bend)) for bend in (0.02, -0.02))
    for table in odd_tables():
        yield from fit(table, "additive", 0).warnings


def odd_tables() -> Iterator[dict[str, Any]]:
    """Grids whose smallest sizes or starved corners stray, whose rows are checkpoints, or that lie off the optimum."""
    size, ratio = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 8), np.geomspace(5, 80, 5)))
    for off in (0.05, -0.05):
        for column in ("params", "params_matmul"):
            stray = off * (size < 2.5e7)
            yield made_table(size, ratio * size, stray, column)
    for factor in (1e-3, 1e4):
        yield made_table(size, factor * ratio * size)
    steps = np.tile(np.linspace(1e9, 1e10, 10), 5)
    width = np.repeat(np.geomspace(1e7, 1e9, 5), 10)
    yield {**made_table(width, steps), "group": np.repeat(np.arange(5), 10)}
    yield made_table(width, steps, 0.01 * np.sin(steps / 1.5e9))
    clean = made_table(size, ratio * size)
    for many in (1, 2):
        yield {name: np.concatenate([column, column[:many]]) for name, column in clean.items()}
        yield {**clean, "loss": clean["loss"] * np.where(np.arange(40) < many, 3.0, 1.0)}
    yield {
        **{name: np.tile(column, 2) for name, column in clean.items() if name != "loss"},
        "loss": np.concatenate([clean["loss"], 1.2 * clean["loss"]]),
        "group": np.repeat(["one", "two"], len(size)),
    }
    yield {**clean, "flops": 6e-18 * size * ratio * size}
    yield {**clean, "loss": clean["loss"].max() + clean["loss"].min() - clean["loss"]}


def made_table(size: np.ndarray, tokens: np.ndarray, stray: Any = 0.0, column: str = "params") -> dict[str, Any]:
    noise = np.random.default_rng(0).normal(0, 0.001, len(size))
    loss = (1.7 + 400 / size**0.34 + 410 / tokens**0.28) * np.exp(noise + stray)
    return {column: size, "tokens": tokens, "loss": loss}


def made_fit(cost_name: str, status: Status, score: float) -> Any:
    seen = SimpleNamespace(
        has_flops=cost_name == "flops",
        cost_name=cost_name,
        params_tokens=(0, 1),
        tokens_per_param=(10.0, 20.0),
        least_loss=2.0,
        lowest=(1.0, 10.0),
        highest=(100.0, 2000.0),
    )
    return SimpleNamespace(
        seen=seen, status=status, law="additive", score=score, refits=(), resamples=50 if score > 0 else 0,
        inputs=("params", "tokens"), rows=20, parameters={}, warnings=(NO_TREND, CHECKPOINTS),
        intervals={"E": (0.0, 1.0)}, fallback="",
        calibration=SimpleNamespace(factor=3.0), solution=SimpleNamespace(at_bound=("E",)),
    )  # fmt: skip


def seen_from(reach: float, depth: float, params: float = 1.0, tokens: float = 900.0) -> Any:
    return SimpleNamespace(inputs=np.array([[params], [tokens]]), reach=np.array([reach]), depth=np.array([depth]))


@pytest.mark.parametrize("cost_name", ["flops", "6·params·tokens"])
def test_every_reason_is_in_chinese(cost_name: str) -> None:
    lost, unclear = (
        made_fit(cost_name, *one) for one in ((Status.NOT_CONVERGED, 0.1), (Status.NOT_IDENTIFIED, np.nan))
    )
    far, below = seen_from(50.0, 0.02), seen_from(0.01, 5.0)
    odd = [seen_from(0.5, 0.5, params, 10 * params) for params in (4e3, 0.01)]
    wild = [seen_from(0.5, 0.5, params, 10 * params) for params in (4e5, 1e-4)]
    reasons = [
        text for view in (seen_from(2e3, 0.1), seen_from(0.1, 2e3), *wild) for text in _concerns(lost, view, 0.3)
    ]
    reasons += [text for view in (far, below, *odd) for text in _cautions(lost, view, 0.1)]
    reasons += _cautions(unclear, far, 0.1)
    near = [seen_from(*reach) for reach in ((0.5, 0.5), (8, 0.1), (0.1, 2))]
    reasons += [f"{_how_far(lost, view)}, within ±2.1% at 90%" for view in near]
    reasons.append(_record(lost))
    assert len(set(reasons)) == 24
    assert [reason for reason in reasons if not is_chinese(CHINESE.say(reason))] == []


def test_every_warning_is_in_chinese() -> None:
    found = set(all_warnings())
    assert len({re.sub(r"[\d.]+(e[+-]\d+)?%?", "", warning) for warning in found}) == 26
    assert [warning for warning in found if not is_chinese(CHINESE.say(warning))] == []


@pytest.mark.parametrize("reason", REASONS_TO_DROP)
def test_every_reason_to_drop_is_in_chinese(reason: str) -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("*.py"))
    assert reason in code, "worded otherwise now; so must the pattern in zh.toml be"
    assert is_chinese(CHINESE.say(re.sub(r"\{\w+\}", "50", reason)))


def test_a_data_card_is_in_chinese() -> None:
    card = Card(3)
    card.held_out_share, card.held_out_repeated = 0.05, 0.0932
    card.keep(Document("Return the mean of an array along its first axis.", "numpy", "BSD-3-Clause"))
    card.drop(Dropped("numpy", "duplicate"))
    card.redactions["email"] = 2
    grids, notes = card_grids(card.summary(), CHINESE)
    assert all(map(is_chinese, notes))
    cells = {row[0]: row[1] for row in grids[0].rows}
    assert cells["留出比例"] == "5%"
    assert cells["留出文本与训练文本重复的比例"] == "9.32%"
    assert is_chinese(cells["划分规则"])
    names = {grid.caption: (grid.columns[0], [row[0] for row in grid.rows]) for grid in grids[1:]}
    assert names["按原因剔除"] == ("原因", ["完全重复"])
    assert names["已遮盖"][1] == ["电子邮件地址"]
    assert names["语言"][1] == ["其他"]


def test_the_page_says_it_in_chinese(content: ReportContent, tmp_path: Path) -> None:
    doubtful = replace(content.fit, warnings=tuple(all_warnings()))
    title = "Documentation of the installed Python packages"
    why = "8× the largest flops seen, within ±9% at 90%; the runs do not fix the floor E"
    chinese = replace(content, language="zh", fit=doubtful, title=title)
    assert all(map(is_chinese, warnings(doubtful, CHINESE)))
    said = headline(replace(chinese, forecast={**(content.forecast or {}), "why": why}), CHINESE)
    assert "为已见最大运算量的 8 倍，90% 区间 ±9%；这些训练不足以确定不可约损失 E）。" in said.lines[-1]
    shown = {section.name: section for section in sections(chinese, CHINESE)}
    assert all(map(is_chinese, shown["plan"].points))
    assert [row[0] for row in shown["settings"].grids[-1].rows] == ["操作系统", "核数"]
    write_report(tmp_path / "report.html", chinese)
    assert "<title>已安装的 Python 包的文档</title>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_every_stage_has_a_name() -> None:
    assert all(f"stage_{name}" in CHINESE for name in ORDER)


def test_what_no_pattern_matches_stays_as_it_is() -> None:
    for text in ("a text of somebody else", "{rows} {0} {", ""):
        assert CHINESE.say(text) == text
    assert texts("en").say("the fit did not converge") == "the fit did not converge"
