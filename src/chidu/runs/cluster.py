"""What one run over many GPUs takes: memory of each, time of a step, hours and money; in closed form, before it starts.

The run is that of `chidu.training.sharded`: weights, gradients and moments sharded over all devices (FSDP2), products
in bf16, sums in float32. Published runs that it is checked against are in docs/plan.md and in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from chidu.errors import SettingError, nearest
from chidu.runs.shape import Shape
from chidu.units import count_of, format_bytes, format_count, format_seconds, percent

__all__ = ["DEVICES", "ClusterPlan", "Device", "find_device", "llama_shape", "plan_cluster", "shape_of_params"]

BF16, FLOAT32 = 2, 4
SPARE = 0.1
"""Part of a device's memory that is left to the framework, its buffers and what lies between tensors."""
NEWTON_SCHULZ_STEPS = 5


@dataclass(frozen=True)
class Device:
    """A GPU, as its maker states it, and what published runs got out of it."""

    name: str
    peak: float
    """bf16 flop/s."""
    memory: float
    """Bytes."""
    network: float
    """Bytes/s into a host of eight, over all its cards: what each device of it gets of a gathered weight."""
    utilisation: tuple[float, float]
    """Least and largest part of the peak that published 7B and 8B runs achieved, the attention square counted whole."""


DEVICES = {
    device.name: device
    for device in (
        # LLaMA (2302.13971) and Llama 2 (2307.09288): 45 to 47%; IBM's FSDP 57%. 8 × 200 Gb/s.
        Device("a100", 312e12, 80e9, 200e9, (0.45, 0.57)),
        # torchtitan (2410.06511), 8B on 128: 33% as it is, 39% compiled. 8 × 400 Gb/s.
        Device("h100", 989e12, 80e9, 400e9, (0.33, 0.39)),
    )
}


@dataclass(frozen=True)
class ClusterPlan:
    """One run on a cluster. Memory in bytes a device, times in seconds; of two numbers, best and worst case."""

    shape: Shape
    optimiser: str
    device: Device
    devices: int
    tokens: float
    batch_tokens: int
    sequences_at_once: int
    """Sequences that a device passes at once."""
    recompute: bool
    """True where only what each block read is kept, and the rest computed again: a third more work."""
    states: float
    """Weights, gradients and moments: this device's part."""
    gathered: float
    """Whole weights of the blocks at work and of the embedding and head, and their gradients on the way."""
    activations: float
    logits: float
    step: tuple[float, float]
    network: float
    """Seconds of a step that the network is at work; beside the products, as far as these take as long."""
    hours: tuple[float, float]
    money: tuple[float, float] | None

    @property
    def memory(self) -> float:
        """All that a device holds at once."""
        return self.states + self.gathered + self.activations + self.logits

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return max(1, round(self.tokens / self.batch_tokens))

    @property
    def micro_batches(self) -> int:
        """Times that a device passes its part of a step's batch."""
        return max(1, self.batch_tokens // (self.devices * self.sequences_at_once * self.shape.context_length))

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {**asdict(self), "memory": self.memory, "steps": self.steps, "micro_batches": self.micro_batches}

    def __str__(self) -> str:
        shape, room = self.shape, self.device.memory * (1 - SPARE)
        speeds = [self.batch_tokens / seconds / self.devices for seconds in reversed(self.step)]
        flops = shape.flops_per_token()
        low, high = self.device.utilisation
        part = _range((high, low), percent)
        known = "" if low == high else ", as published runs had"
        lines = [
            f"On {count_of(self.devices, self.device.name)} of {format_bytes(self.device.memory)}, FSDP2, bf16:",
            "",
            f"model       {format_count(shape.params)} params: width {shape.width}, {count_of(shape.layers, 'layer')}, "
            f"{count_of(shape.heads, 'head')}, vocabulary {shape.vocabulary}, context {shape.context_length}; "
            f"{flops:.3g} flops a token",
            f"step        {format_count(self.batch_tokens)} tokens: each device passes {self.micro_batches} × "
            f"{count_of(self.sequences_at_once, 'sequence')}"
            + (", and computes activations again (--recompute)" if self.recompute else ""),
            f"memory      {format_bytes(self.memory)} a device, of {format_bytes(room)} that may be used: states "
            f"{format_bytes(self.states)}, gathered weights {format_bytes(self.gathered)}, activations "
            f"{format_bytes(self.activations)}, logits {format_bytes(self.logits)}",
            f"step time   {_range(self.step, '{:.3g}'.format)} s ({part} of the peak{known}); "
            f"the network is at work for {self.network:.3g} s of it",
            f"speed       {_range(speeds, '{:,.0f}'.format)} tokens/s and device",
            f"whole run   {self.steps:,} steps: {_range(self.hours, _long)}; "
            f"{_range([each * self.devices for each in self.hours], '{:,.0f}'.format)} device-hours",
        ]
        if self.money is not None:
            lines.append(f"cost        {_range(self.money, '{:,.0f}'.format)}")
        if self.memory > room:
            lines.append("warning     this does not fit: take more devices, or a shorter context")
        if self.network >= self.step[0]:
            lines.append("warning     the network is the limit: take larger passes or fewer devices")
        return "\n".join(lines)


def _range(values: Sequence[float], write: Callable[[float], str]) -> str:
    low, high = map(write, values)
    return low if low == high else f"{low} to {high}"


def _long(hours: float) -> str:
    return f"{hours / 24:.1f} days" if hours > 48 else format_seconds(hours * 3600)


def find_device(name: str) -> Device:
    """Return the device of this name. Raises SettingError naming the nearest."""
    if name.lower() not in DEVICES:
        raise SettingError(f"no device {name!r}{nearest(name.lower(), DEVICES)}: choose among {', '.join(DEVICES)}")
    return DEVICES[name.lower()]


def llama_shape(
    vocabulary: int, context_length: int, width: int, layers: int, heads: int, kv_heads: int, mlp_width: int
) -> Shape:
    """Return the shape of a model of Llama's layout, which is ours but for the norms of each head (a few params)."""
    return Shape(vocabulary, context_length, width, layers, heads, kv_heads, width // heads, mlp_width)


def shape_of_params(params: float, vocabulary: int, context_length: int) -> Shape:
    """Return a shape of about so many params, of the proportions that are usual at this size.

    Heads of 128, a layer for each 128 of width, an MLP of 8/3 widths: Llama's 7B comes out as itself. Widths are
    multiples of 128. Raises SettingError below 10 million params, where none of these is usual.
    """
    if params < 1e7:
        raise SettingError(f"{format_count(params)} params are no run for a cluster: from 10M on")

    def shape(width: int) -> Shape:
        mlp = 256 * -(-width * 8 // (3 * 256))
        return llama_shape(vocabulary, context_length, width, max(4, width // 128), width // 128, width // 128, mlp)

    widths = range(128, 128 * 400, 128)
    return min(map(shape, widths), key=lambda each: abs(each.params - params))


def plan_cluster(
    shape: Shape,
    tokens: float,
    device: Device,
    devices: int,
    *,
    batch_tokens: int = 4 * 2**20,
    optimiser: str = "muon",
    utilisation: float | None = None,
    price: float | None = None,
) -> ClusterPlan:
    """Plan a run of so many tokens: of what fits, the pass that makes a step fastest.

    ``utilisation`` is the part of the peak that is achieved, in place of what published runs had; ``price`` is that of
    a device for an hour. Raises SettingError where the batch does not give each device a sequence.
    """
    if utilisation is not None:
        device = replace(device, utilisation=(utilisation, utilisation))
    if optimiser not in ("muon", "adamw"):
        raise SettingError(f"no optimiser {optimiser!r}: choose muon or adamw")
    if utilisation is not None and not 0 < utilisation <= 1:
        raise SettingError(f"utilisation is {utilisation:g}; it must be above 0 and at most 1: 40% is 0.4")
    sequences = batch_tokens // shape.context_length
    if devices < 1 or sequences < devices or sequences % devices:
        raise SettingError(
            f"a step of {format_count(batch_tokens)} tokens has {sequences} sequences of {shape.context_length}: "
            f"they can't be shared out evenly to {count_of(devices, 'device')}: choose --batch-tokens or --devices so"
        )
    each = sequences // devices
    passes = [count for count in range(1, each + 1) if each % count == 0]
    found = [
        _plan(shape, tokens, device, devices, batch_tokens, optimiser, price, count, recompute)
        for recompute in (False, True)
        for count in reversed(passes)
    ]
    fitting = [plan for plan in found if plan.memory <= device.memory * (1 - SPARE)]
    # Of equally fast ones the first: without recomputing, in the fewest passes.
    return min(fitting, key=lambda plan: plan.step[1]) if fitting else found[-1]


def _plan(
    shape: Shape,
    tokens: float,
    device: Device,
    devices: int,
    batch_tokens: int,
    optimiser: str,
    price: float | None,
    sequences_at_once: int,
    recompute: bool,
) -> ClusterPlan:
    pass_tokens = sequences_at_once * shape.context_length
    passes = batch_tokens // (devices * pass_tokens)
    flops = shape.flops_per_token() * batch_tokens * (4 / 3 if recompute else 1)
    flops += _orthogonal_flops(shape) if optimiser == "muon" else 0.0
    # Weights come in bf16 for the way there and again for the way back, gradients leave in float32; once a pass.
    sent = (2 * BF16 + FLOAT32) * shape.params * (devices - 1) / devices * passes
    network = sent / device.network
    times = [max(flops / devices / device.peak / part, network) for part in reversed(device.utilisation)]
    hours = [seconds * max(1, round(tokens / batch_tokens)) / 3600 for seconds in times]
    return ClusterPlan(
        shape=shape,
        optimiser=optimiser,
        device=device,
        devices=devices,
        tokens=tokens,
        batch_tokens=batch_tokens,
        sequences_at_once=sequences_at_once,
        recompute=recompute,
        states=_state_bytes(shape, optimiser) / devices,
        gathered=_gathered_bytes(shape),
        activations=_activation_bytes(shape, recompute) * pass_tokens,
        logits=(BF16 + FLOAT32 + BF16) * shape.vocabulary * pass_tokens,
        step=(times[0], times[1]),
        network=network,
        hours=(hours[0], hours[1]),
        money=None if price is None else (hours[0] * devices * price, hours[1] * devices * price),
    )


def _state_bytes(shape: Shape, optimiser: str) -> float:
    """Float32 weights, gradients and moments: one moment of what Muon moves, two of the rest (ZeRO, 1910.02054)."""
    matrices = shape.params_matmul - shape.vocabulary * shape.width if optimiser == "muon" else 0
    return float(FLOAT32 * (4 * shape.params - matrices))


def _gathered_bytes(shape: Shape) -> float:
    """Whole bf16 weights: a block at work and the next one; embedding, last norm and head, which stay. And the
    gradients of a block, or of what stays, in bf16 and, on their way to be added, in float32."""
    root = shape.params - shape.layers * (block := _block_params(shape))
    return float(BF16 * (root + 2 * block) + (BF16 + FLOAT32) * max(root, block))


def _block_params(shape: Shape) -> int:
    return (shape.params_matmul - shape.vocabulary * shape.width) // shape.layers


def _activation_bytes(shape: Shape, recompute: bool) -> float:
    """Bytes a token, bf16, with a fused attention that keeps no square (2307.08691).

    Of a block: what it read and the three streams and norms in it; queries and keys before and after their norm and
    turn; values; what attention gave; gate, up, and the two products of these. Recomputed: what each block read, and
    all of one block.
    """
    query, key = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    block = BF16 * (4 * shape.width + 3 * query + 2 * key + key + query + 4 * shape.mlp_width)
    if recompute:
        return float(shape.layers * BF16 * shape.width + block)
    return float(shape.layers * block)


def _orthogonal_flops(shape: Shape) -> float:
    """Flops of a step's Newton–Schulz iterations, over all devices: three products each."""
    query, key = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    sizes = [(query, 1), (key, 2), (query, 1), *([(shape.mlp_width, 3)])]
    found = 0.0
    for rows, count in sizes:
        small, large = sorted((rows, shape.width))
        found += count * NEWTON_SCHULZ_STEPS * (4 * small * small * large + 2 * small**3)
    return shape.layers * found
