"""Is a sentence that a model wrote borne out by the text it was given? In doubt: no.

A sentence is borne out where it is a sentence of the text, or the beginning of one up to a seam (a comma, a
conjunction, a preposition): its words are those of that sentence from the first one on, in their order, apart from
endings and articles, and its numbers too. Where the text's sentence has something that turns a meaning (a negation, a
condition, a choice, a hedge, a limit, whose opinion it is), nothing of it may be left out. An item of a list, or what
announces one, says nothing by itself.

Words in common would let through what says the opposite, or gives what one thing does to another; words in common in
their order let through what is put together of two halves of a sentence (LOG.md has the sentences that passed). What is
said right in other words is called not borne out too: docs/summarize.md has how often.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from chidu.errors import MissingPackageError
from chidu.index.words import RUN

if TYPE_CHECKING:
    from collections.abc import Callable

    from chidu.apps.sentences import Sentence

__all__ = ["borne_out_by"]

_NUMBER = re.compile(r"\d[\d.,:/-]*\d|\d")
_SMALL = frozenset(("a", "an", "the", "also", "的", "了"))
"""Words that may come or go."""
_TURNING_WORDS = (
    "not no never none nor neither or either without cannot unless except but only if when until may might could "
    "should must would can rarely hardly seldom often usually sometimes some most almost nearly all every any than "
    "instead said says say claims claimed believes believed thinks suggests argues according reportedly allegedly "
    "supposedly perhaps possibly probably however although though despite before after former formerly first second "
    "last t n doesn don isn aren wasn weren won wouldn shouldn couldn didn"
)
_TURNS = frozenset(_TURNING_WORDS.split())
"""Words that turn what is said around, limit it, leave a choice, or say whose opinion or which order it is."""
_TURNING_CHINESE = (
    "或 不 没 未 无 非 勿 别 除 只 仅 如果 若 假如 除非 可能 也许 或许 大概 应 必须 可以 能 几乎 大多 有些 所有 全部 "
    "每 任何 据 认为 声称 但 却 虽 之前 之后 以前 以后 最 第一 曾"
)
_TURNS_CHINESE = tuple(_TURNING_CHINESE.split())
_SEAM_WORDS = "and which that who because since while as so for of to in on at by with from into using via where"
_SEAM = re.compile(rf"[^\w]*$|\s*[,;:(（，；：、—–]|\s+(?:{_SEAM_WORDS.replace(' ', '|')})\b", re.IGNORECASE)
"""What may follow where a sentence is cut short."""
_PIECE = re.compile(r"^\s*(?:[-*+•–]|\d{1,3}[.)])\s|[:：]\s*$")
"""An item of a list, or what announces one."""
_QUESTIONS = ("?", "？")
_WORD = re.compile(r"[^\W_]+")


def borne_out_by(written: str, source: Sequence[Sentence]) -> Sentence | None:
    """Return the sentence of the source that says all of a written one; None where none does.

    Raises MissingPackageError without PyStemmer.
    """
    said = [token for token, _ in _tokens(written)]
    if not said or _PIECE.search(written):
        return None
    return next((one for one in source if _says(one.text, written, said)), None)


def _says(whole: str, written: str, said: Sequence[str]) -> bool:
    """True where a sentence of the source says all of a written one."""
    tokens = _tokens(whole)
    if [token for token, _ in tokens[: len(said)]] != list(said):
        return False
    if not set(_NUMBER.findall(written)) <= set(_NUMBER.findall(whole)):
        return False
    if whole.rstrip().endswith(_QUESTIONS) and not written.rstrip().endswith(_QUESTIONS):
        return False
    turns = _turns(whole)
    if turns != _turns(written) or (turns and len(tokens) != len(said)):
        return False
    return _SEAM.match(whole, tokens[len(said) - 1][1]) is not None


def _turns(text: str) -> set[str]:
    """Return what in a sentence turns its meaning."""
    plain = text.casefold().replace("’", "'")
    return {word for word in _WORD.findall(plain) if word in _TURNS} | {one for one in _TURNS_CHINESE if one in plain}


def _tokens(text: str) -> list[tuple[str, int]]:
    """Return the words of a sentence without their endings, of Chinese the characters, and where each ends."""
    stem = _stemmer()
    found: list[tuple[str, int]] = []
    for match in RUN.finditer(text):
        if match.group(1):
            found += [(sign, match.start() + place + 1) for place, sign in enumerate(match.group())]
        else:
            found.append((stem(match.group().casefold()), match.end()))
    return [(token, end) for token, end in found if token not in _SMALL]


@cache
def _stemmer() -> Callable[[str], str]:
    try:
        import Stemmer
    except ImportError as error:
        raise MissingPackageError("PyStemmer", "search", "holding written sentences against a text") from error
    rules = Stemmer.Stemmer("english")
    return lambda word: str(rules.stemWord(word))
