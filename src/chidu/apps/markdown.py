"""The prose of a Markdown text and where it stands, so that it can be changed and all else stays as it is.

markdown-it-py (CommonMark, with tables and strikethrough) tells what is prose. It does not say where in the text the
parts of a line stand, so each of its inline rules is watched for the characters it took.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chidu.corpus import NO_PROSE

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["Kept", "Mark", "Passage", "definitions", "escaped", "front_matter", "joined", "outline", "parts", "read"]

Rule = Callable[[Any, bool], bool]

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_DEFINITION = re.compile(r"^ {0,3}\[((?:[^\[\]\\\n]|\\.)+)\]:[ \t]*\n?[ \t]*\S", re.MULTILINE)
_ADDRESS = re.compile(r"(?:https?|ftp)://[^\s<>\"，。；）]*[^\s<>\"，。；）.,;:!?)]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_SPECIAL = re.compile(r"([\\`*_\[\]<>&|~#!])|^([-+=])|^(\d{1,9})([.)])", re.MULTILINE)
_NO_PROSE = {"fence": "code", "code_block": "code", "html_block": "html"}
_KINDS = {"heading_open": "heading", "td_open": "cell", "th_open": "cell"}
_UNDERLINED = {"=": "=", "-": "-"}
_SPACES = re.compile(r"[ \t]*\n[ \t]*")


@dataclass(frozen=True)
class Mark:
    """What stays as it is inside of prose."""

    start: int
    end: int
    """Characters of the passage's text, the last one not included."""
    kind: str
    """`code`, `image`, `html`, `address`, `character` (an escape or entity), `link`, `emphasis`."""
    is_pair: bool = False
    """True for one of two ends of something: a link's, an emphasis's."""


@dataclass(frozen=True)
class Passage:
    """A paragraph, a heading, a table's cell: its prose on one line or between hard breaks."""

    start: int
    end: int
    """Characters of the whole text."""
    text: str
    marks: tuple[Mark, ...]
    """In order, none within another."""
    line: int
    """Counted from 1."""
    kind: str
    """`paragraph`, `heading`, `cell`, or what a heading is underlined with: `=` or `-`."""


@dataclass(frozen=True)
class Kept:
    """A block that is no prose."""

    text: str
    line: int
    """Counted from 1."""
    kind: str
    """`code` or `html`."""


@dataclass
class _Watched:
    """What the inline rules took, one passage at a time."""

    marks: list[Mark] = field(default_factory=list)


def parts(text: str, longest: int) -> Iterator[tuple[int, int]]:
    """Yield where parts of about so many characters begin and end, cut between blocks that nothing holds together.

    That is at a blank line outside of code, before a line that is not indented.
    """
    start = place = 0
    fence, is_blank = "", False
    for line in text.splitlines(keepends=True):
        opening = _FENCE.match(line)
        if not fence and is_blank and place - start >= longest and not line[:1].isspace():
            yield start, place
            start = place
        if opening:
            mark = opening.group(1)
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence) and not line[opening.end() :].strip():
                fence = ""
        is_blank = not line.strip()
        place += len(line)
    if start < len(text):
        yield start, len(text)


def definitions(text: str) -> dict[str, Any]:
    """Return the labels that a text defines for its links, as markdown-it has them."""
    from markdown_it.common.utils import normalizeReference

    found = (normalizeReference(label) for label in _DEFINITION.findall(text))
    return {label: {"title": "", "href": "#", "map": [0, 0]} for label in found}


def front_matter(text: str) -> int:
    """Return where the settings (YAML) at a text's head end; 0 where there are none."""
    found = _FRONT_MATTER.match(text)
    return found.end() if found else 0


def read(text: str, references: dict[str, Any]) -> Iterator[Passage | Kept]:
    """Yield the prose of a part of a text, and what is none, in order.

    What can't be found again in its lines is passed over, and so stays.
    """
    lines = [0]
    for line in text.split("\n"):
        lines.append(lines[-1] + len(line) + 1)
    reader, watched = _reader()
    tokens = reader.parse(text, {"references": dict(references)})
    place, above = 0, None
    for token in tokens:
        if token.type in _NO_PROSE and token.map is not None:
            yield Kept(
                text[lines[token.map[0]] : lines[token.map[1]]].rstrip("\n"), token.map[0] + 1, _NO_PROSE[token.type]
            )
        if token.type != "inline":
            above = token
            continue
        if token.map is None or not token.content.strip():
            continue
        place = max(place, lines[token.map[0]])
        kind = _KINDS.get(above.type, "paragraph") if above is not None else "paragraph"
        kind = _UNDERLINED.get(above.markup, kind) if above is not None else kind
        # The reader takes the backslash from a bar in a cell.
        content = token.content.replace("|", r"\|") if kind == "cell" else token.content
        found = _find(text, content, place, lines[min(token.map[1], len(lines) - 1)])
        if found is None:
            continue
        watched.marks.clear()
        reader.inline.parse(token.content, reader, {"references": dict(references)}, [])
        yield from _cut(token.content, tuple(_settled(token.content, watched.marks)), found, token.map[0] + 1, kind)
        place = found[-1][1]


def _find(text: str, content: str, start: int, end: int) -> list[tuple[int, int]] | None:
    """Return where each line of a passage stands in the text; None where one is not found as it is."""
    found = []
    for line in content.split("\n"):
        at = text.find(line, start, end)
        if at < 0:
            return None
        found.append((at, at + len(line)))
        start = at + len(line)
    return found


def _cut(
    content: str, marks: tuple[Mark, ...], places: list[tuple[int, int]], first_line: int, kind: str
) -> Iterator[Passage]:
    """Cut a passage at its hard breaks: two blanks, or a backslash, at a line's end."""
    lines = content.split("\n")
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line) + 1)
    first = 0
    for number, line in enumerate(lines):
        is_last = number == len(lines) - 1
        # An even number of backslashes are backslashes.
        is_broken = line.endswith("  ") or (len(line) - len(line.rstrip("\\"))) % 2 == 1
        if not is_last and not is_broken:
            continue
        bare = line if is_last else line.removesuffix("\\").rstrip(" ")
        start, end = begins[first], begins[number] + len(bare)
        inside = tuple(mark for mark in marks if start <= mark.start and mark.end <= end)
        if all(mark in inside or mark.end <= start or mark.start >= end for mark in marks):
            moved = tuple(Mark(each.start - start, each.end - start, each.kind, each.is_pair) for each in inside)
            stop = places[number][1] if is_last else places[number][0] + len(bare)
            yield Passage(places[first][0], stop, content[start:end], moved, first_line + first, kind)
        first = number + 1


def _settled(content: str, marks: list[Mark]) -> Iterator[Mark]:
    """Yield marks in order, each once, and the addresses between them; what lies within another is left to that one."""
    place = 0
    found = [Mark(each.start(), each.end(), "address") for each in _ADDRESS.finditer(content)]
    found += [Mark(each.start(), each.end(), "code") for each in NO_PROSE.finditer(content)]
    # Of those that begin together the longest is first; of equal ones what Markdown takes it for.
    for mark in sorted([*marks, *found], key=lambda each: (each.start, -each.end)):
        if mark.start >= place and mark.end > mark.start:
            yield mark
            place = mark.end


def outline(text: str, references: dict[str, Any]) -> list[Any]:
    """Return what a text is made of, words apart: two texts of one outline differ in their prose alone."""
    reader, _ = _reader()
    return [_bare(token) for token in reader.parse(text, {"references": dict(references)})]


def _bare(token: Any) -> Any:
    if token.type != "inline":
        return token.type, token.tag, token.markup, token.info, token.content
    # Words may come in another order, and so may what stands between them.
    return sorted(
        repr((each.type, each.tag, dict(each.attrs), each.content))
        for each in token.children or []
        if each.type not in ("text", "softbreak", "text_special")
    )


def escaped(text: str) -> str:
    """Return prose so that no character of it means anything in Markdown."""
    return _SPECIAL.sub(lambda one: f"\\{one[0]}" if one[3] is None else f"{one[3]}\\{one[4]}", text)


_OWN = threading.local()
"""Each thread has a reader of its own: it is watched while it reads."""


def _reader() -> tuple[MarkdownIt, _Watched]:
    """Return this thread's reader, whose inline rules are watched."""
    found: tuple[MarkdownIt, _Watched] | None = getattr(_OWN, "reader", None)
    if found is None:
        found = _OWN.reader = _made()
    return found


def _made() -> tuple[MarkdownIt, _Watched]:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import (
        autolink,
        backtick,
        emphasis,
        entity,
        escape,
        html_inline,
        image,
        link,
        strikethrough,
    )

    reader, watched = MarkdownIt("commonmark").enable(["table", "strikethrough"]), _Watched()
    rules: dict[str, tuple[Rule, str]] = {
        "backticks": (backtick, "code"), "autolink": (autolink, "html"), "html_inline": (html_inline, "html"),
        "image": (image, "image"), "entity": (entity, "character"), "escape": (escape, "character"),
        "link": (link, "link"), "emphasis": (emphasis.tokenize, "emphasis"),
        "strikethrough": (strikethrough.tokenize, "emphasis"),
    }  # fmt: skip
    for name, (rule, kind) in rules.items():
        reader.inline.ruler.at(name, _watch(rule, kind, watched))
    return reader, watched


def _watch(rule: Rule, kind: str, watched: _Watched) -> Rule:
    def take(state: Any, silent: bool) -> bool:
        start, before, found = state.pos, len(state.delimiters), len(watched.marks)
        took = rule(state, silent)
        if not took or silent:
            return took
        if kind == "link":
            label = state.md.helpers.parseLinkLabel(state, start, True)
            watched.marks += [Mark(start, start + 1, kind, True), Mark(label, state.pos, kind, True)]
        elif kind == "emphasis":
            if any(each.open or each.close for each in state.delimiters[before:]):
                watched.marks.append(Mark(start, state.pos, kind, True))
        # Backticks without an end are text, and a backslash at a line's end breaks it.
        elif not (kind == "code" and state.pending) and state.src[start : start + 2] != "\\\n":
            # What an image says instead is read as a text of its own, whose places are others.
            del watched.marks[found:]
            watched.marks.append(Mark(start, state.pos, kind))
        return took

    return take


def joined(text: str) -> str:
    """Return a passage's text on one line; Chinese has no blank between two lines."""
    return _SPACES.sub(_glue, text)


def _glue(found: re.Match[str]) -> str:
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    return "" if _is_wide(before) or _is_wide(after) else " "


def _is_wide(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef"
