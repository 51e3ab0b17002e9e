"""Engines that write text with a model."""

from chidu.inference.sampling import Sampling, TextModel, next_tokens

__all__ = ["Sampling", "TextModel", "next_tokens"]
