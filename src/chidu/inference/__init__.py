"""Engines that write text with a model.

engine.py    what every engine does; which one opens a model that somebody names
sampling.py  how a token is drawn, and how tokens become text
constraint.py  JSON that fits a schema
own.py       models of our own layouts
hub.py       whatever transformers opens
gguf.py      GGUF files, by llama.cpp
packaged.py  models that PyPI packages carry
"""

from chidu.inference.engine import Conversation, Engine, Message, Prompt, open_engine
from chidu.inference.sampling import Piece, Sampling, Token

__all__ = ["Conversation", "Engine", "Message", "Piece", "Prompt", "Sampling", "Token", "open_engine"]
