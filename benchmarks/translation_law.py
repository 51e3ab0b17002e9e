"""How does the loss of a translation model fall with its params and with the pairs there are? A ladder of small ones.

Each rung reads its part of the pairs once, both ways; the parts are nested, the vocabulary and the held-out pairs are
the same for all. What comes out is a table for `chidu fit`: params (those that multiply), pairs, tokens, flops, loss
(nats per token of the held-out translations), chrf (of sentences of the held-out pairs, by beams, mean of both ways).
A rung that is there already is not made again.

    OMP_NUM_THREADS=1 python benchmarks/translation_law.py --pairs w/translation/pairs --folder ladder \\
        [--widths 32 64 96] [--parts 32 16 8 4] [--sentences 40]
    chidu fit ladder/runs.csv --law 'E + A/params**alpha + B/pairs**beta'
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from pathlib import Path
from typing import Any

import sacrebleu

from chidu.corpus import read_lines
from chidu.inference.beam import beam_search
from chidu.runs.record import write_json
from chidu.runs.run import Run
from chidu.tokens import END_OF_TEXT_ID, direction, load_tokenizer, pack_pairs, train_tokenizer
from chidu.training.loop import trained_model
from chidu.training.pairs import PairDesign, pair_recipe, train_pairs
from chidu.training.target import WEIGHTS

LANGUAGES = ("en", "zh")
CONTEXT = 256
BEAMS = 4
HELD_OUT = 1000
"""Held-out pairs that the loss is taken on."""
LONGEST = 80
"""Tokens of a translation that is judged."""


def write_texts(pairs: Path, folder: Path, parts: list[int], vocabulary: int) -> dict[str, dict[str, Any]]:
    """Write the tokenizer and the packed parts; return their summaries."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        special = [direction(each) for each in LANGUAGES]
        train_tokenizer(pairs / "train.jsonl", tokenizer, vocabulary, fields=LANGUAGES, special=special)
    lines = (pairs / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = (pairs / "held_out.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:HELD_OUT]
    found = {}
    for name, chosen in {"held_out": kept, **{f"part-{part}": lines[: len(lines) // part] for part in parts}}.items():
        inside = folder / name
        inside.mkdir(exist_ok=True)
        (inside / "text.jsonl").write_text("".join(chosen), encoding="utf-8")
        found[name] = pack_pairs(tokenizer, inside / "text.jsonl", inside / "train.npy", LANGUAGES, CONTEXT)
        if name != "held_out":
            (inside / "held_out.npy").unlink(missing_ok=True)
            (inside / "held_out.npy").hardlink_to(folder / "held_out" / "train.npy")
    return found


def rung(folder: Path, width: int, part: int, packed: dict[str, dict[str, Any]], vocabulary: int) -> Run:
    """Train one model on one part, once through."""
    recipe = pair_recipe(vocabulary, CONTEXT)
    name = f"width-{width}-part-{part}"
    steps = packed[f"part-{part}"]["rows"] * CONTEXT // recipe.batch_tokens
    config = recipe.config(width, steps, seed=0)
    inside = folder / name
    inside.mkdir(exist_ok=True)
    summaries = {"train": packed[f"part-{part}"], "held_out": packed["held_out"]}
    return train_pairs(PairDesign(config, 1, 1, 0.0), name, folder / f"part-{part}", summaries, inside, lambda _: None)


def chrf(folder: Path, run: Run, sentences: int) -> float:
    """Return chrF on held-out pairs, the mean of both ways."""
    model = trained_model(run.config, folder / run.name / WEIGHTS)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    lines = list(itertools.islice(read_lines(folder / "held_out" / "text.jsonl"), sentences))
    found = []
    for source, target in (LANGUAGES, LANGUAGES[::-1]):
        said = []
        for line in lines:
            prefix = [END_OF_TEXT_ID, *tokenizer.encode(line[source]).ids, tokenizer.token_to_id(direction(target))]
            most = min(LONGEST, CONTEXT - len(prefix))
            said.append(tokenizer.decode(list(beam_search(model, prefix, most, BEAMS, END_OF_TEXT_ID).tokens)))
        found.append(sacrebleu.corpus_chrf(said, [[line[target] for line in lines]]).score)
    return sum(found) / len(found)


def main(options: argparse.Namespace) -> None:
    """Make the ladder, the cheapest rungs first, and write its table after each."""
    packed = write_texts(options.pairs, options.folder, options.parts, options.vocabulary)
    write_json(options.folder / "packed.json", packed)
    recipe = pair_recipe(options.vocabulary, CONTEXT)
    rungs = sorted(
        itertools.product(options.widths, options.parts), key=lambda each: recipe.shape(each[0]).params_matmul / each[1]
    )
    rows: list[dict[str, Any]] = []
    for width, part in rungs:
        run = rung(options.folder, width, part, packed, options.vocabulary)
        rows.append({
            "params": run.config.shape.params_matmul, "pairs": packed[f"part-{part}"]["pairs"],
            "tokens": run.config.tokens, "flops": run.flops_spent, "loss": run.loss,
            "chrf": chrf(options.folder, run, options.sentences), "width": width, "seconds": round(run.seconds, 1),
        })  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
        with (options.folder / "runs.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="folder with train.jsonl and held_out.jsonl")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 96])
    parser.add_argument("--parts", type=int, nargs="+", default=[32, 16, 8, 4], help="1/32 of the pairs, and so on")
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--sentences", type=int, default=40, help="held-out sentences for chrF, each way")
    main(parser.parse_args())
