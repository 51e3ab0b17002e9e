"""How near does a translation model that we taught ourselves come to people's translations of a book it never saw?

The pairs to learn from are what Debian packages bring, and manuals that both languages have: see `parallel_text` and
`parallel_docs`. Judged is prose: sentences of the Debian Handbook that both languages have, none of them among the
pairs, by chrF and BLEU (sacrebleu; Chinese by its own tokenizer), beside the sentence copied and beside a phrase table
made from the same pairs. Models of other people's that lie on this machine are judged alike: those that translate with
--model, those that only chat or go on from a text with --prompted, each asked with four pairs as examples.

    apt-get download libreoffice-help-en-us libreoffice-help-zh-cn debian-handbook debian-reference-en \\
        debian-reference-zh-cn debian-faq debian-faq-zh-cn …      # and dpkg -x each into x
    python benchmarks/translation.py --write pairs --libreoffice x/usr/share/libreoffice/help \\
        --catalogues /usr/share/locale/zh_CN --manuals debian=x linux=x gnome=x gimp=x catalogues=python-docs-zh-cn \\
        --handbook x/usr/share/doc/debian-handbook/html
    chidu train --pairs pairs --work w --minutes 60
    OMP_NUM_THREADS=1 python benchmarks/translation.py --pairs pairs --handbook x/usr/share/doc/debian-handbook/html \\
        --model w/translation/model --prompted smollm2 [--beams 1 4] [--sentences 200] [--said said] [--json]
    OMP_NUM_THREADS=1 python benchmarks/translation.py --sets sets --model w/translation/model --sentences 150

The folder of --sets has test sets that others publish scores of, tico19-test.en beside tico19-test.zh and so on, a
sentence a line, from Helsinki-NLP/OPUS-MT-testsets. Ours is judged on a part of each, in the order of a hash.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import sacrebleu
from parallel_docs import KINDS, sources
from parallel_text import handbook, libreoffice
from results import row, tell

import chidu.inference
from chidu.apps import translate
from chidu.corpus import LANGUAGES, Pair, read_lines, read_pairs
from chidu.corpus.pairs import cleaned
from chidu.errors import ChatError, ChiduError
from chidu.inference import Conversation, Message, Sampling, open_engine, translator_of

WAYS = (("en", "zh"), ("zh", "en"))
SHORTEST, LONGEST = 30, 300
"""Characters of the English of a sentence that is judged."""
MOST_WORDS = 8
"""Of a pair that the phrase table is made from."""
LEAST = 3
"""Pairs that a phrase stands in."""
EXAMPLES = 4
"""Pairs that a model which was taught no translation is shown."""
DRAWS = 200
"""Resamples of the sentences behind the intervals."""
SHARED = 8
"""Words or characters in a row by which a sentence is alike to one that was taught."""
MARIAN = (
    "published: 31.4 BLEU, 26.8 chrF (en to zh), 36.1 and 54.8 (zh to en), on Tatoeba's short sentences, not on these"
)
"""Helsinki-NLP's cards of opus-mt-en-zh and opus-mt-zh-en of 2020-07-17, test sets Tatoeba-test."""
PUBLISHED = {
    ("tico19-test", "zh"): (33.0, None),
    ("tico19-test", "en"): (56.1, 25.0),
    ("flores101-devtest", "zh"): (30.3, None),
    ("flores101-devtest", "en"): (52.2, 22.5),
    ("tatoeba-test-v2021-08-07", "zh"): (30.7, None),
    ("tatoeba-test-v2021-08-07", "en"): (55.2, 36.4),
}
"""chrF and BLEU of Marian opus-2020-07-17 into a language, whole sets, simplified Chinese.

From opus-2020-07-17.scores.txt in models/eng-zho and models/zho-eng of Helsinki-NLP/Tatoeba-Challenge. Their BLEU into
Chinese is cut otherwise: left out.
"""

Way = tuple[str, str]
Translate = Callable[[str, Way], str]


def write_pairs(options: argparse.Namespace) -> None:
    """Write what is there as files that `chidu train --pairs` reads, without the sentences of the Handbook."""
    folder: Path = options.write
    folder.mkdir(parents=True, exist_ok=True)
    book = dict.fromkeys(handbook(options.handbook)) if options.handbook else {}
    known = {letters(text) for pair in book for text in pair if len(pair[0]) >= SHORTEST}
    found = {"libreoffice": libreoffice(options.libreoffice)} if options.libreoffice else {}
    for number, each in enumerate(options.manuals):
        kind, _, path = each.partition("=")
        found[f"{kind}-{number}"] = sources(kind, Path(path))
    for name, pairs in found.items():
        unique = list(dict.fromkeys(pairs))
        kept = [pair for pair in unique if not known & set(map(letters, pair))]
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for english, chinese in kept:
                file.write(json.dumps({"en": english, "zh": chinese}, ensure_ascii=False) + "\n")
        print(f"{name}: {len(kept):,} pairs; {len(unique) - len(kept)} of the Handbook left out", file=sys.stderr)
    for path in options.catalogues:
        files = [path] if path.is_file() else sorted([*path.rglob("*.mo"), *path.rglob("*.po")])
        for number, file in enumerate(files):
            shutil.copyfile(file, folder / f"{path.name}-{number}-{file.name}")


def letters(text: str) -> str:
    """Return a text's letters and digits: what tells sentences apart."""
    return re.sub(r"\W+", "", text.lower())


def clean_pairs(paths: list[Path]) -> list[tuple[str, str]]:
    """Return the pairs of files as they are taught."""
    found = (cleaned(each) for each in read_pairs(paths) if isinstance(each, Pair))
    return list(dict.fromkeys(each for each in found if not isinstance(each, str)))


def judged(folder: Path, known: Iterable[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """Return sentences of the Handbook, none of which was taught, in the order of a hash."""
    seen = {letters(text) for pair in known for text in pair}
    found, taught = [], 0
    for english, chinese in dict.fromkeys(handbook(folder)):
        clean = cleaned(Pair((english, chinese), ("en", "zh")))
        if SHORTEST <= len(english) <= LONGEST and not isinstance(clean, str):
            is_taught = bool(seen & {letters(text) for text in (*clean, english, chinese)})
            taught += is_taught
            if not is_taught:
                found.append((english, chinese))
    print(f"the Handbook: {len(found):,} sentences to judge by, {taught} that were taught left out", file=sys.stderr)
    return sorted(found, key=lambda pair: hashlib.sha256(pair[0].encode()).hexdigest())[:most]


def alike(book: list[tuple[str, str]], known: Iterable[tuple[str, str]]) -> str:
    """Say how many sentences share so many words (English) or characters (Chinese) in a row with what was taught."""
    taught: tuple[set[tuple[str, ...]], ...] = (set(), set())
    for pair in known:
        for side, text in enumerate(pair):
            taught[side].update(runs(text, side))
    counts = [sum(not taught[side].isdisjoint(runs(pair[side], side)) for pair in book) for side in (0, 1)]
    return f"{counts[0]} share {SHARED} English words in a row with a pair, {counts[1]} {2 * SHARED} Chinese characters"


def runs(text: str, side: int) -> Iterator[tuple[str, ...]]:
    """Yield the runs of SHARED words, or of twice as many characters."""
    units, size = ([word.lower() for word in words(text)], SHARED) if side == 0 else (list(letters(text)), 2 * SHARED)
    return (tuple(units[at : at + size]) for at in range(len(units) - size + 1))


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


def interval(ours: list[str], theirs: list[str], wanted: list[str]) -> str:
    """Say by how much chrF of one lies above another's, and its 90% interval over draws of the sentences."""
    draw, found = random.Random(0), []
    for _ in range(DRAWS):
        chosen = draw.choices(range(len(wanted)), k=len(wanted))
        one, other = (
            sacrebleu.corpus_chrf([said[at] for at in chosen], [[wanted[at] for at in chosen]]).score
            for said in (ours, theirs)
        )
        found.append(one - other)
    found.sort()
    return f"{found[DRAWS // 20]:+.1f} to {found[-DRAWS // 20]:+.1f}"


def by_model(name: str, beams: int) -> Translate:
    """Translate by a model, with so many beams where it is our own."""
    engine = open_engine(name)
    # The product has one number of beams; here it is what is judged.
    chidu.inference.translator_of = lambda engine: translator_of(engine, beams)  # type: ignore[assignment]

    def said(text: str, way: Way) -> str:
        return translate(text, source=way[0], target=way[1], engine=engine).translation.strip()

    return said


def by_prompt(name: str, pairs: Iterable[tuple[str, str]]) -> Translate:
    """Translate by a model that was taught no translation, shown a few pairs; chats as a chat, others as a text."""
    engine = open_engine(name)
    clear = [pair for pair in pairs if 40 <= len(pair[0]) <= 100 and "⟦" not in pair[0]]
    shown = sorted(clear, key=lambda pair: hashlib.sha256(pair[0].encode()).hexdigest())[:EXAMPLES]

    def said(text: str, way: Way) -> str:
        source, target = (LANGUAGES[code] for code in way)
        examples = [pair if way[0] == "en" else pair[::-1] for pair in shown]
        sampling = Sampling(max_tokens=160, temperature=0.0, stop=("\n",))
        asked = f"Translate from {source} to {target}: "
        turns = [
            Message(role, content)
            for one, other in examples
            for role, content in (("user", asked + one), ("assistant", other))
        ]
        try:
            pieces = list(engine.write(Conversation((*turns, Message("user", asked + text))), sampling))
        except ChatError:
            lines = "".join(f"{source}: {one}\n{target}: {other}\n\n" for one, other in examples)
            pieces = list(engine.write(f"{lines}{source}: {text}\n{target}:", sampling))
        return "".join(piece.text for piece in pieces).strip()

    return said


class Kept:
    """What models said, a file each, so that a benchmark that was stopped goes on."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def said(self, name: str, way: Way, sources: list[str], by: Callable[[], Translate]) -> list[str]:
        """Return the translations of sentences: those that are kept, and the others by the model."""
        path = None if self.folder is None else self.folder / f"{name}-{way[0]}-{way[1]}.jsonl"
        known = {line["source"]: line["said"] for line in read_lines(path)} if path and path.is_file() else {}
        left = [text for text in dict.fromkeys(sources) if text not in known]
        translate = by() if left else None
        for text in left:
            assert translate is not None
            known[text] = translate(text, way)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"source": text, "said": known[text]}, ensure_ascii=False) + "\n")
        return [known[text] for text in sources]


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what is measured."""
    pairs = clean_pairs(options.pairs)
    kept = [] if options.held_out is None else [(line["en"], line["zh"]) for line in read_lines(options.held_out)]
    known = set(pairs) - set(kept)
    taught = [each for each in pairs if each in known]
    table = PhraseTable(taught)
    book = judged(options.handbook, pairs, options.sentences)
    print(f"of {len(book)}: {alike(book, pairs)}", file=sys.stderr)
    yield from judge("the Handbook", book, table, taught, options)
    if kept:
        yield from judge("held-out pairs", kept[: options.sentences], table, taught, options)


def judge(
    text: str,
    book: list[tuple[str, str]],
    table: PhraseTable,
    taught: list[tuple[str, str]],
    options: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """Yield what is measured on the sentences of a text, both ways."""
    keep = Kept(options.said)
    for way in WAYS:
        first, second = (0, 1) if way[0] == "en" else (1, 0)
        sources, wanted = [pair[first] for pair in book], [pair[second] for pair in book]
        copied = scores(sources, wanted, way[1])
        phrases = [table(text, way) for text in sources]
        rated = scores(phrases, wanted, way[1])
        name = f"{text}, {way[0]} to {way[1]}"
        note = f"{len(book)} sentences; BLEU {rated[1]:.2f}, {copied[1]:.2f} copied"
        yield row(
            f"{name}: phrase table, chrF", rated[0], copied[0], rated[0] / max(copied[0], 0.01), "", "", note, "copying"
        )
        asked: list[tuple[str, int, str, Callable[[], Translate]]] = []
        for model in options.model:
            short = Path(model).parent.parent.name or model
            for beams in options.beams:
                by = partial(by_model, model, beams)
                asked.append((f"{short}, beams {beams}", len(book), f"{short}-{beams}", by))
        for model in options.prompted:
            short = Path(model).stem
            by = partial(by_prompt, model, taught)
            what = f"{short} (shown {EXAMPLES} pairs; the product refuses it)"
            asked.append((what, min(len(book), options.prompted_sentences), f"{short}-prompted", by))
        for what, count, label, by in asked:
            try:
                said = keep.said(label, way, sources[:count], by)
            except ChiduError as error:
                print(f"{what}, {name}: {error}", file=sys.stderr)
                continue
            theirs = scores(phrases[:count], wanted[:count], way[1])
            chrf, bleu = scores(said, wanted[:count], way[1])
            note = (
                f"{count} sentences; above the table by {interval(said, phrases[:count], wanted[:count])}; "
                f"BLEU {bleu:.2f}, {theirs[1]:.2f} by phrases; Marian {MARIAN}"
            )
            yield row(
                f"{name}: {what}, chrF", chrf, theirs[0], chrf / max(theirs[0], 0.01), "above", "", note, "phrase table"
            )
            for source, ours, people in list(zip(sources, said, wanted, strict=False))[: options.show]:
                print(f"  {source}\n  → {ours}\n  = {people}", file=sys.stderr)


def set_rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what our models score on a part of each test set, beside what Marian is said to score on all of it."""
    keep = Kept(options.said)
    for name in dict.fromkeys(name for name, _ in PUBLISHED):
        path = options.sets / f"{name}.en"
        if not path.is_file():
            continue
        lines = [path.with_suffix(end).read_text(encoding="utf-8").splitlines() for end in (".en", ".zh")]
        pairs = sorted(zip(*lines, strict=True), key=lambda pair: hashlib.sha256(pair[0].encode()).hexdigest())
        book = pairs[: options.sentences]
        for way in WAYS:
            first, second = (0, 1) if way[0] == "en" else (1, 0)
            sources, wanted = [pair[first] for pair in book], [pair[second] for pair in book]
            theirs, their_bleu = PUBLISHED[name, way[1]]
            copied = scores(sources, wanted, way[1])
            for model in options.model:
                short = Path(model).parent.parent.name or model
                for beams in options.beams:
                    label = f"{name}-{short}-{beams}"
                    said = keep.said(label, way, sources, partial(by_model, model, beams))
                    chrf, bleu = scores(said, wanted, way[1])
                    nothing = [""] * len(said)
                    note = (
                        f"{len(book)} of {len(pairs):,} sentences, 90% {interval(said, nothing, wanted)}; BLEU "
                        f"{bleu:.1f} (theirs {their_bleu}); copied {copied[0]:.1f}"
                    )
                    what = f"{name}, {way[0]} to {way[1]}: {short}, beams {beams}, chrF"
                    yield row(what, chrf, theirs, chrf / theirs, "", "", note, "Marian, published, the whole set")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, help="write the pairs that are there into this folder, and end")
    parser.add_argument("--libreoffice", type=Path, help="folder with en-US and zh-CN of LibreOffice's help")
    parser.add_argument("--catalogues", type=Path, nargs="*", default=[], help=".mo or .po, or folders of them")
    parser.add_argument("--manuals", nargs="*", default=[], help=f"KIND=FOLDER; kinds: {', '.join(KINDS)}")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="what the models were taught")
    parser.add_argument("--handbook", type=Path, help="folder with en-US and zh-CN of the Debian Handbook")
    parser.add_argument("--held-out", type=Path, help="pairs/held_out.jsonl of the work folder: judged too")
    parser.add_argument("--model", nargs="*", default=[], help="models that translate")
    parser.add_argument("--prompted", nargs="*", default=[], help="models that chat, or go on from a text")
    parser.add_argument("--sets", type=Path, help="folder of test sets that others publish scores of")
    parser.add_argument("--prompted-sentences", type=int, default=60)
    parser.add_argument("--beams", type=int, nargs="*", default=[4], help="of our own models")
    parser.add_argument("--said", type=Path, help="folder where translations are kept between calls")
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--show", type=int, default=0, help="sentences to print with their translations")
    given = parser.parse_args()
    if given.write is not None:
        write_pairs(given)
    elif given.sets is not None:
        tell(set_rows(given), as_json=given.json)
    elif not given.pairs or given.handbook is None:
        parser.error("name --pairs and --handbook, or --write")
    else:
        tell(rows(given), as_json=given.json)
