"""What tells one model from another, so that what it wrote before is not taken for what it would write now."""

from __future__ import annotations

from pathlib import Path

from chidu.inference.packaged import PACKAGED, kept_at
from chidu.runs.record import fingerprint

__all__ = ["model_identity"]


def model_identity(name: str) -> str:
    """Return a fingerprint of a model's name and, where it lies on this machine, of its files' names, sizes and times.

    A model behind an address, or of the hub, is told by its name alone.
    """
    path = kept_at(name) if name in PACKAGED else Path(name)
    if not path.exists():
        return fingerprint([name])
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    told = [[each.name, each.stat().st_size, each.stat().st_mtime_ns] for each in files]
    return fingerprint([str(path.resolve()), told])
