"""The Transformer, and its form on disk."""

from chidu.model.check import logit_difference
from chidu.model.conversion import load_model, save_model
from chidu.model.transformer import KeyValues, Transformer

__all__ = ["KeyValues", "Transformer", "load_model", "logit_difference", "save_model"]
