"""What the fitted runs spanned: kept with a fit, so that it can say how far a forecast reaches without the table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chidu.laws.objective import Floats
from chidu.laws.rows import Rows
from chidu.runs.ladder import Ladder

__all__ = ["Seen"]


@dataclass(frozen=True)
class Seen:
    """Ranges of the fitted runs, in the units of their columns."""

    lowest: tuple[float, ...]
    """Least of each input."""
    highest: tuple[float, ...]
    """Largest of each input."""
    cost: float
    """The dearest run's cost."""
    cost_name: str
    """What cost is: `flops`, `6·params·tokens` or the inputs' product."""
    flops_factor: float
    """Flops over the product of the two inputs (over the dearer half of the runs); 6 where there are no flops."""
    ratio: tuple[float, float]
    """Least and largest ratio of the second input to the first; 1 with one input."""
    least_loss: float
    lost_freedom: float
    """What the spread of refits is multiplied with for the parameters spent."""

    @classmethod
    def of(cls, rows: Rows, lost_freedom: float) -> Seen:
        """Measure the rows."""
        ratio = rows.inputs[1] / rows.inputs[0] if len(rows.names) == 2 else np.ones(1)
        return cls(
            lowest=tuple(rows.inputs.min(axis=1).tolist()),
            highest=tuple(rows.inputs.max(axis=1).tolist()),
            cost=float(rows.cost.max()),
            cost_name=rows.cost_name,
            flops_factor=_factor(rows),
            ratio=(float(ratio.min()), float(ratio.max())),
            least_loss=float(rows.loss.min()),
            lost_freedom=lost_freedom,
        )

    @property
    def has_flops(self) -> bool:
        """True where the table had flops of its own."""
        return self.cost_name == "flops"

    def costs(self, points: Ladder, inputs: Floats) -> Floats:
        """Cost of each point (points,), in the unit of `cost`; from its own flops where it brings them."""
        if self.has_flops and "flops" in points:
            return points.numbers("flops")
        factor = 1.0 if "·tokens" not in self.cost_name and not self.has_flops else self.flops_factor
        return np.asarray(inputs[0] if len(inputs) == 1 else factor * inputs[0] * inputs[1])

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form."""
        return asdict(self)


def _factor(rows: Rows) -> float:
    if rows.cost_name != "flops" or len(rows.names) < 2:
        return 6.0
    dear = rows.cost >= np.median(rows.cost)
    return float(np.exp(np.mean(np.log(rows.cost[dear] / rows.inputs[0][dear] / rows.inputs[1][dear]))))
