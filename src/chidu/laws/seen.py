"""What the fitted runs spanned: kept with a fit, so that it can say how far a forecast reaches without the table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chidu.laws.objective import Floats
from chidu.laws.rows import Rows, is_flops
from chidu.runs.ladder import Ladder

__all__ = ["Seen"]


@dataclass(frozen=True)
class Seen:
    """Ranges of the fitted runs, in the units of their columns."""

    names: tuple[str, ...]
    """The inputs."""
    lowest: tuple[float, ...]
    """Least of each input."""
    highest: tuple[float, ...]
    """Largest of each input."""
    cost: float
    """The dearest run's cost."""
    cost_name: str
    """What cost is: `flops`, `6·params·tokens` or the inputs' product."""
    flops_factor: float
    """Flops over params · tokens (over the dearer half of the runs); 6 where there are no flops."""
    tokens_per_param: tuple[float, float] | None
    """Least and largest; None of a law that does not read both."""
    least_loss: float
    lost_freedom: float
    """What the spread of refits is multiplied with for the parameters spent."""

    @classmethod
    def of(cls, rows: Rows, lost_freedom: float) -> Seen:
        """Measure the rows."""
        places = _params_tokens(rows.names)
        # A formula may read columns of any sign; only counts have a ratio.
        known = places is not None and bool((rows.inputs[list(places)] > 0).all())
        ratio = rows.inputs[places[1]] / rows.inputs[places[0]] if places is not None and known else None
        return cls(
            names=rows.names,
            lowest=tuple(rows.inputs.min(axis=1).tolist()),
            highest=tuple(rows.inputs.max(axis=1).tolist()),
            cost=float(rows.cost.max()),
            cost_name=rows.cost_name,
            flops_factor=_factor(rows),
            tokens_per_param=None if ratio is None else (float(ratio.min()), float(ratio.max())),
            least_loss=float(rows.loss.min()),
            lost_freedom=lost_freedom,
        )

    @property
    def params_tokens(self) -> tuple[int, int] | None:
        """Places of params and tokens among the inputs, where both are read."""
        return _params_tokens(self.names)

    @property
    def has_flops(self) -> bool:
        """True where the table had flops of its own."""
        return self.cost_name == "flops"

    @property
    def knows_cost(self) -> bool:
        """True where `cost` is flops, given or counted, and not only a number that grows with the inputs."""
        return is_flops(self.cost_name)

    def costs(self, points: Ladder, inputs: Floats) -> Floats:
        """Cost of each point (points,), in the unit of `cost`; from its own flops where it brings them."""
        if self.has_flops and "flops" in points:
            return points.numbers("flops")
        if self.cost_name == "·".join(self.names):
            return np.asarray(np.prod(np.abs(inputs), axis=0))
        if self.params_tokens is None:
            return inputs[0] if self.names == ("flops",) else np.full(inputs.shape[1], np.nan)
        params, tokens = self.params_tokens
        return np.asarray(self.flops_factor * inputs[params] * inputs[tokens])

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form."""
        return asdict(self)


def _params_tokens(names: tuple[str, ...]) -> tuple[int, int] | None:
    params = next((k for k, name in enumerate(names) if name.startswith("params")), None)
    return None if params is None or "tokens" not in names else (params, names.index("tokens"))


def _factor(rows: Rows) -> float:
    places = _params_tokens(rows.names)
    if rows.cost_name != "flops" or places is None:
        return 6.0
    dear = rows.cost >= np.median(rows.cost)
    product = rows.inputs[places[0]] * rows.inputs[places[1]]
    return float(np.exp(np.mean(np.log(rows.cost[dear] / product[dear]))))
