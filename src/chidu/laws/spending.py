"""What a plan may spend: flops, money or hours on a stated machine, and what flops come to in all of them."""

from __future__ import annotations

from dataclasses import dataclass

from chidu.errors import FitError
from chidu.laws.settings import above_zero

__all__ = ["Cost", "Spending"]

MOST_FLOPS = 1e59
"""Beyond, what follows from a budget leaves the range of numbers that a table may hold."""
HOUR = 3600.0
"""Seconds."""


@dataclass(frozen=True)
class Cost:
    """What some flops cost, as far as the machine and its price are known; NaN where not."""

    device_hours: float
    hours: float
    money: float


@dataclass(frozen=True)
class Spending:
    """A budget, given as exactly one of flops, money and hours, and the machine it is spent on.

    Raises FitError, in one line, where a number is not above 0, and where something is missing or said twice.
    """

    flops: float | None = None
    money: float | None = None
    """In the currency of `price`."""
    hours: float | None = None
    """Of all devices together at work, as a clock on the wall shows."""
    price: float | None = None
    """Of one device for one hour."""
    speed: float | None = None
    """Flop/s that one device achieves in training."""
    peak: float | None = None
    """Flop/s that one device could do at most; `utilisation` of it is achieved."""
    utilisation: float | None = None
    """Achieved over peak, above 0 and up to 1 (often called MFU)."""
    devices: int | None = None
    """How many work side by side; 1 where not given."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            above_zero(name, value)
        self._check_machine()
        given = [name for name in ("flops", "money", "hours") if getattr(self, name) is not None]
        if not given:
            raise FitError("a plan needs a budget: give flops, or money with price and speed, or hours with speed")
        if len(given) > 1:
            raise FitError(f"a plan has one budget: {' and '.join(given)} are given; leave all but one out")
        missing = self._missing(given[0])
        if missing:
            raise FitError(f"a budget of {given[0]} needs {' and '.join(missing)}: give them, or give flops")
        if self.budget > MOST_FLOPS:
            bought = "" if given[0] == "flops" else f", which buys {self.budget:.3g} flops"
            raise FitError(
                f"{given[0]} is {getattr(self, given[0]):g}{bought}; a budget is at most {MOST_FLOPS:g} flops"
            )

    def _check_machine(self) -> None:
        if self.speed is not None and (self.peak is not None or self.utilisation is not None):
            raise FitError("speed is what a device achieves: leave out peak and utilisation, or leave out speed")
        if self.peak is not None and self.utilisation is None:
            raise FitError(
                "no device trains at its peak: give utilisation too (0.3 to 0.5 is common), or speed instead"
            )
        if self.utilisation is not None and self.peak is None:
            raise FitError("utilisation is a part of the peak: give peak too (flop/s of one device)")
        if self.utilisation is not None and self.utilisation > 1:
            raise FitError(f"utilisation is {self.utilisation:g}; it must be above 0 and at most 1: 40% is 0.4")
        if self.devices is not None and self.devices != int(self.devices):
            raise FitError(f"devices is {self.devices:g}; it must be a whole number")
        if self.devices is not None and self.achieved is None:
            raise FitError(
                "devices says nothing without speed (flop/s of one device): give speed, or leave devices out"
            )

    def _missing(self, budget: str) -> list[str]:
        needed = {"flops": [], "money": ["price", "speed"], "hours": ["speed"]}[budget]
        return [name for name in needed if (self.achieved if name == "speed" else self.price) is None]

    @property
    def achieved(self) -> float | None:
        """Flop/s that one device achieves; None where the machine is not stated."""
        if self.peak is not None and self.utilisation is not None:
            return self.peak * self.utilisation
        return self.speed

    @property
    def budget(self) -> float:
        """The budget in flops."""
        if self.flops is not None:
            return float(self.flops)
        speed = self.achieved or 0.0
        if self.money is not None:
            return self.money / (self.price or 1.0) * HOUR * speed
        return (self.hours or 0.0) * HOUR * speed * (self.devices or 1)

    def cost(self, flops: float) -> Cost:
        """Return what flops cost on this machine."""
        nan = float("nan")
        if self.achieved is None:
            return Cost(nan, nan, nan)
        hours = flops / self.achieved / HOUR
        return Cost(hours, hours / (self.devices or 1), nan if self.price is None else hours * self.price)
