"""A mark that only this user's machines can make: what may be opened that could run code, and what not.

The key is 32 random bytes in the user's state folder (`$XDG_STATE_HOME/chidu`, else `~/.local/state/chidu`), readable
for the user alone and no part of any work folder, so a folder from elsewhere can't bring it along. Hosts that share
the home folder share the key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

__all__ = ["fits", "key_path", "mark"]

KEY_BYTES = 32


def key_path() -> Path:
    """Return where the key lies."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "chidu" / "checkpoint.key"


def mark(content: bytes) -> str:
    """Return the mark of some content: its HMAC-SHA256 under this user's key, which is made where there is none."""
    return hmac.new(_key(), content, hashlib.sha256).hexdigest()


def fits(content: bytes, found: str) -> bool:
    """True where `found` is the mark of the content. Without a key nothing fits."""
    return key_path().is_file() and hmac.compare_digest(mark(content).encode(), found.encode())


def _key() -> bytes:
    path = key_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
    return path.read_bytes()
