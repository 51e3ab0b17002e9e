"""The columns a law reads, taken out of a table of runs and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chidu.errors import FitError, TableError
from chidu.laws.law import Law
from chidu.laws.objective import Floats
from chidu.runs.ladder import Ladder

__all__ = ["WEIGHTINGS", "Rows", "is_flops", "read_costs", "read_rows"]

WEIGHTINGS: Mapping[str, str] = MappingProxyType(
    {
        "even": "every row counts by its own weight alone",
        "dear": "each row's times the root of its cost over the largest: dear runs come first",
        "frontier": "each row's times 1 / (1 + (excess / 5%)²), excess being its loss over the least of cheaper ones",
    }
)
"""What a run's own weight is multiplied with. Runs near the dear end say more of what lies beyond it, and those near
the compute frontier of what will be run; laws are least wrong where they need not also pass through starved corners."""

WINDOW = 0.05
"""Excess over the compute frontier, in log loss, at which a run counts half."""

POINTS_ALONG = 8
"""Rows in a group, on average, that make them points along a run; a ladder's lengths of one size are fewer."""


@dataclass(frozen=True)
class Rows:
    """Runs in an order of their own (cost, inputs, loss), so that the table's order changes nothing.

    `inputs` (inputs, rows) in the units of the columns, `loss`, `weights`, `cost` (rows,); `groups` (rows,) numbers the
    trajectories from 0, and is empty where the table has no column `group`. Weights are in parts of the table's
    largest, so that the unit they were written in changes nothing.
    """

    names: tuple[str, ...]
    inputs: Floats
    loss: Floats
    weights: Floats
    cost: Floats
    """What a run costs: its flops, else 6 · params · tokens, else the product of the inputs."""
    cost_name: str
    """What `cost` is: `flops`, `6·params·tokens`, or the names of the inputs."""
    groups: NDArray[np.int_]
    places: NDArray[np.int_]
    """Where each row stands in the table (rows,), from 0."""
    heaviest: float
    """The table's largest weight."""

    def __len__(self) -> int:
        return len(self.loss)

    def thinned(self, most: int) -> Rows:
        """Return at most so many rows, even over the order of cost."""
        if len(self) <= most:
            return self
        return self.select(np.linspace(0, len(self) - 1, most).astype(int))

    def weighted(self, weighting: str) -> Rows:
        """Return the rows with their weights times what a name in WEIGHTINGS says."""
        if weighting == "even":
            return self
        if weighting == "dear":
            return replace(self, weights=self.weights * np.sqrt(self.cost / self.cost.max()))
        return replace(self, weights=self.weights / (1 + (self.excess() / WINDOW) ** 2))

    def excess(self) -> Floats:
        """Return each row's log loss over the least of the rows that cost as much or less (rows,)."""
        # Rows lie in the order of cost; of rows of one cost the last has seen them all.
        least = np.minimum.accumulate(self.loss)
        last = np.searchsorted(self.cost, self.cost, side="right") - 1
        return np.asarray(np.log(self.loss / least[last]))

    @property
    def along(self) -> bool:
        """True where the rows are many points along each of a few runs, as checkpoints are."""
        return len(self.groups) > 0 and len(self) >= POINTS_ALONG * len(np.unique(self.groups))

    @property
    def knows_cost(self) -> bool:
        """True where `cost` is flops, and not only a number that grows with the inputs."""
        return is_flops(self.cost_name)

    def select(self, index: NDArray[np.int_] | NDArray[np.bool_]) -> Rows:
        """Return some of the rows."""
        return replace(
            self,
            inputs=self.inputs[:, index],
            loss=self.loss[index],
            weights=self.weights[index],
            cost=self.cost[index],
            groups=self.groups[index] if len(self.groups) else self.groups,
            places=self.places[index],
        )


def is_flops(cost_name: str) -> bool:
    """True where costs of this name are flops, given or counted from params and tokens."""
    return cost_name == "flops" or cost_name.startswith("6·")


def read_rows(runs: Ladder, law: Law, inputs: Sequence[str] | None, weights: ArrayLike | None) -> Rows:
    """Take the law's columns out of the table.

    ``params`` is read from ``params_matmul`` where the table has it. Weights come from the argument, else from a column
    ``weight``, else are 1. Raises TableError naming file, row and column of what can't be used, FitError where no rows
    are left.
    """
    if not len(runs):
        raise FitError(f"{runs.source}: no rows")
    names = _input_names(runs, law, inputs)
    x = np.vstack([_input(runs, name, positive=law.sums_powers) for name in names])
    cost_name, cost = _cost(runs, names, x)
    loss = runs.numbers(law.target)
    order = np.lexsort([loss, *x[::-1], cost])
    load = _weights(runs, weights)
    heaviest = float(load.max())
    if not heaviest > 0:
        raise FitError(f"{runs.source}: every weight is 0, so no run counts: give some a weight above 0")
    places = np.arange(len(runs))
    rows = Rows(names, x, loss, load / heaviest, cost, cost_name, _groups(runs), places, heaviest)
    return rows.select(order[rows.weights[order] > 0])


def read_costs(runs: Ladder, law: Law) -> Floats:
    """Return what each run of the table costs, in the table's order."""
    names = _input_names(runs, law, None)
    return _cost(runs, names, np.vstack([_input(runs, name, positive=law.sums_powers) for name in names]))[1]


def _input_names(runs: Ladder, law: Law, inputs: Sequence[str] | None) -> tuple[str, ...]:
    if inputs is None:
        # A formula that the caller wrote says which column it means.
        swap = {"params": "params_matmul"} if "params_matmul" in runs and law.name != law.formula else {}
        return tuple(swap.get(name, name) for name in law.inputs)
    if len(inputs) != len(law.inputs):
        raise FitError(f"the {law.name} law reads {len(law.inputs)} columns, inputs names {len(inputs)}")
    return tuple(inputs)


def _input(runs: Ladder, name: str, *, positive: bool) -> Floats:
    """Read an input; flops are counted as 6·params·tokens where the table has none."""
    if name == "flops" and "flops" not in runs and "tokens" in runs and _params_name(runs) in runs:
        return 6.0 * runs.numbers(_params_name(runs)) * runs.numbers("tokens")
    return runs.numbers(name, positive=positive)


def _params_name(runs: Ladder) -> str:
    return "params_matmul" if "params_matmul" in runs else "params"


def _cost(runs: Ladder, names: Sequence[str], x: Floats) -> tuple[str, Floats]:
    """What a run costs: flops where they follow from the inputs, so that a point's cost is known too."""
    if names == ("flops",):
        return ("flops" if "flops" in runs else f"6·{_params_name(runs)}·tokens"), x[0]
    params = next((name for name in names if name.startswith("params")), None)
    if "flops" in runs and ("tokens" in names or len(names) != 2):
        return "flops", runs.numbers("flops")
    if params is not None and "tokens" in names:
        return f"6·{params}·tokens", np.asarray(6.0 * x[names.index(params)] * x[names.index("tokens")])
    # What else a law reads is no cost, but its dear end is where inputs are large.
    return "·".join(names), np.asarray(np.prod(np.abs(x), axis=0))


def _weights(runs: Ladder, weights: ArrayLike | None) -> Floats:
    if weights is None:
        found = runs.numbers("weight", positive=False) if "weight" in runs else np.ones(len(runs))
    else:
        found = np.asarray(weights, dtype=np.float64)
        if found.shape != (len(runs),):
            raise FitError(f"weights has shape {found.shape}; it must have one number a row ({len(runs)})")
    bad = ~np.isfinite(found) | (found < 0)
    if bad.any():
        row = int(np.argmax(bad))
        raise TableError(
            f"{runs.source}: row {runs.row_numbers[row]}: the weight is {found[row]:g}; it must be 0 or more"
        )
    return found


def _groups(runs: Ladder) -> NDArray[np.int_]:
    if "group" not in runs:
        return np.empty(0, dtype=int)
    return np.asarray(np.unique(runs.columns["group"], return_inverse=True)[1], dtype=int).reshape(-1)
