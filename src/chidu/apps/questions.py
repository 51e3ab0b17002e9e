"""The vector of a question, without what it has in common with every question of its language.

Some passages lie near to whatever is asked, and those in the question's own language nearer than others. Both are in
the mean of many questions' vectors; what is left without that mean is what this one asks for. (Vectors of texts share a
mean that tells nothing: Mu and Viswanath, 1702.01417. Passages stay as they are, so an index need not be made again.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from chidu.apps.glosses import glosses
from chidu.apps.vectors import embed_all
from chidu.corpus import is_chinese

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from chidu.index import Gloss
    from chidu.inference.embedding import Embedder

__all__ = ["mean_question", "question_vector"]

_ENGLISH = (
    "What is the capital of Peru?",
    "How do I bake bread?",
    "when was the bridge built",
    "Who pays for the repair?",
    "how to change a tyre",
    "Why is the sky blue?",
    "Which form do I need to move house?",
    "How long does the train take?",
    "find a good recipe for soup",
    "What does the contract say about notice?",
    "How can I reset the password?",
    "where are the keys kept",
    "How many members does the club have?",
    "what is the difference between a lease and a loan",
    "Can I return the shoes?",
    "steps to register a company",
)
_CHINESE = (
    "秘鲁的首都是哪里？",
    "怎样烤面包？",
    "这座桥是什么时候建的",
    "修理费由谁出？",
    "怎样换轮胎",
    "天为什么是蓝的？",
    "搬家要填哪张表？",
    "火车要开多久？",
    "找一个好的汤的做法",
    "合同里关于通知是怎么说的？",
    "怎样重设密码？",
    "钥匙放在哪里",
    "俱乐部有多少会员？",
    "租赁和贷款有什么区别",
    "鞋子可以退吗？",
    "注册公司的步骤",
)


GLOSSED = 0.3
"""What a question by its glosses weighs beside the question itself, chosen on questions about Debian and on what manual
pages say that they are for: see benchmarks/glosses.py."""


def question_vector(embedder: Embedder, question: str, meant: Sequence[Gloss] = ()) -> NDArray[np.float32]:
    """Return the vector of a question less the mean of sixteen everyday ones, [dimension], of no particular length.

    Their language is Chinese or English: questions in others are taken for English ones. With ``meant`` the first
    meaning of each word, one after another, is a second question, less the mean of the everyday ones so told; the two
    are added, lengths made equal. Raises InputError where the question is empty.
    """
    import numpy as np

    (own,) = embed_all(embedder, [question], "query")
    found = own - mean_question(embedder, chinese=is_chinese(question))
    if not meant:
        return np.asarray(found, np.float32)
    (told,) = embed_all(embedder, [_said(meant)], "query")
    other = told - _mean(embedder, "glossed")
    return np.asarray((1 - GLOSSED) * _unit(found) + GLOSSED * _unit(other), np.float32)


def _said(meant: Sequence[Gloss]) -> str:
    return " ".join(one.phrases[0] for one in meant)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


_means: WeakKeyDictionary[Embedder, dict[str, NDArray[np.float32]]] = WeakKeyDictionary()


def mean_question(embedder: Embedder, *, chinese: bool) -> NDArray[np.float32]:
    """Return the mean of the everyday questions in Chinese or English, [dimension]."""
    return _mean(embedder, "chinese" if chinese else "english")


def _mean(embedder: Embedder, kind: str) -> NDArray[np.float32]:
    """Return the mean of one kind of everyday questions: made once, since they take longer than the one asked."""
    import numpy as np

    known = _means.setdefault(embedder, {})
    if kind not in known:
        if kind == "glossed":
            everyday = [_said(glosses(one)) for one in _CHINESE]
        else:
            everyday = list(_CHINESE if kind == "chinese" else _ENGLISH)
        known[kind] = np.asarray(embed_all(embedder, everyday, "query").mean(0), np.float32)
    return known[kind]
