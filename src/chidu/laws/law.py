"""The catalogue of laws: what each formula says, which columns it reads, where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from chidu.errors import FitError, nearest

__all__ = ["LAWS", "Law", "find_law"]


@dataclass(frozen=True)
class Law:
    """A formula for the loss. All laws here are a floor plus one power of a soft sum of falling powers."""

    name: str
    formula: str
    """As people write it, over `inputs` and `parameters`."""
    inputs: tuple[str, ...]
    """Columns it reads, unless the caller names others."""
    parameters: tuple[str, ...]
    """Names of its parameters, in the order they are printed."""
    source: str
    purpose: str
    coupled: bool = False
    """True where an outer exponent `kappa` bends the sum of the terms."""

    @property
    def amplitudes(self) -> tuple[str, ...]:
        """Names of the terms' amplitudes, one an input."""
        return ("A", "B")[: len(self.inputs)]

    @property
    def exponents(self) -> tuple[str, ...]:
        """Names of the terms' exponents, one an input."""
        return ("alpha", "beta")[: len(self.inputs)]

    def over(self, columns: Sequence[str]) -> str:
        """Return the formula over other columns than its own."""
        formula = self.formula
        for own, other in zip(self.inputs, columns, strict=True):
            formula = formula.replace(own, other)
        return formula


_ALL = (
    Law(
        name="power",
        formula="E + A / flops^alpha",
        inputs=("flops",),
        parameters=("E", "A", "alpha"),
        source="Kaplan et al., 2001.08361, with a floor as in Henighan et al., 2010.14701",
        purpose="one quantity alone, or runs that all keep one ratio of tokens to params",
    ),
    Law(
        name="additive",
        formula="E + A / params^alpha + B / tokens^beta",
        inputs=("params", "tokens"),
        parameters=("E", "A", "alpha", "B", "beta"),
        source="Hoffmann et al., 2203.15556, equation 10",
        purpose="params and tokens that vary apart, none of them starved",
    ),
    Law(
        name="coupled",
        formula="E + (A / params^alpha + B / tokens^beta)^kappa",
        inputs=("params", "tokens"),
        parameters=("E", "A", "alpha", "B", "beta", "kappa"),
        source="Videau et al., 2026",
        purpose="the additive law where few params and few tokens do not simply add up (kappa other than 1)",
        coupled=True,
    ),
)

LAWS: Mapping[str, Law] = MappingProxyType({law.name: law for law in _ALL})


def find_law(name: str) -> Law:
    """Return the law of this name. Raises FitError naming the nearest known one."""
    if name not in LAWS:
        raise FitError(f"no law {name!r}{nearest(name, [*LAWS, 'auto'])}: choose among auto, {', '.join(LAWS)}")
    return LAWS[name]
