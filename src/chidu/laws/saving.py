"""A fit as JSON and back, whole: it forecasts and plans again without the table."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import FitError
from chidu.laws.calibration import Calibration
from chidu.laws.choose import label
from chidu.laws.general import Coordinates
from chidu.laws.law import Law
from chidu.laws.objective import OBJECTIVES
from chidu.laws.rows import WEIGHTINGS
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
    except (FitError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise FitError(f"the saved fit is damaged ({type(error).__name__}: {error}): fit the table again") from error


def _read(values: Mapping[str, Any]) -> Fit:
    from chidu.laws.fit import Fit, Rival

    solution = _solution_from_dict(values["solution"])
    parameters, inputs = solution.law.parameters, _texts(values, "inputs", len(solution.law.inputs))
    refits = np.array(values["refits"], dtype=np.float64).reshape(-1, len(solution.theta))
    _require(np.isfinite(refits).all(), "refits", "holds no number somewhere")
    found = Fit(
        law=_one_of(values, "law", [solution.law.name]),
        formula=_text(values, "formula"),
        inputs=inputs,
        parameters=MappingProxyType(_numbers(values, "parameters", parameters)),
        intervals=MappingProxyType({name: _edges(values["intervals"], name) for name in parameters}),
        level=_number(values, "level", 0.0, 1.0),
        objective=_number(values, "objective"),
        status=Status(values["status"]),
        warnings=_texts(values, "warnings"),
        rows=_whole(values, "rows", 1),
        target=_one_of(values, "target", [solution.law.target]),
        objective_name=_one_of(values, "objective_name", OBJECTIVES),
        law_scores=MappingProxyType({name: _or_nan(values["law_scores"], name) for name in values["law_scores"]}),
        weighting=_one_of(values, "weighting", WEIGHTINGS),
        resamples=_whole(values, "resamples", 0),
        seed=_whole(values, "seed", 0),
        solution=solution,
        refits=refits,
        rivals=tuple(
            Rival(_solution_from_dict(each["solution"]), _number(each, "share", 0.0, 1.0)) for each in values["rivals"]
        ),
        calibration=Calibration(**_numbers(values, "calibration", [each.name for each in fields(Calibration)])),
        seen=_seen_from_dict(values["seen"], inputs),
        fallback=_text(values, "fallback"),
    )
    _require(0 < found.level < 1, "level", f"is {found.level:g}, not between 0 and 1")
    own = label(found.law, found.weighting)
    _require(own in found.law_scores, "law_scores", f"lacks {own!r}")
    return found


def _seen_from_dict(values: Mapping[str, Any], inputs: tuple[str, ...]) -> Seen:
    _require(_texts(values, "names", len(inputs)) == inputs, "names", "differ from the inputs")
    ratio = values["tokens_per_param"]
    return Seen(
        names=inputs,
        lowest=_row(values, "lowest", len(inputs)),
        highest=_row(values, "highest", len(inputs)),
        cost=_number(values, "cost"),
        cost_name=_text(values, "cost_name"),
        flops_factor=_number(values, "flops_factor", 0.0),
        tokens_per_param=None if ratio is None else (float(ratio[0]), float(ratio[1])),
        least_loss=_number(values, "least_loss"),
        lost_freedom=_number(values, "lost_freedom", 0.0),
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
    of = values["law"]
    law = Law(
        name=_text(of, "name"),
        formula=_text(of, "formula"),
        inputs=_texts(of, "inputs"),
        parameters=_texts(of, "parameters"),
        target=_text(of, "target"),
        sums_powers=of["sums_powers"] is True,
        coupled=of["coupled"] is True,
    )
    coordinates = None if values["coordinates"] is None else _coordinates_from(values["coordinates"])
    written = law.parameters if coordinates is None else law.parsed.parameters
    _require(set(law.parsed.parameters) == set(law.parameters), "law", "does not fit its formula")
    _require(coordinates is not None or law.sums_powers, "coordinates", "are missing")
    _require(coordinates is None or len(coordinates.logs) == len(written), "coordinates", "do not fit the law")
    centre = len(law.inputs) if coordinates is None else 0
    return Solution(
        law=law,
        theta=np.array(_row(values, "theta", len(written))),
        frame=Frame(np.array(_row(values, "centre", centre)), _number(values, "scale"), coordinates),
        objective=_number(values, "objective"),
        status=Status(values["status"]),
        at_bound=_texts(values, "at_bound"),
    )


def _coordinates_from(values: Mapping[str, Any]) -> Coordinates:
    logs = np.array(values["logs"], dtype=bool)
    edges = {name: np.array(_row(values, name, len(logs))) for name in ("lower", "upper", "draw_lower", "draw_upper")}
    return Coordinates(logs=logs, linear=tuple(int(place) for place in values["linear"]), **edges)


def _require(holds: bool | np.bool_, name: str, said: str) -> None:
    if not holds:
        raise ValueError(f"{name} {said}")


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values[name]
    _require(isinstance(value, str), name, f"is {value!r}, no text")
    return str(value)


def _one_of(values: Mapping[str, Any], name: str, known: Collection[str]) -> str:
    value = values[name]
    _require(isinstance(value, str) and value in known, name, f"is {value!r}, not {' or '.join(known)}")
    return str(value)


def _texts(values: Mapping[str, Any], name: str, count: int | None = None) -> tuple[str, ...]:
    value = values[name]
    good = isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)
    _require(good and count in (None, len(value)), name, f"is {value!r}, no list of {'' if count is None else count}")
    return tuple(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number(values: Mapping[str, Any], name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Read a finite number from low to high."""
    value = values[name]
    _require(_is_number(value) and low <= value <= high, name, f"is {value!r}, no number that may stand there")
    return float(value)


def _whole(values: Mapping[str, Any], name: str, low: int) -> int:
    value = values[name]
    good = isinstance(value, int) and not isinstance(value, bool) and value >= low
    _require(good, name, f"is {value!r}, no whole number from {low} up")
    return int(value)


def _row(values: Mapping[str, Any], name: str, count: int) -> tuple[float, ...]:
    value = values[name]
    good = isinstance(value, (list, tuple)) and len(value) == count and all(map(_is_number, value))
    _require(good, name, f"is not {count} numbers")
    return tuple(float(each) for each in value)


def _numbers(values: Mapping[str, Any], name: str, keys: Collection[str]) -> dict[str, float]:
    """Read a mapping of these keys, no more and no fewer, to numbers."""
    value = values[name]
    _require(isinstance(value, Mapping) and set(value) == set(keys), name, f"does not hold {', '.join(keys)}")
    return {key: _number(value, key) for key in value}


def _edges(values: Mapping[str, Any], name: str) -> tuple[float, float]:
    low, high = values[name]
    return _or_nan({name: low}, name), _or_nan({name: high}, name)


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_nan(values: Mapping[str, Any], name: str) -> float:
    return float("nan") if values[name] is None else _number(values, name)
