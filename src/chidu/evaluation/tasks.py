"""Small tasks, each item a prompt, the right answer and wrong ones: made from a seed, or from held-out text.

A model needs no teaching to be scored on them: what counts is how likely it holds the right answer among those shown.
All are made of plain words, so that any tokenizer spells them, and short, so that they fit a context of 128 tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chidu.corpus import read_lines
from chidu.evaluation.pairs import chinese_pairs, english_pairs

__all__ = ["TASKS", "Item", "items_of", "make_items"]

_PLAIN = (
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work number night point home water room mother area money "
    "story fact month lot right study book eye job word business issue side kind head house service friend father "
    "power hour game line end member law car city name team minute idea body back parent face level office door health "
    "person art war history party result change morning reason research girl guy moment air teacher force"
)
WORDS = tuple(_PLAIN.split())
BRACKETS = {"(": ")", "[": "]", "{": "}"}
TRACE = 48
"""Characters of an item that are looked for in the training text."""
SENTENCE = re.compile(r"(?:^|(?<=[.!?] ))[A-Z][^.!?\n]{50,180}(?= [a-z]{4,10}[.!?])( [a-z]{4,10})(?=[.!?])")
MOST_LINES = 4000
"""Documents that the cloze is looked for in."""


@dataclass(frozen=True)
class Item:
    """One question."""

    task: str
    prompt: str
    choices: tuple[str, ...]
    """What may follow the prompt; the right one first."""

    @property
    def trace(self) -> str:
        """The end of the prompt with the right answer: where the training text has this, the item proves nothing."""
        return (self.prompt + self.choices[0])[-TRACE:]


def make_items(count: int, seed: int, held_out: Path) -> list[Item]:
    """Return so many items of each task, in an order that the seed fixes; of the cloze, as many as the text gives.

    `held_out` is the corpus's held_out.jsonl. Raises WorkFolderError where it is damaged.
    """
    return items_of(count, seed, (line["text"] for line in read_lines(held_out)))


def items_of(count: int, seed: int, texts: Iterable[str]) -> list[Item]:
    """Return so many items of each task, in an order that the seed fixes; the cloze is made of these texts."""
    made: dict[str, list[Item]] = {
        "copying": [copying(random.Random(f"copying {seed} {i}")) for i in range(count)],
        "induction": [induction(random.Random(f"induction {seed} {i}")) for i in range(count)],
        "brackets": [brackets(random.Random(f"brackets {seed} {i}")) for i in range(count)],
        "carries": [carries(random.Random(f"carries {seed} {i}")) for i in range(count)],
        "cloze": cloze(texts, count, random.Random(f"cloze {seed}")),
    }
    for name, pairs in (("english", english_pairs), ("chinese", chinese_pairs)):
        source = random.Random(f"{name} {seed}")
        made[name] = [Item(name, "", pair) for pair in pairs(count, source)]
    return [item for items in made.values() for item in items]


TASKS = {
    "copying": "go on with a list of words that is written a second time",
    "induction": "after a word, the word that followed it before",
    "brackets": "close the bracket that is open",
    "carries": "add two numbers that carry, after sums that do not",
    "cloze": "the last word of a held-out sentence, among words of others",
    "english": "the grammatical one of two English sentences",
    "chinese": "the grammatical one of two Chinese sentences",
}
"""Each task in a line."""


def copying(source: random.Random) -> Item:
    """Eight words, and the same again; asked is one of the second half."""
    words = source.sample(WORDS, 8)
    asked = source.randrange(3, 8)
    wrong = source.sample([word for word in words if word != words[asked]], 3)
    prompt = " ".join(words) + "\n" + " ".join(words[:asked])
    return Item("copying", prompt, tuple(f" {word}" for word in (words[asked], *wrong)))


def induction(source: random.Random) -> Item:
    """Words in no order, one of them twice: what follows it the second time is what did the first."""
    words = source.sample(WORDS, 12)
    asked = source.randrange(1, 8)
    wrong = source.sample([word for i, word in enumerate(words) if i not in (asked, asked + 1)], 3)
    prompt = " ".join([*words, words[asked]])
    return Item("induction", prompt, tuple(f" {word}" for word in (words[asked + 1], *wrong)))


def brackets(source: random.Random) -> Item:
    """Two to four brackets open, some closed again around words; asked is the next to close."""
    open_now: list[str] = []
    written: list[str] = []
    for _ in range(source.randrange(2, 5)):
        open_now.append(source.choice(list(BRACKETS)))
        written += [open_now[-1], source.choice(WORDS)]
    while len(open_now) > 1 and source.random() < 0.4:
        written.append(BRACKETS[open_now.pop()])
    right = BRACKETS[open_now[-1]]
    wrong = [close for close in BRACKETS.values() if close != right]
    return Item("brackets", " ".join(written), tuple(f" {close}" for close in (right, *wrong)))


def carries(source: random.Random) -> Item:
    """Four sums of two digits without a carry, then one that carries: its answer, without the carry, and near ones."""
    lines = []
    for _ in range(4):
        tens, ones = source.randrange(1, 5), source.randrange(0, 5)
        other_tens, other_ones = source.randrange(1, 5), source.randrange(0, 5)
        first, second = 10 * tens + ones, 10 * other_tens + other_ones
        lines.append(f"{first} + {second} = {first + second}")
    ones = source.randrange(2, 10)
    first = 10 * source.randrange(1, 5) + ones
    second = 10 * source.randrange(1, 4) + source.randrange(10 - ones, 10)
    right = first + second
    prompt = "\n".join([*lines, f"{first} + {second} ="])
    return Item("carries", prompt, tuple(f" {answer}" for answer in (right, right - 10, right + 10, right + 1)))


def cloze(texts: Iterable[str], count: int, source: random.Random) -> list[Item]:
    """Sentences of held-out documents without their last word, one a document; wrong are the last words of others."""
    found: list[tuple[str, str]] = []
    for _, text in zip(range(MOST_LINES), texts, strict=False):
        match = SENTENCE.search(text)
        if match is not None and match[1].strip() not in match[0][: -len(match[1])]:
            found.append((match[0][: -len(match[1])], match[1]))
    source.shuffle(found)
    words = sorted({word for _, word in found})
    items = []
    for prompt, word in found[:count]:
        others = [other for other in words if other != word and abs(len(other) - len(word)) <= 2]
        if len(others) >= 3:
            items.append(Item("cloze", prompt, (word, *source.sample(others, 3))))
    return items
