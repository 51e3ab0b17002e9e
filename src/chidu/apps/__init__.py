"""What a model does for somebody's own files.

vectors.py    vectors of texts of any length
searching.py  passages that a question asks for
"""

from chidu.apps.searching import Answer, are_vectors_made, default_index, make_vectors, search, update
from chidu.apps.vectors import embed_all

__all__ = ["Answer", "are_vectors_made", "default_index", "embed_all", "make_vectors", "search", "update"]
