"""The file that `--output` names: never the text itself, and beside it what was made of the text so far."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from chidu.cli.stopping import Stopped
from chidu.units import count_of

if TYPE_CHECKING:
    from chidu.apps import KeptPieces
    from chidu.cli.voice import BarVoice, LineVoice

__all__ = ["check_output", "check_page", "kept_beside"]


def check_output(output: Path, *read: Path) -> None:
    """Raise SettingError where a file that is read, or piped in where none is, is the one to be written, by whatever
    name; and where it is a folder."""
    from chidu.errors import SettingError

    if output.is_dir():
        raise SettingError(f"--output: {output} is a folder: name a file in it")
    for path in read or (None,):
        try:
            to = output.stat()
            source = os.fstat(sys.stdin.fileno()) if path is None else path.stat()
        # No such file; what is read may be no path, and what is piped in no file.
        except (OSError, ValueError):
            continue
        if os.path.samestat(to, source) and stat.S_ISREG(to.st_mode):
            raise SettingError(f"--output is the text itself, {output}: name another file")


@contextlib.contextmanager
def kept_beside(output: Path | None, piece: str, voice: BarVoice | LineVoice) -> Iterator[KeptPieces]:
    """Yield what an earlier call that was stopped left beside a file, and say so; this call adds to it.

    Where this one is stopped too, what ends it knows whether something is kept. Beside a device or a pipe, and where
    there is no output, nothing is. ``piece`` is what one of them is called. Raises TextError for somebody's own file.
    """
    from chidu.apps import KeptPieces

    is_file = output is not None and (output.is_file() or not output.exists())
    kept = KeptPieces(output.with_name(f"{output.name}.part") if output is not None and is_file else None)
    if kept:
        voice.say(f"{count_of(len(kept), piece)} in {kept.path}: going on behind them")
    try:
        yield kept
    except Stopped as stopped:
        stopped.is_kept = kept.path is not None and kept.path.is_file()
        raise


def check_page(page: Path) -> None:
    """Raise SettingError where a page to be written is a folder, or a file that is no page: it would be lost."""
    from chidu.errors import SettingError

    if page.is_dir():
        raise SettingError(f"--page: {page} is a folder: name a file in it")
    if page.is_file() and page.stat().st_size:
        with page.open("rb") as file:
            if not file.read(9).lower().startswith(b"<!doctype"):
                raise SettingError(f"--page: {page} is a file that is no page, and would be lost: name another")
