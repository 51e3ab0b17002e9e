"""What a model made of the pieces of a text, in a file beside the result: work that was stopped goes on.

One line of JSON a piece, its key and what was made of it, behind a first line that says what the file is. The key tells
the piece, the model, and whatever else the outcome hangs on, so that work which goes on ends as what was never stopped.
A line that a crash tore is forgotten.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from chidu.errors import TextError
from chidu.runs.record import fingerprint, versions

if TYPE_CHECKING:
    from chidu.inference import Translator

__all__ = ["KeptPieces", "KeptTranslator"]

_HEAD = b'{"kept_by": "chidu", "until": "the output is written"}\n'


class KeptPieces:
    """What was made of pieces, by key. Without a path nothing outlives this."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what is there. Raises TextError where the path is somebody's own file."""
        self.path = path
        self._made: dict[str, str] = {}
        if path is not None and path.is_file():
            self._read(path, path.read_bytes())

    def __len__(self) -> int:
        return len(self._made)

    def get(self, key: str) -> str | None:
        """Return what was made of a piece, None where nothing was yet."""
        return self._made.get(key)

    def put(self, key: str, made: str) -> None:
        """Keep what was made of a piece: it is on the disk when this returns."""
        self._made[key] = made
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write((b"" if file.tell() else _HEAD) + json.dumps([key, made]).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def forget(self) -> None:
        """Remove the file: what it was kept for is where it should be."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _read(self, path: Path, content: bytes) -> None:
        """Read whole lines, and cut off what a crash left torn behind them."""
        if content[: len(_HEAD)] != _HEAD[: len(content)]:
            raise TextError(f"{path} was not left by work under way: move it, or name another --output")
        whole = 0
        for line in content.splitlines(keepends=True):
            try:
                value = json.loads(line)
                if not line.endswith(b"\n"):
                    break
                if whole:
                    key, made = value
                    self._made[str(key)] = str(made)
            except (ValueError, TypeError):
                break
            whole += len(line)
        if whole < len(content):
            os.truncate(path, whole)


class KeptTranslator:
    """A translator that takes what it said before of a sentence from what is kept, and keeps what is new."""

    def __init__(self, translator: Translator, kept: KeptPieces, model: str) -> None:
        self.translator, self.kept, self.name = translator, kept, translator.name
        self.is_at_work = not kept
        """Whether anything is new by now; until then what is kept goes by, in no time."""
        self._told = [model, versions(("chidu",))]

    def check(self, source: str, target: str) -> None:
        """Raise InputError where the translator can't translate between the two."""
        self.translator.check(source, target)

    def __call__(self, sentence: str, source: str, target: str) -> str:
        """Return the translation of a sentence, kept or new."""
        key = fingerprint([*self._told, source, target, sentence])
        said = self.kept.get(key)
        if said is None:
            said = self.translator(sentence, source, target)
            self.is_at_work = True
            self.kept.put(key, said)
        return said
