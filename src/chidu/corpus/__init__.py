"""Text in, a corpus out: sources of documents, cleaning, the split, the data card."""

from chidu.corpus.build import build_corpus
from chidu.corpus.document import Document, Dropped
from chidu.corpus.installed import SNAPSHOT, installed_documentation
from chidu.corpus.lines import read_lines
from chidu.corpus.normalise import is_chinese, normalise
from chidu.corpus.text_files import fingerprint_paths, text_bytes, text_files

__all__ = [
    "SNAPSHOT",
    "Document",
    "Dropped",
    "build_corpus",
    "fingerprint_paths",
    "installed_documentation",
    "is_chinese",
    "normalise",
    "read_lines",
    "text_bytes",
    "text_files",
]
