"""The Transformers beside the log-linear models: of three sizes, read with contexts cut short, and asked small tasks.

**Read.** As a log-linear model reads the last |N| words, a Transformer is given these alone, anew for every context: of
the last half of each held-out sequence some contexts, spread evenly. At the widest |N| it reads all that stands before.

**Asked.** The tasks of `limits`, each item after so many tokens of an unrelated held-out text, which an end of text
closes: the prompt is the same; what changes is how much stands before. The answers' own likelihood, which is taken off,
is that after the same tokens.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chidu.parallel import Emit
from chidu.runs.config import RunConfig
from chidu.runs.record import fingerprint, read_json, write_json
from chidu.studies.study import Means
from chidu.training.rungs import TRUNK, WEIGHTS, Rung, Text, run_path, train_ladder

if TYPE_CHECKING:
    from torch import Tensor

    from chidu.evaluation.tasks import Item
    from chidu.model.transformer import Transformer
    from chidu.runs.run import Run

__all__ = ["WIDTHS", "besides", "measuring_tokens"]

WIDTHS = (24, 48, 96)
CONTEXTS = 1024
"""Of the held-out text, that every model is read at."""
ITEMS, LEAST_ITEMS = 24, 8
"""Of each task."""
BEFORE = (0, 64, 256, 896)
"""Tokens of another text before a prompt: with the longest prompt of 128 tokens the most that a context of 1,024
holds."""
LONGEST = 128
"""Tokens of a prompt with its answer."""
TEXTS = 8
"""Unrelated texts; each stands before an eighth of the items."""
AT_ONCE_TOKENS = 8192
"""Read in one pass."""

Ask = tuple[str, str, tuple[str, ...]]
"""Task, prompt and answers."""


@dataclass(frozen=True)
class Measure:
    """One trained model, and what it is measured on. What a worker is sent."""

    run: Run
    folder: Path
    text: Text
    windows: tuple[int, ...]
    items: tuple[Ask, ...]

    @property
    def finished(self) -> Path:
        """The file that is there when it is measured."""
        return self.folder / "beside.json"


def besides(means: Means, configs: list[RunConfig], windows: tuple[int, ...]) -> list[dict[str, Any]]:
    """Train the Transformers and measure them; return a row for each model and window, and for each item asked."""
    rungs = []
    for config in configs:
        name = f"beside-{fingerprint([config.as_dict(), means.fingerprint])[:12]}"
        rungs.append(Rung(name, name, config))
        if not (means.folder / name / WEIGHTS).exists():
            run_path(means.folder, name).unlink(missing_ok=True)
    means.tell(0.0, "training the Transformers beside")
    done = Counted(len(rungs), lambda part: means.tell(0.8 * part, "training the Transformers beside"))
    runs = train_ladder(rungs, means.text, means.folder, done.steps(rungs), means.place, keep_weights=True)
    for rung in rungs:
        shutil.rmtree(means.folder / f"{rung.group}{TRUNK}", ignore_errors=True)
    items = clean_items(means)
    work = [Measure(run, means.folder / run.name, means.text, windows, items) for run in runs]
    missing = [each for each in work if not each.finished.exists()]
    means.place.map(_measure, missing, lambda _index, _event: means.tell(0.9, "reading and asking the Transformers"))
    return [row for each in work for row in read_json(each.finished)["rows"]]


class Counted:
    """The part of all steps that is done."""

    def __init__(self, runs: int, tell: Callable[[float], None]) -> None:
        self.runs, self.tell = runs, tell
        self.reached: dict[str, float] = {}

    def steps(self, rungs: list[Rung]) -> Callable[[str, Any], None]:
        """Return what hears of the steps of these runs."""
        lengths = {rung.group: rung.config.steps for rung in rungs}

        def hear(group: str, event: Any) -> None:
            self.reached[group] = event.step / lengths[group]
            self.tell(sum(self.reached.values()) / self.runs)

        return hear


def clean_items(means: Means) -> tuple[Ask, ...]:
    """Return the items that the training text does not hold, of tasks with enough of them."""
    from chidu.evaluation.contamination import found_in_text
    from chidu.evaluation.tasks import make_items

    made = make_items(ITEMS, means.seed, means.corpus / "held_out.jsonl")
    known = found_in_text([item.trace for item in made], means.corpus / "train.jsonl", means.place)
    clean = [item for item in made if item.trace not in known]
    enough = Counter(item.task for item in clean)
    return tuple((item.task, item.prompt, item.choices) for item in clean if enough[item.task] >= LEAST_ITEMS)


def measuring_tokens(windows: tuple[int, ...], held_out_tokens: int) -> int:
    """Return about how many tokens a model reads as it is measured."""
    asked = 7 * ITEMS * 6 * LONGEST // 2 * len(BEFORE)
    return CONTEXTS * sum(windows[:-1]) + held_out_tokens + asked


def _measure(work: Measure, emit: Emit) -> None:
    """Read and ask one model. Runs in a worker."""
    import torch

    from chidu.evaluation.tasks import Item
    from chidu.tokens import TokenFile
    from chidu.training.loop import trained_model

    torch.set_num_threads(1)
    config, length = work.run.config, work.run.config.shape.context_length
    model = trained_model(config, work.folder / WEIGHTS)
    held_out = TokenFile.open(work.text.held_out)
    sequences = np.concatenate(list(held_out.held_out_batches(length, work.text.held_out_tokens)))
    common = {"trained": length, "seed": config.seed, "params": config.shape.params, "tokens": config.tokens}
    rows: list[dict[str, Any]] = [
        {"model": "transformer", "theta": "", **common, "read": window, **read_at(model, sequences, window)}
        for window in work.windows
    ]
    items = [Item(*each) for each in work.items]
    rows += [
        {"model": "asked", "theta": "", **common, **row}
        for row in asked(model, items, sequences, work.text.train.parent / "tokenizer.json")
    ]
    write_json(work.finished, {"rows": rows})
    emit(work.run.name)


def read_at(model: Transformer, sequences: NDArray[np.int64], window: int) -> dict[str, float]:
    """Return loss, entropy (nats) and Jensen–Shannon distance from the average distribution, of a context cut to
    `window` words; means over CONTEXTS contexts of the last halves of the sequences [S, T + 1]."""
    import torch

    from chidu.studies.average import distances, entropies

    with torch.inference_mode():
        log_chances, targets = (torch.cat(each) for each in zip(*_read(model, sequences, window), strict=True))
        chances = log_chances.exp()
        return {
            "loss": -float(log_chances.gather(1, targets[:, None]).mean()),
            "entropy": float(entropies(chances).mean()),
            "distance": float(distances(chances, chances.mean(dim=0)).mean()),
        }


def contexts(sequences: int, length: int) -> list[tuple[int, int]]:
    """Return sequence and place of the last word read, of contexts spread evenly over the last halves."""
    half = length // 2
    each = max(1, min(half, CONTEXTS // sequences))
    places = half + (np.arange(each) * half) // each + half // (2 * each)
    return [(sequence, int(place)) for sequence in range(sequences) for place in np.minimum(places, length - 1)]


def _read(model: Transformer, sequences: NDArray[np.int64], window: int) -> list[tuple[Tensor, Tensor]]:
    """Return log-probabilities [n, V], float64, and targets [n] of the contexts, pass by pass."""
    import torch

    tokens, length = torch.from_numpy(sequences), sequences.shape[1] - 1
    chosen = contexts(*sequences[:, 1:].shape)
    found = []
    if window >= length:
        for number in range(len(tokens)):
            places = [place for sequence, place in chosen if sequence == number]
            features = model.features(tokens[number : number + 1, :-1], keep=False)[0][0, places]
            found.append((model.head(features).double().log_softmax(dim=-1), tokens[number, [p + 1 for p in places]]))
        return found
    at_once = max(1, AT_ONCE_TOKENS // window)
    for first in range(0, len(chosen), at_once):
        part = chosen[first : first + at_once]
        read = torch.stack([tokens[sequence, place + 1 - window : place + 1] for sequence, place in part])
        features = model.features(read, keep=False)[0][:, -1]
        after = torch.stack([tokens[sequence, place + 1] for sequence, place in part])
        found.append((model.head(features).double().log_softmax(dim=-1), after))
    return found


def asked(model: Transformer, items: list[Item], sequences: NDArray[np.int64], tokenizer: Path) -> list[dict[str, Any]]:
    """Return a row for each item and number of tokens before it; `read` are all tokens that stand before the answer."""
    from chidu.evaluation.scoring import ask, score_items
    from chidu.tokens.bpe import END_OF_TEXT_ID, load_tokenizer

    told = ask(items, load_tokenizer(tokenizer), min(LONGEST, model.shape.context_length))
    rows = []
    for before in BEFORE:
        if before + LONGEST > model.shape.context_length and before:
            continue
        for number in range(min(TEXTS, len(sequences))):
            own = range(number, len(items), min(TEXTS, len(sequences)))
            text = [token for token in sequences[number].tolist() if token != END_OF_TEXT_ID][:before]
            if not own:
                continue
            scored = score_items(model, [told[place] for place in own], text)
            for place, ((score, right), _) in zip(own, scored.tolist(), strict=True):
                tokens, answer = told[place].answers[0]
                rows.append({"task": items[place].task, "item": place, "before": before,
                             "read": before + len(tokens) - answer, "answers": len(items[place].choices),
                             "score": score, "right": right})  # fmt: skip
    return rows
