"""Applications judged with models: scores with intervals beside a plain baseline, and their law against params.

Each measure's interval is over the items, drawn again and again; whether a model is better than the baseline is told by
the interval of the difference, on the same drawings. A measure of which less is better (bits per byte) has no baseline.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from chidu.apps.judging.asking import BASELINES, Subject, ask_baseline, asked, open_subject
from chidu.apps.judging.metrics import bleu, chrf, exact_and_f1, ranking_scores, rouge_l
from chidu.apps.judging.pairs import Pairs
from chidu.apps.judging.size_law import SizeLaw, size_law
from chidu.apps.keeping import KeptPieces
from chidu.errors import InputError
from chidu.evaluation.resampling import interval, resampled
from chidu.inference.identity import model_identity
from chidu.runs.record import fingerprint, read_json, write_json
from chidu.units import format_count

__all__ = ["BITS", "BITS_CHINESE", "CSV_COLUMNS", "MAIN", "AppsJudged", "Refused", "Score", "judge_apps"]

Array = np.ndarray[Any, np.dtype[Any]]
Item = Mapping[str, Any]
Statistic = Callable[[Array], float]
Progress = Callable[[str, float, str], None]
"""Told what is at work, how far it is, 0 to 1, and words."""

MAIN = {"summarize": "rouge_l", "translate": "chrf", "answer": "has_answer_f1", "search": "mrr"}
"""The measure that stands for each application. Of answers that of the questions that have one: who says nothing is
right about all others."""
BITS, BITS_CHINESE = "bits_per_byte", "bits_per_byte_zh"
"""Of the right text, after what the model was given; of Chinese apart, which many a model was never taught."""
CSV_COLUMNS = ("model", "params", "app", "measure", "score", "low", "high", "baseline", "verdict", "items", "error")
_RESAMPLES = 400
_FORMAT = 1
"""Of what is kept: another one is asked anew."""


@dataclass(frozen=True)
class Score:
    """What a model scores at an application, by one measure."""

    model: str
    params: int | None
    app: str
    measure: str
    score: float
    """0 to 1, more is better; bits per byte, less is better."""
    low: float
    high: float
    """90% interval, over items."""
    baseline: float | None
    """What the baseline scores on the same items; None for bits per byte."""
    difference_low: float | None
    difference_high: float | None
    """90% interval of score less baseline."""
    items: int
    drawn: tuple[float, ...] = field(repr=False)
    """The score on items drawn again and again, the same drawings for every model."""

    @property
    def verdict(self) -> str:
        """In words: better than the baseline, worse, or that it can't be told."""
        if self.difference_low is None or self.difference_high is None:
            return ""
        if self.difference_low > 0:
            return "better than the baseline"
        if self.difference_high < 0:
            return "worse than the baseline"
        same = self.difference_low == self.difference_high == 0
        return "the same as the baseline" if same else "cannot be told from the baseline"

    @property
    def error(self) -> float:
        """What a law is fitted to: 1 - score, or bits per byte."""
        return self._error(self.score)

    @property
    def drawn_errors(self) -> tuple[float, ...]:
        """The errors on the items drawn."""
        return tuple(map(self._error, self.drawn))

    def _error(self, score: float) -> float:
        return score if self.measure in (BITS, BITS_CHINESE) else 1 - score

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        found = {**asdict(self), "verdict": self.verdict, "error": self.error}
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value for name, value in found.items()
        }


@dataclass(frozen=True)
class Refused:
    """A model that can't do an application, and why."""

    model: str
    app: str
    why: str


@dataclass(frozen=True)
class AppsJudged:
    """Applications judged with models. Prints itself."""

    scores: tuple[Score, ...]
    refused: tuple[Refused, ...]
    laws: tuple[SizeLaw, ...]
    pairs: Mapping[str, str]
    """Application → where its pairs came from, with their number."""

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            "pairs": dict(self.pairs),
            "baselines": {app: BASELINES[app] for app in self.pairs},
            "scores": [one.as_dict() for one in self.scores],
            "refused": [asdict(one) for one in self.refused],
            "laws": [one.as_dict() for one in self.laws],
        }

    def csv(self) -> str:
        """Return the scores as a table that `chidu fit` reads; an empty cell where params are not known."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(CSV_COLUMNS)
        for one in self.scores:
            values = one.as_dict()
            table.writerow("" if values[name] is None else values[name] for name in CSV_COLUMNS)
        return text.getvalue()

    def __str__(self) -> str:
        lines: list[str] = []
        for app, told in self.pairs.items():
            lines += [f"{app}: {told}; baseline: {BASELINES[app]}", ""]
            lines += [*_table([one for one in self.scores if one.app == app]), ""]
            lines += [f"{one.model}: not judged: {one.why}" for one in self.refused if one.app == app]
            lines += [str(one) for one in self.laws if one.app == app]
            lines += [""]
        return "\n".join(lines).rstrip("\n")


def _table(scores: Sequence[Score]) -> list[str]:
    rows: list[tuple[str, ...]] = [("model", "params", "measure", "score", "90% low", "90% high", "baseline", "")]
    rows += [_cells(one) for one in scores]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place in (0, 2, 7) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def _cells(one: Score) -> tuple[str, ...]:
    size = "" if one.params is None else format_count(one.params)
    beside = "" if one.baseline is None else f"{one.baseline:.3f}"
    return (one.model, size, one.measure, f"{one.score:.3f}", f"{one.low:.3f}", f"{one.high:.3f}", beside, one.verdict)


def judge_apps(
    models: Sequence[str], pairs: Sequence[Pairs], folder: Path | None, seed: int = 0, progress: Progress | None = None
) -> AppsJudged:
    """Judge applications with each model, on these pairs; what each model made of them is kept in ``folder``.

    Nothing that is kept there, of the same model and pairs, is made again: not a whole part, and not a single item of
    one that was stopped. ``seed`` is that of the intervals. Raises what opening a model raises, when its turn comes
    (what others made is kept by then); a model that can't do an application is told under `refused`.
    """
    tell = progress or (lambda _what, _done, _words: None)
    scores: list[Score] = []
    refused: list[Refused] = []
    plain = {each.app: ask_baseline(each) for each in pairs}
    for name in models:
        subject: Subject | None = None
        for each in pairs:
            place = _place(folder, name, each)
            kept = read_json(place) if place is not None and place.exists() else None
            if kept is None:
                subject = subject or open_subject(name)
                items = KeptPieces(place and place.with_suffix(".jsonl"))
                kept = _cell(each, subject, items, tell)
                if place is not None:
                    write_json(place, kept)
                items.forget()
            if kept["refused"]:
                refused.append(Refused(kept["model"], each.app, kept["refused"]))
            else:
                scores += _scores(each, kept, plain[each.app], seed)
    told = {each.app: f"{len(each)} items of {each.source}" for each in pairs}
    return AppsJudged(tuple(scores), tuple(refused), tuple(_laws(scores, [each.app for each in pairs])), told)


def _place(folder: Path | None, name: str, pairs: Pairs) -> Path | None:
    """Return where it is kept what a model made of some pairs."""
    if folder is None:
        return None
    key = fingerprint([_FORMAT, model_identity(name), pairs.app, pairs.digest])
    return folder / f"{pairs.app}-{key[:16]}.json"


def _cell(pairs: Pairs, subject: Subject, kept: KeptPieces, tell: Progress) -> dict[str, Any]:
    """Return what a model made of an application's pairs, or why it can't."""
    what = f"{subject.name}: {pairs.app}"
    made: dict[str, Any] = {"model": subject.name, "params": subject.params, "refused": "", "items": []}
    try:
        made["items"] = list(asked(pairs, subject, lambda done, words: tell(what, done, words), kept))
    except InputError as error:
        made["refused"] = " ".join(str(error).split())
    tell(what, 1.0, "")
    return made


def _scores(pairs: Pairs, kept: Mapping[str, Any], plain: Sequence[Item], seed: int) -> list[Score]:
    ours, theirs = _measures(pairs, kept["items"]), _measures(pairs, plain)
    return [_score(kept, pairs, name, statistic, theirs.get(name), seed) for name, statistic in ours.items()]


def _score(
    kept: Mapping[str, Any], pairs: Pairs, name: str, statistic: Statistic, other: Statistic | None, seed: int
) -> Score:
    items = len(pairs)
    whole = np.arange(items)
    own = resampled(statistic, items, seed, _RESAMPLES)
    low, high = interval(own[np.isfinite(own)]) if np.isfinite(own).any() else (math.nan, math.nan)
    score = Score(
        kept["model"],
        kept["params"],
        pairs.app,
        name,
        statistic(whole),
        low,
        high,
        None,
        None,
        None,
        items,
        tuple(own.tolist()),
    )
    if other is None:
        return score
    gaps = own - resampled(other, items, seed, _RESAMPLES)
    low, high = interval(gaps[np.isfinite(gaps)])
    return replace(score, baseline=other(whole), difference_low=low, difference_high=high)


def _measures(pairs: Pairs, items: Sequence[Item]) -> dict[str, Statistic]:
    """Return the measures of an application over places of items, its main one first."""
    found = _OF_APP[pairs.app](pairs, items)
    for name, chinese in ((BITS, False), (BITS_CHINESE, True)):
        places = [place for place, one in enumerate(items) if one.get("nats") is not None and one["chinese"] == chinese]
        if places:
            found[name] = _bits(items, places)
    return found


def _bits(items: Sequence[Item], weighed: Sequence[int]) -> Statistic:
    """Return bits per byte over the items that were weighed."""
    nats, sizes = np.zeros(len(items)), np.zeros(len(items))
    nats[list(weighed)] = [items[place]["nats"] for place in weighed]
    sizes[list(weighed)] = [items[place]["bytes"] for place in weighed]

    def bits(places: Array) -> float:
        total = sizes[places].sum()
        return float(nats[places].sum() / total / math.log(2)) if total else math.nan

    return bits


def _mean(values: Sequence[float]) -> Statistic:
    array = np.array(values, float)
    return lambda places: float(array[places].mean())


def _of_summaries(pairs: Pairs, items: Sequence[Item]) -> dict[str, Statistic]:
    found = [rouge_l(pair.summary, one["said"]) for pair, one in zip(pairs.texts, items, strict=True)]
    measures = {"rouge_l": _mean(found)}
    if all("unsupported" in one for one in items):
        measures["borne_out"] = _mean([float(bool(one["said"]) and not one["unsupported"]) for one in items])
    return measures


def _of_translations(pairs: Pairs, items: Sequence[Item]) -> dict[str, Statistic]:
    right, said = [one.target for one in pairs.sentences], [str(one["said"]) for one in items]
    measures: dict[str, Statistic] = {
        "chrf": lambda places: chrf([right[place] for place in places], [said[place] for place in places])
    }
    for language in dict.fromkeys(one.target_language for one in pairs.sentences):
        into = {place for place, one in enumerate(pairs.sentences) if one.target_language == language}

        def of(places: Array, into: set[int] = into, language: str = language) -> float:
            own = [place for place in places.tolist() if place in into]
            return bleu([right[place] for place in own], [said[place] for place in own], language) if own else math.nan

        measures[f"bleu_{language}"] = of
    return measures


def _of_answers(pairs: Pairs, items: Sequence[Item]) -> dict[str, Statistic]:
    both = [exact_and_f1(one.answers, item["said"]) for one, item in zip(pairs.questions, items, strict=True)]
    has = np.array([bool(one.answers) for one in pairs.questions])
    given = np.array([bool(one["said"]) for one in items])

    def answerability(places: Array) -> float:
        wanted, told = has[places], given[places]
        return float(2 * (wanted & told).sum() / max(1, wanted.sum() + told.sum()))

    scores = np.array([f1 for _, f1 in both])

    def of_answers(places: Array) -> float:
        own = scores[places][has[places]]
        return float(own.mean()) if len(own) else math.nan

    return {
        "has_answer_f1": of_answers, "f1": _mean([f1 for _, f1 in both]), "exact": _mean([exact for exact, _ in both]),
        "answerability_f1": answerability,
    }  # fmt: skip


def _of_searches(pairs: Pairs, items: Sequence[Item]) -> dict[str, Statistic]:
    rows = [ranking_scores(item["ranked"], one.documents) for one, item in zip(pairs.questions, items, strict=True)]
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


_OF_APP: Mapping[str, Callable[[Pairs, Sequence[Item]], dict[str, Statistic]]] = {
    "summarize": _of_summaries,
    "translate": _of_translations,
    "answer": _of_answers,
    "search": _of_searches,
}


def _laws(scores: Sequence[Score], apps: Sequence[str]) -> list[SizeLaw]:
    """Return the law of each application's main measure, and of its bits per byte, against params."""
    return [
        size_law(app, measure, own)
        for app in apps
        for measure in (MAIN[app], BITS, BITS_CHINESE)
        if (own := [one for one in scores if (one.app, one.measure) == (app, measure)])
    ]
