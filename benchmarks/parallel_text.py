"""Pairs of English and Chinese out of what Debian packages and gettext catalogues bring; nothing of it is kept here.

LibreOffice's help (libreoffice-help-en-us, -zh-cn; MPL-2.0) has the same paragraphs in both, each under an id. The
Debian Handbook (debian-handbook; GPL-2+ or CC-BY-SA-3.0) has the same paragraphs in the same order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from chidu.apps.sentences import boundaries
from chidu.corpus import is_chinese

__all__ = ["handbook", "libreoffice"]

BLOCKS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "dt"}
MARKED = {"emph", "menuitem", "keycode", "literal", "code", "input"}
"""Classes of LibreOffice's words that are set apart: a third of the pairs keeps them as tags."""
PASSED_OVER = {"script", "style", "nav", "pre", "title"}


class _Blocks(HTMLParser):
    """The texts of blocks: (name, text), where the name is an id, or empty."""

    def __init__(self, is_handbook: bool) -> None:
        super().__init__()
        self.is_handbook = is_handbook
        self.found: list[tuple[str, str]] = []
        self.stack: list[tuple[str, str]] = []
        self.name: str | None = None
        self.depth = 0
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("br", "img", "input", "hr", "meta", "link"):
            self.text += " " if tag == "br" else ""
            return
        values = dict(attrs)
        kind = values.get("class") or ""
        begins = (tag == "div" and kind == "para") if self.is_handbook else (tag in BLOCKS and bool(values.get("id")))
        if begins:
            self.name, self.depth, self.text = values.get("id") or "", len(self.stack), ""
        is_hidden = "hidden" in values and "MAC" in kind
        mark = "skip" if tag in PASSED_OVER or is_hidden else "e" if kind in MARKED and self.name is not None else ""
        self.text += "<e>" if mark == "e" else ""
        self.stack.append((tag, mark))

    def handle_endtag(self, tag: str) -> None:
        while self.stack:
            last, mark = self.stack.pop()
            self.text += "</e>" if mark == "e" else ""
            if self.name is not None and len(self.stack) == self.depth:
                self.found.append((self.name, " ".join(self.text.split())))
                self.name = None
            if last == tag:
                return

    def handle_data(self, data: str) -> None:
        if self.name is not None and not any(mark == "skip" for _, mark in self.stack):
            self.text += data


def blocks(path: Path, is_handbook: bool) -> list[tuple[str, str]]:
    """Return the blocks of a page."""
    reader = _Blocks(is_handbook)
    reader.feed(path.read_text(encoding="utf-8", errors="replace"))
    return reader.found


def libreoffice(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield pairs out of LibreOffice's help: `folder` has en-US and zh-CN."""
    for path in sorted((folder / "en-US").rglob("*.html")):
        other = folder / "zh-CN" / path.relative_to(folder / "en-US")
        if not other.is_file():
            continue
        theirs = dict(blocks(other, False))
        for name, text in blocks(path, False):
            said = theirs.get(name, "")
            if said and _bare(text) != _bare(said):
                keeps = zlib.crc32(text.encode()) % 3 == 0 and text.count("<e>") == said.count("<e>")
                yield from split(*((text, said) if keeps else (_bare(text), _bare(said))))


def handbook(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield pairs out of the Debian Handbook: `folder` has en-US and zh-CN."""
    for path in sorted((folder / "en-US").glob("*.html")):
        other = folder / "zh-CN" / path.name
        if not other.is_file():
            continue
        ours, theirs = blocks(path, True), blocks(other, True)
        if len(ours) != len(theirs):
            continue
        for (_, text), (_, said) in zip(ours, theirs, strict=True):
            # Many paragraphs are not translated.
            if is_chinese(said):
                yield from split(_bare(text), _bare(said))


def split(english: str, chinese: str) -> Iterator[tuple[str, str]]:
    """Yield the sentences of two paragraphs where both have as many, else the paragraphs."""
    first = [english[start:end].strip() for start, end in boundaries(english, "en")]
    second = [chinese[start:end].strip() for start, end in boundaries(chinese, "zh")]
    first, second = [each for each in first if each], [each for each in second if each]
    if len(first) == len(second):
        yield from zip(first, second, strict=True)
    else:
        yield english, chinese


def _bare(text: str) -> str:
    return text.replace("<e>", "").replace("</e>", "")
