"""A packed token file: windows of it in a seeded order for training, in a fixed one for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chidu.errors import StorageError, TextError, WorkFolderError
from chidu.runs.record import read_json
from chidu.runs.storage import steadily
from chidu.tokens.bpe import END_OF_TEXT_ID
from chidu.tokens.packed import beside

__all__ = ["TokenFile", "epoch_order"]

Windows = npt.NDArray[np.int64]


class TokenFile:
    """Tokens mapped into memory, seen as windows that overlap in one token: the last target of one is the next's first.

    A window of context length T has T + 1 tokens: T inputs, and the same moved by one as targets.
    """

    def __init__(self, path: Path, values: dict[str, Any], tokens: npt.NDArray[np.unsignedinteger[Any]]) -> None:
        self.path = path
        self.tokens: int = values["tokens"]
        """Tokens in the file, ends of text included."""
        self.documents: int = values["documents"]
        self.bytes: int = values["bytes"]
        """Bytes of the text, UTF-8."""
        self.bytes_per_token: float = values["bytes_per_token"]
        """Bytes of text a token stands for, ends of text counted as tokens of 0 bytes."""
        self.vocabulary: int = values["vocabulary"]
        self.content: str = values["sha256"]
        """The sha256 of the file, as it was written."""
        self.array = tokens

    @classmethod
    def open(cls, path: Path) -> TokenFile:
        """Map a token file into memory.

        Raises WorkFolderError where it, or the JSON beside it, is missing, damaged, or of another length than it says.
        """
        values = read_json(beside(path))
        try:
            dtype = np.dtype(values["dtype"]).newbyteorder("<")
            expected, found = values["tokens"] * dtype.itemsize, steadily(path.stat, path).st_size
            if expected != found or not found:
                raise ValueError(f"{found} bytes, {expected} expected")
            tokens = steadily(lambda: np.memmap(path, dtype, "r"), path)
            return cls(path, values, tokens)
        except StorageError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkFolderError(f"{path} is damaged ({error}): delete its folder to have it made again") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Reach another process as a path, not as a copy of all tokens."""
        return TokenFile.open, (self.path,)

    def __repr__(self) -> str:
        return f"TokenFile({str(self.path)!r}, tokens={self.tokens:,}, bytes_per_token={self.bytes_per_token:.2f})"

    def unique_sequences(self, context_length: int) -> int:
        """Return the number of windows in an epoch. Raises TextError where there is not one."""
        windows = (self.tokens - 1) // context_length
        if windows < 1:
            raise TextError(
                f"{self.path}: {self.tokens} tokens are too few for one sequence of {context_length}: "
                "bring more text, or shorten the context"
            )
        return windows

    def batch(self, step: int, sequences: int, context_length: int, seed: int) -> Windows:
        """Return the batch of one step: int64, [sequences, context_length + 1].

        Step 0 is the first. Every window comes once an epoch, in an order that is a function of seed and epoch; the
        rows of a step are places ``step * sequences`` and following in it, so nothing depends on who asks, or on what
        was asked before. Keep ``sequences`` the same through a run. Raises TextError as `unique_sequences` does.
        """
        windows = self.unique_sequences(context_length)
        places = step * sequences + np.arange(sequences, dtype=np.int64)
        epochs, within = places // windows, places % windows
        chosen = np.empty(sequences, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = epoch_order(windows, seed, int(epoch))[within[here]]
        return self._windows(chosen, context_length)

    def held_out_batches(
        self, context_length: int, tokens_limit: int | None = None, sequences: int = 16
    ) -> Iterator[Windows]:
        """Yield windows for evaluation, always the same: int64, [up to sequences, context_length + 1].

        They are spread evenly over the file and have at most ``tokens_limit`` targets together (but at least one
        window); without a limit, every window comes once.
        """
        chosen = self._held_out(context_length, tokens_limit)
        for first in range(0, len(chosen), sequences):
            yield self._windows(chosen[first : first + sequences], context_length)

    def held_out_documents(self, context_length: int, tokens_limit: int | None = None) -> Windows:
        """Return which document of the file each target of `held_out_batches` is of: int64, [windows, context_length].

        A document ends with its end of text. Windows know no documents: one may have parts of several, and a document
        parts in several windows.
        """
        ends = np.flatnonzero(self.array == END_OF_TEXT_ID)
        targets = self._held_out(context_length, tokens_limit)[:, None] * context_length
        return np.searchsorted(ends, targets + np.arange(1, context_length + 1)).astype(np.int64)

    def _held_out(self, context_length: int, tokens_limit: int | None) -> npt.NDArray[np.int64]:
        """Return the windows for evaluation."""
        windows = self.unique_sequences(context_length)
        wanted = windows if tokens_limit is None else min(windows, max(1, tokens_limit // context_length))
        chosen: npt.NDArray[np.int64] = (2 * np.arange(wanted, dtype=np.int64) + 1) * windows // (2 * wanted)
        return chosen

    def _windows(self, chosen: npt.NDArray[np.int64], context_length: int) -> Windows:
        positions = chosen[:, None] * context_length + np.arange(context_length + 1)
        windows: Windows = self.array[positions].astype(np.int64)
        return windows


@lru_cache(maxsize=2)
def epoch_order(windows: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return one epoch's permutation of the windows; the two used last are kept."""
    # NumPy promises the raw stream for all its versions, but not what `permutation` makes of it.
    return np.argsort(np.random.PCG64([seed, epoch]).random_raw(windows), kind="stable")
