"""What a server is started with: address, keys and limits."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chidu.errors import SettingError, nearest

__all__ = ["LEAST_KEY", "Key", "ServerSettings", "read_file", "read_keys"]

LEAST_KEY = 16
"""Characters that a key has at the least."""
PATHS = ("keys", "policy", "record", "trace")
BESIDES = {"no_guard": bool, "index": list} | dict.fromkeys(("model", "embedder", *PATHS), str)
"""What a file of settings may say of what is served and judged; and of each its type."""


@dataclass(frozen=True)
class Key:
    """What a caller shows, and what it is called where keys must not be seen."""

    name: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class ServerSettings:
    """Raises SettingError where another machine could reach a server without keys, or a number is out of range."""

    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[Key, ...] = ()
    """Any is accepted; without keys, any or none, on this machine alone."""
    at_once: int = 4
    """Texts that are written side by side."""
    waiting: int = 32
    """Requests that may wait for that; more are sent away."""
    body_bytes: int = 2**20
    """Of a request at the most."""
    seconds: float = 300.0
    """A text takes at the most; then it ends where it is."""
    max_tokens: int = 0
    """A request may ask for in each text; 0: as many as the context holds."""
    requests_per_minute: int = 0
    """Of each key, or of all where there are no keys; 0: no limit."""
    tokens_per_minute: int = 0
    """Read and written, likewise."""
    connections: int = 256
    """Open at once; more are sent away."""
    read_seconds: float = 30.0
    """A client may take to send a request's head, its body, or to read what is sent."""
    grace_seconds: float = 10.0
    """What is being written has when the server is asked to end."""

    def __post_init__(self) -> None:
        if not self.keys and not self.is_local:
            raise SettingError(
                f"--host {self.host} can be reached from other machines, and there are no keys: give --keys FILE, "
                "one key a line, or stay on 127.0.0.1"
            )
        if not 0 <= self.port <= 65535:
            raise SettingError(f"--port is {self.port}; it must be from 0 to 65535")
        least = {"at_once": 1, "body_bytes": 1, "connections": 1}
        least |= dict.fromkeys(("waiting", "max_tokens", "requests_per_minute", "tokens_per_minute"), 0)
        for name, low in least.items():
            if getattr(self, name) < low:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be at least {low}")
        for name in ("seconds", "read_seconds", "grace_seconds"):
            if not 0 < getattr(self, name) < 1e9:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be above 0 and below 1e9")
        for what in ("name", "secret"):
            if len({getattr(key, what) for key in self.keys}) < len(self.keys):
                raise SettingError(f"two keys have the same {what}")

    def __str__(self) -> str:
        """Say who may ask, and for how much."""
        who = f"keys of {', '.join(key.name for key in self.keys)}" if self.keys else "no keys: any is accepted"
        most = [
            f"{getattr(self, name)} {name.replace('_', ' ')}"
            for name in ("max_tokens", "requests_per_minute", "tokens_per_minute")
            if getattr(self, name)
        ]
        return ", ".join([who, *most])

    @property
    def is_local(self) -> bool:
        """True where only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read keys, one a line, `NAME: KEY` or a key alone, but for lines that begin with #.

    Raises SettingError where one is short or none there.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"--keys: {path} can't be read ({error}): name a file with one key a line") from error
    said = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not said:
        raise SettingError(f"--keys: {path} holds no key: write one a line")
    keys = []
    for number, line in enumerate(said, 1):
        found = re.fullmatch(r"(?:(?P<name>[\w.@-]{1,64}):\s+)?(?P<secret>[!-~]+)", line)
        if found is None or len(found["secret"]) < LEAST_KEY:
            raise SettingError(
                f"--keys: key {number} of {path} is no key: at least {LEAST_KEY} ASCII characters without blanks, "
                "and before them, if you like, a name and a colon"
            )
        keys.append(Key(found["name"] or f"key{number}", found["secret"]))
    return tuple(keys)


def read_file(path: Path) -> dict[str, Any]:
    """Read a TOML file of settings: the names of ServerSettings, and BESIDES; paths are from its folder.

    Raises SettingError for a name that nobody knows, or a value of another type.
    """
    try:
        said: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"--settings: {path} can't be read ({error}): name a TOML file") from error
    kinds = {each.name: type(each.default) for each in dataclasses.fields(ServerSettings)} | BESIDES
    for name, value in said.items():
        if name not in kinds:
            raise SettingError(f"--settings: {path} has {name!r}, which is no setting{nearest(name, kinds)}")
        fits = (int, float) if kinds[name] is float else (kinds[name],)
        if type(value) not in fits:
            raise SettingError(f"--settings: {name} of {path} is {value!r}; it must be of type {kinds[name].__name__}")
    if not all(isinstance(each, str) for each in said.get("index", [])):
        raise SettingError(f"--settings: index of {path} must be a list of paths")
    said |= {name: path.parent / said[name] for name in PATHS if name in said}
    said |= {"index": [path.parent / each for each in said["index"]]} if "index" in said else {}
    return said | ({"keys": read_keys(said["keys"])} if "keys" in said else {})
