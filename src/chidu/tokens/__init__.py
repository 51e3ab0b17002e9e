"""Text as tokens: a byte-level BPE, packed token files, and batches in an order that anybody can repeat."""

from chidu.tokens.bpe import END_OF_TEXT, END_OF_TEXT_ID, load_tokenizer, train_tokenizer
from chidu.tokens.packed import pack
from chidu.tokens.pair_file import PairFile, direction, pack_pairs
from chidu.tokens.token_file import TokenFile

__all__ = [
    "END_OF_TEXT",
    "END_OF_TEXT_ID",
    "PairFile",
    "TokenFile",
    "direction",
    "load_tokenizer",
    "pack",
    "pack_pairs",
    "train_tokenizer",
]
