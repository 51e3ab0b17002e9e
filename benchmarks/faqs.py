"""Questions that people ask and their answers, from the FAQs that Debian's packages install: perl-doc, python3-doc,
debian-faq, debian-faq-zh-cn. Their licences (Artistic or GPL, PSF, GPL) let them be read here; none is kept here."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["FAQS", "WIDE", "Entry", "entries"]


class Entry(NamedTuple):
    """A question and what answers it."""

    question: str
    answer: str


def entries(name: str, folder: Path | None = None) -> list[Entry]:
    """Return the entries of a FAQ in their order, each question once; from where its package put it, or a folder."""
    read, package, places = FAQS[name]
    files = sorted(folder.iterdir()) if folder else [path for place in places for path in sorted(Path("/").glob(place))]
    if not files:
        raise SystemExit(f"{name}: no file at {' or '.join(places)}: apt-get install {package}, or name its folder")
    found: dict[str, Entry] = {}
    for path in files:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
        for one in read(text):
            if one.answer.strip():
                found.setdefault(one.question, one)
    return list(found.values())


def perl(text: str) -> Iterator[Entry]:
    """Yield what stands under each =head2 of a POD file, its marks taken off."""
    for part in re.split(r"^=head2 ", text, flags=re.M)[1:]:
        question, _, answer = re.split(r"^=head1 ", part, flags=re.M)[0].partition("\n\n")
        yield Entry(_plain_pod(question.replace("\n", " ")), _plain_pod(re.sub(r"^=\w+.*\n", "", answer, flags=re.M)))


def _plain_pod(text: str) -> str:
    text = re.sub(r"L<<?\s*(?:([^|>]*)\|)?([^>]*?)\s*>>?", lambda link: link.group(1) or link.group(2), text)
    text = re.sub(r"[A-Z]<<+ (.*?) >>+", r"\1", text, flags=re.S)
    # X marks what an index would have: it is not shown.
    text = re.sub(r"\s*X<[^<>]*>", "", text)
    for _ in range(2):
        text = re.sub(r"[BCFIS]<([^<>]*)>", r"\1", text)
    return re.sub(r"E<lt>", "<", re.sub(r"E<gt>", ">", text)).strip()


def python(text: str) -> Iterator[Entry]:
    """Yield what stands under each heading that is a question, of a reStructuredText file."""
    marked = list(re.finditer(r"^(\S[^\n]*)\n([=\-^~*])\2{3,}$", text, flags=re.M))
    for one, end in zip(marked, _ends(marked, text), strict=True):
        if one.group(1).rstrip().endswith("?"):
            yield Entry(_plain_rst(one.group(1)), _plain_rst(text[one.end() : end]))


def _plain_rst(text: str) -> str:
    text = re.sub(r"^\.\. .*\n(?:[ \t]+:.*\n)*", "", text, flags=re.M)
    text = re.sub(r"^[=*]{4,}$", "", text, flags=re.M)
    text = re.sub(r"`([^`<]*?)\s*<[^`>]*>`_*", r"\1", re.sub(r":[\w:+-]+:`[!~]?([^`]*)`", r"`\1`", text))
    return text.replace("``", "`").strip()


def debian(text: str) -> Iterator[Entry]:
    """Yield what stands under each numbered heading that is a question, of the plain text of the FAQ."""
    text = text.replace("\xa0", " ")
    marked = list(re.finditer(r"^(\d+\.\d+(?:\.\d+)?)\. (\S.*(?:\n\S.*)*)\n", text, flags=re.M))
    for one, end in zip(marked, _ends(marked, text), strict=True):
        answer = re.split(r"^(?:Chapter|第) ?\d+", text[one.end() : end], flags=re.M)[0]
        question, answer = (re.sub(rf"(?<=[{WIDE}])\n? *(?=[{WIDE}])", "", said) for said in (one.group(2), answer))
        question = " ".join(question.split())
        if question.endswith(("?", "？")) and len(answer) > 80:
            yield Entry(question, answer.strip())


def _ends(marked: Sequence[re.Match[str]], text: str) -> list[int]:
    """Return where what stands under each heading ends."""
    return [one.start() for one in marked[1:]] + [len(text)] * bool(marked)


WIDE = "\u3001-\u9fff\uff01-\uff5e"
"""Between two of these no blank stands in Chinese: one there is a line's end, or typesetting."""
Read = Callable[[str], Iterator[Entry]]
FAQS: dict[str, tuple[Read, str, Sequence[str]]] = {
    "perl": (perl, "perl-doc", ["usr/share/perl/5.*.*/pod/perlfaq?.pod"]),
    "python": (python, "python3-doc", ["usr/share/doc/python3.*/html/_sources/faq/*.rst.txt"]),
    "debian": (debian, "debian-faq", ["usr/share/doc/debian/FAQ/debian-faq.en.txt.gz"]),
    "debian-zh": (debian, "debian-faq-zh-cn", ["usr/share/doc/debian/FAQ/debian-faq.zh-cn.txt.gz"]),
}
"""Name → how it is read, the package that installs it, and where."""
