"""What lies beneath the spread of a loss over seeds: the spread of each single token's loss, and of the gradient.

**Single tokens.** Two seeds whose mean losses agree may disagree on every token. The variance over seeds of the loss of
each held-out token, averaged over the tokens; every run of a cell carries its share of it, so that their mean is the
variance.

**Gradient.** At the end of each longest run: the variance of the gradient of a batch of 1, 2, 4, 8 sequences, summed
over the weights (tr Σ), and the square of the mean gradient, both without bias. Their quotient at one sequence is the
gradient noise scale (McCandlish et al., 1812.06162): the batch at which luck and signal are equal. Batches are disjoint
and drawn at random, so theory says 1/batch; what is measured is told beside it.

Runs without kept weights (a ladder's) are passed over, and so are those at another batch than the first run's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.parallel import Emit
from chidu.runs.ladder import Ladder
from chidu.runs.run import Run
from chidu.studies.context import trend
from chidu.studies.slopes import Line, student
from chidu.studies.study import Models
from chidu.units import format_count

__all__ = ["beneath", "beneath_words", "measure"]

Floats = NDArray[np.float64]

TOKENS = 8192
"""Held-out tokens whose single losses are compared."""
BATCHES = (1, 2, 4, 8)
"""Sequences in a batch, each a multiple of the one before."""
GRADIENTS = 128
"""Sequences whose gradients are taken; whole batches of each kind."""
SHUFFLE = 1
LEAST_SEEDS, LEAST_SIZES = 2, 3
COLUMNS = ("token_variance", "gradient_square", *(f"gradient_variance_{batch}" for batch in BATCHES))


def measure(models: Models) -> Ladder:
    """Return the table of the runs, and beside it what those with weights tell; other cells are empty."""
    table = Ladder.from_runs(models.runs)
    held_out, most = models.tokens / "held_out.bin", max(run.config.tokens for run in models.runs)
    batch = models.runs[0].config.batch_tokens
    there = [
        place
        for place, (run, path) in enumerate(zip(models.runs, models.weights, strict=True))
        if path.exists() and run.config.batch_tokens == batch
    ]
    work = [
        (run, str(models.weights[place]), str(held_out), TOKENS, GRADIENTS if run.config.tokens == most else 0)
        for place, run in enumerate(models.runs)
        if place in there
    ]
    done = 0

    def on_event(_index: int, _event: object) -> None:
        nonlocal done
        done += 1
        models.tell(done / len(work), "single tokens and gradients")

    measured = models.place.map(_look, work, on_event) if work else []
    columns: dict[str, list[float | None]] = {name: [None] * len(table) for name in COLUMNS}
    losses = {place: found for place, (found, _) in zip(there, measured, strict=True)}
    for cell in _cells(models.runs, there):
        own = np.stack([losses[place] for place in cell])
        shares = ((own - own.mean(axis=0)) ** 2).mean(axis=1) * len(cell) / (len(cell) - 1)
        for place, share in zip(cell, shares.tolist(), strict=True):
            columns["token_variance"][place] = share
    for place, (_, gradient) in zip(there, measured, strict=True):
        for name, value in zip(COLUMNS[1:], gradient, strict=False):
            columns[name][place] = value
    kept: dict[str, Any] = {
        name: column for name, column in columns.items() if any(value is not None for value in column)
    }
    return Ladder({**table.columns, **kept}, table.source)


def _cells(runs: Sequence[Run], there: Sequence[int]) -> list[list[int]]:
    """Return the places of runs that differ in their seed alone, where there are enough."""
    cells: dict[tuple[int, int], list[int]] = {}
    for place in there:
        cells.setdefault((runs[place].config.shape.params, runs[place].config.steps), []).append(place)
    return [cell for cell in cells.values() if len(cell) >= LEAST_SEEDS]


def _look(work: tuple[Run, str, str, int, int], emit: Emit) -> tuple[NDArray[np.float32], list[float]]:
    """Return a model's loss at so many single tokens, and what `gradient_moments` does of so many gradients. Runs in a
    worker."""
    import torch
    from safetensors.torch import load_file

    from chidu.runs.config import RunConfig
    from chidu.tokens import TokenFile
    from chidu.training.held_out import token_losses
    from chidu.training.loop import Trainer, trained_model
    from chidu.training.noise_scale import sequence_gradients

    torch.set_num_threads(1)
    run, weights, path, singles, gradients = work
    length, tokens = run.config.shape.context_length, TokenFile.open(Path(path))
    windows = np.concatenate(list(tokens.held_out_batches(length, singles)))
    losses = token_losses(trained_model(run.config, Path(weights)), windows).numpy().ravel().astype(np.float32)
    moments: list[float] = []
    if gradients:
        trainer = Trainer(RunConfig.from_dict({**run.config.as_dict(), "precision": "float32"}), torch.device("cpu"))
        trainer.weights.load(load_file(weights))
        windows = np.concatenate(list(tokens.held_out_batches(length, gradients * length)))
        windows = windows[np.random.default_rng(SHUFFLE).permutation(len(windows))]
        whole = len(windows) // BATCHES[-1] * BATCHES[-1]
        if whole > BATCHES[-1]:
            moments = gradient_moments(each.numpy() for each in sequence_gradients(trainer, windows[:whole]))
    emit(run.name)
    return losses, moments


def gradient_moments(gradients: Any) -> list[float]:
    """Return |G|², and tr Σ of batches of each size of BATCHES, all without bias, from single gradients in order.

    One pass: a sum is kept for each size of batch, and no gradient.
    """
    sums: dict[int, Any] = {}
    squares: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    total, count = 0.0, 0
    for gradient in gradients:
        own = gradient.astype(np.float64)
        total, count = total + own, count + 1
        for batch in BATCHES:
            sums[batch] = sums.get(batch, 0.0) + own
            if count % batch == 0:
                squares[batch].append(float(sums[batch] @ sums[batch]) / batch**2)
                sums[batch] = 0.0
    mean_square = float(np.dot(total, total)) / count**2
    variances = [
        len(each) / (len(each) - 1) * (float(np.mean(each)) - mean_square) for each in (squares[b] for b in BATCHES)
    ]
    return [mean_square - variances[0] / count, *variances]


def beneath(table: Ladder, level: float) -> dict[str, Any]:
    """Return what the columns that `measure` adds come to: `single_tokens`, `gradient`; None where they are missing."""
    return {"single_tokens": _of_tokens(table, level), "gradient": _of_gradient(table, level)}


def _of_tokens(table: Ladder, level: float) -> dict[str, Any] | None:
    """Return how the variance over seeds of single tokens' losses goes with params and tokens."""
    if "token_variance" not in table:
        return None
    own = table.select(np.isfinite(table.columns["token_variance"].astype(np.float64)))
    params, tokens, share = (own.numbers(name) for name in ("params", "tokens", "token_variance"))
    sizes, lengths = np.unique(params), np.unique(tokens)
    counted = [[int(((params == size) & (tokens == length)).sum()) for length in lengths] for size in sizes]
    if len(sizes) < LEAST_SIZES or not np.all(np.array(counted) >= LEAST_SEEDS):
        return None
    logs = np.array(
        [[np.log10(share[(params == size) & (tokens == length)].mean()) for length in lengths] for size in sizes]
    )
    decades = np.log10(sizes)
    by_size = trend(decades, -logs.mean(axis=1), level)
    # Early in training the spread may grow with params where it falls later: the mean of lengths would hide it.
    longest = trend(decades, -logs[:, -1], level)
    line = Line.of(decades, logs.mean(axis=1))
    return {
        "params": by_size.as_dict(),
        "params_longest": longest.as_dict(),
        "tokens": _mean_of([-Line.of(np.log10(lengths), each).slope for each in logs], level)
        if len(lengths) > 2 else None,
        "log_level": line.level,
        "log_centre": line.centre,
        "points": [
            {"params": float(size), "tokens": float(length), "spread": float(10 ** (logs[i, j] / 2))}
            for i, size in enumerate(sizes) for j, length in enumerate(lengths)
        ],
    }  # fmt: skip


def _mean_of(values: Sequence[float], level: float) -> dict[str, float]:
    """Return the mean of one number a size, and its interval by Student's t."""
    mean, half = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    half *= student(0.5 + level / 2, len(values) - 1)
    return {"value": mean, "low": mean - half, "high": mean + half}


def _of_gradient(table: Ladder, level: float) -> dict[str, Any] | None:
    """Return how the gradient's variance goes with the batch, and the noise scale with params."""
    if "gradient_square" not in table:
        return None
    own = table.select(np.isfinite(table.columns["gradient_square"].astype(np.float64)))
    params, square = own.numbers("params"), own.numbers("gradient_square", positive=False)
    sizes = np.unique(params)
    if len(sizes) < LEAST_SIZES:
        return None
    variance = np.column_stack([own.numbers(f"gradient_variance_{batch}") for batch in BATCHES])
    means = np.stack([variance[params == size].mean(axis=0) for size in sizes])
    signal = np.array([square[params == size].mean() for size in sizes])
    batches = np.log10(BATCHES)
    noise = [float(v / s) if s > 0 else None for v, s in zip(means[:, 0], signal, strict=True)]
    is_told = all(each is not None for each in noise)
    of_params = trend(np.log10(sizes), np.log10(means[:, 0] / signal), level).as_dict() if is_told else None
    length = float(own.numbers("context_length")[0]) if "context_length" in own else None
    return {
        "batch_exponent": _mean_of([-Line.of(batches, np.log10(each)).slope for each in means], level),
        "noise_scale_per_decade": of_params,
        "sequence_tokens": length,
        "points": [
            {"params": float(size), "batch": batch, "variance": float(means[i, j]),
             "relative": float(means[i, j] / signal[i]) if signal[i] > 0 else None}
            for i, size in enumerate(sizes) for j, batch in enumerate(BATCHES)
        ],
        "noise_scale": [{"params": float(size), "sequences": each} for size, each in zip(sizes, noise, strict=True)],
    }  # fmt: skip


def beneath_words(found: dict[str, Any]) -> str:
    """Return the sentences for people; none where nothing was measured."""
    said = []
    if (tokens := found["single_tokens"]) is not None:
        most = max(each["tokens"] for each in tokens["points"])
        ends = [each for each in tokens["points"] if each["tokens"] == most]
        gamma, longest = tokens["params"], tokens["params_longest"]
        said.append(
            f"A single token's loss differs between seeds by {ends[0]['spread']:.2f} nats (one standard deviation) at "
            f"{format_count(ends[0]['params'])} params and {ends[-1]['spread']:.2f} at "
            f"{format_count(ends[-1]['params'])}, after {format_count(most)} tokens; its variance goes as the params' "
            f"power {-longest['value']:+.2f} ({-longest['high']:+.2f} to {-longest['low']:+.2f}) there, mean of all "
            f"lengths {-gamma['value']:+.2f} ({-gamma['high']:+.2f} to {-gamma['low']:+.2f})"
        )
        if (delta := tokens["tokens"]) is not None:
            said[-1] += (
                f", and as the tokens' power {-delta['value']:+.2f} ({-delta['high']:+.2f} to {-delta['low']:+.2f})"
            )
        said[-1] += "."
    if (gradient := found["gradient"]) is not None:
        exponent = gradient["batch_exponent"]
        said.append(
            f"The gradient's variance falls with the batch as its power {-exponent['value']:.2f} "
            f"({-exponent['high']:.2f} to {-exponent['low']:.2f}; independent sequences give -1)."
        )
        small, large = gradient["noise_scale"][0], gradient["noise_scale"][-1]
        said.append(
            f"Luck and signal of the gradient are equal at a batch of {_sequences(small)} and, at "
            f"{format_count(large['params'])}, of {_sequences(large)}, at the end of the longest runs."
        )
    return " ".join(said)


def _sequences(point: dict[str, Any]) -> str:
    if point["sequences"] is None:
        return "more sequences than could be told"
    return f"{point['sequences']:.0f} sequences"
