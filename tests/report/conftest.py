"""What the report's tests share."""

from __future__ import annotations

import numpy as np
import pytest
from undertaking import full_content, made_fit, made_run

from chidu.report import ReportContent
from chidu.runs.run import Run


@pytest.fixture(scope="session")
def runs() -> tuple[Run, ...]:
    rng = np.random.default_rng(0)
    shapes = ((32, 2), (48, 3), (64, 4), (96, 4))
    return tuple(made_run(width, layers, steps, rng) for width, layers in shapes for steps in (600, 1200, 2400))


@pytest.fixture(scope="session")
def content(runs) -> ReportContent:
    return full_content(runs, made_fit(runs))
