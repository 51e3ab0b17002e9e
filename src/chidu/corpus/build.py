"""Documents in, a corpus out: cleaned, without exact duplicates, split before anything is learned from it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from chidu.corpus.card import Card, Repeats
from chidu.corpus.document import LONGEST, Document, Dropped
from chidu.corpus.lines import write_line
from chidu.corpus.normalise import cut, normalise
from chidu.corpus.repeats import SeenLines
from chidu.errors import SettingError, TextError
from chidu.runs.record import open_whole, write_atomic, write_json
from chidu.safety import EmailJudge, Finding, Judge, redact

__all__ = ["HELD_OUT_BYTES", "build_corpus", "rank"]

SHORTEST = 40
"""Bytes of a document; below, there is nothing to learn (a Chinese quatrain has 70)."""
HELD_OUT_BYTES = (300_000, 2_000_000)
"""Bytes wanted for the held-out text: less measures too roughly, more costs time at every evaluation."""
_MOST = 0.2
"""Share of a small corpus that is held out at the most."""
MOSTLY_SEEN = "near-duplicate: over half of its text stands, line by line, in documents kept before"
_BUCKETS = 64
_RANKS = 1 << 64


def build_corpus(
    documents: Iterable[Document | Dropped],
    folder: Path,
    seed: int = 0,
    held_out_fraction: float = 0.05,
    judges: Sequence[Judge] | None = None,
) -> dict[str, Any]:
    """Clean the documents, split them and write them into ``folder``; return the data card's summary (JSON).

    In this order: normalise, cut into parts of at most 8,000 characters, drop what is shorter than 40 bytes, redact
    what the judges find (default: e-mail addresses), drop exact duplicates, drop near-duplicates (documents of which
    more than half stands, line by line, in documents kept before: what repeats is learned by heart, which bends every
    law, and on both sides of the split it flatters). Redaction comes before the search for
    duplicates, so that two copies which differ in an address alone are one text and can't fall on both sides of the
    split; and a document's id is the sha256 of the very text that is stored.

    A document's place is a hash of its id and the seed. The files are in that order, so that any first part of them
    is a fair sample, and the documents whose hash lies below the held-out share are held out. The share is
    ``held_out_fraction``, moved so that 0.3 to 2 MB are held out, but no more than a fifth of a small corpus. The
    same documents, settings and version give the same bytes in train.jsonl, held_out.jsonl and dropped.jsonl.

    Needs twice the disk of the text. Memory: a 64th of the text, and about 150 bytes a document and 100 bytes a long
    line for the search for duplicates (1 GB of text: some 1.5 GB).

    Raises TextError where no document is left, SettingError where the fraction is not between 0 and 0.5.
    """
    if not 0 < held_out_fraction <= 0.5:
        raise SettingError(f"held_out_fraction is {held_out_fraction}: it must be above 0 and at most 0.5")
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "buckets.scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    card = Card(seed)
    try:
        with open_whole(folder / "dropped.jsonl") as dropped, _open_buckets(scratch) as buckets:
            for item in _judged(_parts(documents), judges or [EmailJudge()], card):
                _put(item, card, dropped, buckets)
        if not card.kept:
            raise TextError(_nothing_left(card))
        card.held_out_share = _share(held_out_fraction, card.kept_bytes)
        _split(scratch, folder, card)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _write_card(folder, card)


def rank(identity: str, seed: int) -> int:
    """Return a document's place, 0 to 2**64 - 1: a hash of its id and the seed, and of nothing else."""
    digest = hashlib.sha256(f"{seed}:{identity}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _share(fraction: float, total: int) -> float:
    low, high = HELD_OUT_BYTES
    wanted = min(max(fraction * total, low), high)
    return min(wanted / total, max(_MOST, fraction))


def _nothing_left(card: Card) -> str:
    if not card.dropped:
        return "corpus: no documents came in: name a file or folder that holds text"
    reason, count = max(((reason, count) for reason, (count, _) in card.dropped.items()), key=lambda one: one[1])
    total = card.dropped_count
    documents = "the only document was" if total == 1 else f"all {total} documents were"
    most = "" if count == total else f", most ({count})"
    return f"corpus: {documents} dropped{most} as {reason!r}: bring other text"


def _put(item: Document | Dropped, card: Card, dropped: IO[bytes], buckets: list[IO[bytes]]) -> None:
    """Write a document that stays into the bucket of its rank, any other into the listing."""
    if isinstance(item, Dropped):
        card.drop(item)
        write_line(dropped, _line_of(item))
    else:
        card.keep(item)
        write_line(buckets[rank(item.id, card.seed) * _BUCKETS // _RANKS], _fields(item))


@contextlib.contextmanager
def _open_buckets(scratch: Path) -> Iterator[list[IO[bytes]]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context((scratch / f"{number:02d}").open("wb")) for number in range(_BUCKETS)]


def _parts(documents: Iterable[Document | Dropped]) -> Iterator[Document | Dropped]:
    """Normalise the documents and cut the long ones."""
    for item in documents:
        if isinstance(item, Dropped):
            yield item
        else:
            for text in cut(normalise(item.text), LONGEST):
                yield replace(item, text=text)


def _judged(items: Iterable[Document | Dropped], judges: Sequence[Judge], card: Card) -> Iterator[Document | Dropped]:
    """Drop what is short, redact, and drop what was seen before."""
    seen: set[bytes] = set()
    lines = SeenLines()
    for item in items:
        if isinstance(item, Document) and item.bytes >= SHORTEST:
            document, findings = _redacted(item, judges)
            digest = bytes.fromhex(document.id)
            if digest in seen:
                yield _drop(document, "duplicate")
                continue
            seen.add(digest)
            if lines.is_repeat(document.text):
                yield _drop(document, MOSTLY_SEEN)
                continue
            # Counted where the text stays, so that the card speaks of what is in the files.
            card.redact(findings)
            yield document
        else:
            yield item if isinstance(item, Dropped) else _drop(item, f"shorter than {SHORTEST} bytes")


def _redacted(document: Document, judges: Sequence[Judge]) -> tuple[Document, list[Finding]]:
    findings = [finding for judge in judges for finding in judge.judge(document.text)]
    return (replace(document, text=redact(document.text, findings)) if findings else document), findings


def _drop(document: Document, reason: str) -> Dropped:
    return Dropped(document.source, reason, document.where, document.id, document.bytes)


def _line_of(dropped: Dropped) -> dict[str, Any]:
    line = {"source": dropped.source, "reason": dropped.reason, "where": dropped.where, "bytes": dropped.bytes}
    return line | {name: value for name, value in (("id", dropped.id), ("detail", dropped.detail)) if value}


def _fields(document: Document) -> dict[str, Any]:
    """Return the fields of a document that its line in train.jsonl or held_out.jsonl has."""
    return {"id": document.id, "text": document.text, "source": document.source, "licence": document.licence}


def _split(scratch: Path, folder: Path, card: Card) -> None:
    """Write the buckets, each sorted, into the two files."""
    limit = int(card.held_out_share * _RANKS)
    repeats = Repeats()
    with open_whole(folder / "train.jsonl") as train, open_whole(folder / "held_out.jsonl") as held_out:
        for place, line in enumerate(_in_order(scratch, card.seed)):
            values = json.loads(line)
            # Of two documents or more one is held out, however the hashes fell, and one is left to learn from.
            is_low, is_last = rank(values["id"], card.seed) < limit or place == 0, place == card.kept - 1
            is_held_out = is_low and not is_last
            (held_out if is_held_out else train).write(line)
            card.place("held_out" if is_held_out else "train", len(values["text"].encode()))
            repeats.see(values["text"], is_held_out)
    card.held_out_repeated = repeats.share


def _in_order(scratch: Path, seed: int) -> Iterator[bytes]:
    for number in range(_BUCKETS):
        lines = (scratch / f"{number:02d}").read_bytes().splitlines(keepends=True)
        # Every line begins with its id: {"id": "…
        yield from sorted(lines, key=lambda line: (rank(line[8:72].decode(), seed), line))


def _write_card(folder: Path, card: Card) -> dict[str, Any]:
    write_json(folder / "sources.json", card.sources_table())
    summary = card.summary()
    write_json(folder / "data_card.json", summary)
    write_atomic(folder / "DATA_CARD.md", card.page(summary))
    return summary
