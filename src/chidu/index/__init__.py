"""Passages of files, found by words and by vectors; and where a text stands word for word in a corpus.

This room embeds nothing: vectors come from whoever embeds. Lower files first:

words.py      the words of a text, in scripts with and without blanks
passage.py    lines cut into passages where the text pauses
markup.py     headings of Markdown, reStructuredText, HTML and code
reading.py    the files of a folder as passages
ranking.py    the best of many scores; one order out of several
postings.py   BM25
glosses.py    words of another language, weighed by what they may mean
vectors.py    rows mapped into memory, the nearest to one
store.py      the SQLite file that says what an index holds
filling.py    vectors put in little by little
graph.py      a short cut over very many vectors
writing.py    an index made and kept up
searching.py  an index searched
given.py      texts that are given and not kept
shard.py      one shard of a corpus, its suffix array mapped into memory
nearest.py    passages near to a text by its rarest words, through suffix arrays
suffixes.py   suffix arrays over a corpus
"""

from chidu.index.filling import Embedder, Wanted, drop_vectors
from chidu.index.given import Document, GivenTexts
from chidu.index.glosses import Gloss
from chidu.index.graph import build_graph
from chidu.index.nearest import Near
from chidu.index.passage import LONGEST, Passage
from chidu.index.reading import MOST_BYTES
from chidu.index.searching import Found, Hit, Index
from chidu.index.shard import Place
from chidu.index.suffixes import SHARD_BYTES, Span, Trace, build_trace
from chidu.index.words import words
from chidu.index.writing import Updated, update_index

__all__ = [
    "LONGEST",
    "MOST_BYTES",
    "SHARD_BYTES",
    "Document",
    "Embedder",
    "Found",
    "GivenTexts",
    "Gloss",
    "Hit",
    "Index",
    "Near",
    "Passage",
    "Place",
    "Span",
    "Trace",
    "Updated",
    "Wanted",
    "build_graph",
    "build_trace",
    "drop_vectors",
    "update_index",
    "words",
]
