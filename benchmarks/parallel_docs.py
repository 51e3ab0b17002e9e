"""Pairs of English and Chinese out of manuals that have the same blocks in the same order; nothing of it is kept here.

HTML of Debian's own manuals (GPL-2+), of GIMP's (GFDL) and GNOME's (CC-BY-SA-3.0); reStructuredText of Linux (GPL-2),
AsciiDoc of Pro Git (CC-BY-NC-SA-3.0: measured, never shipped), Markdown; gettext's catalogues of whole manuals
(Python's and Django's). Blocks that only one side has are found by an alignment of lengths and of words that both share
(after Gale and Church, 1993).

Where they come from, kind by kind; `dpkg -x` all into one folder, which is what `sources` is given:

    debian        debian-reference-en, -zh-cn, debian-faq, debian-faq-zh-cn, maint-guide, maint-guide-zh-cn,
                  debmake-doc, installation-guide-amd64, debian-edu-doc-en, debian-edu-doc-zh-cn
    gimp, gnome   gimp-help-en, gimp-help-zh-cn; gnome-user-docs
    linux         linux-doc-6.1
    descriptions  apt's lists Translation-en and Translation-zh_CN (Acquire::Languages), unpacked under these names
    progit        the sources of Pro Git, English and Chinese, in progit2 and progit2-zh
    catalogues    a folder of .po files: the Chinese translations of Python's documentation, or of Django's
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from parallel_text import split

from chidu.corpus import is_chinese

__all__ = ["KINDS", "aligned", "markup_blocks", "page_blocks", "plain_markup", "read_catalogue", "sources"]

KINDS = ("debian", "descriptions", "gimp", "gnome", "linux", "progit", "catalogues")
"""Kinds of manuals that `sources` knows."""

Block = tuple[str, str]
"""Its kind and its text."""

BLOCKS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "dt", "dd", "td", "th", "title", "desc", "item", "note"}
PASSED_OVER = {"script", "style", "nav", "pre", "screen", "code-block", "info", "head", "credit"}
EMPTY = {"br", "img", "input", "hr", "meta", "link", "col", "include", "media"}
WIDE = 2.2
"""Letters of English to a Chinese character, about."""
SKIP = -0.25
"""What a block without a partner costs."""
BAND = 80
"""Blocks that one side may run ahead of the other."""
LEAST = 0.35
"""Worth of two blocks that are taken for a pair."""
SHARED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./+-]*[A-Za-z0-9]|\d")
HAN = re.compile("[\u3400-\u9fff]")
SEAM = re.compile(
    "(?<=[\u3000-\u303f\u3400-\u9fff\uff00-\uffef])[ \t]*\n\\s*(?=[\u3000-\u303f\u3400-\u9fff\uff00-\uffef])"
)
NUMBERED = re.compile(
    r"^(?:第 ?[\dA-Z.]+ ?[章节]。?|Chapter\s+\d+\.|Appendix\s+[A-Z]\.|附录 ?[A-Z]\.?|[\dA-Z]+(?:\.\d+)*\.)\s*"
)
"""Numbers of chapters before a heading."""


class _Page(HTMLParser):
    """The blocks of HTML or Mallard, where a block inside of another ends the outer one's text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Block] = []
        self.kind = ""
        self.text = ""
        self.hidden: list[str] = []

    def _flush(self, kind: str) -> None:
        text = NUMBERED.sub("", " ".join(SEAM.sub("", self.text).split()))
        if text and self.kind:
            self.found.append((self.kind, text))
        self.kind, self.text = kind, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = dict(attrs).get("class") or ""
        if tag in EMPTY:
            self.text += "\n" if tag == "br" else ""
        elif self.hidden:
            if tag == self.hidden[-1]:
                self.hidden.append(tag)
        elif tag in PASSED_OVER or kind in ("toc", "navheader", "navfooter", "programlisting", "screen"):
            self._flush("")
            self.hidden.append(tag)
        elif tag in BLOCKS:
            self._flush(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.hidden:
            if tag == self.hidden[-1]:
                self.hidden.pop()
        elif tag in BLOCKS:
            self._flush("")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.text += data


def page_blocks(path: Path) -> list[Block]:
    """Return the blocks of a page of HTML or Mallard."""
    reader = _Page()
    reader.feed(_text(path))
    reader._flush("")
    return reader.found


def markup_blocks(path: Path) -> list[Block]:
    """Return the paragraphs, headings and items of reStructuredText, AsciiDoc or Markdown; code is passed over."""
    text = _text(path)
    text = (
        re.sub(r"(?ms)^(```|----|====|\.\.\.\.|~~~)[^\n]*\n.*?^\1[^\n]*$", "\n", text) if path.suffix != ".gz" else text
    )
    found = []
    for part in re.split(r"\n[ \t]*\n", text):
        lines = [
            line for line in part.split("\n") if line.strip() and not re.match(r"^([=\-~^\"'#*+`.])\1{2,}\s*$", line)
        ]
        lines = [line for line in lines if not re.match(r"^\s*(\.\. |:\w|\[|\(\(\(|image::|//|<|\||\+--)", line)]
        if not lines or lines[0].startswith(("    ", "\t", "  $")):
            continue
        items = re.split(r"\n(?=\s*(?:[-*+]|\d+\.|\.)\s)", "\n".join(lines))
        for item in items:
            kind = (
                "h" if re.match(r"^(#+|=+)\s", item) else "li" if re.match(r"^\s*(?:[-*+]|\d+\.|\.)\s", item) else "p"
            )
            bare = re.sub(r"^\s*(?:#+|=+|[-*+]|\d+\.|\.)\s+", "", item)
            plain = plain_markup(" ".join(SEAM.sub("", re.sub(r"(?m)^\s+", "", bare)).split()))
            if plain:
                found.append((kind, plain))
    return found


def plain_markup(text: str) -> str:
    """Return the words of reStructuredText, AsciiDoc or Markdown, roles and links without their marks."""
    text = re.sub(r"\(\(\([^)]*\)\)\)|<<[^>,]*>>|\{\{[^}]*\}\}|\{#[^}]*\}", "", text)
    text = re.sub(r"<<[^>,]*,([^>]*)>>", r"\1", text)
    text = re.sub(r":[\w:+.-]+:`[!~]?([^`<]*?)\s*(?:<[^>`]*>)?`", r"\1", text)
    text = re.sub(r"`([^`<]+?)\s*<[^>`]*>`__?", r"\1", text)
    text = re.sub(
        r"!?\[([^\]]*)\]\([^)]*\)|(?:https?:\S*|link:\S*)\[([^\]]*)\]", lambda each: each[1] or each[2] or "", text
    )
    text = re.sub(r"``?([^`]*)`?`_{0,2}", r"\1", text)
    text = re.sub(
        r"(?<![\w*])\*{1,2}([^*]+?)\*{1,2}(?![\w*])|(?<![\w_])_([^_]+)_(?![\w_])", lambda e: e[1] or e[2], text
    )
    return " ".join(re.sub(r"\\ ?|\|", "", text).split())


def aligned(ours: list[Block], theirs: list[Block]) -> Iterator[tuple[str, str]]:
    """Yield the sentences of blocks that go together, by the best way through the worths of all pairs."""
    rows, columns = len(ours), len(theirs)
    if not rows or not columns:
        return
    tokens = [[set(SHARED.findall(text)) for _, text in side] for side in (ours, theirs)]
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    came = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows + 1):
        middle = row * columns // rows
        for column in range(columns + 1):
            if row == column == 0:
                continue
            if abs(column - middle) > BAND:
                best[row][column] = -1e9
                continue
            ways = [(-1e9, 0)]
            if row:
                ways.append((best[row - 1][column] + SKIP, 1))
            if column:
                ways.append((best[row][column - 1] + SKIP, 2))
            if row and column:
                worth = _worth(ours[row - 1], theirs[column - 1], tokens[0][row - 1], tokens[1][column - 1])
                ways.append((best[row - 1][column - 1] + worth, 3))
            best[row][column], came[row][column] = max(ways)
    row, column, pairs = rows, columns, []
    while row and column:
        way = came[row][column]
        if way == 3:
            pairs.append((row - 1, column - 1))
        row, column = row - (way in (1, 3)), column - (way in (2, 3))
        if way == 0:
            break
    for row, column in reversed(pairs):
        worth = _worth(ours[row], theirs[column], tokens[0][row], tokens[1][column])
        if worth >= LEAST and is_chinese(theirs[column][1]):
            yield from split(ours[row][1], theirs[column][1])


def _worth(one: Block, other: Block, said: set[str], kept: set[str]) -> float:
    """Return how well two blocks go together, about -1 to 2."""
    letters = len(HAN.findall(other[1])) * WIDE + len(other[1]) * 0.2
    ratio = min(len(one[1]) + 8, letters + 8) / max(len(one[1]) + 8, letters + 8)
    shared = len(said & kept) / len(kept) if kept else 0.5
    return (0.3 if one[0] == other[0] else -0.7) + (ratio - 0.6) + (shared - 0.4)


def read_catalogue(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the sentences of a manual's catalogue, without their markup."""
    import polib

    for entry in polib.pofile(str(path)).translated_entries():
        if entry.msgstr and not entry.msgid.startswith(".."):
            source, said = plain_markup(entry.msgid), plain_markup(entry.msgstr)
            if source and is_chinese(said):
                yield from split(source, said)


def read_descriptions(english: str, chinese: str) -> Iterator[tuple[str, str]]:
    """Yield the sentences of Debian's descriptions of packages, out of apt's lists Translation-en and -zh_CN."""
    found: dict[tuple[str, str], list[str]] = {}
    for listed, language in ((english, "en"), (chinese, "zh_CN")):
        for entry in listed.split("\n\n"):
            head = re.match(r"Package: (.+)\nDescription-md5: (.+)\nDescription-\w+: ((?:.|\n)*)", entry)
            if head and (language == "en" or (head[1], head[2]) in found):
                found.setdefault((head[1], head[2]), []).append(head[3])
    for said in found.values():
        if len(said) == 2:
            first, second = (
                [" ".join(SEAM.sub("", part).split()) for part in re.split(r"\n \.(?:\n|$)|\n(?=  )|(?<=^.)\n", text)]
                for text in (said[0].replace("\n", "\n .\n", 1), said[1].replace("\n", "\n .\n", 1))
            )
            if len(first) == len(second):
                for one, other in zip(first, second, strict=True):
                    if is_chinese(other):
                        yield from split(one, other)


def sources(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the pairs of one kind of manual under a folder, which is where `dpkg -x` or `git clone` put them."""
    if name == "catalogues":
        for path in sorted(folder.rglob("*.po")):
            yield from read_catalogue(path)
        return
    if name == "descriptions":
        yield from read_descriptions(*(_text(folder / f"Translation-{language}") for language in ("en", "zh_CN")))
        return
    for ours, theirs in _files(name, folder):
        if theirs.is_file() and ours.is_file():
            read = page_blocks if ours.suffix in (".html", ".page") else markup_blocks
            yield from aligned(read(ours), read(theirs))


def _files(name: str, folder: Path) -> Iterable[tuple[Path, Path]]:
    """Yield the files of both languages."""
    share = folder / "usr/share"
    if name == "debian":
        for path in sorted((share / "debian-reference").glob("*.en.html")):
            yield path, path.with_name(path.name.replace(".en.", ".zh-cn."))
        for path in sorted((share / "doc/debian/FAQ").glob("*.en.html")):
            yield path, path.parent / "zh-cn" / path.name.replace(".en.", ".zh-cn.")
        for path in sorted((share / "doc/maint-guide/html").glob("*.en.html")):
            yield path, share / "doc/maint-guide-zh-cn/html" / path.name.replace(".en.", ".zh-cn.")
        for path in sorted((share / "doc/debmake-doc/html").glob("*.en.html")):
            yield path, path.with_name(path.name.replace(".en.", ".zh-cn."))
        for path in sorted((share / "doc/installation-guide-amd64/en").glob("*.html")):
            yield path, share / "doc/installation-guide-amd64/zh_CN" / path.name
        for path in sorted((share / "doc/debian-edu-doc-en").glob("*.html")):
            yield path, share / "doc/debian-edu-doc-zh-cn" / path.name
    elif name == "gimp":
        for path in sorted((share / "gimp/2.0/help/en").glob("*.html")):
            yield path, share / "gimp/2.0/help/zh_CN" / path.name
    elif name == "gnome":
        for path in sorted((share / "help/C").rglob("*.page")):
            yield path, share / "help/zh_CN" / path.relative_to(share / "help/C")
    elif name == "linux":
        base = next((share / "doc").glob("linux-doc-*")) / "Documentation"
        chinese = base / "translations/zh_CN"
        for path in sorted(chinese.rglob("*.rst*")):
            yield base / path.relative_to(chinese), path
    elif name == "progit":
        for path in sorted((folder / "progit2-zh").rglob("*.asc")):
            yield folder / "progit2" / path.relative_to(folder / "progit2-zh"), path


def _text(path: Path) -> str:
    found = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return found.decode("utf-8", "replace")
