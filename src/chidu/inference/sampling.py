"""How a token is drawn, and how tokens become text: whole characters, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chidu.errors import MissingPackageError, SettingError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from chidu.inference.constraint import Constraint, Vocabulary

__all__ = ["HALF", "Piece", "Sampling", "Token", "draw", "follow", "open_vocabulary", "pieces", "weigh"]

HALF = "\ufffd"
"""What a character of which some bytes are missing is shown as."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn, and when to stop."""

    max_tokens: int | None = 100
    """Tokens to write at the most; None: until the context is full."""
    temperature: float = 0.8
    """Divides the logits; 0 takes the most likely token (greedy)."""
    top_p: float = 0.95
    """Draw from the fewest most likely tokens that hold this much probability."""
    seed: int = 0
    top_k: int = 0
    """Draw from so many most likely tokens; 0: from all."""
    stop: tuple[str, ...] = ()
    """Texts before which the writing ends."""
    logprobs: int | None = None
    """Tell each token's log-probability, and those of so many of the most likely tokens in its place; None: neither."""
    schema: str | None = None
    """The text is JSON that fits this JSON schema."""

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise SettingError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if not 0 <= self.seed < 2**63:
            raise SettingError(f"seed is {self.seed}; it must be in 0..2**63-1")
        if not 0 <= self.temperature <= 10:
            raise SettingError(f"temperature is {self.temperature}; it must be in 0..10")
        if not 0 < self.top_p <= 1:
            raise SettingError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        if self.top_k < 0:
            raise SettingError(f"top_k is {self.top_k}; it must be 0 or more")
        if not all(self.stop):
            raise SettingError("stop holds an empty text, before which nothing could be written")
        if self.logprobs is not None and self.logprobs < 0:
            raise SettingError(f"logprobs is {self.logprobs}; it must be 0 or more")


@dataclass(frozen=True)
class Token:
    """One token of a text, and how likely it was where it stands."""

    id: int
    data: bytes = b""
    """Its bytes, which may be a part of a character."""
    logprob: float | None = None
    """Natural logarithm of its probability by the model's own distribution, before temperature, top_p, top_k and schema
    have changed it; None where nothing stands before it, or nobody asked."""
    top: tuple[Token, ...] = ()
    """The most likely tokens in its place, the most likely first."""


@dataclass(frozen=True)
class Piece:
    """Some text as it is written; the last piece of a text says why it ended there."""

    text: str
    finish: str | None = None
    """`stop` (the end of the text, or a stop string), `length` (max_tokens, or a full context); None before the end."""
    tokens: int = 0
    """Tokens that were drawn for it."""
    drawn: tuple[Token, ...] = ()
    """Those tokens of which something is shown, where their log-probabilities were asked for."""
    prompt_tokens: int | None = None
    """Tokens of the prompt; None as long as the engine does not know."""


def draw(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draw one token from logits [V]; one whose logit is -inf is never drawn."""
    import torch

    if sampling.temperature == 0:
        return int(logits.argmax())
    # From the largest logit down, in float64: a temperature close to 0 must not divide to infinity less infinity.
    scaled = (logits - logits.max()).double() / sampling.temperature
    probability, order = scaled.softmax(dim=-1).sort(descending=True, stable=True)
    # A token is kept where those before it hold less than top_p: so at least one always is.
    probability[probability.cumsum(0) - probability >= sampling.top_p] = 0
    if sampling.top_k:
        probability[sampling.top_k :] = 0
    return int(order[torch.multinomial(probability, 1, generator=generator)])


def open_vocabulary(tokenizer: str, ends: Sequence[int], name: str) -> Vocabulary:
    """Return what a model's tokens are in bytes. Raises MissingPackageError where llguidance is not installed."""
    try:
        from chidu.inference.constraint import Vocabulary
    except ModuleNotFoundError as error:
        raise MissingPackageError("llguidance", "serve", f"log-probabilities or JSON of {name}") from error
    return Vocabulary(tokenizer, ends)


def follow(
    read: Callable[[list[int]], Tensor],
    prefix: list[int],
    most: int,
    sampling: Sampling,
    vocabulary: Callable[[], Vocabulary],
) -> Iterator[Token]:
    """Return the tokens that follow a prefix, so many at the most.

    `read` takes the tokens that come next and returns the logits [V] of what may follow them; `vocabulary` is asked for
    only where bytes of tokens are needed. Raises InputError, before the first token, where the schema is none.
    """
    constraint = None if sampling.schema is None else vocabulary().constraint(sampling.schema)
    return _follow(read, prefix, most, sampling, constraint, vocabulary)


def _follow(
    read: Callable[[list[int]], Tensor],
    new: list[int],
    most: int,
    sampling: Sampling,
    constraint: Constraint | None,
    vocabulary: Callable[[], Vocabulary],
) -> Iterator[Token]:
    import torch

    generator = torch.Generator().manual_seed(sampling.seed)
    for _ in range(most):
        logits = read(new)
        token = draw(logits if constraint is None else constraint.mask(logits), sampling, generator)
        if constraint is not None:
            constraint.take(token)
        if sampling.logprobs is None:
            yield Token(token)
        else:
            yield weigh(logits[None], [token], sampling.logprobs, vocabulary())[0]
        new = [token]


def weigh(logits: Tensor, tokens: list[int], top: int, vocabulary: Vocabulary) -> list[Token]:
    """Return tokens, each weighed by its row of logits [T, V], with so many of the most likely there."""
    data = vocabulary.data
    likely = logits.float().log_softmax(dim=-1)
    best = likely.topk(min(top, likely.shape[-1]), dim=-1)
    own = [float(row[token]) for row, token in zip(likely, tokens, strict=True)]
    return [
        Token(token, data(token), value, tuple(Token(id, data(id), one) for id, one in zip(ids, values, strict=True)))
        for token, value, ids, values in zip(tokens, own, best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def pieces(
    tokens: Iterable[Token],
    decode: Callable[[list[int]], str],
    ends: Callable[[int], bool],
    sampling: Sampling,
    prompt_tokens: int,
) -> Iterator[Piece]:
    """Yield the text of tokens as they come: characters when they are whole, and what may be a stop string's beginning
    only when it is none. The last piece, which may be empty, has the reason of the end."""
    text = _Text(decode)
    held, shown, finish = "", 0, "length"
    drawn, begun = 0, list[tuple[int, Token]]()  # tokens not yet given out, each with the character it begins at
    for token in tokens:
        drawn += 1
        if ends(token.id):
            finish = "stop"
            break
        begun.append((shown + len(held), token))
        held += text.add(token.id)
        if (found := first_stop(held, sampling.stop)) is not None:
            held, finish = held[:found], "stop"
            begun = [each for each in begun if each[0] < shown + found]
            break
        if safe := len(held) - held_back(held, sampling.stop):
            shown += safe
            given = _asked(sampling, (each for each in begun if each[0] < shown))
            yield Piece(held[:safe], None, drawn, given, prompt_tokens)
            held, drawn, begun = held[safe:], 0, [each for each in begun if each[0] >= shown]
    yield Piece(held, finish, drawn, _asked(sampling, begun), prompt_tokens)


def _asked(sampling: Sampling, begun: Iterable[tuple[int, Token]]) -> tuple[Token, ...]:
    return () if sampling.logprobs is None else tuple(token for _, token in begun)


class _Text:
    """Tokens that become text, a few at a time: the same characters as of all at once, without reading all each time.

    What a token adds may depend on the one before it (a blank at the start of a text): so those of the last piece are
    decoded again beside the new ones.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._last, self._new = list[int](), list[int]()

    def add(self, token: int) -> str:
        """Take one more token; return the characters that are whole now."""
        self._new.append(token)
        before = self._decode(self._last) if self._last else ""
        text = self._decode(self._last + self._new)
        if text.endswith(HALF) or len(text) <= len(before):
            return ""
        self._last, self._new = self._new, []
        return text[len(before) :]


def first_stop(text: str, stop: Iterable[str]) -> int | None:
    """Return where the first stop string in a text begins, or None."""
    found = [place for each in stop if (place := text.find(each)) >= 0]
    return min(found, default=None)


def held_back(text: str, stop: Iterable[str]) -> int:
    """Return how many characters at the end of a text are the beginning of a stop string."""
    return max((k for each in stop for k in range(1, len(each)) if text.endswith(each[:k])), default=0)
