"""What the verbs share that ask one's own files: an index that is brought up to date, and vectors made behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from chidu.cli.plain import plain

if TYPE_CHECKING:
    from chidu.apps import Citation
    from chidu.index import Hit, Updated
    from chidu.inference import Embedder

__all__ = [
    "EmbedderOption",
    "IndexOption",
    "Ranked",
    "WaitOption",
    "check_asked",
    "go_on",
    "open_named",
    "place_of",
    "read_files",
    "tell",
    "wait_for_vectors",
]

EmbedderOption = Annotated[
    str,
    typer.Option(
        help="What makes vectors: e5 (many languages), minilm (English), a folder, one of the hub, an address; "
        "none: words alone."
    ),
]
IndexOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the index, made where it is not there. Else a folder of $XDG_CACHE_HOME/chidu/indexes (or "
        "~/.cache/chidu/indexes) that is named after the full paths of what is read."
    ),
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Make the vectors that lack first, then answer.")]
_LOG = "vectors.log"
"""What the process that makes vectors behind tells, in the index's folder."""


class Ranked(Protocol):
    """What tells how far an index was when it was asked."""

    @property
    def by(self) -> str: ...
    @property
    def passages(self) -> int: ...
    @property
    def without_vectors(self) -> int: ...


def open_named(embedder: str) -> Embedder | None:
    """Open what `--embedder` names; None for `none`. Says so where the hub is to be asked, which may take seconds."""
    from chidu.errors import nearest
    from chidu.inference import is_of_hub, open_embedder

    if embedder == "none":
        return None
    if is_of_hub(embedder) and not embedder.startswith((".", "/", "~")):
        near = nearest(embedder, ("e5", "minilm", "none"))
        sys.stderr.write(plain(f"{embedder}: no embedder and no folder here{near}: looking for it on the hub\n"))
    return open_embedder(embedder)


def read_files(place: Path, paths: list[Path]) -> Updated | None:
    """Read what changed; None where another process is at that for long, and the former state is searched."""
    from chidu.apps import update
    from chidu.cli.voice import open_voice
    from chidu.errors import IndexBusyError

    with open_voice() as voice:
        try:
            return update(place, paths, lambda done, words: voice.progress("index", done, words, None))
        except IndexBusyError:
            voice.say("another process reads changed files now: this is how the index was before")
            return None


def wait_for_vectors(place: Path, model: Embedder) -> None:
    """Make the vectors that lack, and show how far it is."""
    from chidu.apps import make_vectors
    from chidu.cli.voice import open_voice

    with open_voice() as voice:
        make_vectors(place, model, lambda done, words: voice.progress("vectors", done, words, None))


def tell(updated: Updated | None) -> None:
    """Say what was read and what was left out."""
    if updated is not None:
        sys.stderr.write(f"{updated}\n")


def place_of(found: Hit | Citation) -> str:
    """Return where a passage stands, on one line: `file:first-last` and its headings."""
    lines = f"{found.first_line}" if found.first_line == found.last_line else f"{found.first_line}-{found.last_line}"
    return plain(f"{found.file}:{lines}  {found.heading}".rstrip()).replace("\n", "␊")


def go_on(place: Path, question: str, paths: list[Path], embedder: str, found: Ranked) -> None:
    """Have the vectors that lack made behind, by a process of its own, and say so."""
    from chidu.apps import are_vectors_made

    if not found.without_vectors:
        return
    log = place / _LOG
    words = [question, *map(str, paths), "--embedder", embedder, "--index", str(place)]
    made = found.passages - found.without_vectors
    how = "by words alone" if found.by == "words" else "by words and meaning"
    if not are_vectors_made(place):
        failed = _why_failed(log)
        with log.open("w", encoding="utf-8") as told:
            behind = subprocess.Popen(
                [sys.executable, "-m", "chidu", "search", "--wait", *words],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told, start_new_session=True,
            )  # fmt: skip
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, behind.pid, 10)
        if failed:
            sys.stderr.write(f"vectors could not be made before ({failed}): they are tried again\n")
    sys.stderr.write(
        f"answered {how}: {made:,} of {found.passages:,} passages have vectors. The others are being made by a process "
        f"behind, told in {log}: ask again later, or with --wait\n"
    )


def _why_failed(log: Path) -> str:
    """Return what ended the process that made vectors before, where that was an error."""
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("chidu: ") for line in reversed(lines) if line.startswith("chidu: ")), "")


def check_asked(text: str, what: str) -> None:
    """Raise TextError where a question is empty, or no UTF-8."""
    from chidu.errors import TextError

    if not text.strip():
        raise TextError(f"the {what} is empty: say what to find")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextError(f"the {what} is not UTF-8: write it in that encoding") from error
