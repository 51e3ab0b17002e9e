"""E-mail addresses, told apart from the many other things that hold an ``@``.

Found: ``name@host.tld`` in Latin letters of either width, also right between Chinese characters, and in ``mailto:``.
Not found, on purpose: decorators, ``user@host`` without a top-level domain, ``package@1.2``, matrix products
(``a@b.T``), the remote of a version control system (``git@github.com:org/name``) and the user part of an URL
(``ssh://git@github.com/``), because none of them reaches a person. Missed: addresses spelled out ("name at host dot
com"), quoted local parts, and names in other scripts (``张三@example.com``). An address of ``example.com`` is
treated as any other: one rule, no exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from string import ascii_letters, digits

from chidu.safety.finding import Finding

__all__ = ["EmailJudge"]

_LOCAL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}\Z")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,18}(?![A-Za-z0-9_\-])")
_OPEN_LOCAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+\-]{0,63}\Z")
_OPEN_DOMAIN = re.compile(r"[A-Za-z0-9.\-]*(?:[:(.].?)?\Z", re.DOTALL)
_LONGEST_DOMAIN = 540
"""What `_DOMAIN` and `_NOT_AFTER` read at the most, and a little more."""
_USER_OF_URL = re.compile(r"://[^\s/@]*\Z")
# What follows an address that is none: the path of a remote, or the arguments of a call.
# Both are ASCII: before Chinese, a colon or a bracket is punctuation, as in `ada@example.com(艾达)`.
_NOT_AFTER = re.compile(r":[A-Za-z0-9_~/.]|\((?![^\x00-\x7f])")
# Full-width forms, one character for one, so that positions hold. Colons and brackets are no part of an address.
_NARROW = {ord(char) + 0xFEE0: char for char in f"{ascii_letters}{digits}@.-_+%"}
# Without a list, `x@self.weight` would be an address. Two letters are a country. Names that methods have too (run, fit,
# show) are left out.
_TOP_LEVEL = re.compile(
    "[a-z]{2}|com|org|net|edu|gov|mil|int|info|biz|pro|dev|app|xyz|online|site|tech|cloud|email|museum|coop|aero|jobs|"
    "mobi|travel|asia|cat|tel|blog|shop|store|world|news|academy|network|systems|science|website|space|wiki|club|group|"
    "agency|studio|design|company|global|foundation|institute|university|software|top|vip|ltd|wang|icu|ren|ink|link|"
    "work|fun|live|life|art|love|xin|red|kim|pub|cool|zone|today|city|chat|team|social|video|fund|law|cafe|guru",
)


class EmailJudge:
    """Finds e-mail addresses. A text without an ``@`` costs one search for that character in either width."""

    def judge(self, text: str) -> list[Finding]:
        """Return one finding of category ``email`` for each address."""
        positions = sorted(chain(_positions(text, "@"), _positions(text, "＠")))
        if positions and not text.isascii():
            text = text.translate(_NARROW)
        found = (self._address(text, at) for at in positions)
        return [Finding(start, end, "email", "email-address") for start, end in filter(None, found)]

    def open_from(self, text: str, since: int = 0) -> int:
        """Return where an address may have begun whose end is not known yet; the text's end where none has."""
        end = len(text)
        if not text.isascii():
            text = text.translate(_NARROW)
        for at in _positions(text, "@", max(0, end - _LONGEST_DOMAIN)):
            if _OPEN_DOMAIN.match(text, at + 1):
                return max(0, at - 64)
        begun = _OPEN_LOCAL.search(text, max(since, end - 64))
        return begun.start() if begun else end

    def _address(self, text: str, at: int) -> tuple[int, int] | None:
        """Return start and end of the address around the ``@`` at this position, or None where it is no address."""
        local = _LOCAL.search(text[max(0, at - 64) : at])
        if local is None:
            return None
        name = local[0].lstrip(".-%+")
        end = _end_of_domain(text, at + 1)
        if not name or name.endswith(".") or not end or _NOT_AFTER.match(text, end):
            return None
        if _USER_OF_URL.search(text[max(0, at - 128) : at]):
            return None
        return at - len(name), end


def _positions(text: str, sign: str, start: int = 0) -> Iterator[int]:
    at = text.find(sign, start)
    while at >= 0:
        yield at
        at = text.find(sign, at + 1)


def _end_of_domain(text: str, start: int) -> int:
    """Return where the domain that starts here ends, or 0 where none does."""
    match = _DOMAIN.match(text, start)
    if match is None:
        return 0
    end = match.end()
    if _is_top_level(text, end):
        return end
    # "me@host.com.Then it rained": a sentence that begins without a blank is no part of the domain.
    dot = text.rfind(".", start, end)
    is_sentence = text[dot + 1].isupper() and "." in text[start:dot]
    if is_sentence and _is_top_level(text, dot):
        return dot
    # "ada@cs.Example.Edu": no sentence, so the capital is the writer's way.
    return end if _is_top_level(text, end, mixed=True) else 0


def _is_top_level(text: str, end: int, mixed: bool = False) -> bool:
    """Tell whether the letters before ``end``, back to the last dot, are a top-level domain."""
    label = text[text.rfind(".", 0, end) + 1 : end]
    # `a@b.mT` is a matrix product.
    is_written_so = label.islower() or label.isupper() or (mixed and len(label) > 2)
    return is_written_so and _TOP_LEVEL.fullmatch(label.lower()) is not None
