"""The Transformer, and its form on disk; the log-linear model of the founding essay."""

from chidu.model.check import logit_difference
from chidu.model.conversion import load_model, save_model
from chidu.model.loglinear import LogLinear
from chidu.model.transformer import KeyValues, Transformer

__all__ = ["KeyValues", "LogLinear", "Transformer", "load_model", "logit_difference", "save_model"]
