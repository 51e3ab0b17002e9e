"""Chidu (尺度): honest, cheap extrapolation for language models.

    runs = chidu.Ladder.read("runs.csv")
    fit = chidu.fit(runs)
    fit.forecast({"params": [7e9], "tokens": [2e12]})

Everything here is loaded when it is first used: `import chidu` by itself loads neither NumPy nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chidu.errors import ChiduError
    from chidu.laws import Comparison, Fit, Suggestion, backtest, compare, fit, suggest
    from chidu.runs import Ladder, Recipe, Run, RunConfig, Shape, Table

__version__ = "0.1.0"

__all__ = [
    "ChiduError",
    "Comparison",
    "Fit",
    "Ladder",
    "Recipe",
    "Run",
    "RunConfig",
    "Shape",
    "Suggestion",
    "Table",
    "__version__",
    "backtest",
    "compare",
    "fit",
    "suggest",
]

_HOME = {
    "ChiduError": "chidu.errors",
    "Comparison": "chidu.laws",
    "Fit": "chidu.laws",
    "backtest": "chidu.laws",
    "compare": "chidu.laws",
    "fit": "chidu.laws",
    "Suggestion": "chidu.laws",
    "suggest": "chidu.laws",
    "Ladder": "chidu.runs",
    "Recipe": "chidu.runs",
    "Run": "chidu.runs",
    "RunConfig": "chidu.runs",
    "Shape": "chidu.runs",
    "Table": "chidu.runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'chidu' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
