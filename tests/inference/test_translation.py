"""Who translates: models that were taught to, and a model that chats only once it has shown that it can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chidu.errors import ContextError, InputError
from chidu.inference import (
    Conversation,
    Piece,
    Prompt,
    Sampling,
    Token,
    TranslationForm,
    open_engine,
    translator_of,
)
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
    assert engine.asked == list(_TRIED["en"][:3])
    assert translator_of(engine)("Good morning.", "en", "zh") == "早上好。"


def test_a_chat_model_that_writes_nonsense_is_refused() -> None:
    told = r"chatter can't translate from English to Chinese: of 2 easy sentences it got 0 right"
    with pytest.raises(InputError, match=told):
        translator_of(Chatter({})).check("en", "zh")
    with pytest.raises(InputError, match="of 4 easy sentences it got 2 right"):
        translator_of(Chatter(dict(list(KNOWN.items())[1:3]))).check("en", "zh")
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


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Marian model of random weights, with a real tokenizer."""
    import sentencepiece
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    made = tmp_path_factory.mktemp("marian")
    (made / "text").write_text("this is the red house. 这是那红的房。\nthis is a blue tree. 这是蓝的树。\n")
    sentencepiece.SentencePieceTrainer.train(
        input=str(made / "text"), model_prefix=str(made / "both"), vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    pieces = sentencepiece.SentencePieceProcessor(str(made / "both.model"))
    known = [pieces.id_to_piece(number) for number in range(3, pieces.get_piece_size())]
    vocabulary = {piece: number for number, piece in enumerate(["</s>", "<unk>", *known, ">>cmn_Hans<<", "<pad>"])}
    (made / "vocab.json").write_text(json.dumps(vocabulary))
    both = str(made / "both.model")
    tokenizer = MarianTokenizer(both, both, str(made / "vocab.json"), source_lang="eng", target_lang="zho")
    config = MarianConfig(
        vocab_size=len(vocabulary), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64,
        pad_token_id=len(vocabulary) - 1, eos_token_id=0, decoder_start_token_id=len(vocabulary) - 1, bos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    MarianMTModel(config).save_pretrained(made / "opus-mt-en-zh")
    tokenizer.save_pretrained(made / "opus-mt-en-zh")
    return made / "opus-mt-en-zh"


@pytest.mark.filterwarnings("ignore:Recommended")
def test_a_marian_model_says_which_way_it_goes(marian: Path) -> None:
    engine = open_engine(str(marian))
    translator = translator_of(engine)
    translator.check("en", "zh")
    with pytest.raises(InputError, match="opus-mt-en-zh translates from en to zh, not from zh to en"):
        translator.check("zh", "en")
    made = engine.model.generate(  # type: ignore[attr-defined]
        **engine.tokenizer(">>cmn_Hans<< this is the red house.", return_tensors="pt"),  # type: ignore[attr-defined]
        max_new_tokens=63,
    )
    assert translator("this is the red house.", "en", "zh") == engine.decode(made[0].tolist()).strip()  # type: ignore[attr-defined]
    with pytest.raises(ContextError):
        translator("this is the red house. " * 20, "en", "zh")


def test_nllb_is_told_both_languages_by_its_codes(tmp_path: Path) -> None:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    letters = {letter: number + 4 for number, letter in enumerate("▁abcdefghijklmnopqrstuvwxyz.")}
    tokenizer = NllbTokenizer(vocab={"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **letters}, merges=[])
    config = M2M100Config(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64,
    )  # fmt: skip
    M2M100ForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = open_engine(str(tmp_path))
    translator = translator_of(engine)
    translator.check("en", "zh")
    begun: list[object] = []
    generate = engine.model.generate  # type: ignore[attr-defined]

    def watched(**told: object) -> object:
        begun.append((told["input_ids"].tolist()[0][0], told["forced_bos_token_id"]))  # type: ignore[attr-defined]
        return generate(**told)

    engine.model.generate = watched  # type: ignore[attr-defined]
    assert isinstance(translator("the house", "en", "zh"), str)
    assert begun == [tuple(map(tokenizer.convert_tokens_to_ids, ("eng_Latn", "zho_Hans")))]
