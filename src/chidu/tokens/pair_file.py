"""Pairs of sentences as tokens: rows of as many tokens as the context holds, and which of them are to be learned.

A pair stands twice, once each way: source, `<|to-zh|>`, target, end of text. What is read but not learned (the source,
the token of the direction, the room left in a row) is written as its complement, ~token, which is below 0: so one array
says both, and a batch is a batch as of any text. Each row begins with an end of text, so that every source has one
before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from chidu.corpus import read_lines
from chidu.errors import TextError, WorkFolderError
from chidu.runs.record import open_whole
from chidu.tokens.bpe import END_OF_TEXT_ID, load_tokenizer
from chidu.tokens.token_file import epoch_order

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["PairFile", "direction", "pack_pairs"]

_OPEN_ROWS = 32
"""Rows that are being filled at once: a pair goes into the first it fits."""

Rows = npt.NDArray[np.int64]


def direction(language: str) -> str:
    """Return the token between a sentence and its translation into a language."""
    return f"<|to-{language}|>"


def pack_pairs(tokenizer: Path, text: Path, path: Path, languages: tuple[str, str], length: int) -> dict[str, Any]:
    """Encode each pair of a .jsonl file both ways into rows of `length` + 1 tokens, and write them as `path` (.npy).

    Returns a summary: rows, pairs, too_long (pairs that no row holds), tokens (read, both ways), learned (tokens of
    targets), bytes (of targets, UTF-8). Raises TextError where no pair fits.
    """
    reader = load_tokenizer(tokenizer)
    ways = {language: _token(reader, direction(language)) for language in languages}
    rows: list[list[int]] = []
    waiting: list[list[int]] = []
    found = dict.fromkeys(("pairs", "too_long", "tokens", "learned", "bytes"), 0)
    for line in read_lines(text):
        texts = [line[language] for language in languages]
        codes = [encoded.ids for encoded in reader.encode_batch(texts)]
        if sum(map(len, codes)) + 3 > length + 1:
            found["too_long"] += 1
            continue
        found["pairs"] += 1
        found["bytes"] += sum(len(text.encode()) for text in texts)
        for one, other in ((0, 1), (1, 0)):
            learned = [*codes[other], END_OF_TEXT_ID]
            pair = [*(~token for token in codes[one]), ~ways[languages[other]], *learned]
            found["tokens"] += len(pair)
            found["learned"] += len(learned)
            row = next((each for each in waiting if len(each) + len(pair) <= length + 1), None)
            if row is None:
                row = [~END_OF_TEXT_ID]
                waiting.append(row)
                if len(waiting) > _OPEN_ROWS:
                    rows.append(waiting.pop(0))
            row += pair
    rows += waiting
    if not rows:
        raise TextError(f"{text}: no pair fits into a context of {length} tokens: bring shorter sentences")
    array = np.full((len(rows), length + 1), ~END_OF_TEXT_ID, np.int32)
    for place, row in enumerate(rows):
        array[place, : len(row)] = row
    with open_whole(path) as file:
        np.save(file, array, allow_pickle=False)
    return {"rows": len(rows), **found}


def _token(tokenizer: Tokenizer, text: str) -> int:
    found: int | None = tokenizer.token_to_id(text)
    if found is None:
        raise WorkFolderError(f"the tokenizer has no {text}: delete its folder to have it made again")
    return found


class PairFile:
    """Rows that `pack_pairs` wrote, mapped into memory, in a seeded order for training."""

    def __init__(self, path: Path) -> None:
        """Raises WorkFolderError where the file is missing or damaged."""
        try:
            self.rows = np.load(path, mmap_mode="r", allow_pickle=False)
            if self.rows.ndim != 2 or self.rows.dtype != np.int32 or not len(self.rows):
                raise ValueError(f"{self.rows.dtype}, {self.rows.shape}")
        except (OSError, ValueError, EOFError) as error:
            raise WorkFolderError(f"{path} is damaged ({error}): delete its folder to have it made again") from error
        self.path = path

    def batch(self, step: int, sequences: int, context_length: int, seed: int) -> Rows:
        """Return the batch of one step, [sequences, context_length + 1]: every row comes once an epoch.

        As of `TokenFile.batch`, the order is a function of the arguments alone.
        """
        count = len(self.rows)
        places = step * sequences + np.arange(sequences, dtype=np.int64)
        chosen = [int(epoch_order(count, seed, int(place // count))[place % count]) for place in places]
        found: Rows = self.rows[chosen, : context_length + 1].astype(np.int64)
        return found

    def all(self, at_once: int = 16) -> Iterator[Rows]:
        """Yield all rows in their order, for evaluation."""
        for first in range(0, len(self.rows), at_once):
            yield self.rows[first : first + at_once].astype(np.int64)
