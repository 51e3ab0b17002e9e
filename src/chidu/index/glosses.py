"""Words of a question in another language: what each may mean, weighed against passages as BM25 weighs words.

A word has several meanings, of which one is asked for: a passage gets for it what the phrase gives that fits it best,
and a phrase gives the mean of its words. So a word with ten meanings counts as much as one with a single meaning
(structured queries: Pirkola, 1998).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from chidu.index.postings import Postings
from chidu.index.words import words

__all__ = ["Gloss", "Weighed", "forms", "weigh", "weigh_glosses"]

Array = np.ndarray[Any, np.dtype[Any]]


class Gloss(NamedTuple):
    """A word of a question, and what it may be in the language of the passages."""

    word: str
    phrases: tuple[str, ...]


class Weighed(NamedTuple):
    """What a question's words give to passages."""

    scores: Array
    """Of each passage, in nats."""
    most: float
    """What scores are held against: the sum of the words' idfs, in nats."""
    rarities: dict[str, float]
    """Of each word its idf, in nats."""
    unknown: frozenset[str]
    """Words that no passage has."""


def weigh(postings: Postings, numbers: Iterable[tuple[str, int]]) -> Weighed:
    """Weigh the words of a question, each as often as it comes with its number (-1 where no passage has it)."""
    kept = list(numbers)
    idfs = [postings.idf(one) for _, one in kept]
    unknown = frozenset(word for word, one in kept if not postings.held(one))
    scores = postings.scores([one for _, one in kept])
    return Weighed(scores, sum(idfs), {word: idf for (word, _), idf in zip(kept, idfs, strict=True)}, unknown)


def weigh_glosses(postings: Postings, glosses: Iterable[Gloss], numbers: Callable[[str], list[int]]) -> Weighed:
    """Weigh what the words of a question may mean; ``numbers`` gives those of a text's words, -1 where none has it.

    A word none of whose phrases any passage holds counts for nothing: it may stand there in words that no dictionary
    has. ``rarities`` are those of the words that were found.
    """
    scores, most = np.zeros(len(postings), np.float32), 0.0
    rarities: dict[str, float] = {}
    for gloss in glosses:
        found = [one for one in (_phrase(postings, phrase, numbers) for phrase in gloss.phrases) if one.most]
        if found:
            scores += np.max([one.scores for one in found], axis=0)
            most += max(one.most for one in found)
            rarities |= {word: idf for one in found for word, idf in one.rarities.items()}
    return Weighed(scores, most, rarities, frozenset())


def _phrase(postings: Postings, phrase: str, numbers: Callable[[str], list[int]]) -> Weighed:
    """Weigh a phrase: the mean of those of its words that any passage holds. ``most`` is 0 where none holds one."""
    scores, idfs = np.zeros(len(postings), np.float32), list[float]()
    rarities: dict[str, float] = {}
    for word in words(phrase):
        held = {form: [one for one in numbers(form) if postings.held(one)] for form in forms(word)}
        known = {form: max(each, key=postings.held) for form, each in held.items() if each}
        if not known:
            continue
        # All forms are one word, as rare as the commonest of them.
        idf = min(postings.idf(one) for one in known.values())
        scores += np.max([postings.scores([one]) * (idf / postings.idf(one)) for one in known.values()], axis=0)
        idfs.append(idf)
        rarities |= dict.fromkeys(known, idf)
    count = max(1, len(idfs))
    return Weighed(scores / count, sum(idfs) / count, rarities, frozenset())


def forms(word: str) -> list[str]:
    """Return an English word and how it may end in a text: a plural, a past, an -ing. Some are no words at all."""
    return list(dict.fromkeys(_forms(word)))


def _forms(word: str) -> Iterator[str]:
    yield word
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return
    yield from (word + end for end in ("s", "es", "ed", "ing"))
    if word.endswith("e"):
        yield from (word + "d", word[:-1] + "ing", word[:-1] + "ion")
    elif word.endswith("y"):
        yield from (word[:-1] + "ies", word[:-1] + "ied")
    elif word[-1] not in "aiouw" and word[-2] in "aeiou":
        yield from (word + word[-1] + "ed", word + word[-1] + "ing")
