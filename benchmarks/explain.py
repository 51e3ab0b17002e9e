"""Do the tokens that reasons name matter more than random ones? The deletion test over many texts, model by model.

Of each text the first 12 to 24 tokens are the prompt, and the token that the model finds most likely after them is
explained. A fifth of the prompt's tokens is left out: those with the highest shares, by integrated gradients and by
leaving one out, and 20 times as many at random. Told is what the token's log-probability falls by, in nats, and the
interval of the difference, by bootstrap over the texts.

    OMP_NUM_THREADS=1 python benchmarks/explain.py --text WORK/corpus/held_out.jsonl --models WORK/model smollm2
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from results import row, tell

from chidu.evaluation.deletion import Deletion, margin
from chidu.evaluation.explanation import explain
from chidu.evaluation.white_box import WhiteBox, open_white_box
from chidu.units import format_level

SHORTEST, LONGEST = 12, 24


def prompts(path: Path, count: int) -> Iterator[str]:
    """Yield English texts from all over a file of documents, as .jsonl."""
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    chosen = [text for text in texts if text.isascii() and len(text) > 200]
    if len(chosen) < count:
        raise SystemExit(f"{path} has {len(chosen)} English texts of 200 characters: ask for fewer with --prompts")
    for number in range(count):
        yield chosen[number * len(chosen) // count]


def tested(box: WhiteBox, texts: Sequence[str]) -> tuple[list[tuple[Deletion, ...]], list[float]]:
    """Return the deletion tests of one token after each text, and what part of the whole the gradients miss."""
    source, found, gaps = np.random.default_rng(0), list[tuple[Deletion, ...]](), list[float]()
    for number, text in enumerate(texts):
        read = box.read(text)[: int(source.integers(SHORTEST, LONGEST + 1))]
        (token,) = explain(box, read, max_tokens=1, seed=number).tokens
        found.append(token.deletion)
        gaps.append(abs(token.gradients.gap / token.gradients.whole))
        print(f"{box.name}: {number + 1} of {len(texts)}", file=sys.stderr, flush=True)
    return found, gaps


def rows(models: Sequence[str], texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield what is measured."""
    for name in models:
        box = open_white_box(name)
        found, gaps = tested(box, texts)
        for number, way in enumerate(("gradients", "leave_one_out")):
            one = margin([each[number].named for each in found], [each[number].random for each in found])
            assert one.low is not None
            assert one.high is not None
            told = (
                f"{one.count} texts; {one.difference:.2f} nats more, {format_level(one.level)} interval {one.low:.2f} "
                f"to {one.high:.2f}: {one.verdict}"
            )
            if not number:
                told += f"; the shares miss {median(gaps):.0%} of the whole (median)"
            yield row(
                f"{way} {box.name}", one.named, one.random, one.named / one.random, "above 1", "nats", told,
                "random tokens",
            )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--text", type=Path, required=True, help="documents, .jsonl, that no model read")
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--prompts", type=int, default=40)
    given = parser.parse_args()
    tell(rows(given.models, list(prompts(given.text, given.prompts))), as_json=given.json)
