"""How near does a translation model that we taught ourselves come to people's translations of a book it never saw?

The pairs to learn from are what Debian packages bring: LibreOffice's help in English and Chinese, and gettext's
catalogues. Judged is prose: sentences of the Debian Handbook that both languages have, none of them among the pairs, by
chrF and BLEU (sacrebleu; Chinese by its own tokenizer), beside the sentence copied and beside a phrase table made from
the same pairs. Models of other people's that lie on this machine are judged alike.

    apt-get download libreoffice-help-en-us libreoffice-help-zh-cn debian-handbook   # and dpkg -x each into x
    python benchmarks/translation.py --write pairs --libreoffice x/usr/share/libreoffice/help \\
        --catalogues /usr/share/locale/zh_CN
    chidu train --pairs pairs --work w --minutes 40
    OMP_NUM_THREADS=1 python benchmarks/translation.py --pairs pairs --handbook x/usr/share/doc/debian-handbook/html \\
        --model w/translation/model [--sentences 200] [--json]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import sacrebleu
from parallel_text import handbook, libreoffice
from results import row, tell

from chidu.apps import translate
from chidu.corpus import Pair, read_lines, read_pairs
from chidu.corpus.pairs import cleaned
from chidu.errors import ChiduError
from chidu.inference import open_engine

WAYS = (("en", "zh"), ("zh", "en"))
SHORTEST, LONGEST = 30, 300
"""Characters of the English of a sentence that is judged."""
MOST_WORDS = 8
"""Of a pair that the phrase table is made from."""
LEAST = 3
"""Pairs that a phrase stands in."""
MARIAN = (
    "published: 31.4 BLEU, 26.8 chrF (en to zh), 36.1 and 54.8 (zh to en), on Tatoeba's short sentences, not on these"
)
"""Helsinki-NLP's cards of opus-mt-en-zh and opus-mt-zh-en of 2020-07-17, test sets Tatoeba-test."""

Way = tuple[str, str]
Translate = Callable[[str, Way], str]


def write_pairs(folder: Path, help_folder: Path | None, catalogues: list[Path]) -> None:
    """Write what is there as files that `chidu train --pairs` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    if help_folder is not None:
        with (folder / "libreoffice.jsonl").open("w", encoding="utf-8") as file:
            for english, chinese in libreoffice(help_folder):
                file.write(json.dumps({"en": english, "zh": chinese}, ensure_ascii=False) + "\n")
    for path in catalogues:
        found = [path] if path.is_file() else sorted([*path.rglob("*.mo"), *path.rglob("*.po")])
        for number, each in enumerate(found):
            shutil.copyfile(each, folder / f"{path.name}-{number}-{each.name}")


def clean_pairs(paths: list[Path]) -> list[tuple[str, str]]:
    """Return the pairs of files as they are taught."""
    found = (cleaned(each) for each in read_pairs(paths) if isinstance(each, Pair))
    return list(dict.fromkeys(each for each in found if not isinstance(each, str)))


def judged(folder: Path, known: Iterable[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """Return sentences of the Handbook, none of which was taught, in the order of a hash."""
    seen = {text for pair in known for text in pair}
    found = []
    for english, chinese in dict.fromkeys(handbook(folder)):
        clean = cleaned(Pair((english, chinese), ("en", "zh")))
        if SHORTEST <= len(english) <= LONGEST and not isinstance(clean, str) and not seen & set(clean):
            found.append((english, chinese))
    return sorted(found, key=lambda pair: hashlib.sha256(pair[0].encode()).hexdigest())[:most]


class PhraseTable:
    """Of each phrase its most frequent translation, or what it most often stands beside (Dice); the rest is copied."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.tables: dict[Way, dict[str, str]] = {way: {} for way in WAYS}
        self._whole(pairs)
        self._beside(pairs)

    def _whole(self, pairs: list[tuple[str, str]]) -> None:
        """Take short pairs as phrases."""
        counts: dict[Way, dict[str, Counter[str]]] = {way: defaultdict(Counter) for way in WAYS}
        for english, chinese in pairs:
            if len(words(english)) <= 3 and len(chinese) <= 8:
                counts["en", "zh"][english.lower().strip(" .:")][chinese.strip(" 。：:")] += 1
                counts["zh", "en"][chinese.strip(" 。：:")][english.strip(" .:")] += 1
        for way, found in counts.items():
            self.tables[way] |= {source: said.most_common(1)[0][0] for source, said in found.items()}

    def _beside(self, pairs: list[tuple[str, str]]) -> None:
        """Join words and runs of Chinese characters that stand in the same pairs."""
        ones, others, both = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
        for english, chinese in pairs:
            said = {word.lower() for word in words(english)}
            if len(said) > MOST_WORDS:
                continue
            runs = {run[at : at + size] for run in hans(chinese) for size in (1, 2, 3, 4) for at in range(len(run))}
            ones.update(said)
            others.update(runs)
            both.update((word, run) for word in said for run in runs)
        best: dict[Way, dict[str, tuple[float, str]]] = {way: {} for way in WAYS}
        for (word, run), count in both.items():
            if count >= LEAST:
                dice = 2 * count / (ones[word] + others[run])
                best["en", "zh"][word] = max(best["en", "zh"].get(word, (0.0, "")), (dice, run))
                best["zh", "en"][run] = max(best["zh", "en"].get(run, (0.0, "")), (dice, word))
        for way, found in best.items():
            for source, (_, said) in found.items():
                self.tables[way].setdefault(source, said)

    def __call__(self, text: str, way: Way) -> str:
        """Translate by the longest phrase that begins at each place."""
        table = self.tables[way]
        units = re.findall(r"\w+|[^\w\s]", text.lower()) if way[0] == "en" else list(text)
        glue, between = (" ", "") if way[0] == "en" else ("", " ")
        said, at = [], 0
        while at < len(units):
            size = next((size for size in (4, 3, 2, 1) if glue.join(units[at : at + size]) in table), 0)
            said.append(table[glue.join(units[at : at + size])] if size else units[at])
            at += size or 1
        return between.join(said)


def words(text: str) -> list[str]:
    """Return the words of English."""
    return re.findall(r"[A-Za-z]+", text)


def hans(text: str) -> list[str]:
    """Return the runs of Chinese characters."""
    return re.findall("[\u3400-\u9fff]+", text)


def scores(said: list[str], wanted: list[str], language: str) -> tuple[float, float]:
    """Return chrF and BLEU of translations, each of 100."""
    chrf = sacrebleu.corpus_chrf(said, [wanted]).score
    return chrf, sacrebleu.corpus_bleu(said, [wanted], tokenize="zh" if language == "zh" else "13a").score


def by_model(name: str) -> Translate:
    """Translate by a model; a sentence it can't is copied, and told."""
    engine = open_engine(name)

    def said(text: str, way: Way) -> str:
        return translate(text, source=way[0], target=way[1], engine=engine).translation.strip()

    return said


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what is measured."""
    pairs = clean_pairs(options.pairs)
    kept = [] if options.held_out is None else [(line["en"], line["zh"]) for line in read_lines(options.held_out)]
    known = set(pairs) - set(kept)
    table = PhraseTable([each for each in pairs if each in known])
    yield from judge("the Handbook", judged(options.handbook, pairs, options.sentences), table, options)
    if kept:
        yield from judge("held-out pairs", kept[: options.sentences], table, options)


def judge(
    text: str, book: list[tuple[str, str]], table: PhraseTable, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield what is measured on the sentences of a text, both ways."""
    for way in WAYS:
        first, second = (0, 1) if way[0] == "en" else (1, 0)
        sources, wanted = [pair[first] for pair in book], [pair[second] for pair in book]
        copied = scores(sources, wanted, way[1])
        phrases = scores([table(text, way) for text in sources], wanted, way[1])
        name = f"{text}, {way[0]} to {way[1]}"
        note = f"{len(book)} sentences; BLEU {phrases[1]:.2f}, {copied[1]:.2f} copied"
        ratio = phrases[0] / max(copied[0], 0.01)
        yield row(f"{name}: phrase table, chrF", phrases[0], copied[0], ratio, "", "", note, "copying")
        for model in options.model:
            said_by = by_model(model)
            try:
                said = [said_by(text, way) for text in sources]
            except ChiduError as error:
                print(f"{model}, {name}: {error}", file=sys.stderr)
                continue
            chrf, bleu = scores(said, wanted, way[1])
            note = f"BLEU {bleu:.2f}, {phrases[1]:.2f} by phrases; Marian {MARIAN}"
            what = f"{name}: {Path(model).parent.parent.name or model}, chrF"
            yield row(what, chrf, phrases[0], chrf / max(phrases[0], 0.01), "above", "", note, "phrase table")
            for asked, ours, theirs in list(zip(sources, said, wanted, strict=True))[: options.show]:
                print(f"  {asked}\n  → {ours}\n  = {theirs}", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, help="write the pairs that are there into this folder, and end")
    parser.add_argument("--libreoffice", type=Path, help="folder with en-US and zh-CN of LibreOffice's help")
    parser.add_argument("--catalogues", type=Path, nargs="*", default=[], help=".mo or .po, or folders of them")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="what the models were taught")
    parser.add_argument("--handbook", type=Path, help="folder with en-US and zh-CN of the Debian Handbook")
    parser.add_argument("--held-out", type=Path, help="pairs/held_out.jsonl of the work folder: judged too")
    parser.add_argument("--model", nargs="*", default=[])
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--show", type=int, default=0, help="sentences to print with their translations")
    given = parser.parse_args()
    if given.write is not None:
        write_pairs(given.write, given.libreoffice, given.catalogues)
    elif not given.pairs or given.handbook is None:
        parser.error("name --pairs and --handbook, or --write")
    else:
        tell(rows(given), as_json=given.json)
