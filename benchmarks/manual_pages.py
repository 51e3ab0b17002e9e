"""What manual pages are for, in Chinese, and what they say, in English: the Chinese pages of Debian's manpages-zh, and
the English ones of the same names that other packages install. Read here, not kept here."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["LONGEST", "SHORTEST", "Page", "others", "page_section", "page_text", "pages"]

ENGLISH, CHINESE = Path("/usr/share/man"), Path("/usr/share/man/zh_CN")
LONGEST, SHORTEST = 400, 80
_MACRO = re.compile(r"^\.(B|I|BR|RB|IR|RI|BI|IB|SM|Nm|Ar|Fl|Op|Xr|Sx|Li|Pa|Em|Cm|Nd)\b ?")
_MARKS = re.compile(r"\\f\[?[A-Z]+\]?|\\f.|\\[,/&]|\\\(\w\w|\\\*\(\w\w|\\s[-+]?\d|\"")


class Page(NamedTuple):
    """A manual page."""

    name: str
    said: str
    """The beginning of its English description."""
    purpose: str
    """What its Chinese page says that it is for; empty where there is none."""


def pages(chinese: Path = CHINESE) -> list[Page]:
    """Return the pages that there are in both languages."""
    found = []
    for path in sorted(chinese.glob("man*/*.gz")):
        english = ENGLISH / path.parent.name / path.name
        line = " ".join(page_section(page_text(path), "名称|名字|NAME").split())
        told = re.match(r"^(\S[^-–]*?)\s+(?:\\?-|–)+\s+(.*)", line)
        said = page_section(page_text(english), "DESCRIPTION|Description") if english.exists() else ""
        if told and len(re.findall("[\u4e00-\u9fff]", told.group(2))) >= 4 and len(said) >= SHORTEST:
            found.append(Page(path.name.split(".")[0], said[:LONGEST], told.group(2)))
    if not found:
        raise SystemExit(f"no page in both languages at {chinese}: apt-get install manpages-zh, or name its folder")
    return found


def others(known: list[Page], count: int = 70) -> list[Page]:
    """Return so many English pages of each section beside those, evenly from all of them."""
    names, found = {one.name for one in known}, []
    for section in "123578":
        there = sorted((ENGLISH / f"man{section}").glob("*.gz"))
        taken = 0
        for path in there[:: max(1, len(there) // (2 * count))]:
            name = path.name.split(".")[0]
            said = "" if name in names or taken == count else page_section(page_text(path), "DESCRIPTION|Description")
            if len(said) >= SHORTEST:
                names.add(name)
                taken += 1
                found.append(Page(name, said[:LONGEST], ""))
    return found


def page_text(path: Path) -> str:
    """Return what a page holds, with its marks."""
    return gzip.decompress(path.read_bytes()).decode("utf-8", "replace")


def page_section(text: str, names: str) -> str:
    """Return the text of a section without its marks."""
    title = re.search(rf'^\.S[Hh] "?(?:{names})"?\s*\n', text, flags=re.M)
    lines = re.split(r"^\.S[Hh] ", text[title.end() :], flags=re.M)[0].split("\n") if title else []
    plain = [_MACRO.sub("", line) for line in lines if not line.startswith(('.\\"', "'\\\""))]
    said = (_MARKS.sub("", line).replace("\\-", "-") for line in plain if not line.startswith((".", "'")))
    return "\n".join(said).strip()
