"""JSON that fits a schema: which tokens may come next, by the library llguidance."""

from __future__ import annotations

from collections.abc import Sequence

import llguidance
import numpy as np
import torch
from torch import Tensor

from chidu.errors import InputError

__all__ = ["Constraint", "Vocabulary", "check_schema"]

BLANKS = r"[ \n\t]{0,40}"
"""Between the parts of a JSON document; a small model would go on with blanks for ever."""


def check_schema(schema: str) -> str:
    """Return the library's grammar of a JSON schema. Raises InputError where it is none."""
    try:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_pattern": BLANKS})
    except ValueError as error:
        raise InputError(f"the JSON schema is none ({_first_line(str(error))})") from error
    if why := llguidance.LLMatcher.validate_grammar(grammar):
        raise InputError(f"the JSON schema can't be followed ({_first_line(why)})")
    return grammar


def _first_line(text: str) -> str:
    return " ".join((text.strip().splitlines() or ["no reason given"])[0].split())[:200]


class Vocabulary:
    """What each token of a tokenizer is in bytes, and which of them end a text."""

    def __init__(self, tokenizer: str, ends: Sequence[int]) -> None:
        """`tokenizer`: the content of a tokenizer.json. Raises InputError where the library can't read it."""
        try:
            self.tokens = llguidance.LLTokenizer(tokenizer, eos_token=list(ends))
        except Exception as error:  # the library raises what its parser does
            raise InputError(f"this model's tokenizer can't say what its tokens are in bytes ({error})") from error

    def data(self, token: int) -> bytes:
        """Return a token's bytes."""
        return bytes(self.tokens.decode_bytes([token]))

    def constraint(self, schema: str) -> Constraint:
        """Return what may follow in a text that is to fit a schema. Raises InputError where the schema is none."""
        return Constraint(schema, self)


class Constraint:
    """What may follow, in a text that is to fit a JSON schema. Raises InputError where the schema is none.

    References to other documents are not followed: nothing is fetched.
    """

    def __init__(self, schema: str, vocabulary: Vocabulary) -> None:
        self._matcher = llguidance.LLMatcher(vocabulary.tokens, check_schema(schema), log_level=0)
        self._check()

    def mask(self, logits: Tensor) -> Tensor:
        """Return logits [V] with -inf for all tokens that may not come next."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        self._check()
        allowed = torch.zeros(len(logits), dtype=torch.bool)
        known = min(len(bits), len(logits))
        allowed[:known] = torch.from_numpy(bits[:known].astype(bool))
        return logits.masked_fill(~allowed.to(logits.device), -torch.inf)

    def take(self, token: int) -> None:
        """Go on past a token that was drawn."""
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token)
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InputError(f"the JSON schema can't be followed ({_first_line(self._matcher.get_error())})")
