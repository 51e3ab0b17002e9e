"""An engine without a model, for tests of what stands before it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from chidu.errors import InputError
from chidu.inference import Message, Piece, Sampling
from chidu.inference.engine import check_room


class Parrot:
    """An engine that says the prompt's words again, a piece at a time, as slowly as one likes."""

    name = "parrot"
    context_length = 64

    def __init__(self, pause: float = 0.0) -> None:
        self.pause, self.writing, self.most, self.closed = pause, 0, 0, 0
        self.fails = False
        self._lock = threading.Lock()

    def encode(self, text: str) -> list[int]:
        return list(range(len(text.split())))

    def chat_prompt(self, messages: Sequence[Message]) -> str:
        if not messages[-1].content:
            raise InputError("the last message is empty")
        return " ".join(f"{each.role}: {each.content}" for each in messages)

    def write(self, prompt: str, sampling: Sampling) -> Iterator[Piece]:
        check_room(len(self.encode(prompt)), self.context_length)
        return self._write(prompt, sampling)

    def _write(self, prompt: str, sampling: Sampling) -> Iterator[Piece]:
        with self._lock:
            self.writing += 1
            self.most = max(self.most, self.writing)
        try:
            words = prompt.split()
            for index in range(sampling.max_tokens):
                time.sleep(self.pause)
                if self.fails:
                    raise RuntimeError("the parrot is dead")
                if index == len(words):
                    yield Piece("", "stop")
                    return
                yield Piece(words[index] + " ", tokens=1)
            yield Piece("", "length")
        finally:
            with self._lock:
                self.writing -= 1
                self.closed += 1
