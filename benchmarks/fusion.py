"""What to take off a question's vector, and what cosines are to weigh beside BM25: chosen on FAQs.

Every question of the FAQs of Perl, Python and Debian (see faqs.py) is asked of all answers of its FAQ, without the
questions above them. Told is the mean reciprocal rank at 10, over the FAQs, for each share of the mean question that is
taken off and each share of cosines; the rival is the fusion of the two rankings by Σ 1 / (60 + rank), with all of the
mean taken off. benchmarks/search_quality.py judges what was chosen here on other questions.

    OMP_NUM_THREADS=1 python benchmarks/fusion.py [--json] [--work FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from faqs import FAQS, entries
from kept import Kept
from results import row, tell

from chidu.apps import embed_all, make_vectors, update
from chidu.apps.questions import mean_question
from chidu.corpus import is_chinese
from chidu.index import Embedder, Index
from chidu.inference import open_embedder

OFF = (0.0, 0.25, 0.5, 0.75, 1.0)
SHARES = (0.7, 0.8, 0.9, 0.95, 1.0)
DEPTH = 100


def by_ranks(words: Mapping[str, float], vectors: Mapping[str, float]) -> dict[str, float]:
    """Return Σ 1 / (60 + rank)."""
    found = dict.fromkeys((*words, *vectors), 0.0)
    for ranking in (words, vectors):
        for rank, one in enumerate(sorted(ranking, key=lambda key: -ranking[key]), 1):
            found[one] += 1 / (60 + rank)
    return found


def by_scores(words: Mapping[str, float], vectors: Mapping[str, float], share: float) -> dict[str, float]:
    """Return the sum that `chidu.index.ranking.fuse` makes, for any share of cosines."""
    lowest = min(vectors.values(), default=0.0)
    keys = (*words, *vectors)
    return {one: share * vectors.get(one, lowest) + (1 - share) * words.get(one, 0.0) for one in keys}


def reciprocal(scores: Mapping[str, float], right: str) -> float:
    """Return 1 / the rank of the first passage of the right file among ten, else 0."""
    order = sorted(scores, key=lambda one: -scores[one])[:10]
    return next((1 / rank for rank, one in enumerate(order, 1) if one.startswith(right)), 0.0)


def ranks(name: str, folder: Path, embedder: Kept) -> dict[tuple[float, float | None], float]:
    """Return the mean reciprocal rank for each share taken off and each share of cosines; None is by ranks."""
    told = entries(name)
    texts = folder / name
    texts.mkdir()
    for number, one in enumerate(told):
        (texts / f"{number:03}.txt").write_text(one.answer, "utf-8")
    update(folder / f"{name}.index", [texts])
    make_vectors(folder / f"{name}.index", embedder)
    found: dict[tuple[float, float | None], list[float]] = {}
    with Index(folder / f"{name}.index", Embedder(embedder.name, embedder.dimension)) as index:
        for number, one in enumerate(told):
            own = embed_all(embedder, [one.question], "query")[0]
            mean = mean_question(embedder, chinese=is_chinese(one.question))
            said = index.search(one.question, most=DEPTH)
            most = sum(said.rarities.values()) or 1.0
            words = {f"{hit.file}:{hit.first_line}": (hit.words_score or 0.0) / most for hit in said.hits}
            right = f"{texts / f'{number:03}.txt'}:"
            for off in OFF:
                # No passage has the word U+0001: that ranking is the vectors' alone.
                near = index.search("\u0001", own - off * mean, most=DEPTH).hits
                vectors = {f"{hit.file}:{hit.first_line}": hit.cosine or 0.0 for hit in near}
                for share in SHARES:
                    scores = by_scores(words, vectors, share)
                    found.setdefault((off, share), []).append(reciprocal(scores, right))
                found.setdefault((off, None), []).append(reciprocal(by_ranks(words, vectors), right))
    return {key: float(np.mean(one)) for key, one in found.items()}


def rows(folder: Path, embedder: Kept) -> Iterator[dict[str, Any]]:
    """Yield a row for each pair of shares."""
    told = {name: ranks(name, folder, embedder) for name in FAQS}
    rival = float(np.mean([one[(1.0, None)] for one in told.values()]))
    for off in OFF:
        for share in SHARES:
            ours = float(np.mean([one[(off, share)] for one in told.values()]))
            note = ", ".join(f"{name} {one[(off, share)]:.3f}" for name, one in told.items())
            what = f"{off:.0%} of the mean off, cosines {share:.0%}: MRR@10"
            yield row(what, ours, rival, ours / rival, "", "", note, "fusion of ranks")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", type=Path, help="a folder that keeps the vectors")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        kept = Kept(open_embedder("e5"), work / "vectors.sqlite")
        tell(rows(Path(temporary), kept), as_json=given.json)
