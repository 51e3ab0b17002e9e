"""Pairs of sentences that say the same in two languages: files of them in, clean pairs out, a part held out.

JSON lines (`{"en": …, "zh": …}`), tables (.tsv, whose first line names the languages), and gettext's catalogues (.po
and .mo, read by polib: from English, into the language that their header names).
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chidu.corpus.document import Dropped
from chidu.corpus.languages import LANGUAGES, check_language
from chidu.corpus.lines import write_line
from chidu.corpus.normalise import normalise
from chidu.errors import MissingPackageError, SettingError, TextError
from chidu.runs.record import open_whole

__all__ = ["NO_PROSE", "Pair", "build_pairs", "masked", "pair_files", "read_pairs"]

Progress = Callable[[float, str], None]

_KINDS = (".jsonl", ".tsv", ".po", ".mo")
LONGEST = 600
"""Letters of a sentence at the most, each Chinese character counted as WIDE."""
WIDE = 2.5
"""Letters of English that a Chinese character stands for, about."""
_SHORT = 24
"""Letters up to which a pair's lengths are not compared."""
_RATIO = 3.0
HELD_OUT_PART = 0.02
HELD_OUT_MOST = 2_000
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_HAN = re.compile("[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_BLANKS = re.compile(r"\s+")
NO_PROSE = re.compile(
    r"%(?:\d+\$)?(?:\([\w.-]+\))?[-+#0]?\d*(?:\.\d+)?(?:hh?|ll?|z|j)?[diouxXeEfgGcspq](?![a-z])|%\d\b|%\{\w+\}|%[-\w]+%"
    r"|\$?\{[^{}\s]*\}|\$\(?[A-Za-z_]\w*\)?|</?[A-Za-z][^<>]*>|&\w+;"
    r"|(?:https?|ftp)://[^\s\u3000<>\"，。；）)]*[^\s\u3000<>\"，。；）).,;:!?]"
    r"|(?<![\w-])--?[A-Za-z][\w-]*(?:=[\w./:,@%+-]*\w)?|(?<!\w)(?:/[\w.+-]+){2,}(?<!\.)(?::\d+)*|⟦\d+⟧"
    r"|(?<![\w./~-])(?:~|\.\.?)(?:/\.?[\w+-][\w.+-]*)+(?<!\.)/?(?::\d+)*"
    r"|(?<![\w./~-])\.?(?:[\w+-][\w.+-]*/)+[\w+-][\w.+-]*\.[a-z][a-z0-9]{0,7}(?![\w/])(?::\d+)*",
    re.ASCII,
)
"""Places for values, tags, addresses, flags, paths (those that begin with /, ~, . or .., and those that end in a file's
name with a dot; a line's number behind one too): what a translation leaves as it is. A Chinese character is no part of
any."""
_ACCELERATOR = re.compile(r"\s?\((?:_|&|~)[A-Za-z0-9]\)|(?<!\w)[_&~](?=\w)|(?<=[A-Za-z])[_&~](?=[a-z])")
"""Marks of the key that opens an entry of a menu."""


@dataclass(frozen=True)
class Pair:
    """A sentence in two languages."""

    texts: tuple[str, str]
    """In the order of the languages' codes."""
    languages: tuple[str, str]
    """Two-letter codes, in order of the alphabet."""
    source: str = ""
    """The file's name."""


def build_pairs(
    paths: Sequence[str | Path], folder: Path, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """Clean the pairs of files and folders, and write `train.jsonl` and `held_out.jsonl` into `folder`.

    A fiftieth is held out, 2,000 at the most; the order is that of a seeded hash of the first language's sentence, so
    that one sentence with two translations is never on both sides. Returns a summary: languages, pairs, held_out, bytes
    and dropped (by reason).

    Raises TextError where no pair is left, SettingError where the files are of different languages.
    """
    kept: dict[str, tuple[str, str, str]] = {}
    dropped: Counter[str] = Counter()
    languages: tuple[str, str] | None = None
    for found in read_pairs(paths, progress):
        if isinstance(found, Dropped):
            dropped[found.reason] += 1
            continue
        languages = languages or found.languages
        if found.languages != languages:
            raise SettingError(
                f"{found.source} has {' and '.join(found.languages)}, the files before it {' and '.join(languages)}: "
                "bring pairs of two languages"
            )
        clean = cleaned(found)
        if isinstance(clean, str):
            dropped[clean] += 1
            continue
        order = hashlib.sha256(f"{seed}\n{clean[0]}".encode("utf-8", "replace")).hexdigest()
        key = f"{order}\n{clean[1]}"
        dropped["a duplicate"] += key in kept
        kept[key] = (*clean, order)
    if languages is None or len({order for *_, order in kept.values()}) < 2:
        why = "; ".join(f"{reason}: {count:,}" for reason, count in dropped.most_common(3) if count)
        raise TextError(f"{_shown(paths)}: fewer than two pairs are left ({why or 'none read'}): bring more of them")
    return _written([kept[key] for key in sorted(kept)], languages, folder, +dropped)


def read_pairs(paths: Sequence[str | Path], progress: Progress | None = None) -> Iterator[Pair | Dropped]:
    """Yield the pairs of files, and of all such files in folders, as they stand; what can't be used as Dropped.

    Raises TextError where a path is not there or a file is none of these kinds, MissingPackageError without polib.
    """
    files = pair_files(paths)
    total, done = sum(path.stat().st_size for path in files) or 1, 0
    for path in files:
        readers = {".jsonl": _lines, ".tsv": _table, ".po": _catalogue, ".mo": _catalogue}
        yield from readers[path.suffix](path)
        done += path.stat().st_size
        if progress is not None:
            progress(done / total, f"reading {path.name}")


def pair_files(paths: Sequence[str | Path]) -> list[Path]:
    """Return the files of pairs that paths name. Raises TextError where there is none."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix in _KINDS and each.is_file())
            if not inside:
                raise TextError(f"{path} has no file of pairs: bring {', '.join(_KINDS)}")
            files += inside
        elif not path.is_file():
            raise TextError(f"{path}: no such file or folder: name a file of pairs ({', '.join(_KINDS)}), or a folder")
        elif path.suffix not in _KINDS:
            raise TextError(f"{path} is no file of pairs: its name must end in {', '.join(_KINDS)}")
        else:
            files.append(path)
    return files


def _lines(path: Path) -> Iterator[Pair | Dropped]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            named = {code: text for code, text in values.items() if code in LANGUAGES}
            if len(named) != 2 or not all(isinstance(text, str) for text in named.values()):
                raise ValueError
        except (ValueError, AttributeError, RecursionError):
            yield Dropped(path.name, "no pair of two languages", f"{path.name}:{number}")
            continue
        yield _pair(named, path)


def _table(path: Path) -> Iterator[Pair | Dropped]:
    first, *rest = _text(path).split("\n")
    columns = [name.strip().lower() for name in first.split("\t")]
    wanted = [at for at, name in enumerate(columns) if name in LANGUAGES]
    if len(wanted) != 2 or columns[wanted[0]] == columns[wanted[1]]:
        raise TextError(f"{path}: its first line must name two languages by their codes (en, zh), with a tab between")
    for number, line in enumerate(rest, 2):
        cells = line.split("\t")
        if not line.strip():
            continue
        if len(cells) != len(columns):
            yield Dropped(path.name, "no pair of two languages", f"{path.name}:{number}")
            continue
        yield _pair({columns[at]: cells[at] for at in wanted}, path)


def _catalogue(path: Path) -> Iterator[Pair | Dropped]:
    try:
        import polib
    except ImportError as error:
        raise MissingPackageError("polib", "lab", f"reading {path.name}") from error
    try:
        found = (polib.mofile if path.suffix == ".mo" else polib.pofile)(str(path))
        language = check_language(str(found.metadata.get("Language", "")), "Language")
    # A damaged one ends in whatever polib meets first.
    except (OSError, ValueError, LookupError, TypeError, struct.error) as error:
        yield Dropped(path.name, "no catalogue of gettext's", str(path), detail=str(error))
        return
    except SettingError:
        yield Dropped(path.name, "a catalogue that names no language", str(path))
        return
    if language == "en":
        yield Dropped(path.name, "a catalogue of English alone", str(path))
        return
    for entry in found.translated_entries():
        if entry.msgid_plural:
            forms = entry.msgstr_plural
            source, said = entry.msgid_plural, forms[max(forms)] if forms else ""
        else:
            source, said = entry.msgid, entry.msgstr
        yield _pair({"en": _ACCELERATOR.sub("", source), language: _ACCELERATOR.sub("", said)}, path)


def _pair(named: dict[str, str], path: Path) -> Pair:
    (one, first), (other, second) = sorted(named.items())
    return Pair((first, second), (one, other), path.name)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TextError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): convert it") from error


def cleaned(pair: Pair) -> tuple[str, str] | str:
    """Return the two sentences, each on one line, with marks for what is no prose; or the reason to leave them out."""
    first, second = (_BLANKS.sub(" ", normalise(text)).strip() for text in pair.texts)
    if not first or not second:
        return "one side is empty"
    if first == second:
        return "both sides are the same"
    if not _LETTER.search(first) or not _LETTER.search(second):
        return "one side has no words"
    found = masked(first, second)
    if found is None:
        return "places for values, tags or addresses differ"
    first, second = found
    for text, language in zip(found, pair.languages, strict=True):
        is_han = bool(_HAN.search(text))
        if (language == "zh") != is_han and language not in ("ja", "ko"):
            return "not in the language it should be"
    lengths = sorted(map(_letters, found))
    if lengths[1] > LONGEST:
        return f"above {LONGEST} letters"
    if lengths[1] > _SHORT and lengths[1] > _RATIO * lengths[0]:
        return "one side is more than three times as long"
    return first, second


def masked(first: str, second: str) -> tuple[str, str] | None:
    """Return two sentences with ⟦0⟧, ⟦1⟧, … for what stands in both and is no prose; None where that differs."""
    held = NO_PROSE.findall(first)
    if sorted(held) != sorted(NO_PROSE.findall(second)):
        return None
    numbers: dict[str, list[int]] = {}
    for number, text in enumerate(held):
        numbers.setdefault(text, []).append(number)
    left = {text: iter(found) for text, found in numbers.items()}
    places = iter(range(len(held)))
    return (
        NO_PROSE.sub(lambda _: f"⟦{next(places)}⟧", first),
        NO_PROSE.sub(lambda found: f"⟦{next(left[found[0]])}⟧", second),
    )


def _letters(text: str) -> float:
    wide = len(_WIDE.findall(text))
    return len(text) - wide + WIDE * wide


def _written(
    pairs: list[tuple[str, str, str]], languages: tuple[str, str], folder: Path, dropped: Counter[str]
) -> dict[str, Any]:
    wanted = min(HELD_OUT_MOST, max(1, round(HELD_OUT_PART * len(pairs))))
    # Translations of one sentence stay together.
    cut = next((at for at in range(wanted, len(pairs)) if pairs[at][2] != pairs[at - 1][2]), wanted)
    size = 0
    for name, part in (("held_out", pairs[:cut]), ("train", pairs[cut:])):
        with open_whole(folder / f"{name}.jsonl") as file:
            for first, second, _ in part:
                write_line(file, {languages[0]: first, languages[1]: second})
                size += len(first.encode()) + len(second.encode())
    return {
        "languages": list(languages),
        "pairs": len(pairs) - cut,
        "held_out": cut,
        "bytes": size,
        "dropped": dict(sorted(dropped.items())),
    }


def _shown(paths: Sequence[str | Path]) -> str:
    return ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
