"""Chidu's trace of a corpus against infini-gram, and its nearest passages against bm25s.

The corpus is the text of the installed packages' Python files, cut into documents of 4,000 characters. Texts of 1 kB
are looked up, half of each copied from it. infini-gram gets the same bytes (its tokens are bytes here) and the same
shortest span; both name the documents. Where the corpus is small, spans are compared with a search through all of it.
Times are of the processor, medians over the texts; the making's counts its children.

    OMP_NUM_THREADS=1 python benchmarks/trace.py [--json] [--sizes 10 100]

Needs pip install infini-gram tqdm bm25s (the extra `bench`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import site
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from infini_gram.engine import InfiniGramEngine
from results import row, tell

from chidu.corpus import Document
from chidu.index import Trace, build_trace, words

TEXTS, ROUNDS, SHORTEST = 40, 3, 32
SMALL = 20
"""MB of a corpus that is searched through to check the spans."""


def documents(most: int) -> list[str]:
    """Return so many bytes of the installed packages' Python files, in documents of 4,000 characters."""
    found, size = list[str](), 0
    for folder in site.getsitepackages():
        for path in sorted(Path(folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8", errors="ignore")
            for start in range(0, len(text), 4_000):
                if part := text[start : start + 4_000].strip():
                    found.append(part)
                    size += len(part.encode())
                    if size >= most:
                        return found
    raise SystemExit(f"the installed packages give {size / 1e6:.0f} MB: ask for fewer with --sizes")


def asked_for(texts: Sequence[str]) -> list[str]:
    """Return texts of some 1 kB: pieces of the corpus, and letters between them."""
    source, found = random.Random(0), list[str]()
    for _ in range(TEXTS):
        parts = [source.choice(texts)[:120] + "".join(source.choices("abcdefgh ", k=80)) for _ in range(5)]
        found.append("".join(parts)[:1_000])
    return found


def spent() -> float:
    """Return the processor's seconds of this process and of the children that it has waited for."""
    return sum(os.times()[:4])


def milliseconds(ways: Sequence[Callable[[str], Any]], texts: Sequence[str]) -> list[float]:
    """Return the median time of each way over the texts, taken in turns, after one round to warm up."""
    taken: list[list[float]] = [[] for _ in ways]
    for turn in range(ROUNDS):
        for text in texts:
            for way, times in zip(ways, taken, strict=True):
                clock = time.process_time()
                way(text)
                if turn:
                    times.append((time.process_time() - clock) * 1e3)
    return [statistics.median(times) for times in taken]


def make_theirs(texts: Sequence[str], folder: Path) -> InfiniGramEngine:
    """Make infini-gram's index of the same bytes, by its own command, with one core."""
    (folder / "in").mkdir(parents=True)
    lines = (json.dumps({"text": text}) for text in texts)
    (folder / "in" / "text.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [
        *(sys.executable, "-m", "infini_gram.indexing", "--data_dir", str(folder / "in"), "--save_dir"),
        *(str(folder / "index"), "--token_dtype", "u8", "--cpus", "1", "--mem", "4", "--ulimit", "1024"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("offset", "tokenized", "table"):
        if not (folder / "index" / f"{name}.0").is_file():
            raise SystemExit(f"infini-gram made no {name}: see that it is installed whole")
    return InfiniGramEngine(str(folder / "index"), eos_token_id=254, vocab_size=255, token_dtype="u8")


def tracing(size: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Time one size of corpus, in MB."""
    texts = documents(size * 10**6)
    count = sum(len(text.encode()) for text in texts)
    clock = spent()
    build_trace((Document(text, "packages", "MIT") for text in texts), folder / "ours")
    ours = count / 1e6 / (spent() - clock)
    clock = spent()
    theirs = make_theirs(texts, folder / "theirs")
    other = count / 1e6 / (spent() - clock)
    told = f"{count / 1e6:.0f} MB"
    yield row(f"trace_making_{size}", ours, other, ours / other, "ours 5", "MB/s", told, "infini-gram")
    asked = asked_for(texts)
    clock = spent()
    rival = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    rival.index([words(text) for text in texts], show_progress=False)
    made = count / 1e6 / (spent() - clock)

    def spans(text: str) -> list[tuple[int, int]]:
        found = theirs.attribute(list(text.encode()), [], SHORTEST, 10**6, enforce_bow=False)
        return [(one["l"], one["r"]) for one in found["spans"]]

    def near(text: str) -> list[str]:
        scores = rival.get_scores(words(text))
        return [texts[one] for one in np.argpartition(-scores, 3)[:3]]

    with Trace(folder / "ours") as trace:
        check(trace, spans, asked, texts if size <= SMALL else [])
        ours, other = milliseconds([lambda text: trace.spans(text, SHORTEST), spans], asked)
        reach = "ours 10" if size <= 10 else "ours 1000"
        yield row(f"trace_spans_{size}", ours, other, other / ours, reach, "ms", told, "infini-gram")
        ours, other = milliseconds([trace.nearest, near], asked)
        note = f"{told}; theirs is made at {made:.1f} MB/s, ours needs nothing more"
        yield row(f"trace_nearest_{size}", ours, other, other / ours, reach, "ms", note, "bm25s")


def check(
    trace: Trace, theirs: Callable[[str], list[tuple[int, int]]], asked: Sequence[str], texts: Sequence[str]
) -> None:
    """See that the two find the same spans in texts of ASCII, and that a search through all does."""
    for text in asked:
        if text.isascii():
            ours = [(one.start, one.end) for one in trace.spans(text, SHORTEST)]
            if ours != theirs(text):
                raise SystemExit(f"the two find other spans: {ours} and {theirs(text)}")
    whole = b"\xff".join(text.encode() for text in texts)
    for text in asked[: 2 if texts else 0]:
        expected, found = brute(whole, text.encode()), [(one.start, one.end) for one in trace.spans(text, SHORTEST)]
        if text.isascii() and expected != found:
            raise SystemExit(f"a search through all finds other spans: {expected}, not {found}")


def brute(whole: bytes, asked: bytes) -> list[tuple[int, int]]:
    """Return the spans as a search through all of the text finds them."""
    found, end = list[tuple[int, int]](), 0
    for start in range(len(asked) - SHORTEST + 1):
        stop = max(start + SHORTEST, end + 1)
        if stop > len(asked) or whole.find(asked[start:stop]) < 0:
            continue
        while stop < len(asked) and whole.find(asked[start : stop + 1]) >= 0:
            stop += 1
        found.append((start, stop))
        end = stop
    return found


def rows(sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield what is measured."""
    for size in sizes:
        with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
            yield from tracing(size, Path(name))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100], help="MB")
    given = parser.parse_args()
    tell(rows(given.sizes), as_json=given.json)
