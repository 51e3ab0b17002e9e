"""Small changes of prompt, seed and learning rate, and how far a model's output moves under them.

The output is the distribution of the next token after a held-out sequence of T tokens, T being the context length. How
far it moves is the Jensen–Shannon distance (root of the divergence, nats) between the distributions with and without
the change. Two guards stand against models that move less only because they say less. The **control** is how far the
same model's outputs at two different sequences lie apart: all of the context replaced. And all is measured once more
**even**: each model's logits times one number, such that its mean entropy is half that of a uniform distribution.

| kind | change | `by` |
|---|---|---|
| `noise` | one token in sixteen, never the last, is another one of the held-out text | tokens of context |
| `reorder` | the last two finished clauses change places; the words after them stay | 0 |
| `edit` | one token is another one | tokens back, from 1 (the last) on |
| `seed` | another model of the same size, trained with another seed | 0 |
| `rate` | another model of the same seed, trained at so many times the rates | times the rates |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import TextError
from chidu.parallel import Emit
from chidu.runs.ladder import Ladder
from chidu.runs.run import Run
from chidu.studies.average import distances
from chidu.studies.study import Models

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "COLUMNS",
    "Text",
    "changed",
    "clause_ends",
    "largest_norm_rise",
    "largest_rise",
    "measure",
    "swapped",
    "texts_of",
]

Whole = NDArray[np.int64]

TEXTS = 256
"""Sequences at the most."""
LEAST_TEXTS = 8
SEARCHED = 8
"""Windows looked at for each sequence that is wanted: not all have two clauses."""
NOISE = 16
"""One token in so many is replaced."""
SHORTEST, WIDER = 16, 4
"""The shortest context that noise is measured in, and how many times as long the next one is."""
FARTHER = 4
"""How many times as far back the next edit lies."""
SHIFTS = 4
"""Other sequences that the control holds each one against."""
AT_ONCE = 16
MARKS = tuple(".!?;:,\n。！？；：，、")
"""What a clause ends in."""
BEFORE = 16
"""Points of a training curve that the next one is held against."""
COLUMNS = (
    "params", "tokens", "seed", "kind", "by", "item", "distance", "control", "even_distance", "even_control",
    "entropy", "steps", "passed_over", "rollbacks", "rise", "norm_rise",
)  # fmt: skip


@dataclass(frozen=True)
class Text:
    """The sequences, and the same ones changed."""

    plain: Whole
    """(texts, T)"""
    changed: tuple[tuple[str, int, Whole], ...]
    """Kind, `by`, and (texts, tokens read) of each change of the prompt."""


@dataclass(frozen=True)
class Outputs:
    """What one model said."""

    logits: NDArray[np.float32]
    """(texts, vocabulary) after the plain sequences"""
    even: float
    """What these are multiplied by to have the common entropy."""
    entropy: float
    """Mean over the texts, nats."""
    control: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(texts,) as it is and even"""
    rows: tuple[tuple[str, int, NDArray[np.float64]], ...]
    """Of each change of the prompt kind, `by`, and (4, texts): distance and control, as they are and even"""


def clause_ends(tokenizer: Path) -> frozenset[int]:
    """Return the tokens that end a clause."""
    from chidu.tokens.bpe import load_tokenizer

    known = load_tokenizer(tokenizer)
    texts = ((token, known.decode([token])) for token in range(known.get_vocab_size()))
    return frozenset(token for token, text in texts if text.rstrip(" ").endswith(MARKS))


def swapped(sequence: Whole, ends: frozenset[int]) -> Whole | None:
    """Return a sequence [T] with its last two finished clauses in the other order; None where there are no two that
    differ. What follows the last end stays, and it is one token at the least."""
    at = [place + 1 for place, token in enumerate(sequence[:-1].tolist()) if token in ends]
    if len(at) < 2:
        return None
    first, middle, last = (at[-3] if len(at) > 2 else 0), at[-2], at[-1]
    parts = (sequence[:first], sequence[middle:last], sequence[first:middle], sequence[last:])
    found: Whole = np.concatenate(parts)
    return None if np.array_equal(found, sequence) else found


def changed(plain: Whole, reordered: Whole, seed: int) -> tuple[tuple[str, int, Whole], ...]:
    """Return every change of the prompt, for sequences [texts, T]: kind, `by`, and sequences."""
    source, (count, length) = np.random.default_rng(seed), plain.shape
    others = source.permuted(plain.ravel()).reshape(plain.shape)
    for shift in range(1, count):
        # Another token than the one that stands there.
        others = np.where(others == plain, np.roll(others, shift, axis=0), others)
    hit = source.random((count, length)) < 1 / NOISE
    # The shortest context has one that is changed too.
    spared = np.flatnonzero(~hit[:, -SHORTEST:-1].any(axis=1))
    hit[spared, length - 2 - source.integers(0, min(SHORTEST, length) - 1, len(spared))] = True
    hit[:, -1] = False
    noisy = np.where(hit, others, plain)
    found: list[tuple[str, int, Whole]] = [("noise", read, noisy[:, -read:]) for read in contexts(length)]
    found.append(("reorder", 0, reordered))
    back = 1
    while back < length:
        edited = plain.copy()
        edited[:, -back] = others[:, -back]
        found.append(("edit", back, edited))
        back *= FARTHER
    return tuple(found)


def contexts(length: int) -> list[int]:
    """Return the numbers of tokens read: some short ones, and the whole context."""
    found, read = [], SHORTEST
    while read < length:
        found.append(read)
        read *= WIDER
    return [*found, length]


def texts_of(models: Models) -> Text:
    """Return the sequences that can be reordered, evenly over the held-out text, and their changes.

    Raises TextError where there are too few.
    """
    from chidu.tokens import TokenFile

    length = models.runs[0].config.shape.context_length
    held_out = TokenFile.open(models.tokens / "held_out.bin")
    ends = clause_ends(models.tokens / "tokenizer.json")
    # A window has one token more than is read.
    windows = np.concatenate(list(held_out.held_out_batches(length, SEARCHED * TEXTS * length)))[:, :-1]
    both = [(window, other) for window in windows if (other := swapped(window, ends)) is not None]
    chosen = [both[place * len(both) // min(TEXTS, len(both))] for place in range(min(TEXTS, len(both)))]
    if len(chosen) < LEAST_TEXTS:
        raise TextError(
            f"the held-out text has {len(chosen)} sequences of {length} tokens with two clauses to change places; the "
            f"study needs {LEAST_TEXTS}: add text, or take a longer context"
        )
    plain, reordered = (np.stack(each) for each in zip(*chosen, strict=True))
    return Text(plain, changed(plain, reordered, models.seed))


def measure(models: Models) -> Ladder:
    """Ask the longest-trained models for their outputs, and return how far each change moves them: a row for each
    model, change and text; the last five columns tell of the model's training."""
    models.tell(0.0, "changing the prompts")
    text, done = texts_of(models), 0
    work = [(run, str(path), text) for run, path in models.longest]

    def on_event(_index: int, _event: object) -> None:
        nonlocal done
        done += 1
        models.tell(0.9 * done / len(work), "asking the models")

    outputs = models.place.map(_ask, work, on_event)
    told = [(run, each) for (run, _), each in zip(models.longest, outputs, strict=True)]
    rate = models.runs[0].config.learning_rate
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for run, ours in told:
        if run.config.learning_rate != rate:
            continue
        for kind, by, values in ours.rows:
            _add(columns, run, kind, by, values, ours.entropy)
        kin = [each for each in told if each[0].config.shape == run.config.shape and each[0] is not run]
        seeds = [_between(ours, theirs) for other, theirs in kin if other.config.learning_rate == rate]
        if seeds:
            _add(columns, run, "seed", 0, np.mean(seeds, axis=0), ours.entropy)
        for other, theirs in kin:
            if other.config.learning_rate != rate and other.config.seed == run.config.seed:
                factor = other.config.learning_rate / rate
                _add(columns, other, "rate", factor, _between(ours, theirs), theirs.entropy)
    return Ladder(columns, "moves")


def _add(
    columns: dict[str, list[Any]], run: Run, kind: str, by: float, values: NDArray[np.float64], entropy: float
) -> None:
    """Add a row a text, for distances and controls [4, texts]."""
    config = run.config
    first = (config.shape.params, config.tokens, config.seed, kind, by)
    rises = (_short(largest_rise(run.curve)), _short(largest_norm_rise(run.gradient_norms)))
    last = (_short(entropy), config.steps, len(run.passed_over), len(run.rollbacks), *rises)
    for item, measured in enumerate(values.T.tolist()):
        for name, cell in zip(COLUMNS, (*first, item, *map(_short, measured), *last), strict=True):
            columns[name].append(cell)


def _short(value: float) -> float:
    """Return a number of six digits: a table of tens of thousands of rows is no place for sixteen."""
    return float(f"{value:.6g}")


def largest_rise(curve: Sequence[tuple[int, float]]) -> float:
    """Return how far a training loss rose at the most above the mean of the points before (nats); 0 where it fell."""
    losses = [loss for _, loss in curve]
    rises = (losses[at] - float(np.mean(losses[at - BEFORE : at])) for at in range(BEFORE, len(losses)))
    return max(0.0, max(rises, default=0.0))


def largest_norm_rise(norms: Sequence[tuple[int, float, float]]) -> float:
    """Return the largest norm of a gradient over the median of the points' means before it; NaN where none was kept.

    The first points, of the warm-up, are not told: norms fall by much there.
    """
    found = [most / float(np.median([mean for _, mean, _ in norms[at - BEFORE : at]]))
             for at, (_, _, most) in enumerate(norms) if at >= BEFORE]  # fmt: skip
    return max(found, default=float("nan"))


def _between(ours: Outputs, theirs: Outputs) -> NDArray[np.float64]:
    """Return distance and control [4, texts] of two models at the same sequences, as they are and even."""
    import torch

    found = []
    for even in (False, True):
        each = [torch.from_numpy(one.logits).double() * (one.even if even else 1.0) for one in (ours, theirs)]
        first, second = (logits.softmax(dim=-1) for logits in each)
        found += [distances(first, second).numpy(), (ours.control[even] + theirs.control[even]) / 2]
    return np.stack(found)


def _ask(work: tuple[Run, str, Text], emit: Emit) -> Outputs:
    """Ask one model. Runs in a worker."""
    import torch

    from chidu.training.loop import trained_model

    torch.set_num_threads(1)
    run, weights, text = work
    model = trained_model(run.config, Path(weights))

    @torch.inference_mode()
    def last(sequences: Whole) -> Tensor:
        parts = torch.split(torch.from_numpy(np.ascontiguousarray(sequences)), AT_ONCE)
        return torch.cat([model(part)[:, -1].float() for part in parts])

    read = {length: last(text.plain[:, -length:]) for length in {each.shape[1] for _, _, each in text.changed}}
    logits = read[text.plain.shape[1]]
    even = even_factor(logits)
    controls = {length: [_control(each * factor) for factor in (1.0, even)] for length, each in read.items()}
    rows = []
    for kind, by, sequences in text.changed:
        length, values = sequences.shape[1], []
        other = last(sequences)
        for place, factor in enumerate((1.0, even)):
            pair = ((each.double() * factor).softmax(dim=-1) for each in (read[length], other))
            values += [distances(*pair).numpy(), controls[length][place]]
        rows.append((kind, by, np.stack(values)))
    emit(run.name)
    entropy = mean_entropy(logits.double())
    as_it_is, made_even = controls[text.plain.shape[1]]
    return Outputs(logits.numpy(), even, entropy, (as_it_is, made_even), tuple(rows))


def mean_entropy(logits: Tensor) -> float:
    """Return the mean entropy of the distributions of logits [texts, V], nats."""
    logs = logits.log_softmax(dim=-1)
    return float(-(logs.exp() * logs).sum(dim=-1).mean())


def even_factor(logits: Tensor) -> float:
    """Return what logits [texts, V] are multiplied by to have a mean entropy of half log V, by halving."""
    wanted, low, high = float(np.log(logits.shape[1])) / 2, 1e-3, 1e3
    for _ in range(50):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if mean_entropy(logits.double() * middle) > wanted else (low, middle)
    return float((low * high) ** 0.5)


def _control(logits: Tensor) -> NDArray[np.float64]:
    """Return how far each text's output lies from those of other texts, their mean [texts]."""
    chances = logits.double().softmax(dim=-1)
    step = max(1, len(chances) // (SHIFTS + 1))
    each = [distances(chances, chances.roll(step * turn, 0)).numpy() for turn in range(1, SHIFTS + 1)]
    found: NDArray[np.float64] = np.mean(each, axis=0)
    return found
