"""What the processes that are killed work on. Imported by a fork server, so that each is there at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from chidu.runs import RunConfig
from chidu.tokens import TokenFile
from chidu.training import loop

NEVER = 1e9


def digest(trainer: loop.Trainer) -> str:
    """Return the sha256 of all weights and moments."""
    found = hashlib.sha256()
    for name, tensor in sorted({**trainer.weights.tensors(), **trainer.optimiser.tensors()}.items()):
        found.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def train_to_the_end(config: RunConfig, tokens: Path, folder: Path, seconds: float) -> None:
    """Train, saving every so many seconds; leave the hash of what came out."""
    torch.set_num_threads(1)
    loop.CHECKPOINT_SECONDS = seconds
    trainer = loop.train(config, TokenFile.open(tokens), folder)
    (folder / "hash.txt").write_text(digest(trainer))
