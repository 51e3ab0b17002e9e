"""The data card: what is in a corpus, where it is from, what was left out, and what was not done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from chidu.corpus.document import NOT_UTF8, Document, Dropped
from chidu.corpus.normalise import is_chinese
from chidu.corpus.repeats import SHORTEST_LINE, long_lines
from chidu.runs.record import now
from chidu.safety import Finding
from chidu.units import format_bytes

__all__ = ["Card"]

_LIMITS = (
    "near-duplicates are found by whole lines alone: a document is dropped when over half of its text stands, line by "
    f"line (lines of {SHORTEST_LINE} bytes or more), in documents kept before, so some repeated lines, and "
    "paraphrases, can stand on both sides of the split",
    "languages are told apart by their characters alone: Chinese or other",
    "licences are repeated as the sources state them and were not verified",
    "e-mail addresses are replaced; names, telephone numbers and other personal details are not looked for",
    "harmful or biased text is not looked for",
)


class _Tally(dict[str, list[int]]):
    """Name → [documents, bytes]."""

    def add(self, name: str, size: int) -> None:
        entry = self.setdefault(name, [0, 0])
        entry[0] += 1
        entry[1] += size

    def table(self) -> dict[str, dict[str, int]]:
        """Return it as JSON, the most bytes first."""
        order = sorted(self.items(), key=lambda one: (-one[1][1], -one[1][0], one[0]))
        return {name: {"documents": count, "bytes": size} for name, (count, size) in order}


class Repeats:
    """How much of the held-out text stands in the train text too, line by line.

    A document that repeats others by half or less stays, so what remains of repetition is measured. Held-out text must
    be seen first.
    """

    def __init__(self) -> None:
        self._remaining: dict[bytes, int] = {}
        self._total = 0
        self._repeated = 0

    @property
    def share(self) -> float:
        """Share of the bytes of held-out lines of 40 bytes or more, 0 to 1."""
        return self._repeated / self._total if self._total else 0.0

    def see(self, text: str, is_held_out: bool) -> None:
        """Look at one document's lines."""
        if is_held_out:
            for line in long_lines(text):
                self._remaining[line] = self._remaining.get(line, 0) + len(line)
                self._total += len(line)
        else:
            for line in self._remaining.keys() & set(long_lines(text)):
                self._repeated += self._remaining.pop(line)


class Card:
    """Counts what happens to the documents of one corpus."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.held_out_share = 0.0
        self.held_out_repeated = 0.0
        self.kept = 0
        self.kept_bytes = 0
        self.dropped = _Tally()
        self.licences = _Tally()
        self.languages = _Tally()
        self.split = _Tally(train=[0, 0], held_out=[0, 0])
        self.sources: dict[tuple[str, str, str], list[int]] = {}
        self.redactions: Counter[str] = Counter()
        # In the order in which they came; a set has none.
        self._not_utf8: dict[str, None] = {}

    @property
    def dropped_count(self) -> int:
        """Documents left out."""
        return sum(count for count, _ in self.dropped.values())

    def keep(self, document: Document) -> None:
        """Count a document that stays."""
        self.kept += 1
        self.kept_bytes += document.bytes
        self.licences.add(document.licence, document.bytes)
        language = document.language or ("zh" if is_chinese(document.text) else "other")
        self.languages.add(language, document.bytes)
        entry = self.sources.setdefault((document.source, document.version, document.licence), [0, 0])
        entry[0] += 1
        entry[1] += document.bytes

    def drop(self, dropped: Dropped) -> None:
        """Count a document that is left out."""
        self.dropped.add(dropped.reason, dropped.bytes)
        if dropped.reason == NOT_UTF8:
            self._not_utf8[dropped.source] = None

    def redact(self, findings: Iterable[Finding]) -> None:
        """Count what was replaced in a document that stays."""
        self.redactions.update(finding.category for finding in findings)

    def place(self, side: str, size: int) -> None:
        """Count a document on its side of the split, ``train`` or ``held_out``."""
        self.split.add(side, size)

    def sources_table(self) -> list[dict[str, Any]]:
        """Return one row a source: name, version, licence, documents, bytes."""
        return [
            {"name": name, "version": version, "licence": licence, "documents": count, "bytes": size}
            for (name, version, licence), (count, size) in sorted(self.sources.items())
        ]

    def summary(self) -> dict[str, Any]:
        """Return all counts as JSON; ``not_utf8`` is there only where a file was in another encoding."""
        found = {"files": len(self._not_utf8), "first": next(iter(self._not_utf8), "")}
        return {
            "sources": len(self.sources),
            "documents_in": self.kept + self.dropped_count,
            "documents_kept": self.kept,
            "documents_dropped": self.dropped_count,
            "bytes_in": self.kept_bytes + sum(size for _, size in self.dropped.values()),
            "bytes_kept": self.kept_bytes,
            "dropped": self.dropped.table(),
            **({"not_utf8": found} if self._not_utf8 else {}),
            "redactions": dict(sorted(self.redactions.items())),
            "licences": self.licences.table(),
            "languages": self.languages.table(),
            "split": self.split.table(),
            "split_rule": self._rule(),
            "seed": self.seed,
            "held_out_share": self.held_out_share,
            "held_out_repeated": self.held_out_repeated,
            "limits": list(_LIMITS),
            "created": now(),
        }

    def _rule(self) -> str:
        return (
            f"a document's place is the sha256 of the seed ({self.seed}) and the sha256 of its text; "
            f"the lowest {self.held_out_share:.4%} of places are held out"
        )

    def page(self, summary: dict[str, Any]) -> str:
        """Return the card as a Markdown page for people."""
        kept, split = summary["bytes_kept"], summary["split"]
        parts = [
            "# Data card",
            f"{summary['documents_kept']:,} documents, {format_bytes(kept)}, from {summary['sources']} sources "
            f"(listed with version and licence in sources.json). Made {summary['created']}.",
            f"For training {_amount(split['train'])}; held out {_amount(split['held_out'])}. Rule: "
            f"{summary['split_rule']}, before anything is learned from the text.",
            f"Of the held-out text {summary['held_out_repeated']:.1%} stands in the train text line by line (lines of "
            f"{SHORTEST_LINE} bytes or more); documents that mostly repeat others were dropped before.",
            "## Left out",
            f"{summary['documents_dropped']:,} of {summary['documents_in']:,} documents (a docstring counts as one); "
            "each is listed in dropped.jsonl.",
            _rows("reason", summary["dropped"]),
            _not_utf8(summary.get("not_utf8")),
            "## Replaced",
            ", ".join(f"{count:,} × {name}" for name, count in summary["redactions"].items()) or "Nothing.",
            "## Licences, as stated",
            _rows("licence", summary["licences"]),
            "## Languages",
            _rows("language", summary["languages"]),
            "## What was not done",
            "\n".join(f"- {limit}" for limit in summary["limits"]),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _amount(entry: dict[str, int]) -> str:
    return f"{entry['documents']:,} documents, {format_bytes(entry['bytes'])}"


def _not_utf8(found: dict[str, Any] | None) -> str:
    return f"Not in UTF-8, to be converted first: {found['first']} (files: {found['files']:,})." if found else ""


def _rows(what: str, table: dict[str, dict[str, int]]) -> str:
    if not table:
        return "None."
    rows = [f"| {name} | {entry['documents']:,} | {format_bytes(entry['bytes'])} |" for name, entry in table.items()]
    return "\n".join([f"| {what} | documents | bytes |", "|---|---|---|", *rows])
