"""Engines that write text with a model.

engine.py      what every engine does; which one opens a model that somebody names
sampling.py    how a token is drawn, and how tokens become text
constraint.py  JSON that fits a schema
own.py         models of our own layouts
decoder.py     one token after another, for those
beam.py        the best of several texts followed at once
hub.py         whatever transformers opens
gguf.py        GGUF files, by llama.cpp
translation.py sentences from one language to another
remote.py      models behind an address that speaks OpenAI's API
embedding.py   texts as vectors
packaged.py    models that PyPI packages carry
quantised.py   a GGUF file in a type that is quicker
identity.py    what tells one model from another
"""

from chidu.inference.embedding import Embedder, is_of_hub, open_embedder
from chidu.inference.engine import Conversation, Engine, Message, Prompt, can_chat, open_engine
from chidu.inference.identity import model_identity
from chidu.inference.sampling import Piece, Sampling, Token
from chidu.inference.translation import TranslationForm, Translator, translator_of

__all__ = [
    "Conversation",
    "Embedder",
    "Engine",
    "Message",
    "Piece",
    "Prompt",
    "Sampling",
    "Token",
    "TranslationForm",
    "Translator",
    "can_chat",
    "is_of_hub",
    "model_identity",
    "open_embedder",
    "open_engine",
    "translator_of",
]
