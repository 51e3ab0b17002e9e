"""A fit as JSON and back, whole: it forecasts and plans again without the table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import FitError
from chidu.laws.calibration import Calibration
from chidu.laws.general import Coordinates
from chidu.laws.law import Law
from chidu.laws.seen import Seen
from chidu.laws.solve import Frame, Solution, Status

if TYPE_CHECKING:
    from chidu.laws.fit import Fit

__all__ = ["fit_from_dict", "fit_to_dict"]

FORMAT = 3


def fit_to_dict(fit: Fit) -> dict[str, Any]:
    """Return the JSON form of a fit; NaN becomes None."""
    return {
        "chidu_fit": FORMAT,
        "law": fit.law,
        "formula": fit.formula,
        "inputs": list(fit.inputs),
        "parameters": dict(fit.parameters),
        "intervals": {name: [_or_none(low), _or_none(high)] for name, (low, high) in fit.intervals.items()},
        "level": fit.level,
        "objective": fit.objective,
        "status": fit.status.value,
        "warnings": list(fit.warnings),
        "rows": fit.rows,
        "target": fit.target,
        "objective_name": fit.objective_name,
        "law_scores": {name: _or_none(score) for name, score in fit.law_scores.items()},
        "weighting": fit.weighting,
        "resamples": fit.resamples,
        "seed": fit.seed,
        "solution": _solution_to_dict(fit.solution),
        "refits": fit.refits.tolist(),
        "rivals": [{"share": rival.share, "solution": _solution_to_dict(rival.solution)} for rival in fit.rivals],
        "calibration": fit.calibration.as_dict(),
        "seen": fit.seen.as_dict(),
        "fallback": fit.fallback,
    }


def fit_from_dict(values: Any) -> Fit:
    """Read the JSON form of a fit. Raises FitError where it is none, or of a newer version."""
    if not isinstance(values, Mapping):
        raise FitError(f"this is no saved fit: it holds {type(values).__name__}, not an object")
    if values.get("chidu_fit") != FORMAT:
        raise FitError(
            f"this is no saved fit of format {FORMAT} (chidu_fit is {values.get('chidu_fit')!r}): "
            "where another version of chidu saved it, fit the table again"
        )
    try:
        return _read(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FitError(f"the saved fit is damaged ({type(error).__name__}: {error}): fit the table again") from error


def _read(values: Mapping[str, Any]) -> Fit:
    from chidu.laws.fit import Fit, Rival

    solution = _solution_from_dict(values["solution"])
    seen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values["seen"].items()
    }
    return Fit(
        law=values["law"],
        formula=values["formula"],
        inputs=tuple(values["inputs"]),
        parameters=MappingProxyType({name: float(value) for name, value in values["parameters"].items()}),
        intervals=MappingProxyType(
            {name: (_or_nan(low), _or_nan(high)) for name, (low, high) in values["intervals"].items()}
        ),
        level=values["level"],
        objective=values["objective"],
        status=Status(values["status"]),
        warnings=tuple(values["warnings"]),
        rows=values["rows"],
        target=values["target"],
        objective_name=values["objective_name"],
        law_scores=MappingProxyType({name: _or_nan(score) for name, score in values["law_scores"].items()}),
        weighting=values.get("weighting", "even"),
        resamples=values["resamples"],
        seed=values["seed"],
        solution=solution,
        refits=np.array(values["refits"], dtype=np.float64).reshape(-1, len(solution.theta)),
        rivals=tuple(Rival(_solution_from_dict(each["solution"]), each["share"]) for each in values["rivals"]),
        calibration=Calibration(**values["calibration"]),
        seen=Seen(**seen),
        fallback=values.get("fallback", ""),
    )


def _solution_to_dict(solution: Solution) -> dict[str, Any]:
    law, coordinates = solution.law, solution.frame.coordinates
    return {
        "law": {
            "name": law.name,
            "formula": law.formula,
            "inputs": list(law.inputs),
            "parameters": list(law.parameters),
            "target": law.target,
            "sums_powers": law.sums_powers,
            "coupled": law.coupled,
        },
        "theta": solution.theta.tolist(),
        "centre": solution.frame.centre.tolist(),
        "scale": solution.frame.scale,
        "coordinates": None
        if coordinates is None
        else {k: np.asarray(v).tolist() for k, v in vars(coordinates).items()},
        "objective": solution.objective,
        "status": solution.status.value,
        "at_bound": list(solution.at_bound),
    }


def _solution_from_dict(values: Mapping[str, Any]) -> Solution:
    law: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values["law"].items()}
    return Solution(
        law=Law(**law),
        theta=np.array(values["theta"], dtype=np.float64),
        frame=Frame(
            np.array(values["centre"], dtype=np.float64), values["scale"], _coordinates_from(values["coordinates"])
        ),
        objective=values["objective"],
        status=Status(values["status"]),
        at_bound=tuple(values["at_bound"]),
    )


def _coordinates_from(values: Mapping[str, Any] | None) -> Coordinates | None:
    if values is None:
        return None
    edges = {name: np.array(values[name]) for name in ("lower", "upper", "draw_lower", "draw_upper")}
    return Coordinates(logs=np.array(values["logs"], dtype=bool), linear=tuple(values["linear"]), **edges)


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)
