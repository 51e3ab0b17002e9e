"""Does search find English pages for Chinese questions, on pages that chose nothing: the manuals of PostgreSQL and Tcl.

What the commands of PostgreSQL, Tcl and Tk are for, in Chinese (Debian's manpages-zh) and in English
(postgresql-client-15, tcl8.6-doc, tk8.6-doc), is asked of the beginnings of their English descriptions, as
benchmarks/glosses.py asks of 250 other manual pages. They lie in one index with those 250 pages, some 400 others and
the docstrings of benchmarks/search_quality.py. All pages that there are in both languages are asked for; nothing was
chosen on them. A hit at 5 is the page itself among the first five. Told are BM25 as the rival, and 90% intervals by
bootstrap over the questions. The path is `search`'s own.

    OMP_NUM_THREADS=1 python benchmarks/held_out.py [--json] [--root FOLDER] [--work FOLDER]

The packages may be unpacked into a folder (`dpkg -x`), which --root names.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from kept import Kept
from manual_pages import LONGEST, SHORTEST, others, page_section, page_text, pages
from results import row, tell
from search_quality import passages

from chidu.apps import make_vectors, search, update
from chidu.inference import open_embedder

NAME = re.compile(r"^(\S.*?)\s+(?:\\?-|–)+\s+(.*)")


class Asked(NamedTuple):
    """A page, and what it is for in both languages."""

    name: str
    said: str
    english: str
    chinese: str


def commands(root: Path) -> list[Asked]:
    """Return the pages of these manuals that there are in both languages."""
    known = {one.name for one in pages(root / "usr/share/man/zh_CN")}
    there = {path.name.lower(): path for path in sorted(root.glob("usr/share/postgresql/15/man/man[17]/*.gz"))}
    there |= {path.name: path for path in sorted(root.glob("usr/share/man/man3/*.3t*.gz"))}
    found = []
    for path in sorted((root / "usr/share/man/zh_CN").glob("man[137]/*.gz")):
        other = there.get(path.name)
        if other is None or path.name.split(".")[0] in known:
            continue
        theirs = page_text(other)
        told = [
            NAME.match(" ".join(page_section(text, names).split()))
            for text, names in ((theirs, "NAME"), (page_text(path), "NAME|名称|名字"))
        ]
        said = page_section(theirs, "DESCRIPTION")
        if all(told) and len(said) >= SHORTEST and re.search("[\u4e00-\u9fff]", told[1].group(2)):
            found.append(Asked(path.name.removesuffix(".gz"), said[:LONGEST], told[0].group(2), told[1].group(2)))
    if not found:
        raise SystemExit(f"no page in both languages below {root}: apt-get install manpages-zh and the others")
    return found


def rows(root: Path, folder: Path, embedder: Kept) -> Iterator[dict[str, Any]]:
    """Yield the shares found, in each language by words and by the whole search."""
    asked = commands(root)
    known = pages(root / "usr/share/man/zh_CN")
    texts = {f"asked-{one.name}.txt": f"{one.name.split('.')[0]}\n{one.said}" for one in asked}
    texts |= {f"page-{at:03}.txt": f"{one.name}\n{one.said}" for at, one in enumerate([*known, *others(known)])}
    texts |= {f"library-{at:04}.txt": f"{name}\n{said}" for at, (name, said) in enumerate(passages().items())}
    (folder / "pages").mkdir()
    for name, text in texts.items():
        (folder / "pages" / name).write_text(text, "utf-8")
    update(folder / "index", [folder / "pages"])
    make_vectors(folder / "index", embedder)
    drawn = np.random.default_rng(0).integers(0, len(asked), (10_000, len(asked)))
    for language in ("english", "chinese"):
        hits: dict[str, list[float]] = {"words": [], "ours": []}
        for one in asked:
            question = getattr(one, language)
            ways = {
                "words": search(folder / "index", question, by_dictionary=False),
                "ours": search(folder / "index", question, embedder),
            }
            for way, searched in ways.items():
                hits[way].append(
                    100.0 * any(Path(hit.file).name == f"asked-{one.name}.txt" for hit in searched.found.hits)
                )
        ours, words = np.array(hits["ours"]), np.array(hits["words"])
        low, high = np.quantile(ours[drawn].mean(1), (0.05, 0.95))
        least, most = np.quantile((ours - words)[drawn].mean(1), (0.05, 0.95))
        note = f"{len(texts):,} texts, {len(asked)} questions; 90%: {low:.1f} to {high:.1f}, more than BM25 by "
        note += f"{least:.1f} to {most:.1f}"
        reach = "BM25 + 20 points" if language == "english" else "65"
        ratio = ours.mean() / max(words.mean(), 100 / len(asked))
        yield row(f"{language}: hit@5", ours.mean(), words.mean(), ratio, reach, "%", note, "BM25")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the packages' files are")
    parser.add_argument("--work", type=Path, help="a folder that keeps the vectors")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        tell(rows(given.root, Path(temporary), Kept(open_embedder("e5"), work / "vectors.sqlite")), as_json=given.json)
