"""Foreign text on a terminal: what a model wrote, a document holds or a caller sent must not steer it."""

from __future__ import annotations

import re
import sys

__all__ = ["plain", "plain_on_terminal"]

_STEERS = re.compile("\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tabs and line ends: they move the cursor, change colours, set the title, type for the user.
And those that turn the direction of writing, so that a text reads as what it is not (CVE-2021-42574)."""


def plain(text: str) -> str:
    """Return a text with the picture of each control character in its place (␛), so that it is seen and does nothing.

    The text stays as long as it was.
    """
    return text if text.isprintable() else _STEERS.sub(_picture, text)


def plain_on_terminal(text: str) -> str:
    """Return a text as `plain` has it where stdout is a terminal; in a file it is data, and stays as it is."""
    return plain(text) if sys.stdout.isatty() else text


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
