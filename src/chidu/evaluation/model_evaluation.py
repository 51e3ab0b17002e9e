"""What is known of one model: its loss on texts that were held out, its scores on small tasks, how it leans.

Each of the three is kept as soon as it is there, so that an evaluation that was killed goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import WorkFolderError
from chidu.evaluation.bias import LIMITS, BiasScore, bias_scores
from chidu.evaluation.held_out_text import TextLoss, text_loss
from chidu.evaluation.task_scores import TaskScore, task_scores
from chidu.evaluation.tasks import TASKS, Item
from chidu.inference.identity import model_identity
from chidu.runs.record import fingerprint, read_json, write_json
from chidu.units import format_bytes, format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chidu.inference import Engine

__all__ = ["ModelEvaluation", "evaluate_model"]

Progress = Callable[[str, float, str], None]
"""Told what is at work, how far it is, 0 to 1, and words."""

_FORMAT = 1
"""Of what is kept: another one is measured anew."""


@dataclass(frozen=True)
class ModelEvaluation:
    """One model's losses, scores and leans. Prints itself."""

    model: str
    params: int | None
    """None where that is not known here."""
    texts: tuple[TextLoss, ...]
    tasks: tuple[TaskScore, ...]
    bias: tuple[BiasScore, ...]
    limits: tuple[str, ...] = LIMITS
    """What the measure of bias cannot tell."""

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            "model": self.model,
            "params": self.params,
            "texts": [one.as_dict() for one in self.texts],
            "tasks": [one.as_dict() for one in self.tasks],
            "bias": [one.as_dict() for one in self.bias],
            "limits": list(self.limits),
        }

    def __str__(self) -> str:
        known = "params not known" if self.params is None else f"{format_count(self.params)} params"
        lines = [f"{self.model}: {known}", ""]
        lines += ["held-out text         loss  bits per byte   90% low  90% high", "-" * 61]
        for text in self.texts:
            lines.append(
                f"{text.name:<20}  {text.loss:4.3f}  {text.bits_per_byte:13.3f}  {text.low:8.3f}  {text.high:8.3f}  "
                f"({format_bytes(text.bytes)})"
            )
        lines += ["", "task        items  right  chance   90% low  90% high", "-" * 52]
        for task in self.tasks:
            lines.append(
                f"{task.task:<10}  {task.items:5}  {task.score:5.0%}  {task.chance:6.0%}  {task.low:8.0%}  "
                f"{task.high:8.0%}  {task.verdict}"
            )
        lines += ["", "leans, nats     language   lean   90% low  90% high  templates", "-" * 63]
        for lean in self.bias:
            lines.append(
                f"{lean.kind:<14}  {lean.language:<8}  {lean.lean:+5.2f}  {lean.low:+8.2f}  {lean.high:+8.2f}  "
                f"{lean.templates:9}  {lean.verdict}"
            )
        lines += ["", "What the leans cannot tell:", *(f"- {each}" for each in self.limits)]
        return "\n".join(lines)


def evaluate_model(
    name: str,
    open_model: Callable[[], Engine],
    texts: Mapping[str, str],
    items: Sequence[Item],
    folder: Path | None,
    seed: int = 0,
    progress: Progress | None = None,
) -> ModelEvaluation:
    """Measure a model on texts (name → text), on items of the small tasks, and on the templates of bias.

    ``open_model`` is called where something is not kept in ``folder`` yet. Raises TextError for an empty text,
    InputError where the model can't weigh texts, WorkFolderError where what is kept is damaged.
    """
    tell = progress or (lambda _what, _done, _words: None)
    opened: list[Engine] = []

    def engine() -> Engine:
        if not opened:
            opened.append(open_model())
        return opened[0]

    identity = model_identity(name)

    def kept(what: str, told: Any, make: Callable[[], Any]) -> Any:
        place = None
        if folder is not None:
            place = folder / f"{what}-{fingerprint([_FORMAT, identity, what, told, seed])[:16]}.json"
            if place.exists():
                return read_json(place)
        made = make()
        tell(what, 1.0, "")
        if place is not None:
            write_json(place, made)
        return made

    def measured() -> dict[str, Any]:
        return {"model": engine().name, "params": getattr(engine(), "params", None)}

    who = kept("model", "", measured)
    losses = [
        kept(f"text-{number}", [title, text], partial(_loss, engine, title, text, seed, tell))
        for number, (title, text) in enumerate(texts.items())
    ]
    asked = [[one.task, one.prompt, one.choices] for one in items]
    scores = kept("tasks", asked, lambda: [one.as_dict() for one in task_scores(engine(), items, _of(tell, "tasks"))])
    leans = kept("bias", "", lambda: [one.as_dict() for one in bias_scores(engine(), seed, _of(tell, "bias"))])
    try:
        return ModelEvaluation(
            who["model"], who["params"],
            tuple(_as(TextLoss, one) for one in losses),
            tuple(sorted((_as(TaskScore, one) for one in scores), key=lambda one: list(TASKS).index(one.task))),
            tuple(_as(BiasScore, one) for one in leans),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise WorkFolderError(f"{folder} holds another version's results ({error}): delete it to redo them") from error


def _of(tell: Progress, what: str) -> Callable[[float, str], None]:
    return lambda done, words: tell(what, done, words)


def _loss(engine: Callable[[], Engine], title: str, text: str, seed: int, tell: Progress) -> dict[str, Any]:
    return text_loss(engine(), title, text, seed, _of(tell, "text")).as_dict()


def _as(kind: Any, values: Mapping[str, Any]) -> Any:
    """Return a result from its JSON, in which what is not known is null."""
    names = [field.name for field in fields(kind)]
    return kind(**{name: float("nan") if values[name] is None else values[name] for name in names})
