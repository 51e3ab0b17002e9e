"""The catalogue of laws: what each formula says, which columns it reads, where it comes from, when it misleads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import inf
from numbers import Real
from types import MappingProxyType

from chidu.errors import FitError, TableError, nearest
from chidu.laws.formula import is_formula, parse
from chidu.laws.law import Law

__all__ = ["COLUMNS", "LAWS", "find_law", "is_loss"]

_ANY = (-inf, inf)

_ALL = (
    Law(
        name="power",
        formula="E + A / flops^alpha",
        inputs=("flops",),
        parameters=("E", "A", "alpha"),
        source="Kaplan et al., 2001.08361, with a floor as in Henighan et al., 2010.14701",
        purpose="one quantity alone, or runs that all keep one ratio of tokens to params",
        misleads="where params and tokens vary apart: their sum of terms is no power of flops",
        sums_powers=True,
    ),
    Law(
        name="pure_power",
        formula="A / flops^alpha",
        inputs=("flops",),
        parameters=("A", "alpha"),
        source="Hestness et al., 1712.00409; Kaplan et al., 2001.08361, equation 1.1",
        purpose="one quantity far above its floor",
        misleads="near the floor, and far out: a loss that falls for ever",
    ),
    Law(
        name="kaplan",
        formula="((A / params)^(alpha / beta) + B / tokens)^beta",
        inputs=("params", "tokens"),
        parameters=("A", "alpha", "beta", "B"),
        source="Kaplan et al., 2001.08361, equation 1.5 (A is their N_c, B their D_c)",
        purpose="to compare with the first joint law",
        misleads="it has no floor, so it is too low far out",
    ),
    Law(
        name="additive",
        formula="E + A / params^alpha + B / tokens^beta",
        inputs=("params", "tokens"),
        parameters=("E", "A", "alpha", "B", "beta"),
        source="Hoffmann et al., 2203.15556, equation 10",
        purpose="params and tokens that vary apart, none of them starved",
        misleads="on grids with under-trained corners: few params and few tokens do not simply add up",
        sums_powers=True,
    ),
    Law(
        name="coupled",
        formula="E + (A / params^alpha + B / tokens^beta)^kappa",
        inputs=("params", "tokens"),
        parameters=("E", "A", "alpha", "B", "beta", "kappa"),
        source="Videau et al., 2026",
        purpose="the additive law where few params and few tokens do not simply add up (kappa other than 1)",
        misleads="with fewer than about ten runs: six parameters follow noise",
        sums_powers=True,
        coupled=True,
    ),
    Law(
        name="farseer",
        formula=(
            "exp(c1 * (params / 1e9)^gamma + c2)"
            " + exp(b1 * (params / 1e9)^beta + b2) * (tokens / 1e9)^(-exp(a1 * (params / 1e9)^alpha + a2))"
        ),
        inputs=("params", "tokens"),
        parameters=("c1", "gamma", "c2", "b1", "beta", "b2", "a1", "alpha", "a2"),
        source="Farseer, 2506.10972 (params and tokens in billions)",
        purpose="dense grids, where the slope by tokens is seen to change with params",
        misleads="on small tables: nine parameters; and beyond the sizes seen, where its exponentials run away",
        bounds={
            **dict.fromkeys(("c1", "c2", "b1", "b2", "a1", "a2"), (-20.0, 20.0)),
            **dict.fromkeys(("alpha", "beta", "gamma"), (0.01, 2.0)),
        },
    ),
    Law(
        name="data_constrained",
        formula=(
            "E + A / params^alpha + B / (min(tokens, unique_tokens) + unique_tokens * R"
            " * (1 - exp(-max(tokens / unique_tokens - 1, 0) / R)))^beta"
        ),
        inputs=("params", "tokens", "unique_tokens"),
        parameters=("E", "A", "alpha", "B", "beta", "R"),
        source=(
            "Muennighoff et al., 2305.16264, equation 5: a token seen again counts less, by R (their R*_D);"
            " their second term, for params beyond what the unique tokens call for, is left out"
        ),
        purpose="runs of which some see their text several times",
        misleads="where models are far too large for their unique tokens: those get worse, and this law can't say so",
        bounds={"R": (0.1, 1000.0)},
    ),
    Law(
        name="over_training",
        formula="E + (A * (tokens / params)^eta + B * (params / tokens)^eta) * (6 * params * tokens)^(-eta)",
        inputs=("params", "tokens"),
        parameters=("E", "A", "eta", "B"),
        source="Gadre et al., 2403.08540, equation 4",
        purpose="small tables that vary the ratio of tokens to params: four parameters serve both",
        misleads="where params and tokens have different exponents: here they share one",
    ),
    Law(
        name="broken_power",
        formula="E + A * flops^(-alpha) * (1 + (flops / F)^(1 / width))^(-change * width)",
        inputs=("flops",),
        parameters=("E", "A", "alpha", "F", "width", "change"),
        source="Caballero et al., 2210.14891, equation 1, with one break",
        purpose="one quantity whose slope changes once",
        misleads="beyond the break's other side, which must have been seen; on fewer than ten runs",
        bounds={"width": (0.05, 5.0), "change": (-3.0, 3.0), "alpha": (0.0, 3.0)},
    ),
    Law(
        name="precision",
        formula="E + A / (params * (1 - exp(-bits / gamma))^3)^alpha + B / tokens^beta",
        inputs=("params", "tokens", "bits"),
        parameters=("E", "A", "gamma", "alpha", "B", "beta"),
        source="Kumar et al., 2411.04330, section 4: weights, activations and keys of the same number of bits",
        purpose="runs trained in several precisions: fewer bits count as fewer params",
        misleads="for weights that were rounded after training",
        bounds={"gamma": (0.1, 20.0)},
    ),
    Law(
        name="vocabulary",
        formula="E + A / params_non_vocabulary^alpha + B / params_vocabulary^beta + G / characters^gamma",
        inputs=("params_non_vocabulary", "params_vocabulary", "characters"),
        parameters=("E", "A", "alpha", "B", "beta", "G", "gamma"),
        source="Tao et al., 2407.13623, equation 5 (their loss is per token, less that of counting tokens)",
        purpose="runs of several vocabularies, on a loss that does not depend on the vocabulary",
        misleads="on plain nats per token: those of two vocabularies can't be compared",
        bounds={"E": _ANY},
    ),
    Law(
        name="experts",
        formula=(
            "exp(c + a * log(params) + b * log(1 / (1 / (num_experts - 1 + 1 / (1 / S - 1 / M)) + 1 / M))"
            " + d * log(params) * log(1 / (1 / (num_experts - 1 + 1 / (1 / S - 1 / M)) + 1 / M)))"
        ),
        inputs=("params", "num_experts"),
        parameters=("c", "a", "b", "S", "M", "d"),
        source="Clark et al., 2202.01169, equations 1 and 2: params of the dense part, S and M where experts saturate",
        purpose="mixtures of experts: loss by dense params and number of experts",
        misleads="across token counts: all runs must have seen the same number; it has no floor",
        bounds={"a": _ANY, "b": _ANY, "c": _ANY, "d": _ANY, "S": (0.5, 10.0), "M": (11.0, 1e5)},
    ),
    Law(
        name="learning_rate",
        formula="A * tokens^beta / params^alpha",
        inputs=("params", "tokens"),
        parameters=("A", "beta", "alpha"),
        source="step law, 2503.04715: rate = 1.79 · tokens^0.307 / params^0.713 there",
        purpose="the best learning rates found at several sizes, carried to a larger one",
        misleads="for other optimisers, schedules and batch rules than those it was fitted to",
        target="learning_rate",
    ),
    Law(
        name="batch_tokens",
        formula="A * tokens^beta",
        inputs=("tokens",),
        parameters=("A", "beta"),
        source="step law, 2503.04715: batch = 0.58 · tokens^0.571 there",
        purpose="the best batches found at several token counts, carried to a larger one",
        misleads="beyond the batch at which more examples a step no longer help",
        target="batch_tokens",
    ),
    Law(
        name="score",
        formula="floor + rise * sigmoid(steep * (middle - loss))",
        inputs=("loss",),
        parameters=("floor", "rise", "steep", "middle"),
        source="OLMo's ladder, 2412.04403, equation 4",
        purpose="a task's score (0 to 1) from the loss",
        misleads="while all scores lie near chance: then neither the middle nor the rise is known",
        target="score",
        bounds={"floor": (0.0, 1.0), "rise": (0.0, 1.0), "steep": (0.01, 1000.0)},
    ),
    Law(
        name="score_direct",
        formula="floor + rise * sigmoid(steep * log(flops / F))",
        inputs=("flops",),
        parameters=("floor", "rise", "steep", "F"),
        source="a sigmoid in log flops, as in Owen, 2401.04757",
        purpose="a task's score straight from flops, where no loss is at hand",
        misleads="as `score`, and more: it knows nothing of the loss",
        target="score",
        bounds={"floor": (0.0, 1.0), "rise": (0.0, 1.0), "steep": (0.01, 10.0)},
    ),
)

LAWS: Mapping[str, Law] = MappingProxyType({law.name: law for law in _ALL})

COLUMNS: tuple[str, ...] = tuple(
    dict.fromkeys(
        [
            *("loss", "params", "params_matmul", "params_non_embedding", "tokens", "unique_tokens", "epochs", "flops"),
            *("steps", "batch_tokens", "context_length", "learning_rate", "bits_per_byte"),
            *(name for law in _ALL for name in law.inputs),
        ]
    )
)
"""Names that in a formula can only be columns: one that the table lacks is no parameter."""


def is_loss(target: str) -> bool:
    """True where less of a target is better: any but those of the catalogue's other laws (a score, a rate, a batch)."""
    return target == "loss" or target not in {law.target for law in _ALL}


def find_law(name: str, columns: Collection[str] = (), bounds: Mapping[str, tuple[float, float]] | None = None) -> Law:
    """Return the law of this name, or the law that a formula over these columns is.

    Raises FitError naming the nearest known one or what is wrong with the formula, TableError where the formula reads a
    column that is not there.
    """
    if is_formula(name):
        return _of_formula(name, columns, bounds or {})
    if name not in LAWS:
        raise FitError(
            f"no law {name!r}{nearest(name, [*LAWS, 'auto'])}: choose among auto, {', '.join(LAWS)}, "
            "or write a formula like 'E + A/params**alpha'"
        )
    law = LAWS[name]
    if not bounds:
        return law
    if law.sums_powers:
        raise FitError(f"bounds are for formulas: write the {name} law as law={law.formula!r}")
    _check_bounds(bounds, law.parameters)
    return replace(law, bounds={**law.bounds, **bounds})


def _of_formula(text: str, columns: Collection[str], bounds: Mapping[str, tuple[float, float]]) -> Law:
    formula = parse(text, columns)
    absent = [name for name in formula.parameters if name in COLUMNS]
    if absent:
        raise TableError(f"formula: reads {absent[0]}, a column that the table lacks{nearest(absent[0], columns)}")
    if "loss" in formula.columns:
        raise FitError("formula: loss is what is forecast, so it can't be read: name the target with target=")
    _check_bounds(bounds, formula.parameters)
    return Law(text, text, formula.columns, formula.parameters, source="the caller's formula", bounds=dict(bounds))


def _check_bounds(bounds: Mapping[str, tuple[float, float]], parameters: Collection[str]) -> None:
    for name, edges in bounds.items():
        if not (isinstance(edges, (tuple, list)) and len(edges) == 2 and all(isinstance(e, Real) for e in edges)):
            raise FitError(f"bounds: of {name}, {edges!r} is no pair of numbers: write {{{name!r}: (0.1, 1.0)}}")
        low, high = edges
        if name not in parameters:
            raise FitError(
                f"bounds: no parameter {name!r}{nearest(name, parameters)}: the law has {', '.join(parameters)}"
            )
        if not low < high:
            raise FitError(f"bounds: of {name}, {low:g} is not below {high:g}")
