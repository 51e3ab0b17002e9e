"""Translations, sentence by sentence, of a text or of Markdown, of which all but the prose stays as it is.

A sentence with code, links or emphasis in it is given to the model with a mark in place of each (⟦0⟧, ⟦1⟧, …). Where
not all marks come back, in an order that makes sense, the words between them are translated one stretch after another:
worse to read, but nothing is lost. A long text is read in parts, so that memory stays bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from chidu.apps import markdown
from chidu.apps.keeping import KeptPieces, KeptTranslator
from chidu.apps.markdown import Mark, Passage
from chidu.apps.sentences import boundaries
from chidu.corpus import LANGUAGES, check_language, is_chinese
from chidu.errors import ContextError, MissingPackageError, SettingError, TextError
from chidu.index import MOST_BYTES
from chidu.units import count_of, format_bytes

if TYPE_CHECKING:
    from chidu.inference import Engine, Translator

__all__ = ["LeftAlone", "SentencePair", "Translation", "detect_language", "translate"]

Progress = Callable[[float, str], None]

_PART = 50_000
"""Characters of a text that are read at once: some ten pages."""
_MARK = re.compile(r"⟦(\d+)⟧")
_HELD = re.compile("⟦\\d+⟧|(\x1b\\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069])")
"""What is kept from a model that Markdown takes for words: our own marks, since they would be taken for it, and a
terminal's orders, control characters and turns of the direction of writing, since most models would lose them."""
_LETTER = re.compile(r"[^\W\d_]")
_HAN = re.compile("[\u3400-\u9fff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_SEAMS = re.compile(r"(?<=[;；:：，、])|(?<=, )")
_SAMPLE = 20_000
"""Characters by which a text's language is told."""
_WITHOUT_BLANKS = ("zh", "ja", "th")
"""Languages whose sentences follow each other without a blank."""


@dataclass(frozen=True)
class SentencePair:
    """A sentence and what became of it."""

    source: str
    translation: str
    line: int
    """Where its paragraph begins in the text, counted from 1."""


@dataclass(frozen=True)
class LeftAlone:
    """Something that stands in the translation as it stood in the text."""

    text: str
    line: int
    """Of its paragraph or block, counted from 1."""
    why: str
    """`code`, `html`, `image`, `address`, `front matter`; `in Chinese already` and the like; or that its Markdown would
    not have survived."""
    sentences: int = 0
    """How many of the text's sentences it is; 0 where it is none, but code or the like."""


@dataclass(frozen=True)
class Translation:
    """A text in another language."""

    translation: str
    source: str
    target: str
    """Two-letter codes."""
    pairs: tuple[SentencePair, ...]
    """In the order of the text."""
    left: tuple[LeftAlone, ...]
    detected: bool
    """True where nobody said what the source is."""


def translate(
    text: str,
    *,
    target: str,
    source: str | None = None,
    engine: Engine,
    progress: Progress | None = None,
    model: str = "",
    kept: KeptPieces | None = None,
) -> Translation:
    """Translate a text (Markdown or plain) with an engine that `open_engine` opened; languages are two-letter codes.

    Without `source` the language is detected. With `kept` each sentence is kept as it is translated, and what a call
    that was stopped left there is taken from it, where `model` tells that it was the same one's.

    Raises SettingError for a language that is none, TextError where the text is empty, too large, or its language can't
    be told, InputError where the engine can't translate between the two.
    """
    from chidu.inference import translator_of

    target = check_language(target, "target")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if (size := len(text.encode("utf-8", "replace"))) > MOST_BYTES:
        raise TextError(f"the text has {format_bytes(size)}, more than {format_bytes(MOST_BYTES)}: cut it")
    if not _LETTER.search(text):
        raise TextError("the text has no words: there is nothing to translate")
    known = detect_language(text) if source is None else check_language(source, "source")
    if known == target:
        raise SettingError(f"the text is in {target!r}, the language it should be translated into: name another")
    translator = translator_of(engine)
    translator.check(known, target)
    keeper = None if kept is None else KeptTranslator(translator, kept, model)

    def tell(done: float, words: str) -> None:
        # Where work goes on, its first word comes behind what is kept: the time that is left is reckoned from there.
        if progress is not None and (keeper is None or keeper.is_at_work):
            progress(done, words)

    work = _Work(keeper or translator, known, target)
    written = "".join(work.parts(text, tell))
    return Translation(written, known, target, tuple(work.pairs), tuple(work.left), source is None)


def detect_language(text: str) -> str:
    """Return the two-letter code of the language most of a text is in, told by pycld2.

    Raises TextError where that is not clear, MissingPackageError without pycld2.
    """
    sample = _CONTROL.sub(" ", text[:_SAMPLE])
    if is_chinese(sample):
        return "zh"
    try:
        import pycld2
    except ImportError as error:
        raise MissingPackageError("pycld2", "search", "telling a text's language") from error
    is_sure, _, found = pycld2.detect(sample)
    code = str(found[0][1]).partition("-")[0]
    code = {"iw": "he", "nb": "no", "nn": "no"}.get(code, code)
    if not is_sure or code not in LANGUAGES:
        raise TextError("the text's language can't be told: name it (--from, or source)")
    return code


class _Work:
    """One translation under way."""

    def __init__(self, translator: Translator, source: str, target: str) -> None:
        self.translator, self.source, self.target = translator, source, target
        self.glue = "" if target in _WITHOUT_BLANKS else " "
        self.pairs: list[SentencePair] = []
        self.left: list[LeftAlone] = []
        self.done = 0
        self.now = _Edit(0, 0, "", "")

    def parts(self, text: str, progress: Progress) -> Iterator[str]:
        """Yield the translation, a part at a time."""
        references = markdown.definitions(text)
        head = markdown.front_matter(text)
        if head:
            self.left.append(LeftAlone(text[:head].rstrip("\n"), 1, "front matter"))
            yield text[:head]
        line = text.count("\n", 0, head)
        for start, end in markdown.parts(text[head:], _PART):
            part = text[head + start : head + end]

            def tell(done: int, start: int = start) -> None:
                progress((head + start + done) / len(text), count_of(self.done, "sentence"))

            yield self._part(part, line, references, tell)
            line += part.count("\n")

    def _part(self, part: str, lines: int, references: dict[str, Any], tell: Callable[[int], None]) -> str:
        edits, others = list[_Edit](), list[LeftAlone]()
        for found in markdown.read(part, references):
            if isinstance(found, Passage):
                tell(found.start)
                edits.append(self._passage(replace(found, line=lines + found.line), part, references))
            else:
                others.append(LeftAlone(found.text, lines + found.line, found.kind))
        edits = _safe(part, edits, references)
        for edit in edits:
            self.pairs += edit.pairs
            others += edit.left
        # In the order of the text: blocks that are none lie between the passages.
        self.left += sorted(others, key=lambda each: each.line)
        tell(len(part))
        return _edited(part, edits)

    def _passage(self, passage: Passage, part: str, references: dict[str, Any]) -> _Edit:
        """Return a passage's translation, or the passage itself where none has its outline."""
        as_it_was = part[passage.start : passage.end]
        kept = _Edit(passage.start, passage.end, as_it_was, as_it_was)
        self.now = replace(kept, pairs=[], left=[])
        translated = [self._sentence(one, passage.line) for one in _sentences(passage, self.source)]
        self.now.left.extend(
            LeftAlone(passage.text[each.start : each.end], passage.line, each.kind)
            for each in passage.marks
            if each.kind in ("code", "html", "image", "address")
        )
        if not self.now.pairs:
            return self.now
        wanted = _outline(passage, markdown.joined(passage.text), references)
        for write in (_plain, _escaped, _apart):
            text = self.glue.join(write(one) for one in translated)
            if _outline(passage, text, references) == wanted:
                return replace(self.now, text=_in_cell(text) if passage.kind == "cell" else text)
        return _given_up(kept, passage.line, self.now)

    def _sentence(self, pieces: Pieces, line: int) -> Pieces:
        """Return a sentence's translation; what is not to be translated comes back as it is."""
        words = "".join(each for each in pieces if isinstance(each, str))
        if not _LETTER.search(words):
            return pieces
        why = self._why_not(words)
        found = pieces if why else self._whole(pieces) or self._stretches(pieces)
        if not why and not any(isinstance(each, str) and each.strip() for each in found):
            found, why = pieces, "the model wrote nothing"
        if why:
            self.now.left.append(LeftAlone(_plain(pieces), line, why, 1))
            return pieces
        self.done += 1
        self.now.pairs.append(SentencePair(_plain(pieces), _plain(found), line))
        return found

    def _why_not(self, words: str) -> str:
        if self.target == "zh" and is_chinese(words):
            return "in Chinese already"
        return "not in Chinese" if self.source == "zh" and not _HAN.search(words) else ""

    def _whole(self, pieces: Pieces) -> Pieces | None:
        """Translate a sentence in one piece; None where its marks did not all come back."""
        held = [each for each in pieces if isinstance(each, Held)]
        numbers = iter(range(len(held)))
        asked = "".join(each if isinstance(each, str) else f"⟦{next(numbers)}⟧" for each in pieces)
        if not held:
            return (self._said(asked),)
        try:
            said = self.translator(asked, self.source, self.target)
        except ContextError:
            return None
        found = [int(number) for number in _MARK.findall(said)]
        pairs = [number for number in found if number < len(held) and held[number].is_pair]
        if sorted(found) != list(range(len(held))) or pairs != sorted(pairs):
            return None
        parts = _MARK.split(said)
        return tuple(held[int(each)] if at % 2 else each for at, each in enumerate(parts) if at % 2 or each)

    def _stretches(self, pieces: Pieces) -> Pieces:
        """Translate the words between marks, each stretch by itself."""
        return tuple(self._said(each) if isinstance(each, str) and _LETTER.search(each) else each for each in pieces)

    def _said(self, text: str) -> str:
        """Return the translation of a stretch with the blanks around it; one that is too long is cut in two."""
        core = text.strip()
        before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        try:
            return before + self.translator(core, self.source, self.target) + after
        except ContextError:
            cut = _middle(core)
            if cut is None:
                raise
            return before + self.glue.join(self._said(each.strip()) for each in (core[:cut], core[cut:])) + after


@dataclass(frozen=True)
class _Edit:
    """What becomes of a passage."""

    start: int
    end: int
    """Characters of the part."""
    before: str
    text: str
    pairs: list[SentencePair] = field(default_factory=list)
    left: list[LeftAlone] = field(default_factory=list)


def _given_up(edit: _Edit, line: int, tried: _Edit) -> _Edit:
    """Return an edit that leaves its passage as it was, with all the sentences that another one tried to change."""
    sentences = len(tried.pairs) + sum(each.sentences for each in tried.left)
    left = LeftAlone(edit.before, line, "its Markdown would not have survived", sentences)
    return _Edit(edit.start, edit.end, edit.before, edit.before, [], [left])


def _edited(part: str, edits: Sequence[_Edit]) -> str:
    written, place = [], 0
    for edit in edits:
        written += [part[place : edit.start], edit.text]
        place = edit.end
    return "".join([*written, part[place:]])


def _safe(part: str, edits: list[_Edit], references: dict[str, Any]) -> list[_Edit]:
    """Return edits under which the part keeps its outline: one that would not leaves its passage as it was.

    Each was looked at by itself before; here is seen that they go together.
    """
    wanted = markdown.outline(part, references)
    if markdown.outline(_edited(part, edits), references) == wanted:
        return edits
    safe: list[_Edit] = []
    for edit in edits:
        if edit.text == edit.before or markdown.outline(_edited(part, [*safe, edit]), references) == wanted:
            safe.append(edit)
        else:
            safe.append(_given_up(edit, edit.pairs[0].line, edit))
    return safe


@dataclass(frozen=True)
class Held:
    """What stands inside of a sentence and is not translated."""

    text: str
    is_pair: bool
    kind: str


Pieces = tuple[str | Held, ...]
"""A sentence: its words, and what stands between them."""


def _sentences(passage: Passage, language: str) -> Iterator[Pieces]:
    """Yield the sentences of a passage, on one line."""
    held = sorted(
        [
            *passage.marks,
            *(
                Mark(each.start(), each.end(), "character", each[1] is not None)
                for each in _HELD.finditer(passage.text)
                if not any(mark.start < each.end() and each.start() < mark.end for mark in passage.marks)
            ),
        ],
        key=lambda each: each.start,
    )
    shown, place = "", 0
    for number, mark in enumerate(held):
        shown += f"{passage.text[place : mark.start]}⟦{number}⟧"
        place = mark.end
    shown = markdown.joined(shown + passage.text[place:])
    for start, end in boundaries(shown, language):
        if said := shown[start:end].strip():
            parts = _MARK.split(said)
            yield tuple(
                Held(passage.text[(mark := held[int(each)]).start : mark.end], mark.is_pair, mark.kind)
                if at % 2
                else each
                for at, each in enumerate(parts)
                if at % 2 or each
            )


def _plain(pieces: Pieces) -> str:
    return "".join(each if isinstance(each, str) else each.text for each in pieces)


def _escaped(pieces: Pieces) -> str:
    return "".join(markdown.escaped(each) if isinstance(each, str) else each.text for each in pieces)


def _apart(pieces: Pieces) -> str:
    """Write a sentence with blanks around what is emphasised: between Chinese characters its marks may mean nothing."""
    written, begun = "", list[str]()
    for each in pieces:
        if isinstance(each, str):
            written += markdown.escaped(each)
        elif each.kind != "emphasis":
            written += each.text
        elif begun and begun[-1] == each.text:
            begun.pop()
            written += f"{each.text} "
        else:
            begun.append(each.text)
            written += f" {each.text}"
    return written.strip()


def _outline(passage: Passage, text: str, references: dict[str, Any]) -> list[Any]:
    """Return the outline of a passage by itself."""
    if passage.kind in ("=", "-"):
        text = f"{text}\n{passage.kind * 3}"
    return markdown.outline(f"# {text}" if passage.kind == "heading" else text, references)


def _in_cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", text)


def _middle(text: str) -> int | None:
    """Return the seam nearest to a text's middle: behind a comma, else between words; None in a short text."""
    if len(text) < 16:
        return None
    seams = [each.start() for each in _SEAMS.finditer(text)] or [each.start() for each in re.finditer(" ", text)]
    inside = [each for each in seams if 0 < each < len(text)]
    return min(inside, key=lambda each: abs(each - len(text) // 2), default=len(text) // 2)
