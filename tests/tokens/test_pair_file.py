"""Packed pairs: both ways, the source read and not learned, and every row once an epoch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chidu.errors import TextError, WorkFolderError
from chidu.tokens import PairFile, direction, load_tokenizer, pack_pairs, train_tokenizer

PAIRS = [(f"The house has {n} doors.", f"这座房子有 {n} 扇门。") for n in range(40)]
LANGUAGES = ("en", "zh")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    lines = [json.dumps({"en": one, "zh": other}, ensure_ascii=False) for one, other in PAIRS]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = [direction(each) for each in LANGUAGES]
    tokenizer = folder / "tokenizer.json"
    train_tokenizer(folder / "train.jsonl", tokenizer, 300, fields=LANGUAGES, special=special)
    told = pack_pairs(tokenizer, folder / "train.jsonl", folder / "train.npy", LANGUAGES, 64)
    assert told["pairs"] == 40
    assert told["too_long"] == 0
    return folder


def test_each_pair_stands_both_ways_and_its_target_is_learned(packed: Path) -> None:
    rows = PairFile(packed / "train.npy")
    tokenizer = load_tokenizer(packed / "tokenizer.json")
    ways = {tokenizer.token_to_id(direction(each)): each for each in LANGUAGES}
    found = []
    for row in np.concatenate(list(rows.all())):
        assert row[0] == ~0
        texts = np.split(row[1:], np.flatnonzero(row[1:] == 0) + 1)
        for text in texts[:-1]:
            is_read = text < 0
            read, learned = ~text[is_read], text[~is_read]
            assert list(is_read) == sorted(is_read, reverse=True), "the source comes first, whole"
            assert learned[-1] == 0
            found.append((tokenizer.decode(list(read[:-1])), ways[read[-1]], tokenizer.decode(list(learned[:-1]))))
        assert set(texts[-1]) <= {~0}, "what is left of a row is not learned"
    assert sorted(found) == sorted([*((a, "zh", b) for a, b in PAIRS), *((b, "en", a) for a, b in PAIRS)])


def test_batches_are_a_function_of_the_step(packed: Path) -> None:
    one, other = PairFile(packed / "train.npy"), PairFile(packed / "train.npy")
    count = len(one.rows)
    steps = [one.batch(step, 1, 64, seed=3) for step in range(count)]
    assert sorted(row.tobytes() for row in steps) == sorted(row[None].tobytes() for row in np.concatenate([*one.all()]))
    assert np.array_equal(other.batch(count - 1, 1, 64, seed=3), steps[-1])
    assert not np.array_equal(
        np.concatenate(steps), np.concatenate([one.batch(s, 1, 64, seed=4) for s in range(count)])
    )


def test_text_that_spells_a_direction_is_text(packed: Path) -> None:
    tokenizer = load_tokenizer(packed / "tokenizer.json")
    assert tokenizer.token_to_id("<|to-zh|>") not in tokenizer.encode("a <|to-zh|> b").ids


def test_pairs_that_fit_no_row_are_counted(packed: Path) -> None:
    with pytest.raises(TextError, match="no pair fits into a context of 8 tokens"):
        pack_pairs(packed / "tokenizer.json", packed / "train.jsonl", packed / "x.npy", LANGUAGES, 8)


def test_damaged_files_are_named(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.npy").write_bytes((packed / "train.npy").read_bytes()[:90])
    np.save(tmp_path / "other.npy", np.zeros(3))
    for name in ("torn.npy", "other.npy", "none.npy"):
        with pytest.raises(WorkFolderError, match="damaged"):
            PairFile(tmp_path / name)
