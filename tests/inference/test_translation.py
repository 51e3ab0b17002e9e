"""Who translates: models that were taught to, and a model that chats only once it has shown that it can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chidu.errors import InputError
from chidu.inference import Conversation, Piece, Prompt, Sampling, Token, TranslationForm, translator_of
from chidu.inference.engine import no_chat
from chidu.inference.translation import _TRIED


class Chatter:
    """A model that chats: it answers what it knows, and else the same each time."""

    name = "chatter"
    context_length = 500

    def __init__(self, known: dict[str, str]) -> None:
        self.known, self.asked = known, list[str]()

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        assert isinstance(prompt, Conversation)
        assert sampling.temperature == 0
        said = prompt.turns[-1].content.split("\n\n", 1)[1]
        self.asked.append(said)
        yield Piece(self.known.get(said, "I am happy to help you with that."), "stop")

    def score(self, prompt: Prompt, top: int = 0) -> list[Token]:
        raise NotImplementedError


class Mute(Chatter):
    """A model that was taught no chat."""

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        raise no_chat("mute")


KNOWN = dict(zip(_TRIED["en"], _TRIED["zh"], strict=True))


def test_a_chat_model_that_knows_the_language_is_trusted_after_one_trial() -> None:
    engine = Chatter({**KNOWN, "Good morning.": "早上好。"})
    translator_of(engine).check("en", "zh")
    translator_of(engine).check("en", "zh")
    assert engine.asked == list(_TRIED["en"])
    assert translator_of(engine)("Good morning.", "en", "zh") == "早上好。"


def test_a_chat_model_that_writes_nonsense_is_refused() -> None:
    told = r"chatter can't translate from English to Chinese: of 4 easy sentences it got 0 right"
    with pytest.raises(InputError, match=told):
        translator_of(Chatter({})).check("en", "zh")
    with pytest.raises(InputError, match="it got 2 right"):
        translator_of(Chatter(dict(list(KNOWN.items())[:2]))).check("en", "zh")
    with pytest.raises(InputError, match=r"whether chatter knows Japanese can't be tried here \(only en, zh"):
        translator_of(Chatter(KNOWN)).check("en", "ja")


def test_a_model_without_chat_is_refused() -> None:
    with pytest.raises(InputError, match="chatter was not taught to translate, and can't be asked to"):
        translator_of(Mute({})).check("en", "zh")


def test_a_slightly_different_answer_is_right_too() -> None:
    known = {
        "I have three books.": "我有三本书",
        "Where is the train station?": "火车站在哪儿？",
        "The cat is sleeping.": "那只猫在睡觉。",
    }
    translator_of(Chatter(known)).check("en", "zh")


def test_the_form_of_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert TranslationForm.read(tmp_path) is None
    TranslationForm(("en", "zh")).write(tmp_path)
    assert TranslationForm.read(tmp_path) == TranslationForm(("en", "zh"))
    for content in ("{", "[]", '{"chidu_translation": 2, "languages": ["en", "zh"]}', '{"chidu_translation": 1}',
                    json.dumps({"chidu_translation": 1, "languages": ["en", "xx"]})):  # fmt: skip
        (tmp_path / "translation.json").write_text(content)
        with pytest.raises(InputError, match=r"translation\.json is damaged"):
            TranslationForm.read(tmp_path)
