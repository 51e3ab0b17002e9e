"""Lines of text with their headings told apart: Markdown, reStructuredText, HTML, code, and plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

from chidu.corpus import normalise
from chidu.index.passage import Line

__all__ = ["code_lines", "html_lines", "markdown_lines", "rst_lines"]

_ATX = re.compile(r" {0,3}(#{1,6})\s+(.*?)\s*#*$")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_SETEXT = re.compile(r" {0,3}(=+|-+)$")
_UNDERLINE = re.compile(r"([!-/:-@[-`{-~])\1{2,}$")
_DEFINITION = re.compile(
    r"(?:(?:export|default|pub(?:\(\w+\))?|public|private|protected|static|abstract|final|async|unsafe|inline)\s+)*"
    r"(?:def|class|func|function|fn|struct|enum|union|interface|impl|trait|module|mod|namespace)\s+\S"
)
_ABOVE_DEFINITION = ("@", "#", "//", "/*", " *", "--")


def markdown_lines(lines: Iterable[Line]) -> Iterator[Line]:
    """Mark ``# heading`` and underlined headings; what stands in fences is text."""
    before: Line | None = None
    fence = ""
    for line in lines:
        opening = _FENCE.match(line.text)
        if fence or opening:
            if opening and not fence:
                fence = opening.group(1)
            elif line.text.strip().startswith(fence) and not line.text.strip().strip(fence[0]):
                fence = ""
        elif (heading := _ATX.match(line.text)) is not None:
            line = Line(line.number, line.text.strip(), len(heading.group(1)), heading.group(2))  # noqa: PLW2901
        elif before is not None and before.text.strip() and not before.level and _SETEXT.match(line.text):
            title = before.text.strip()
            before = Line(before.number, title, 1 if "=" in line.text else 2, title)
            continue
        if before is not None:
            yield before
        before = line
    if before is not None:
        yield before


def rst_lines(lines: Iterable[Line]) -> Iterator[Line]:
    """Mark titles, which have a line of one mark below them, as long as they are, and perhaps above.

    The order in which marks are first seen is the order of their levels.
    """
    levels: list[str] = []
    above, before = "", None
    for line in lines:
        mark = line.text if _UNDERLINE.match(line.text) else ""
        if before is not None and before.text.strip() and not before.level and _underlines(mark, before.text):
            style = mark[0] + ("^" if above else "")
            if style not in levels:
                levels.append(style)
            title = before.text.strip()
            before, above = Line(before.number, title, levels.index(style) + 1, title), ""
            continue
        if before is not None:
            yield before
        above = ""
        if mark and (before is None or not before.text.strip()):
            # The line above a title, or a rule between paragraphs: neither is text.
            above, before = mark, None
            continue
        before = line
    if before is not None:
        yield before


def _underlines(mark: str, title: str) -> bool:
    return bool(mark) and len(mark) >= len(title.strip())


def code_lines(lines: Iterable[Line]) -> Iterator[Line]:
    """Mark definitions without indentation, with the comments and decorators right above them, as headings."""
    waiting: list[Line] = []
    for line in lines:
        if _DEFINITION.match(line.text):
            first, *others = [*waiting, line]
            title = line.text.rstrip(" {:(")
            yield Line(first.number, first.text, 1, title)
            # The rest of a heading is text: a definition never goes along with the next one.
            yield from others
            waiting = []
        elif line.text.startswith(_ABOVE_DEFINITION):
            waiting.append(line)
        else:
            yield from waiting
            waiting = []
            yield line
    yield from waiting


def html_lines(text: str) -> Iterator[Line]:
    """Yield what a page says, each line with the number of the line of the source at which it begins.

    Python's own parser, since it alone of those that were looked at tells places in the source. Left out: scripts,
    styles, templates, and what the page's head holds besides its title.
    """
    page = _Page()
    page.feed(text)
    page.close()
    page.end_line()
    yield from page.lines


_HIDDEN = frozenset(["script", "style", "template", "noscript", "svg", "math"])
_APART = frozenset([
    "address", "article", "aside", "blockquote", "body", "details", "div", "dl", "fieldset", "figcaption",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "main", "nav",
    "ol", "p", "pre", "section", "table", "title", "ul",
])  # fmt: skip
_OWN_LINE = _APART | frozenset([
    "br", "caption", "dd", "dt", "legend", "li", "option", "summary", "tbody", "td", "tfoot", "th", "thead", "tr",
])  # fmt: skip
_HEADINGS = {"title": 1, "h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_BLANKS = re.compile(r"\s+")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[Line] = []
        self._parts: list[str] = []
        self._number = 0
        self._level = 0
        self._hidden: list[str] = []
        self._kept = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if self._hidden or tag in _HIDDEN:
            if tag in _HIDDEN:
                self._hidden.append(tag)
            return
        if tag in _OWN_LINE:
            self.end_line(apart=tag in _APART)
        self._level = _HEADINGS.get(tag, self._level)
        self._kept += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _HIDDEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag == self._hidden[-1]:
                self._hidden.pop()
            return
        if tag in _OWN_LINE:
            self.end_line(apart=tag in _APART)
        if tag in _HEADINGS:
            self._level = 0
        self._kept = max(0, self._kept - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        number = self.getpos()[0]
        if self._kept:
            for place, piece in enumerate(data.split("\n")):
                if place:
                    self.end_line()
                self._add(piece, number + place)
        else:
            self._add(data, number + len(data[: len(data) - len(data.lstrip())].split("\n")) - 1)

    def _add(self, data: str, number: int) -> None:
        if not self._parts and data.strip():
            self._number = number
        if self._parts or data.strip():
            self._parts.append(data)

    def end_line(self, *, apart: bool = False) -> None:
        """Close the line under way; ``apart`` puts an empty one after it."""
        text = "".join(self._parts)
        self._parts = []
        if text.strip():
            text = normalise(text if self._kept else _BLANKS.sub(" ", text).strip())
            self.lines.append(Line(self._number, text, self._level, text if self._level else ""))
        if apart and self.lines and self.lines[-1].text:
            self.lines.append(Line(self.lines[-1].number, ""))
