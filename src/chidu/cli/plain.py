"""Foreign text on a terminal: what a model wrote, a document holds or a caller sent must not steer it."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

__all__ = ["json_text", "plain", "plain_on_terminal"]

_STEERS = re.compile("\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tabs and line ends: they move the cursor, change colours, set the title, type for the user.
And those that turn the direction of writing, so that a text reads as what it is not (CVE-2021-42574)."""

_ESCAPED = re.compile(f"{_STEERS.pattern}|[\ud800-\udfff]")
"""What JSON would let through raw; the other control characters it escapes by itself."""


def plain(text: str) -> str:
    """Return a text with the picture of each control character in its place (␛), so that it is seen and does nothing.

    The text stays as long as it was.
    """
    return text if text.isprintable() else _STEERS.sub(_picture, text)


def plain_on_terminal(text: str) -> str:
    """Return a text as `plain` has it where stdout is a terminal; in a file it is data, and stays as it is."""
    return plain(text) if sys.stdout.isatty() else text


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return a value as the JSON document that `--json` prints: readable, and what would steer stands as ``\u009b``.

    Whoever reads the document gets the characters as they were. Half of a surrogate pair is written so too.
    """
    # Only strings hold such characters: what is around them is ASCII, with line ends alone.
    return _ESCAPED.sub(_escape, json.dumps(value, ensure_ascii=False, indent=indent))


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
