"""Does a dictionary help a Chinese question to find an English page, and how much is it to weigh?

Asked are the Chinese questions of Debian's FAQ of the answers of the English one, without the questions above them, and
what manual pages are for, in Chinese, of what they say in English (the rival in each row is the same without glosses).
The choice was made here; benchmarks/search_quality.py judges it on other questions.

    OMP_NUM_THREADS=1 python benchmarks/glosses.py [--json] [--manpages FOLDER] [--work FOLDER]
"""

from __future__ import annotations

import argparse
import gzip
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import faqs
import numpy as np
from kept import Kept
from manual_pages import CHINESE, others, pages
from results import row, tell

from chidu.apps import make_vectors, question_vector, update
from chidu.apps import questions as vectors
from chidu.apps.glosses import glosses
from chidu.index import Embedder, Index
from chidu.inference import open_embedder

SHARES = (0.0, 0.3, 0.5, 0.7)
"""What a question by its glosses weighs in the vector."""


class Set(NamedTuple):
    """Texts by the names of their files, and questions with the file that answers each."""

    texts: dict[str, str]
    asked: list[tuple[str, str]]


def debian() -> Set:
    """Return Debian's FAQ: Chinese questions by their numbers, English answers."""
    answers, places = faqs.entries("debian"), {}
    for at, one in enumerate(answers):
        places.setdefault(_numbers("debian").get(one.question), at)
    numbers = _numbers("debian-zh")
    asked = [
        (one.question, f"{places[numbers[one.question]]:03}.txt")
        for one in faqs.entries("debian-zh")
        if numbers.get(one.question) in places
    ]
    return Set({f"{at:03}.txt": one.answer for at, one in enumerate(answers)}, asked)


def _numbers(name: str) -> dict[str, str]:
    """Return question → its number in the FAQ."""
    text = gzip.decompress((Path("/") / faqs.FAQS[name][2][0]).read_bytes()).decode().replace("\xa0", " ")
    titles = re.finditer(r"^(\d+\.\d+(?:\.\d+)?)\. (\S.*(?:\n\S.*)*)\n", text, flags=re.M)
    found: dict[str, str] = {}
    for one in titles:
        question = re.sub(rf"(?<=[{faqs.WIDE}])\n? *(?=[{faqs.WIDE}])", "", one.group(2))
        found.setdefault(" ".join(question.split()), one.group(1))
    return found


def manual(folder: Path) -> Set:
    """Return manual pages: what they are for in Chinese, what they say in English."""
    known = pages(folder)
    files = [f"{at:03}.txt" for at in range(len(known))]
    texts = {name: f"{one.name}\n{one.said}" for name, one in zip(files, known, strict=True)}
    texts |= {f"other-{at:03}.txt": f"{one.name}\n{one.said}" for at, one in enumerate(others(known))}
    return Set(texts, [(one.purpose, name) for name, one in zip(files, known, strict=True)])


def found(name: str, one: Set, folder: Path, embedder: Kept) -> Iterator[dict[str, Any]]:
    """Yield a row for each way to ask."""
    (folder / name).mkdir()
    for file, text in one.texts.items():
        (folder / name / file).write_text(text, "utf-8")
    update(folder / f"{name}.index", [folder / name])
    make_vectors(folder / f"{name}.index", embedder)
    ways: dict[tuple[bool, float | None], list[int]] = {}
    with Index(folder / f"{name}.index", Embedder(embedder.name, embedder.dimension)) as index:
        for question, right in one.asked:
            meant = glosses(question)
            for share in (None, *SHARES):
                vector = None
                if share is not None:
                    with patch.object(vectors, "GLOSSED", share):
                        vector = question_vector(embedder, question, meant if share else ())
                for by_words in (False, True):
                    hits = index.search(question, vector, glosses=meant if by_words else ()).hits
                    places = list(dict.fromkeys(Path(hit.file).name for hit in hits))
                    ways.setdefault((by_words, share), []).append(places.index(right) + 1 if right in places else 0)
    said = f"{len(one.texts)} texts, {len(one.asked)} questions"
    for (by_words, share), ranks in ways.items():
        rival = np.array(ways[(False, None if share is None else 0.0)])
        ours = np.array(ranks)
        what = f"{name}, glosses {'looked for as words' if by_words else 'not looked for'}, "
        what += "no vectors" if share is None else f"{share:.0%} of the vector"
        for measure, of in (("hit@5", _hit), ("MRR@10", _mean)):
            yield row(
                f"{what}: {measure}", of(ours), of(rival), of(ours) / max(of(rival), 1 / len(ours)), "",
                "%" if measure == "hit@5" else "", said, "without glosses",
            )  # fmt: skip


def _hit(ranks: Any) -> float:
    return 100 * float(np.mean((ranks > 0) & (ranks <= 5)))


def _mean(ranks: Any) -> float:
    return float(np.mean(np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--manpages", type=Path, default=CHINESE, help="a folder of Chinese manual pages")
    parser.add_argument("--work", type=Path, help="a folder that keeps the vectors")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        kept = Kept(open_embedder("e5"), work / "vectors.sqlite")
        sets = (("Debian's FAQ", debian()), ("manual pages", manual(given.manpages)))
        tell((one for name, each in sets for one in found(name, each, Path(temporary), kept)), as_json=given.json)
