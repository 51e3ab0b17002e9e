"""The tokenizer: byte-level BPE, so that any text, Chinese and emoji included, comes back exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.corpus import read_lines
from chidu.errors import MissingPackageError, SettingError, TextError, WorkFolderError
from chidu.runs.record import write_atomic
from chidu.runs.settings import LEAST_VOCABULARY

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["END_OF_TEXT", "END_OF_TEXT_ID", "load_tokenizer", "train_tokenizer"]

END_OF_TEXT = "<|endoftext|>"
"""The token between documents."""
END_OF_TEXT_ID = 0
_SMALLEST = 257
"""All 256 bytes and the end of text."""


def train_tokenizer(
    train: Path,
    path: Path,
    vocabulary: int,
    sample_bytes: int = 8_000_000,
    fields: Sequence[str] = ("text",),
    special: Sequence[str] = (),
) -> dict[str, Any]:
    """Learn a tokenizer of exactly ``vocabulary`` tokens from the first part of train.jsonl and write it to ``path``.

    The file is in the order of a hash, so that its first ``sample_bytes`` of text are a fair sample. The same sample
    gives the same file. ``fields`` are those of a line that hold text; ``special`` are tokens beside the end of text
    that no text is read as. Returns a summary: vocabulary, sample_bytes, sample_documents.

    Raises SettingError where the vocabulary is below 257, TextError where the text is too short to fill it.
    """
    if vocabulary < _SMALLEST:
        raise SettingError(
            f"vocabulary is {vocabulary}: it must be at least {_SMALLEST} (256 bytes and the end of text)"
        )
    tokenizer = _untrained()
    sample = _Sample(train, sample_bytes, fields)
    tokenizer.train_from_iterator(sample, _trainer(vocabulary, special))
    found = tokenizer.get_vocab_size()
    if found != vocabulary:
        raise TextError(
            f"{train}: {sample.bytes:,} bytes of text give a vocabulary of {found}, not {vocabulary}: "
            f"bring more text{f', or set the vocabulary to {found} or less' if found >= LEAST_VOCABULARY else ''}"
        )
    write_atomic(path, tokenizer.to_str())
    return {"vocabulary": found, "sample_bytes": sample.bytes, "sample_documents": sample.documents}


def load_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer.json so that text is only ever text: a document that spells the end of text does not end.

    Raises WorkFolderError where the file is missing or damaged, MissingPackageError without ``tokenizers``.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingPackageError("tokenizers", "lab", "reading text as tokens") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise WorkFolderError(f"{path} is no tokenizer ({error}): delete its folder to have it made again") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


class _Sample:
    """The texts of a file's first lines, up to a number of bytes, counted on the way."""

    def __init__(self, train: Path, limit: int, fields: Sequence[str]) -> None:
        self.train, self.limit, self.fields = train, limit, fields
        self.bytes = self.documents = 0

    def __iter__(self) -> Iterator[str]:
        for line in read_lines(self.train):
            if self.bytes >= self.limit:
                return
            self.documents += 1
            for text in (line[field] for field in self.fields):
                self.bytes += len(text.encode())
                yield text


def _untrained() -> Tokenizer:
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    except ImportError as error:
        raise MissingPackageError("tokenizers", "lab", "learning a tokenizer") from error
    tokenizer = Tokenizer(models.BPE())
    # The default regex: other tools (llama.cpp among them) know how to do the same.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # A document that spells the end of text must be learned from as text.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _trainer(vocabulary: int, special: Sequence[str]) -> Any:
    from tokenizers import pre_tokenizers, trainers

    return trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT, *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
