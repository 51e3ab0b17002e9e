"""Does `answer` tell questions that documents answer from those that they do not, and does it cite the right place?

The questions are real: the FAQs of Perl, Python and Debian (in English and Chinese), as Debian's packages install them
(perl-doc, python3-doc, debian-faq, debian-faq-zh-cn). A third of a FAQ's entries is taken out of the collection, and
all of its questions are asked; three times, so that each question is once without its answer and twice with it. Each
entry is a file: with its question above it, as it stands in the FAQ, or without, so that it must be found by what it
says. Right is a citation of the question's own entry; another entry that answers as well counts as wrong.

The weights of the judgement were fitted on Python's FAQ and on this folder's questions about Python's library, so what
is told of Perl's and Debian's is what to expect elsewhere. Baselines, in the same run and at the thresholds that are
best for them on what the weights were fitted on: the cosine of the nearest passage, and BM25 of the first.

    OMP_NUM_THREADS=1 python benchmarks/answers.py [--json] [--embedder e5|none] [--faq perl …] [--work FOLDER]
    OMP_NUM_THREADS=1 python benchmarks/answers.py --fit [--faq python library] --weights FILE

--fit writes weights, fitted on the FAQs that are named. With --work vectors are kept there. One core makes some
passages a second: a first run takes half an hour.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from faqs import FAQS, entries
from kept import Kept
from results import row, tell
from search_quality import passages, questions

from chidu.apps import make_vectors, search, sentences, update
from chidu.apps.judgement import AGAINST, FEATURES, LOOKED_AT, WORDS, cited, features, judgement_for
from chidu.apps.supporting import borne_out_by
from chidu.index import Found
from chidu.inference import open_embedder
from chidu.inference.embedding import Embedder

Array = np.ndarray[Any, np.dtype[Any]]

FOLDS = 3
SMALL = (1, 2, 4, 8, 16, 32)
"""Files of the small collections that are fitted on too: documents that come with a request are few."""
FITTED_ON = ("python", "library")
KEPT_OUT = ("perl", "debian", "debian-zh")


class Asked(NamedTuple):
    """A question, and the files that answer it; none where they are not in the collection."""

    question: str
    right: frozenset[str]


class Collection(NamedTuple):
    """Files, and questions about them."""

    name: str
    files: dict[str, str]
    """Name → text."""
    asked: list[Asked]


def collections(name: str, heading: bool, source: random.Random) -> Iterator[Collection]:
    """Yield what is asked of a FAQ: three times a third of its entries is not there."""
    if name == "library":
        texts = passages()
        files = {f"{key}.jsonl": json.dumps({"title": key, "text": text}) for key, text in texts.items()}
        found = questions(texts)
        asked = [Asked(one[place], frozenset(f"{key}.jsonl" for key in one[0])) for one in found for place in (1, 2)]
    else:
        told = list(enumerate(entries(name)))
        ending = "md" if heading else "txt"
        files = {
            f"{at:03}.{ending}": f"# {one.question}\n\n{one.answer}\n" if heading else one.answer for at, one in told
        }
        asked = [Asked(one.question, frozenset([f"{at:03}.{ending}"])) for at, one in told]
    groups = sorted({one.right for one in asked}, key=sorted)
    source.shuffle(groups)
    for fold in range(FOLDS):
        gone = frozenset().union(*groups[fold::FOLDS])
        yield Collection(
            f"{name}-{'with' if heading else 'without'}-{fold}",
            {key: text for key, text in files.items() if key not in gone},
            [Asked(one.question, one.right - gone) for one in asked],
        )


def small(whole: Collection, source: random.Random) -> Iterator[Collection]:
    """Yield a few files for each question that is answered: with its answer and without."""
    for number, one in enumerate([one for one in whole.asked if one.right][::2]):
        others = source.sample(sorted(set(whole.files) - one.right), SMALL[number % len(SMALL)])
        for right in ([*sorted(one.right)][:1], []):
            kept = [*right, *others[len(right) :]]
            if kept:
                name = f"{whole.name}-small-{number}-{len(right)}"
                yield Collection(name, {key: whole.files[key] for key in kept}, [Asked(one.question, frozenset(right))])


def index_of(one: Collection, folder: Path, embedder: Embedder | None) -> Path:
    """Write a collection's files and index them."""
    texts, index = folder / one.name / "texts", folder / one.name / "index"
    texts.mkdir(parents=True, exist_ok=True)
    for name, text in one.files.items():
        (texts / name).write_text(text, "utf-8")
    update(index, [texts])
    if embedder is not None:
        make_vectors(index, embedder)
    return index


class Told(NamedTuple):
    """What came of a question."""

    answerable: bool
    confidence: float
    answered: bool
    first_right: bool
    """The first citation is from the question's entry."""
    right: bool
    """One of the citations is."""
    cosine: float
    bm25: float
    nearest_right: bool
    """The passage with the highest cosine is from the entry."""
    bm25_right: bool


def ask(one: Collection, index: Path, embedder: Embedder | None) -> Iterator[Told]:
    """Ask all of a collection's questions, as `answer_from` does up to the quoting."""
    for asked in one.asked:
        judgement = judgement_for(embedder.name if embedder else None, asked.question)
        found = search(index, asked.question, embedder, top=LOOKED_AT, by_dictionary=False).found
        is_right = [Path(hit.file).name in asked.right for hit in found.hits] or [False]
        chances = judgement.probabilities(asked.question, found, found.hits)
        order = cited(chances)
        confidence = float(chances[order].sum())
        cosines = [-2.0 if hit.cosine is None else hit.cosine for hit in found.hits] or [-2.0]
        scores = [hit.words_score or 0.0 for hit in found.hits] or [0.0]
        yield Told(
            bool(asked.right), confidence, confidence >= judgement.threshold, bool(order) and is_right[order[0]],
            any(is_right[each] for each in order), max(cosines), max(scores),
            is_right[cosines.index(max(cosines))], is_right[scores.index(max(scores))],
        )  # fmt: skip


def f1(given: Array, wanted: Array) -> float:
    """Return F1 of what was given against what was wanted."""
    return float(2 * (given & wanted).sum() / max(1, given.sum() + wanted.sum()))


def area(scores: Array, is_so: Array) -> float:
    """Return the area under the ROC curve: the chance that one that is so scores above one that is not."""
    if is_so.all() or not is_so.any():
        return float("nan")
    order = np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 1.0
    for value in np.unique(scores):
        order[scores == value] = order[scores == value].mean()
    ours, theirs = int(is_so.sum()), int((~is_so).sum())
    return float((order[is_so].sum() - ours * (ours + 1) / 2) / (ours * theirs))


def best_threshold(scores: Array, answerable: Array, right: Array) -> float:
    """Return the score from which on to answer, so that the mean F1 of right answers and of none is highest."""
    tried = np.unique(np.quantile(scores, np.linspace(0, 1, 201)))
    gains = [
        2 * (right & (scores >= one)).sum() / ((scores >= one).sum() + answerable.sum()) + f1(scores < one, ~answerable)
        for one in tried
    ]
    return float(tried[int(np.argmax(gains))])


def table(told: Sequence[Told]) -> dict[str, Array]:
    """Return columns of what came of questions."""
    return {name: np.array([getattr(one, name) for one in told]) for name in Told._fields}


# The fit: a conditional logit, by gradient descent on standardised features with a ridge.


class Row(NamedTuple):
    """What the search tells of a question, and which of its passages are right."""

    passages: Array
    against: Array
    right: Array


class Seen(NamedTuple):
    """A question and what the search found."""

    asked: Asked
    found: Found


def look(one: Collection, index: Path, embedder: Embedder | None) -> Iterator[Seen]:
    """Yield what is found for each question of a collection."""
    for asked in one.asked:
        found = search(index, asked.question, embedder, top=LOOKED_AT, by_dictionary=False).found
        if found.hits:
            yield Seen(asked, found)


def as_row(one: Seen, by_vectors: bool) -> Row:
    """Return what the judgement sees of a question."""
    hits = one.found.hits
    rows, against = features(one.asked.question, one.found, hits, by_vectors=by_vectors)
    return Row(rows, against, np.array([Path(hit.file).name in one.asked.right for hit in hits])[: len(rows)])


def fit(rows: Sequence[Row], ridge: float = 1.0, steps: int = 4_000) -> tuple[Array, Array]:
    """Return the weights of a passage's features, and of what speaks for none."""
    most = max(len(one.passages) for one in rows)
    stacked = np.concatenate([one.passages for one in rows])
    mean, spread = stacked.mean(0), stacked.std(0) + 1e-9
    against = np.stack([one.against[:-1] for one in rows])
    level, width = against.mean(0), against.std(0) + 1e-9
    against = np.c_[(against - level) / width, np.ones(len(rows))]
    scaled = np.zeros((len(rows), most, stacked.shape[1]))
    there, right = np.zeros((len(rows), most), bool), np.zeros((len(rows), most + 1), bool)
    for at, one in enumerate(rows):
        scaled[at, : len(one.passages)] = (one.passages - mean) / spread
        there[at, : len(one.passages)] = True
        right[at, : len(one.right)] = one.right
        right[at, -1] = not one.right.any()
    features = stacked.shape[1]
    weights = np.zeros(features + against.shape[1])
    momentum = np.zeros_like(weights)
    held = np.r_[np.full(len(weights) - 1, ridge), 0.0]
    for _ in range(steps):
        scores = np.c_[np.where(there, scaled @ weights[:features], -np.inf), against @ weights[features:]]
        chance = np.exp(scores - scores.max(1, keepdims=True))
        wanted = np.where(right, chance, 0)
        gap = chance / chance.sum(1, keepdims=True) - wanted / wanted.sum(1, keepdims=True)
        slope = np.r_[np.einsum("qp,qpf->f", gap[:, :-1], scaled), gap[:, -1] @ against] + held * weights
        momentum = 0.9 * momentum - 0.3 * slope / len(rows)
        weights += momentum
    passage, none = weights[:features] / spread, weights[features:]
    none[:-1] /= width
    none[-1] += passage @ mean - none[:-1] @ level
    return passage, none


def confidences(rows: Sequence[Row], passage: Array, none: Array) -> tuple[Array, Array]:
    """Return what `answer` would call its confidence, and whether what it would cite is right."""
    found, right = [], []
    for one in rows:
        scores = np.append(one.passages @ passage, one.against @ none)
        chance = np.exp(scores - scores.max())
        chance = chance[:-1] / chance.sum()
        order = cited(chance)
        found.append(chance[order].sum())
        right.append(one.right[order].any())
    return np.array(found), np.array(right)


def write_weights(options: argparse.Namespace, work: Path, embedder: Embedder | None) -> None:
    """Fit on what is named, with vectors and without, and write the weights."""
    names = options.faq or FITTED_ON
    lines = [
        "# Whether a passage answers a question: the weights of judgement.py, of our own making.",
        f"# Fitted by benchmarks/answers.py --fit on: {', '.join(names)}; see docs/answer.md.",
    ]
    for way, model in [*([(embedder.name, embedder)] if embedder else []), (WORDS, None)]:
        source = random.Random(0)
        whole: list[Seen] = []
        few: list[Seen] = []
        for name in names:
            for heading in (True,) if name == "library" else (True, False):
                for one in collections(name, heading, source):
                    whole += look(one, index_of(one, work, model), model)
                    if name != "library" and one.name.endswith("-0"):
                        for part in small(one, source):
                            few += look(part, index_of(part, work, model), model)
        rows = [as_row(one, way != WORDS) for one in (*whole, *few)]
        passage, none = fit(rows)
        answerable = np.array([bool(one.asked.right) for one in (*whole, *few)])
        said, right = confidences(rows, passage, none)
        threshold = best_threshold(said, answerable, right)
        lines += ["", f"[{way}]", f"threshold = {threshold:.3f}", f"questions = {len(rows)}"]
        for part, keys, values in (("passage", FEATURES, passage), ("none", AGAINST, none)):
            lines += ["", f"[{way}.{part}]"]
            lines += [f"{key} = {value:.5g}" for key, value in zip(keys, values, strict=False)]
    options.weights.write_text("\n".join(lines) + "\n", "utf-8")


def judged(options: argparse.Namespace, work: Path, embedder: Embedder | None) -> Iterator[dict[str, Any]]:
    """Yield what came of the questions that are judged."""
    way = embedder.name if embedder else WORDS
    told: list[Told] = []
    for heading in (True, False):
        one = next(collections("python", heading, random.Random(0)))
        told += ask(one, index_of(one, work, embedder), embedder)
    both = table(told)
    for name in options.faq or KEPT_OUT:
        for heading in (True, False):
            told = [
                each
                for one in collections(name, heading, random.Random(0))
                for each in ask(one, index_of(one, work, embedder), embedder)
            ]
            what = f"{name}, {way}, questions {'above' if heading else 'taken off'} the answers"
            yield from compared(what, table(told), both)
        yield from invented(name, random.Random(0))


def compared(what: str, found: dict[str, Array], fitted: dict[str, Array]) -> Iterator[dict[str, Any]]:
    """Yield the figures of a FAQ beside those of both baselines."""
    wanted = found["answerable"]
    ours = figures(wanted, found["answered"], found["right"], found["confidence"])
    note = f"{len(wanted)} questions, {int((~wanted).sum())} of them without an answer"
    for score, right in (("cosine", "nearest_right"), ("bm25", "bm25_right")):
        if score == "cosine" and found["cosine"].max() < -1:
            continue  # words alone: there are no cosines
        given = found[score] >= best_threshold(fitted[score], fitted["answerable"], fitted[right])
        theirs = figures(wanted, given, found[right], found[score])
        for name, mine in ours.items():
            ratio = (mine + 1e-9) / (theirs[name] + 1e-9)
            better = 1 / ratio if name in LESS else ratio
            yield row(f"{what}: {name}", mine, theirs[name], better, REACH.get(name, ""), "", note, f"by {score}")
    first = float(found["first_right"][found["answered"]].mean())
    yield row(f"{what}: first citation from the right entry", first, 1.0, first, "", "", note, "all")
    right, said = found["right"], found["confidence"]
    brier, flat = float(((said - right) ** 2).mean()), float(right.mean() * (1 - right.mean()))
    yield row(f"{what}: Brier score of the confidence", brier, flat, flat / brier, "", "", note, "the mean, always")
    for low in np.arange(0, 1, 0.2):
        part = (said >= low) & (said < low + 0.2 + (low > 0.7))
        if part.any():
            mean, share = float(said[part].mean()), float(right[part].mean())
            told = f"{what}: right where the confidence is {low:.1f} to {low + 0.2:.1f}"
            yield row(told, share, mean, 1 - abs(share - mean), "", "", f"{int(part.sum())} questions", "said")


def invented(name: str, source: random.Random) -> Iterator[dict[str, Any]]:
    """Yield how many sentences of an entry three other entries are said to bear out."""
    told = entries(name)
    passed = []
    for one in told:
        said = [each.text for each in sentences(one.answer) if len(each.text) > 20]
        others = [each.answer[:1_000] for each in source.sample([each for each in told if each is not one], 3)]
        if said:
            whole = [each for text in others for each in sentences(text)]
            passed.append(borne_out_by(source.choice(said), whole) is not None)
    share, note = float(np.mean(passed)), f"{sum(passed)} of {len(passed)} sentences, of three other entries"
    yield row(f"{name}: sentences of elsewhere called supported", share, 1.0, 1 / max(share, 1e-9), "", "", note, "all")


REACH = {"F1 of what has an answer": "0.75", "answers from the right entry": "0.9"}
LESS = ("answers to what has none", "no answer to what has one")
"""Figures of which less is better."""


def figures(wanted: Array, given: Array, right: Array, score: Array) -> dict[str, float]:
    """Return how well it was told which questions have an answer, and which passages answer."""
    return {
        "F1 of what has an answer": f1(given, wanted),
        "F1 of what has none": f1(~given, ~wanted),
        "area under the ROC curve": area(score, wanted),
        "answers from the right entry": float(right[given].mean()),
        "answers to what has none": float((given & ~wanted).sum() / (~wanted).sum()),
        "no answer to what has one": float((~given & wanted).sum() / wanted.sum()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--embedder", default="e5")
    parser.add_argument("--faq", nargs="+", choices=[*FAQS, "library"])
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--weights", type=Path, help="a file for the weights")
    parser.add_argument("--work", type=Path, help="a folder that keeps the vectors")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        kept = given.work or Path(temporary)
        kept.mkdir(parents=True, exist_ok=True)
        model = None if given.embedder == "none" else Kept(open_embedder(given.embedder), kept / "vectors.sqlite")
        if given.fit:
            write_weights(given, Path(temporary), model)
        else:
            tell(judged(given, Path(temporary), model), as_json=given.json)
