"""How a comparison prints: the verdict first, then what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from chidu.laws.show import table_text
from chidu.units import count_of, format_count, format_level

if TYPE_CHECKING:
    from chidu.laws.compare import Comparison, Side
    from chidu.laws.frontier import Crossing

__all__ = ["comparison_text", "verdict_text"]


def verdict_text(found: Comparison) -> str:
    """One line: which is better where, how surely, and whether to trust that."""
    first, second = found.first.name, found.second.name
    chance = found.probability
    likelier = second if chance >= 0.5 else first
    if found.better is None:
        said = f"undecided {_where(found)}: {likelier} is better with probability {_percent(max(chance, 1 - chance))}"
    else:
        other = first if found.better == second else second
        said = f"{found.better} is better than {other} {_where(found)}: probability {_percent(max(chance, 1 - chance))}"
    return f"{said}; trust: {found.trust} ({found.why})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share < 0.995 else "above 99%"


def _where(found: Comparison) -> str:
    if found.first.point != found.second.point:
        return f"with {format_count(found.budget)} flops each"
    return f"at {_point(found.first.point)}"


def _point(point: Mapping[str, float]) -> str:
    return ", ".join(f"{format_count(value)} {name}" for name, value in point.items())


def comparison_text(found: Comparison) -> str:
    """The verdict, the losses at the point, then frontier, multiplier and crossing, and what they rest on."""
    level = format_level(found.level)
    sides = (found.first, found.second)
    lines = [verdict_text(found), "", table_text(["", "loss", f"{level} low", f"{level} high"], _losses(found))]
    if found.crossing is not None:
        lines += ["", f"Best runs of {format_count(found.budget)} flops:", "", _frontier_table(sides, level)]
    lines += ["", *_places(found), *_grounds(found)]
    return "\n".join(lines + [f"warning     {text}" for text in found.warnings])


def _losses(found: Comparison) -> list[list[str]]:
    rows = [
        [side.name, *(f"{value:.4f}" for value in (side.loss, side.low, side.high))]
        for side in (found.first, found.second)
    ]
    change = [f"{100 * math.expm1(value):+.2f}%" for value in (found.difference, found.low, found.high)]
    return [*rows, [f"{found.second.name} against {found.first.name}", *change]]


def _frontier_table(sides: tuple[Side, Side], level: str) -> str:
    columns = [name for name in sides[0].optimum or {} if name != "flops"]
    rows = [
        [
            side.name,
            *(format_count((side.optimum or {})[name]) for name in columns),
            *(f"{value:.4f}" for value in (side.optimum_loss, side.optimum_low, side.optimum_high)),
        ]
        for side in sides
    ]
    return table_text(["", *columns, "loss", f"{level} low", f"{level} high"], rows)


def _places(found: Comparison) -> list[str]:
    """Lines for the multiplier and the crossing, where flops can be told."""
    if found.multiplier is None or found.crossing is None:
        return [f"frontier    none: the {found.law} law does not read flops, or params and tokens"]
    times, first, second = found.multiplier, found.first.name, found.second.name
    least, most = (f"{edge:.3g}×" for edge in times.searched)
    if times.value is None:
        # Which end it lies beyond shows in which loss is lower there.
        never = found.second.optimum_loss < found.first.optimum_loss
        needs = f"more than {most}" if never else f"less than {least}"
    else:
        needs = f"{times.value:.3g}×"
    low = f"{times.low:.3g}×" if times.low is not None else f"below {least}"
    high = f"{times.high:.3g}×" if times.high is not None else f"beyond {most}"
    return [
        f"multiplier  {first} needs {needs} the flops for {second}'s loss there "
        f"({format_level(found.level)}: {low} to {high})",
        f"crossing    {_crossing(found, found.crossing)}",
    ]


def _crossing(found: Comparison, met: Crossing) -> str:
    least, most = map(format_count, met.searched)
    if met.flops is None:
        said = f"no crossing between {least} and {most} flops: {found.better_above} is better throughout"
        return said + (f"; {met.share:.0%} of the refits cross there" if met.share >= 0.01 else "")
    low = format_count(met.low) if met.low is not None else f"below {least}"
    high = format_count(met.high) if met.high is not None else f"beyond {most}"
    if found.better is None and (met.low is None or met.high is None):
        return (
            f"perhaps at {format_count(met.flops)} flops ({format_level(found.level)}: {low} to {high}), perhaps none"
        )
    return (
        f"at {format_count(met.flops)} flops ({format_level(found.level)}: {low} to {high}); above it "
        f"{found.better_above} is better"
    )


def _grounds(found: Comparison) -> list[str]:
    scores = ", ".join(f"{name} {100 * score:.2f}%" for name, score in found.law_scores.items() if math.isfinite(score))
    lines = [
        f"law         {found.law}, the same for both" + (f"; dear runs of both missed by: {scores}" if scores else "")
    ]
    rows = " and ".join(count_of(side.rows, "row") for side in (found.first, found.second))
    if found.pairs:
        lines.append(
            f"runs        {rows}; {found.pairs} of each match in seed and all else and were resampled together: "
            f"noise common to both cancels (correlation at least {found.correlation:.2f})"
        )
    else:
        lines.append(f"runs        {rows}, none paired: each table is resampled by itself")
    return lines
