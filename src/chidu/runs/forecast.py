"""A forecast that is written down before its run, sealed, and scored after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chidu.errors import ForecastError
from chidu.runs.record import fingerprint, now, read_json, write_json
from chidu.runs.run import Run

__all__ = ["Score", "WrittenForecast"]


@dataclass(frozen=True)
class WrittenForecast:
    """A law's value for one run to come. `write` seals it: a later change of any figure is found out."""

    written: str
    """ISO 8601, UTC."""
    point: dict[str, float]
    """The run to come: params, params_matmul, tokens, flops."""
    law: str
    formula: str
    loss: float
    """nats per token, held out"""
    low: float
    high: float
    level: float
    """Probability that low..high holds the measured loss."""
    extrapolation: float | None
    """Flops of the run over those of the dearest rung; None where the table has no flops."""
    trust: str
    """`yes`, `with care` or `no`."""
    why: str
    ladder: str
    """Fingerprint of what was fitted: the table of runs, or the saved fit."""
    target: str
    """Fingerprint of the run's config; of a run that others train, of its point."""

    @property
    def seal(self) -> str:
        """Fingerprint of everything that was forecast."""
        return fingerprint(asdict(self))

    def write(self, path: Path) -> None:
        """Write the forecast with its seal. Raises ForecastError where there is one already."""
        if path.exists():
            raise ForecastError(f"{path} is written already; a forecast is made once")
        write_json(path, {**asdict(self), "seal": self.seal})

    @classmethod
    def read(cls, path: Path) -> WrittenForecast:
        """Read a forecast. Raises ForecastError where it is not what was sealed."""
        try:
            values = dict(read_json(path))
            seal = values.pop("seal", None)
            forecast = cls(**values)
        except (TypeError, ValueError) as error:
            raise ForecastError(f"{path} is no written forecast ({error})") from error
        if forecast.seal != seal:
            raise ForecastError(f"{path} was changed after it was written: it can't be scored; restore the original")
        return forecast

    def score(self, run: Run) -> Score:
        """Compare with the measured run. Raises ForecastError where it is another run than the one forecast."""
        if fingerprint(run.config.as_dict()) != self.target:
            raise ForecastError(f"the forecast speaks of another run than {run.name}: it can't be scored by it")
        return self.against(run.loss, run.loss_standard_error)

    def against(self, measured: float, standard_error: float | None = None) -> Score:
        """Compare with a measured loss. Raises ForecastError where it is no finite number above 0."""
        if not (math.isfinite(measured) and measured > 0):
            raise ForecastError(f"the measured loss is {measured:g}; it must be a finite number above 0")
        return Score(
            seal=self.seal,
            scored=now(),
            measured=measured,
            measured_standard_error=standard_error,
            error_percent=100 * (self.loss / measured - 1),
            width_percent=100 * (self.high - self.low) / self.loss,
            inside=self.low <= measured <= self.high,
        )


@dataclass(frozen=True)
class Score:
    """What came of a forecast."""

    seal: str
    """Seal of the forecast that was scored."""
    scored: str
    """ISO 8601, UTC."""
    measured: float
    """nats per token, held out"""
    measured_standard_error: float | None
    """Of the loss over the held-out text; None where it is not known."""
    error_percent: float
    """Forecast over measured, less 1, in percent: above 0 where the forecast was too high."""
    width_percent: float
    """Width of the interval in percent of the forecast."""
    inside: bool
    """True where the interval holds the measured loss."""

    def write(self, path: Path) -> None:
        """Write the score. Raises ForecastError where another forecast was scored here before."""
        if path.exists() and read_json(path).get("seal") != self.seal:
            raise ForecastError(f"{path} scores another forecast: a changed forecast is not scored again")
        write_json(path, asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """Read what `write` wrote."""
        return cls(**values)
