"""What a model does for somebody's own files.

vectors.py      vectors of texts of any length
glosses.py      what the words of a Chinese question mean in English
questions.py    the vector of a question
searching.py    passages that a question asks for
sentences.py    the sentences of a text and their places
summarizing.py  the sentences that say most of a text
supporting.py   whether a text bears a written sentence out
abstracting.py  summaries that a model writes, part by part
markdown.py     the prose of a Markdown text
keeping.py      what was made of pieces of a text, in a file, while the work is under way
translating.py  a text in another language
quoting.py      the stretch of a passage that answers a question
composing.py    an answer that a model writes, held against the passages
answering.py    a question answered from documents
judging/        all of these judged on pairs, beside plain baselines
"""

from chidu.apps.abstracting import Written, WrittenSummary, write_summary
from chidu.apps.answering import Answer, Citation, Document, SetAside, answer, answer_from
from chidu.apps.headlines import Headline, headline
from chidu.apps.keeping import KeptPieces
from chidu.apps.questions import question_vector
from chidu.apps.searching import (
    Searched,
    are_vectors_made,
    default_index,
    make_vectors,
    search,
    search_texts,
    update,
)
from chidu.apps.sentences import Sentence, sentences
from chidu.apps.summarizing import Kept, Summary, summarize
from chidu.apps.translating import LeftAlone, SentencePair, Translation, detect_language, translate
from chidu.apps.vectors import embed_all

__all__ = [
    "Answer",
    "Citation",
    "Document",
    "Headline",
    "Kept",
    "KeptPieces",
    "LeftAlone",
    "Searched",
    "Sentence",
    "SentencePair",
    "SetAside",
    "Summary",
    "Translation",
    "Written",
    "WrittenSummary",
    "answer",
    "answer_from",
    "are_vectors_made",
    "default_index",
    "detect_language",
    "embed_all",
    "headline",
    "make_vectors",
    "question_vector",
    "search",
    "search_texts",
    "sentences",
    "summarize",
    "translate",
    "update",
    "write_summary",
]
