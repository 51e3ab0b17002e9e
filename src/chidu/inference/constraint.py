"""JSON that fits a schema: which tokens may come next, by the library llguidance."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import unquote

import llguidance
import numpy as np
import torch
from torch import Tensor

from chidu.errors import InputError, SchemaError

__all__ = ["Constraint", "Vocabulary", "check_schema", "one_line"]

BLANKS = r"[ \n\t]{0,40}"
"""Between the parts of a JSON document; a small model would go on with blanks for ever."""


MOST_PARTS = 2000
"""Of a schema, each as often as it may repeat: what the libraries write out."""
REPEATS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
BRACES = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def check_schema(schema: str) -> str:
    """Return the library's grammar of a JSON schema. Raises SchemaError where it is none, or too large."""
    try:
        document = json.loads(schema)
        parts = _parts(document)
        if parts > MOST_PARTS:
            raise SchemaError(
                f"the JSON schema is too large: its parts, each as often as it may repeat, are {parts}; at most "
                f"{MOST_PARTS} are followed"
            )
        if not _has_end(document):
            raise SchemaError("the JSON schema can't be followed: no document that fits it has an end")
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_pattern": BLANKS})
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"the JSON schema is none ({one_line(str(error))})") from error
    if why := llguidance.LLMatcher.validate_grammar(grammar):
        raise SchemaError(f"the JSON schema can't be followed ({one_line(why)})")
    return grammar


def _parts(node: Any) -> int:
    """Count the parts of a schema, each as often as it may repeat."""
    if isinstance(node, list):
        return sum(map(_parts, node)) + 1
    if not isinstance(node, dict):
        return 1
    often = max((value for name in REPEATS if isinstance(value := node.get(name), int)), default=1)
    if isinstance(pattern := node.get("pattern"), str):
        often *= math.prod(max(int(least), int(most or 0), 1) for least, most in BRACES.findall(pattern))
        often += len(pattern)
    return max(often, 1) * (1 + sum(map(_parts, node.values())))


def _has_end(schema: Any) -> bool:
    """Tell whether a finite document can fit: a schema that needs itself within itself has none.

    What a reference leads to has an end once all that it needs has one; so the set of those grows until it stays.
    """
    targets = {ref: target for ref in _references(schema) if (target := _target(schema, ref)) is not None}
    ended = {ref for ref in _references(schema) if ref not in targets}  # the library says what is wrong with these
    while more := {ref for ref, target in targets.items() if ref not in ended and _ends(target, ended)}:
        ended |= more
    return _ends(schema, ended)


def _ends(node: Any, ended: Collection[str]) -> bool:
    """Tell whether a document that fits this part can end, if those that `ended` refers to can."""
    if not isinstance(node, dict):
        return node is not False
    if isinstance(ref := node.get("$ref"), str) and ref not in ended:
        return False
    needed = [*_list(node.get("allOf"))]
    properties = node.get("properties")
    if isinstance(properties, dict):
        needed += [properties[str(name)] for name in _list(node.get("required")) if str(name) in properties]
    if isinstance(least := node.get("minItems"), int) and least > 0:
        needed += [node.get("items"), *_list(node.get("prefixItems"))[:least]]
    choices = [_list(node.get(name)) for name in ("anyOf", "oneOf")]
    return all(_ends(part, ended) for part in needed) and all(
        any(_ends(part, ended) for part in parts) for parts in choices if parts
    )


def _references(node: Any) -> set[str]:
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    own = {node["$ref"]} if isinstance(node, dict) and isinstance(node.get("$ref"), str) else set()
    return own.union(*map(_references, parts))


def _target(schema: Any, ref: str) -> Any:
    """Return what a reference within the document leads to (a JSON pointer, RFC 6901); None where that is nothing."""
    if ref != "#" and not ref.startswith("#/"):
        return None
    node = schema
    for step in ref.split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(node, list):
            node = node[int(name)] if name.isdecimal() and int(name) < len(node) else None
        else:
            node = node.get(name) if isinstance(node, dict) else None
    return node


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def one_line(text: str) -> str:
    """Return what a library said, as one line that is not too long."""
    return " ".join(text.split())[:200] or "no reason given"


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
        """Return what may follow in a text that is to fit a schema. Raises SchemaError where the schema is none."""
        return Constraint(schema, self)


class Constraint:
    """What may follow, in a text that is to fit a JSON schema. Raises SchemaError where the schema is none.

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
            raise SchemaError(f"the JSON schema can't be followed ({one_line(self._matcher.get_error())})")
