"""A law's formula with its numbers in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chidu.laws import Fit

__all__ = ["formula_text"]


def formula_text(fit: Fit) -> str:
    """Return the formula as people type it in, its parameters replaced by their estimates."""
    formula = fit.formula
    for name, value in fit.parameters.items():
        formula = re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)", f"{value:.5g}", formula)
    return f"loss = {formula}"
