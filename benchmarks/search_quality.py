"""Does search find what a question asks for: words (BM25), vectors, and both, on what Python's library says of itself.

The passages are docstrings of the standard library's functions, classes and methods (their first 400 characters, under
their names). The questions, beside this file in search_questions.tsv, were written for it by one person from the names,
in English and in Chinese; each asks for one object. A hit at 5 is a passage of that object, or of another that the row
accepts, among the first five. BM25 is this index by words alone, in the same run. Of Chinese questions, all of whose
passages are English, it is told too what is found without the dictionary (CC-CEDICT), and by the dictionary alone.

    OMP_NUM_THREADS=1 python benchmarks/search_quality.py [--json] [--embedder e5] [--work FOLDER]

With --work the vectors are kept there, and an interrupted run goes on. One core makes some passages a second.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import inspect
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from results import row, tell

from chidu.apps import make_vectors, question_vector, update
from chidu.apps.glosses import glosses_for
from chidu.index import Embedder, Index
from chidu.inference import open_embedder

MODULES = """
argparse array ast asyncio base64 bisect bz2 calendar cmath codecs collections concurrent.futures configparser
contextlib copy csv ctypes dataclasses datetime decimal difflib dis email.message enum filecmp fileinput fnmatch
fractions ftplib functools gc getpass gettext glob gzip hashlib heapq hmac html http.client http.cookies imaplib
importlib inspect io ipaddress itertools json keyword linecache locale logging lzma mailbox math mimetypes mmap
multiprocessing operator os os.path pathlib pickle pkgutil platform plistlib poplib pprint profile queue quopri
random re sched secrets select shelve shlex shutil signal site smtplib socket sqlite3 ssl stat statistics string
struct subprocess sys sysconfig tarfile tempfile textwrap threading time timeit token tokenize trace traceback
tracemalloc types typing unicodedata unittest unittest.mock urllib.parse urllib.request uuid venv warnings wave
weakref webbrowser xml.etree.ElementTree zipfile zlib zoneinfo builtins
"""
QUESTIONS = Path(__file__).with_name("search_questions.tsv")
LONGEST, SHORTEST = 400, 60
WAYS = ("words", "vectors", "both", "glossed", "whole")
"""BM25; cosines; both; BM25 of what a dictionary says; both with the dictionary, as `search` does."""


def passages() -> dict[str, str]:
    """Return name → docstring of the library's public objects; of equal docstrings the first."""
    found: dict[str, str] = {}
    seen: set[str] = set()

    def take(name: str, thing: Any) -> None:
        text = (inspect.getdoc(thing) or "").strip()[:LONGEST]
        if len(text) >= SHORTEST and text not in seen:
            seen.add(text)
            found[name] = text

    for module in MODULES.split():
        for name, thing in sorted(vars(importlib.import_module(module)).items()):
            if name.startswith("_") or inspect.ismodule(thing) or not callable(thing):
                continue
            take(f"{module}.{name}", thing)
            if inspect.isclass(thing):
                for inner, member in sorted(vars(thing).items()):
                    if not inner.startswith("_"):
                        take(f"{module}.{name}.{inner}", member)
    return found


def questions(known: dict[str, str]) -> list[tuple[set[str], str, str]]:
    """Return what each question accepts, and the question in English and in Chinese."""
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        rows = [
            (set(accepted.split()), english, chinese) for accepted, english, chinese in csv.reader(file, "excel-tab")
        ]
    for accepted, english, _ in rows:
        if not accepted <= known.keys():
            raise SystemExit(f"{english}: this Python's library has no docstring of {accepted - known.keys()}")
    return rows


def rank(hits: Any, accepted: set[str]) -> int:
    """Return the place of the first passage that is accepted, 0 where none is among those found."""
    return next((place for place, hit in enumerate(hits, 1) if hit.heading in accepted), 0)


def rows(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what is measured."""
    texts = passages()
    asked = questions(texts)
    lines = folder / "library.jsonl"
    lines.write_text("\n".join(json.dumps({"title": name, "text": text}) for name, text in texts.items()), "utf-8")
    update(folder / "index", [lines])
    embedder = open_embedder(options.embedder)
    make_vectors(folder / "index", embedder, lambda _, words: print(f"vectors: {words}", end="\r", file=sys.stderr))
    with Index(folder / "index", Embedder(embedder.name, embedder.dimension)) as index:
        for language, place in (("English", 1), ("Chinese", 2)):
            ranks: dict[str, list[int]] = {way: [] for way in WAYS}
            for one in asked:
                vector, words = question_vector(embedder, one[place]), index.search(one[place])
                meant = glosses_for(one[place], words)
                found = {
                    "words": words,
                    # No passage has the word U+0001: that ranking is the vectors' alone.
                    "vectors": index.search("\u0001", vector),
                    "both": index.search(one[place], vector),
                    "glossed": index.search(one[place], glosses=meant),
                    "whole": index.search(one[place], question_vector(embedder, one[place], meant), glosses=meant),
                }
                for way in WAYS:
                    ranks[way].append(rank(found[way].hits, one[0]))
            yield from compared(
                language, {way: np.array(one) for way, one in ranks.items()}, options.embedder, len(texts)
            )


def compared(language: str, ranks: dict[str, Any], embedder: str, count: int) -> Iterator[dict[str, Any]]:
    """Yield hit@5 in per cent and the mean reciprocal rank at 10 of vectors and of both, beside BM25's."""
    told = f"{count:,} passages, {len(ranks['words'])} questions"
    reach = "BM25 + 20 points" if language == "English" else "65"
    hit = {way: 100 * float(np.mean((found > 0) & (found <= 5))) for way, found in ranks.items()}
    mean = {way: float(np.mean(np.where(found > 0, 1 / np.maximum(found, 1), 0))) for way, found in ranks.items()}
    said = {
        "vectors": embedder, "both": f"{embedder} and BM25", "glossed": "BM25 by the dictionary",
        "whole": f"{embedder} and BM25, with the dictionary",
    }  # fmt: skip
    for way in WAYS[1:] if language == "Chinese" else WAYS[1:3]:
        what = f"{language}, {said[way]}"
        for name, found, unit, wanted in (("hit@5", hit, "%", reach), ("MRR@10", mean, "", "")):
            # Where BM25 finds nothing, one question stands for it.
            least = (100 if unit else 1) / len(ranks["words"])
            ratio = found[way] / max(found["words"], least)
            yield row(f"{what}: {name}", found[way], found["words"], ratio, wanted, unit, told, "BM25")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--embedder", default="e5")
    parser.add_argument("--work", type=Path, help="a folder that keeps the vectors")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        tell(rows(given, work), as_json=given.json)
