"""Is a sentence that was chosen nearer to what people wrote as a summary than the first sentence is?

The pairs are real, and on this machine: the long descriptions of the Debian packages and the line that their
maintainers wrote above each (`debian`; needs dpkg-query), the DESCRIPTION of manual pages and their NAME line (`man`),
and the docstrings of Python's library, body and first line (`docstrings`). Texts of four sentences or more; one
sentence is kept of each; ROUGE-L (F, by rouge-score, with stemming) tells how near it is to that line. The baseline is
the first sentence, in the same run; the best any choice of one sentence could reach is told too. A second row adds a
prior for the first places to the ranking, its weight chosen on one half of the pairs and judged on the other.

    OMP_NUM_THREADS=1 python benchmarks/summaries.py [--json] [--of debian man docstrings] [--embedder none]
"""

from __future__ import annotations

import argparse
import ast
import gzip
import re
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from results import row, tell
from rouge_score.rouge_scorer import RougeScorer

from chidu.apps import sentences, summarize
from chidu.inference import open_embedder

LEAST = 4
"""Sentences of a text that can be summarised at all."""
MOST_CHARACTERS = 8_000
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0)
"""Of the prior, in means of the ranking; at 4 the first sentence is taken always."""


def debian() -> Iterator[tuple[str, str]]:
    """Yield long description and line of packages."""
    told = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Description}\x1e"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    for one in told.split("\x1e"):
        line, _, rest = one.partition("\n")
        text = "\n".join("" if part.strip() == "." else part.strip() for part in rest.split("\n"))
        yield re.sub(r"\n{2,}", "\n\n", text).strip(), line


def man(folder: Path = Path("/usr/share/man")) -> Iterator[tuple[str, str]]:
    """Yield DESCRIPTION and NAME line of manual pages of the sections that people read."""
    for section in ("man1", "man5", "man7", "man8"):
        for path in sorted((folder / section).glob("*.gz")):
            try:
                with gzip.open(path, "rt", encoding="utf-8") as file:
                    page = file.read(200_000)
            except (OSError, UnicodeDecodeError):
                continue  # a link to a page that is not installed, or an old encoding
            found = dict(re.findall(r'^\.SH "?([A-Z ]+?)"?\n(.*?)(?=^\.SH|\Z)', page, flags=re.M | re.S))
            line = plain(found.get("NAME", "")).partition(" - ")[2]
            if line and "DESCRIPTION" in found:
                yield plain(found["DESCRIPTION"])[:MOST_CHARACTERS], line


def plain(roff: str) -> str:
    """Return roff without its marks: what is not prose falls away with its request."""
    text = re.sub(r'^\.\\".*\n', "", roff, flags=re.M)
    text = re.sub(r"^\.(?:B|I|BR|IR|RB|BI|IB|SM|RI)\s+(.*)$", lambda one: one[1].replace('"', ""), text, flags=re.M)
    text = re.sub(r"^\.(?:PP|P|LP|sp|TP|IP|SS|br).*$", "\n", text, flags=re.M)
    text = re.sub(r"^['.].*$", "", text, flags=re.M)
    text = re.sub(r"\\f(?:\[\w*\]|\(\w\w|.)|\\[&/|^,]|\\s[-+]?\d", "", text)
    text = text.replace("\\-", "-").replace("\\(en", "-").replace("\\e", "\\").replace("\\ ", " ")
    return re.sub(r"\n{2,}", "\n\n", re.sub(r"\\\(..|\\\[\w+\]|\\\*\(..", "'", text)).strip()


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield body and first line of the docstrings of Python's library, whose licence lets one read them here."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                line, _, body = (ast.get_docstring(node) or "").partition("\n\n")
                if line.count("\n") == 0 and ">>>" not in body:
                    yield body.strip()[:MOST_CHARACTERS], line


SOURCES: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "debian": debian, "man": man, "docstrings": docstrings,
}  # fmt: skip


def pairs(source: str, most: int) -> list[tuple[str, str]]:
    """Return texts of four sentences or more with their lines, each text once."""
    found: dict[str, str] = {}
    for text, line in SOURCES[source]():
        if text not in found and text.count(".") >= LEAST - 1 and len(sentences(text)) >= LEAST:
            found[text] = line
        if len(found) == most:
            break
    return list(found.items())


def measured(text: str, line: str, embedder: Any, scorer: RougeScorer) -> tuple[np.ndarray[Any, Any], ...]:
    """Return of each sentence its ROUGE-L and its weight in the ranking."""
    said = [one.text for one in sentences(text)]
    reached = np.array([100 * float(scorer.score(line, one)["rougeL"].fmeasure) for one in said])
    weights = np.zeros(len(said))
    places = {(one.paragraph, one.text): number for number, one in reversed(list(enumerate(sentences(text))))}
    for kept in summarize(text, percent=100, embedder=embedder).kept:
        weights[places[kept.sentence.paragraph, kept.sentence.text]] = kept.score
    return reached, weights


def chosen(ours: list[tuple[np.ndarray[Any, Any], ...]], weight: float) -> np.ndarray[Any, Any]:
    """Return the ROUGE-L of the sentence that ranks first, with this much for the first places."""
    return np.array([each[int(np.argmax(score + weight / (1 + np.arange(len(score)))))] for each, score in ours])


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what is measured."""
    embedder = None if options.embedder == "none" else open_embedder(options.embedder)
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    by = "words" if embedder is None else embedder.name
    for source in options.of:
        ours = [measured(text, line, embedder, scorer) for text, line in pairs(source, options.pairs)]
        fitted, judged = ours[::2], ours[1::2]
        weight = max(WEIGHTS, key=lambda one: float(chosen(fitted, one).mean()))
        for how, own, extra in (("", ours, 0.0), (f" and a prior for the first places ({weight:g})", judged, weight)):
            lead, best = (np.array([each[0] for each, _ in own]), np.array([each.max() for each, _ in own]))
            said = chosen(own, extra)
            gap = said - lead
            error = 1.645 * float(gap.std(ddof=1)) / len(gap) ** 0.5
            told = f"{len(gap)} texts; {gap.mean():+.1f} ± {error:.1f} (90%); the best choice has {best.mean():.1f}"
            mine, theirs = float(said.mean()), float(lead.mean())
            what = f"{source}: one sentence by {by}{how}: ROUGE-L"
            yield row(what, mine, theirs, mine / theirs, "above", "%", told, "the first sentence")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--of", nargs="+", default=["debian"], choices=sorted(SOURCES))
    parser.add_argument("--embedder", default="none")
    parser.add_argument("--pairs", type=int, default=1_000)
    given = parser.parse_args()
    tell(rows(given), as_json=given.json)
