"""What a server is started with: address, keys and limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from chidu.errors import SettingError

__all__ = ["LEAST_KEY", "ServerSettings", "read_keys"]

LEAST_KEY = 16
"""Characters that a key has at the least."""


@dataclass(frozen=True)
class ServerSettings:
    """Raises SettingError where another machine could reach a server without keys, or a number is out of range."""

    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = ()
    """Any is accepted; without keys, any or none, on this machine alone."""
    at_once: int = 4
    """Texts that are written side by side."""
    waiting: int = 32
    """Requests that may wait for that; more are sent away."""
    body_bytes: int = 2**20
    """Of a request at the most."""
    seconds: float = 300.0
    """A text takes at the most; then it ends where it is."""

    def __post_init__(self) -> None:
        if not self.keys and not self.is_local:
            raise SettingError(
                f"--host {self.host} can be reached from other machines, and there are no keys: give --keys FILE, "
                "one key a line, or stay on 127.0.0.1"
            )
        if not 0 <= self.port <= 65535:
            raise SettingError(f"--port is {self.port}; it must be from 0 to 65535")
        for name in ("at_once", "body_bytes"):
            if getattr(self, name) < 1:
                raise SettingError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
        if self.waiting < 0 or not self.seconds > 0:
            raise SettingError("--waiting must be at least 0, and --seconds above 0")

    @property
    def is_local(self) -> bool:
        """True where only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_keys(path: Path) -> tuple[str, ...]:
    """Read keys, one a line but for lines that begin with #. Raises SettingError where one is short or none there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"--keys: {path} can't be read ({error}): name a file with one key a line") from error
    keys = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not keys:
        raise SettingError(f"--keys: {path} holds no key: write one a line")
    for number, key in enumerate(keys, 1):
        if len(key) < LEAST_KEY or not key.isascii() or " " in key:
            raise SettingError(
                f"--keys: key {number} of {path} is no key: at least {LEAST_KEY} ASCII characters without blanks"
            )
    return keys
