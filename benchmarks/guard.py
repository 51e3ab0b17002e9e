"""Chidu's guard against presidio's recognisers: time of a 1 kB answer, what is found and what is falsely found.

Both read the same texts: the planted items and hard negatives of tests/safety/planted_texts.py, and answers of 1,000
characters made of this repository's documentation. Of presidio the predefined recognisers by patterns are asked, those
that need no language model; a model's would find names too and take longer. It is judged on what it has recognisers
for: privacy.

    python benchmarks/guard.py [--json] [--rounds 40]
    python benchmarks/guard.py --text FOLDER    # and what the guard finds in a megabyte of text of yours

Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from results import row, tell

from chidu.safety import Guard, Policy
from chidu.safety.hazards import PARENTS

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "safety"))
from planted_texts import AFTERWARDS, NEGATIVES, NEGATIVES_AFTERWARDS, PLANTED  # noqa: E402

ANSWER = 1000
PIECE = 4
RIVAL = "presidio, patterns"


class Presidio:
    """Its recognisers by patterns."""

    def __init__(self) -> None:
        logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
        import tldextract.tldextract
        from presidio_analyzer import PatternRecognizer
        from presidio_analyzer import predefined_recognizers as known

        # It would fetch a newer list of domains; the one that it brings is good.
        tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
        found = []
        for name in known.__all__:
            kind = getattr(known, name)
            if isinstance(kind, type) and (issubclass(kind, PatternRecognizer) or name == "PhoneRecognizer"):
                found.append(kind())
        # Those of other languages read these texts only in part; a deployment for English and Chinese asks these.
        self.recognisers = [one for one in found if one.supported_language == "en"]

    def find(self, text: str) -> list[tuple[int, int]]:
        """Return what is found, with presidio's usual threshold left at none."""
        found = []
        for one in self.recognisers:
            found += [(each.start, each.end) for each in one.analyze(text, one.supported_entities, None) or []]
        return found


def answers() -> list[str]:
    """Return answers of 1,000 characters, English and Chinese."""
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    return [page[place : place + ANSWER] for page in pages for place in range(0, len(page) - ANSWER, ANSWER)][:100]


def median_ms(work: Callable[[str], object], texts: Sequence[str], rounds: int) -> float:
    """Milliseconds of one text."""
    times = []
    for turn in range(rounds):
        clock = time.perf_counter()
        work(texts[turn % len(texts)])
        times.append(1e3 * (time.perf_counter() - clock))
    return statistics.median(times)


def streamed(guard: Guard, text: str) -> None:
    """Feed an answer as a model would write it."""
    stream = guard.stream("answer")
    for place in range(0, len(text), PIECE):
        stream.feed(text[place : place + PIECE])
    stream.end()


def rows(rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the rows."""
    guard, rival, texts = Guard(Policy.flag_all()), Presidio(), answers()
    mine = median_ms(lambda text: guard.judge("answer", text), texts, 10 * rounds)
    theirs = median_ms(rival.find, texts, rounds)
    note = f"{len(rival.recognisers)} recognisers of theirs; ours has secrets, phrases and Chinese too"
    yield row("guard: 1 kB, all judges", mine, theirs, theirs / mine, "≤ 1 ms", "ms", note, RIVAL)
    slow = median_ms(lambda text: streamed(guard, text), texts, rounds)
    note = f"in pieces of {PIECE}; theirs has no streams and reads the whole once"
    yield row("guard: 1 kB, streamed", slow, theirs, theirs / slow, "", "ms", note, RIVAL)
    for name, planted, negatives in (
        ("first set", PLANTED, NEGATIVES),
        ("written afterwards", AFTERWARDS, NEGATIVES_AFTERWARDS),
    ):
        private = [(said, text.format(said)) for kind, said, text in planted if PARENTS.get(kind) == "privacy"]
        ours = [sum(covers(said, text, spans(guard, text)) for said, text in private)]
        them = [sum(covers(said, text, rival.find(text)) for said, text in private)]
        note = f"of {len(private)} planted; {name}"
        yield row("guard: privacy found", ours[0], them[0], ours[0] / max(1, them[0]), "", "items", note, RIVAL)
        false = sum(bool(spans(guard, text)) for text in negatives)
        falsely = sum(bool(rival.find(text)) for text in negatives)
        note = f"of {len(negatives)} texts; ours with all judges; {name}"
        yield row("guard: false alarms", false, falsely, falsely / max(1, false), "", "texts", note, RIVAL)


def spans(guard: Guard, text: str) -> list[tuple[int, int]]:
    """What the guard finds."""
    return [(one.start, one.end) for one in guard.judge("answer", text).findings]


def covers(said: str, text: str, found: Sequence[tuple[int, int]]) -> bool:
    """True where what was planted is found whole."""
    start = text.index(said)
    return any(low <= start and high >= start + len(said) for low, high in found)


def read_text(folder: Path) -> None:
    """Print what is found in text that nobody planted anything in, for a person to read."""
    guard, counts, size = Guard(Policy.flag_all()), Counter[str](), 0
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".txt", ".md", ".jsonl", ".rst") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            size += len(text)
            for one in guard.judge("answer", text).findings:
                counts[one.rule] += 1
                print(f"{one.rule:24} {text[max(0, one.start - 40) : one.end + 20]!r}")
    print(f"{size / 1e6:.1f} M characters: {dict(counts.most_common())}")


def main() -> None:
    """Measure, and tell."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--json", action="store_true")
    reader.add_argument("--rounds", type=int, default=40)
    reader.add_argument("--text", type=Path)
    asked = reader.parse_args()
    if asked.text is not None:
        read_text(asked.text)
        return
    try:
        tell(rows(asked.rounds), as_json=asked.json)
    except ModuleNotFoundError as error:
        raise SystemExit(f"the rival is not installed: pip install presidio-analyzer ({error})") from error


if __name__ == "__main__":
    main()
