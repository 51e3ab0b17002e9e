"""Vectors that are made once: one core makes some passages a second."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chidu.inference.embedding import Embedded, Embedder, Role

__all__ = ["Kept"]


class Kept:
    """An embedder whose vectors are kept in a file."""

    def __init__(self, embedder: Embedder, path: Path) -> None:
        self.name, self.dimension, self._embedder = embedder.name, embedder.dimension, embedder
        self._database = sqlite3.connect(path)
        self._database.execute("CREATE TABLE IF NOT EXISTS v (k TEXT PRIMARY KEY, v BLOB)")

    def embed(self, texts: Sequence[str], role: Role = "passage") -> Embedded:
        """Return the texts' vectors, made or found."""
        keys = [hashlib.sha256(f"{role}\0{text}".encode("utf-8", "replace")).hexdigest() for text in texts]
        known = [self._database.execute("SELECT v FROM v WHERE k = ?", (key,)).fetchone() for key in keys]
        lacking = [place for place, one in enumerate(known) if one is None]
        if lacking:
            made = self._embedder.embed([texts[place] for place in lacking], role).vectors
            for place, vector in zip(lacking, made, strict=True):
                known[place] = (np.asarray(vector, np.float32).tobytes(),)
                self._database.execute("INSERT OR REPLACE INTO v VALUES (?, ?)", (keys[place], known[place][0]))
            self._database.commit()
        return Embedded(np.array([np.frombuffer(one[0], np.float32) for one in known]), 0)
