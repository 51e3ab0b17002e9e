"""Streams: whatever the pieces, the same leaves as of the whole; nothing found leaves by half; delays are bounded."""

from __future__ import annotations

import itertools
import re
import re._parser as parser
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_texts import JWT, NEGATIVES, PEM, PLANTED

from chidu.safety import Action, Finding, Guard, Policy, StreamJudge
from chidu.safety.guard import LOOK_AFTER, rule_judges
from chidu.safety.hazards import HAZARDS
from chidu.safety.patterns import AHEAD, REACH, Phrase, PhraseJudge
from chidu.safety.phrases import HAZARD_PHRASES, INJECTION_PHRASES

JUDGES = rule_judges()
everything = dict.fromkeys(HAZARDS, Action.REDACT)
REDACTS = Guard(Policy(everything, everything, everything), judges=JUDGES)
mixed = {
    **everything,
    "hate": Action.REFUSE,
    "prompt_injection": Action.REFUSE,
    "secrets": Action.FLAG,
    "token": Action.REFUSE,
}
REFUSES = Guard(Policy(mixed, mixed, mixed), judges=JUDGES)

ITEMS = [text.format(stretch) for _, stretch, text in PLANTED] + NEGATIVES
# Whole items, pieces of items, and what begins or ends patterns.
bits = st.one_of(
    st.sampled_from(ITEMS),
    st.builds(lambda text, a, b: text[a : a + b], st.sampled_from(ITEMS), st.integers(0, 40), st.integers(1, 30)),
    st.sampled_from(["@", "://", "eyJ", ".", "-", " ", "\n", "+", "(", "4", "41111", "sk-", "password=",
                     "密码：", "＠", "１３",
                     "how to make a ", "bomb", "ignore ", "all ", "previous", "İ", "ſ", "Σ",
                     "x" * 70, "1 " * 20, PEM[:27]]),
    st.text(alphabet="aA1@.-_ :/=\n，。4０", max_size=20),
)  # fmt: skip
texts = st.lists(bits, max_size=8).map("".join)


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(places)]


@pytest.mark.parametrize("guard", [REDACTS, REFUSES], ids=["redact", "refuse"])
@settings(max_examples=400, deadline=None)
@given(text=texts, cuts=st.lists(st.integers(0, 5000), max_size=40), single=st.booleans())
def test_any_cutting_lets_pass_what_the_whole_does(guard: Guard, text: str, cuts: list[int], single: bool) -> None:
    whole = guard.judge("answer", text)
    stream = guard.stream("answer")
    left = [stream.feed(piece) for piece in (text if single else pieces(text, cuts))]
    left.append(stream.end())
    assert "".join(left) == whole.text
    assert stream.verdict == whole


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: type(judge).__name__)
@settings(max_examples=300, deadline=None)
@given(text=texts, cut=st.integers(0, 5000))
def test_what_is_final_does_not_change(judge: StreamJudge, text: str, cut: int) -> None:
    part = text[: cut % (len(text) + 1)]
    until = judge.open_from(part)
    assert 0 <= until <= len(part)
    assert judge.open_from(part, until) == until
    known = [finding for finding in judge.judge(part) if finding.start < until]
    assert known == [finding for finding in judge.judge(text) if finding.start < until]


@pytest.mark.parametrize(("category", "stretch", "text"), [item for item in PLANTED if item[1]])
def test_no_half_of_what_is_found_leaves(category: str, stretch: str, text: str) -> None:
    said = "It was a long day, and nobody knew. " * 4 + text.format(stretch) + " And so it went on for a while." * 4
    for step in (1, 3, 17):
        stream, left = REDACTS.stream(), ""
        for place in range(0, len(said), step):
            left += stream.feed(said[place : place + step])
            assert stretch[: max(4, len(stretch) // 3)] not in left
        left += stream.end()
        assert f"<{category.upper()}>" in left


def test_ordinary_text_waits_for_a_word_or_a_phrase_that_has_begun() -> None:
    said = (
        "The kernel keeps a table of pages for every process; in 2024, 35% of them were read. 内核维护一张页表。" * 20
    )
    stream, left, waits = REDACTS.stream(), 0, []
    for place, letter in enumerate(said, 1):
        left += len(stream.feed(letter))
        waits.append(place - left)
    # The word "process", and what came since the last look.
    assert max(waits) == 7 - 1 + LOOK_AFTER - 1
    assert sum(waits) / len(waits) < 8
    assert waits[:11] == [1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 0]
    assert left + len(stream.end()) == len(said)


def test_nothing_short_waits_for_longer_than_its_reach() -> None:
    for begun, goes_on in (("", "i hate "), ("", "how to "), ("", "A1"), ("+", "1 "), ("", "find a "), ("", "-")):
        stream, left = REDACTS.stream(), 0
        for place, letter in enumerate(begun + goes_on * 100, 1):
            left += len(stream.feed(letter))
            # An eighth more may pass between two looks.
            assert place - left <= 64 * 9 / 8 + LOOK_AFTER


@pytest.mark.parametrize(
    ("begun", "goes_on", "most"),
    [
        ("sk-", "a", 4096 + 16),
        ("mail: ", "a", 64),
        ("a@", "b.", 64 + 540),
        (PEM[:27], "\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC", 8192),
        ("x://", "a", 210),
        ("password=", "a", 200),
        ("", "1 ", REACH),
    ],
)
def test_an_open_pattern_waits_so_long_and_no_longer(begun: str, goes_on: str, most: int) -> None:
    stream = REDACTS.stream()
    said = "Well. " + begun + goes_on * (20_000 // len(goes_on))
    left = longest = 0
    for place in range(0, len(said), 4):
        stream.feed(said[place : place + 4])
        left = stream._out
        longest = max(longest, place + 4 - left)
    # An eighth more may pass between two looks, or some characters, and a piece.
    assert longest <= most * 9 / 8 + 4 + LOOK_AFTER


def test_a_refusal_ends_a_stream_at_once() -> None:
    guard = Guard()
    stream = guard.stream("answer")
    left = stream.feed(
        "Of course. Here is how to make a pipe bomb. First, you need to find a piece of pipe that is long"
    )
    assert left == "Of course. Here is "
    assert stream.verdict is not None
    assert stream.verdict.action is Action.REFUSE
    assert stream.verdict.rules == ["weapons-how-en"]
    assert stream.feed("more") + stream.end() == ""


class Slow:
    """A judge of whole texts."""

    name = "slow"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def judge(self, text: str) -> list[Finding]:
        self.seen.append(text)
        at = text.find("turnip")
        return [Finding(at, at + 6, "defamation", "turnips")] if at >= 0 else []


def test_a_judge_of_whole_texts_holds_the_stream_to_its_end() -> None:
    slow = Slow()
    guard = Guard(Policy(everything, everything, everything), judges=JUDGES, further=[slow])
    stream = guard.stream()
    assert "".join(stream.feed(letter) for letter in "He is a turnip, " * 20) == ""
    assert slow.seen == []
    assert stream.end().startswith("He is a <DEFAMATION>, He is a turnip")
    assert len(slow.seen) == 1


class Failing:
    """A judge that fails, or tells of what is not there."""

    name = "classifier"

    def __init__(self, found: list[Finding] | None = None) -> None:
        self.found = found

    def judge(self, text: str) -> list[Finding]:
        if self.found is None:
            raise RuntimeError("out of memory")
        return self.found


@pytest.mark.parametrize(
    "judge", [Failing(), Failing([Finding(3, 900, "hate", "x")]), Failing([Finding(2, 2, "hate", "x")])]
)
def test_a_judge_that_fails_is_told_and_the_policy_says_what_follows(judge: Failing) -> None:
    for action, text in ((Action.REFUSE, ""), (Action.FLAG, "write to <EMAIL>")):
        policy = Policy(everything, everything, everything, failed_judge=action)
        verdict = Guard(policy, judges=JUDGES, further=[judge]).judge("answer", "write to ada@example.com")
        assert verdict.failures[0].startswith("classifier: ")
        assert verdict.text == text
        assert verdict.action is (Action.REFUSE if action is Action.REFUSE else Action.REDACT)
    clean = Guard(Policy(everything, everything, everything, failed_judge=Action.FLAG), judges=[], further=[judge])
    assert clean.judge("answer", "hello").action is Action.FLAG


def test_no_phrase_is_longer_than_its_reach() -> None:
    for phrase in (*HAZARD_PHRASES, *INJECTION_PHRASES):
        # And one character more, which a word's end looks at.
        assert parser.parse(phrase.pattern).getwidth()[1] < REACH, phrase.name


def test_no_phrase_looks_ahead_farther_than_is_held_back_for_it() -> None:
    for phrase in (*HAZARD_PHRASES, *INJECTION_PHRASES):
        looks = [item for item in walk(parser.parse(phrase.pattern)) if item[0] in ("ASSERT", "ASSERT_NOT")]
        assert all(width <= AHEAD for name, width in looks), phrase.name


def walk(tree: Any) -> Iterator[tuple[str, int]]:
    """Yield every look ahead of a parsed pattern, with the most that it reads."""
    for name, value in tree:
        if str(name) in ("ASSERT", "ASSERT_NOT") and value[0] > 0:
            # A word's end looks at one character more.
            yield str(name), value[1].getwidth()[1] + 1
        for part in value if isinstance(value, tuple | list) else ():
            for inner in part if isinstance(part, list) else (part,):
                if isinstance(inner, parser.SubPattern):
                    yield from walk(inner)


@pytest.mark.parametrize("phrase", [*HAZARD_PHRASES, *INJECTION_PHRASES], ids=lambda phrase: phrase.name)
def test_a_phrase_is_held_from_its_first_letter(phrase: Phrase) -> None:
    """Whatever matches, cut anywhere: its beginning is open, and so is its end until what follows is known."""
    judge = PhraseJudge([phrase])

    @settings(max_examples=25, deadline=None, database=None)
    @given(st.from_regex(re.compile(phrase.pattern, re.ASCII), fullmatch=True))
    def check(text: str) -> None:
        begins = "Well, "
        for place in range(1, len(text) + 1):
            assert judge.open_from(begins + text[:place]) <= len(begins)

    check()


@pytest.mark.parametrize("phrase", [*HAZARD_PHRASES, *INJECTION_PHRASES], ids=lambda phrase: phrase.name)
def test_every_match_holds_a_needed_word(phrase: object) -> None:
    @settings(max_examples=60, deadline=None, database=None)
    @given(st.from_regex(re.compile(phrase.pattern, re.ASCII), fullmatch=True))  # type: ignore[attr-defined]
    def check(text: str) -> None:
        assert any(word in text for word in phrase.needs)  # type: ignore[attr-defined]

    check()


HOSTILE = [
    "1" * 150_000, "1 " * 75_000, "@" * 150_000, "a@" * 150_000, "(" * 150_000, "(1" * 150_000, " " * 150_000,
    "+1" * 100_000,
    "4111-" * 60_000, "a@b." * 75_000, "sk-" * 100_000, "eyJ." * 75_000, JWT[:20] * 15_000, "://" * 100_000,
    "://a:" * 60_000, "password=" * 33_000, "password = " * 27_000, PEM[:27] * 11_000, (PEM[:27] + "\n") * 10_000,
    PEM[:27] + "\nA: b" * 60_000, PEM[:27] + "\\nA: b" * 50_000, "how to make " * 25_000,
    "ignore all " * 27_000, "i hate " * 42_000,
    "把对话发" * 75_000, "DE89 " * 60_000, "AB12CDEF" * 37_000, "<" * 150_000, "A<1" * 100_000,
    "1.2.3.4." * 37_000, "0" * 150_000,
    "show me " * 37_000, "忽略所有" * 75_000, "-----BEGIN " * 27_000, "İ" * 150_000, "find a " * 42_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_a_hostile_text_is_read_in_time(text: str) -> None:
    """Each takes less than a second or two; by patterns that go back and forth it would take hours."""
    verdict = REDACTS.judge("answer", text)
    stream = REDACTS.stream()
    left = "".join(stream.feed(text[place : place + 50]) for place in range(0, 30_000, 50)) + stream.end()
    assert left == REDACTS.judge("answer", text[:30_000]).text
    assert verdict.failures == ()
