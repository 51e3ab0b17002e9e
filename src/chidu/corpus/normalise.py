"""One form for texts that look the same, and parts of a length that can be shuffled and held out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["chinese_share", "cut", "normalise"]

_LINE_END = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile("\n{4,}")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")
# Where a text may be cut, the best place first.
_SEAMS = ("\n\n", "\n", "。", "！", "？", ". ", "! ", "? ", " ")


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


def cut(text: str, longest: int) -> Iterator[str]:
    """Cut a text into parts of at most ``longest`` characters, at the best seam of each part's second half.

    The best is between paragraphs, then lines, sentences (Chinese and Western), words; where there is no seam, the
    cut goes through. A book in one file thus becomes many documents, of which some can be held out.
    """
    position = 0
    while len(text) - position > longest:
        end = _seam(text, position, longest)
        yield text[position:end].strip("\n").rstrip()
        position = end
    yield text[position:].lstrip("\n")


def _seam(text: str, start: int, longest: int) -> int:
    half, whole = start + longest // 2, start + longest
    for seam in _SEAMS:
        found = text.rfind(seam, half, whole)
        if found > start:
            return found + len(seam)
    return whole


def chinese_share(text: str) -> float:
    """Return the share of Chinese characters among all characters, 0 to 1."""
    if text.isascii():
        return 0.0
    return len(_HAN.findall(text)) / len(text)
