"""Sentences from one language to another, by whatever engine: a model taught to translate, or one that chats.

A folder that `chidu train --pairs` made says in `translation.json` which languages it knows. Models that read one text
and write another (Marian, M2M, NLLB) name the languages in their tokenizers. A model that chats is tried on a few
sentences first, and refused where it gets them wrong: small ones write fluent nonsense.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from weakref import WeakKeyDictionary

from chidu.corpus import LANGUAGES
from chidu.errors import InputError
from chidu.inference.engine import Conversation, Engine, Message, check_length
from chidu.inference.sampling import Sampling
from chidu.runs.record import parse_json, write_json
from chidu.tokens import END_OF_TEXT_ID, direction

if TYPE_CHECKING:
    from chidu.inference.hub import HubEngine
    from chidu.inference.own import OwnEngine

__all__ = ["FORM_FILE", "TranslationForm", "Translator", "translator_of"]

FORM_FILE = "translation.json"
FORMAT = 1

BEAMS = 4
"""Texts that a model of our own follows at once; see LOG.md for what they are worth."""

NLLB = {
    "ar": "arb_Arab", "cs": "ces_Latn", "da": "dan_Latn", "de": "deu_Latn", "el": "ell_Grek", "en": "eng_Latn",
    "es": "spa_Latn", "fi": "fin_Latn", "fr": "fra_Latn", "he": "heb_Hebr", "hi": "hin_Deva", "hu": "hun_Latn",
    "id": "ind_Latn", "it": "ita_Latn", "ja": "jpn_Jpan", "ko": "kor_Hang", "nl": "nld_Latn", "no": "nob_Latn",
    "pl": "pol_Latn", "pt": "por_Latn", "ro": "ron_Latn", "ru": "rus_Cyrl", "sv": "swe_Latn", "th": "tha_Thai",
    "tr": "tur_Latn", "uk": "ukr_Cyrl", "vi": "vie_Latn", "zh": "zho_Hans",
}  # fmt: skip
"""What NLLB-200 calls them (FLORES-200's codes)."""

_MARIAN_TARGETS = {"zh": ">>cmn_Hans<<"}
"""Languages of several scripts, of which one is named before the sentence."""

_TRIED = {
    "en": ("I have three books.", "Where is the train station?", "The cat is sleeping.", "Tomorrow is Monday."),
    "zh": ("我有三本书。", "火车站在哪里？", "猫在睡觉。", "明天是星期一。"),
    "de": ("Ich habe drei Bücher.", "Wo ist der Bahnhof?", "Die Katze schläft.", "Morgen ist Montag."),
    "fr": ("J'ai trois livres.", "Où est la gare ?", "Le chat dort.", "Demain, c'est lundi."),
    "es": ("Tengo tres libros.", "¿Dónde está la estación de tren?", "El gato está durmiendo.", "Mañana es lunes."),
}
"""The same sentences in each language; a chat model is asked for them before it is trusted with others."""
_NEEDED = 3
"""Of those, at the least."""
_ALIKE = 0.5
"""Share of pairs of characters that a translation shares with the expected one (Dice), to count as right."""
_SHOWN: WeakKeyDictionary[Engine, dict[tuple[str, str], tuple[int, int]]] = WeakKeyDictionary()
"""Of engines and directions: how many of the sentences of `_TRIED` came right, of how many."""


@dataclass(frozen=True)
class TranslationForm:
    """How a model of ours was taught to translate: what its folder's `translation.json` says."""

    languages: tuple[str, ...]
    """Two-letter codes; from each to each other."""
    chidu_translation: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it into a model's folder."""
        write_json(folder / FORM_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> TranslationForm | None:
        """Return a folder's form, or None where its model was not taught to translate. Raises InputError."""
        path = folder / FORM_FILE
        if not path.is_file():
            return None
        try:
            values = parse_json(path.read_bytes())
            if values["chidu_translation"] != FORMAT:
                raise ValueError(f"format {values['chidu_translation']!r}, not {FORMAT}")
            languages = tuple(values["languages"])
            if len(languages) < 2 or not all(each in LANGUAGES for each in languages):
                raise ValueError(f"languages {languages!r}")
            return cls(languages)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}): train the model again (chidu train --pairs)") from error


class Translator(Protocol):
    """Turns one sentence into another language."""

    name: str

    def check(self, source: str, target: str) -> None:
        """Raise InputError where it can't translate from one of these languages to the other."""
        ...

    def __call__(self, sentence: str, source: str, target: str) -> str:
        """Return the translation of a sentence. Raises ContextError where it is longer than the context."""
        ...


def translator_of(engine: Engine, beams: int = BEAMS) -> Translator:
    """Return what translates with an engine; `beams` are the texts that a model of our own follows at once."""
    form = getattr(engine, "translation", None)
    if form is not None:
        return _Taught(cast("OwnEngine", engine), form, beams)
    if getattr(engine, "is_seq2seq", False):
        return _SeqToSeq(cast("HubEngine", engine))
    return _Chat(engine)


class _Taught:
    """A model of our own that was taught pairs."""

    def __init__(self, engine: OwnEngine, form: TranslationForm, beams: int) -> None:
        self.engine, self.form, self.beams, self.name = engine, form, beams, engine.name

    def check(self, source: str, target: str) -> None:
        _check_known(self.name, self.form.languages, source, target)

    def __call__(self, sentence: str, source: str, target: str) -> str:  # noqa: ARG002
        way = self.engine.tokenizer.token_to_id(direction(target))
        if way is None:
            raise InputError(f"{self.name}: its tokenizer has no {direction(target)}: it was changed")
        read = [END_OF_TEXT_ID, *self.engine.encode_text(sentence), way]
        return self.engine.write_best(read, 16 + 2 * len(read), self.beams).strip()


class _SeqToSeq:
    """A model that transformers opens and that reads one text to write another."""

    def __init__(self, engine: HubEngine) -> None:
        self.engine, self.name = engine, engine.name
        self.kind = str(engine.model.config.model_type)

    def check(self, source: str, target: str) -> None:
        if self.kind == "marian":
            _check_known(self.name, self._marian_languages(), source, target, one_way=True)
        elif self.kind == "m2m_100":
            for code in (source, target):
                if self._token(self._code(code)) is None:
                    raise InputError(f"{self.name} does not know {LANGUAGES[code]}: name another model")
        else:
            raise InputError(
                f"{self.name} is a {self.kind} model, which was not made to translate: name a Marian, M2M or NLLB model"
            )

    def __call__(self, sentence: str, source: str, target: str) -> str:
        tokenizer, begin = self.engine.tokenizer, None
        if self.kind == "marian":
            token = _MARIAN_TARGETS.get(target, "")
            sentence = f"{token} {sentence}" if token and self._token(token) is not None else sentence
        else:
            tokenizer.src_lang = self._code(source)
            begin = self._token(self._code(target))
        # The library's own way: it knows which tokens a kind of model must not write, and how many beams it wants.
        read = tokenizer(sentence, return_tensors="pt").to(self.engine.model.device)
        length = int(read.input_ids.shape[1])
        check_length(length, self.engine.context_length)
        most = min(self.engine.context_length - 1, 32 + 3 * length)
        made = self.engine.model.generate(**read, forced_bos_token_id=begin, max_new_tokens=most)
        return self.engine.decode(made[0].tolist()).strip()

    def _code(self, language: str) -> str:
        """Name a language as the tokenizer has it: by NLLB's codes, or M2M's."""
        return language if hasattr(self.engine.tokenizer, "get_lang_id") else NLLB[language]

    def _token(self, text: str) -> int | None:
        tokenizer = self.engine.tokenizer
        if hasattr(tokenizer, "get_lang_id"):
            return int(tokenizer.lang_code_to_id[text]) if text in tokenizer.lang_code_to_id else None
        found = tokenizer.convert_tokens_to_ids(text)
        return None if found in (None, tokenizer.unk_token_id) else int(found)

    def _marian_languages(self) -> tuple[str, ...]:
        tokenizer = self.engine.tokenizer
        stated = (getattr(tokenizer, "source_lang", None), getattr(tokenizer, "target_lang", None))
        if not all(stated):
            stated = tuple(re.findall(r"[a-z]+", self.name.lower()))[-2:]
        return tuple({"eng": "en", "zho": "zh"}.get(str(code), str(code)) for code in stated)


class _Chat:
    """A model that is asked to translate, once it has shown that it can."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name = engine, engine.name

    def check(self, source: str, target: str) -> None:
        for code in (source, target):
            if code not in _TRIED:
                raise InputError(
                    f"whether {self.name} knows {LANGUAGES[code]} can't be tried here (only {', '.join(_TRIED)} can): "
                    "name a translation model with --model"
                )
        kept = _SHOWN.setdefault(self.engine, {})
        if (source, target) not in kept:
            kept[source, target] = self._try(source, target)
        right, asked = kept[source, target]
        if right < _NEEDED:
            raise InputError(
                f"{self.name} can't translate from {LANGUAGES[source]} to {LANGUAGES[target]}: of {asked} easy "
                f"sentences it got {right} right, and what it wrote would be nonsense: name a translation model (chidu "
                "train --pairs makes one), or a larger chat model"
            )

    def __call__(self, sentence: str, source: str, target: str) -> str:
        return self._write(sentence, source, target, 32 + 3 * len(sentence))

    def _write(self, sentence: str, source: str, target: str, most: int) -> str:
        asked = (
            f"Translate from {LANGUAGES[source]} to {LANGUAGES[target]}. Keep marks such as ⟦0⟧ where they belong. "
            f"Answer with the translation alone.\n\n{sentence}"
        )
        return _written(self.engine, Conversation((Message("user", asked),)), most)

    def _try(self, source: str, target: str) -> tuple[int, int]:
        """Return how many sentences came right of those asked for; it ends when the rest could change nothing."""
        right = asked = 0
        pairs = list(zip(_TRIED[source], _TRIED[target], strict=True))
        try:
            while right < _NEEDED <= right + len(pairs) - asked:
                sentence, wanted = pairs[asked]
                right += _alike(self._write(sentence, source, target, 32), wanted) >= _ALIKE
                asked += 1
        except InputError as error:
            raise InputError(
                f"{self.name} was not taught to translate, and can't be asked to ({error}): name a translation model"
            ) from error
        return right, asked


def _check_known(name: str, known: tuple[str, ...], source: str, target: str, one_way: bool = False) -> None:
    is_known = (source, target) == known if one_way else source in known and target in known
    if not is_known:
        way = f"from {known[0]} to {known[1]}" if one_way and len(known) == 2 else f"between {', '.join(known)}"
        raise InputError(f"{name} translates {way}, not from {source} to {target}: name another model")


def _written(engine: Any, prompt: Any, most: int) -> str:
    """Return what an engine writes, greedily: a translation has one best form, and no reader wants another each time.

    `most` tokens: a model that repeats itself must come to an end.
    """
    sampling = Sampling(max_tokens=most, temperature=0.0)
    return "".join(piece.text for piece in engine.write(prompt, sampling)).strip()


def _alike(one: str, other: str) -> float:
    """Return the Dice coefficient of two texts' pairs of letters."""
    pairs = [_pairs(text) for text in (one, other)]
    total = sum(sum(each.values()) for each in pairs)
    shared = sum(min(count, pairs[1].get(pair, 0)) for pair, count in pairs[0].items())
    return 2 * shared / total if total else 0.0


def _pairs(text: str) -> Mapping[str, int]:
    letters = re.sub(r"[\W_]+", "", text.lower())
    found: dict[str, int] = {}
    for pair in map("".join, pairwise(letters)):
        found[pair] = found.get(pair, 0) + 1
    return found
