"""Translations: every sentence once, Markdown as it was, and bad input named; the model here is a planted one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chidu.inference
from chidu.apps import Translation, detect_language, markdown, translate
from chidu.apps.translating import LeftAlone
from chidu.errors import ContextError, InputError, SettingError, TextError

WORD = re.compile("[A-Za-z]+")


class Planted:
    """Writes 译 for each letter of English, and keeps all else; in capitals where it is to write English."""

    name = "planted"

    def __init__(self, longest: int = 10_000, loses: str = "", more: str = "") -> None:
        self.longest, self.loses, self.more = longest, loses, more
        self.asked: list[str] = []

    def check(self, source: str, target: str) -> None:
        if "ja" in (source, target):
            raise InputError("planted translates between en, zh, not from en to ja: name another model")

    def __call__(self, sentence: str, source: str, target: str) -> str:
        if len(sentence) > self.longest:
            raise ContextError("too long")
        self.asked.append(sentence)
        said = (
            WORD.sub(lambda word: "译" * len(word[0]), sentence)
            if target == "zh"
            else re.sub(r"[^\W\d_]", "X", sentence)
        )
        return (said.replace(self.loses, "") if self.loses else said) + self.more


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Planted:
    return use(monkeypatch, Planted())


def use(monkeypatch: pytest.MonkeyPatch, translator: Planted) -> Planted:
    monkeypatch.setattr(chidu.inference, "translator_of", lambda _engine: translator)
    return translator


def translated(text: str, **others: Any) -> Translation:
    engine: Any = None
    return translate(text, **{"target": "zh", "source": "en", **others}, engine=engine)


TEXT = """---
title: Settings stay
---

# The *first* title

A sentence with `code` and [a link](http://a.b/c "title"). Another
one, **bold**, ends here.  
Behind a break \\
and another.

> - quoted item
>   goes on
> - ![a picture](picture.png) and <b>html</b> &amp; https://d.e/f.

```python
print("not this")
```

    nor this

| Name | What |
|------|:----:|
| one  | a \\| b |

<div>
nor this
</div>

Title below
===========

See [this][ref] with --flag and %s.

[ref]: http://g.h
"""


AFTER = """---
title: Settings stay
---

# 译译译 *译译译译译* 译译译译译

译 译译译译译译译译 译译译译 `code` 译译译 [译 译译译译](http://a.b/c "title").译译译译译译译 译译译, **译译译译**, 译译译译 译译译译.  
译译译译译译 译 译译译译译 \\
译译译 译译译译译译译.

> - 译译译译译译 译译译译 译译译译 译译
> - ![a picture](picture.png) 译译译 <b>译译译译</b> &amp; https://d.e/f.

```python
print("not this")
```

    nor this

| 译译译译 | 译译译译 |
|------|:----:|
| 译译译  | 译 \\| 译 |

<div>
nor this
</div>

译译译译译 译译译译译
===========

译译译 [译译译译][ref] 译译译译 --flag 译译译 %s.

[ref]: http://g.h
"""  # noqa: E501


def test_all_but_the_prose_stays(planted: Planted) -> None:
    found = translated(TEXT)
    assert found.translation == AFTER
    assert [(pair.line, pair.source) for pair in found.pairs][:4] == [
        (5, "The *first* title"),
        (7, 'A sentence with `code` and [a link](http://a.b/c "title").'),
        (7, "Another one, **bold**, ends here."),
        (9, "Behind a break"),
    ]
    assert [(each.line, each.why) for each in found.left] == [
        (1, "front matter"), (7, "code"), (14, "image"), (14, "html"), (14, "html"), (14, "address"), (16, "code"),
        (20, "code"), (26, "html"), (33, "code"), (33, "code"),
    ]  # fmt: skip


PIECES = st.sampled_from(
    [
        *("word", "two words", "A sentence. ", "And one more! ", "snake_case", "2 * 3", "https://a.b/c", "中文", "⟦0⟧"),
        *(
            "`code`",
            "**bold**",
            "*em*",
            "~~gone~~",
            "[link](http://a.b)",
            "![alt](p.png)",
            "<br>",
            "&lt;",
            "\\*",
            "[r]",
        ),
        *("#", "- ", "1. ", "|", "`", "**", "_", "[x]", "%s", "{x}", "\\", "\n", "  \n", "\n\n", "\n\t", "\n\n    "),
        *("\n# ", "\n> ", "\n- ", "\n1. ", "\n```\n", "\n~~~\n", "\n---\n", "\n===\n", "<div>\n", "[r]: /u\n"),
        "\n| a | b |\n|---|---|\n| c | d |\n",
    ]
)


def keeps_outline(text: str) -> bool:
    known = markdown.definitions(text)
    return markdown.outline(translated(text).translation, known) == markdown.outline(text, known)


@given(st.lists(PIECES, max_size=30))
def test_whatever_the_markdown_its_outline_stays(pieces: list[str]) -> None:
    text = "".join(["Words to begin with. ", *pieces])
    with pytest.MonkeyPatch.context() as patch:
        use(patch, Planted())
        assert keeps_outline(text)


@given(
    st.lists(PIECES, max_size=12), st.sampled_from(["*x", "# ", "`", "[a](b)", "<b>", "\n\n- x", "| |", "1. ", "___"])
)
def test_whatever_the_model_writes_the_outline_stays(pieces: list[str], more: str) -> None:
    text = "".join(["Words to begin with. ", *pieces])
    with pytest.MonkeyPatch.context() as patch:
        use(patch, Planted(more=more))
        assert keeps_outline(text)


def test_marks_that_do_not_come_back_cost_quality_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = use(monkeypatch, Planted(loses="⟦1⟧"))
    found = translated("Use `one` and `two` now.")
    assert found.translation == "译译译 `one` 译译译 `two` 译译译."
    assert translator.asked == ["Use ⟦0⟧ and ⟦1⟧ now.", "Use", "and", "now."]


CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Deaf(Planted):
    """Loses each control character, as most tokenizers do."""

    def __call__(self, sentence: str, source: str, target: str) -> str:
        return super().__call__(CONTROLS.sub("", sentence), source, target)


def test_control_characters_of_prose_stay_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = use(monkeypatch, Deaf())
    found = translated("The order \x1b[1;31mbold\x1b[0m rings\x07 here. \u202eTurned\u202c and \x9b0m.")
    assert translator.asked == ["The order ⟦0⟧bold⟦1⟧ rings⟦2⟧ here.", "⟦0⟧Turned⟦1⟧ and ⟦2⟧0m."]
    assert found.translation == (
        "译译译 译译译译译 \x1b[1;31m译译译译\x1b[0m 译译译译译\x07 译译译译.\u202e译译译译译译\u202c 译译译 \x9b0译."
    )
    translator = use(monkeypatch, Deaf(loses="⟦1⟧"))
    assert translated("The \x1b[1mbold\x1b[0m one.").translation == "译译译 \x1b[1m译译译译\x1b[0m 译译译."


@given(st.text(st.sampled_from("ab. *`\n\x1b\x07\x9b\u202e\u202c[0m⟦⟧"), max_size=40))
def test_no_control_character_is_lost(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        use(patch, Deaf())
        text = f"Words to begin with. {text}"
        assert CONTROLS.findall(translated(text).translation) == CONTROLS.findall(text)


def test_a_sentence_longer_than_the_context_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = use(monkeypatch, Planted(longest=30))
    found = translated("These are many words, and more of them come, and they go on.")
    assert max(map(len, translator.asked)) <= 30
    assert found.translation.count("译") == len("".join(WORD.findall(found.pairs[0].source)))


def test_a_model_that_writes_nothing_leaves_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Planted, "__call__", lambda self, sentence, source, target: "")
    use(monkeypatch, Planted())
    found = translated("A sentence.\n")
    assert (found.translation, found.left) == (
        "A sentence.\n",
        (LeftAlone("A sentence.", 1, "the model wrote nothing", 1),),
    )


def test_languages_are_detected_and_what_is_in_the_target_stays(planted: Planted) -> None:
    found = translated("This is a sentence in English, and quite a long one.\n\n这一句已经是中文了。\n", source=None)
    assert (found.source, found.target, found.detected) == ("en", "zh", True)
    assert found.left == (LeftAlone("这一句已经是中文了。", 3, "in Chinese already", 1),)
    found = translated("这是一句话。README 在这里。", source=None, target="en")
    assert (found.source, found.detected) == ("zh", True)
    assert found.translation == "XXXXX。 XXXXXX XXX。"
    assert detect_language("Das ist ein Satz in deutscher Sprache, der lang genug ist.") == "de"


def test_paths_and_flags_in_prose_stay(planted: Planted) -> None:
    found = translated("See docs/x.md, ./run.sh and ~/.config/a.toml, or read and/or write [it](../y.md) --fast.\n")
    for path in ("docs/x.md", "./run.sh", "~/.config/a.toml", "(../y.md)", "--fast"):
        assert path in found.translation
    assert "and/or" not in found.translation
    assert [each.text for each in found.left] == ["docs/x.md", "./run.sh", "~/.config/a.toml", "--fast"]
    assert sum(each.sentences for each in found.left) == 0


def test_sentences_that_are_left_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Planted(more="\n\n# "))
    found = translated("One sentence. And `code`. Another one.\n\n已经是中文的一句话。\n")
    assert [(each.why, each.sentences) for each in found.left] == [
        ("its Markdown would not have survived", 3), ("in Chinese already", 1),
    ]  # fmt: skip


def test_a_long_text_is_read_in_parts_and_progress_told(planted: Planted) -> None:
    paragraph = "A sentence here. And another one.\n\n```\ncode\n\ncode\n```\n\n"
    told: list[tuple[float, str]] = []
    found = translated(paragraph * 2_000, progress=lambda part, words: told.append((part, words)))
    assert len(found.pairs) == 4_000
    assert found.pairs[-1].line == 9 * 1_999 + 1 - 1_999
    assert found.translation.count("code\n\ncode") == 2_000
    assert [part for part, _ in told] == sorted(part for part, _ in told)
    assert told[-1][0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "others", "error", "why"),
    [
        ("", {}, TextError, "has no words"),
        (" \n 12 + 3 …\n", {}, TextError, "has no words"),
        ("word " * 10_000_000, {}, TextError, "50.0 MB, more than 20.0 MB: cut it"),
        ("A sentence.", {"target": "xx"}, SettingError, "target: 'xx' is no language known here"),
        ("A sentence.", {"source": "Klingon"}, SettingError, "source: 'Klingon' is no language known here"),
        ("A sentence.", {"target": "en"}, SettingError, "the text is in 'en', the language it should be"),
        ("A sentence.", {"target": "ja"}, InputError, "planted translates between en, zh"),
        ("xq zzk vv qqj", {"source": None}, TextError, "language can't be told: name it"),
    ],
)  # fmt: skip
def test_bad_input_is_named(
    planted: Planted, text: str, others: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=re.escape(why)):
        translated(text, **others)


@given(st.text(max_size=200))
def test_any_text_is_translated_or_refused_in_words(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        use(patch, Planted())
        try:
            found = translated(text)
        except TextError:
            return
        assert [pair.source for pair in found.pairs] or found.translation == text
