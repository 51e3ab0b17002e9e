"""What the study of stability found, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chidu.units import format_count

__all__ = ["meaning", "notes"]

WORDS = {
    "noise": "one token in sixteen replaced",
    "reorder": "the last two clauses in the other order",
    "edit": "one token replaced 16 tokens back or more",
    "seed": "another seed",
    "rate": "half or twice the learning rates",
}


def meaning(found: Mapping[str, Any]) -> str:
    """Return the paragraph for people, from the findings."""
    whole, points = found["all"], found["all"]["points"]
    said = (
        "What moves is the distribution of the next token, and how far is told as part of how far it moves where all "
        f"of the context is another. From {format_count(points[0]['params'])} to "
        f"{format_count(points[-1]['params'])} params, after {format_count(found['tokens'])} tokens, small changes "
        f"move it {_percent(points[0])} of that way at the smallest size and {_percent(points[-1])} at the largest, "
        f"the geometric mean of kinds and texts: ten times the params multiply it by {10 ** -whole['value']:.2f} "
        f"({10 ** -whole['high']:.2f} to {10 ** -whole['low']:.2f}). "
    )
    said += "By kind, smallest and largest size: " + "; ".join(
        f"{WORDS.get(kind, kind)} {_percent(each['points'][0])} and {_percent(each['points'][-1])}"
        for kind, each in found["kinds"].items()
    )
    return " ".join([said + ".", *_guards(found), *_along(found), *_spikes(found["spikes"])])


def _percent(point: Mapping[str, float]) -> str:
    return f"{100 * point['relative']:.3g}%"


def _guards(found: Mapping[str, Any]) -> list[str]:
    said = (
        f"In nats, not relative, the movement goes as the params' power {-found['absolute']['value']:+.2f}, the way "
        f"between two contexts as {-found['control']['value']:+.2f}"
    )
    if found["even"] is not None:
        even = found["even"]
        said += (
            f"; with all models brought to one entropy, ρ is {even['value']:.2f} ({even['low']:.2f} to "
            f"{even['high']:.2f})"
        )
    return [said + "."]


def _along(found: Mapping[str, Any]) -> list[str]:
    said = []
    if found["back"] is not None:
        first, last = found["back"]["sizes"][0], found["back"]["sizes"][-1]
        change = found["back"]["power_per_decade"]
        near, far = first["points"][0]["by"], first["points"][-1]["by"]
        said.append(
            f"An edit's effect falls with the tokens that lie after it as their power {first['power']:.2f} "
            f"({first['low']:.2f} to {first['high']:.2f}) at the smallest size and {last['power']:.2f} "
            f"({last['low']:.2f} to {last['high']:.2f}) at the largest: {_at(first, near)} and {_at(last, near)} at "
            f"{near:.0f} back, {_at(first, far)} and {_at(last, far)} at {far:.0f} back; ten times the params change "
            f"the power by {change['value']:+.2f} ({change['low']:+.2f} to {change['high']:+.2f})."
        )
    if found["contexts"] is not None:
        first, last = found["contexts"]["sizes"][0], found["contexts"]["sizes"][-1]
        short, wide = first["points"][0]["by"], first["points"][-1]["by"]
        said.append(
            f"Noise moves it {_at(first, short)} and {_at(last, short)} in a context of {short:.0f} tokens, "
            f"{_at(first, wide)} and {_at(last, wide)} in one of {wide:.0f}."
        )
    return said


def _at(size: Mapping[str, Any], by: float) -> str:
    return _percent(next(each for each in size["points"] if each["by"] == by))


def _spikes(spikes: Sequence[Mapping[str, Any]]) -> list[str]:
    if not spikes:
        return []
    told = []
    for rate in sorted({each["rate"] for each in spikes}):
        own = [each for each in spikes if each["rate"] == rate]
        passed, steps = (sum(each[name] for each in own) for name in ("passed_over", "steps"))
        worst = max(own, key=lambda each: each["largest_rise"])
        times = "" if rate == 1 else f" at {rate:g} times the rates"
        told.append(
            f"{passed} of {steps:,} batches{times} (largest rise of the loss {worst['largest_rise']:.2f} nats, at "
            f"{format_count(worst['params'])} params)"
        )
    return ["Passed over in training for a spike of loss: " + "; ".join(told) + ".", *_norms(spikes)]


def _norms(spikes: Sequence[Mapping[str, Any]]) -> list[str]:
    known = [each for each in spikes if each.get("largest_norm_rise") is not None]
    if not known:
        return []
    told = []
    for rate in sorted({each["rate"] for each in known}):
        worst = max((each for each in known if each["rate"] == rate), key=lambda each: each["largest_norm_rise"])
        times = "" if rate == 1 else f" with {rate:g} times the rates"
        told.append(f"{worst['largest_norm_rise']:.3g} times at {format_count(worst['params'])} params{times}")
    return [
        "The norm of the gradient, before it was clipped, came to so many times the median of the 16 points before: "
        + "; ".join(told) + "."
    ]  # fmt: skip


def notes(found: Mapping[str, Any], kinds: Sequence[str]) -> tuple[str, ...]:
    """Say what a reader should know before believing the verdict."""
    said = []
    missing = [kind for kind in WORDS if kind not in kinds]
    if missing:
        said.append(f"kinds of change that the table has not: {', '.join(missing)}")
    falling = [kind for kind, each in found["kinds"].items() if each["low"] > 0]
    rising = [kind for kind, each in found["kinds"].items() if each["high"] < 0]
    if falling and rising:
        said.append(
            f"the kinds part: {', '.join(falling)} surely moves a larger model less, {', '.join(rising)} more; the "
            "mean hides it"
        )
    even = found["even"]
    if even is not None and (even["low"] > found["all"]["high"] or even["high"] < found["all"]["low"]):
        said.append("brought to one entropy the models give another slope: how sure they are makes part of the effect")
    points = found["all"]["points"]
    if points[-1]["params"] < 8 * points[0]["params"]:
        said.append("the sizes span less than a factor of eight: an exponent from so short a lever says little")
    return tuple(said)
