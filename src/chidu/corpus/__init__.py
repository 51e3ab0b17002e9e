"""Text in, a corpus out: sources of documents, cleaning, the split, the data card."""

from chidu.corpus.build import build_corpus
from chidu.corpus.document import Document, Dropped
from chidu.corpus.installed import SNAPSHOT, installed_documentation
from chidu.corpus.languages import LANGUAGES, check_language
from chidu.corpus.lines import read_lines
from chidu.corpus.normalise import as_written, is_chinese, normalise
from chidu.corpus.pairs import NO_PROSE, Pair, build_pairs, pair_files, read_pairs
from chidu.corpus.text_files import fingerprint_paths, text_bytes, text_files

__all__ = [
    "LANGUAGES",
    "NO_PROSE",
    "SNAPSHOT",
    "Document",
    "Dropped",
    "Pair",
    "as_written",
    "build_corpus",
    "build_pairs",
    "check_language",
    "fingerprint_paths",
    "installed_documentation",
    "is_chinese",
    "normalise",
    "pair_files",
    "read_lines",
    "read_pairs",
    "text_bytes",
    "text_files",
]
