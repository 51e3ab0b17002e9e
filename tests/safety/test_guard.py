"""The guard on whole texts: what is found and what is not, and what a policy does about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted_texts import AFTERWARDS, BEYOND, NEGATIVES, NEGATIVES_AFTERWARDS, PLANTED

from chidu.errors import SettingError
from chidu.safety import Action, Guard, Policy, read_policy
from chidu.safety.hazards import HAZARDS, PARENTS

ALL = Guard(Policy.flag_all())


@pytest.mark.parametrize(("category", "stretch", "text"), PLANTED)
def test_what_was_planted_is_found_whole(category: str, stretch: str, text: str) -> None:
    said = text.format(stretch)
    start = said.index(stretch)
    found = [finding for finding in ALL.judge("answer", said).findings if finding.category == category]
    assert any(
        finding.start <= start + (len(said) if not stretch else 0) and finding.end >= (start + len(stretch))
        for finding in found
    )


@pytest.mark.parametrize("text", NEGATIVES)
def test_what_only_looks_harmful_is_not_found(text: str) -> None:
    assert ALL.judge("answer", text).findings == ()


@pytest.mark.parametrize(("_category", "text"), BEYOND)
def test_what_the_page_says_is_not_found_is_not(_category: str, text: str) -> None:
    """Where a rule learns to find one of these, the page's figure changes with it."""
    assert ALL.judge("answer", text).findings == ()


NAMES = (
    "gay", "lesbian", "homosexual", "transgender", "queer", "Muslim", "Jewish", "Jew", "Christian", "Hindu", "Buddhist",
    "atheist", "black", "white", "Asian", "African", "Arab", "Mexican", "immigrant", "refugee", "woman", "disabled",
    "deaf",

    "old", "Roma", "Chinese", "Tibetan", "Uyghur",
)  # fmt: skip
NAMES_ZH = (
    "同性恋", "跨性别", "穆斯林", "犹太人", "基督徒", "黑人", "白人", "女人", "移民", "难民",
    "残疾人", "老年人", "外地人", "回民", "藏族人",
)  # fmt: skip
FRAMES = (
    "{0}", "I am {0}.", "My neighbour is {0} and proud of it.", "{0} people live here.",
    "The {0} community met on Monday.",
    "Are {0} people treated fairly?", "She married a {0} man.", "A history of {0} rights",
    "He hates nobody, {0} or not.",
)  # fmt: skip
FRAMES_ZH = (
    "{0}",
    "我是{0}。",
    "他的邻居是{0}。",
    "{0}的权利",
    "{0}社区周一开会。",
    "{0}应该得到平等对待。",
    "我的朋友都是{0}。",
)


@pytest.mark.parametrize("name", NAMES + NAMES_ZH)
def test_who_somebody_is_is_never_flagged(name: str) -> None:
    for frame in FRAMES if name in NAMES else FRAMES_ZH:
        for said in (frame.format(name), frame.format(name).upper()):
            assert ALL.judge("answer", said).findings == (), said


def test_the_built_in_policy_names_every_hazard_on_every_side() -> None:
    policy = Policy.built_in()
    for side in ("prompt", "passage", "answer"):
        assert set(HAZARDS) <= set(getattr(policy, side))
    assert policy.action("answer", "email") is Action.REDACT
    assert policy.action("answer", "ip") is Action.ALLOW
    assert policy.action("passage", "prompt_injection") is Action.REFUSE
    assert policy.action("answer", "something of a classifier") is Action.FLAG
    assert set(PARENTS.values()) <= set(HAZARDS)


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    policy = read_policy(
        written(tmp_path, '[answers]\nphone = "allow"\nhate = "flag"\n[prompts]\nprivacy = "refuse"\n')
    )
    assert policy.action("answer", "phone") is Action.ALLOW
    assert policy.action("answer", "email") is Action.REDACT
    assert policy.action("answer", "hate") is Action.FLAG
    # A hazard speaks for all that belongs to it.
    assert policy.action("prompt", "ip") is Action.REFUSE
    assert policy.version != Policy.built_in().version
    assert read_policy(written(tmp_path, "")) == Policy.built_in()
    guard = Guard(policy)
    verdict = guard.judge("answer", "Call 13800138000 or write to ada@example.com")
    assert verdict.text == "Call 13800138000 or write to <EMAIL>"
    assert (verdict.action, verdict.categories, verdict.rules) == (Action.REDACT, ["email"], ["email-address"])
    assert guard.judge("prompt", "see 8.8.8.8").action is Action.REFUSE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[answer]\nhate = "flag"', "unknown key 'answer' (did you mean 'answers'?)"),
        ('[answers]\nprivcy = "flag"', "[answers] has an unknown category 'privcy' (did you mean 'privacy'?)"),
        ('[answers]\nhate = "redakt"', "[answers] hate is 'redakt' (did you mean 'redact'?); it must be one of allow"),
        ("[answers]\nhate = 3", "[answers] hate is 3; it must be one of allow, flag, redact, refuse"),
        ("answers = 3", "answers must be a table [answers]"),
        ('failed_judge = "allow"', 'failed_judge is \'allow\'; it must be "flag" or "refuse"'),
        ("[answers", "is not TOML"),
    ],
)
def test_a_slip_in_a_policy_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_policy(written(tmp_path, text))
    assert words in str(caught.value)


def test_a_policy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"--policy: .* can't be read"):
        read_policy(tmp_path / "nowhere.toml")


def test_rules_have_a_version_that_names_further_judges() -> None:
    class Classifier:
        version = "3"

        def judge(self, text: str) -> list[object]:
            return []

    assert Guard().rules_version == Guard().rules_version
    assert Guard(further=[Classifier()]).rules_version != Guard().rules_version  # type: ignore[list-item]


def test_the_figures_of_the_page_are_those_of_the_second_set() -> None:
    """A change that finds more, or less, of what was written afterwards must change the page too."""
    found = sum(category in ALL.judge("answer", text.format(said)).categories for category, said, text in AFTERWARDS)
    false = sum(bool(ALL.judge("answer", text).findings) for text in NEGATIVES_AFTERWARDS)
    for page in ("docs/guard.md", "docs/zh/guard.md"):
        text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
        assert f"| {found} / {len(AFTERWARDS)} | {false} / {len(NEGATIVES_AFTERWARDS)} |" in text
        assert f"| {len(PLANTED)} / {len(PLANTED)} | 0 / {len(NEGATIVES)} |" in text
