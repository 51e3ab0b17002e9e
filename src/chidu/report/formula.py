"""A law's formula, by name and with its numbers in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chidu.laws import Fit

__all__ = ["formula_text", "law_text"]

_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def law_text(fit: Fit) -> str:
    """Return the law as it stands in papers: ``loss = E + A / params^alpha``."""
    return f"{fit.target} = {fit.formula}"


def formula_text(fit: Fit) -> str:
    """Return the formula as people type it in, its parameters replaced by their estimates."""
    return f"{fit.target} = {_NAME.sub(lambda match: _number(fit, match[0]), fit.formula)}"


def _number(fit: Fit, name: str) -> str:
    if name not in fit.parameters:
        return name
    written = f"{fit.parameters[name]:.5g}"
    return f"({written})" if written.startswith("-") else written
