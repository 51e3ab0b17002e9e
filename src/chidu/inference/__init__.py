"""Engines that write text with a model.

engine.py     what every engine does; which one opens a model that somebody names
sampling.py   how a token is drawn, and how tokens become text
own.py        models of our own layouts
hub.py        whatever transformers opens
gguf.py       GGUF files, by llama.cpp
packaged.py   models that PyPI packages carry
quantised.py  a GGUF file in a type that is quicker
"""

from chidu.inference.engine import Engine, Message, open_engine
from chidu.inference.sampling import Piece, Sampling

__all__ = ["Engine", "Message", "Piece", "Sampling", "open_engine"]
