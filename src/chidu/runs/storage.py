"""Storage that fails for a moment: it is tried again a few times, with a word about it, and then named.

Storage that many machines share now and then answers with an error that is gone a second later.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from chidu.errors import StorageError

__all__ = ["passes", "steadily"]

Done = TypeVar("Done")

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try."""
PASSING = frozenset(
    getattr(errno, name)
    for name in ("ESTALE", "EIO", "ENOSPC", "EDQUOT", "ETIMEDOUT", "EREMOTEIO", "ENOLINK", "EHOSTDOWN", "EHOSTUNREACH")
    if hasattr(errno, name)
)

log = logging.getLogger(__name__)


def passes(error: OSError) -> bool:
    """True for an error that often is gone when the same is tried again."""
    return error.errno in PASSING


def steadily(action: Callable[[], Done], path: Path) -> Done:
    """Return what ``action`` does with `path`, beginning it again where storage fails for a moment.

    Raises StorageError where it fails still after 7.5 s; any other error at once.
    """
    for pause in PAUSES:
        try:
            return action()
        except OSError as error:
            if not passes(error):
                raise
            log.warning("%s: %s; trying again in %g s", path, error.strerror, pause)
        time.sleep(pause)
    try:
        return action()
    except OSError as error:
        if not passes(error):
            raise
        raise StorageError(
            f"{path}: {error.strerror} ({len(PAUSES) + 1} tries in {sum(PAUSES):g} s): see that the storage is there "
            "and has room, then run the same command again"
        ) from error
