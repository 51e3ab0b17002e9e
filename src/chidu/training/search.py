"""Optuna's search for a recipe at one width: rates, batch, falling part and depth; runs far behind end early."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import MissingPackageError
from chidu.parallel import Emit, map_processes
from chidu.runs.recipe import Recipe
from chidu.runs.record import read_json
from chidu.training import tuning_plan
from chidu.training.sweep import Attempt, train_attempt
from chidu.training.tuning_plan import FACTORS, PARTS, TuningPlan, config_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["Tried", "search"]

BATCHES = (1, 2, 4)
"""Times the recipe's own. Smaller ones win by the flop and lose by the minute: each step has a price of its own, which
flops do not count (LOG.md)."""


@dataclass(frozen=True)
class Tried:
    """One attempt of the search."""

    changes: dict[str, Any]
    """What differs from the recipe."""
    loss: float
    """Where it ended, nats per token of unread text."""
    finished: bool
    """False where it ended early."""


def space(recipe: Recipe) -> dict[str, BaseDistribution]:
    """Return what is searched, by the recipe's names."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    rates = ("learning_rate", "embedding_learning_rate", "head_learning_rate")
    return {
        **{
            name: FloatDistribution(getattr(recipe, name) * FACTORS[0], getattr(recipe, name) * FACTORS[-1], log=True)
            for name in rates
        },
        "batch_tokens": CategoricalDistribution([times * recipe.batch_tokens for times in BATCHES]),
        "decay_fraction": FloatDistribution(0.1, 0.6),
        "least_layers": IntDistribution(2, 4),
    }


def search(
    plan: TuningPlan, recipe: Recipe, train: Path, folder: Path, on_done: Callable[[], None] = lambda: None
) -> list[Tried]:
    """Let Optuna choose `rounds` × `at_once` recipes (the default first) and train each at one width.

    Finished attempts stand in ``folder/study.db``, a study that Optuna's own tools open. A round is chosen by what the
    rounds before it gave and by the seed alone, so a search that was killed goes on and ends as it would have.
    Raises MissingPackageError without optuna.
    """
    optuna = _optuna()
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{(folder / 'study.db').absolute()}", study_name="recipe", load_if_exists=True
    )
    for number in range(plan.rounds):
        before = study.trials[: number * plan.at_once]
        chosen = _choose(plan, recipe, before, number)
        items = [
            Searched(
                Attempt(
                    folder / "search" / f"{len(before) + place:04d}.json",
                    config_of(recipe, _changes(recipe, found), tuning_plan.WIDTHS[-2], plan.steps, plan.seed),
                    train,
                    plan.judged_tokens,
                ),
                tuple(before),
                plan.at_once,
            )
            for place, found in enumerate(chosen)
        ]
        missing = [item for item in items if not item.attempt.done]
        for _ in range(len(items) - len(missing)):
            on_done()
        map_processes(_search_one, missing, plan.workers, lambda _, __: on_done())
        made = [_trial(recipe, found, read_json(item.attempt.path)) for found, item in zip(chosen, items, strict=True)]
        # Where an earlier call was killed as it added them, the study holds some of this round already.
        study.add_trials(made[len(study.trials) - len(before) :])
    return [
        Tried(
            _changes(recipe, each.params),
            float(each.user_attrs["loss"]),
            each.state == optuna.trial.TrialState.COMPLETE,
        )
        for each in study.trials[: plan.rounds * plan.at_once]
    ]


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError("optuna", "tune", "searching a recipe") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _choose(plan: TuningPlan, recipe: Recipe, before: Sequence[FrozenTrial], number: int) -> list[dict[str, Any]]:
    """Return the params of one round: a function of the seed, the round and what came before it."""
    optuna = _optuna()
    sampler = optuna.samplers.TPESampler(
        seed=plan.seed + 7919 * number, n_startup_trials=2 * plan.at_once, constant_liar=True
    )
    study: Study = optuna.create_study(sampler=sampler)
    study.add_trials(before)
    if number == 0:
        study.enqueue_trial({name: getattr(recipe, name) for name in space(recipe)})
    return [dict(study.ask(space(recipe)).params) for _ in range(plan.at_once)]


def _changes(recipe: Recipe, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs from the recipe, to three figures: nobody knows a rate more closely."""
    rounded = {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in params.items()}
    return {name: value for name, value in rounded.items() if value != getattr(recipe, name)}


def _trial(recipe: Recipe, params: dict[str, Any], result: Mapping[str, Any]) -> FrozenTrial:
    optuna = _optuna()
    states = optuna.trial.TrialState
    made: FrozenTrial = optuna.trial.create_trial(
        state=states.COMPLETE if result["finished"] else states.PRUNED,
        value=result["loss"] if result["finished"] else None,
        params=params,
        distributions=space(recipe),
        intermediate_values=dict(enumerate(result["on_the_way"], 1)),
        user_attrs={"loss": result["loss"], "steps": result["steps"]},
    )
    return made


@dataclass(frozen=True)
class Searched:
    """An attempt of the search, and what it is compared with on the way."""

    attempt: Attempt
    before: tuple[FrozenTrial, ...]
    """What the rounds before it gave."""
    least: int
    """Finished attempts below which nothing ends early."""


def _search_one(item: Searched, emit: Emit) -> None:
    import torch

    torch.set_num_threads(1)
    optuna = _optuna()
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=item.least))
    study.add_trials(item.before)
    asked = study.ask()

    def pruned(part: int, loss: float) -> bool:
        asked.report(loss, part)
        return bool(asked.should_prune())

    train_attempt(item.attempt, PARTS, pruned)
    emit(1)
