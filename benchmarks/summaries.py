"""Is a sentence that was chosen nearer to what people wrote as a summary than the first sentence is?

The pairs are real: the long descriptions of the Debian packages on this machine, four sentences or more, and the one
line that their maintainers wrote above each. One sentence is kept of each; ROUGE-L (F, by rouge-score, with stemming)
tells how near it is to that line. The baseline is the first sentence, in the same run; the best any choice of one
sentence could reach is told too. Needs dpkg-query.

    OMP_NUM_THREADS=1 python benchmarks/summaries.py [--json] [--embedder none] [--pairs 1000]
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
from results import row, tell
from rouge_score.rouge_scorer import RougeScorer

from chidu.apps import sentences, summarize
from chidu.inference import open_embedder

LEAST = 4
"""Sentences of a text that can be summarised at all."""


def pairs(most: int) -> list[tuple[str, str]]:
    """Return long description and line of packages, each text once, in the order of the packages' names."""
    told = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Description}\x1e"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    found: dict[str, str] = {}
    for one in told.split("\x1e"):
        line, _, rest = one.partition("\n")
        text = "\n".join("" if part.strip() == "." else part.strip() for part in rest.split("\n"))
        text = re.sub(r"\n{2,}", "\n\n", text).strip()
        if text and len(sentences(text)) >= LEAST:
            found.setdefault(text, line)
    return list(found.items())[:most]


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what is measured."""
    embedder = None if options.embedder == "none" else open_embedder(options.embedder)
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    ours, lead, best = [], [], []
    for text, line in pairs(options.pairs):

        def score(said: str, line: str = line) -> float:
            return 100 * float(scorer.score(line, said)["rougeL"].fmeasure)

        said = [one.text for one in sentences(text)]
        ours.append(score(summarize(text, 1, embedder=embedder).kept[0].sentence.text))
        lead.append(score(said[0]))
        best.append(max(map(score, said)))
    gap = np.array(ours) - np.array(lead)
    error = 1.645 * float(gap.std(ddof=1)) / len(gap) ** 0.5
    told = f"{len(gap)} packages; {gap.mean():+.1f} ± {error:.1f} (90%); the best choice has {np.mean(best):.1f}"
    what = f"one sentence by {'words' if embedder is None else embedder.name}: ROUGE-L"
    mine, theirs = float(np.mean(ours)), float(np.mean(lead))
    yield row(what, mine, theirs, mine / theirs, "above", "%", told, "the first sentence")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--embedder", default="none")
    parser.add_argument("--pairs", type=int, default=1_000)
    given = parser.parse_args()
    tell(rows(given), as_json=given.json)
