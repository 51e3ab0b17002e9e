"""The file that `--output` names: never the text itself, and beside it what was made of the text so far."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chidu.apps import KeptPieces

__all__ = ["check_output", "kept_beside"]


def check_output(output: Path, *read: Path) -> None:
    """Raise SettingError where a file that is read, or piped in where none is, is the one to be written, by whatever
    name."""
    from chidu.errors import SettingError

    for path in read or (None,):
        try:
            to = output.stat()
            source = os.fstat(sys.stdin.fileno()) if path is None else path.stat()
        # No such file; what is read may be no path, and what is piped in no file.
        except (OSError, ValueError):
            continue
        if os.path.samestat(to, source) and stat.S_ISREG(to.st_mode):
            raise SettingError(f"--output is the text itself, {output}: name another file")


def kept_beside(output: Path | None) -> KeptPieces:
    """Return what an earlier call that was stopped left beside a file; this call adds to it.

    Beside a device or a pipe, and where there is no output, nothing is kept. Raises TextError for somebody's own file.
    """
    from chidu.apps import KeptPieces

    is_file = output is not None and (output.is_file() or not output.exists())
    return KeptPieces(output.with_name(f"{output.name}.part") if output is not None and is_file else None)
