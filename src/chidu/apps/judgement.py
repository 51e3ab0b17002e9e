"""Do the documents answer a question, and which passage? Probabilities, by a small model of what the search tells.

How near the nearest passage lies does not tell it: to a question that nothing answers, something lies as near. What
tells it is how far the best passages stand out from those behind them, together with the words in common. The model is
a conditional logit (McFadden, 1974): passage i answers with probability exp(s_i) / (exp(n) + Σ exp(s_j)), none with the
rest; s is linear in what the search tells of the passage, n in what it tells of the passages further down. Its weights
stand in judgement.toml, with what they were fitted on; docs/answer.md has how often it errs on other questions.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chidu.corpus import is_chinese

if TYPE_CHECKING:
    from chidu.index import Found, Hit

__all__ = ["AGAINST", "CANDIDATES", "FEATURES", "LOOKED_AT", "WORDS", "Judgement", "cited", "features", "judgement_for"]

Array = np.ndarray[Any, np.dtype[Any]]

CANDIDATES = 10
"""Passages of which each may answer."""
LOOKED_AT = 30
"""Passages that are asked for: those behind tell how near passages lie that do not answer."""
_FURTHER, _DOWN = 5, 20
"""Places, from 0, between which passages lie that are near by chance; where there are few, from a third of them on."""
FEATURES = ("words", "words_place", "unknown", "foreign", "question", "cosine", "vector_place")
"""What `features` tells of a passage, in this order; of one that words alone ranked the first five."""
AGAINST = ("behind", "passages", "constant")
_MOST_CITED = 3
_SHARE = 0.25
"""Of the first passage's probability that a second or third must have to be cited beside it."""
WORDS = "words"
"""What the model for words alone is called."""
_ENGLISH = ("minilm",)
_WEIGHTS = Path(__file__).with_name("judgement.toml")


@dataclass(frozen=True)
class Judgement:
    """The weights of the model, for passages that were ranked in one way."""

    by_vectors: bool
    """Whether it looks at cosines, or at words alone."""
    passage: Array
    """Of each of a passage's features."""
    none: Array
    """Of the features that speak for none; the last weight is the constant's."""
    threshold: float
    """Probability from which on an answer is given."""

    def probabilities(self, question: str, found: Found, hits: Sequence[Hit]) -> Array:
        """Return for each of the first passages the probability that it answers; what is left to 1: that none does."""
        if not hits:
            return np.zeros(0)
        rows, against = features(question, found, hits, by_vectors=self.by_vectors)
        scores = np.append(rows @ self.passage, against @ self.none)
        weights = np.exp(scores - scores.max())
        return np.asarray(weights[:-1] / weights.sum())


def judgement_for(embedder: str | None, question: str = "") -> Judgement:
    """Return the model for passages that this embedder ranked too; for one it was not fitted for, that of words, and
    for a Chinese question to an English embedder too."""
    known = _read()
    if embedder in _ENGLISH and is_chinese(question):
        embedder = WORDS
    return known.get(embedder or WORDS, known[WORDS])


def features(question: str, found: Found, hits: Sequence[Hit], *, by_vectors: bool) -> tuple[Array, Array]:
    """Return what the search tells of the first passages, [passages, features], and what speaks for none, [features].

    Of a passage: the share that BM25 has of the most that the question's words could give, 1 / its place by words, the
    share of the question's words (by rarity) that no passage has, whether it is in another script than the question,
    where words tell nothing, and whether its heading is a question, mostly another one. By vectors, further: the
    cosine, and 1 / its place by vectors. For none speak the mean score of passages further down, how many passages
    there are (of more of them some lie near by chance), and 1.
    """
    most = found.most or 1.0
    unknown = sum(found.rarities[word] for word in found.unknown) / most
    scores = np.array([(hit.words_score or 0.0) / most for hit in hits])
    foreign = np.array([is_chinese(question) != is_chinese(hit.text) for hit in hits], float)
    rows = [
        scores,
        _places([hit.words_rank for hit in hits]),
        np.where(foreign, 0.0, unknown),
        foreign,
        np.array([float(hit.heading.rstrip().endswith(("?", "？"))) for hit in hits]),
    ]
    if by_vectors:
        lowest = min((hit.cosine for hit in hits if hit.cosine is not None), default=0.0)
        scores = np.array([lowest if hit.cosine is None else hit.cosine for hit in hits])
        rows += [scores, _places([hit.vector_rank for hit in hits])]
    # Words that a passage has none of give it no place: its score is 0.
    count = min(found.passages, _DOWN)
    ranked = np.zeros(max(count, len(scores)))
    ranked[: len(scores)] = np.sort(scores)[::-1]
    further = ranked[max(1, min(_FURTHER, count // 3)) : count]
    # One more, of which nothing is known, at 0, where passages lie that have to do with nothing.
    behind = further.sum() / (len(further) + 1)
    return np.stack(rows, axis=1)[:CANDIDATES], np.array([behind, math.log(found.passages), 1.0])


def cited(probabilities: Array) -> list[int]:
    """Return which passages to cite, the most probable first: up to three, each with a share in what is said."""
    order = [int(one) for one in np.argsort(-probabilities, kind="stable")[:_MOST_CITED]]
    return [one for one in order if probabilities[one] >= _SHARE * probabilities[order[0]]]


def _places(ranks: Sequence[int | None]) -> Array:
    return np.array([1 / rank if rank else 0.0 for rank in ranks])


@cache
def _read() -> dict[str, Judgement]:
    """Return the models by what ranked the passages."""
    values = tomllib.loads(_WEIGHTS.read_text(encoding="utf-8"))
    return {
        name: Judgement(
            name != WORDS, np.array(list(one["passage"].values())), np.array(list(one["none"].values())),
            one["threshold"],
        )
        for name, one in values.items() if isinstance(one, dict)
    }  # fmt: skip
