"""A small undertaking, made up but of the right form: a ladder, its fit, a scored forecast, and the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from chidu.laws import Fit, fit
from chidu.report import ReportContent
from chidu.runs.config import RunConfig
from chidu.runs.ladder import Ladder
from chidu.runs.run import Run
from chidu.runs.shape import Shape


def made_run(width: int, layers: int, steps: int, rng: np.random.Generator, name: str = "") -> Run:
    shape = Shape(2048, 128, width, layers, max(1, width // 32), max(1, width // 32), 32, 3 * width)
    config = RunConfig(shape, steps, 1024, 0.01, 0.01, 0.01, 50, 0.3)
    loss = true_loss(shape.params_matmul, config.tokens) * float(np.exp(rng.normal(0, 0.002)))
    seen = np.arange(20, steps + 1, 20)
    curve = tuple((int(s), float(true_loss(shape.params_matmul, s * 1024) + rng.normal(0, 0.04))) for s in seen)
    return Run(
        name=name or f"w{width}-s{steps}", group=f"w{width}", config=config, loss=loss, loss_standard_error=0.004,
        bytes_per_token=3.1, unique_tokens=8_000_000, seconds=steps / 30, flops_spent=config.flops * 0.7, curve=curve,
    )  # fmt: skip


def true_loss(params: float, tokens: float) -> float:
    return 1.2 + 60 / params**0.35 + 260 / tokens**0.38


def made_fit(runs: tuple[Run, ...]) -> Fit:
    return fit(Ladder.from_runs(runs), resamples=200)


def full_content(runs: tuple[Run, ...], law: Fit, language: str = "en", **changes: Any) -> ReportContent:
    """All that a page can hold, with `changes` in it."""
    target = made_run(128, 5, 6000, np.random.default_rng(1), "target")
    config = target.config
    point = {
        "params": config.shape.params,
        "params_matmul": config.shape.params_matmul,
        "tokens": config.tokens,
        "flops": config.flops,
    }
    said = law.forecast(point).rows()[0]
    trust, why = law.trust(point)
    forecast = {
        "written": "2026-11-24T01:00:00+00:00",
        "point": point,
        **{name: said[name] for name in ("loss", "low", "high", "extrapolation")},
        "level": law.level,
        "trust": trust,
        "why": why,
        "measured": target.loss,
        "measured_standard_error": target.loss_standard_error,
        "error_percent": 100 * (said["loss"] / target.loss - 1),
        "inside": said["low"] <= target.loss <= said["high"],
        "scored": "2026-11-24T01:30:00+00:00",
    }
    dearest = max(run.config.flops for run in runs)
    values: dict[str, Any] = {
        "title": "Docstrings 尺度: forecast and model",
        "ladder": Ladder.from_runs(runs),
        "runs": runs,
        "fit": law,
        "forecast": forecast,
        "target": target,
        "data_card": CARD,
        "plan": [law.plan(flops=dearest * factor).as_dict() for factor in (1, 10, 100)],
        "sample": {"prompt": "Return the", "text": "mean along\n    the given axis.\n\n返回沿给定轴的平均值。"},
        "costs": [
            {"stage": "corpus", "seconds": 12.0, "flops": None},
            {"stage": "ladder", "seconds": 310.0, "flops": 2.1e13},
        ],
        "settings": {"seed": 0, "recipe": {"vocabulary": 2048, "widths": [32, 48, 64, 96]}},
        "versions": {"python": "3.11.9", "chidu": "0.1.0"},
        "machine": {"system": "Linux", "cores": 2},
        "bytes_per_token": 3.1,
        "language": language,
    }
    return ReportContent(**{**values, **changes})


CARD = {
    "sources": [{"name": f"package-{i}", "version": "1.0", "licence": "MIT", "documents": i} for i in range(20)],
    "documents_in": 13204,
    "documents_kept": 12345,
    "bytes_kept": 37_000_000,
    "dropped": {"duplicate": {"documents": 812, "bytes": 91_000}, "short": {"documents": 47, "bytes": 900}},
    "redactions": {"email": 17},
    "licences": {"MIT": {"documents": 12345, "bytes": 37_000_000}},
    "split": {"train": {"documents": 12000, "bytes": 36_000_000}, "held_out": {"documents": 345, "bytes": 1_000_000}},
    "limits": ["near-duplicates are not removed"],
}
