"""A plan as a manager reads it: whether to trust it, what to train, what it costs, and what the limits did."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from chidu.laws.show import table_text
from chidu.units import format_bytes, format_count, format_level, format_seconds

if TYPE_CHECKING:
    from chidu.laws.plan import Binding, Choice, Plan

__all__ = ["plan_text"]


def plan_text(plan: Plan) -> str:
    """Return the plan in sentences, with its numbers in tables."""
    parts = [
        [f"trust: {plan.trust} ({plan.why})"],
        [_budget(plan), _run(plan), _expectation(plan), *_cost(plan), _flatness(plan)],
        [_numbers(plan)],
        [*_inference(plan), *_limits(plan)],
        [_choices(plan)] if plan.choices else [],
        [f"warning: {text}" for text in plan.warnings],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _budget(plan: Plan) -> str:
    asked, rule = plan.spending, plan.flops_rule
    whole = ", for training and inference" if plan.limits.lifetime else ""
    flops = f"{format_count(plan.budget)} flops ({rule}){whole}"
    if asked.money is not None:
        return f"With {_money(asked.money)} to pay at {asked.price:g} a device-hour, which buys {flops}:"
    if asked.hours is not None:
        devices = asked.devices or 1
        return f"With {_time(asked.hours)} on {devices:g} device{'s' if devices > 1 else ''}, which do {flops}:"
    return f"With {flops}:"


def _run(plan: Plan) -> str:
    epochs = f", {plan.epochs:.3g} epochs of what there is" if plan.epochs > 1.0001 else ""
    ratio = f"{plan.tokens / plan.params:.3g} tokens per param"
    tokens = f"{format_count(plan.tokens)} tokens ({ratio}{epochs})"
    return f"Train {format_count(plan.params)} {plan.params_column} on {tokens}."


def _expectation(plan: Plan) -> str:
    if math.isnan(plan.loss_low):
        return f"Expect a loss of {plan.loss:.4f}; the fit has no refits, so there is no interval."
    interval = f"{plan.loss_low:.4f} and {plan.loss_high:.4f}"
    return f"Expect a loss of {plan.loss:.4f}, between {interval} with {format_level(plan.level)} probability."


def _cost(plan: Plan) -> list[str]:
    """What the training costs, as far as that is known."""
    if math.isnan(plan.device_hours):
        return []
    asked = plan.spending
    parts = [f"{format_count(plan.flops)} flops", f"{plan.device_hours:,.5g} device-hours"]
    if asked.devices is not None:
        parts.append(f"{_time(plan.hours)} on {asked.devices:g} device{'s' if asked.devices > 1 else ''}")
    if not math.isnan(plan.money):
        parts.append(f"{_money(plan.money)} to pay at {asked.price:g} a device-hour")
    speed = f"each device at {asked.achieved:.3g} flop/s"
    return [f"The training takes {', '.join(parts)} ({speed})."]


def _flatness(plan: Plan) -> str:
    """How far params may stray, unless limits leave them no room at all."""
    edges = [
        f"{percent:g}% more loss: {plan.params_column} anywhere from {format_count(low)} to {format_count(high)}"
        for percent, (low, high) in plan.valley.items()
        if low < high
    ]
    return "\n".join(edges) if edges else f"The limits leave no choice of {plan.params_column}."


def _numbers(plan: Plan) -> str:
    level = format_level(plan.level)
    found = vars(plan)
    names = ["params", "tokens"] + (["flops"] if plan.flops_high > 1.001 * plan.flops_low else [])
    rows = [[name, *(_count(found[name + end]) for end in ("", "_low", "_high"))] for name in names]
    rows.append(["loss", *(_loss(found["loss" + end]) for end in ("", "_low", "_high"))])
    return table_text(["", "best", f"{level} low", f"{level} high"], rows)


def _inference(plan: Plan) -> list[str]:
    """What serving costs, and what the plan saves beside one that does not count it."""
    if plan.limits.inference_tokens is None:
        return []
    other = next(choice for choice in plan.choices if choice.name == "inference not counted")
    saved = other.total_flops - plan.total_flops
    share = f"{100 * saved / other.total_flops:.2g}%"
    serving = (
        f"Serving {format_count(plan.limits.inference_tokens)} tokens takes {format_count(plan.inference_flops)} flops "
        f"(a third of a training token's each), {format_count(plan.total_flops)} with the training."
    )
    if saved < 1e-4 * other.total_flops:
        return [serving, "To count that changes nothing here: no smaller model trained for longer saves flops in all."]
    return [
        serving,
        f"A model of the same loss made without counting inference has {format_count(other.params)} "
        f"{plan.params_column} and takes {format_count(other.total_flops)}: "
        f"this plan saves {format_count(saved)} ({share}).",
    ]


def _limits(plan: Plan) -> list[str]:
    if plan.bindings:
        return [_binding(plan, binding) for binding in plan.bindings]
    return ["The limits cost nothing: the best run keeps within them."] if plan.limits.bounds else []


def _binding(plan: Plan, binding: Binding) -> str:
    cost = f"costs {binding.loss_cost:.4f} of loss ({100 * binding.loss_cost / plan.loss:.2g}%)"
    if binding.flops_cost:
        cost = f"costs no loss but {format_count(binding.flops_cost)} flops in all"
    return f"limit {binding.name}: {_reason(plan, binding)}; it {cost}."


def _reason(plan: Plan, binding: Binding) -> str:
    limits = plan.limits
    most = f"at most {format_count(binding.most)} {plan.params_column if binding.of == 'params' else binding.of}"
    if binding.name == "unique_tokens":
        text = f"there are only {format_count(limits.unique_tokens or 0)} unique tokens"
        return f"{text}, none seen twice" if limits.epochs == 1 else f"{text}, seen up to {limits.epochs:g} times"
    each = f"{limits.weight_bytes:g} byte{'' if limits.weight_bytes == 1 else 's'} each"
    if binding.name == "memory":
        return f"{format_bytes(limits.memory or 0)} hold {most} of {each}"
    if binding.name == "tokens_per_second":
        rate = f"{limits.tokens_per_second:g} tokens per second from {format_bytes(limits.bandwidth or 0)}/s"
        return f"{rate} allow {most} of {each}"
    return most


def _choices(plan: Plan) -> str:
    served = plan.limits.inference_tokens is not None
    level = format_level(plan.level)
    header = ["choice", "params", "tokens", "epochs", "loss", f"{level} low", f"{level} high", "training flops"]
    return table_text(header + ["flops in all"] * served, [_cells(choice, served) for choice in plan.choices])


def _cells(choice: Choice, served: bool) -> list[str]:
    return [
        f"{choice.name} (this plan)" if choice.chosen else choice.name,
        format_count(choice.params),
        format_count(choice.tokens),
        f"{choice.epochs:.3g}",
        *(_loss(each) for each in (choice.loss, choice.loss_low, choice.loss_high)),
        format_count(choice.flops),
        *([format_count(choice.total_flops)] if served else []),
    ]


def _count(value: float) -> str:
    return "–" if math.isnan(value) else format_count(value)


def _loss(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _time(hours: float) -> str:
    """A length of time: days from two of them on."""
    return format_seconds(hours * 3600) if hours < 48 else f"{hours / 24:,.3g} days"


def _money(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.2f}"
