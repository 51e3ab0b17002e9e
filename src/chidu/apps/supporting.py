"""Is a sentence that a model wrote borne out by the text it was given? In doubt: no.

A sentence is borne out where one sentence of the text says all of it: it begins as that one does, so that both speak
of the same thing; its words stand there in the same order, in at most three unbroken runs; and nothing that turns a
meaning (a negation, a condition, a choice, a hedge, a limit, whose opinion it is) is left out; where there is such a
thing, nothing is. An item of a list, or what announces one, says nothing by itself. Words in common alone
would let through what says the opposite, or gives what one thing does to another; so does what is put together of two
sentences. What is said right in other words is called not borne out too: docs/summarize.md has how often.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import TYPE_CHECKING

from chidu.errors import MissingPackageError
from chidu.index.words import RUN

if TYPE_CHECKING:
    from collections.abc import Callable

    from chidu.apps.sentences import Sentence

__all__ = ["borne_out_by"]

_RUNS = 3
"""Stretches of the text's sentence of which a shorter one may be made."""
_LEAST, _LEAST_CHINESE = 2, 4
"""Words, and characters of Chinese, that a stretch must have: single ones could stand anywhere in it."""
_NUMBER = re.compile(r"\d[\d.,:/-]*\d|\d")
_SMALL_WORDS = (
    "a an the of to in on at by for with and that which who it its this these those is are was were be been being has "
    "have had also their his her our your 的 了 着 是 在 和 与 也 就"
)
_SMALL = frozenset(_SMALL_WORDS.split())
"""Words that a shorter sentence may add or leave out."""
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
_PIECE = re.compile(r"^\s*(?:[-*+•–]|\d{1,3}[.)])\s|[:：]\s*$")
"""An item of a list, or what announces one."""
_QUESTIONS = ("?", "？")
_WORD = re.compile(r"[^\W_]+")


def borne_out_by(written: str, source: Sequence[Sentence]) -> Sentence | None:
    """Return the sentence of the source that says all of a written one; None where none does.

    Raises MissingPackageError without PyStemmer.
    """
    said = _tokens(written)
    if not said or _PIECE.search(written):
        return None
    return next((one for one in source if _says(one.text, written, said)), None)


def _says(whole: str, written: str, said: Sequence[str]) -> bool:
    """True where a sentence of the source says all of a written one."""
    numbers = set(_NUMBER.findall(whole))
    if not set(_NUMBER.findall(written)) <= numbers:
        return False
    if whole.rstrip().endswith(_QUESTIONS) and not written.rstrip().endswith(_QUESTIONS):
        return False
    turns, tokens = _turns(whole), _tokens(whole)
    if turns != _turns(written) or (turns and tokens != said):
        return False
    matched = SequenceMatcher(None, tokens, said, autojunk=False).get_matching_blocks()
    blocks = [block for block in matched if block.size]
    # What it speaks of stands at the beginning: a later part of the sentence may speak of something else.
    if sum(block.size for block in blocks) < len(said) or len(blocks) > _RUNS or blocks[0].a:
        return False
    return len(blocks) == 1 or all(_is_long(said[block.b : block.b + block.size]) for block in blocks)


def _is_long(run: Sequence[str]) -> bool:
    dense = sum(1 for token in run if not token.isascii() and len(token) == 1)
    return dense / _LEAST_CHINESE + (len(run) - dense) / _LEAST >= 1


def _turns(text: str) -> set[str]:
    """Return what in a sentence turns its meaning."""
    plain = text.casefold().replace("’", "'")
    return {word for word in _WORD.findall(plain) if word in _TURNS} | {one for one in _TURNS_CHINESE if one in plain}


def _tokens(text: str) -> list[str]:
    """Return the words of a sentence without their endings and without the small ones; of Chinese the characters."""
    stem = _stemmer()
    found: list[str] = []
    for match in RUN.finditer(text):
        found += match.group() if match.group(1) else [stem(match.group().casefold())]
    return [token for token in found if token not in _SMALL]


@cache
def _stemmer() -> Callable[[str], str]:
    try:
        import Stemmer
    except ImportError as error:
        raise MissingPackageError("PyStemmer", "search", "holding written sentences against a text") from error
    rules = Stemmer.Stemmer("english")
    return lambda word: str(rules.stemWord(word))
