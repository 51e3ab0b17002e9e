"""How to spend a budget: the params and tokens with the least forecast loss, within limits, and the other choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.errors import FitError
from chidu.laws.catalogue import is_loss
from chidu.laws.forecast import OFF_RATIO
from chidu.laws.limits import MOST_EPOCHS, Limits
from chidu.laws.objective import Floats
from chidu.laws.spending import Spending
from chidu.laws.valley import REPEAT_WORTH, Path, Surface, cheapest, least, valley
from chidu.units import format_count

if TYPE_CHECKING:
    from chidu.laws.fit import Fit

__all__ = ["Binding", "Choice", "Plan", "plan"]

VALLEYS = (0.5, 1.0)
"""Per cents of loss for which a plan says how far its params may stray."""
MOST_REFITS = 1000
"""Refits behind the intervals of params and tokens: their quantiles need no more."""


@dataclass(frozen=True)
class Binding:
    """A limit that binds, and what it costs beside the same plan without limits on what it limits."""

    name: str
    """The setting: unique_tokens, max_params, memory or tokens_per_second."""
    of: str
    """`params` or `tokens`."""
    most: float
    loss_cost: float
    """Loss above that of the plan without it."""
    flops_cost: float
    """Flops in all above those of the plan without it, where the loss is kept; else 0."""


@dataclass(frozen=True)
class Choice:
    """One way to go, beside others. Flops are of the training, total_flops with those of the inference."""

    name: str
    chosen: bool
    params: float
    tokens: float
    epochs: float
    loss: float
    loss_low: float
    loss_high: float
    flops: float
    inference_flops: float
    total_flops: float


@dataclass(frozen=True)
class Plan:
    """A decision with its forecast. Counts in units of the fitted columns, loss in the table's unit."""

    flops: float
    """Of the planned run's training: the whole budget, unless limits or inference say otherwise."""
    flops_low: float
    flops_high: float
    params: float
    params_low: float
    params_high: float
    tokens: float
    """Seen in training, repeats included."""
    tokens_low: float
    tokens_high: float
    loss: float
    loss_low: float
    loss_high: float
    level: float
    params_column: str
    """What `params` counts: the column the law was fitted on."""
    flops_rule: str
    """How flops follow from params and tokens."""
    valley: Mapping[float, tuple[float, float]]
    """Per cent of extra loss → least and largest params that cost no more than that, at the same flops in all."""
    extrapolation: float
    """Training flops over the largest flops seen; NaN where the table had none."""
    trust: str
    why: str
    warnings: tuple[str, ...]
    budget: float
    """What was to be spent, in flops."""
    epochs: float
    """How often each unique token is seen; 1 where no number of them was given."""
    inference_flops: float
    """Of all the tokens the model will serve; 0 where none were given."""
    total_flops: float
    """Training and inference."""
    device_hours: float
    """Of the training, as are hours and money; NaN where machine or price are not stated."""
    hours: float
    money: float
    bindings: tuple[Binding, ...]
    """The limits that bind."""
    choices: tuple[Choice, ...]
    """Other ways to go beside this one, where there are any."""
    spending: Spending
    limits: Limits

    def __str__(self) -> str:
        from chidu.laws.plan_show import plan_text

        return plan_text(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; NaN becomes None. What was asked stands flat beside what was found."""
        found = {name: value for name, value in vars(self).items() if name not in ("spending", "limits")}
        asked = {name: value for name, value in vars(self.spending).items() if name not in found}
        asked |= {name: value for name, value in vars(self.limits).items() if name not in found}
        found |= {
            "valley": {f"{percent:g}%": list(edges) for percent, edges in self.valley.items()},
            "warnings": list(self.warnings),
            "bindings": [asdict(binding) for binding in self.bindings],
            "choices": [{name: _or_none(value) for name, value in asdict(each).items()} for each in self.choices],
        }
        return {name: _or_none(value) for name, value in (found | asked).items()}


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


@dataclass(frozen=True)
class _Question:
    """What is asked of the law: one budget, in params × tokens, under limits."""

    fit: Fit
    params_column: str
    product: float
    limits: Limits

    @property
    def surface(self) -> Surface:
        unique = self.limits.unique_tokens
        return Surface(self.fit, self.params_column, np.inf if unique is None else unique)

    @property
    def path(self) -> Path:
        """The runs among which the budget can choose."""
        served = self.limits.served if self.limits.lifetime else 0.0
        return Path(self.product, self.limits.most("params"), self.limits.most("tokens"), served)

    @property
    def keeps_loss(self) -> bool:
        """True where the loss that the budget buys is to be reached with the least flops in all."""
        return self.limits.inference_tokens is not None and not self.limits.lifetime

    def solve(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return params and tokens (R,) at vectors (R, P)."""
        surface, path, served = self.surface, self.path, self.limits.served
        params, log_loss = least(surface, path, theta)
        tokens = path.tokens(params)
        if not self.keeps_loss:
            return params, tokens
        in_all = float((params * (tokens + served)).max())
        low = min(in_all, max(float((params * tokens).min()), 1 + served))
        return cheapest(surface, replace(path, served=served), log_loss, theta, (low, in_all))

    def run(self) -> _Run:
        """Return the best run by the law itself."""
        params, tokens = self.solve(self.fit.solution.theta[None])
        return _Run(self, float(params[0]), float(tokens[0]))

    def under(self, limits: Limits) -> _Question:
        """Return the same question under other limits."""
        return replace(self, limits=limits)


@dataclass(frozen=True)
class _Run:
    """An answer."""

    question: _Question
    params: float
    tokens: float

    @property
    def loss(self) -> float:
        theta = self.question.fit.solution.theta[None]
        found = self.question.surface.log_loss(np.array([self.params]), np.array([self.tokens]), theta)
        return float(np.exp(found[0, 0]))

    @property
    def epochs(self) -> float:
        unique = self.question.limits.unique_tokens
        return 1.0 if unique is None else max(1.0, self.tokens / unique)

    @property
    def flops(self) -> float:
        return self.question.fit.seen.flops_factor * self.params * self.tokens

    @property
    def inference_flops(self) -> float:
        return self.question.fit.seen.flops_factor * self.params * self.question.limits.served

    @property
    def total_flops(self) -> float:
        return self.flops + self.inference_flops

    @property
    def point(self) -> dict[str, Floats]:
        """The run as the law reads it."""
        inputs = self.question.surface.inputs(np.array([self.params]), np.array([self.tokens]))
        return dict(zip(self.question.fit.inputs, inputs, strict=True)) | {"flops": np.array([self.flops])}

    @property
    def around(self) -> Path:
        """The runs that cost as much in all."""
        served = self.question.limits.served
        return replace(self.question.path, product=self.params * (self.tokens + served), served=served)


def plan(fit: Fit, spending: Spending, limits: Limits, level: float) -> Plan:
    """Return the best use of a budget.

    The flops of a training are taken as factor · params · tokens: the factor is the table's own, else 6. Among the runs
    that spend the budget, within the limits, the one of least loss is taken. With ``inference_tokens`` the run that
    reaches that loss with the least flops in all, training and inference (Sardana et al., 2401.00448), is: smaller, and
    trained for longer than the budget; or, with ``lifetime``, the run of least loss whose training and inference the
    budget pays for. Params and tokens have intervals from the refits, the loss has the forecast's.

    Raises FitError where the law does not read params and tokens, the budget is too small, or a level out of range.
    """
    question = _Question(fit, _params_column(fit), spending.budget / fit.seen.flops_factor, limits)
    run = question.run()
    if not np.isfinite(run.loss):
        raise FitError(f"the {fit.law} law has no value for runs of {format_count(spending.budget)} flops: fit another")
    table = fit.forecast(run.point, level)
    refits = fit.refits[:MOST_REFITS]
    params, tokens = question.solve(refits) if len(refits) else (np.empty(0), np.empty(0))
    flops = fit.seen.flops_factor * params * tokens if question.keeps_loss or limits.lifetime else np.full(2, run.flops)
    found: dict[str, float] = {}
    for name, best, spread in (
        ("params", run.params, params),
        ("tokens", run.tokens, tokens),
        ("flops", run.flops, flops),
    ):
        low, high = _edges(spread, level, best)
        found |= {name: best, f"{name}_low": low, f"{name}_high": high}
    bindings, cost = _bindings(run), spending.cost(run.flops)
    choices = _choices(run, bindings, level)
    verdict, why = _trust(run, level)
    return Plan(
        **found,
        loss=float(table["loss"][0]),
        loss_low=float(table["low"][0]),
        loss_high=float(table["high"][0]),
        level=level,
        params_column=question.params_column,
        flops_rule=_rule(fit, question.params_column),
        valley={percent: valley(question.surface, run.around, run.params, percent) for percent in VALLEYS},
        extrapolation=float(table["extrapolation"][0]),
        trust=verdict,
        why=why,
        warnings=(*fit.warnings, *_warnings(run, spending, bindings, choices)),
        budget=spending.budget,
        epochs=run.epochs,
        inference_flops=run.inference_flops,
        total_flops=run.total_flops,
        device_hours=cost.device_hours,
        hours=cost.hours,
        money=cost.money,
        bindings=bindings,
        choices=choices,
        spending=spending,
        limits=limits,
    )


def _params_column(fit: Fit) -> str:
    """Return the column that counts params. Raises FitError where a plan can't be made of this law."""
    if not is_loss(fit.target):
        raise FitError(f"a plan needs a law of the loss, and this one speaks of {fit.target}: fit the loss")
    column = next((name for name in fit.inputs if name in ("params", "params_matmul")), None)
    others = sorted(set(fit.inputs) - {column, "tokens", "unique_tokens"})
    if column is None or "tokens" not in fit.inputs or others:
        raise FitError(
            f"a plan needs a law over params and tokens, and the {fit.law} law was fitted on {', '.join(fit.inputs)}: "
            "fit a table with params and tokens that vary apart (law additive or coupled), or ask for a forecast"
        )
    return column


def _edges(spread: Floats, level: float, best: float) -> tuple[float, float]:
    if not len(spread):
        return (float("nan"), float("nan"))
    low, high = np.quantile(spread, [0.5 - level / 2, 0.5 + level / 2])
    return (min(float(low), best), max(float(high), best))


def _rule(fit: Fit, params_column: str) -> str:
    if not fit.seen.has_flops:
        return f"approximated as 6·{params_column}·tokens"
    return f"{fit.seen.flops_factor:.4g}·{params_column}·tokens, as in the table's dearer runs"


def _bindings(run: _Run) -> tuple[Binding, ...]:
    """Return the limits without which the plan would be better, by solving it again without."""
    limits, found = run.question.limits, []
    for of in ("tokens", "params"):
        bound = next((bound for bound in limits.bounds if bound.of == of), None)
        if bound is None:
            continue
        free = run.question.under(limits.without(of)).run()
        loss_cost, flops_cost = run.loss - free.loss, run.total_flops - free.total_flops
        if loss_cost > 1e-6 * run.loss:
            found.append(Binding(bound.name, of, bound.most, loss_cost, 0.0))
        elif run.question.keeps_loss and flops_cost > 1e-4 * run.total_flops:
            found.append(Binding(bound.name, of, bound.most, 0.0, flops_cost))
    return tuple(found)


def _choices(run: _Run, bindings: tuple[Binding, ...], level: float) -> tuple[Choice, ...]:
    """Return what else could be done where text is short, or where inference is counted."""
    question, limits = run.question, run.question.limits
    ways: list[tuple[str, _Run]] = []
    if any(binding.of == "tokens" for binding in bindings):
        for epochs in sorted({1.0, limits.epochs, MOST_EPOCHS}):
            name = "each token once" if epochs == 1 else f"up to {epochs:g} epochs"
            ways.append(
                (name, run if epochs == limits.epochs else question.under(replace(limits, epochs=epochs)).run())
            )
        ways.append(("with text enough", question.under(limits.without("tokens")).run()))
    if limits.inference_tokens is not None:
        ways += [] if ways else [("inference counted", run)]
        ways.append(("inference not counted", _training_alone(run)))
    return tuple(_choice(name, way, way is run, level) for name, way in ways)


def _training_alone(run: _Run) -> _Run:
    """Return the run that reaches the same loss with the least flops of training, within the same limits."""
    question, spent = run.question, run.params * run.tokens
    theta, path = question.fit.solution.theta[None], replace(question.path, served=0.0)
    if question.keeps_loss:
        params = least(question.surface, path, theta)[0]
        return _Run(question, float(params[0]), float(path.tokens(params)[0]))
    between = (min(spent, max(spent / 1e6, 2.0)), spent)
    params, tokens = cheapest(question.surface, path, np.log([run.loss]), theta, between)
    return _Run(question, float(params[0]), float(tokens[0]))


def _choice(name: str, run: _Run, chosen: bool, level: float) -> Choice:
    table = run.question.fit.forecast(run.point, level)
    return Choice(
        name=name,
        chosen=chosen,
        params=run.params,
        tokens=run.tokens,
        epochs=run.epochs,
        loss=float(table["loss"][0]),
        loss_low=float(table["low"][0]),
        loss_high=float(table["high"][0]),
        flops=run.flops,
        inference_flops=run.inference_flops,
        total_flops=run.total_flops,
    )


def _borrows(run: _Run) -> bool:
    """True where repeats are counted by the rule of others."""
    return run.epochs > 1 and "unique_tokens" not in run.question.fit.inputs


def _trust(run: _Run, level: float) -> tuple[str, str]:
    """The forecast's verdict, and a caution more where it rests on what these runs did not show."""
    verdict, why = run.question.fit.trust(run.point, level)
    if not _borrows(run):
        return verdict, why
    caution = f"{run.epochs:.3g} epochs, where no run told what repeats are worth"
    return ("with care", caution) if verdict == "yes" else (verdict, f"{why}; {caution}")


def _warnings(run: _Run, spending: Spending, bindings: tuple[Binding, ...], choices: tuple[Choice, ...]) -> list[str]:
    limits, fit = run.question.limits, run.question.fit
    found = [*_of_ratio(run, bool(bindings))]
    if "unique_tokens" not in fit.inputs and any(each.epochs > 1 for each in choices):
        found.append(
            f"repeats are counted by the rule of Muennighoff et al. (2305.16264) with their constant R* = "
            f"{REPEAT_WORTH:.3g}, which is no part of your law: test it with a small run that repeats its text"
        )
    if run.question.keeps_loss and run.flops > spending.budget * 1.001:
        found.append(
            f"the training takes {run.flops / spending.budget:.3g}× the budget, and inference pays it back; "
            "with lifetime the budget pays for both"
        )
    if spending.price is not None and spending.achieved is None:
        found.append("a price alone gives no cost: give speed too (flop/s that one device achieves)")
    if limits.memory is not None and run.question.params_column == "params_matmul":
        found.append("params_matmul leave out the embedding, and the memory must hold that too")
    spent = run.total_flops if limits.lifetime else run.flops
    if not run.question.keeps_loss and spent < spending.budget * 0.999:
        found.append(f"the limits leave {100 * (1 - spent / spending.budget):.2g}% of the budget unspent")
    return found


def _of_ratio(run: _Run, bound: bool) -> list[str]:
    """Warn where tokens per param lie outside of what the runs had."""
    fit, ratio = run.question.fit, run.tokens / run.params
    if fit.seen.tokens_per_param is None:
        return []
    low, high = fit.seen.tokens_per_param
    if low / OFF_RATIO <= ratio <= high * OFF_RATIO:
        return []
    had = f"{ratio:.3g} tokens per param, where the runs had {low:.3g} to {high:.3g}"
    if bound or run.question.limits.inference_tokens is not None:
        return [f"{had}: the law was not tested there"]
    return [f"the optimum is not bracketed: {had}"]
