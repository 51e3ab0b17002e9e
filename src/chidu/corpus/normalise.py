"""One form for texts that look the same, and parts of a length that can be shuffled and held out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["as_written", "cut", "is_chinese", "normalise"]

_LINE_END = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile("\n{4,}")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")
# Without the middle dot U+30FB, which Chinese text has too.
_KANA = re.compile("[\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_WORD = re.compile(r"[^\W\d_]+")
_MOST_KANA = 0.05
"""Share of a Chinese text's letters that may be kana: a name, a title. Japanese has half."""
_CHINESE_ENDS = ("。", "！", "？")
# Where a text may be cut, the best place first; marks of one rank stand together.
_SEAMS = (("\n\n",), ("\n",), _CHINESE_ENDS, (". ",), ("! ",), ("? ",), ("；",), ("，",), (" ",))
# What closes after the end of a sentence and belongs to it.
_CLOSING = frozenset("”’」』）》】")


def normalise(text: str) -> str:
    r"""Return the text in NFC, with ``\n`` as line end, at most two blank lines running, no control characters.

    Blanks at line ends and blank lines at both ends go; punctuation, width and case stay as they were written. Half
    of a surrogate pair becomes U+FFFD. Doing it twice changes nothing.
    """
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    if not text.isprintable():
        text = _CONTROL.sub("", _LINE_END.sub("\n", text))
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    return _BLANK_LINES.sub("\n\n\n", text).lstrip("\n").rstrip()


def as_written(text: str) -> str:
    r"""Return the text in NFC, with ``\n`` as line end and no blanks at line ends: for what is quoted with its line.

    Unlike `normalise` it keeps all lines, and the control characters that a text may be about. Half of a surrogate pair
    becomes U+FFFD.
    """
    whole = unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", _LINE_END.sub("\n", text)))
    return "\n".join([line.rstrip(" \t") for line in whole.split("\n")])


def cut(text: str, longest: int) -> Iterator[str]:
    """Cut a text into parts of at most ``longest`` characters, at the best seam of each part's second half.

    The best is between paragraphs, then lines, sentences (Chinese and Western), Chinese clauses, words; where there is
    no seam, the cut goes through. A book in one file thus becomes many documents, of which some can be held out.
    """
    position = 0
    while len(text) - position > longest:
        end = _seam(text, position, longest)
        yield text[position:end].strip("\n").rstrip()
        position = end
    yield text[position:].lstrip("\n")


def _seam(text: str, start: int, longest: int) -> int:
    half, whole = start + longest // 2, start + longest
    for marks in _SEAMS:
        end = _last_end(text, marks, half, whole)
        if end > start:
            return end
    return whole


def _last_end(text: str, marks: tuple[str, ...], half: int, whole: int) -> int:
    """Return where the last of the marks ends between ``half`` and ``whole``, with what closes after it, or 0."""
    stop = whole
    while True:
        found, mark = max((text.rfind(mark, half, stop), mark) for mark in marks)
        if found < 0:
            return 0
        end = found + len(mark)
        while marks is _CHINESE_ENDS and text[end : end + 1] in _CLOSING:
            end += 1
        if end <= whole:
            return end
        # Its quotation mark would open the next part: take the sentence before.
        stop = found


def is_chinese(text: str) -> bool:
    """Tell Chinese by its characters: as many Han characters as words of other scripts, and hardly any kana."""
    if text.isascii():
        return False
    han, kana = len(_HAN.findall(text)), len(_KANA.findall(text))
    words = _WORD.findall(_KANA.sub(" ", _HAN.sub(" ", text)))
    letters = han + kana + sum(map(len, words))
    return 0 < han >= len(words) and kana <= _MOST_KANA * letters
