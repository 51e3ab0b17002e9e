"""An engine without a model, for tests of what stands before it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from chidu.errors import InputError
from chidu.inference import Conversation, Piece, Prompt, Sampling, Token
from chidu.inference.engine import check_length, room


class Parrot:
    """An engine that says the prompt's words again, a piece at a time, as slowly as one likes."""

    name = "parrot"
    context_length = 64

    def __init__(self, pause: float = 0.0) -> None:
        self.pause, self.writing, self.most, self.closed = pause, 0, 0, 0
        self.fails_at: int | None = None
        self._lock = threading.Lock()

    def _words(self, prompt: Prompt) -> list[str]:
        if isinstance(prompt, str):
            return prompt.split()
        if isinstance(prompt, Conversation):
            if not prompt.turns[-1].content:
                raise InputError("the last message is empty")
            return " ".join(f"{each.role}: {each.content}" for each in prompt.turns).split()
        return [f"w{token}" for token in prompt]

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        words = self._words(prompt)
        if sampling.schema is not None:
            raise InputError("a parrot knows no JSON")
        return self._write(words, sampling, room(len(words), self.context_length, sampling))

    def score(self, prompt: Prompt, top: int = 0) -> list[Token]:
        words = self._words(prompt)
        check_length(len(words), self.context_length)
        return [self._token(index, word, top if index else None) for index, word in enumerate(words)]

    def _token(self, index: int, word: str, top: int | None) -> Token:
        """Every word is as likely as its place says; the likeliest in its place is `the`."""
        data = word.encode() + b" "
        if top is None:
            return Token(index, data)
        others = tuple(Token(900 + rank, f"the{rank} ".encode(), -0.1 - rank) for rank in range(top))
        return Token(index, data, -float(index + 1), others)

    def _write(self, words: list[str], sampling: Sampling, most: int) -> Iterator[Piece]:
        with self._lock:
            self.writing += 1
            self.most = max(self.most, self.writing)
        try:
            for index in range(most):
                time.sleep(self.pause)
                if index == self.fails_at:
                    raise RuntimeError("the parrot is dead")
                if index == len(words):
                    yield Piece("", "stop", prompt_tokens=len(words))
                    return
                wants = sampling.logprobs is not None
                drawn = (self._token(index, words[index], sampling.logprobs),) if wants else ()
                yield Piece(words[index] + " ", None, 1, drawn, len(words))
            yield Piece("", "length", prompt_tokens=len(words))
        finally:
            with self._lock:
                self.writing -= 1
                self.closed += 1
