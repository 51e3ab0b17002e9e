"""Text to packed tokens, word by word: a text repeats its words, so each need be encoded only once.

Exactly what the tokenizer itself gives, about four times as fast, for text in ASCII; other text goes to the tokenizer,
because Python's regular expressions know no Unicode categories.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.tokens.bpe import END_OF_TEXT_ID, load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Encoder"]

# What ByteLevel's default expression, with \p{L} for letters and \p{N} for digits, does to ASCII.
_WORD = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")
# Python takes these for blanks, the tokenizer does not.
_SEPARATORS = re.compile("[\x1c-\x1f]")
_MOST_WORDS = 500_000
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


class Encoder:
    """A tokenizer whose words are remembered as packed tokens (some 100 bytes of memory each)."""

    def __init__(self, path: Path) -> None:
        self.tokenizer = load_tokenizer(path)
        self.dtype = np.dtype("<u2" if self.tokenizer.get_vocab_size() <= 65_536 else "<u4")
        """uint16, or uint32 where the vocabulary is above 65,536; little-endian."""
        self.end_of_text = np.array([END_OF_TEXT_ID], self.dtype).tobytes()
        self._words = _Words(self.tokenizer, self.dtype)
        self._by_word = _is_byte_level(self.tokenizer)

    def encode(self, text: str) -> bytes:
        """Return the text's tokens as the bytes of an array of `dtype`."""
        if not self._by_word or not text.isascii() or _SEPARATORS.search(text):
            return _packed(self.tokenizer, text, self.dtype)
        if len(self._words) > _MOST_WORDS:
            self._words.clear()
        return b"".join(map(self._words.__getitem__, _WORD.findall(text)))


class _Words(dict[str, bytes]):
    """Word → its packed tokens, encoded when it is first asked for."""

    def __init__(self, tokenizer: Tokenizer, dtype: np.dtype[Any]) -> None:
        super().__init__()
        self.tokenizer, self.dtype = tokenizer, dtype

    def __missing__(self, word: str) -> bytes:
        packed = self[word] = _packed(self.tokenizer, word, self.dtype)
        return packed


def _packed(tokenizer: Tokenizer, text: str, dtype: np.dtype[Any]) -> bytes:
    return np.array(tokenizer.encode(text).ids, dtype).tobytes()


def _is_byte_level(tokenizer: Tokenizer) -> bool:
    """Tell whether a tokenizer cuts text as ours does, and does nothing else to it."""
    values = json.loads(tokenizer.to_str())
    cut = values["pre_tokenizer"] or {}
    same = all(cut.get(name) == value for name, value in _BYTE_LEVEL.items())
    return same and values["normalizer"] is None and values["post_processor"] is None
