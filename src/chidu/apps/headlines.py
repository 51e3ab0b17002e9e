"""A headline: what the first sentence of a text says of its subject, cut to a phrase. Nothing is written anew.

Cutting words from a sentence (Jing and McKeown, NAACL 2000; Dorr, Zajic and Schwartz's Hedge Trimmer, 2003; Clarke and
Lapata, JAIR 31, 2008), by rules instead of a parser, of which none ships with its grammar: of "X is a Y, which Z." it
keeps "Y"; of "This package provides Y" too; brackets, examples and clauses behind a comma fall away. Every word stands
in the sentence, in that order. What is left out never holds a negation, a condition, an exception, a hedge, or whose
opinion it is: where it would, the words stay. Where the subject holds one, or the sentence asks, nothing is cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from chidu.apps.sentences import Sentence, some_sentences
from chidu.corpus import is_chinese

__all__ = ["Headline", "headline"]

_LIMITING_WORDS = (
    "not no never none nor neither cannot without unless except but only just if when until till unlike may might "
    "could should must would rarely hardly seldom sometimes usually often almost nearly partly partially mostly said "
    "says say claims claimed believes believed thinks suggests argues according reportedly allegedly supposedly "
    "perhaps possibly probably however although though despite instead formerly former deprecated obsolete "
    "experimental unstable longer fails failed lacks broken requires required needs"
)
_LIMITS = re.compile(rf"\b(?:{_LIMITING_WORDS.replace(' ', '|')})\b|n[’']t\b", re.IGNORECASE)
_LIMITS_CHINESE = re.compile(
    "不|没|未|无|非|勿|别|除|只|仅|如果|若|假如|可能|也许|或许|大概|应|必须|几乎|大多|据|认为|声称|但|却|虽|曾|需|当"
)
"""Words that limit what is said, or say whose opinion it is."""
_ITEM = re.compile(r"^\s*(?:[-*+•–]|\d{1,3}[.)])\s+")
_BRACKETS = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\]|（[^（）]*）)")
_THING = (
    "package|module|library|program|tool|application|software|script|plugin|extension|project|utility|class|function|"
    "page|document|manual|section|metapackage|command|article|text|file|crate|gem"
)
_HOLDS = (
    "contains?|provides?|includes?|holds?|ships?|describes?|documents?|implements?|explains?|gives|presents?|installs?"
)
_BOILERPLATE = re.compile(rf"(?:(?:this|the)\s+(?:\S+\s+)?(?:{_THING})|it)\s+(?:{_HOLDS})\s+", re.IGNORECASE)
_IS = re.compile(r"\s+is\s+(?:also\s+)?(?:an?|the)\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"(?:an?|the)\s+", re.IGNORECASE)
_NO_NAME = re.compile(rf"(?:(?:this|the|a|an)\s+(?:\S+\s+)?(?:{_THING})|this|it|that)$", re.IGNORECASE)
_MOST_SUBJECT = 8
"""Words of a subject; a longer one is a clause, in which "is" may be of another sentence."""
_VERB = re.compile(r"\b(?:is|are|was|were|that|which|who|because|since|while|where|how|why|what)\b", re.IGNORECASE)
_SEAM = re.compile(
    r"\s*;|\s*:(?=\s)|\s+[-–—]+\s+|\s*—|,?\s+(?:such as|e\.g\.|i\.e\.|for example|for instance|including)\s|"
    r",\s+(?:which|who|where|while|so|because|as|and\s+(?:is|was|it|has|can|also|provides|supports|includes|comes)|"
    r"it|this|written|based|designed|inspired|originally|thus|making|allowing|providing|featuring|using|with|like|"
    r"intended|developed|similar|especially|particularly|in\s+particular)\b",
    re.IGNORECASE,
)
"""Where what follows says more of what was said."""
_SUBJECT_CHINESE = re.compile(
    r"(?P<subject>[^，。；：是]{1,24}?)是(?:一(?:个|种|款|套|组|项|门|部|本|份|台|位|家|座|类|系列)|(?=[^否]))"
)
_BOILERPLATE_CHINESE = re.compile(
    r"(?:本|这个|该|此|这一?)(?:软件包|程序包|函式库|程序库|包|库|模块|软件|程序|工具|文档|页|手册|类|函数)"
    r"(?:包含|包括|提供|含有|描述|介绍|说明)了?"
)
_SEAM_CHINESE = re.compile("[，；：。]|——")
_LEAST_WORDS = 2
_ENDS = " \t.,;:!。，；：！、"


@dataclass(frozen=True)
class Headline:
    """What a sentence says, cut to a phrase."""

    phrase: str
    """Its words stand in the sentence, in that order."""
    subject: str
    """Of what it is said, in the sentence's words; empty where the phrase holds it, or it is a word like "it"."""
    sentence: Sentence
    """It was cut from: the first."""
    sentences: int
    """That the text has."""

    @property
    def text(self) -> str:
        """Subject and phrase."""
        colon = "：" if is_chinese(self.phrase) else ": "
        return f"{self.subject}{colon}{self.phrase}" if self.subject else self.phrase


def headline(text: str) -> Headline:
    """Cut the first sentence of a text to a phrase. Raises TextError where the text has no sentence."""
    found = some_sentences(text)
    first = _whole(found)
    return Headline(*_cut(first.text), first, len(found))


def _whole(found: list[Sentence]) -> Sentence:
    """Return the first sentence, with those behind it from which a full stop inside a name tore it."""
    end = next(number for number, one in enumerate(found) if not one.torn)
    said = "".join(one.text for one in found[: end + 1])
    return replace(found[0], text=said, last_line=found[end].last_line, torn=False)


def _cut(sentence: str) -> tuple[str, str]:
    """Return the phrase of a sentence, and its subject."""
    # Runs of blanks would each be tried from every place in them.
    whole = " ".join(_ITEM.sub("", sentence).split())
    if whole.endswith(("?", "？")):
        return whole, ""
    chinese = is_chinese(whole)
    limits = _LIMITS_CHINESE if chinese else _LIMITS
    plain = _BRACKETS.sub(lambda one: one.group() if limits.search(one.group()) else "", whole).strip()
    subject, said = _split_chinese(plain) if chinese else _split(plain)
    phrase = _ended(_trimmed(said, _SEAM_CHINESE if chinese else _SEAM, limits))
    if len(phrase) < 4 if chinese else len(phrase.split()) < _LEAST_WORDS:
        return _ended(whole), ""
    return phrase, subject


def _split(said: str) -> tuple[str, str]:
    """Return the subject of a sentence, where it has a name, and what is said of it."""
    if boilerplate := _BOILERPLATE.match(said):
        rest = said[boilerplate.end() :]
        return "", rest[article.end() :] if (article := _ARTICLE.match(rest)) else rest
    if link := _IS.search(said):
        subject = said[: link.start()]
        simple = len(subject.split()) <= _MOST_SUBJECT and not _VERB.search(subject)
        if simple and not _LIMITS.search(subject) and "," not in subject:
            return "" if _NO_NAME.match(subject) else subject, said[link.end() :]
    return "", said


def _split_chinese(said: str) -> tuple[str, str]:
    """Return the subject of a sentence, and what is said of it."""
    if boilerplate := _BOILERPLATE_CHINESE.match(said):
        return "", said[boilerplate.end() :]
    if (link := _SUBJECT_CHINESE.match(said)) and not _LIMITS_CHINESE.search(link["subject"]):
        subject = link["subject"].strip()
        no_name = re.fullmatch(r"(?:本|这个|该|此|这)\w{0,4}|它", subject)
        return "" if no_name else subject, said[link.end() :]
    return "", said


def _trimmed(said: str, seam: re.Pattern[str], limits: re.Pattern[str]) -> str:
    """Cut what follows the first seam behind which nothing limits what was said."""
    # Looked for once, not from every seam: a sentence may be a megabyte of seams.
    last_limit = max((found.start() for found in limits.finditer(said)), default=-1)
    verb = _VERB.search(said)
    for found in seam.finditer(said, max(last_limit, 0)):
        # Examples within a clause may have its end behind them ("makes working with files such as these easy").
        is_open = found.group()[:1].isspace() and verb is not None and verb.end() <= found.start()
        if found.start() > last_limit and not is_open and found.start():
            return said[: found.start()]
    return said


def _ended(said: str) -> str:
    return said.strip().rstrip(_ENDS)
