"""`limits`: do small tasks come with scale, and do they come smoothly?

Models of several sizes, all trained on the same tokens, are asked the same items (`chidu.evaluation.tasks`). An item's
score is the log-probability of the right answer among those shown, what each is likely of itself taken off
(`chidu.evaluation.scoring`): it can move smoothly where a count of right answers jumps (Schaeffer, Miranda and Koyejo,
2304.15004). The effect is the slope of the mean score, each task weighted alike, per tenfold params. Items that stand
in the training text are left out and counted.

Where the table holds several lengths of each model, each task has a law in params and tokens, and is asked whether it
is above chance at any size and length (`reach.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chidu.errors import TableError
from chidu.parallel import Emit
from chidu.runs.ladder import Ladder
from chidu.runs.run import Run
from chidu.studies.reach import Answered, Reach, reach_of
from chidu.studies.slopes import Line, bend_chance, slope_of
from chidu.studies.study import Models, Seeds, Study
from chidu.studies.verdict import Verdict
from chidu.units import count_of, format_count

__all__ = ["LIMITS", "Scores", "gather"]

Floats = NDArray[np.float64]

ITEMS = 48
"""Of each task."""
LEAST_MODELS, LEAST_SIZES, LEAST_ITEMS = 6, 4, 8
LUCK = 0.05
"""Chance, over all tasks together, that a straight line is called bent."""


@dataclass(frozen=True)
class Scores:
    """What every model scored on every item."""

    params: Floats
    """(models,)"""
    tokens: float
    values: Floats
    """(models, items) log-probability of the right answer among its answers, nats"""
    right: Floats
    """(models, items) 1 where the right answer is the likeliest"""
    tasks: tuple[str, ...]
    """Names of tasks."""
    task_of: NDArray[np.int64]
    """(items,) place in `tasks`"""
    answers: Floats
    """(items,) answers shown"""


def gather(table: Ladder, length: float | None = None, way: str = "") -> Scores:
    """Gather models and items of a table with `params, tokens, seed, task, item, score, right`.

    At so many tokens (the most), from the columns of score and right whose names end with `way`. Raises TableError
    where a column is missing, a model was not asked every item, or there are too few of either.
    """
    params, tokens = table.numbers("params"), table.numbers("tokens")
    score, right = (table.numbers(name + way, positive=False) for name in ("score", "right"))
    length = tokens.max() if length is None else length
    answers = table.numbers("answers") if "answers" in table else np.full(len(table), np.nan)
    for name in ("task", "item", "seed"):
        if name not in table:
            raise TableError(f"{table.source}: no column {name!r}: which rows are of one {name}, it must say")
    if score.max() > 1e-9:
        raise TableError(f"{table.source}: score is {score.max():g} in some row; log-probabilities are 0 at the most")
    kept = np.flatnonzero(tokens == length)
    task, seed = (table.columns[name].astype(str)[kept] for name in ("task", "seed"))
    named = np.char.add(np.char.add(task, "\t"), table.columns["item"].astype(str)[kept])
    models, of_model = np.unique(np.column_stack([params[kept].astype(str), seed]), axis=0, return_inverse=True)
    items, first, of_item = np.unique(named, return_index=True, return_inverse=True)
    cells = of_model.ravel() * len(items) + of_item.ravel()
    if len(np.unique(cells)) != len(cells) or len(cells) != len(models) * len(items):
        raise TableError(
            f"{table.source}: {len(models)} models and {len(items)} items are {len(models) * len(items)} rows, "
            f"not {len(cells)}: each model must be asked each item once"
        )
    order = np.argsort(cells)
    shaped = (len(models), len(items))
    tasks, task_of = np.unique(task[first], return_inverse=True)
    found = Scores(
        params=params[kept][order].reshape(shaped)[:, 0],
        tokens=float(length),
        values=score[kept][order].reshape(shaped),
        right=right[kept][order].reshape(shaped),
        tasks=tuple(map(str, tasks)),
        task_of=task_of.ravel().astype(np.int64),
        answers=answers[kept][first],
    )
    check(found, table.source)
    return found


def check(scores: Scores, source: str) -> None:
    """Raise TableError where models or items are too few for a slope and its interval."""
    sizes = len(np.unique(scores.params))
    if len(scores.params) < LEAST_MODELS or sizes < LEAST_SIZES:
        raise TableError(
            f"{source}: {count_of(len(scores.params), 'model')} of {count_of(sizes, 'size')}; "
            f"the study needs {LEAST_MODELS} models of {LEAST_SIZES} sizes"
        )
    for name, count in zip(scores.tasks, np.bincount(scores.task_of), strict=True):
        if count < LEAST_ITEMS:
            raise TableError(f"{source}: task {name!r} has {count_of(int(count), 'item')}; it needs {LEAST_ITEMS}")


def judge(study: Study, table: Ladder, seed: int) -> Verdict:
    """Return the verdict on a table of scores."""
    scores = gather(table)
    decades = np.log10(scores.params)
    found = slope_of(decades, scores.values, scores.task_of, study.level)
    own = [of_task(scores, place, study.level, seed) for place in range(len(scores.tasks))]
    reach = reaches(table, scores, study.level)
    return study.concluded(
        found.value,
        found.low,
        found.high,
        meaning=meaning(scores, own, found.value) + _reach_words(reach),
        runs=len(scores.params),
        rows=[{name: value for name, value in each.items() if name != "curve"} for each in own],
        findings={
            "tokens": scores.tokens,
            "items": len(scores.task_of),
            "models_error": found.models_error,
            "items_error": found.items_error,
            "curves": {each["task"]: each["curve"] for each in own},
            "reach": [each.as_dict() for each in reach],
            **whole(table, study.level),
        },
        notes=(*table.notes, *notes(found.models_error, found.items_error)),
    )


def reaches(table: Ladder, longest: Scores, level: float) -> list[Reach]:
    """Return each task's law in params and tokens, and whether it is above chance anywhere.

    Of the lengths at which the same models were asked; none where there is one alone, or the answers are not counted.
    """
    lengths = np.unique(table.numbers("tokens")).tolist()
    if len(lengths) < 2 or not np.isfinite(longest.answers).all():
        return []
    each = [gather(table, length) for length in lengths]
    if any(not np.array_equal(one.params, longest.params) or one.values.shape != longest.values.shape for one in each):
        return []
    found = []
    for place, task in enumerate(longest.tasks):
        chosen = longest.task_of == place
        answered = Answered(
            task,
            longest.params,
            np.array(lengths),
            np.array([one.values[:, chosen] for one in each]),
            np.array([one.right[:, chosen] for one in each]),
            float((1 / longest.answers[chosen]).mean()),
        )
        found.append(reach_of(answered, level, len(longest.tasks)))
    return found


def whole(table: Ladder, level: float) -> dict[str, Any]:
    """Return the effect where answers are compared by their whole log-likelihood, if the table has that too."""
    if "score_whole" not in table:
        return {}
    scores = gather(table, way="_whole")
    found = slope_of(np.log10(scores.params), scores.values, scores.task_of, level)
    return {
        "whole": {"effect": found.value, "low": found.low, "high": found.high,
                  "models_error": found.models_error, "items_error": found.items_error}
    }  # fmt: skip


def _reach_words(reach: Sequence[Reach]) -> str:
    """Say what the tokens do, and which tasks stay at chance at any number of them."""
    if not reach:
        return ""
    more = [each.task for each in reach if each.by_tokens.low > 0]
    never = [
        f"{each.task} ({100 * each.last.high:.0f}%, {100 * each.chance:.0f}%)"
        for each in reach
        if not each.is_above_chance
    ]
    first, last = reach[0].cells[0].tokens, reach[0].cells[-1].tokens
    return (
        f" From {format_count(first)} to {format_count(last)} tokens surely rising with tokens: "
        f"{', '.join(more) or 'none'}. Not told to be above chance at any size and length seen here"
        + (" (of right answers the most that the interval allows at the largest size, and chance): " if never else ": ")
        + f"{', '.join(never) or 'none'}."
    )


def of_task(scores: Scores, place: int, level: float, seed: int) -> dict[str, Any]:
    """Return a task's row: its law, its ends, and whether its curve is bent."""
    chosen = scores.task_of == place
    decades, values = np.log10(scores.params), scores.values[:, chosen]
    found = slope_of(decades, values, np.zeros(int(chosen.sum()), dtype=np.int64), level)
    mean = values.mean(axis=1)
    line, chance = Line.of(decades, mean), bend_chance(decades, mean, seed)
    is_bent = chance is not None and chance < LUCK / len(scores.tasks)
    sizes = np.unique(scores.params)
    at = [scores.params == size for size in sizes]
    right = scores.right[:, chosen].mean(axis=1)
    answers = scores.answers[chosen]
    return {
        "task": scores.tasks[place],
        "items": int(chosen.sum()),
        "chance_percent": 100 * float((1 / answers).mean()) if np.isfinite(answers).all() else "",
        "smallest_percent": 100 * float(right[at[0]].mean()),
        "largest_percent": 100 * float(right[at[-1]].mean()),
        "slope": found.value,
        "low": found.low,
        "high": found.high,
        "curve_is": "not told" if chance is None else "bent" if is_bent else "straight",
        "curve": [
            {"params": float(size), "score": float(mean[rows].mean()), "line": line.at(math.log10(size)),
             "right_percent": 100 * float(right[rows].mean())}
            for size, rows in zip(sizes, at, strict=True)
        ],
    }  # fmt: skip


def notes(models_error: float, items_error: float) -> tuple[str, ...]:
    """Say what limits the interval."""
    what = "more items, not more models," if items_error > models_error else "more seeds or sizes, not more items,"
    return (f"{what} would narrow the interval most",)


def meaning(scores: Scores, own: Sequence[dict[str, Any]], effect: float) -> str:
    """Return the paragraph for people."""
    ordered = sorted(own, key=lambda each: each["slope"])
    best, worst = ordered[-1], ordered[0]
    rising = [each["task"] for each in own if each["low"] > 0]
    falling = [each["task"] for each in own if each["high"] < 0]
    bent = [each["task"] for each in own if each["curve_is"] == "bent"]
    said = (
        f"From {format_count(scores.params.min())} to {format_count(scores.params.max())} params, all trained on "
        f"{format_count(scores.tokens)} tokens, ten times the params multiply the probability of the right answer by "
        f"{math.exp(effect):.2f}, tasks weighted alike. Best grows {best['task']} (by {math.exp(best['slope']):.2f}; "
        f"{best['smallest_percent']:.0f}% right at the smallest size, {best['largest_percent']:.0f}% at the largest), "
        f"least {worst['task']} (by {math.exp(worst['slope']):.2f}; {worst['smallest_percent']:.0f}% and "
        f"{worst['largest_percent']:.0f}%). "
    )
    said += f"Surely rising: {', '.join(rising) or 'none'}; surely falling: {', '.join(falling) or 'none'}. "
    if all(each["curve_is"] == "not told" for each in own):
        return said + "With one seed a size nobody can tell a jump from luck."
    if not bent:
        return said + "In log-likelihood no curve is farther off a straight line than seeds explain: no sign of a jump."
    return said + f"Off a straight line by more than seeds explain: {', '.join(bent)}."


def measure(models: Models) -> Ladder:
    """Ask the models of all lengths all items, and return the scores; items that the training text holds are left out,
    and a note counts them."""
    from chidu.evaluation.contamination import found_in_text
    from chidu.evaluation.tasks import make_items

    models.tell(0.0, "looking for the items in the training text")
    made = make_items(ITEMS, models.seed, models.corpus / "held_out.jsonl")
    known = found_in_text([item.trace for item in made], models.corpus / "train.jsonl", models.place)
    clean = [item for item in made if item.trace not in known]
    enough = Counter(item.task for item in clean)
    items = [item for item in clean if enough[item.task] >= LEAST_ITEMS]
    asked = [(item.task, item.prompt, item.choices) for item in items]
    pairs = list(zip(models.runs, models.weights, strict=True))
    work = [(run, str(path), str(models.tokens / "tokenizer.json"), asked) for run, path in pairs]
    models.tell(0.2, "asking the models")
    done = 0

    def on_event(_index: int, _event: object) -> None:
        nonlocal done
        done += 1
        models.tell(0.2 + 0.8 * done / len(work), "asking the models")

    scored = models.place.map(_score, work, on_event)
    rows: dict[str, list[Any]] = {
        name: []
        for name in ("params", "tokens", "seed", "task", "item", "answers", "score", "right", "score_whole",
                     "right_whole")
    }  # fmt: skip
    for (run, _), values in zip(pairs, scored, strict=True):
        for number, (item, (own, whole)) in enumerate(zip(items, values, strict=True)):
            cells = (run.config.shape.params, run.config.tokens, run.config.seed, item.task, number,
                     len(item.choices), *own, *whole)  # fmt: skip
            for name, cell in zip(rows, cells, strict=True):
                rows[name].append(cell)
    return Ladder(rows, "scores", notes=_said(Counter(item.task for item in made), enough))


def _said(made: Counter[str], clean: Counter[str]) -> tuple[str, ...]:
    """Say which items are left out."""
    from chidu.evaluation.tasks import TASKS

    found = []
    dropped = {task: made[task] - clean[task] for task in made if made[task] > clean[task]}
    if dropped:
        told = ", ".join(f"{task} {count}" for task, count in dropped.items())
        found.append(f"items left out because the training text holds them: {told}")
    few = [task for task in TASKS if clean[task] < LEAST_ITEMS]
    if few:
        found.append(f"tasks left out for want of items: {', '.join(few)}")
    return tuple(found)


def _score(work: tuple[Run, str, str, list[tuple[str, str, tuple[str, ...]]]], emit: Emit) -> list[list[list[float]]]:
    """Score one model. Runs in a worker."""
    import torch

    from chidu.evaluation.scoring import ask, score_items
    from chidu.evaluation.tasks import Item
    from chidu.tokens.bpe import load_tokenizer
    from chidu.training.loop import trained_model

    torch.set_num_threads(1)
    run, weights, path, asked = work
    tokenizer = load_tokenizer(Path(path))
    items = ask([Item(*each) for each in asked], tokenizer, run.config.shape.context_length)
    found: list[list[list[float]]] = score_items(trained_model(run.config, Path(weights)), items).tolist()
    emit(run.name)
    return found


LIMITS = Study(
    name="limits",
    claim="the larger the model, the better it does small tasks that nobody taught it, tokens being equal",
    statistic=(
        "nats that the right answer's log-probability among its answers, their own likelihood taken off, gains per "
        "tenfold params, mean of tasks"
    ),
    threshold=0.05,
    why="ten times the params make the right answer 5% likelier",
    level=0.9,
    judge=judge,
    seeds=Seeds(least=2, wanted=3, most=8),
    measure=measure,
    measure_seconds=120.0,
)
