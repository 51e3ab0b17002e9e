"""Sentences that were translated before, in a file beside the result: a translation that was stopped goes on.

One line of JSON a sentence, behind a first line that says what it is a translation of. A line that a crash tore is
forgotten. Since a translator says the same of the same sentence, what goes on ends as what was never stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chidu.errors import TextError
from chidu.runs.record import fingerprint, versions
from chidu.units import count_of

if TYPE_CHECKING:
    from types import TracebackType

    from chidu.inference import Translator

__all__ = ["Keep", "KeptTranslator"]

_HEAD = b'{"translation_of": '


@dataclass(frozen=True)
class Keep:
    """Where sentences are kept while a text is translated."""

    path: Path
    model: str
    """What tells the model from others: sentences of another are not taken."""
    say: Callable[[str], None] = lambda _text: None
    """Is told, in one line, where sentences of an earlier call are taken."""

    def forget(self) -> None:
        """Remove the file: the translation is where it should be."""
        self.path.unlink(missing_ok=True)


class KeptTranslator:
    """A translator that answers what it was asked before out of a file, and writes there what is new.

    A context: the file is closed at its end. Raises TextError where the path is somebody's own file.
    """

    def __init__(self, translator: Translator, keep: Keep, text: str, source: str, target: str) -> None:
        self.translator, self.path, self.name = translator, keep.path, translator.name
        self.head = {"translation_of": fingerprint([text, source, target, keep.model, versions(("chidu",))])}
        self._said: dict[str, str] = {}
        self._open = ExitStack()
        whole = self._read()
        if self._said:
            keep.say(f"{count_of(len(self._said), 'sentence')} of {keep.path} taken: going on behind them")
        keep.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._open.enter_context(keep.path.open("r+b" if whole else "wb"))
        self._file.seek(whole)
        self._file.truncate()
        if not whole:
            self._write(self.head)

    def __enter__(self) -> KeptTranslator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def check(self, source: str, target: str) -> None:
        """Raise InputError where the translator can't translate between the two."""
        self.translator.check(source, target)

    def __call__(self, sentence: str, source: str, target: str) -> str:
        """Return the translation of a sentence, kept or new."""
        if sentence not in self._said:
            said = self._said[sentence] = self.translator(sentence, source, target)
            self._write([sentence, said])
        return self._said[sentence]

    def _read(self) -> int:
        """Read what is there of the same text and model; return up to which byte it is whole."""
        if not self.path.is_file():
            return 0
        content, whole = self.path.read_bytes(), 0
        if content[: len(_HEAD)] != _HEAD[: len(content)]:
            raise TextError(f"{self.path} is no translation under way: move it, or name another --output")
        for number, line in enumerate(content.splitlines(keepends=True)):
            try:
                value = json.loads(line)
                if not line.endswith(b"\n"):
                    raise ValueError
                if number == 0 and value != self.head:
                    return 0
                if number > 0:
                    sentence, said = value
                    self._said[str(sentence)] = str(said)
            except (ValueError, TypeError):
                break
            whole += len(line)
        return whole

    def _write(self, value: object) -> None:
        self._file.write(json.dumps(value).encode() + b"\n")
        # A process that is killed loses nothing that has left it.
        self._file.flush()
