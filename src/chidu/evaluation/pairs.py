"""Minimal pairs: two sentences that differ in one word, one of them against the grammar (as in BLiMP, 1912.00582).

They are written from templates over small lexicons, so none is taken from anywhere. Both sentences of a pair have the
same words but one.
"""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["chinese_pairs", "english_pairs"]

Pair = tuple[str, str]
"""The grammatical sentence, then the other."""

NOUNS = ("file", "value", "test", "module", "option", "list", "name", "user", "window", "table", "message", "letter")
PLACES = ("folder", "program", "house", "report", "page", "system", "office", "garden")
ADJECTIVES = ("empty", "new", "large", "old", "small", "good", "missing", "useful")
PEOPLE = (
    ("The king", "himself", "herself"),
    ("The queen", "herself", "himself"),
    ("My father", "himself", "herself"),
    ("My mother", "herself", "himself"),
    ("The boy", "himself", "themselves"),
    ("The girls", "themselves", "herself"),
    ("The men", "themselves", "himself"),
)
VERBS = (("write", "writes"), ("read", "reads"), ("return", "returns"), ("use", "uses"), ("open", "opens"))
PAST = (("see", "seen", "saw"), ("write", "written", "wrote"), ("take", "taken", "took"), ("give", "given", "gave"))


def agreement(source: random.Random) -> Pair:
    """The verb agrees with its noun, not with the nearer one."""
    noun, place, adjective = source.choice(NOUNS), source.choice(PLACES), source.choice(ADJECTIVES)
    if source.random() < 0.5:
        start, right, wrong = f"The {noun}s in the {place}", "are", "is"
    else:
        start, right, wrong = f"The {noun} in the {place}s", "is", "are"
    return f"{start} {right} {adjective}.", f"{start} {wrong} {adjective}."


def determiner(source: random.Random) -> Pair:
    """This and these agree with their noun."""
    noun, (verb, _) = source.choice(NOUNS), source.choice(VERBS)
    one, many = source.choice((("this", "these"), ("that", "those")))
    if source.random() < 0.5:
        return f"We {verb} {many} {noun}s.", f"We {verb} {one} {noun}s."
    return f"We {verb} {one} {noun}.", f"We {verb} {many} {noun}."


def reflexive(source: random.Random) -> Pair:
    """A reflexive agrees with its subject."""
    (who, right, wrong), verb = source.choice(PEOPLE), source.choice(("saw", "asked", "helped", "found", "told"))
    return f"{who} {verb} {right}.", f"{who} {verb} {wrong}."


def modal(source: random.Random) -> Pair:
    """After a modal the verb has no ending."""
    (base, third), noun = source.choice(VERBS), source.choice(NOUNS)
    start = f"The {source.choice(('program', 'teacher', 'function', 'child'))} {source.choice(('can', 'will', 'must'))}"
    return f"{start} {base} the {noun}.", f"{start} {third} the {noun}."


def participle(source: random.Random) -> Pair:
    """After have stands the participle."""
    _, done, past = source.choice(PAST)
    start, noun = source.choice(("They have", "We have", "She has", "He has")), source.choice(NOUNS)
    return f"{start} {done} the {noun}.", f"{start} {past} the {noun}."


def article(source: random.Random) -> Pair:
    """An stands before a vowel alone."""
    adjective, noun = source.choice(("empty", "old", "new", "large", "useless", "open", "good")), source.choice(NOUNS)
    is_vowel = adjective in ("empty", "old", "open")
    # "useless" begins with a consonant's sound.
    right, wrong = ("an", "a") if is_vowel else ("a", "an")
    return f"This is {right} {adjective} {noun}.", f"This is {wrong} {adjective} {noun}."


CLASSIFIED = (
    ("本", ("书", "词典", "小说")),
    ("只", ("猫", "鸟", "老鼠")),
    ("张", ("纸", "桌子", "照片")),
    ("条", ("河", "鱼", "裤子")),
    ("辆", ("汽车", "自行车", "卡车")),
    ("位", ("老师", "医生", "客人")),
)
SUBJECTS = ("我", "他", "她", "我们", "他们", "老师")
TAKEN = (("书", "看"), ("信", "写"), ("饭", "吃"), ("水", "喝"), ("衣服", "洗"), ("门", "打"))


def classifier(source: random.Random) -> Pair:
    """A noun has its measure word."""
    (right, nouns), (wrong, _) = source.sample(CLASSIFIED, 2)
    start = source.choice(SUBJECTS) + source.choice(("看见了", "找到了", "遇到了")) + source.choice(("一", "两", "三"))
    noun = source.choice(nouns)
    return f"{start}{right}{noun}。", f"{start}{wrong}{noun}。"


def negation(source: random.Random) -> Pair:
    """What has not happened is negated by 没, what one does not do by 不; with 过 only 没."""
    subject, (noun, verb) = source.choice(SUBJECTS), source.choice(TAKEN[:5])
    return f"{subject}没{verb}过这种{noun}。", f"{subject}不{verb}过这种{noun}。"


def comparison(source: random.Random) -> Pair:
    """A comparison with 比 takes 更, not 很."""
    first, second = source.sample(("哥哥", "弟弟", "姐姐", "妹妹", "爸爸", "妈妈", "老师", "学生"), 2)
    adjective = source.choice(("高", "忙", "快", "聪明", "年轻", "累"))
    return f"{first}比{second}更{adjective}。", f"{first}比{second}很{adjective}。"


def plural(source: random.Random) -> Pair:
    """们 does not go with things; after 这些 stands the bare noun."""
    noun = source.choice(("书", "桌子", "文件", "汽车", "照片", "问题"))
    adjective = source.choice(("新", "旧", "贵", "重要", "便宜"))
    return f"这些{noun}很{adjective}。", f"这个些{noun}很{adjective}。"


def question(source: random.Random) -> Pair:
    """A question by 是不是 takes 呢, not 吗."""
    subject = source.choice(("你", "他", "她", "你们", "他们"))
    what = source.choice(("老师", "学生", "医生", "工人", "北京人", "朋友"))
    return f"{subject}是不是{what}呢？", f"{subject}是不是{what}吗？"


def structure(source: random.Random) -> Pair:
    """The order of 把: object before verb."""
    subject, (noun, verb) = source.choice(SUBJECTS), source.choice(TAKEN[:5])
    return f"{subject}把{noun}{verb}完了。", f"{subject}把{verb}完了{noun}。"


ENGLISH: tuple[Callable[[random.Random], Pair], ...] = (
    agreement, determiner, reflexive, modal, participle, article,
)  # fmt: skip
CHINESE: tuple[Callable[[random.Random], Pair], ...] = (
    classifier, negation, comparison, plural, question, structure,
)  # fmt: skip


def english_pairs(count: int, source: random.Random) -> list[Pair]:
    """Return so many pairs, of each kind as many, none twice."""
    return _pairs(ENGLISH, count, source)


def chinese_pairs(count: int, source: random.Random) -> list[Pair]:
    """Return so many pairs, of each kind as many, none twice."""
    return _pairs(CHINESE, count, source)


def _pairs(kinds: tuple[Callable[[random.Random], Pair], ...], count: int, source: random.Random) -> list[Pair]:
    found: dict[Pair, None] = {}
    number = 0
    while len(found) < count and number < 50 * count:
        found[kinds[number % len(kinds)](source)] = None
        number += 1
    return list(found)
