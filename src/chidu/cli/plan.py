"""`chidu plan`: the best params and tokens for a budget of flops, money or hours; what a cluster needs for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli.plain import json_text

if TYPE_CHECKING:
    from chidu.runs.cluster import ClusterPlan

__all__ = ["command"]


def command(
    source: Annotated[
        Path | None, typer.Argument(help="A fit saved by `chidu fit --output`, or a table of runs to fit.")
    ] = None,
    *,
    flops: Annotated[str | None, typer.Option(help="The budget, like 1e21.")] = None,
    money: Annotated[str | None, typer.Option(help="The budget in money; needs --price and --speed.")] = None,
    hours: Annotated[str | None, typer.Option(help="The budget in hours on all devices; needs --speed.")] = None,
    price: Annotated[str | None, typer.Option(help="Of one device for one hour, like 2.5.")] = None,
    speed: Annotated[str | None, typer.Option(help="Flop/s that one device achieves in training, like 4e14.")] = None,
    peak: Annotated[str | None, typer.Option(help="In place of --speed: flop/s of one device at most.")] = None,
    utilisation: Annotated[str | None, typer.Option(help="Part of --peak that is achieved, like 0.4.")] = None,
    devices: Annotated[int | None, typer.Option(help="How many devices work side by side; 1.")] = None,
    unique_tokens: Annotated[str | None, typer.Option(help="Tokens of different text there are.")] = None,
    epochs: Annotated[str | None, typer.Option(help="How often each may be seen, up to 4; 1.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Params at most, like 7B.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory that must hold the weights, like 24GB.")] = None,
    tokens_per_second: Annotated[str | None, typer.Option(help="To write for one reader; needs --bandwidth.")] = None,
    bandwidth: Annotated[str | None, typer.Option(help="Of the memory that serves, a second, like 2TB.")] = None,
    bytes_per_param: Annotated[str | None, typer.Option(help="Of the weights as served; 2.")] = None,
    inference_tokens: Annotated[str | None, typer.Option(help="Tokens the model will serve in its life.")] = None,
    lifetime: Annotated[bool, typer.Option("--lifetime", help="The budget pays for the inference too.")] = False,
    gpu: Annotated[str | None, typer.Option(help="Also what --devices of this kind need: a100 or h100.")] = None,
    params: Annotated[str | None, typer.Option(help="With --gpu, without SOURCE: params of the run, like 7B.")] = None,
    tokens: Annotated[str | None, typer.Option(help="With --gpu, without SOURCE: tokens of the run, like 2T.")] = None,
    vocabulary: Annotated[int, typer.Option(help="With --gpu: tokens in the vocabulary.", min=2)] = 32_000,
    context_length: Annotated[int, typer.Option(help="With --gpu: tokens in a sequence.", min=2)] = 4096,
    batch_tokens: Annotated[int, typer.Option(help="With --gpu: tokens in a step.", min=2)] = 4 * 2**20,
    optimiser: Annotated[str, typer.Option(help="With --gpu: muon or adamw.")] = "muon",
    level: Annotated[float | None, typer.Option(help="Level of the intervals; the fit's where not given.")] = None,
    law: Annotated[str, typer.Option(help="For a table: auto, additive or coupled.")] = "auto",
    columns: Annotated[list[str] | None, typer.Option(help="Other names: loss=val/loss,params=n_params")] = None,
    seed: Annotated[int | None, typer.Option(help="For a table: seed of the resamples; 0.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Plan a run: params, tokens and loss for a budget of flops, money or hours (give one); and its cluster."""

    from chidu.cli.notes import tell
    from chidu.errors import SettingError
    from chidu.laws.reading import column_names, load_fit

    cluster = ClusterAsked(gpu, devices, vocabulary, context_length, batch_tokens, optimiser, utilisation, price)
    if source is None:
        if gpu is None or params is None or tokens is None:
            raise SettingError(
                "plan: name a saved fit or a table of runs, as in chidu plan fit.json --flops 1e21; "
                "or a run for a cluster: --params 7B --tokens 2T --gpu a100 --devices 64"
            )
        alone = cluster.plan(_count("params", params) or 0.0, _count("tokens", tokens) or 0.0)
        typer.echo(json_text(alone.as_dict(), indent=2) if as_json else str(alone))
        return
    for flag, value in (("--params", params), ("--tokens", tokens)):
        if value is not None:
            raise SettingError(f"plan: {flag} is what the law finds: leave it out, or leave {source} out")
    if gpu is not None and speed is None and peak is None:
        from chidu.runs.cluster import find_device

        peak, utilisation = str(find_device(gpu).peak), utilisation or str(find_device(gpu).utilisation[0])
    fit = load_fit(source, column_names(columns), law, seed=seed, tell=tell)
    plan = fit.plan(
        _count("flops", flops),
        _count("unique-tokens", unique_tokens),
        level,
        money=_count("money", money),
        hours=_count("hours", hours),
        price=_count("price", price),
        speed=_count("speed", speed),
        peak=_count("peak", peak),
        utilisation=_count("utilisation", utilisation),
        devices=devices,
        epochs=_count("epochs", epochs) or 1.0,
        max_params=_count("max-params", max_params),
        memory=_bytes("memory", memory),
        tokens_per_second=_count("tokens-per-second", tokens_per_second),
        bandwidth=_bytes("bandwidth", bandwidth),
        bytes_per_param=_count("bytes-per-param", bytes_per_param),
        inference_tokens=_count("inference-tokens", inference_tokens),
        lifetime=lifetime,
    )
    document, text = plan.as_dict(), str(plan)
    if gpu is not None:
        there = cluster.plan(plan.params, plan.tokens)
        document, text = document | {"cluster": there.as_dict()}, f"{text}\n\n{there}"
    typer.echo(json_text(document, indent=2) if as_json else text)


@dataclass(frozen=True)
class ClusterAsked:
    """What is said of a cluster, as it was written."""

    gpu: str | None
    devices: int | None
    vocabulary: int
    context_length: int
    batch_tokens: int
    optimiser: str
    utilisation: str | None
    price: str | None

    def plan(self, params: float, tokens: float) -> ClusterPlan:
        """Plan a run of so many params and tokens there."""
        from chidu.runs.cluster import find_device, plan_cluster, shape_of_params

        return plan_cluster(
            shape_of_params(params, self.vocabulary, self.context_length),
            tokens,
            find_device(self.gpu or ""),
            self.devices or 1,
            batch_tokens=self.batch_tokens,
            optimiser=self.optimiser,
            utilisation=_count("utilisation", self.utilisation),
            price=_count("price", self.price),
        )


def _count(flag: str, text: str | None) -> float | None:
    """Read a flag's number. Raises SettingError naming the flag where it is none, or not above 0."""
    import math

    from chidu.errors import InputError, SettingError
    from chidu.units import parse_count

    if text is None:
        return None
    try:
        count = parse_count(text)
    except InputError as error:
        raise SettingError(f"--{flag}: {error}") from error
    if not (math.isfinite(count) and count > 0):
        raise SettingError(f"--{flag} is {text}; it must be a finite number above 0")
    return count


def _bytes(flag: str, text: str | None) -> float | None:
    """Read a number of bytes: ``24GB``, ``80GiB``, ``2TB/s``, ``24e9``. Raises SettingError as `_count` does."""
    import re

    if text is None:
        return None
    match = re.fullmatch(r"(.*\d)\s*([kKMGTP]?)(i?)B(?:/s)?", text.strip())
    if match is None:
        return _count(flag, text)
    number = _count(flag, match[1]) or 0.0
    return number * (1024.0 if match[3] else 1000.0) ** " KMGTP".index(match[2].upper() or " ")
