"""Is what chidu keeps of a text nearer to what its authors wrote of it than its beginning is?

`headlines`: what `headline` cuts from the first sentence (subject and phrase), against the line that Debian's
maintainers wrote above the long description; beside the first sentence, and the first sentence cut to as many words.
One package of each source package, descriptions of four sentences or more; the last so many by a hash of the source's
name, so that the 700 first, on which the rules were written, are no part of it. The two files are apt's lists:
Translation-en, and Packages, which knows the sources.

`articles`: three sentences that the ranking keeps by words, against the abstract, which is taken out; beside the first
three sentences, and the beginning cut to as many words. A folder holds Markdown or reStructuredText; the first so many
by name that have an abstract of 20 to 200 words and 20 to 150 sentences behind it.

ROUGE-L (F, by rouge-score, with stemming); differences with 90% intervals by a paired bootstrap over the texts.

    OMP_NUM_THREADS=1 python benchmarks/leads.py headlines TRANSLATION PACKAGES [--most 1500] [--show 50] [--json]
    OMP_NUM_THREADS=1 python benchmarks/leads.py articles FOLDER [FOLDER ...] [--most 200] [--json]
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from results import row, tell
from rouge_score.rouge_scorer import RougeScorer

from chidu.apps import headline, sentences, summarize

LEAST = 4
"""Sentences of a description that can be cut at all."""
WRITTEN_ON = 700
"""Packages that the rules of headlines were written on."""
KEPT = 3
"""Sentences of an article."""
DRAWS = 1_000


def descriptions(translation: Path, packages: Path) -> list[tuple[str, str, str]]:
    """Return source, long description and line of one package of each source, by a hash of the source's name."""
    sources = {}
    for stanza in packages.read_text(encoding="utf-8").split("\n\n"):
        if name := re.match(r"Package: (\S+)", stanza):
            source = re.search(r"^Source: (\S+)", stanza, flags=re.M)
            sources[name[1]] = source[1] if source else name[1]
    found: dict[str, tuple[str, str, str]] = {}
    for stanza in translation.read_text(encoding="utf-8").split("\n\n"):
        told = re.match(r"Package: (\S+)\nDescription-md5: \S+\nDescription-\w+: (.*)\n((?: .*\n?)+)", stanza)
        if told is None or (source := sources.get(told[1], told[1])) in found:
            continue
        lines = ["" if line.strip() == "." else line.strip() for line in told[3].split("\n")]
        text = re.sub(r"\n{2,}", "\n\n", "\n".join(lines)).strip()
        if text.count(".") >= LEAST - 1 and len(sentences(text)) >= LEAST:
            found[source] = (source, text, told[2])
    return sorted(found.values(), key=lambda one: hashlib.md5(one[0].encode(), usedforsecurity=False).hexdigest())


def articles(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield articles without their abstract, and the abstract."""
    for path in sorted(folder.rglob("*"), key=Path.as_posix):
        if path.suffix in (".rst", ".md"):
            written = path.read_text(encoding="utf-8", errors="replace")
            if parts := parted(markdown(written) if path.suffix == ".rst" else written):
                yield parts


def markdown(rst: str) -> str:
    """Return reStructuredText with Markdown's headings, without directives and what is indented."""
    text = re.sub(r'^(\S.*)\n([=\-~^"\'*+#])\2{2,}\s*$', r"# \1", rst, flags=re.M)
    text = re.sub(r"^\.\. .*$|^ {2,}.*$|^\t.*$", "", text, flags=re.M)
    return re.sub(r":\w+:`([^`<]*)(?:<[^`]*>)?`", r"\1", text).replace("``", "`")


def parted(text: str) -> tuple[str, str] | None:
    """Return what stands behind the abstract, and the abstract; None where there is none, or one is too short or long.

    Code and references of links are no part of an abstract.
    """
    found = re.search(r"^#+ *(?:Abstract|Summary)\s*$\n(.*?)(?=^#+ |\Z)", text, flags=re.M | re.S)
    if found is None:
        return None
    abstract = re.sub(r"```.*?```", "", found[1], flags=re.S)
    abstract = " ".join(re.sub(r"^\[.*?\]:.*$", "", abstract, flags=re.M).split())
    rest = re.sub(r"^\[.*?\]:.*$", "", text[found.end() :], flags=re.M)
    rest = re.split(r"^#+ *(?:Copyright|References)\s*$", rest, flags=re.M)[0].strip()
    is_fit = 20 <= len(abstract.split()) <= 200 and 20 <= len(sentences(rest)) <= 150
    return (rest, abstract) if is_fit else None


def first_words(text: str, like: str) -> str:
    """Return the beginning of a text, with as many words as another has."""
    return " ".join(text.split()[: len(like.split())])


def of_headlines(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what is measured of headlines; show some beside their texts."""
    held_out = descriptions(options.translation, options.packages)[WRITTEN_ON:][-options.most :]
    tried = []
    for number, (source, text, line) in enumerate(held_out):
        cut = headline(text)
        first = cut.sentence.text
        tried.append((line, [cut.text, first, first_words(first, cut.text)]))
        if options.skip <= number < options.skip + options.show:
            print(f"{number} {source}\nfirst:    {first}\nheadline: {cut.text}\nline:     {line}\n", file=sys.stderr)
    yield from compared("Debian's packages: headline", tried, ("the first sentence", "it, of as many words"))


def of_articles(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what is measured of articles."""
    for folder in options.folders:
        tried = []
        for text, abstract in articles(folder):
            whole = [one.text for one in sentences(text)]
            own = " ".join(one.sentence.text for one in summarize(text, KEPT).kept)
            tried.append((abstract, [own, " ".join(whole[:KEPT]), first_words(" ".join(whole), own)]))
            if len(tried) == options.most:
                break
        what = f"{folder.name}: {KEPT} sentences by words"
        yield from compared(what, tried, (f"the first {KEPT}", "the beginning, of as many words"))


def compared(what: str, tried: list[tuple[str, list[str]]], rivals: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """Yield ROUGE-L of ours, the first of the texts tried, beside each rival's."""
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    reached = np.array(
        [[100 * scorer.score(wanted, said)["rougeL"].fmeasure for said in texts] for wanted, texts in tried]
    )
    own = reached[:, 0]
    for rival, theirs in zip(rivals, reached.T[1:], strict=True):
        gaps = own - theirs
        drawn = np.random.default_rng(0).integers(0, len(gaps), (DRAWS, len(gaps)))
        low, high = np.percentile(gaps[drawn].mean(1), (5, 95))
        mine, other = float(own.mean()), float(theirs.mean())
        note = f"{len(gaps)} texts; {mine - other:+.1f}, 90%: {low:.1f} to {high:.1f}"
        yield row(f"{what}: ROUGE-L", mine, other, mine / other, "above", "%", note, rival)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    kinds = parser.add_subparsers(required=True)
    debian = kinds.add_parser("headlines")
    debian.add_argument("translation", type=Path)
    debian.add_argument("packages", type=Path)
    debian.add_argument("--most", type=int, default=1_500)
    debian.add_argument("--show", type=int, default=0, help="print so many headlines beside their texts")
    debian.add_argument("--skip", type=int, default=0, help="but not the first so many")
    debian.set_defaults(rows=of_headlines)
    written = kinds.add_parser("articles")
    written.add_argument("folders", type=Path, nargs="+")
    written.add_argument("--most", type=int, default=200)
    written.set_defaults(rows=of_articles)
    given = parser.parse_args()
    tell(given.rows(given), as_json=given.json)
