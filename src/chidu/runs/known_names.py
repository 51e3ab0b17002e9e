"""Columns under other people's names, and quantities that follow from the columns there are: each is said in a note."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.runs.cells import as_numbers

__all__ = ["Completion", "complete", "readable_as"]

LETTERS: Mapping[str, str] = MappingProxyType({"L": "loss", "N": "params", "D": "tokens", "C": "flops"})
"""The field's own letters, capitals only: a small n or d is anything."""

NAMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        ours: frozenset(f"{ours.replace('_', '')} {theirs}".split())
        for ours, theirs in {
            "loss": "valloss validloss validationloss evalloss heldoutloss testloss lossval losseval lossvalidation"
            " finalloss finalvalloss finalevalloss valcrossentropy evalcrossentropy lmlossvalidation"
            " lmlossvalidationlmlossvalidation",
            "params": "nparams numparams nparam numparam nparameters numparameters parameters paramcount paramscount"
            " parametercount totalparams totalparameters paramstotal modelparams modelparameters modelsize"
            " modelnumparams modelnumparameters",
            "params_non_embedding": "nonembeddingparams nonembeddingparameters nparamsnonembedding"
            " numparamsnonembedding numnonembeddingparams paramsnoembedding paramsnonemb nonembparams",
            "tokens": "ntokens numtokens traintokens trainingtokens totaltokens tokenstotal tokensseen seentokens"
            " ntraintokens numtraintokens numtrainingtokens tokencount consumedtokens tokensconsumed tokenstrained"
            " traintokensseen ntokensseen totaltokensseen totaltrainingtokens numinputtokensseen"
            " trainnuminputtokensseen throughputtotaltokens",
            "unique_tokens": "nuniquetokens numuniquetokens tokensunique",
            "flops": "compute flop flos totalflos traintotalflos totalflops flopstotal trainflops trainingflops nflops"
            " numflops trainingcompute traincompute totalcompute trainingcomputeflop",
            "steps": "step nsteps numsteps maxsteps totalsteps trainsteps trainingsteps numtrainsteps iterations"
            " numiterations niters numiters maxiters trainiters globalstep trainglobalstep trainerglobalstep",
            "batch_tokens": "tokensperstep tokensperbatch tokensperiter tokensperiteration tokensperupdate"
            " batchsizetokens batchsizeintokens globalbatchtokens globalbatchsizetokens",
        }.items()
    }
)
"""Our name → others' names for the same, in small letters and digits only (`val/loss` and `val_loss` are `valloss`)."""

RECOGNISED = ("loss", "params", "params_non_embedding", "tokens", "unique_tokens", "flops")
"""Columns recognised wherever they are missing; steps and batch_tokens are only where tokens must follow from them."""
PREFIX = re.compile(r"^(config|summary|summary_metrics|params|metrics|hparams)\.")
"""What trackers put before a name."""
SECTION = re.compile(r"^(model|train|training|trainer|data|args)[./]")
"""Sections of a config that a run's own counts stand in; a loss in one of them is not the held-out one."""
MOST_RATIO = 30.0
"""Flops lie within this factor of 6·params·tokens, or they are in another unit."""
MOST_TOKENS_PER_PARAM = 1e6
"""So far at most do tokens and params lie apart; further, and the flops they would follow from are in another unit."""


@dataclass(frozen=True)
class Completion:
    """What was added to a table."""

    columns: Mapping[str, NDArray[Any]]
    """Our name → the column added."""
    origins: Mapping[str, str]
    """Our name → what it was read from: a column, or a product of columns."""
    notes: tuple[str, ...]
    """One line for each."""


def readable_as(ours: str, columns: Collection[str]) -> list[str]:
    """Return the columns whose names are well known for our column ``ours``."""
    return [name for name in columns if name != ours and _means(name) == ours]


def complete(columns: Mapping[str, NDArray[Any]]) -> Completion:
    """Recognise and infer the columns that a law may ask for; a column that is there is never touched.

    Another's name is taken only where our own is missing and one candidate is there (or several with equal values).
    Quantities follow from others only in a table of runs, one with a loss.
    """
    found = _Finder(columns)
    for ours in RECOGNISED:
        found.recognise(ours)
    if "loss" in found.columns:
        found.infer_tokens()
        found.infer_params()
    added = {ours: found.columns[ours] for ours in found.origins}
    return Completion(added, found.origins, tuple(found.notes))


class _Finder:
    """Columns as they grow, with where each new one came from."""

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self.theirs = tuple(columns)
        self.columns = dict(columns)
        self.origins: dict[str, str] = {}
        self.notes: list[str] = []

    def recognise(self, ours: str) -> None:
        """Read our column from one of another name."""
        if ours in self.columns:
            return
        names = [name for name in readable_as(ours, self.theirs) if _holds_numbers(self.columns[name])]
        if not names:
            return
        first = self.columns[names[0]]
        if any(not np.array_equal(as_numbers(first), as_numbers(self.columns[n]), equal_nan=True) for n in names[1:]):
            self.notes.append(
                f"{ours} {_is(ours)} read from none of {', '.join(names)}, which differ: "
                f"name one with --columns {ours}={names[0]}"
            )
        elif ours == "flops" and (ratio := self._flops_ratio(first)) is not None:
            self.notes.append(
                f"flops are not read from {names[0]}, which is {ratio:.2g} × 6·params·tokens and so of another unit: "
                f"--columns flops={names[0]} reads it all the same"
            )
        else:
            self._add(ours, first, names[0], f"{ours} {_is(ours)} read from {names[0]}")

    def infer_tokens(self) -> None:
        """Tokens from steps and the batch, else from flops and params."""
        if "tokens" in self.columns or readable_as("tokens", self.theirs):
            return
        held = len(self.notes), dict(self.origins), dict(self.columns)
        self.recognise("steps")
        self.recognise("batch_tokens")
        if {"steps", "batch_tokens"} <= set(self.columns):
            self._multiply("tokens", "steps", "batch_tokens")
            return
        # Half of the pair is of no use: what was said of it would only puzzle.
        self.notes, self.origins, self.columns = self.notes[: held[0]], held[1], held[2]
        params = self._params()
        if params and "flops" in self.columns:
            self._divide_flops("tokens", params)

    def infer_params(self) -> None:
        """Params from flops and tokens."""
        if self._params() or readable_as("params", self.theirs):
            return
        if {"flops", "tokens"} <= set(self.columns):
            self._divide_flops("params", "tokens")

    def _params(self) -> str | None:
        return next((name for name in ("params_matmul", "params") if name in self.columns), None)

    def _flops_ratio(self, flops: NDArray[Any]) -> float | None:
        """Median of flops over 6·params·tokens where it says that the unit is another one."""
        params = self._params()
        if params is None or "tokens" not in self.columns:
            return None
        with np.errstate(all="ignore"):
            ratios = as_numbers(flops) / (6 * as_numbers(self.columns[params]) * as_numbers(self.columns["tokens"]))
        usable = ratios[np.isfinite(ratios) & (ratios > 0)]
        ratio = float(np.median(usable)) if len(usable) else 1.0
        return None if 1 / MOST_RATIO <= ratio <= MOST_RATIO else ratio

    def _multiply(self, ours: str, first: str, second: str) -> None:
        values = as_numbers(self.columns[first]) * as_numbers(self.columns[second])
        self._add(ours, values, f"{first} × {second}", f"{ours} {_is(ours)} inferred: {first} × {second}")

    def _divide_flops(self, ours: str, other: str) -> None:
        with np.errstate(all="ignore"):
            values = as_numbers(self.columns["flops"]) / (6 * as_numbers(self.columns[other]))
            ratios = values / as_numbers(self.columns[other])
        usable = ratios[np.isfinite(ratios) & (ratios > 0)]
        ratio = float(np.median(usable)) if len(usable) else 1.0
        rule = f"flops / (6 · {other})"
        if 1 / MOST_TOKENS_PER_PARAM <= ratio <= MOST_TOKENS_PER_PARAM:
            self._add(ours, values, rule, f"{ours} {_is(ours)} inferred: {rule}")
        else:
            self.notes.append(
                f"{ours} {_is(ours)} not inferred: {rule} would be {ratio:.2g} × {other}, so flops are of another unit"
            )

    def _add(self, ours: str, values: NDArray[Any], origin: str, note: str) -> None:
        self.columns[ours] = values
        self.origins[ours] = origin
        self.notes.append(note)


def _means(name: str) -> str | None:
    """Our name for a column, or None."""
    bare = PREFIX.sub("", name)
    if bare in LETTERS:
        return LETTERS[bare]
    if bare.startswith("_"):
        # A tracker's own counter: `_step` counts what was logged.
        return None
    found = _look_up(bare)
    if found is None and SECTION.match(bare):
        found = _look_up(SECTION.sub("", bare))
        return None if found == "loss" else found
    return found


def _look_up(name: str) -> str | None:
    squeezed = re.sub(r"[^a-z0-9]", "", name.lower())
    return next((ours for ours, names in NAMES.items() if squeezed in names), None)


def _holds_numbers(column: NDArray[Any]) -> bool:
    """True where at least half of the cells that hold something are numbers: a bad cell is then refused by its row."""
    if column.dtype.kind in "fiu":
        return bool(np.isfinite(column).any())
    filled = [cell for cell in column.tolist() if str(cell)]
    return column.dtype.kind == "U" and 2 * int(np.isfinite(as_numbers(column)).sum()) >= max(len(filled), 1)


def _is(ours: str) -> str:
    return "is" if ours == "loss" else "are"
