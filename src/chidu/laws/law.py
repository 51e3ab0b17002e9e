"""What a law is: a formula over columns of a table, with the parameters that a fit finds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from chidu.laws.formula import Formula, parse

__all__ = ["Law"]


@dataclass(frozen=True)
class Law:
    """A formula for the target. Sums of powers have a solver of their own, all others the general one."""

    name: str
    """In the catalogue; of a formula that the caller wrote, the formula."""
    formula: str
    """As people write it, over `inputs` and `parameters`."""
    inputs: tuple[str, ...]
    """Columns it reads, unless the caller names others."""
    parameters: tuple[str, ...]
    """Names of its parameters, in the order they are printed."""
    source: str = ""
    purpose: str = ""
    misleads: str = ""
    """Where it should not be believed."""
    target: str = "loss"
    """The column that it speaks of."""
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Of parameters that may be negative, or are known to be small; others lie between 0 and infinity."""
    sums_powers: bool = False
    """True for a floor plus one power of a sum of falling powers: `chidu.laws.powers` solves these."""
    coupled: bool = False
    """Of those, True where an outer exponent `kappa` bends the sum of the terms."""

    @cached_property
    def parsed(self) -> Formula:
        """The formula as a tree, its columns in the order of `inputs`."""
        return replace(parse(self.formula, self.inputs), columns=self.inputs)

    @property
    def amplitudes(self) -> tuple[str, ...]:
        """Of a sum of powers: names of the terms' amplitudes, one an input."""
        return ("A", "B")[: len(self.inputs)]

    @property
    def exponents(self) -> tuple[str, ...]:
        """Of a sum of powers: names of the terms' exponents, one an input."""
        return ("alpha", "beta")[: len(self.inputs)]

    def over(self, columns: Sequence[str]) -> str:
        """Return the formula over other columns than its own."""
        other = dict(zip(self.inputs, columns, strict=True))
        return re.sub(r"[A-Za-z_]\w*", lambda match: other.get(match[0], match[0]), self.formula)
